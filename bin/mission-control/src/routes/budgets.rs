//! Budgets, reservations and usage.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use mc_client::budgets::{Budget, PutBudget, Reserve, ScopedBudget, Usage};
use mc_client::profiles::MAX_PROFILE_TEXT;

use super::created;
use crate::app::App;
use crate::auth::{Service, Tenant, Trace, Writer, is_user_id};
use crate::error::ApiError;
use crate::extract::{Body, require_filled, require_short};
use crate::mentions::is_role;
use crate::store::budgets;
use crate::store::budgets::Nanos;

/// The most that one model call can cost, in US dollars.
const MAX_CALL: f64 = 1_000_000.0;

fn amount(field: &str, usd: f64, max: f64) -> Result<Nanos, ApiError> {
    let amount = Nanos::of_usd(usd).filter(|_| usd <= max);
    amount.ok_or_else(|| ApiError::field(field, &format!("must be from 0 to {max}")))
}

pub(super) async fn get(State(app): State<App>, tenant: Tenant) -> Result<Json<Budget>, ApiError> {
    let scope = tenant.scope();
    Ok(Json(app.store.budget(scope.user_id, scope.own_role(), app.config.budget).await?))
}

/// Refuses a scope that no call can fit.
fn check(put: &PutBudget) -> Result<(), ApiError> {
    let PutBudget { user_id, tenant_id, role, .. } = put;
    if user_id.is_none() && tenant_id.is_none() && role.is_none() {
        return Err(ApiError::field("user_id", "is required, or tenant_id, or role"));
    }
    if user_id.as_deref().is_some_and(|user_id| !is_user_id(user_id)) {
        return Err(ApiError::field("user_id", "is not a user id"));
    }
    if tenant_id.as_deref().is_some_and(|tenant| tenant.trim().is_empty()) {
        return Err(ApiError::field("tenant_id", "must not be empty"));
    }
    if role.as_deref().is_some_and(|role| !is_role(role)) {
        return Err(ApiError::field("role", "is not a role"));
    }
    require_short(&[("tenant_id", tenant_id.as_deref(), MAX_PROFILE_TEXT)])
}

pub(super) async fn put(
    State(app): State<App>,
    service: Service,
    trace: Trace,
    body: Body<PutBudget>,
) -> Result<Json<ScopedBudget>, ApiError> {
    let put = body.value;
    check(&put)?;
    // On behalf of a person a service sets that person's budgets only.
    if let Some(person) = &service.on_behalf_of {
        match &put.user_id {
            Some(user_id) if user_id == person => {}
            Some(_) => return Err(ApiError::not_found("user")),
            None => {
                let why = "only a service sets budgets of several users, for nobody in particular";
                return Err(ApiError::forbidden(why));
            }
        }
    }
    let limit = amount("limit_usd", put.limit_usd, Nanos::MAX_USD)?;
    if put.warn_at.is_some_and(|part| !(0.0..=1.0).contains(&part)) {
        return Err(ApiError::field("warn_at", "must be from 0 to 1"));
    }
    Ok(Json(app.store.put_budget(trace.by(service.actor()), &put, limit).await?))
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
    let (payer, default) = ((scope.user_id, scope.own_role()), app.config.budget);
    let make = async |tx: &mut _| budgets::reserve(tx, payer, &new, estimate, default).await;
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
