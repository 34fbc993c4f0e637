//! Heartbeat and standup.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Days, NaiveDate, Utc};
use mc_client::types::{
    CreateDocument, Document, HeartbeatAnswer, HeartbeatRequest, Standup, StandupAnswer,
    StandupItem, StandupRequest,
};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use zones::{Zone, parse_zone};

use crate::app::App;
use crate::auth::{Agent, Caller, is_user_id};
use crate::error::ApiError;
use crate::extract::Body;
use crate::mentions::is_role;
use crate::store::paging::{PAGE_BYTES, json_size};
use crate::store::tasks::StandupTasks;
use crate::store::{Scope, documents, stamp};

/// The most characters of a heartbeat's note.
const MAX_NOTE: usize = 2_000;

pub(super) async fn heartbeat(
    State(app): State<App>,
    agent: Agent,
    body: Body<HeartbeatRequest>,
) -> Result<Json<HeartbeatAnswer>, ApiError> {
    let request = body.value;
    agent.must_be(&request.user_id)?;
    let role = request.role.unwrap_or_else(|| agent.role.clone());
    if !is_role(&role) {
        return Err(ApiError::field("role", "must be letters, digits, _ and -"));
    }
    agent.must_act_as("role", &role)?;
    let slot = match &request.slot {
        None => None,
        Some(slot) => {
            let tick = DateTime::parse_from_rfc3339(slot);
            let tick = tick.map_err(|_| ApiError::field("slot", "must be a time of RFC 3339"))?;
            Some(stamp(tick.to_utc()))
        }
    };
    if request.note.as_ref().is_some_and(|note| note.chars().count() > MAX_NOTE) {
        return Err(ApiError::field("note", "is longer than 2,000 characters"));
    }
    let claimed = match (&request.note, &slot) {
        (Some(_), None) => true,
        (None, _) | (Some(_), Some(_)) => {
            app.store.record_heartbeat(agent.scope(), &role, slot.as_deref()).await?
        }
    };
    if let Some(note) = &request.note {
        app.store.note_heartbeat(agent.scope(), &role, note).await?;
    }
    let pending = app.store.pending(&agent.user_id).await?;
    Ok(Json(HeartbeatAnswer {
        status: "ok".to_owned(),
        claimed,
        pending,
        extra: Map::from_iter([("role".to_owned(), role.into())]),
    }))
}

pub(super) async fn standup(
    State(app): State<App>,
    caller: Caller,
    body: Body<StandupRequest>,
) -> Result<Json<StandupAnswer>, ApiError> {
    let request = body.value;
    let zone = parse_zone(&request.timezone)
        .map_err(|unknown| ApiError::field("timezone", &format!("names an {unknown}")))?;
    let date = match &request.date {
        None => Utc::now().with_timezone(&zone).date_naive(),
        Some(date) => day(date).ok_or_else(|| ApiError::field("date", "must be YYYY-MM-DD"))?,
    };
    let one = match (&caller, &request.user_id) {
        (Caller::Agent(agent), Some(user_id)) => {
            agent.must_be(user_id)?;
            Some(user_id.clone())
        }
        (Caller::Agent(agent), None) => Some(agent.user_id.clone()),
        (Caller::Internal, Some(user_id)) if !is_user_id(user_id) => {
            return Err(ApiError::field("user_id", "is not a user id"));
        }
        (Caller::Internal, user_id) => user_id.clone(),
    };
    if let Some(user_id) = one {
        return Ok(Json(StandupAnswer::One(day_of(&app, &user_id, zone, date).await?)));
    }
    let (mut items, mut size) = (Vec::new(), 0_usize);
    for user_id in app.store.users().await? {
        let mut day = day_of(&app, &user_id, zone, date).await?;
        size = size.saturating_add(json_size(&day).map_err(|_| ApiError::internal())?);
        if size > PAGE_BYTES {
            // The summary and the stored document tell the rest.
            for list in [&mut day.done, &mut day.in_progress, &mut day.blocked] {
                list.clear();
            }
        }
        items.push(day);
    }
    Ok(Json(StandupAnswer::All { date: date.to_string(), timezone: zone.name().to_owned(), items }))
}

/// Parses `YYYY-MM-DD`, and no other spelling.
fn day(text: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (date.format("%Y-%m-%d").to_string() == text && text.len() == 10).then_some(date)
}

async fn day_of(
    app: &App,
    user_id: &str,
    zone: Zone,
    date: NaiveDate,
) -> Result<Standup, ApiError> {
    let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
    let (from, to) = (stamp(zone.start_of(date)), stamp(zone.start_of(next)));
    let [done, in_progress, blocked] = app.store.standup_tasks(user_id, &from, &to).await?;
    let summary = format!(
        "{} done, {} in progress, {} blocked.",
        done.count, in_progress.count, blocked.count
    );
    let document = CreateDocument {
        title: format!("Standup {date} ({})", zone.name()),
        content: text(
            &summary,
            &[("Done", &done), ("In progress", &in_progress), ("Blocked", &blocked)],
        ),
        doc_type: Some("standup".to_owned()),
        task_id: None,
        idempotency_key: None,
    };
    // The same day with the same content is the same document.
    let key = format!("{date}:{}:{}", zone.name(), document.content);
    let body = json!({ "title": document.title, "content": document.content });
    let make = async |tx: &mut _| documents::insert(tx, user_id, &document).await;
    let stored = app.store.create(Scope::of(user_id), "standup", Some(&key), &body, make).await?;
    Ok(Standup {
        date: date.to_string(),
        timezone: zone.name().to_owned(),
        user_id: user_id.to_owned(),
        document_id: Document::deserialize(&stored.body).ok().map(|document| document.id),
        summary,
        done: items(done),
        in_progress: items(in_progress),
        blocked: items(blocked),
    })
}

fn items(tasks: StandupTasks) -> Vec<StandupItem> {
    let item = |(id, title, status)| StandupItem::Task {
        id,
        title,
        extra: Map::from_iter([("status".to_owned(), Value::String(status))]),
    };
    tasks.first.into_iter().map(item).collect()
}

fn text(summary: &str, lists: &[(&str, &StandupTasks)]) -> String {
    let mut out = summary.to_owned();
    for (title, tasks) in lists {
        if !tasks.first.is_empty() {
            out += &format!("\n\n## {title}\n");
            for (_, title, _) in &tasks.first {
                out += &format!("\n- {title}");
            }
            let more = tasks.count - i64::try_from(tasks.first.len()).unwrap_or(i64::MAX);
            if more > 0 {
                out += &format!("\n- and {more} more");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_one_spelling() {
        assert!(day("2026-02-28").is_some());
        for text in ["2026-2-28", "2026-02-29", "+12026-01-01", "26-01-01", "2026-01-01 ", ""] {
            assert!(day(text).is_none(), "{text}");
        }
    }
}
