//! Schedules: made by people, agents and services.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{FromRequestParts, Query, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::request::Parts;
use mc_client::schedules::{
    CreateSchedule, MAX_CONTENT, MAX_LISTED, Schedule, ScheduleStatus, UpdateSchedule,
};
use mc_client::types::Page;

use super::created;
use crate::app::App;
use crate::auth::{Service, Trace, Writer, is_user_id};
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, paging, require_filled, require_key, require_short};
use crate::mentions::is_role;
use crate::store::Scope;
use crate::store::audit::Actor;
use crate::store::schedules::{ScheduleFilter, insert};

/// The largest `max_runs`.
const MAX_RUNS: u64 = 1_000_000_000;

/// Who schedules: an agent or a person for their user, or a service for any.
pub(super) enum Scheduler {
    /// An agent, or a person.
    Own(Box<Writer>),
    /// A service that acts for nobody in particular.
    Any(Trace),
}

impl FromRequestParts<App> for Scheduler {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if parts.headers.contains_key("x-internal-token") {
            let service = Service::from_request_parts(parts, app).await?;
            if service.on_behalf_of.is_none() {
                let trace = Trace::from_request_parts(parts, app).await;
                return Ok(Self::Any(trace.unwrap_or_else(|never| match never {})));
            }
        }
        Writer::from_request_parts(parts, app).await.map(|writer| Self::Own(Box::new(writer)))
    }
}

impl Scheduler {
    /// Whose schedules a call may touch, where `user_id` names the user for a service.
    fn scope<'a>(&'a self, user_id: &'a str) -> Scope<'a> {
        match self {
            Self::Own(writer) => writer.scope(),
            Self::Any(trace) => Scope::of(user_id).by(trace.by(Actor::Service)),
        }
    }

    /// Refuses a role that an agent must not act as.
    fn check_role(&self, role: &str) -> Result<(), ApiError> {
        if !is_role(role) {
            return Err(ApiError::field("role", "must be letters, digits, _ and -"));
        }
        match self {
            Self::Own(writer) => writer.tenant.check_role(role),
            Self::Any(_) => Ok(()),
        }
    }

    /// The user whom a body or a query names, which only a service may, or the caller's own.
    fn user<'a>(&'a self, named: Option<&'a str>) -> Result<Option<&'a str>, ApiError> {
        match (self, named) {
            (Self::Own(writer), None) => Ok(Some(writer.tenant.user_id())),
            (Self::Own(writer), Some(named)) if writer.tenant.user_id() == named => Ok(Some(named)),
            (Self::Own(_), Some(_)) => Err(ApiError::not_found("user")),
            (Self::Any(_), Some(named)) if !is_user_id(named) => {
                Err(ApiError::field("user_id", "is not a user id"))
            }
            (Self::Any(_), named) => Ok(named),
        }
    }

    /// The user of a schedule that is named by its id.
    async fn user_of(&self, app: &App, id: &str) -> Result<String, ApiError> {
        match self {
            Self::Own(writer) => Ok(writer.tenant.user_id().to_owned()),
            Self::Any(_) => Ok(app.store.schedule_user(id).await?),
        }
    }
}

fn check_texts(content: Option<&str>, max_runs: Option<u64>) -> Result<(), ApiError> {
    if let Some(content) = content {
        require_filled(&[("content", content)])?;
        require_short(&[("content", Some(content), MAX_CONTENT)])?;
    }
    match max_runs.is_some_and(|most| !(1..=MAX_RUNS).contains(&most)) {
        true => Err(ApiError::field("max_runs", &format!("must be 1 to {MAX_RUNS}"))),
        false => Ok(()),
    }
}

fn status(params: &HashMap<String, String>) -> Result<Option<ScheduleStatus>, ApiError> {
    let wrong = || ApiError::field("status", "must be active, paused or ended");
    let known = |text: &String| {
        let all = [ScheduleStatus::Active, ScheduleStatus::Paused, ScheduleStatus::Ended];
        all.into_iter().find(|status| status.as_str() == text).ok_or_else(wrong)
    };
    params.get("status").map(known).transpose()
}

/// How many slots are asked for, and from when.
fn listed(params: &HashMap<String, String>) -> Result<Option<(usize, DateTime<Utc>)>, ApiError> {
    let from = match params.get("from") {
        None => Utc::now(),
        Some(text) => {
            let from = DateTime::parse_from_rfc3339(text);
            from.map_err(|_| ApiError::field("from", "must be a time of RFC 3339"))?.to_utc()
        }
    };
    let Some(many) = params.get("slots") else { return Ok(None) };
    let many = many.parse::<u32>().ok().filter(|many| *many <= MAX_LISTED);
    let why = format!("must be a whole number, {MAX_LISTED} at most");
    let many = many.ok_or_else(|| ApiError::field("slots", &why))?;
    Ok(Some((usize::try_from(many).unwrap_or_default(), from)))
}

pub(super) async fn list(
    State(app): State<App>,
    scheduler: Scheduler,
    Query(params): Params,
) -> Result<Json<Page<Schedule>>, ApiError> {
    let (limit, after) = paging(&params)?;
    let role = params.get("role").cloned();
    if let Some(role) = &role {
        scheduler.check_role(role)?;
    }
    let filter = ScheduleFilter { status: status(&params)?, role };
    let user = scheduler.user(params.get("user_id").map(String::as_str))?;
    let own_role = scheduler.scope(user.unwrap_or_default()).role;
    Ok(Json(app.store.schedules(user, own_role, &filter, limit, after).await?))
}

pub(super) async fn create(
    State(app): State<App>,
    scheduler: Scheduler,
    body: Body<CreateSchedule>,
) -> Result<Response, ApiError> {
    let new = &body.value;
    require_key(new.idempotency_key.as_deref())?;
    scheduler.check_role(&new.role)?;
    check_texts(Some(&new.content), new.max_runs)?;
    let user = scheduler.user(new.user_id.as_deref())?;
    let user = user.ok_or_else(|| ApiError::field("user_id", "is required from a service"))?;
    let (scope, key) = (scheduler.scope(user), new.idempotency_key.as_deref());
    let make = async |tx: &mut _| insert(tx, scope, new).await;
    Ok(created(app.store.create(scope, "schedules", key, &body.raw, make).await?))
}

pub(super) async fn get(
    State(app): State<App>,
    scheduler: Scheduler,
    Id(id): Id,
    Query(params): Params,
) -> Result<Json<Schedule>, ApiError> {
    let slots = listed(&params)?;
    let user = scheduler.user_of(&app, &id).await?;
    Ok(Json(app.store.schedule(scheduler.scope(&user), &id, slots).await?))
}

pub(super) async fn update(
    State(app): State<App>,
    scheduler: Scheduler,
    Id(id): Id,
    body: Body<UpdateSchedule>,
) -> Result<Json<Schedule>, ApiError> {
    let change = &body.value;
    if let Some(role) = &change.role {
        scheduler.check_role(role)?;
    }
    check_texts(change.content.as_deref(), change.max_runs.flatten())?;
    let user = scheduler.user_of(&app, &id).await?;
    Ok(Json(app.store.update_schedule(scheduler.scope(&user), &id, change).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    scheduler: Scheduler,
    Id(id): Id,
) -> Result<StatusCode, ApiError> {
    let user = scheduler.user_of(&app, &id).await?;
    app.store.delete_schedule(scheduler.scope(&user), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
