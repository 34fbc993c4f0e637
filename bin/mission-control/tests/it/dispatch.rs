//! Notifications, and the queue in which they wait for the dispatcher.

use std::time::Duration;

use serde_json::{Value, json};

use crate::backend::Backend;

async fn notify(backend: &Backend, user: &str, role: &str, content: &str) -> String {
    let body = json!({ "user_id": user, "session_key": format!("user:{user}:{role}"), "content": content });
    backend.internal().post("/notifications", body).await.ok()["id"].as_str().unwrap().to_owned()
}

async fn poll(backend: &Backend, query: &str) -> Vec<Value> {
    let answer =
        backend.internal().post(&format!("/dispatch/undelivered?{query}"), json!({})).await.ok();
    answer["deliveries"].as_array().unwrap().clone()
}

fn contents(deliveries: &[Value]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery["content"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_a_person_says_to_an_agent_notifies_it_and_what_an_agent_says_does_not() {
    let backend = Backend::start().await;
    let (ann, person) = (backend.agent("ann", "scout"), backend.person("ann"));
    let task = ann.task("t").await;
    ann.post("/messages", json!({ "task_id": task, "content": "@jarvis look" })).await.ok();
    assert!(poll(&backend, "").await.is_empty());
    let body =
        json!({ "task_id": task, "content": "@scout and @jarvis, look", "idempotency_key": "k" });
    person.post("/messages", body.clone()).await.ok();
    person.post("/messages", body).await.ok();
    let waiting = poll(&backend, "").await;
    let sessions: Vec<_> =
        waiting.iter().map(|delivery| delivery["session_key"].as_str().unwrap()).collect();
    assert_eq!(sessions, ["user:ann:scout", "user:ann:jarvis"]);
    assert_eq!((&waiting[0]["task_id"], &waiting[0]["user_id"]), (&json!(task), &json!("ann")));
    let get = backend.internal().get("/dispatch/undelivered").await.ok();
    assert_eq!(get["deliveries"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_delivery_is_acknowledged_once_and_again_without_harm() {
    let backend = Backend::start().await;
    let id = notify(&backend, "ann", "scout", "a").await;
    let path = format!("/dispatch/notifications/{id}/deliver");
    assert_eq!(
        backend.internal().post(&format!("{path}?user_id=bob"), json!({})).await.status,
        404
    );
    assert_eq!(backend.internal().post(&path, json!({})).await.status, 400);
    for _ in 0..2 {
        backend.internal().post(&format!("{path}?user_id=ann"), json!({})).await.ok();
    }
    assert!(poll(&backend, "").await.is_empty());
    let listed = backend.agent("ann", "scout").get("/notifications?unread=true").await.ok();
    assert_eq!(
        (&listed["items"][0]["delivered"], &listed["items"][0]["read"]),
        (&json!(true), &json!(false))
    );
    backend.person("ann").post(&format!("/notifications/{id}/read"), json!({})).await.ok();
    assert_eq!(
        backend.person("ann").get("/notifications?unread=true").await.ok()["items"],
        json!([])
    );
    assert_eq!(
        backend.person("bob").post(&format!("/notifications/{id}/read"), json!({})).await.status,
        404
    );
}

#[tokio::test]
async fn a_leased_delivery_is_given_to_nobody_else_and_holds_back_its_session() {
    let backend = Backend::start().await;
    for (user, content) in [("ann", "a1"), ("ann", "a2"), ("bob", "b1")] {
        notify(&backend, user, "scout", content).await;
    }
    assert_eq!(contents(&poll(&backend, "lease_seconds=60&limit_notifications=1").await), ["a1"]);
    assert_eq!(contents(&poll(&backend, "lease_seconds=60").await), ["b1"]);
    assert!(poll(&backend, "lease_seconds=60").await.is_empty());
}

#[tokio::test]
async fn a_lease_that_ends_frees_its_delivery() {
    let backend = Backend::start().await;
    notify(&backend, "ann", "scout", "a").await;
    assert_eq!(poll(&backend, "lease_seconds=1").await.len(), 1);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while poll(&backend, "lease_seconds=1").await.is_empty() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn of_many_dispatchers_each_gets_its_own() {
    let backend = Backend::start().await;
    for n in 0..20 {
        notify(&backend, &format!("u{n}"), "scout", &format!("c{n}")).await;
    }
    let polls = futures::future::join_all(
        (0..10).map(|_| poll(&backend, "lease_seconds=60&limit_notifications=4")),
    )
    .await;
    let mut all: Vec<String> =
        polls.iter().flat_map(|given| contents(given)).map(str::to_owned).collect();
    assert_eq!(all.len(), 20);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 20);
}

#[tokio::test]
async fn a_failed_one_stays_and_a_dead_one_leaves_until_a_person_puts_it_back() {
    let backend = Backend::start().await;
    let id = notify(&backend, "ann", "scout", "a").await;
    let internal = backend.internal();
    let at = |what: &str| format!("/dispatch/notifications/{id}/{what}?user_id=ann");
    internal.post(&at("fail"), json!({ "error": "busy", "attempts": 1, "dead": false })).await.ok();
    assert_eq!(poll(&backend, "").await[0]["attempts"], 1);
    internal
        .post(&at("fail"), json!({ "error": "no such task", "attempts": 2, "dead": true }))
        .await
        .ok();
    assert!(poll(&backend, "").await.is_empty());
    let dead = internal.get("/dispatch/dead").await.ok();
    assert_eq!(
        (&dead["items"][0]["error"], &dead["items"][0]["notification_id"]),
        (&json!("no such task"), &json!(id))
    );
    internal.post(&at("requeue"), json!({})).await.ok();
    assert_eq!(poll(&backend, "").await[0]["attempts"], 0);
    assert_eq!(internal.get("/dispatch/dead").await.ok()["items"], json!([]));
}

#[tokio::test]
async fn a_notification_is_for_a_session_of_its_own_user() {
    let backend = Backend::start().await;
    for session in ["user:bob:scout", "user:ann:", "user:ann:a:b", "scout", ""] {
        let body = json!({ "user_id": "ann", "session_key": session, "content": "x" });
        assert_eq!(backend.internal().post("/notifications", body).await.status, 400, "{session}");
    }
}
