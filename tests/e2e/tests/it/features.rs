//! Backends with only some of the optional features: each feature works where it is announced, and
//! everything else works without it.

use daemon_client::{DaemonError, RunStatus};
use serde_json::json;

use crate::kills::World;

/// The optional features that a run uses.
const FEATURES: [&str; 10] = [
    "tasks_get",
    "messages_list",
    "message_lookup",
    "message_data",
    "tasks_update",
    "notifications",
    "run_journal",
    "tool_requests",
    "session_leases",
    "budgets",
];

/// Scout needs approval for documents, jarvis needs none.
fn agents() -> String {
    json!({ "agents": [{ "role": "scout", "tools": { "approval": ["create_document"] } }] })
        .to_string()
}

async fn count(world: &World, path: &str, title: &str) -> usize {
    let items = world.person.list(path).await.unwrap();
    items.iter().filter(|item| item["title"] == title).count()
}

async fn replies(world: &World, task_id: &str) -> usize {
    let thread = world.person.list(&format!("/messages?task_id={task_id}")).await.unwrap();
    thread.iter().filter(|message| message["actor_type"] == "agent").count()
}

async fn budget(world: &World, limit: f64) {
    let put = reqwest::Client::new()
        .put(format!("{}/api/mission-control/budget", world.stack.backend_url))
        .header("x-internal-token", world.stack.internal_token())
        .json(&json!({ "user_id": crate::kills::USER, "limit_usd": limit, "period": "day" }));
    assert!(put.send().await.unwrap().status().is_success());
}

/// Checks what must hold with exactly these features hidden.
async fn holds(world: &World, round: usize, hidden: &[&str]) {
    let has = |feature: &str| !hidden.contains(&feature);
    let context = format!("without {hidden:?}");
    world.gate.hide(hidden);
    // What a daemon knows of its backend it remembers for a while, so each round has its own.
    let (_daemon, url) = world.daemon().await;
    let run = format!("round-{round}");
    let task_id = world.task(&run).await;
    let first = world.send(&url, &task_id, &run).await.expect(&context);
    let asks_a_person = has("tool_requests") && has("run_journal");
    let offered = world.model.offered.lock().unwrap().clone();
    assert_eq!(offered.contains(&"update_task".to_owned()), has("tasks_update"), "{context}");
    assert_eq!(count(world, "/tasks?limit=200", &format!("made by {run}")).await, 1, "{context}");
    // The one call that needs a person was made in no case.
    assert_eq!(count(world, "/documents?limit=200", &format!("of {run}")).await, 0, "{context}");
    if asks_a_person {
        assert_eq!(first.status, RunStatus::AwaitingApproval, "{context}: {first:?}");
        let id = &first.tool_requests.as_deref().unwrap()[0].id;
        let approved = json!({ "status": "approved" });
        world.person.patch(&format!("/tool-requests/{id}"), &approved).await.unwrap();
    } else {
        assert_eq!(first.status, RunStatus::Ok, "{context}: {first:?}");
        assert!(!first.steps[1].ok, "{context}: {first:?}");
        assert_eq!(replies(world, &task_id).await, 1, "{context}");
    }
    let second = world.send(&url, &task_id, &run).await.expect(&context);
    assert_eq!(second.status, RunStatus::Ok, "{context}: {second:?}");
    assert_eq!(replies(world, &task_id).await, 1, "{context}");
    assert_eq!(count(world, "/tasks?limit=200", &format!("made by {run}")).await, 1, "{context}");
    let made = usize::from(asks_a_person);
    assert_eq!(count(world, "/documents?limit=200", &format!("of {run}")).await, made, "{context}");
    let bought = [world.model.bought(&run, 0), world.model.bought(&run, 1)];
    if has("run_journal") || has("message_lookup") {
        assert_eq!(bought, [1, 1], "{context}");
    } else {
        assert_eq!(bought, [2, 2], "{context}");
    }
    // A task that does not exist is found out before the model is asked, where that is possible.
    let missing = "00000000-0000-4000-8000-000000000000";
    let other = format!("missing-{round}");
    let answer = world.send(&url, missing, &other).await;
    if has("tasks_get") || has("messages_list") {
        let error = answer.unwrap_err();
        let expected = (Some(404), Some("task_not_found"));
        assert_eq!((error.status(), error.code()), expected, "{context}: {error}");
        assert_eq!(world.model.bought(&other, 0), 0, "{context}");
    }
    // Money holds where somebody counts it.
    budget(world, 0.0).await;
    let poor = format!("poor-{round}");
    let answer = world.send(&url, &task_id, &poor).await;
    let status = answer.as_ref().err().and_then(DaemonError::status);
    assert_eq!(status == Some(402), has("budgets"), "{context}: {answer:?}");
    budget(world, 1000.0).await;
}

#[tokio::test]
async fn each_features_promise_holds_where_it_is_there() {
    let mut world = World::new("queue", &agents()).await;
    // It would take approved runs up behind this test's back, with all features.
    world.stack.dispatcher.kill().await.unwrap();
    let mut subsets: Vec<Vec<&str>> = vec![Vec::new(), FEATURES.to_vec()];
    subsets.extend(FEATURES.iter().map(|one| vec![*one]));
    // Any old subsets, but the same every time.
    let mut random = 20_261_124_u64;
    for _ in 0..20 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let chosen = FEATURES.iter().enumerate().filter(|(n, _)| random >> n & 1 == 1);
        subsets.push(chosen.map(|(_, name)| *name).collect());
    }
    for (round, hidden) in subsets.iter().enumerate() {
        holds(&world, round, hidden).await;
    }
}
