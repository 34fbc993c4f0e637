//! Quiet hours, and dead letters as people see them (feature `delivery_options`).

use axum::Json;
use axum::extract::{Query, State};
use chrono::Utc;
use http::StatusCode;
use mc_client::delivery_options::{DeadLetterGroup, QuietHours};
use mc_client::types::Page;
use zones::parse_zone;

use crate::app::App;
use crate::auth::{Person, Service, is_user_id};
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, paging};
use crate::store::quiet_hours::{Period, clock, period};

/// Refuses a person another user's; a service that acts for nobody in particular may have any.
fn check_user(service: &Service, user_id: &str) -> Result<(), ApiError> {
    let is_theirs = service.on_behalf_of.as_deref().is_none_or(|person| person == user_id);
    if is_theirs && is_user_id(user_id) { Ok(()) } else { Err(ApiError::not_found("user")) }
}

/// The period that is on, or comes next; refuses hours that are none.
fn check(hours: &QuietHours) -> Result<Period, ApiError> {
    let zone = parse_zone(&hours.timezone)
        .map_err(|error| ApiError::field("timezone", &format!("is not known: {error}")))?;
    let time = |field: &str, text: &str| {
        let wrong = || ApiError::field(field, "must be a time of the clock, such as 22:00");
        clock(text).ok_or_else(wrong)
    };
    let (from, to) = (time("from", &hours.from)?, time("to", &hours.to)?);
    if from == to {
        return Err(ApiError::field("to", "must be another time than from"));
    }
    let none = || ApiError::field("from", "begins no quiet hours that this zone's clock shows");
    period(zone, from, to, Utc::now()).ok_or_else(none)
}

pub(super) async fn quiet_hours(
    State(app): State<App>,
    service: Service,
    Id(user_id): Id,
) -> Result<Json<QuietHours>, ApiError> {
    check_user(&service, &user_id)?;
    Ok(Json(app.store.quiet_hours(&user_id).await?))
}

pub(super) async fn put_quiet_hours(
    State(app): State<App>,
    service: Service,
    Id(user_id): Id,
    body: Body<QuietHours>,
) -> Result<Json<QuietHours>, ApiError> {
    check_user(&service, &user_id)?;
    let hours = body.value;
    app.store.put_quiet_hours(&user_id, &hours, check(&hours)?).await?;
    Ok(Json(hours))
}

pub(super) async fn delete_quiet_hours(
    State(app): State<App>,
    service: Service,
    Id(user_id): Id,
) -> Result<StatusCode, ApiError> {
    check_user(&service, &user_id)?;
    app.store.delete_quiet_hours(&user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn dead_letters(
    State(app): State<App>,
    person: Person,
    Query(params): Params,
) -> Result<Json<Page<DeadLetterGroup>>, ApiError> {
    let (limit, before) = paging(&params)?;
    Ok(Json(app.store.dead_letter_groups(&person.user_id, limit, before).await?))
}
