//! Creates happen once per key.

use futures::future::join_all;
use serde_json::json;

use crate::backend::{Backend, each};

#[tokio::test]
async fn the_same_key_and_body_give_the_same_object() {
    let backend = Backend::start().await;
    let ann = backend.agent("ann", "scout");
    let first = ann
        .post(
            "/tasks",
            json!({ "title": "t", "metadata": { "a": 1, "b": 2 }, "idempotency_key": "k" }),
        )
        .await;
    assert!(!first.headers.contains_key("idempotent-replayed"));
    // As JSON values the bodies are equal, as bytes they are not.
    let again = ann
        .post(
            "/tasks",
            json!({ "idempotency_key": "k", "metadata": { "b": 2, "a": 1 }, "title": "t" }),
        )
        .await;
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.ok(), first.ok());
    let other = ann.post("/tasks", json!({ "title": "other", "idempotency_key": "k" })).await;
    assert_eq!(other.error(), (409, "idempotency_conflict".to_owned()));
    assert_eq!(other.json()["details"]["original"], first.ok());
    assert_eq!(each(&ann.get("/tasks").await.ok(), "title"), ["t"]);
}

#[tokio::test]
async fn a_key_belongs_to_its_user_and_its_endpoint() {
    let backend = Backend::start().await;
    let (ann, bob) = (backend.agent("ann", "scout"), backend.agent("bob", "scout"));
    let task = ann.post("/tasks", json!({ "title": "t", "idempotency_key": "k" })).await.ok();
    let theirs = bob.post("/tasks", json!({ "title": "t", "idempotency_key": "k" })).await.ok();
    assert_ne!(task["id"], theirs["id"]);
    let document = ann
        .post("/documents", json!({ "title": "d", "content": "c", "idempotency_key": "k" }))
        .await;
    assert_eq!(document.status, 200);
}

#[tokio::test]
async fn of_thirty_two_at_once_one_wins_and_all_see_it() {
    let backend = Backend::start().await;
    let ann = backend.agent("ann", "scout");
    let task = ann.task("t").await;
    let body = json!({ "task_id": task, "content": "hello", "idempotency_key": "k" });
    let answers = join_all((0..32).map(|_| ann.post("/messages", body.clone()))).await;
    let first = answers[0].ok();
    assert!(answers.iter().all(|answer| answer.ok() == first));
    let replayed =
        answers.iter().filter(|answer| answer.headers.contains_key("idempotent-replayed")).count();
    assert_eq!(replayed, 31);
    let thread = ann.get(&format!("/messages?task_id={task}")).await.ok();
    assert_eq!(each(&thread, "content"), ["hello"]);
    let found = ann.get("/messages?idempotency_key=k").await.ok();
    assert_eq!(found["items"], json!([first]));
    assert_eq!(ann.get("/messages?idempotency_key=other").await.ok()["items"], json!([]));
    assert_eq!(
        backend.agent("bob", "scout").get("/messages?idempotency_key=k").await.ok()["items"],
        json!([])
    );
}

#[tokio::test]
async fn a_create_that_failed_leaves_its_key_free() {
    let backend = Backend::start().await;
    let ann = backend.agent("ann", "scout");
    let body = |task: &str| json!({ "task_id": task, "content": "x", "idempotency_key": "k" });
    assert_eq!(ann.post("/messages", body("none")).await.status, 404);
    let task = ann.task("t").await;
    assert_eq!(ann.post("/messages", body(&task)).await.status, 200);
}

#[tokio::test]
async fn a_restart_keeps_objects_and_keys() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mc.db");
    let backend = Backend::open(&file).await;
    let body = json!({ "title": "t", "idempotency_key": "k" });
    let before = backend.agent("ann", "scout").post("/tasks", body.clone()).await.ok();
    backend.stop().await;
    let backend = Backend::open(&file).await;
    let after = backend.agent("ann", "scout").post("/tasks", body).await;
    assert_eq!(after.headers["idempotent-replayed"], "true");
    assert_eq!(after.ok(), before);
}
