//! Collapsing, priorities, quiet hours, and dead letters as people see them.

use serde_json::{Value, json};

use crate::answer::{Answer, column, text_of};
use crate::suite::Suite;
use crate::token::ROLE;
use crate::verdict::{NotPassed, Verdict, ensure, failed};
use crate::world::World;

const FEATURES: [&str; 3] = ["delivery_options", "notifications_dispatch", "notifications"];

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let sentence = "While one of the same session and key waits that is neither leased nor delivered, its content is replaced; it keeps its id and its place, and the answer is 200 with collapsed, how many it has taken in";
    suite.check("collapsed", &FEATURES, sentence, collapsed).await;
    let sentence = "Sessions keep their order and go by the highest priority of what waits in them";
    suite.check("priority", &FEATURES, sentence, priority).await;
    let sentence =
        "collapse_key has at most 64 characters, priority is low, normal or high: else 400";
    suite.check("bounds", &FEATURES, sentence, bounds).await;
    let sentence = "in quiet hours undelivered withholds the user's sessions in which nothing high waits, and after DELETE it does not";
    suite.check("quiet-hours", &FEATURES, sentence, quiet_hours).await;
    let sentence = "A decision, and a mention by a person, are high";
    suite.check("urgent-mention", &FEATURES, sentence, urgent_mention).await;
    let sentence =
        "timezone is an IANA name, from and to are different times of its clock: else 400";
    suite.check("quiet-hours-form", &FEATURES, sentence, quiet_hours_form).await;
    let sentence = "another user's quiet hours are a 404 for a person";
    suite.check("quiet-hours-whose", &FEATURES, sentence, quiet_hours_whose).await;
    let features = ["delivery_options", "notifications_fail", "notifications"];
    let sentence = "GET /dead-letters (person) has the user's dead letters by session and by what they died of";
    suite.check("dead-letters", &features, sentence, dead_letters).await;
}

fn session(user: &str, role: &str) -> String {
    format!("user:{user}:{role}")
}

async fn notify(
    w: &World,
    user: &str,
    role: &str,
    content: &str,
    options: Value,
) -> Result<Answer, NotPassed> {
    let mut body =
        json!({ "user_id": user, "session_key": session(user, role), "content": content });
    for (name, value) in options.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    w.service()?.post("/notifications", body).await
}

/// What of a user's would be handed out.
async fn contents(w: &World, user: &str) -> Result<Vec<String>, NotPassed> {
    let answer = w.service()?.undelivered("limit_users=1000&limit_notifications=1000").await?;
    let Some(all) = answer.ok()?["deliveries"].as_array() else {
        return failed(format!("expected {{deliveries: […]}}, got {}", answer.summary()));
    };
    let own = all.iter().filter(|one| one["user_id"] == *user);
    Ok(own.filter_map(|one| text_of(one, "content")).map(str::to_owned).collect())
}

async fn given(w: &World, user: &str, expected: &[&str]) -> Result<(), NotPassed> {
    let found = contents(w, user).await?;
    ensure(found == expected, || {
        format!("expected {} to be handed out, got {}", json!(expected), json!(found))
    })
}

async fn collapsed(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    let key = json!({ "collapse_key": "build ü" });
    let first = notify(w, &user, ROLE, "one failed", key.clone()).await?;
    first.created()?;
    notify(w, &user, ROLE, "another", json!({})).await?.created()?;
    for n in 1..3 {
        let next = notify(w, &user, ROLE, &format!("{n} more failed"), key.clone()).await?;
        ensure(next.status == 200, || format!("expected 200, got {}", next.summary()))?;
        next.has_fields(&[("id", first.body["id"].clone()), ("collapsed", json!(n))])?;
    }
    given(w, &user, &["2 more failed", "another"]).await?;
    let id = first.text_at("id")?;
    let path = format!("/dispatch/notifications/{id}/deliver?user_id={}", super::encode(&user));
    w.service()?.post(&path, json!({})).await?.done()?;
    let after = notify(w, &user, ROLE, "later", key).await?;
    after.created()?;
    ensure(after.text_at("id")? != id, || {
        "expected a new notification after the first was delivered, got the same id".to_owned()
    })?;
    Ok("the same id in the same place, with the newest text, until it was delivered".to_owned())
}

async fn priority(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    for (role, content, priority) in [
        ("later", "low", json!({ "priority": "low" })),
        (ROLE, "before it", json!({})),
        ("writer", "normal", json!({})),
        (ROLE, "urgent", json!({ "priority": "high" })),
    ] {
        notify(w, &user, role, content, priority).await?.created()?;
    }
    given(w, &user, &["before it", "urgent", "normal", "low"]).await?;
    Ok("the session with something high first, in its order".to_owned())
}

async fn bounds(w: &World) -> Verdict {
    for wrong in [
        json!({ "collapse_key": "ü".repeat(65) }),
        json!({ "collapse_key": " " }),
        json!({ "priority": "urgent" }),
    ] {
        notify(w, &w.one, ROLE, "x", wrong).await?.fails_with(400, "invalid_payload")?;
    }
    Ok("400 invalid_payload".to_owned())
}

/// Hours of which it is one now, by a clock beside UTC.
fn now_quiet() -> Value {
    let clock = |hours: i64| {
        // Etc/GMT-5 is five hours before UTC.
        let at = chrono::Utc::now() + chrono::Duration::hours(5 + hours);
        at.format("%H:%M").to_string()
    };
    json!({ "timezone": "Etc/GMT-5", "from": clock(-2), "to": clock(2) })
}

async fn quiet_hours(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    let path = format!("/users/{user}/quiet-hours");
    notify(w, &user, ROLE, "waits", json!({})).await?.created()?;
    let hours = now_quiet();
    let put = w.person(&user).await?.put(&path, hours.clone()).await?;
    put.ok()?;
    put.has_fields(&[("timezone", hours["timezone"].clone()), ("from", hours["from"].clone())])?;
    given(w, &user, &[]).await?;
    notify(w, &user, "writer", "low", json!({ "priority": "low" })).await?.created()?;
    notify(w, &user, ROLE, "urgent", json!({ "priority": "high" })).await?.created()?;
    given(w, &user, &["waits", "urgent"]).await?;
    w.person(&user).await?.delete(&path).await?.done()?;
    given(w, &user, &["waits", "urgent", "low"]).await?;
    Ok("withheld until something high came, or they were deleted".to_owned())
}

async fn urgent_mention(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    let path = format!("/users/{user}/quiet-hours");
    w.service()?.put(&path, now_quiet()).await?.ok()?;
    let task = w.task(&user, "urgent").await?;
    let text = format!("@{ROLE} now");
    let said = json!({ "task_id": task, "content": text, "actor_type": "user" });
    w.person(&user).await?.post("/messages", said).await?.created()?;
    given(w, &user, &[&text]).await?;
    w.service()?.delete(&path).await?.done()?;
    Ok("handed out in quiet hours".to_owned())
}

async fn quiet_hours_form(w: &World) -> Verdict {
    let path = format!("/users/{}/quiet-hours", w.one);
    for wrong in [
        json!({ "timezone": "Europe/Berln", "from": "22:00", "to": "07:00" }),
        json!({ "timezone": "UTC", "from": "24:00", "to": "07:00" }),
        json!({ "timezone": "UTC", "from": "22:00", "to": "seven" }),
        json!({ "timezone": "UTC", "from": "22:00", "to": "22:00" }),
        json!({ "timezone": "UTC", "from": "22:00" }),
    ] {
        let answer = w.person(&w.one).await?.put(&path, wrong).await?;
        answer.fails_with(400, "invalid_payload")?;
    }
    Ok("400 invalid_payload".to_owned())
}

async fn quiet_hours_whose(w: &World) -> Verdict {
    let path = format!("/users/{}/quiet-hours", w.two);
    let person = w.person(&w.one).await?;
    person.put(&path, now_quiet()).await?.fails(404)?;
    person.delete(&path).await?.fails(404)?;
    w.agent(&w.two).put(&path, now_quiet()).await?.fails(403)?;
    Ok("404, and 403 for an agent".to_owned())
}

async fn dead_letters(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    let mut ids = Vec::new();
    for (role, cause) in [(ROLE, "no model"), (ROLE, "no model"), ("writer", "no such role")] {
        let made = notify(w, &user, role, "x", json!({})).await?;
        made.created()?;
        let id = made.text_at("id")?.to_owned();
        let path = format!("/dispatch/notifications/{id}/fail?user_id={}", super::encode(&user));
        let dead = json!({ "error": cause, "attempts": 3, "dead": true });
        w.service()?.post(&path, dead).await?.done()?;
        ids.push(id);
    }
    let list = w.person(&user).await?.get("/dead-letters").await?;
    let items = list.items()?;
    ensure(column(items, "cause") == ["no such role", "no model"], || {
        format!("expected both causes, the newest first, got {}", list.text)
    })?;
    let own = &items[1];
    let fits = own["session_key"] == session(&user, ROLE)
        && own["count"] == 2
        && own["ids"] == json!(&ids[..2])
        && own["first_at"].is_string()
        && own["last_at"].is_string();
    ensure(fits, || format!("expected the two of the session with their ids, got {own}"))?;
    w.agent(&user).get("/dead-letters").await?.fails(403)?;
    Ok("by session and cause".to_owned())
}
