//! Collapsing, priorities, quiet hours, and dead letters as people see them.

use chrono::{Duration, Utc};
use serde_json::{Value, json};

use crate::harness::{Backend, column};

const LOOK: &str = "/dispatch/undelivered?limit_users=1000&limit_notifications=1000";
const LEASED: &str = "/dispatch/undelivered?lease_seconds=60";
const DEAD: &str = "2020-01-01T00:00:00.000000Z";

async fn notify(backend: &Backend, role: &str, content: &str, options: Value) -> Value {
    let mut new = json!({
        "user_id": "ann", "session_key": format!("user:ann:{role}"), "content": content
    });
    for (name, value) in options.as_object().unwrap() {
        new[name] = value.clone();
    }
    backend.internal().post("/notifications", new).await.ok().clone()
}

async fn contents(backend: &Backend, path: &str) -> Vec<String> {
    let answer = backend.internal().post(path, json!({})).await;
    let all = answer.ok()["deliveries"].as_array().unwrap().clone();
    column(&all, "content").into_iter().map(str::to_owned).collect()
}

async fn act(backend: &Backend, one: &Value, verb: &str, body: Value) {
    let id = one["id"].as_str().unwrap();
    let path = format!("/dispatch/notifications/{id}/{verb}?user_id=ann");
    backend.internal().post(&path, body).await.ok();
}

async fn run(backend: &Backend, statement: &'static str, value: String) {
    let done = sqlx::query(statement).bind(value).execute(&mut backend.database().await).await;
    done.unwrap();
}

fn stamp(ago: Duration) -> String {
    (Utc::now() - ago).to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

fn hours(from: i64, to: i64) -> Value {
    let clock = |hours: i64| (Utc::now() + Duration::hours(hours)).format("%H:%M").to_string();
    json!({ "timezone": "UTC", "from": clock(from), "to": clock(to) })
}

#[tokio::test]
async fn what_nobody_was_given_is_replaced_in_its_place() {
    let backend = Backend::start().await;
    let key = json!({ "collapse_key": "k" });
    let first = notify(&backend, "scout", "one", key.clone()).await;
    assert_eq!(first.get("collapsed"), None);
    notify(&backend, "scout", "between", json!({})).await;
    notify(&backend, "analyst", "another session", key.clone()).await;
    let person = backend.person("ann");
    let read = format!("/notifications/{}/read", first["id"].as_str().unwrap());
    person.post(&read, json!({})).await.ok();
    let once = json!({ "collapse_key": "k", "idempotency_key": "i" });
    for _ in 0..2 {
        let next = notify(&backend, "scout", "two", once.clone()).await;
        assert_eq!((&next["id"], &next["collapsed"]), (&first["id"], &json!(1)));
        assert_eq!((&next["read"], &next["created_at"]), (&json!(false), &first["created_at"]));
    }
    let next = notify(&backend, "scout", "three", key.clone()).await;
    assert_eq!(next["collapsed"], 2);
    assert_eq!(contents(&backend, LOOK).await, ["three", "between", "another session"]);
    // A lease that has ended may have been used.
    assert_eq!(contents(&backend, LEASED).await.len(), 3);
    let after = notify(&backend, "scout", "four", key.clone()).await;
    assert_ne!(after["id"], first["id"]);
    run(&backend, "UPDATE notifications SET leased_until = $1 WHERE leased_until IS NOT NULL", DEAD.into()).await;
    assert_eq!(notify(&backend, "scout", "five", key).await["id"], after["id"]);
    assert_eq!(contents(&backend, LOOK).await, ["three", "between", "another session", "five"]);
}

#[tokio::test]
async fn a_session_goes_by_what_is_most_urgent_in_it_and_back_when_that_is_gone() {
    let backend = Backend::start().await;
    let (low, high) = (json!({ "priority": "low" }), json!({ "priority": "high" }));
    notify(&backend, "low", "l1", low.clone()).await;
    notify(&backend, "scout", "s1", json!({})).await;
    notify(&backend, "writer", "w1", json!({})).await;
    notify(&backend, "writer", "w2", low.clone()).await;
    assert_eq!(contents(&backend, LOOK).await, ["s1", "w1", "w2", "l1"]);
    let urgent = notify(&backend, "writer", "w3", high.clone()).await;
    assert_eq!(urgent["priority"], "high");
    assert_eq!(contents(&backend, LOOK).await, ["w1", "w2", "w3", "s1", "l1"]);
    act(&backend, &urgent, "fail", json!({ "error": "x", "attempts": 8, "dead": true })).await;
    assert_eq!(contents(&backend, LOOK).await, ["s1", "w1", "w2", "l1"]);
    act(&backend, &urgent, "requeue", json!({})).await;
    assert_eq!(contents(&backend, LOOK).await, ["w1", "w2", "w3", "s1", "l1"]);
    act(&backend, &urgent, "deliver", json!({})).await;
    assert_eq!(contents(&backend, LOOK).await, ["s1", "w1", "w2", "l1"]);
    let raised = json!({ "collapse_key": "k", "priority": "low" });
    notify(&backend, "low", "l2", raised).await;
    notify(&backend, "low", "l2!", json!({ "collapse_key": "k", "priority": "high" })).await;
    let all = contents(&backend, LOOK).await;
    assert_eq!(all, ["l1", "l2!", "s1", "w1", "w2"]);
    let first = "/dispatch/undelivered?lease_seconds=60&limit_notifications=2";
    assert_eq!(contents(&backend, first).await, ["l1", "l2!"]);
    run(&backend, "UPDATE notifications SET leased_until = $1 WHERE leased_until IS NOT NULL", DEAD.into()).await;
    assert_eq!(contents(&backend, LOOK).await, all);
}

#[tokio::test]
async fn nothing_waits_over_ten_minutes_for_what_is_more_urgent() {
    let backend = Backend::start().await;
    notify(&backend, "low", "low", json!({ "priority": "low" })).await;
    notify(&backend, "scout", "high", json!({ "priority": "high" })).await;
    let age = "UPDATE notifications SET created_at = $1 WHERE content = 'low'";
    run(&backend, age, stamp(Duration::seconds(590))).await;
    assert_eq!(contents(&backend, LOOK).await, ["high", "low"]);
    run(&backend, age, stamp(Duration::seconds(601))).await;
    assert_eq!(contents(&backend, LOOK).await, ["low", "high"]);
}

#[tokio::test]
async fn quiet_hours_withhold_what_is_not_urgent_until_they_end() {
    let backend = Backend::start().await;
    let person = backend.person("ann");
    let path = "/users/ann/quiet-hours";
    notify(&backend, "scout", "s1", json!({})).await;
    person.put(path, hours(-1, 1)).await.ok();
    assert_eq!(person.get(path).await.ok(), &hours(-1, 1));
    // Once where it is met, and once where it is out of the way.
    for _ in 0..2 {
        assert!(contents(&backend, LOOK).await.is_empty());
    }
    notify(&backend, "scout", "s2", json!({})).await;
    notify(&backend, "writer", "w1", json!({})).await;
    assert!(contents(&backend, LOOK).await.is_empty());
    let urgent = notify(&backend, "scout", "s3", json!({ "priority": "high" })).await;
    assert_eq!(contents(&backend, LOOK).await, ["s1", "s2", "s3"]);
    act(&backend, &urgent, "deliver", json!({})).await;
    assert!(contents(&backend, LOOK).await.is_empty());
    let task = person.task("T").await;
    person.post("/messages", json!({ "task_id": task, "content": "@helper now" })).await.ok();
    assert_eq!(contents(&backend, LOOK).await, ["@helper now"]);
    // The period ends; the next one comes tomorrow.
    let end = "UPDATE quiet_hours SET ends_at = $1";
    run(&backend, end, stamp(Duration::seconds(1))).await;
    person.put(path, hours(-3, -1)).await.ok();
    assert_eq!(contents(&backend, LOOK).await.len(), 4);
    person.put(path, hours(-1, 1)).await.ok();
    assert_eq!(contents(&backend, LOOK).await, ["@helper now"]);
    assert_eq!(person.delete(path).await.status, 204);
    assert_eq!(contents(&backend, LOOK).await, ["@helper now", "s1", "s2", "w1"]);
    person.get(path).await.fails(404, "not_found");
}

#[tokio::test]
async fn a_period_that_is_over_gives_back_all_of_its_users() {
    let backend = Backend::start().await;
    backend.internal().put("/users/ann/quiet-hours", hours(-1, 1)).await.ok();
    notify(&backend, "scout", "s1", json!({})).await;
    assert!(contents(&backend, LOOK).await.is_empty());
    let past = "UPDATE quiet_hours SET from_time = '00:00', to_time = '00:01', timezone = $1, ends_at = '2020-01-01T00:00:00.000000Z'";
    let zone = if Utc::now().format("%H").to_string() == "00" { "Asia/Tokyo" } else { "UTC" };
    run(&backend, past, zone.to_owned()).await;
    notify(&backend, "scout", "s2", json!({})).await;
    assert_eq!(contents(&backend, LOOK).await, ["s1", "s2"]);
}

#[tokio::test]
async fn decisions_are_urgent() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("T").await;
    let wish = json!({
        "task_id": task, "run_key": "r", "session_key": "user:ann:scout", "tool": "t", "arguments": {},
        "idempotency_key": "w"
    });
    let asked = agent.post("/tool-requests", wish).await;
    let path = format!("/tool-requests/{}", asked.ok()["id"].as_str().unwrap());
    let person = backend.person("ann");
    person.put("/users/ann/quiet-hours", hours(-1, 1)).await.ok();
    person.patch(&path, json!({ "status": "approved" })).await.ok();
    assert_eq!(contents(&backend, LOOK).await.len(), 1);
    assert_eq!(person.get("/notifications").await.items()[0]["priority"], "high");
}

#[tokio::test]
async fn quiet_hours_are_checked_and_ones_own() {
    let backend = Backend::start().await;
    let person = backend.person("ann");
    for (wrong, name) in [
        (json!({ "timezone": "Europe/Berln", "from": "22:00", "to": "07:00" }), "timezone"),
        (json!({ "timezone": "UTC", "from": "7:00", "to": "07:00" }), "from"),
        (json!({ "timezone": "UTC", "from": "22:00", "to": "24:00" }), "to"),
        (json!({ "timezone": "UTC", "from": "22:00", "to": "22:00" }), "to"),
        (json!({ "timezone": "UTC", "to": "22:00" }), "from"),
    ] {
        let answer = person.put("/users/ann/quiet-hours", wrong).await;
        assert!(answer.body["details"]["fields"][name].is_string(), "{}", answer.body);
        answer.fails(400, "invalid_payload");
    }
    let theirs = "/users/bob/quiet-hours";
    person.put(theirs, hours(-1, 1)).await.fails(404, "not_found");
    person.delete(theirs).await.fails(404, "not_found");
    let agent = backend.agent("ann", "scout");
    agent.put("/users/ann/quiet-hours", hours(-1, 1)).await.fails(403, "forbidden");
    for wrong in [json!({ "collapse_key": "ü".repeat(65) }), json!({ "priority": "urgent" }), json!({ "collapse_key": "" })] {
        let mut new = json!({ "user_id": "ann", "session_key": "user:ann:scout", "content": "x" });
        for (name, value) in wrong.as_object().unwrap() {
            new[name] = value.clone();
        }
        backend.internal().post("/notifications", new).await.fails(400, "invalid_payload");
    }
    notify(&backend, "scout", "x", json!({ "collapse_key": "ü".repeat(64) })).await;
}

async fn digests(backend: &Backend) -> Vec<Value> {
    let rows: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT data, role FROM events WHERE kind = 'dead_letters.digest' ORDER BY id")
            .fetch_all(&mut backend.database().await)
            .await
            .unwrap();
    assert!(rows.iter().all(|(_, role)| role.as_deref() == Some("")), "agents hear of it");
    rows.iter().map(|(data, _)| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn dead_letters_are_grouped_and_told_once_an_hour() {
    let backend = Backend::start().await;
    let mut ids = Vec::new();
    for (role, cause) in [("scout", "no model"), ("scout", "no model"), ("writer", "no role")] {
        let one = notify(&backend, role, "x", json!({})).await;
        act(&backend, &one, "fail", json!({ "error": cause, "attempts": 3, "dead": true })).await;
        ids.push(one["id"].clone());
    }
    let person = backend.person("ann");
    let found = person.get("/dead-letters").await;
    assert_eq!(column(found.items(), "cause"), ["no role", "no model"]);
    let group = &found.items()[1];
    assert_eq!(
        (&group["session_key"], &group["count"], &group["ids"]),
        (&json!("user:ann:scout"), &json!(2), &json!(&ids[..2]))
    );
    let first = person.get("/dead-letters?limit=1").await;
    let cursor = first.body["next_cursor"].as_str().unwrap().to_owned();
    let rest = person.get(&format!("/dead-letters?limit=1&cursor={cursor}")).await;
    assert_eq!(column(rest.items(), "cause"), ["no model"]);
    assert!(rest.body.get("next_cursor").is_none());
    assert!(backend.person("bob").get("/dead-letters").await.items().is_empty());
    backend.agent("ann", "scout").get("/dead-letters").await.fails(403, "forbidden");

    let told = digests(&backend).await;
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["count"], &told[0]["user_id"]), (&json!(1), &json!("ann")));
    // The hour is over.
    let hour = "UPDATE dead_letter_digests SET due_at = $1";
    run(&backend, hour, stamp(Duration::seconds(1))).await;
    for _ in 0..100 {
        if digests(&backend).await.len() > 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let told = digests(&backend).await;
    assert_eq!((told.len(), &told[1]["count"]), (2, &json!(2)));
    assert_eq!(column(told[1]["items"].as_array().unwrap(), "cause"), ["no role", "no model"]);
}

/// Of a user in quiet hours, as of a dispatcher that was given them and then had nobody to give them to.
#[tokio::test]
async fn what_is_withheld_after_its_lease_keeps_nobody_waiting() {
    let backend = Backend::start().await;
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2100) \
        INSERT INTO notifications (id, user_id, session_key, content, created_at, leased_until) \
        SELECT 'x' || CAST(i AS TEXT), 'ann', 'user:ann:r' || CAST(i AS TEXT), 'x', $1, $1 FROM n";
    run(&backend, many, DEAD.to_owned()).await;
    backend.internal().put("/users/ann/quiet-hours", hours(-1, 1)).await.ok();
    let of_bob = json!({ "user_id": "bob", "session_key": "user:bob:scout" });
    notify(&backend, "scout", "b1", of_bob).await;
    assert_eq!(contents(&backend, LEASED).await, ["b1"]);
    assert_eq!(backend.person("ann").delete("/users/ann/quiet-hours").await.status, 204);
    assert!(contents(&backend, LOOK).await.contains(&"x".to_owned()));
}

#[tokio::test]
async fn a_dead_letter_that_is_put_back_is_told() {
    let backend = Backend::start().await;
    let one = notify(&backend, "scout", "x", json!({})).await;
    act(&backend, &one, "fail", json!({ "error": "no", "attempts": 3, "dead": true })).await;
    act(&backend, &one, "requeue", json!({})).await;
    // In the queue already.
    act(&backend, &one, "requeue", json!({})).await;
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT data FROM events WHERE kind = 'notification.requeued'")
            .fetch_all(&mut backend.database().await)
            .await
            .unwrap();
    assert_eq!(rows.len(), 1);
    let told: Value = serde_json::from_str(&rows[0].0).unwrap();
    assert_eq!((&told["notification_id"], &told["session_key"]), (&one["id"], &json!("user:ann:scout")));
}
