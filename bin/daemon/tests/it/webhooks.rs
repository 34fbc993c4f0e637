//! Webhooks: the caller's own server is notified of the end of a run.

use std::time::Duration;

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::harness::{World, message, refuses, says};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn world() -> World {
    World::with(&[("WOMBAT_WEBHOOK_ALLOW_PRIVATE", "true")], json!({})).await
}

/// A receiver that answers with these statuses in order; the last one repeats.
async fn receiver(statuses: &[u16]) -> MockServer {
    let receiver = MockServer::start().await;
    let (last, first) = statuses.split_last().unwrap();
    for (i, status) in first.iter().enumerate() {
        let mock = Mock::given(path("/hook")).respond_with(ResponseTemplate::new(*status));
        mock.up_to_n_times(1).with_priority(u8::try_from(i).unwrap() + 1).mount(&receiver).await;
    }
    let answer = ResponseTemplate::new(*last).insert_header("location", "/elsewhere");
    Mock::given(path("/hook")).respond_with(answer).with_priority(200).mount(&receiver).await;
    receiver
}

/// The delivery attempts, once there are this many.
async fn tries(receiver: &MockServer, n: usize) -> Vec<Request> {
    let deadline = std::time::Instant::now() + Duration::from_secs(15);
    loop {
        let got = receiver.received_requests().await.unwrap();
        if got.len() >= n {
            return got;
        }
        assert!(std::time::Instant::now() < deadline, "{} of {n} tries", got.len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn hook(receiver: &MockServer) -> Value {
    json!({ "url": format!("{}/hook", receiver.uri()), "secret": SECRET, "headers": { "X-Tenant": "t7" } })
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn a_completed_run_is_told_and_signed_both_ways() {
    let (world, receiver) = (world().await, receiver(&[200]).await);
    world.model(vec![says("Done.")]).await;
    let body = message(json!({ "webhook": hook(&receiver), "metadata": { "order": 7 } }));
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!(status, 200, "{answer}");
    let told = &tries(&receiver, 1).await[0];
    let event: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!((&event["event"], &event["response"]), (&json!("agent.completed"), &json!("Done.")));
    for field in ["run_id", "task_id", "usage", "cost"] {
        assert_eq!(event[field], answer[field], "{field}");
    }
    assert_eq!((&event["user_id"], &event["role"]), (&json!("u1"), &json!("scout")));
    assert_eq!(event["metadata"], json!({ "order": 7 }));
    assert!(event["timestamp"].as_str().unwrap().ends_with('Z') && event.get("error").is_none());
    let header = |name: &str| told.headers[name].to_str().unwrap().to_owned();
    assert_eq!(
        (header("x-tenant"), header("content-type")),
        ("t7".into(), "application/json".into())
    );
    is_signed(told);
}

/// Checks both signatures of an attempt.
fn is_signed(told: &Request) {
    let header = |name: &str| told.headers[name].to_str().unwrap().to_owned();
    let text = String::from_utf8(told.body.clone()).unwrap();
    let plain: String =
        mac(SECRET.as_bytes(), &text).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(header("x-wombat-signature"), plain);
    let engine = base64::engine::general_purpose::STANDARD;
    let key = engine.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let signed = format!("{}.{}.{text}", header("webhook-id"), header("webhook-timestamp"));
    assert_eq!(header("webhook-signature"), format!("v1,{}", engine.encode(mac(&key, &signed))));
}

#[tokio::test]
async fn the_daemons_own_secret_signs_where_the_request_brings_none() {
    let settings = [("WOMBAT_WEBHOOK_ALLOW_PRIVATE", "true"), ("WOMBAT_WEBHOOK_SECRET", SECRET)];
    let (world, receiver) = (World::with(&settings, json!({})).await, receiver(&[200]).await);
    world.model(vec![says("Done.")]).await;
    let hook = json!({ "url": format!("{}/hook", receiver.uri()) });
    let (status, answer) = world.daemon.send(&message(json!({ "webhook": hook }))).await;
    assert_eq!(status, 200, "{answer}");
    is_signed(&tries(&receiver, 1).await[0]);
}

#[tokio::test]
async fn a_failed_run_is_told_too() {
    let (world, receiver) = (world().await, receiver(&[200]).await);
    world.model(vec![refuses(401, "x", "sk-canary is no good")]).await;
    let (status, answer) = world.daemon.send(&message(json!({ "webhook": hook(&receiver) }))).await;
    assert_eq!(status, 502);
    let event: Value = serde_json::from_slice(&tries(&receiver, 1).await[0].body).unwrap();
    assert_eq!((&event["event"], &event["code"]), (&json!("agent.error"), &json!("llm_auth")));
    assert_eq!(event["error"], answer["error"]);
    assert!(!event.to_string().contains("canary"));
}

#[tokio::test]
async fn what_may_pass_is_tried_up_to_five_times_under_one_id() {
    let (world, receiver) = (world().await, receiver(&[500, 429, 200]).await);
    world.model(vec![says("ok")]).await;
    let body = message(json!({ "webhook": hook(&receiver), "idempotency_key": "k" }));
    world.daemon.send(&body).await;
    let told = tries(&receiver, 3).await;
    let ids: Vec<_> = told.iter().map(|request| request.headers["webhook-id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    // A repetition has the same id.
    world.daemon.send(&body).await;
    assert_eq!(tries(&receiver, 4).await[3].headers["webhook-id"], ids[0]);
    let never = self::receiver(&[503]).await;
    world.daemon.send(&message(json!({ "webhook": hook(&never) }))).await;
    tries(&never, 5).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(never.received_requests().await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_no_is_a_no_and_redirects_are_not_followed() {
    let world = world().await;
    world.model(vec![says("ok")]).await;
    for status in [410, 400, 302] {
        let receiver = receiver(&[status]).await;
        world.daemon.send(&message(json!({ "webhook": hook(&receiver) }))).await;
        tries(&receiver, 1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(receiver.received_requests().await.unwrap().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn private_targets_and_bad_webhooks_are_refused_before_the_run() {
    let world = World::new().await;
    for url in [
        "http://127.0.0.1:1/",
        "http://localhost/",
        "http://[::ffff:10.0.0.1]/",
        "ftp://example.com/",
        "x",
    ] {
        let (status, answer) =
            world.daemon.send(&message(json!({ "webhook": { "url": url } }))).await;
        assert_eq!((status, &answer["code"]), (400, &json!("webhook_refused")), "{url}: {answer}");
        assert!(answer["details"]["fields"]["webhook.url"].is_string());
    }
    for (hook, field) in [
        (json!({}), "webhook.url"),
        (json!({ "url": "https://1.1.1.1/", "headers": { "Host": "x" } }), "webhook.headers.Host"),
        (
            json!({ "url": "https://1.1.1.1/", "headers": { "webhook-id": "x" } }),
            "webhook.headers.webhook-id",
        ),
        (json!({ "url": "https://1.1.1.1/", "headers": { "a b": "x" } }), "webhook.headers.a b"),
        (
            json!({ "url": "https://1.1.1.1/", "headers": { "a": "x\r\ny: z" } }),
            "webhook.headers.a",
        ),
        (json!("https://1.1.1.1/"), "webhook"),
    ] {
        let (status, answer) = world.daemon.send(&message(json!({ "webhook": hook }))).await;
        assert_eq!((status, &answer["code"]), (400, &json!("invalid_payload")), "{answer}");
        assert!(answer["details"]["fields"][field].is_string(), "{field}: {answer}");
    }
    assert!(world.model_got().await.is_empty());
}
