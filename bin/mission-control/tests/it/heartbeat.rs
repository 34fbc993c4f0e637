//! Heartbeats.

use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::Backend;

#[tokio::test]
async fn a_heartbeat_says_what_waits() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    agent.task("Open").await;
    let done = agent.task("Done").await;
    agent.patch(&format!("/tasks/{done}"), json!({ "status": "completed" })).await.ok();
    for _ in 0..2 {
        let new = json!({ "user_id": "ann", "session_key": "user:ann:scout", "content": "x" });
        backend.internal().post("/notifications", new).await.ok();
    }
    backend.agent("bob", "scout").task("Another's").await;
    let beat = agent.post("/heartbeat", json!({ "user_id": "ann" })).await;
    assert_eq!(
        beat.ok(),
        &json!({
            "status": "ok", "role": "scout", "claimed": true,
            "pending": { "notifications": 2, "tasks": 1 }
        })
    );
}

#[tokio::test]
async fn a_slot_is_claimed_once_however_its_time_is_written() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for (slot, claimed) in [
        ("2026-03-01T10:00:00Z", true),
        ("2026-03-01T10:00:00Z", false),
        ("2026-03-01T11:00:00+01:00", false),
        ("2026-03-01T10:00:00.000Z", false),
        ("2026-03-01T10:15:00Z", true),
    ] {
        let beat = json!({ "user_id": "ann", "slot": slot });
        assert_eq!(agent.post("/heartbeat", beat).await.ok()["claimed"], claimed, "{slot}");
    }
    // Another role and another user have slots of their own.
    for (user, role) in [("ann", "jarvis"), ("bob", "scout")] {
        let beat = json!({ "user_id": user, "slot": "2026-03-01T10:00:00Z" });
        let beat = backend.agent(user, role).post("/heartbeat", beat).await;
        assert_eq!(beat.ok()["claimed"], true, "{user} {role}");
    }
}

#[tokio::test]
async fn of_a_fleet_that_wakes_at_once_one_claims_the_slot() {
    let backend = Backend::start().await;
    let mut calls = JoinSet::new();
    for _ in 0..16 {
        let agent = backend.agent("ann", "scout");
        let beat = json!({ "user_id": "ann", "role": "scout", "slot": "2026-03-01T10:00:00Z" });
        calls.spawn(async move { agent.post("/heartbeat", beat).await.ok()["claimed"] == true });
    }
    let claimed = calls.join_all().await.into_iter().filter(|claimed| *claimed).count();
    assert_eq!(claimed, 1);
}

#[tokio::test]
async fn each_wake_is_recorded() {
    let backend = Backend::start().await;
    for _ in 0..3 {
        let beat = json!({ "user_id": "ann" });
        backend.agent("ann", "scout").post("/heartbeat", beat).await.ok();
    }
    let (role, count): (String, i64) =
        sqlx::query_as("SELECT role, count FROM wakes WHERE user_id = 'ann'")
            .fetch_one(&mut backend.database().await)
            .await
            .unwrap();
    assert_eq!((role.as_str(), count), ("scout", 3));
}

#[tokio::test]
async fn a_heartbeat_that_makes_no_sense_is_refused() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for body in [
        json!({}),
        json!({ "user_id": "ann", "slot": "noon" }),
        json!({ "user_id": "ann", "slot": 7 }),
        json!({ "user_id": "ann", "role": "a/b" }),
        json!({ "user_id": "ann", "note": 1 }),
        json!({ "user_id": "ann", "note": "ü".repeat(2001) }),
    ] {
        agent.post("/heartbeat", body).await.fails(400, "invalid_payload");
    }
}
