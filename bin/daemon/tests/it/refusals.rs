//! A request that is refused leaves nothing behind in the backend, as far as the refusal can be known
//! before something is made for it.

use mc_client::idempotency::canonical_json;
use serde_json::{Value, json};

use crate::harness::{World, message, says};
use crate::journaled::{Journal, own, request};

/// Everything that the backend was asked to make or change, but for what the daemon tells of its start.
async fn writes(world: &World) -> Vec<String> {
    let requests = world.backend.received_requests().await.unwrap();
    let is_start = |body: &[u8]| String::from_utf8_lossy(body).contains("\"daemon.started\"");
    let written = requests.into_iter().filter(|request| request.method.as_str() != "GET");
    let written = written.filter(|request| !is_start(&request.body));
    written.map(|request| format!("{} {}", request.method, request.url.path())).collect()
}

fn titled(more: Value) -> Value {
    let mut body = message(json!({ "task_title": "Plan", "idempotency_key": "k" }));
    body.as_object_mut().unwrap().remove("task_id");
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn refused(world: &World, body: &Value, status: u16, code: &str) -> Value {
    let (found, answer) = world.daemon.send(body).await;
    assert_eq!((found, &answer["code"]), (status, &json!(code)), "{answer}");
    assert!(world.model_got().await.is_empty(), "{code}");
    answer
}

#[tokio::test]
async fn a_key_of_another_request_makes_no_task() {
    // Its journal tells.
    let (world, _) = Journal::world(&[], own(&[request(json!([]))])).await;
    refused(&world, &titled(json!({})), 409, "idempotency_conflict").await;
    assert_eq!(writes(&world).await, [""; 0]);
    // A run that died before its first step was written tells its task.
    let (world, journal) = Journal::world(&[], Vec::new()).await;
    journal.held().statuses.push("running".to_owned());
    journal.held().task_id = Some("t1".to_owned());
    refused(&world, &titled(json!({})), 409, "idempotency_conflict").await;
    assert_eq!(writes(&world).await, [""; 0]);
    let other = message(json!({ "idempotency_key": "k", "task_id": "t2" }));
    refused(&world, &other, 409, "idempotency_conflict").await;
    assert_eq!(writes(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_key_whose_reply_is_on_another_task_makes_no_task() {
    let world = World::with(&[], json!({ "message_lookup": true })).await;
    let reply = json!({ "id": "m7", "task_id": "T1", "content": "earlier" });
    world.backend_says("GET", "/messages", 200, json!({ "items": [reply] })).await;
    refused(&world, &titled(json!({})), 409, "idempotency_conflict").await;
    let other = message(json!({ "idempotency_key": "k", "task_id": "t2" }));
    refused(&world, &other, 409, "idempotency_conflict").await;
    assert_eq!(writes(&world).await, [""; 0]);
    // Ids differ in their letter case only.
    let (status, answer) = world.daemon.send(&message(json!({ "idempotency_key": "k" }))).await;
    assert_eq!((status, &answer["replayed"]), (200, &json!(true)), "{answer}");
}

#[tokio::test]
async fn without_journal_and_look_up_a_key_of_another_task_is_known_when_the_reply_is_stored() {
    let world = World::new().await;
    world.model(vec![says("paid for")]).await;
    let original = json!({ "id": "m7", "task_id": "t1", "content": "earlier" });
    let conflict = json!({ "error": "other body", "code": "idempotency_conflict",
        "details": { "original": original } });
    world.backend_says("POST", "/messages", 409, conflict).await;
    let (status, answer) = world.daemon.send(&titled(json!({}))).await;
    assert_eq!((status, &answer["code"]), (409, &json!("idempotency_conflict")), "{answer}");
    assert_eq!(answer["details"]["response"], "paid for", "{answer}");
}

#[tokio::test]
async fn a_key_that_was_cancelled_makes_no_task() {
    let (world, journal) = Journal::world(&[], own(&[request(json!([]))])).await;
    journal.held().statuses.push("cancelled".to_owned());
    refused(&world, &titled(json!({})), 409, "run_cancelled").await;
    assert_eq!(writes(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_journal_that_cannot_be_trusted_makes_no_task() {
    let mut steps = own(&[request(json!([]))]);
    steps[0]["payload"]["message"] = json!("forged");
    let (world, _) = Journal::world(&[], steps).await;
    refused(&world, &titled(json!({})), 409, "journal_rejected").await;
    let made = writes(&world).await;
    assert!(!made.iter().any(|write| write.ends_with("/tasks")), "{made:?}");
}

#[tokio::test]
async fn a_repetition_belongs_to_the_task_of_the_first_time_though_that_was_renamed() {
    let (kind, mut step) = request(json!([]));
    let task = json!({ "title": "Plan" });
    let print = json!({ "message": "hello", "task": task, "history": null });
    step["fingerprint"] = json!(canonical_json(&print));
    step["task"] = task;
    let (world, _) = Journal::world(&[], own(&[(kind, step)])).await;
    world.model(vec![says("Hi")]).await;
    let (status, answer) = world.daemon.send(&titled(json!({}))).await;
    assert_eq!((status, &answer["task_id"]), (200, &json!("t1")), "{answer}");
    assert!(world.backend_got("POST", "/tasks").await.is_empty());
}

/// A stored reply, and what its task was made and changed at.
async fn replied(features: Value, task_id: &str, changed: &str) -> World {
    let world = World::with(&[], features).await;
    let reply = json!({ "id": "m7", "task_id": task_id, "content": "earlier" });
    world.backend_says("GET", "/messages", 200, json!({ "items": [reply] })).await;
    let at = "2026-01-01T00:00:00Z";
    let task = json!({ "id": "t7", "title": "Renamed", "status": "pending", "created_at": at,
        "updated_at": changed });
    world.backend_says("GET", "/tasks/t7", 200, task).await;
    world
}

#[tokio::test]
async fn without_a_journal_a_repetition_finds_its_renamed_task_too() {
    let features = json!({ "message_lookup": true, "tasks_get": true });
    let world = replied(features.clone(), "t7", "2026-01-02T00:00:00Z").await;
    let (status, answer) = world.daemon.send(&titled(json!({}))).await;
    assert_eq!((status, &answer["task_id"]), (200, &json!("t7")), "{answer}");
    assert_eq!(answer["replayed"], true, "{answer}");
    assert_eq!(writes(&world).await, [""; 0]);
    // A task that nobody changed has had its title from the start.
    let world = replied(features, "t7", "2026-01-01T00:00:00Z").await;
    refused(&world, &titled(json!({})), 409, "idempotency_conflict").await;
    // A reply may not say on which task it is.
    let world = replied(json!({ "message_lookup": true }), "", "2026-01-01T00:00:00Z").await;
    let (status, answer) = world.daemon.send(&titled(json!({}))).await;
    assert_eq!((status, &answer["replayed"]), (200, &json!(true)), "{answer}");
}

#[tokio::test]
async fn the_journal_of_a_run_whose_task_is_not_found_is_left_to_who_runs_it() {
    let mut steps = own(&[request(json!([]))]);
    steps[0]["payload"]["message"] = json!("forged");
    let (world, _) = Journal::world(&[], steps).await;
    refused(&world, &titled(json!({})), 409, "journal_rejected").await;
    let made = writes(&world).await;
    assert!(!made.iter().any(|write| write.contains("/runs/")), "{made:?}");
}

#[tokio::test]
async fn a_budget_that_is_used_up_makes_no_task() {
    let world = World::with(&[], json!({ "budgets": true })).await;
    let spent = json!({ "limit_usd": 1.0, "spent_usd": 1.0, "reserved_usd": 0.0,
        "remaining_usd": 0.0 });
    world.backend_says("GET", "/budget", 200, spent).await;
    refused(&world, &titled(json!({})), 402, "budget_exceeded").await;
    refused(&world, &titled(json!({ "idempotency_key": null })), 402, "budget_exceeded").await;
    assert_eq!(writes(&world).await, [""; 0]);
    // One that cannot be read refuses nothing by itself.
    let world = World::with(&[], json!({ "budgets": true })).await;
    world.backend_says("GET", "/budget", 404, json!({ "error": "none" })).await;
    world.backend_says("POST", "/budget/reserve", 200, json!({ "reservation_id": "r" })).await;
    world.backend_says("POST", "/usage", 200, json!({})).await;
    world.model(vec![says("Hi")]).await;
    assert_eq!(world.daemon.send(&titled(json!({}))).await.0, 200);
}

#[tokio::test]
async fn a_model_that_cannot_be_called_makes_no_task_and_no_journal() {
    let no_key = [("LLM_MODEL_DEFAULT", "anthropic/claude-sonnet-4-5")];
    let no_price = [("LLM_MODEL_FALLBACK", "openai/gpt-unknown")];
    let limit = json!({ "limits": { "max_cost_usd": 1 } });
    for (settings, more, status, code) in [
        (&no_key, json!({}), 503, "llm_not_configured"),
        (&no_price, limit, 400, "invalid_payload"),
    ] {
        let (world, _) = Journal::world(settings, Vec::new()).await;
        refused(&world, &titled(more.clone()), status, code).await;
        let mut to_task = message(json!({ "idempotency_key": "k" }));
        to_task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        refused(&world, &to_task, status, code).await;
        assert_eq!(writes(&world).await, [""; 0]);
    }
    // The fallback has its key.
    let both = [no_key[0], ("LLM_MODEL_FALLBACK", "openai/gpt-4o")];
    let world = World::with(&both, json!({})).await;
    world.model(vec![says("Hi")]).await;
    assert_eq!(world.daemon.send(&titled(json!({}))).await.0, 200);
}

#[tokio::test]
async fn a_heartbeat_with_nothing_to_do_needs_no_model() {
    let no_key = [("LLM_MODEL_DEFAULT", "anthropic/claude-sonnet-4-5")];
    let world = World::with(&no_key, json!({})).await;
    world.write("HEARTBEAT.md", "# Heartbeat\n");
    world
        .daemon
        .until("/context?role=scout", |context| {
            context["files"]
                .as_array()
                .unwrap()
                .iter()
                .any(|file| file["name"] == "HEARTBEAT.md" && file["exists"] == true)
        })
        .await;
    let body = titled(json!({ "metadata": { "type": "heartbeat" } }));
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!((status, &answer["silent"]), (200, &json!(true)), "{answer}");
}
