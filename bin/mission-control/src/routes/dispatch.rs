//! The dispatcher's endpoints: take deliveries, acknowledge them, report failures, dead letters.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::{Query, State};
use chrono::Utc;
use mc_client::dispatch::MAX_BATCH;
use mc_client::orphans::{LeaseOrphans, Orphans};
use mc_client::types::{
    DeadLetter, DeliverMany, DeliveredMany, Deliveries, Delivery, DeliveryFailure, Page,
};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::{Internal, Trace};
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, number, paging};
use crate::store::Scope;
use crate::store::audit::Actor;
use crate::store::dead_letters::DeliveryState;

/// The largest number of users and of notifications in one answer.
const MAX: u32 = 1_000;

/// The longest lease, in seconds.
const MAX_LEASE: u32 = 3_600;

fn user(params: &HashMap<String, String>) -> Result<&str, ApiError> {
    params
        .get("user_id")
        .map(String::as_str)
        .ok_or_else(|| ApiError::field("user_id", "is required"))
}

pub(super) async fn undelivered(
    State(app): State<App>,
    _internal: Internal,
    Query(params): Params,
) -> Result<Json<Deliveries<Delivery>>, ApiError> {
    app.asked_at.store(Utc::now().timestamp_millis(), Ordering::Relaxed);
    let users = number(&params, "limit_users", 100, MAX)?;
    let limit = number(&params, "limit_notifications", 100, MAX)?;
    let lease = match params.contains_key("lease_seconds") {
        true => Some(number(&params, "lease_seconds", 0, MAX_LEASE)?),
        false => None,
    };
    let deliveries =
        app.store.undelivered(users, limit, lease.filter(|seconds| *seconds > 0)).await?;
    Ok(Json(Deliveries { deliveries }))
}

pub(super) async fn orphans(
    State(app): State<App>,
    _internal: Internal,
    body: Body<LeaseOrphans>,
) -> Result<Json<Orphans>, ApiError> {
    let LeaseOrphans { lease_seconds, limit, returned } = body.value;
    if !(1..=MAX_LEASE).contains(&lease_seconds) {
        return Err(ApiError::field("lease_seconds", "must be from 1 to 3600"));
    }
    if limit == 0 {
        return Err(ApiError::field("limit", "must be at least 1"));
    }
    if returned.len() > MAX_BATCH {
        return Err(ApiError::field("returned", "are more than 1000"));
    }
    let most = app.config.orphan_max_attempts;
    let orphans = app.store.lease_orphans(lease_seconds, limit.min(MAX), most, &returned).await?;
    Ok(Json(orphans))
}

pub(super) async fn deliver(
    State(app): State<App>,
    _internal: Internal,
    Id(id): Id,
    Query(params): Params,
) -> Result<Json<Value>, ApiError> {
    app.store.deliver(&id, user(&params)?).await?;
    Ok(Json(json!({ "status": "delivered" })))
}

pub(super) async fn deliver_many(
    State(app): State<App>,
    _internal: Internal,
    body: Body<DeliverMany>,
) -> Result<Json<DeliveredMany>, ApiError> {
    let delivered = body.value.deliveries;
    if delivered.len() > MAX_BATCH {
        return Err(ApiError::field("deliveries", "are more than 1000"));
    }
    let not_found = app.store.deliver_many(&delivered).await?;
    Ok(Json(DeliveredMany { delivered: delivered.len() - not_found.len(), not_found }))
}

pub(super) async fn fail(
    State(app): State<App>,
    _internal: Internal,
    Id(id): Id,
    Query(params): Params,
    body: Body<DeliveryFailure>,
) -> Result<Json<Value>, ApiError> {
    let status = match app.store.fail(&id, user(&params)?, &body.value).await? {
        DeliveryState::Queue => "failed",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Dead => "dead",
    };
    Ok(Json(json!({ "status": status })))
}

pub(super) async fn requeue(
    State(app): State<App>,
    _internal: Internal,
    trace: Trace,
    Id(id): Id,
    Query(params): Params,
) -> Result<Json<Value>, ApiError> {
    let scope = Scope::of(user(&params)?).by(trace.by(Actor::Service));
    app.store.requeue(scope, &id).await?;
    Ok(Json(json!({ "status": "queued" })))
}

pub(super) async fn dead(
    State(app): State<App>,
    _internal: Internal,
    Query(params): Params,
) -> Result<Json<Page<DeadLetter>>, ApiError> {
    let (limit, before) = paging(&params)?;
    Ok(Json(app.store.dead_letters(limit, before).await?))
}
