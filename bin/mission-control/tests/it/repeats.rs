//! Nothing twice.

use std::collections::HashSet;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::Backend;

#[tokio::test]
async fn a_repeated_create_gives_the_same_object_and_says_so() {
    let backend = Backend::start().await;
    let person = backend.person("ann");
    let task = person.task("Thread").await;
    let creates = [
        ("/tasks", json!({ "title": "T", "metadata": { "a": 1, "b": [2] } })),
        ("/messages", json!({ "task_id": task, "content": "@scout go" })),
        ("/documents", json!({ "title": "D", "content": "text" })),
    ];
    for (path, mut body) in creates {
        body["idempotency_key"] = json!("the same key at each endpoint");
        let first = person.post(path, body.clone()).await;
        assert!(!first.replayed(), "{path}");
        let second = person.post(path, body).await;
        assert!(second.replayed(), "{path}");
        assert_eq!(first.ok(), second.ok(), "{path}");
    }
    assert_eq!(person.get("/tasks").await.items().len(), 2);
    assert_eq!(person.get("/notifications").await.items().len(), 1);
}

#[tokio::test]
async fn bodies_are_compared_as_values_and_not_as_text() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let first = json!({ "title": "T", "description": "d", "idempotency_key": "k" });
    let first = agent.post("/tasks", first).await;
    let same = r#" { "idempotency_key":"k", "description" : "\u0064",
                     "title":"T" } "#;
    let request = agent.raw(reqwest::Method::POST, "/api/mission-control/tasks");
    let request = request.header("content-type", "application/json").body(same);
    let again = crate::harness::send(request).await;
    assert_eq!(first.ok(), again.ok());
    assert!(again.replayed());
}

#[tokio::test]
async fn a_key_with_another_body_is_a_conflict_that_shows_the_original() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let first = json!({ "title": "First", "idempotency_key": "k" });
    let first = agent.post("/tasks", first).await;
    let other = agent.post("/tasks", json!({ "title": "Other", "idempotency_key": "k" })).await;
    other.fails(409, "idempotency_conflict");
    assert_eq!(&other.body["details"], &json!({ "original": first.ok() }));
    assert_eq!(agent.get("/tasks").await.items().len(), 1);
}

#[tokio::test]
async fn a_create_that_failed_leaves_its_key_free() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let lost = json!({ "task_id": "nowhere", "content": "x", "idempotency_key": "k" });
    agent.post("/messages", lost).await.fails(404, "not_found");
    let task = agent.task("Here").await;
    let found = json!({ "task_id": task, "content": "x", "idempotency_key": "k" });
    assert!(!agent.post("/messages", found).await.replayed());
    assert_eq!(agent.get("/messages?idempotency_key=k").await.items().len(), 1);
}

#[tokio::test]
async fn a_blank_key_is_refused_because_everybody_would_share_it() {
    let backend = Backend::start().await;
    let body = json!({ "title": "T", "idempotency_key": "" });
    let answer = backend.agent("ann", "scout").post("/tasks", body).await;
    answer.fails(400, "invalid_payload");
}

#[tokio::test]
async fn of_many_at_once_with_one_key_one_makes_the_object_and_all_see_it() {
    let backend = Backend::start().await;
    let person = backend.person("ann");
    let task = person.task("Thread").await;
    let body = json!({ "task_id": task, "content": "@scout once", "idempotency_key": "k" });
    let mut calls = JoinSet::new();
    for _ in 0..32 {
        let (person, body) = (person.clone(), body.clone());
        calls.spawn(async move { person.post("/messages", body).await });
    }
    let answers = calls.join_all().await;
    let bodies: HashSet<String> = answers.iter().map(|answer| answer.ok().to_string()).collect();
    assert_eq!(bodies.len(), 1);
    assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1);
    let thread = person.get(&format!("/messages?task_id={task}")).await;
    assert_eq!(thread.items().len(), 1);
    assert_eq!(person.get("/notifications").await.items().len(), 1);
}

#[tokio::test]
async fn an_update_may_be_repeated_and_may_carry_a_key() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout").with("idempotency-key", "k");
    let task = agent.task("T").await;
    let path = format!("/tasks/{task}");
    for _ in 0..2 {
        let updated = agent.patch(&path, json!({ "status": "completed" })).await;
        assert_eq!(updated.ok()["status"], "completed");
    }
    let updated = agent.patch(&path, json!({ "title": "New", "metadata": { "n": 1 } })).await;
    let mut updated = updated.ok().clone();
    for time in ["created_at", "updated_at"] {
        assert!(updated.as_object_mut().unwrap().remove(time).is_some_and(|t| t.is_string()));
    }
    let expected: Value =
        json!({ "id": task, "title": "New", "status": "completed", "metadata": { "n": 1 } });
    assert_eq!(updated, expected);
}
