//! Heartbeats and standups.

use serde_json::json;

use crate::backend::{Backend, each};

#[tokio::test]
async fn a_slot_is_claimed_once_per_user_and_role() {
    let backend = Backend::start().await;
    let scout = backend.agent("ann", "scout");
    let body = json!({ "user_id": "ann", "role": "scout", "slot": "2026-01-31T09:00:00Z" });
    let answers =
        futures::future::join_all((0..8).map(|_| scout.post("/heartbeat", body.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.ok()["claimed"] == true).count(), 1);
    // The same moment, written otherwise.
    let same = json!({ "user_id": "ann", "slot": "2026-01-31T10:00:00+01:00" });
    assert_eq!(scout.post("/heartbeat", same.clone()).await.ok()["claimed"], false);
    assert_eq!(backend.agent("ann", "jarvis").post("/heartbeat", same).await.ok()["claimed"], true);
    assert_eq!(scout.post("/heartbeat", json!({ "user_id": "ann" })).await.ok()["claimed"], true);
}

#[tokio::test]
async fn a_heartbeat_says_what_waits() {
    let backend = Backend::start().await;
    let scout = backend.agent("ann", "scout");
    let pending = async || {
        scout.post("/heartbeat", json!({ "user_id": "ann" })).await.ok()["pending"].clone()
    };
    assert_eq!(pending().await, json!({ "notifications": 0, "tasks": 0 }));
    let task = scout.task("t").await;
    backend
        .person("ann")
        .post("/messages", json!({ "task_id": task, "content": "@scout hi" }))
        .await
        .ok();
    assert_eq!(pending().await, json!({ "notifications": 1, "tasks": 1 }));
    scout.patch(&format!("/tasks/{task}"), json!({ "status": "completed" })).await.ok();
    assert_eq!(pending().await["tasks"], 0);
}

#[tokio::test]
async fn a_standup_is_the_day_in_its_zone() {
    let backend = Backend::start().await;
    let scout = backend.agent("ann", "scout");
    for (title, status) in
        [("done", "completed"), ("doing", "in_progress"), ("stuck", "blocked"), ("new", "pending")]
    {
        scout.post("/tasks", json!({ "title": title, "status": status })).await.ok();
    }
    let day = scout.post("/standup", json!({ "timezone": "UTC" })).await.ok();
    assert_eq!((&day["user_id"], &day["timezone"]), (&json!("ann"), &json!("UTC")));
    let titles = |list: &str| each(&json!({ "items": day[list] }), "title");
    assert_eq!(
        (titles("done"), titles("in_progress"), titles("blocked")),
        (vec!["done".to_owned()], vec!["doing".to_owned()], vec!["stuck".to_owned()])
    );
    assert_eq!(day["summary"], "1 done, 1 in progress, 1 blocked.");
    let document = day["document_id"].as_str().unwrap();
    let stored = scout.get(&format!("/documents/{document}")).await.ok();
    assert!(stored["content"].as_str().unwrap().contains("- stuck"));
    // Asked again, the same day is the same document.
    let again = scout.post("/standup", json!({ "timezone": "UTC" })).await.ok();
    assert_eq!(again["document_id"], document);
    let long_ago =
        scout.post("/standup", json!({ "timezone": "UTC", "date": "2020-02-29" })).await.ok();
    assert_eq!(long_ago["done"], json!([]));
    // Days on which clocks change, and one that Samoa left out.
    for (zone, date) in [
        ("Europe/Berlin", "2026-03-29"),
        ("America/Sao_Paulo", "2018-11-04"),
        ("Pacific/Apia", "2011-12-30"),
    ] {
        let day = scout.post("/standup", json!({ "timezone": zone, "date": date })).await.ok();
        assert_eq!((&day["date"], &day["done"]), (&json!(date), &json!([])));
    }
    assert_eq!(
        scout.post("/standup", json!({ "timezone": "UTC", "date": "tomorrow" })).await.status,
        400
    );
}

#[tokio::test]
async fn a_service_gets_the_day_of_all() {
    let backend = Backend::start().await;
    for user in ["ann", "bob"] {
        backend.agent(user, "scout").task("t").await;
    }
    let all = backend.internal().post("/standup", json!({ "timezone": "Asia/Tokyo" })).await.ok();
    assert_eq!(each(&all, "user_id"), ["ann", "bob"]);
    assert_eq!(all["timezone"], "Asia/Tokyo");
    let one = backend
        .internal()
        .post("/standup", json!({ "timezone": "UTC", "user_id": "bob" }))
        .await
        .ok();
    assert_eq!(one["user_id"], "bob");
}
