//! Budgets, reservations and usage.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use mc_client::budgets::{Budget, PutBudget, Reserve, Usage};

use super::created;
use crate::app::App;
use crate::auth::{Service, Tenant, Trace, Writer, is_user_id};
use crate::error::ApiError;
use crate::extract::{Body, require_filled};
use crate::store::budgets::Nanos;
use crate::store::{Scope, budgets};

/// The most that one model call can cost, in US dollars.
const MAX_CALL: f64 = 1_000_000.0;

fn amount(field: &str, usd: f64, max: f64) -> Result<Nanos, ApiError> {
    let amount = Nanos::of_usd(usd).filter(|_| usd <= max);
    amount.ok_or_else(|| ApiError::field(field, &format!("must be from 0 to {max}")))
}

pub(super) async fn get(State(app): State<App>, tenant: Tenant) -> Result<Json<Budget>, ApiError> {
    Ok(Json(app.store.budget(tenant.user_id(), app.config.budget).await?))
}

pub(super) async fn put(
    State(app): State<App>,
    service: Service,
    trace: Trace,
    body: Body<PutBudget>,
) -> Result<Json<Budget>, ApiError> {
    let put = body.value;
    if !is_user_id(&put.user_id) {
        return Err(ApiError::field("user_id", "is not a user id"));
    }
    // On behalf of a person a service sets that person's budget only.
    if service.on_behalf_of.as_ref().is_some_and(|user_id| *user_id != put.user_id) {
        return Err(ApiError::not_found("user"));
    }
    let limit = amount("limit_usd", put.limit_usd, Nanos::MAX_USD)?;
    let scope = Scope::of(&put.user_id).by(trace.by(service.actor()));
    Ok(Json(app.store.put_budget(scope, &put, limit).await?))
}

pub(super) async fn reserve(
    State(app): State<App>,
    writer: Writer,
    body: Body<Reserve>,
) -> Result<Response, ApiError> {
    let new = body.value;
    require_filled(&[("run_id", &new.run_id), ("idempotency_key", &new.idempotency_key)])?;
    let estimate = amount("estimate_usd", new.estimate_usd, MAX_CALL)?;
    let (scope, key) = (writer.scope(), Some(new.idempotency_key.as_str()));
    let (user, default) = (scope.user_id, app.config.budget);
    let make = async |tx: &mut _| budgets::reserve(tx, user, &new, estimate, default).await;
    Ok(created(app.store.create(scope, "budget/reserve", key, &body.raw, make).await?))
}

pub(super) async fn usage(
    State(app): State<App>,
    writer: Writer,
    body: Body<Usage>,
) -> Result<Response, ApiError> {
    let usage = body.value;
    require_filled(&[
        ("run_id", &usage.run_id),
        ("role", &usage.role),
        ("model", &usage.model),
        ("idempotency_key", &usage.idempotency_key),
    ])?;
    writer.tenant.check_role(&usage.role)?;
    let cost = amount("cost_usd", usage.cost_usd, MAX_CALL)?;
    let (scope, key) = (writer.scope(), Some(usage.idempotency_key.as_str()));
    let make = async |tx: &mut _| budgets::record_usage(tx, scope.user_id, &usage, cost).await;
    Ok(created(app.store.create(scope, "usage", key, &body.raw, make).await?))
}
