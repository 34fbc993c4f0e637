//! Heartbeat and standup.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use chrono::{DateTime, Days, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;
use http::request::Parts;
use mc_client::types::{
    CreateDocument, HeartbeatRequest, Standup, StandupAnswer, StandupItem, StandupRequest, Task,
};
use serde_json::{Map, Value, json};

use super::objects::own;
use crate::App;
use crate::auth::{Agent, Internal};
use crate::error::ApiError;
use crate::extract::Body;
use crate::store::{documents, stamp};

pub(super) async fn heartbeat(
    State(app): State<App>,
    agent: Agent,
    body: Body<HeartbeatRequest>,
) -> Result<Json<Value>, ApiError> {
    let request = body.value;
    own(&agent, &request.user_id)?;
    let role = request.role.unwrap_or(agent.role);
    let claimed = match &request.slot {
        None => true,
        Some(slot) => {
            let tick = DateTime::parse_from_rfc3339(slot);
            let tick = tick.map_err(|_| ApiError::field("slot", "must be a time of RFC 3339"))?;
            app.store.claim_slot(&agent.user_id, &role, &stamp(tick.to_utc())).await?
        }
    };
    let pending = app.store.pending(&agent.user_id).await?;
    Ok(Json(json!({ "status": "ok", "role": role, "claimed": claimed, "pending": pending })))
}

/// Who asks for a standup: an agent for its own user, or a service for anybody.
pub(super) enum Asker {
    Agent(Agent),
    Internal,
}

impl FromRequestParts<App> for Asker {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if parts.headers.contains_key("x-internal-token") {
            return Internal::from_request_parts(parts, app).await.map(|_| Self::Internal);
        }
        Agent::from_request_parts(parts, app).await.map(Self::Agent)
    }
}

pub(super) async fn standup(
    State(app): State<App>,
    asker: Asker,
    body: Body<StandupRequest>,
) -> Result<Json<StandupAnswer>, ApiError> {
    let request = body.value;
    let zone: Tz = request
        .timezone
        .parse()
        .map_err(|_| ApiError::field("timezone", "is no IANA time zone"))?;
    let date = match &request.date {
        None => Utc::now().with_timezone(&zone).date_naive(),
        Some(date) => NaiveDate::parse_from_str(date, "%Y-%m-%d")
            .map_err(|_| ApiError::field("date", "must be YYYY-MM-DD"))?,
    };
    let one = match (&asker, &request.user_id) {
        (Asker::Agent(agent), Some(user_id)) => {
            own(agent, user_id)?;
            Some(user_id.clone())
        }
        (Asker::Agent(agent), None) => Some(agent.user_id.clone()),
        (Asker::Internal, user_id) => user_id.clone(),
    };
    if let Some(user_id) = one {
        return Ok(Json(StandupAnswer::One(day_of(&app, &user_id, zone, date).await?)));
    }
    let mut items = Vec::new();
    for user_id in app.store.users().await? {
        items.push(day_of(&app, &user_id, zone, date).await?);
    }
    Ok(Json(StandupAnswer::All { date: date.to_string(), timezone: zone.name().to_owned(), items }))
}

/// The first moment of a day in a zone; where midnight does not exist, the first one that does.
fn start_of(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = day.and_hms_opt(0, 0, 0).unwrap_or_default();
    (0..=180)
        .find_map(|minutes| {
            zone.from_local_datetime(&(midnight + chrono::Duration::minutes(minutes))).earliest()
        })
        .map_or_else(|| midnight.and_utc(), |start| start.to_utc())
}

async fn day_of(app: &App, user_id: &str, zone: Tz, date: NaiveDate) -> Result<Standup, ApiError> {
    let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
    let (from, to) = (stamp(start_of(date, zone)), stamp(start_of(next, zone)));
    let [done, in_progress, blocked] = app.store.day(user_id, &from, &to).await?;
    let summary = format!(
        "{} done, {} in progress, {} blocked.",
        done.len(),
        in_progress.len(),
        blocked.len()
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
    let stored = app.store.create(user_id, "standup", Some(&key), &body, make).await?;
    Ok(Standup {
        date: date.to_string(),
        timezone: zone.name().to_owned(),
        user_id: user_id.to_owned(),
        document_id: stored.body["id"].as_str().map(str::to_owned),
        summary,
        done: items(done),
        in_progress: items(in_progress),
        blocked: items(blocked),
    })
}

fn items(tasks: Vec<Task>) -> Vec<StandupItem> {
    tasks
        .into_iter()
        .map(|task| StandupItem::Task {
            id: task.id,
            title: task.title,
            extra: Map::from_iter([("status".to_owned(), Value::String(task.status))]),
        })
        .collect()
}

fn text(summary: &str, lists: &[(&str, &Vec<Task>)]) -> String {
    let mut out = summary.to_owned();
    for (title, tasks) in lists {
        if !tasks.is_empty() {
            out += &format!("\n\n## {title}\n");
            for task in *tasks {
                out += &format!("\n- {}", task.title);
            }
        }
    }
    out
}
