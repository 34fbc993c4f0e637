//! Schedules.

use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::answer::{Answer, time_of};
use crate::suite::Suite;
use crate::token::ROLE;
use crate::verdict::{NotPassed, Verdict, ensure, failed};
use crate::world::World;

/// How long after its time a slot may be made, and some patience for the answers.
const PATIENCE: Duration = Duration::from_secs(8);

const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// When clocks change in Berlin in 2026: a line, the first moment, and when it is due.
const CHANGES: [(&str, &str, [&str; 3]); 4] = [
    (
        "30 2 * * *",
        "2026-03-28T00:00:00Z",
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    ),
    (
        "30 2 * * *",
        "2026-10-24T00:00:00Z",
        ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    ),
    (
        "30 * * * *",
        "2026-03-29T00:00:00Z",
        ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"],
    ),
    (
        "*/30 2 * * *",
        "2026-10-25T00:30:00Z",
        ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"],
    ),
];

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let sentence = "One transaction makes its notification, with the key schedule:{id}:{slot} and metadata: {schedule_id, slot, missed}, counts runs and moves next_at: once, however many instances there are, and within five seconds";
    suite.check("slot", &["schedules", "notifications_dispatch"], sentence, slot_made).await;
    let sentence = "a time that is left out is due as the gap ends, one that comes twice at the first. Other lines follow the clock: not in the gap, twice in the doubled hour";
    suite.check("clock-changes", &["schedules"], sentence, clock_changes).await;
    let sentence = "Anything else, and a line that is never due, is 400 invalid_cron";
    suite.check("cron", &["schedules"], sentence, bad_lines).await;
    let sentence = "timezone is an IANA name, required with cron and with such an at";
    suite.check("timezone", &["schedules"], sentence, zones).await;
    let sentence =
        "Of an agent's schedule the next 100 slots must be 15 minutes apart: else 400 too_often";
    suite.check("too-often", &["schedules"], sentence, too_often).await;
    let sentence = "A user may have 100 active schedules: 409 schedule_limit";
    suite.check("limit", &["schedules"], sentence, limit).await;
    let sentence = "A slot at until counts; max_runs is how many are made";
    suite.check("until", &["schedules"], sentence, until).await;
    let sentence = "Changed times, a pause and DELETE drop it: next_at is after the change";
    suite.check("changed", &["schedules"], sentence, changed).await;
    let sentence = "An agent touches those of its own role; another user's schedule is a 404";
    suite.check("whose", &["schedules"], sentence, whose).await;
}

fn line(cron: &str, zone: &str) -> Value {
    json!({ "cron": cron, "timezone": zone, "role": ROLE, "content": "look" })
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

async fn made(w: &World, user: &str, body: Value) -> Result<String, NotPassed> {
    let made = w.agent(user).post("/schedules", body).await?;
    made.created()?;
    made.text_at("id").map(str::to_owned)
}

/// The slots of a schedule as moments.
fn slots(answer: &Answer) -> Result<Vec<DateTime<Utc>>, NotPassed> {
    let listed = answer.ok()?["slots"].as_array().cloned().unwrap_or_default();
    listed.iter().map(|slot| time_of(&json!({ "slot": slot }), "slot")).collect()
}

async fn slot_made(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    let at = Utc::now() + chrono::Duration::seconds(2);
    let body = json!({ "at": text(at), "role": ROLE, "content": "before" });
    let id = made(w, &user, body).await?;
    let path = format!("/schedules/{id}");
    w.agent(&user).patch(&path, json!({ "content": "remember ü" })).await?.ok()?;
    let begun = Instant::now();
    let delivery = loop {
        let queue = w.service()?.undelivered("limit_users=1000&limit_notifications=1000").await?;
        let all = queue.ok()?["deliveries"].as_array().cloned().unwrap_or_default();
        if let Some(own) = all.into_iter().find(|delivery| delivery["user_id"] == user.as_str()) {
            break own;
        }
        if begun.elapsed() > PATIENCE {
            return failed(
                "expected a notification within five seconds of the slot, got none".to_owned(),
            );
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    let expected = json!({ "schedule_id": id, "slot": text(at), "missed": 0 });
    let fits = delivery["content"] == "remember ü"
        && delivery["session_key"] == w.session(&user)
        && delivery["metadata"] == expected;
    ensure(fits, || {
        format!("expected the changed content and metadata {expected}, got {delivery}")
    })?;
    let after = w.agent(&user).get(&path).await?;
    after.ok()?;
    after.has_fields(&[("status", json!("ended")), ("runs", json!(1))])?;
    ensure(after.body["next_at"].is_null(), || format!("expected no next_at, got {}", after.text))?;
    ensure(time_of(&after.body, "last_slot")? == time_of(&expected, "slot")?, || {
        format!("expected last_slot {}, got {}", text(at), after.text)
    })?;
    Ok("made once, with the changed content".to_owned())
}

async fn clock_changes(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    for (cron, from, expected) in CHANGES {
        let body = line(cron, "Europe/Berlin");
        let id = made(w, &user, body).await?;
        let path = format!("/schedules/{id}?slots=3&from={from}");
        let found = slots(&w.agent(&user).get(&path).await?)?;
        let found: Vec<_> = found.into_iter().map(text).collect();
        ensure(found == expected, || {
            format!("expected {cron} in Europe/Berlin at {}, got {}", json!(expected), json!(found))
        })?;
    }
    Ok("as the rules say, in spring and in autumn".to_owned())
}

async fn bad_lines(w: &World) -> Verdict {
    for cron in ["* * * *", "60 * * * *", "0 9 * * funday", "@reboot", "0 0 30 2 *", "0 0 L * *"] {
        w.agent(&w.one)
            .post("/schedules", line(cron, "UTC"))
            .await?
            .fails_with(400, "invalid_cron")?;
    }
    Ok("400 invalid_cron".to_owned())
}

async fn zones(w: &World) -> Verdict {
    let agent = w.agent(&w.one);
    let local = json!({ "at": "2099-01-01T09:00:00", "role": ROLE, "content": "look" });
    let none = json!({ "cron": "0 9 * * *", "role": ROLE, "content": "look" });
    for body in [local, none, line("0 9 * * *", "Middle/Earth")] {
        agent.post("/schedules", body).await?.fails_with(400, "invalid_payload")?;
    }
    Ok("400 invalid_payload".to_owned())
}

async fn too_often(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    w.agent(&user)
        .post("/schedules", line("*/10 * * * *", "UTC"))
        .await?
        .fails_with(400, "too_often")?;
    made(w, &user, line("*/15 * * * *", "UTC")).await?;
    let person = w.person(&user).await?.post("/schedules", line("*/10 * * * *", "UTC")).await?;
    person.created()?;
    Ok("refused to an agent, and not to a person".to_owned())
}

async fn limit(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    for _ in 0..100 {
        made(w, &user, line("0 9 * * *", "UTC")).await?;
    }
    let one_more = w.agent(&user).post("/schedules", line("0 9 * * *", "UTC")).await?;
    one_more.fails_with(409, "schedule_limit")
}

async fn until(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    let mut body = line("0 9 * * *", "UTC");
    body["until"] = json!("2099-01-03T09:00:00Z");
    let id = made(w, &user, body).await?;
    let path = format!("/schedules/{id}?slots=9&from=2099-01-02T00:00:00Z");
    let found = slots(&w.agent(&user).get(&path).await?)?;
    let found: Vec<_> = found.into_iter().map(text).collect();
    ensure(found == ["2099-01-02T09:00:00Z", "2099-01-03T09:00:00Z"], || {
        format!("expected two slots, the second at until; got {}", json!(found))
    })?;
    let mut none = line("0 9 * * *", "UTC");
    none["max_runs"] = json!(0);
    w.agent(&user).post("/schedules", none).await?.fails_with(400, "invalid_payload")
}

async fn changed(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    let id = made(w, &user, line("0 9 * * *", "UTC")).await?;
    let (agent, path) = (w.agent(&user), format!("/schedules/{id}"));
    let paused = agent.patch(&path, json!({ "paused": true })).await?;
    paused.ok()?;
    paused.has_fields(&[("status", json!("paused")), ("next_at", Value::Null)])?;
    let begun = Utc::now();
    let on = agent.patch(&path, json!({ "paused": false, "cron": "30 9 * * *" })).await?;
    on.ok()?;
    on.has_fields(&[("status", json!("active")), ("cron", json!("30 9 * * *"))])?;
    let next = time_of(&on.body, "next_at")?;
    ensure(next > begun && next.format("%H:%M").to_string() == "09:30", || {
        format!("expected a next_at at 09:30 to come, got {}", on.text)
    })?;
    agent.delete(&path).await?.done()?;
    agent.get(&path).await?.fails(404)
}

async fn whose(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    let id = made(w, &user, line("0 9 * * *", "UTC")).await?;
    let path = format!("/schedules/{id}");
    for other in [w.agent(&w.two), w.agent_as(&user, "another")] {
        other.get(&path).await?.fails(404)?;
        other.patch(&path, json!({ "paused": true })).await?.fails(404)?;
        other.delete(&path).await?.fails(404)?;
        let listed = other.get("/schedules?limit=200").await?;
        let is_seen = listed.items()?.iter().any(|schedule| schedule["id"] == id.as_str());
        ensure(!is_seen, || {
            format!("expected no schedule of others in a list, got {}", listed.text)
        })?;
    }
    let listed = w.agent(&user).get("/schedules").await?;
    let is_seen = listed.items()?.iter().any(|schedule| schedule["id"] == id.as_str());
    ensure(is_seen, || format!("expected the own schedule in the list, got {}", listed.text))?;
    Ok("seen by its own role only".to_owned())
}
