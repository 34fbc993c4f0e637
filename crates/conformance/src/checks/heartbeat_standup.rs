//! Heartbeats and standups.

use serde_json::{Value, json};

use crate::suite::Suite;
use crate::verdict::{ensure, failed};

/// The list of a standup that a status leads to.
const LISTS: [(&str, &str); 3] =
    [("completed", "done"), ("in_progress", "in_progress"), ("blocked", "blocked")];

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let sentence = "POST /heartbeat → {status, claimed, pending: {notifications, tasks}}";
    suite
        .check("heartbeat", &["heartbeat"], sentence, async |w| {
            let user = w.fresh_user()?;
            let beat = async || w.agent(&user).post("/heartbeat", json!({ "user_id": user })).await;
            let idle = beat().await?;
            let pending = &idle.ok()?["pending"];
            ensure(pending["notifications"] == 0 && pending["tasks"] == 0, || {
                format!("expected nothing pending, got {}", idle.text)
            })?;
            w.task(&user, "waits").await?;
            let busy = beat().await?;
            ensure(busy.ok()?["pending"]["tasks"] == 1, || {
                format!("expected one pending task, got {}", busy.text)
            })?;
            Ok("nothing pending, then one task".to_owned())
        })
        .await;
    let sentence = "With note (at most 2,000 characters) and no slot, it keeps what the agent said when it had nothing to report with its last heartbeat, and is no heartbeat of its own";
    suite
        .check("note", &["heartbeat_notes", "heartbeat"], sentence, async |w| {
            let user = w.fresh_user()?;
            let beat = async |note: &str| {
                let body = json!({ "user_id": user, "note": note });
                w.agent(&user).post("/heartbeat", body).await
            };
            beat(&"ü".repeat(2_000)).await?.ok()?;
            let slot = "2026-01-02T03:04:00Z";
            let body = json!({ "user_id": user, "slot": slot });
            let claim = w.agent(&user).post("/heartbeat", body).await?;
            ensure(claim.ok()?["claimed"] == true, || {
                format!("expected the first slot free after a note, got {}", claim.text)
            })?;
            let noted = beat("nothing due").await?;
            noted.ok()?;
            Ok(noted.summary())
        })
        .await;
    let sentence = "slot is claimed once across the fleet, the second caller gets claimed: false";
    suite
        .check("slot", &["heartbeat"], sentence, async |w| {
            let user = w.fresh_user()?;
            let mut claims = Vec::new();
            // The same time twice, then another time.
            for slot in ["2026-01-02T03:04:00Z", "2026-01-02T03:04:00Z", "2026-01-02T03:05:00Z"] {
                let body = json!({ "user_id": user, "role": "scout", "slot": slot });
                let answer = w.agent_as(&user, "scout").post("/heartbeat", body).await?;
                claims.push(answer.ok()?["claimed"].clone());
            }
            ensure(claims == [json!(true), json!(false), json!(true)], || {
                format!(
                    "expected claimed: true, false for the same slot, true for another; got {}",
                    json!(claims)
                )
            })?;
            Ok("claimed once".to_owned())
        })
        .await;
    let sentence =
        "A slot is a time: its spelling makes no difference, and other texts are refused";
    suite
        .recommended("slot-as-a-time", &["heartbeat"], sentence, async |w| {
            let user = w.fresh_user()?;
            let mut claims = Vec::new();
            for slot in ["2026-01-02T03:04:00Z", "2026-01-02T04:04:00+01:00"] {
                let body = json!({ "user_id": user, "slot": slot });
                claims
                    .push(w.agent(&user).post("/heartbeat", body).await?.ok()?["claimed"].clone());
            }
            ensure(claims == [json!(true), json!(false)], || {
                format!("expected claimed: true, then false; got {}", json!(claims))
            })?;
            let body = json!({ "user_id": user, "slot": "yesterday" });
            w.agent(&user).post("/heartbeat", body).await?.refuses()
        })
        .await;
    let sentence = "POST /standup → {date, timezone, user_id, summary, done[], in_progress[], blocked[]} for the day in that time zone";
    suite
        .check("standup", &["standup"], sentence, async |w| {
            let user = w.fresh_user()?;
            let mut made = Vec::new();
            for (status, list) in LISTS {
                let body = json!({ "title": w.title(status), "status": status });
                let task = w.agent(&user).post("/tasks", body).await?;
                task.created()?;
                made.push((list, task.text_at("title")?.to_owned()));
            }
            w.task(&user, "pending is in no list").await?;
            let body = json!({ "timezone": "UTC" });
            let day = w.agent(&user).post("/standup", body).await?;
            day.ok()?;
            day.text_at("summary")?;
            day.has_fields(&[("timezone", json!("UTC")), ("user_id", json!(user))])?;
            let date = day.text_at("date")?;
            ensure(date.len() == 10 && date.is_char_boundary(4), || {
                format!("expected \"date\" as YYYY-MM-DD, got {date}")
            })?;
            for (list, title) in made {
                let Some(items) = day.body[list].as_array() else {
                    return failed(format!("expected a list in \"{list}\", got {}", day.summary()));
                };
                // What an entry looks like is the backend's own.
                ensure(items.len() == 1 && items[0].to_string().contains(&title), || {
                    format!("expected [{title}] in \"{list}\", got {}", json!(items))
                })?;
            }
            Ok("each task in its list".to_owned())
        })
        .await;
    let sentence = "A time zone that does not exist is refused";
    suite
        .recommended("standup-zone", &["standup"], sentence, async |w| {
            let body = json!({ "timezone": "Middle/Earth" });
            w.agent(&w.one).post("/standup", body).await?.refuses()
        })
        .await;
    let sentence = "with an internal token and no user_id, {date, timezone, items: [one such object per user]}";
    suite
        .check("standup-of-all", &["standup"], sentence, async |w| {
            w.task(&w.one, "for the standup").await?;
            w.task(&w.two, "for the standup").await?;
            let all = w.service()?.post("/standup", json!({ "timezone": "UTC" })).await?;
            let Some(items) = all.ok()?["items"].as_array() else {
                return failed(format!("expected {{items: […]}}, got {}", all.summary()));
            };
            let users: Vec<&Value> = items.iter().map(|day| &day["user_id"]).collect();
            for user in [&w.one, &w.two] {
                let times = users.iter().filter(|found| ***found == *user).count();
                ensure(times == 1, || {
                    format!("expected user {user} once in items, got {times} times")
                })?;
            }
            Ok(format!("{}, each once", shown::counted(items.len(), "user")))
        })
        .await;
}
