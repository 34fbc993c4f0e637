//! What reaches models and journals where values are numbers, cut, split, typed by somebody, or where rules change.

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::{
    CARD, EMAIL, another, config, configured, journal_texts, leaks, model_texts, own, resumed,
    streamed, waiting,
};
use crate::harness::{World, calls, message, says};
use crate::journaled::Journal;

/// An answer of the model in these pieces, which ends for this reason.
fn ending(pieces: &[&str], reason: &str) -> ResponseTemplate {
    let mut body = String::new();
    let mut event = |delta: Value, finish: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1,
            "model": "gpt-4o-mini", "choices": [choice] });
        body += &format!("data: {chunk}\n\n");
    };
    event(json!({ "role": "assistant", "content": "" }), Value::Null);
    for piece in pieces {
        event(json!({ "content": piece }), Value::Null);
    }
    event(json!({}), json!(reason));
    body += "data: [DONE]\n\n";
    ResponseTemplate::new(200).set_body_raw(body, "text/event-stream")
}

#[tokio::test]
async fn a_journal_holds_no_number_password_or_hash_of_a_call() {
    let (world, journal) = Journal::world(&[], Vec::new()).await;
    configured(&world, &config(&["journal"], "redact", json!({}))).await;
    let arguments = json!({ "title": "pay", "card": 4_111_111_111_111_111_u64,
        "password": "hunter2hunter" });
    world.model(vec![calls(&[("create_task", arguments)]), says("done")]).await;
    let (status, answer) = world.daemon.send(&message(json!({ "idempotency_key": "k" }))).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["steps"][0]["arguments"]["card"], 4_111_111_111_111_111_u64, "{answer}");
    let held = journal_texts(&world).await;
    assert!(held.contains("[[card:") && held.contains("[[key:"), "{held}");
    assert!(!held.contains("4111111111111111") && !held.contains("hunter2"), "{held}");
    let steps = journal.held().steps.clone();
    let called = steps.values().find(|step| step["kind"] == "tool").unwrap();
    assert_eq!(called["payload"]["operation"], "", "{called}");
    assert!(matches!(called["payload"]["key"].as_str(), None | Some("")), "{called}");
}

#[tokio::test]
async fn ids_of_a_redacted_run_are_as_they_are() {
    let (world, _journal) = Journal::world(&[], Vec::new()).await;
    let patterns = json!([{ "name": "hex", "regex": "[0-9a-f]{8}" }]);
    let redact = json!({ "to": ["journal"], "patterns": patterns });
    configured(&world, &json!({ "agents": [{ "role": "scout", "redact": redact }] }).to_string())
        .await;
    world.model(vec![says("done")]).await;
    let (status, answer) = world.daemon.send(&message(json!({ "idempotency_key": "k" }))).await;
    assert_eq!(status, 200, "{answer}");
    let held = journal_texts(&world).await;
    assert!(
        held.contains(&format!("\"run_id\":\"{}\"", answer["run_id"].as_str().unwrap())),
        "{held}"
    );
}

#[tokio::test]
async fn no_part_of_a_value_is_left_where_a_result_is_cut_for_the_journal() {
    for shift in 0..4 {
        let (world, _journal) =
            Journal::world(&[("WOMBAT_TOOL_RESULT_MAX_CHARS", "1000")], Vec::new()).await;
        configured(&world, &config(&["journal"], "redact", json!({}))).await;
        let title = "x ".repeat(shift * 2) + &format!("{EMAIL} ").repeat(200);
        let tasks = json!({ "items": [{ "id": "t", "title": title }] });
        world.backend_says("GET", "/tasks", 200, tasks).await;
        world.model(vec![calls(&[("list_tasks", json!({}))]), says("done")]).await;
        let (status, answer) = world.daemon.send(&message(json!({ "idempotency_key": "k" }))).await;
        assert_eq!(status, 200, "{answer}");
        // The model is told values.
        assert!(model_texts(&world).await.contains(EMAIL));
        let held = journal_texts(&world).await;
        assert!(held.contains("[cut: the first 9") && !held.contains("jane"), "{held}");
    }
}

#[tokio::test]
async fn no_part_of_a_value_is_left_where_an_error_is_cut() {
    for shift in 0..9 {
        let (world, _journal) = Journal::world(&[], Vec::new()).await;
        configured(&world, &config(&["journal"], "redact", json!({}))).await;
        let error = "x".repeat(shift * 2) + " " + &format!("{EMAIL} ").repeat(40);
        let refused = json!({ "error": error, "code": "forbidden" });
        world.backend_says("GET", "/tasks", 403, refused).await;
        world.model(vec![calls(&[("list_tasks", json!({}))]), says("done")]).await;
        let (status, answer) = world.daemon.send(&message(json!({ "idempotency_key": "k" }))).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer["steps"][0]["error"].as_str().unwrap().contains(EMAIL), "{answer}");
        let held = journal_texts(&world).await;
        assert!(!held.contains("jane"), "{held}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_within_a_placeholder_is_told_as_it_is_stored() {
    let world = World::new().await;
    configured(&world, &config(&["provider"], "redact-restore", json!({}))).await;
    let email = own(EMAIL);
    for at in [1, 3, 9, 17] {
        world.llm.reset().await;
        let (first, second) = email.split_at(at);
        world.model(vec![ending(&["To ", first], "length"), ending(&[second, "!"], "stop")]).await;
        let (text, told) = streamed(&world.daemon, &message(json!({ "message": EMAIL }))).await;
        assert_eq!(text, format!("To {EMAIL}!"), "{told}");
        let stored = world.backend_got("POST", "/messages").await;
        let stored: Value = stored.last().unwrap().body_json().unwrap();
        assert_eq!(stored["content"], text);
    }
    // One that is not gone on with is told to its end.
    world.llm.reset().await;
    let (first, second) = email.split_at(9);
    let cut = format!("{second}, {first}");
    world.model(vec![ending(&[first], "length"), ending(&[&cut], "length")]).await;
    let (text, told) = streamed(&world.daemon, &message(json!({ "message": EMAIL }))).await;
    assert_eq!(text, format!("{EMAIL}, {first}"), "{told}");
}

#[tokio::test]
async fn what_somebody_typed_like_a_placeholder_is_no_value_after_a_resume() {
    let (world, journal) = Journal::world(&[], Vec::new()).await;
    configured(
        &world,
        &config(&["provider"], "redact-restore", json!({ "approval": ["create_task"] })),
    )
    .await;
    let typed = own(EMAIL);
    let tasks = json!({ "items": [{ "id": "t", "title": EMAIL }] });
    world.backend_says("GET", "/tasks", 200, tasks).await;
    world.model(vec![calls(&[("create_task", json!({ "title": "x" }))])]).await;
    let body = message(json!({ "idempotency_key": "k", "message": format!("mail {typed}") }));
    world.daemon.send(&body).await;
    let asked = model_texts(&world).await;
    assert!(!asked.contains(&typed), "{asked}");
    let at = asked.find("mail [[email:").unwrap() + 5;
    let nested = &asked[at..at + 18];
    journal.decide("approved");
    world.llm.reset().await;
    world
        .model(vec![calls(&[("list_tasks", json!({}))]), says(&format!("{nested} is {typed}"))])
        .await;
    let answer = resumed(&another(&world).await).await;
    // The value has its own placeholder, and what was typed comes back as it was.
    assert_eq!(answer["response"], format!("{typed} is {EMAIL}"), "{answer}");
}

#[tokio::test]
async fn values_come_back_although_the_mode_has_changed() {
    for (to, mode) in [(&["provider"][..], "redact"), (&["journal"], "redact-restore")] {
        let (world, journal) = waiting(&["provider"], "redact-restore").await;
        journal.decide("approved");
        world.write("agent-config.json", &config(to, mode, json!({ "approval": ["create_task"] })));
        let answer = resumed(&another(&world).await).await;
        assert_eq!(answer["response"], format!("Done: {EMAIL}."), "{answer}");
        let made: Value = world.backend_got("POST", "/tasks").await[0].body_json().unwrap();
        assert_eq!(made["title"], format!("Mail {EMAIL}"), "{mode}");
    }
}

#[tokio::test]
async fn rules_that_are_added_hold_for_what_was_recorded() {
    let (world, journal) = waiting(&["journal"], "redact").await;
    assert!(model_texts(&world).await.contains(EMAIL));
    journal.decide("approved");
    let tools = json!({ "approval": ["create_task"] });
    world.write("agent-config.json", &config(&["provider"], "redact", tools));
    let before = world.model_got().await.len();
    resumed(&another(&world).await).await;
    let got: String = world.model_got().await[before..].iter().map(Value::to_string).collect();
    assert!(!got.is_empty());
    assert_eq!(leaks(&got), [""; 0], "{got}");
}

#[tokio::test]
async fn calls_that_are_equal_with_their_values_are_two_calls() {
    let world = World::new().await;
    configured(&world, &config(&["provider"], "redact-restore", json!({}))).await;
    // The model knows the address from the workspace, too.
    let both = [
        ("create_task", json!({ "title": EMAIL })),
        ("create_task", json!({ "title": own(EMAIL) })),
    ];
    world.model(vec![calls(&both), says("done")]).await;
    let body = message(json!({ "message": EMAIL, "idempotency_key": "k" }));
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!(status, 200, "{answer}");
    let made = world.backend_got("POST", "/tasks").await;
    let keys: Vec<Value> = made
        .iter()
        .map(|made| made.body_json::<Value>().unwrap()["idempotency_key"].clone())
        .collect();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
}

#[tokio::test]
async fn a_caller_s_schema_has_no_values_for_the_model() {
    let world = World::new().await;
    configured(&world, &config(&["provider"], "redact-restore", json!({}))).await;
    world.model(vec![says(&json!({ "to": own(EMAIL) }).to_string())]).await;
    let schema = json!({ "type": "object", "properties": { "to": { "enum": [EMAIL], "description": CARD } } });
    let body = message(json!({ "message": "whom?", "output": { "schema": schema } }));
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!((status, &answer["output"]), (200, &json!({ "to": EMAIL })), "{answer}");
    assert_eq!(leaks(&model_texts(&world).await), [""; 0]);
}
