//! Runs whose reply stands although their instance has not written that they are completed: nobody cancels
//! them, and whoever takes them up completes them.

use serde_json::json;

use crate::harness::{Backend, Caller};

const PAST: &str = "2000-01-01T00:00:00.000000Z";

/// A detached run of `ann`'s scout, and whoever writes under its lease.
async fn begin(agent: &Caller, key: &str) -> (String, Caller) {
    let task = agent.task(key).await;
    let wish = json!({ "session_key": "user:ann:scout", "task_id": task, "holder": "one", "ttl_secs": 600 });
    let lease = agent.post("/sessions/lease", wish).await;
    let fence = format!("{}:{}", lease.ok()["lease_id"].as_str().unwrap(), lease.body["fence"]);
    let own = agent.clone().with("x-session-fence", &fence);
    let run = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "running", "detached": true });
    own.put(&format!("/runs/{key}"), run).await.ok();
    own.put(&format!("/runs/{key}/steps/0"), json!({ "kind": "request", "payload": {} })).await.ok();
    (task, own)
}

async fn reply(own: &Caller, task: &str, key: &str) -> crate::harness::Answer {
    let message = json!({ "task_id": task, "content": "Done.", "actor_type": "agent", "agent_role": "scout",
        "idempotency_key": format!("run:{key}:reply") });
    own.post("/messages", message).await
}

/// All instances are dead, and have been for a while.
async fn all_die(backend: &Backend) {
    let mut database = backend.database().await;
    for statement in ["UPDATE runs SET updated_at = $1", "UPDATE session_leases SET expires_at = $1"] {
        sqlx::query(statement).bind(PAST).execute(&mut database).await.unwrap();
    }
}

async fn orphans(backend: &Backend) -> Vec<String> {
    let body = json!({ "lease_seconds": 600, "limit": 100 });
    let answer = backend.internal().post("/dispatch/orphans", body).await;
    let runs = answer.ok()["runs"].as_array().unwrap();
    runs.iter().map(|run| run["run_key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_run_whose_reply_stands_is_not_cancelled_whatever_it_stands_at() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for status in ["running", "failed", "interrupted"] {
        let (task, own) = begin(&agent, status).await;
        reply(&own, &task, status).await.ok();
        own.put(&format!("/runs/{status}"), json!({ "status": status })).await.ok();
        agent.post(&format!("/runs/{status}/cancel"), json!({})).await.fails(409, "run_finished");
        let late = agent.put(&format!("/runs/{status}"), json!({ "status": "cancelled" })).await;
        late.fails(409, "run_finished");
        assert_eq!(agent.get(&format!("/runs/{status}")).await.ok()["status"], status);
        own.put(&format!("/runs/{status}"), json!({ "status": "completed" })).await.ok();
    }
    // Another user's message under such a key is no reply of this run.
    let (task, _) = begin(&agent, "other").await;
    let bob = backend.agent("bob", "scout");
    let bobs = bob.task("Work").await;
    reply(&bob, &bobs, "other").await.ok();
    reply(&backend.agent("ann", "helper"), &task, "other").await;
    all_die(&backend).await;
    let cancelled = agent.post("/runs/other/cancel", json!({})).await;
    assert_eq!(cancelled.ok()["status"], "cancelled");
}

#[tokio::test]
async fn a_run_that_was_to_be_cancelled_and_has_answered_is_handed_on_when_its_instance_dies() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for key in ["answered", "silent", "stopped"] {
        let (task, own) = begin(&agent, key).await;
        let cancel = agent.post(&format!("/runs/{key}/cancel"), json!({})).await;
        assert_eq!(cancel.ok()["status"], "running");
        if key != "silent" {
            reply(&own, &task, key).await.ok();
        }
        if key == "stopped" {
            let put = own.put("/runs/stopped", json!({ "status": "interrupted" })).await;
            assert_eq!(put.ok()["status"], "interrupted", "its reply stands");
        }
    }
    all_die(&backend).await;
    assert_eq!(orphans(&backend).await, ["answered", "stopped"]);
    assert_eq!(agent.get("/runs/silent").await.ok()["status"], "cancelled");
    let put = agent.put("/runs/answered", json!({ "status": "completed" })).await;
    assert_eq!(put.ok()["status"], "completed");
}

#[tokio::test]
async fn an_instance_that_sleeps_writes_no_reply_for_a_run_that_was_cancelled_meanwhile() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let (task, own) = begin(&agent, "k").await;
    all_die(&backend).await;
    let cancelled = agent.post("/runs/k/cancel", json!({})).await;
    assert_eq!(cancelled.ok()["status"], "cancelled");
    reply(&own, &task, "k").await.fails(409, "stale_fence");
    assert_eq!(agent.get(&format!("/messages?task_id={task}")).await.items().len(), 0);
}

#[tokio::test]
async fn a_run_that_has_failed_tells_nothing_until_it_goes_on() {
    let backend = Backend::start().await;
    let run = crate::deltas::Run::begin(&backend, "k").await;
    run.tell(1, &["a"]).await.ok();
    run.agent.put("/runs/k", json!({ "status": "failed" })).await.ok();
    run.tell(2, &["b"]).await.fails(409, "run_finished");
    run.agent.put("/runs/k", json!({ "status": "running" })).await.ok();
    assert_eq!(run.tell(2, &["b"]).await.ok()["last_seq"], run.id(2));
}
