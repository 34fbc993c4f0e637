//! Schedules: made, changed and deleted, and their slots: once, also after a downtime.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Timelike as _, Utc};
use serde_json::{Value, json};

use crate::harness::{Backend, column, on_postgres};

/// How long a slot may take, and some patience for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn line(cron: &str) -> Value {
    json!({ "cron": cron, "timezone": "UTC", "role": "scout", "content": "look" })
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn in_seconds(seconds: i64) -> String {
    text(Utc::now() + chrono::Duration::seconds(seconds))
}

async fn deliveries(backend: &Backend) -> Vec<Value> {
    let answer = backend.internal().post("/dispatch/undelivered?limit_notifications=1000", json!({})).await;
    answer.ok()["deliveries"].as_array().unwrap().clone()
}

/// The deliveries once there are so many.
async fn wait_for(backend: &Backend, many: usize) -> Vec<Value> {
    let begun = std::time::Instant::now();
    loop {
        let found = deliveries(backend).await;
        if found.len() >= many {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{} of {many}", found.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Makes it so that nobody has looked at a schedule for some minutes.
async fn unseen_for(backend: &Backend, id: &str, first: DateTime<Utc>) {
    let mut database = backend.database().await;
    let stamp = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let statement = "UPDATE schedules SET next_at = $1, handled_to = $2 WHERE id = $3";
    sqlx::query(statement)
        .bind(stamp(first))
        .bind(stamp(first - chrono::Duration::seconds(1)))
        .bind(id)
        .execute(&mut database)
        .await
        .unwrap();
}

/// The last full minute that is some minutes back.
fn minutes_ago(minutes: i64) -> DateTime<Utc> {
    let at = Utc::now() - chrono::Duration::minutes(minutes);
    at.with_second(0).unwrap().with_nanosecond(0).unwrap()
}

#[tokio::test]
async fn a_schedule_is_made_listed_changed_and_deleted() {
    let backend = Backend::start().await;
    let (agent, ann, service) =
        (backend.agent("ann", "scout"), backend.person("ann"), backend.internal());
    let task = ann.task("Plan").await;
    let body = json!({
        "at": "2099-07-01T09:00:00", "timezone": "Europe/Berlin", "role": "scout", "content": "wake",
        "task_id": task, "until": "2099-12-31T00:00:00+01:00", "max_runs": 3, "catch_up": "skip", "idempotency_key": "k"
    });
    let made = agent.post("/schedules", body.clone()).await;
    let first = made.ok().clone();
    for (name, value) in [
        ("at", json!("2099-07-01T07:00:00Z")),
        ("local_at", json!("2099-07-01T09:00:00")),
        ("timezone", json!("Europe/Berlin")),
        ("next_at", json!("2099-07-01T07:00:00Z")),
        ("until", json!("2099-12-30T23:00:00Z")),
        ("status", json!("active")),
        ("catch_up", json!("skip")),
        ("runs", json!(0)),
        ("last_slot", Value::Null),
        ("created_by", json!({ "type": "agent", "id": "scout" })),
    ] {
        assert_eq!(first[name], value, "{name}: {first}");
    }
    assert!(agent.post("/schedules", body).await.replayed());
    let by_person = ann.post("/schedules", line("0 9 * * mon-fri")).await;
    assert_eq!(by_person.ok()["created_by"], json!({ "type": "person", "id": "ann" }));
    let mut of_service = line("@daily");
    service.post("/schedules", of_service.clone()).await.fails(400, "invalid_payload");
    of_service["user_id"] = json!("bob");
    let by_service = service.post("/schedules", of_service.clone()).await;
    assert_eq!(by_service.ok()["created_by"], json!({ "type": "service" }));
    ann.post("/schedules", of_service).await.fails(404, "not_found");

    assert_eq!(ann.get("/schedules").await.items().len(), 2);
    assert_eq!(service.get("/schedules").await.items().len(), 3);
    assert_eq!(service.get("/schedules?user_id=bob").await.items().len(), 1);
    let page = service.get("/schedules?limit=2").await;
    let cursor = page.body["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(service.get(&format!("/schedules?limit=2&cursor={cursor}")).await.items().len(), 1);
    ann.get("/schedules?status=done").await.fails(400, "invalid_payload");

    let id = first["id"].as_str().unwrap();
    let path = format!("/schedules/{id}");
    for other in [backend.person("bob"), backend.agent("ann", "other"), backend.agent("bob", "scout")] {
        other.get(&path).await.fails(404, "not_found");
        other.patch(&path, json!({ "paused": true })).await.fails(404, "not_found");
        other.delete(&path).await.fails(404, "not_found");
    }
    backend.agent("ann", "other").post("/schedules", line("@daily")).await.fails(403, "role_mismatch");
    assert_eq!(service.get(&path).await.ok()["id"], id);
    let changed = agent.patch(&path, json!({ "timezone": "America/New_York", "task_id": null, "max_runs": null })).await;
    assert_eq!(changed.ok()["at"], "2099-07-01T13:00:00Z");
    assert!(changed.body.get("task_id").is_none() && changed.body.get("max_runs").is_none());
    let changed = agent.patch(&path, json!({ "cron": "*/20 * * * *" })).await;
    assert!(changed.ok().get("at").is_none() && changed.body.get("local_at").is_none());
    agent.patch(&path, json!({ "cron": "*/10 * * * *" })).await.fails(400, "too_often");
    agent.patch(&path, json!({ "at": "2020-01-01T00:00:00Z" })).await.fails(400, "invalid_payload");
    assert_eq!(agent.delete(&path).await.status, 204);
    agent.delete(&path).await.fails(404, "not_found");

    let acts = service.get("/audit?act=schedule.*&user_id=ann&limit=100").await;
    let names = column(acts.items(), "act");
    let created = names.iter().filter(|act| **act == "schedule.created").count();
    assert_eq!((created, names.last()), (2, Some(&"schedule.deleted")), "{names:?}");
    assert_eq!(acts.items()[0]["object"], json!({ "type": "schedule", "id": id }));
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_by_its_name() {
    let backend = Backend::start().await;
    let ann = backend.person("ann");
    let with = |name: &str, value: Value| {
        let mut body = line("0 9 * * *");
        body[name] = value;
        body
    };
    for (body, field) in [
        (with("at", json!("2099-01-01T00:00:00Z")), "at"),
        (json!({ "role": "scout", "content": "x" }), "at"),
        (json!({ "at": "2099-01-01T00:00:00", "role": "scout", "content": "x" }), "timezone"),
        (json!({ "cron": "0 9 * * *", "role": "scout", "content": "x" }), "timezone"),
        (with("timezone", json!("Europe/Berln")), "timezone"),
        (with("role", json!("a b")), "role"),
        (with("content", json!(" ")), "content"),
        (with("content", json!("x".repeat(4_001))), "content"),
        (with("max_runs", json!(0)), "max_runs"),
        (with("catch_up", json!("some")), "catch_up"),
        (with("until", json!("soon")), "until"),
        (with("until", json!("2020-01-01T00:00:00Z")), "until"),
        (json!({ "at": "2020-01-01T00:00:00Z", "role": "scout", "content": "x" }), "at"),
    ] {
        let refused = ann.post("/schedules", body.clone()).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"][field].is_string(), "{body}: {}", refused.text);
    }
    ann.post("/schedules", with("task_id", json!("none"))).await.fails(404, "not_found");
    for cron in ["", "0 9 * *", "0 9 * * * *", "@reboot", "0 0 31 2 *", "0 9 * * mon#1"] {
        ann.post("/schedules", line(cron)).await.fails(400, "invalid_cron");
    }
    ann.post("/schedules", with("content", json!("ü".repeat(4_000)))).await.ok();
    let made = ann.post("/schedules", line("0 9 * * *")).await;
    let path = format!("/schedules/{}", made.ok()["id"].as_str().unwrap());
    for query in ["slots=101", "slots=x", "slots=3&from=today"] {
        ann.get(&format!("{path}?{query}")).await.fails(400, "invalid_payload");
    }
    let listed = ann.get(&format!("{path}?slots=2&from=2026-05-05T09:00:00Z")).await;
    assert_eq!(listed.ok()["slots"], json!(["2026-05-05T09:00:00Z", "2026-05-06T09:00:00Z"]));
    assert!(ann.get(&path).await.ok().get("slots").is_none());
}

#[tokio::test]
async fn a_user_has_a_hundred_active_ones_and_no_more() {
    let backend = Backend::start().await;
    let ann = backend.person("ann");
    let mut paused = line("@daily");
    paused["paused"] = json!(true);
    let waiting = ann.post("/schedules", paused).await;
    assert_eq!((&waiting.ok()["status"], &waiting.body["next_at"]), (&json!("paused"), &Value::Null));
    let mut last = String::new();
    for _ in 0..100 {
        last = ann.post("/schedules", line("@daily")).await.ok()["id"].as_str().unwrap().to_owned();
    }
    ann.post("/schedules", line("@daily")).await.fails(409, "schedule_limit");
    backend.person("bob").post("/schedules", line("@daily")).await.ok();
    let path = format!("/schedules/{}", waiting.body["id"].as_str().unwrap());
    ann.patch(&path, json!({ "paused": false })).await.fails(409, "schedule_limit");
    ann.patch(&format!("/schedules/{last}"), json!({ "paused": true })).await.ok();
    assert_eq!(ann.patch(&path, json!({ "paused": false })).await.ok()["status"], "active");
}

#[tokio::test]
async fn a_slot_is_made_in_time_with_the_newest_content() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Plan").await;
    let at = in_seconds(3);
    let body = json!({ "at": at, "role": "scout", "content": "before", "task_id": task });
    let id = agent.post("/schedules", body).await.ok()["id"].as_str().unwrap().to_owned();
    let path = format!("/schedules/{id}");
    agent.patch(&path, json!({ "content": "after" })).await.ok();
    let made = wait_for(&backend, 1).await;
    let late = Utc::now() - at.parse::<DateTime<Utc>>().unwrap();
    assert!(late < chrono::Duration::seconds(5), "{late}");
    assert_eq!(made[0]["content"], "after");
    assert_eq!((&made[0]["session_key"], &made[0]["task_id"]), (&json!("user:ann:scout"), &json!(task)));
    assert_eq!(made[0]["metadata"], json!({ "schedule_id": id, "slot": at, "missed": 0 }));
    let after = agent.get(&path).await;
    assert_eq!((&after.ok()["status"], &after.body["runs"]), (&json!("ended"), &json!(1)));
    assert_eq!((&after.body["last_slot"], &after.body["next_at"]), (&json!(at), &Value::Null));
    // The key is that of the notification: it cannot be made by hand again.
    let again = json!({ "user_id": "ann", "session_key": "user:ann:scout", "content": "other", "idempotency_key": format!("schedule:{id}:{at}") });
    backend.internal().post("/notifications", again).await.fails(409, "idempotency_conflict");
    // What is over stays so, unless it gets another time.
    assert_eq!(agent.patch(&path, json!({ "content": "x" })).await.ok()["status"], "ended");
    let anew = agent.patch(&path, json!({ "at": "2099-01-01T00:00:00Z" })).await;
    assert_eq!(anew.ok()["status"], "active");
}

#[tokio::test]
async fn after_a_downtime_slots_are_caught_up_with_as_the_schedule_says() {
    let backend = Backend::start().await;
    let ann = backend.person("ann");
    let mut ids = Vec::new();
    for catch_up in ["last", "skip", "all"] {
        let mut body = line("* * * * *");
        (body["catch_up"], body["role"]) = (json!(catch_up), json!(catch_up));
        ids.push(ann.post("/schedules", body).await.ok()["id"].as_str().unwrap().to_owned());
    }
    let first = minutes_ago(10);
    for id in &ids {
        unseen_for(&backend, id, first).await;
    }
    // Late are the minutes from ten to six ago, or to five where this minute has only begun.
    let made = wait_for(&backend, 1 + 5 + 5 + 10).await;
    let of = |role: &str| -> Vec<&Value> {
        let session = format!("user:ann:{role}");
        made.iter().filter(|one| one["session_key"] == *session).map(|one| &one["metadata"]).collect()
    };
    let (last, skip, all) = (of("last"), of("skip"), of("all"));
    assert_eq!(last.len(), skip.len() + 1);
    let missed = last[0]["missed"].as_u64().unwrap();
    assert_eq!(usize::try_from(missed).unwrap() + last.len(), all.len());
    assert!(last[1..].iter().chain(&skip).chain(&all).all(|made| made["missed"] == 0));
    assert_eq!(all[0]["slot"], text(first));
    assert!(all.windows(2).all(|pair| pair[0]["slot"].as_str() < pair[1]["slot"].as_str()));
    let limit = Utc::now() - chrono::Duration::seconds(303);
    assert!(skip.iter().all(|made| made["slot"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap() > limit));
    let after = ann.get(&format!("/schedules/{}", ids[0])).await;
    assert!(after.ok()["next_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap() > Utc::now());
    assert_eq!(after.body["runs"].as_u64().unwrap(), last.len() as u64);
}

#[tokio::test]
async fn changed_times_a_pause_and_a_deletion_drop_what_is_due() {
    let backend = Backend::start().await;
    let ann = backend.person("ann");
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(ann.post("/schedules", line("0 0 1 1 *")).await.ok()["id"].as_str().unwrap().to_owned());
    }
    let mut database = backend.database().await;
    let changes = [json!({ "cron": "0 0 2 1 *" }), json!({ "paused": true })];
    for (id, change) in ids.iter().zip(changes) {
        // The due slot and the change are one moment for whoever makes slots.
        let until = (Utc::now() + chrono::Duration::milliseconds(900)).to_rfc3339_opts(SecondsFormat::Micros, true);
        sqlx::query("UPDATE schedules SET next_at = $1 WHERE id = $2").bind(until).bind(id).execute(&mut database).await.unwrap();
        let changed = ann.patch(&format!("/schedules/{id}"), change).await;
        let next = changed.ok()["next_at"].as_str().map(|next| next.parse::<DateTime<Utc>>().unwrap());
        assert!(next.is_none_or(|next| next > Utc::now() + chrono::Duration::hours(1)), "{}", changed.text);
    }
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(deliveries(&backend).await.is_empty());
}

#[tokio::test]
async fn a_deletion_takes_back_what_nobody_has_leased() {
    let backend = Backend::start().await;
    let now = |role: &str| json!({ "at": in_seconds(0), "role": role, "content": role });
    let (scout, other) = (backend.agent("ann", "scout"), backend.agent("ann", "other"));
    let leased = scout.post("/schedules", now("scout")).await.ok()["id"].as_str().unwrap().to_owned();
    wait_for(&backend, 1).await;
    backend.internal().post("/dispatch/undelivered?lease_seconds=600", json!({})).await.ok();
    let free = other.post("/schedules", now("other")).await.ok()["id"].as_str().unwrap().to_owned();
    wait_for(&backend, 1).await;
    assert_eq!(other.delete(&format!("/schedules/{free}")).await.status, 204);
    assert!(deliveries(&backend).await.is_empty());
    let person = backend.person("ann");
    assert_eq!(person.delete(&format!("/schedules/{leased}")).await.status, 204);
    let kept = person.get("/notifications").await;
    assert_eq!(column(kept.items(), "content"), ["scout"]);
}

#[tokio::test]
async fn a_start_computes_the_next_slots_anew() {
    let backend = Backend::start().await;
    let ann = backend.person("ann");
    let local = json!({ "at": "2099-07-01T09:00", "timezone": "Europe/Berlin", "role": "scout", "content": "x" });
    let at = ann.post("/schedules", local).await.ok()["id"].as_str().unwrap().to_owned();
    let daily = ann.post("/schedules", line("0 9 * * *")).await;
    let (daily, next) = (daily.ok()["id"].as_str().unwrap().to_owned(), daily.body["next_at"].clone());
    // As other rules of the zones had it.
    let mut database = backend.database().await;
    for statement in [
        "UPDATE schedules SET next_at = '2099-07-01T06:00:00.000000Z', at_time = '2099-07-01T06:00:00.000000Z' WHERE id = $1",
        "UPDATE schedules SET next_at = '2099-01-01T09:00:00.000000Z' WHERE id = $1",
    ] {
        let id = if statement.contains("at_time") { &at } else { &daily };
        sqlx::query(statement).bind(id).execute(&mut database).await.unwrap();
    }
    sqlx::Connection::close(database).await.unwrap();
    let backend = backend.restart().await;
    let ann = backend.person("ann");
    let begun = std::time::Instant::now();
    loop {
        let (one, other) = (ann.get(&format!("/schedules/{at}")).await, ann.get(&format!("/schedules/{daily}")).await);
        let is_anew = one.ok()["next_at"] == "2099-07-01T07:00:00Z" && one.body["at"] == "2099-07-01T07:00:00Z";
        if is_anew && other.ok()["next_at"] == next {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{} {}", one.text, other.text);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_slot_is_made_once_by_however_many_instances() {
    if !on_postgres() {
        return;
    }
    let backend = Backend::start().await;
    let others = [backend.another().await, backend.another().await];
    let ann = backend.person("ann");
    let at = in_seconds(3);
    for n in 0..40 {
        let body = json!({ "at": at, "role": format!("role{n}"), "content": n.to_string() });
        ann.post("/schedules", body).await.ok();
    }
    // One of them dies as the slots are due.
    let [one, other] = others;
    tokio::time::sleep(Duration::from_secs(3)).await;
    one.stop().await;
    wait_for(&other, 40).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let made = deliveries(&backend).await;
    let contents: HashSet<_> = column(&made, "content").into_iter().collect();
    assert_eq!((made.len(), contents.len()), (40, 40));
    let ended = ann.get("/schedules?status=ended&limit=200").await;
    assert!(ended.items().len() == 40 && ended.items().iter().all(|one| one["runs"] == 1));
}
