//! Several instances on one PostgreSQL are one backend. A file has one instance only.

use std::collections::HashSet;
use std::time::Duration;

use mc_client::events::News;
use serde_json::json;
use sqlx::Connection as _;
use tokio::task::JoinSet;

use crate::harness::{Backend, on_postgres};

/// How long something may take to be told.
const PATIENCE: Duration = Duration::from_secs(30);

async fn two() -> Option<(Backend, Backend)> {
    if !on_postgres() {
        return None;
    }
    let one = Backend::start().await;
    let other = one.another().await;
    Some((one, other))
}

#[tokio::test]
async fn they_share_keys_also_at_the_same_moment() {
    let Some((one, other)) = two().await else { return };
    let mut calls = JoinSet::new();
    for n in 0..32 {
        let agent = [&one, &other][n % 2].agent("ann", "scout");
        let new = json!({ "title": "Once", "idempotency_key": "k" });
        calls.spawn(async move { agent.post("/tasks", new).await });
    }
    let answers = calls.join_all().await;
    let first = answers[0].ok();
    assert!(answers.iter().all(|answer| answer.ok() == first));
    assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1);
    assert_eq!(other.agent("ann", "scout").get("/tasks").await.items().len(), 1);
}

#[tokio::test]
async fn a_turn_is_one_holders_over_all_of_them() {
    let Some((one, other)) = two().await else { return };
    let task = one.agent("ann", "scout").task("Work").await;
    let mut calls = JoinSet::new();
    for n in 0..16 {
        let agent = [&one, &other][n % 2].agent("ann", "scout");
        let wish = json!({ "session_key": "user:ann:scout", "task_id": task, "holder": n.to_string(), "ttl_secs": 60 });
        calls.spawn(async move { agent.post("/sessions/lease", wish).await });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for busy in answers.iter().filter(|answer| answer.status != 200) {
        busy.fails(409, "session_busy");
    }
}

#[tokio::test]
async fn what_is_claimed_of_the_queue_is_claimed_of_it_everywhere() {
    let Some((one, other)) = two().await else { return };
    for n in 0..60 {
        let new = json!({ "user_id": "ann", "session_key": format!("user:ann:r{n}"), "content": format!("n{n}") });
        one.internal().post("/notifications", new).await.ok();
    }
    let mut calls = JoinSet::new();
    for n in 0..12 {
        let internal = [&one, &other][n % 2].internal();
        let wish = "/dispatch/undelivered?lease_seconds=60&limit_notifications=7";
        calls.spawn(async move { internal.post(wish, json!({})).await });
    }
    let mut seen = HashSet::new();
    for answer in calls.join_all().await {
        for delivery in answer.ok()["deliveries"].as_array().unwrap() {
            let content = delivery["content"].as_str().unwrap().to_owned();
            assert!(seen.insert(content.clone()), "{content} was given twice");
        }
    }
    assert_eq!(seen.len(), 60);
}

#[tokio::test]
async fn who_listens_at_one_is_told_of_what_is_written_at_the_other_in_order() {
    const MANY: usize = 100;
    let Some((one, other)) = two().await else { return };
    let mut events = one.service().events(None);
    assert_eq!(tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap(), News::Connected);
    let mut writers = JoinSet::new();
    for n in 0..4 {
        let (a, b) = (one.agent(&format!("u{n}"), "scout"), other.agent(&format!("u{n}"), "scout"));
        writers.spawn(async move {
            for i in 0..MANY / 4 {
                [&a, &b][i % 2].task(&format!("{i}")).await;
            }
        });
    }
    writers.join_all().await;
    let mut told = Vec::new();
    while told.len() < MANY {
        match tokio::time::timeout(PATIENCE, events.next()).await.expect("all events come").unwrap() {
            News::Event(event) => told.push(event),
            News::Connected | News::Broken(_) => panic!("the connection broke"),
        }
    }
    for n in 0..4 {
        let of_user = told.iter().filter(|event| event.data["user_id"] == format!("u{n}"));
        let titles: Vec<_> = of_user.map(|event| event.data["title"].as_str().unwrap()).collect();
        assert_eq!(titles, (0..MANY / 4).map(|i| i.to_string()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn no_write_makes_a_notification_of_its_own() {
    let Some((one, other)) = two().await else { return };
    let mut database = one.home.connect().await;
    // Nothing fires for each row, and one nudge stands for many writes.
    let triggers = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal";
    let triggers: i64 = sqlx::query_scalar(triggers).fetch_one(&mut database).await.unwrap();
    assert_eq!(triggers, 0);
    database.close().await.unwrap();
    let mut listener = sqlx::postgres::PgListener::connect(&one.home.url()).await.unwrap();
    listener.listen("wombat_mission_control").await.unwrap();
    let agent = other.agent("ann", "scout");
    let mut writes = JoinSet::new();
    for n in 0..200 {
        let agent = agent.clone();
        writes.spawn(async move { agent.task(&format!("{n}")).await });
    }
    writes.join_all().await;
    let mut nudges = 0;
    while tokio::time::timeout(Duration::from_millis(300), listener.recv()).await.is_ok() {
        nudges += 1;
    }
    assert!((1..200).contains(&nudges), "{nudges} nudges for 200 writes");
}
