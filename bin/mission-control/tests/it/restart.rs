//! What was acknowledged is kept.

use serde_json::json;

use crate::harness::{Backend, column};

#[tokio::test]
async fn a_restart_keeps_objects_keys_and_the_queue() {
    let backend = Backend::start().await;
    let person = backend.person("ann");
    let new = json!({ "title": "Kept", "idempotency_key": "k" });
    let task = person.post("/tasks", new.clone()).await;
    let id = task.ok()["id"].as_str().unwrap();
    person.post("/messages", json!({ "task_id": id, "content": "@scout go" })).await.ok();
    person.post("/documents", json!({ "title": "D", "content": "text" })).await.ok();

    let backend = backend.restart().await;
    let person = backend.person("ann");
    let again = person.post("/tasks", new).await;
    assert!(again.replayed());
    assert_eq!(again.ok(), task.ok());
    let thread = person.get(&format!("/messages?task_id={id}")).await;
    assert_eq!(column(thread.items(), "content"), ["@scout go"]);
    assert_eq!(column(person.get("/documents").await.items(), "title"), ["D"]);
    let waiting = backend.internal().post("/dispatch/undelivered", json!({})).await;
    let waiting = waiting.ok()["deliveries"].as_array().unwrap();
    assert_eq!(column(waiting, "session_key"), ["user:ann:scout"]);
    // New rows come after the old ones.
    person.task("Later").await;
    assert_eq!(column(person.get("/tasks").await.items(), "title"), ["Kept", "Later"]);
}
