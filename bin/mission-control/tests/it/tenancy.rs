//! Another user's objects do not exist.

use serde_json::json;

use crate::harness::{Backend, column};

#[tokio::test]
async fn another_users_objects_are_neither_seen_nor_changed() {
    let backend = Backend::start().await;
    let ann = backend.person("ann");
    let task = ann.task("Ann's").await;
    let said = json!({ "task_id": task, "content": "@scout look", "idempotency_key": "said" });
    ann.post("/messages", said).await.ok();
    let document = json!({ "title": "Plan", "content": "secret", "task_id": task });
    let document = ann.post("/documents", document).await.ok()["id"].as_str().unwrap().to_owned();
    let notifications = ann.get("/notifications").await;
    let notification = notifications.items()[0]["id"].as_str().unwrap();

    for bob in [backend.person("bob"), backend.agent("bob", "scout")] {
        for path in [
            format!("/tasks/{task}"),
            format!("/messages?task_id={task}"),
            format!("/documents/{document}"),
        ] {
            bob.get(&path).await.fails(404, "not_found");
        }
        for path in [
            "/tasks".to_owned(),
            "/tasks?title=Ann%27s".to_owned(),
            "/documents".to_owned(),
            format!("/documents?task_id={task}"),
            "/notifications".to_owned(),
            "/messages?idempotency_key=said".to_owned(),
        ] {
            assert_eq!(bob.get(&path).await.ok(), &json!({ "items": [] }), "{path}");
        }
        let title = json!({ "title": "Bob's now" });
        bob.patch(&format!("/tasks/{task}"), title).await.fails(404, "not_found");
        let message = json!({ "task_id": task, "content": "hello" });
        bob.post("/messages", message).await.fails(404, "not_found");
        let document = json!({ "title": "x", "content": "x", "task_id": task });
        bob.post("/documents", document).await.fails(404, "not_found");
    }
    let read = format!("/notifications/{notification}/read");
    backend.person("bob").post(&read, json!({})).await.fails(404, "not_found");
    let beat = json!({ "user_id": "ann" });
    backend.agent("bob", "scout").post("/heartbeat", beat).await.fails(404, "not_found");
    let standup = json!({ "user_id": "ann", "timezone": "UTC" });
    backend.agent("bob", "scout").post("/standup", standup).await.fails(404, "not_found");
    for verb in ["deliver", "requeue"] {
        let path = format!("/dispatch/notifications/{notification}/{verb}?user_id=bob");
        backend.internal().post(&path, json!({})).await.fails(404, "not_found");
    }
    let failure = json!({ "error": "x", "attempts": 1, "dead": true });
    let path = format!("/dispatch/notifications/{notification}/fail?user_id=bob");
    backend.internal().post(&path, failure).await.fails(404, "not_found");

    let unchanged = ann.get(&format!("/tasks/{task}")).await;
    assert_eq!(unchanged.ok()["title"], "Ann's");
    let thread = ann.get(&format!("/messages?task_id={task}")).await;
    assert_eq!(column(thread.items(), "content"), ["@scout look"]);
    let notifications = ann.get("/notifications?unread=true").await;
    assert_eq!(notifications.items().len(), 1);
    assert_eq!(notifications.items()[0]["delivered"], false);
}

#[tokio::test]
async fn a_notification_hangs_on_no_other_users_task() {
    let backend = Backend::start().await;
    let task = backend.person("ann").task("Ann's").await;
    let notification = json!({
        "user_id": "bob", "session_key": "user:bob:scout", "content": "x", "task_id": task
    });
    backend.internal().post("/notifications", notification).await.fails(404, "not_found");
}

#[tokio::test]
async fn a_key_belongs_to_its_user() {
    let backend = Backend::start().await;
    let body = json!({ "title": "Same", "idempotency_key": "k" });
    let ann = backend.agent("ann", "scout").post("/tasks", body.clone()).await;
    let bob = backend.agent("bob", "scout").post("/tasks", body).await;
    assert_ne!(ann.ok()["id"], bob.ok()["id"]);
    assert!(!bob.replayed());
}
