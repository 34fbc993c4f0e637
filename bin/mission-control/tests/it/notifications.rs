//! Notifications as their user sees them.

use serde_json::json;

use crate::harness::{Backend, column};

#[tokio::test]
async fn a_persons_mention_notifies_each_role_once_on_that_task() {
    let backend = Backend::start().await;
    let person = backend.person("ann");
    let task = person.task("Schools").await;
    let text = "@scout find two, @analyst compare, @scout hurry; not me@example.org or `@jarvis`";
    person.post("/messages", json!({ "task_id": task, "content": text })).await.ok();
    let found = person.get("/notifications").await;
    assert_eq!(column(found.items(), "session_key"), ["user:ann:scout", "user:ann:analyst"]);
    for notification in found.items() {
        assert_eq!(notification["content"], text);
        assert_eq!(notification["task_id"], task);
        assert_eq!(
            (&notification["read"], &notification["delivered"]),
            (&json!(false), &json!(false))
        );
    }
}

#[tokio::test]
async fn an_agents_mention_notifies_nobody_so_that_agents_cannot_set_each_other_off() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Schools").await;
    agent.post("/messages", json!({ "task_id": task, "content": "@analyst look" })).await.ok();
    assert_eq!(agent.get("/notifications").await.ok(), &json!({ "items": [] }));
}

#[tokio::test]
async fn what_was_read_is_no_longer_unread() {
    let backend = Backend::start().await;
    let person = backend.person("ann");
    for n in 0..3 {
        let new = json!({
            "user_id": "ann", "session_key": "user:ann:scout", "content": format!("n{n}")
        });
        backend.internal().post("/notifications", new).await.ok();
    }
    let all = person.get("/notifications").await;
    assert_eq!(column(all.items(), "content"), ["n0", "n1", "n2"]);
    let id = all.items()[1]["id"].as_str().unwrap();
    for _ in 0..2 {
        let read = person.post(&format!("/notifications/{id}/read"), json!({})).await;
        assert_eq!(read.ok()["read"], true);
    }
    let agent = backend.agent("ann", "scout");
    let unread = agent.get("/notifications?unread=true").await;
    assert_eq!(column(unread.items(), "content"), ["n0", "n2"]);
    person.post("/notifications/nowhere/read", json!({})).await.fails(404, "not_found");
}

#[tokio::test]
async fn a_notification_goes_to_a_session_of_its_own_user() {
    let backend = Backend::start().await;
    for session in ["user:bob:scout", "ann:scout", "user:ann:", "user:ann:a:b", "user:ann:a/b"] {
        let new = json!({ "user_id": "ann", "session_key": session, "content": "x" });
        let answer = backend.internal().post("/notifications", new).await;
        assert_eq!(answer.status, 400, "{session}");
        answer.fails(400, "invalid_payload");
    }
    let new = json!({
        "user_id": "ann", "session_key": "user:ann:scout", "content": "x", "idempotency_key": "k"
    });
    let first = backend.internal().post("/notifications", new.clone()).await;
    let second = backend.internal().post("/notifications", new).await;
    assert_eq!(first.ok(), second.ok());
    assert!(second.replayed());
}
