//! Ways of a value into a run and out of it, beside message and reply.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{CARD, EMAIL, IBAN, PHONE, config, configured, leaks, model_texts, own};
use crate::attachments::inline;
use crate::harness::{World, calls, message, says};

#[tokio::test]
async fn a_role_that_is_asked_goes_by_its_own_rules() {
    let world = World::new().await;
    let redact =
        |kinds: Value| json!({ "to": ["provider"], "kinds": kinds, "mode": "redact-restore" });
    let roles = json!({ "agents": [
        { "role": "scout", "tools": { "enable": ["ask_agent"] }, "redact": redact(json!(["email", "phone"])) },
        { "role": "writer", "redact": redact(json!(["email"])) },
    ] });
    configured(&world, &roles.to_string()).await;
    let (email, phone) = (own(EMAIL), own(PHONE));
    let ask = json!({ "role": "writer", "message": format!("write to {email}, {phone}") });
    let ask = calls(&[("ask_agent", ask)]);
    world
        .model(vec![ask, says(&format!("Dear {email}")), says(&format!("He says: Dear {email}"))])
        .await;
    let body = message(json!({ "message": format!("{EMAIL} or {PHONE}") }));
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!(
        (status, answer["response"].as_str()),
        (200, Some(&*format!("He says: Dear {EMAIL}"))),
        "{answer}"
    );
    let got = world.model_got().await;
    let texts: Vec<String> = got.iter().map(Value::to_string).collect();
    assert_eq!(leaks(&texts[0]), [""; 0]);
    // The writer's model is told phone numbers, and the scout's is told what the writer said.
    assert_eq!(leaks(&texts[1]), ["901820"]);
    assert_eq!(leaks(&texts[2]), [""; 0]);
    assert!(texts[2].contains(&format!("Dear {email}")), "{}", texts[2]);
}

#[tokio::test]
async fn a_file_s_text_and_name_are_replaced_before_they_are_cut() {
    let world = World::with(&[("WOMBAT_TOOL_RESULT_MAX_CHARS", "1000")], json!({})).await;
    configured(&world, &config(&["provider"], "redact-restore", json!({}))).await;
    let text = format!("pay {IBAN}\n") + &format!("{EMAIL}\n").repeat(300);
    world.model(vec![says(&own(IBAN))]).await;
    let files = json!([inline(&format!("{EMAIL}.txt"), "text/plain", text.as_bytes())]);
    let (status, answer) =
        world.daemon.send(&message(json!({ "message": "whom?", "attachments": files }))).await;
    assert_eq!((status, answer["response"].as_str()), (200, Some(IBAN)), "{answer}");
    assert_eq!(answer["attachments"][0]["name"], format!("{EMAIL}.txt"), "{answer}");
    let got = model_texts(&world).await;
    assert!(got.contains("[cut: the first 1000") && got.contains(&own(IBAN)), "{got}");
    assert!(!got.contains("jane") && leaks(&got).is_empty(), "{got}");
}

#[tokio::test]
async fn a_webhook_is_told_the_values() {
    let world = World::with(&[("WOMBAT_WEBHOOK_ALLOW_PRIVATE", "true")], json!({})).await;
    configured(&world, &config(&["provider", "journal"], "redact-restore", json!({}))).await;
    let receiver = MockServer::start().await;
    Mock::given(path("/hook")).respond_with(ResponseTemplate::new(200)).mount(&receiver).await;
    world.model(vec![says(&format!("Paid by {}.", own(CARD)))]).await;
    let hook = json!({ "url": format!("{}/hook", receiver.uri()) });
    let (status, answer) =
        world.daemon.send(&message(json!({ "message": CARD, "webhook": hook }))).await;
    assert_eq!(status, 200, "{answer}");
    let deadline = Instant::now() + Duration::from_secs(15);
    let told = loop {
        if let [told, ..] = receiver.received_requests().await.unwrap().as_slice() {
            break String::from_utf8(told.body.clone()).unwrap();
        }
        assert!(Instant::now() < deadline, "the webhook is told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(told.contains(&format!("Paid by {CARD}.")), "{told}");
}

#[tokio::test]
async fn a_number_that_a_schema_wants_comes_back_as_one() {
    let world = World::new().await;
    let patterns = json!([{ "name": "count", "regex": r"\b17\b" }]);
    let redact = json!({ "to": ["provider"], "patterns": patterns, "mode": "redact-restore" });
    configured(&world, &json!({ "agents": [{ "role": "scout", "redact": redact }] }).to_string())
        .await;
    world.model(vec![says("first")]).await;
    world.daemon.send(&message(json!({ "message": "up to 17 of them" }))).await;
    let got = model_texts(&world).await;
    let at = got.find("[[count:").unwrap();
    let placeholder = &got[at..at + 18];
    world.llm.reset().await;
    world
        .model(vec![calls(&[("list_tasks", json!({ "limit": placeholder }))]), says("done")])
        .await;
    let (status, answer) =
        world.daemon.send(&message(json!({ "message": "up to 17 of them" }))).await;
    assert_eq!((status, &answer["steps"][0]["arguments"]["limit"]), (200, &json!(17)), "{answer}");
    assert_eq!(answer["steps"][0]["ok"], true, "{answer}");
}
