//! The day of a user, in the user's own time zone.

use serde_json::{Value, json};

use crate::harness::{Backend, column};

/// Makes a task that was completed at a moment.
async fn completed(backend: &Backend, user: &str, title: &str, at: &str) {
    let agent = backend.agent(user, "scout");
    let task = agent.task(title).await;
    agent.patch(&format!("/tasks/{task}"), json!({ "status": "completed" })).await.ok();
    sqlx::query("UPDATE tasks SET completed_at = $1, created_at = $2 WHERE id = $3")
        .bind(at)
        .bind(at)
        .bind(task)
        .execute(&mut backend.database().await)
        .await
        .unwrap();
}

async fn done(backend: &Backend, timezone: &str, date: &str) -> Vec<String> {
    let body = json!({ "timezone": timezone, "date": date });
    let day = backend.agent("ann", "scout").post("/standup", body).await;
    let day = day.ok();
    assert_eq!((&day["date"], &day["timezone"]), (&json!(date), &json!(timezone)));
    column(day["done"].as_array().unwrap(), "title").into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_standup_sorts_the_tasks_of_the_day_and_keeps_them_as_a_document() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for (title, status) in [
        ("A", "completed"),
        ("B", "in_progress"),
        ("C", "blocked"),
        ("D", "pending"),
        ("E", "cancelled"),
    ] {
        agent.post("/tasks", json!({ "title": title, "status": status })).await.ok();
    }
    backend.agent("bob", "scout").task("Another's").await;
    sqlx::query(
        "UPDATE tasks SET created_at = $1, completed_at = CASE WHEN status = 'completed' THEN $1 END",
    )
    .bind("2026-01-02T03:00:00.000000Z")
    .execute(&mut backend.database().await)
    .await
    .unwrap();
    let body = json!({ "timezone": "UTC", "date": "2026-01-02" });
    let day = agent.post("/standup", body.clone()).await;
    let day = day.ok();
    assert_eq!(day["user_id"], "ann");
    assert_eq!(day["summary"], "1 done, 1 in progress, 1 blocked.");
    for (list, title) in [("done", "A"), ("in_progress", "B"), ("blocked", "C")] {
        assert_eq!(column(day[list].as_array().unwrap(), "title"), [title]);
    }
    let id = day["document_id"].as_str().unwrap();
    let document = agent.get(&format!("/documents/{id}")).await;
    assert_eq!(document.ok()["doc_type"], "standup");
    assert!(document.body["content"].as_str().unwrap().contains("## Done\n\n- A"));

    let again = agent.post("/standup", body).await;
    assert_eq!(again.ok()["document_id"], id);
}

#[tokio::test]
async fn without_a_date_it_is_today_in_the_zone() {
    let backend = Backend::start().await;
    for zone in ["Pacific/Kiritimati", "Pacific/Niue"] {
        let zone = zones::parse_zone(zone).unwrap();
        let today = || chrono::Utc::now().with_timezone(&zone).date_naive().to_string();
        let before = today();
        let body = json!({ "timezone": zone.name() });
        let day = backend.agent("ann", "scout").post("/standup", body).await;
        let date = day.ok()["date"].as_str().unwrap();
        assert!(date == before || date == today(), "{date}");
    }
}

#[tokio::test]
async fn a_day_on_which_clocks_go_forward_has_23_hours() {
    let backend = Backend::start().await;
    // Berlin, 29 March 2026: from 23:00 to 22:00 UTC.
    for (title, at) in [
        ("before", "2026-03-28T22:59:59.999999Z"),
        ("first", "2026-03-28T23:00:00.000000Z"),
        ("last", "2026-03-29T21:59:59.999999Z"),
        ("after", "2026-03-29T22:00:00.000000Z"),
    ] {
        completed(&backend, "ann", title, at).await;
    }
    assert_eq!(done(&backend, "Europe/Berlin", "2026-03-28").await, ["before"]);
    assert_eq!(done(&backend, "Europe/Berlin", "2026-03-29").await, ["first", "last"]);
    assert_eq!(done(&backend, "Europe/Berlin", "2026-03-30").await, ["after"]);
}

#[tokio::test]
async fn a_day_on_which_clocks_go_back_has_25_hours() {
    let backend = Backend::start().await;
    // New York, 1 November 2026: from 04:00 to 05:00 UTC.
    for (title, at) in [
        ("before", "2026-11-01T03:59:59.999999Z"),
        ("first", "2026-11-01T04:00:00.000000Z"),
        ("last", "2026-11-02T04:59:59.999999Z"),
        ("after", "2026-11-02T05:00:00.000000Z"),
    ] {
        completed(&backend, "ann", title, at).await;
    }
    assert_eq!(done(&backend, "America/New_York", "2026-10-31").await, ["before"]);
    assert_eq!(done(&backend, "America/New_York", "2026-11-01").await, ["first", "last"]);
    assert_eq!(done(&backend, "America/New_York", "2026-11-02").await, ["after"]);
}

#[tokio::test]
async fn a_day_without_a_midnight_begins_at_one() {
    let backend = Backend::start().await;
    for (title, at) in
        [("before", "2018-11-04T02:59:59.999999Z"), ("first", "2018-11-04T03:00:00.000000Z")]
    {
        completed(&backend, "ann", title, at).await;
    }
    assert_eq!(done(&backend, "America/Sao_Paulo", "2018-11-03").await, ["before"]);
    assert_eq!(done(&backend, "America/Sao_Paulo", "2018-11-04").await, ["first"]);
}

#[tokio::test]
async fn a_day_that_was_skipped_is_empty() {
    let backend = Backend::start().await;
    completed(&backend, "ann", "on the 31st", "2011-12-30T10:00:00.000000Z").await;
    assert!(done(&backend, "Pacific/Apia", "2011-12-30").await.is_empty());
    assert_eq!(done(&backend, "Pacific/Apia", "2011-12-31").await, ["on the 31st"]);
}

#[tokio::test]
async fn a_service_gets_one_day_per_user_or_that_of_the_user_it_names() {
    let backend = Backend::start().await;
    backend.agent("ann", "scout").task("Hers").await;
    backend.agent("bob", "scout").task("His").await;
    let body = json!({ "timezone": "Asia/Tokyo", "date": "2026-01-02" });
    let all = backend.internal().post("/standup", body).await;
    let all = all.ok();
    assert_eq!((&all["date"], &all["timezone"]), (&json!("2026-01-02"), &json!("Asia/Tokyo")));
    assert_eq!(column(all["items"].as_array().unwrap(), "user_id"), ["ann", "bob"]);
    let body = json!({ "timezone": "Asia/Tokyo", "user_id": "bob" });
    let one = backend.internal().post("/standup", body).await;
    assert_eq!(one.ok()["user_id"], "bob");
}

#[tokio::test]
async fn an_unknown_zone_or_day_is_refused() {
    let backend = Backend::start().await;
    let bodies: [Value; 8] = [
        json!({}),
        json!({ "timezone": "" }),
        json!({ "timezone": "Mars/Olympus" }),
        json!({ "timezone": "UTC", "date": "yesterday" }),
        json!({ "timezone": "UTC", "date": "2026-02-30" }),
        json!({ "timezone": "UTC", "date": "2026-2-3" }),
        json!({ "timezone": "UTC", "date": "+262142-12-31" }),
        json!({ "timezone": "UTC", "date": 20_260_101 }),
    ];
    for body in bodies {
        let answer = backend.agent("ann", "scout").post("/standup", body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
        answer.fails(400, "invalid_payload");
    }
    for date in ["0000-01-01", "9999-12-31"] {
        assert!(done(&backend, "Pacific/Kiritimati", date).await.is_empty());
        assert!(done(&backend, "Pacific/Niue", date).await.is_empty());
    }
    let body = json!({ "timezone": "UTC", "user_id": "a:b" });
    backend.internal().post("/standup", body).await.fails(400, "invalid_payload");
}

#[tokio::test]
async fn a_day_is_counted_by_the_newest_rules() {
    let backend = Backend::start().await;
    // Half an hour after local midnight by the rules of 2026f; by older ones the day before.
    for (zone, at) in [
        ("America/Edmonton", "2026-12-15T06:30:00.000000Z"),
        ("America/Yellowknife", "2026-12-15T06:30:00.000000Z"),
        ("America/Winnipeg", "2026-12-15T05:30:00.000000Z"),
        ("America/Vancouver", "2026-12-15T07:30:00.000000Z"),
        ("America/Havana", "2026-12-15T04:30:00.000000Z"),
    ] {
        completed(&backend, "ann", zone, at).await;
        assert!(done(&backend, zone, "2026-12-15").await.contains(&zone.to_owned()), "{zone}");
        assert!(!done(&backend, zone, "2026-12-14").await.contains(&zone.to_owned()), "{zone}");
    }
}

#[tokio::test]
async fn a_wrong_zone_is_refused_with_what_may_be_meant() {
    let backend = Backend::start().await;
    for (wrong, right) in [
        ("GMT+5", "Etc/GMT-5"),
        ("PST", "America/Los_Angeles"),
        ("Eastern Standard Time", "America/New_York"),
        ("europe/berlin", "Europe/Berlin"),
    ] {
        let body = json!({ "timezone": wrong });
        let answer = backend.agent("ann", "scout").post("/standup", body).await;
        answer.fails(400, "invalid_payload");
        assert!(answer.text.contains(right), "{}", answer.text);
    }
}
