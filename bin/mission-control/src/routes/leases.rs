//! Session leases.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use mc_client::leases::{Lease, LeaseRequest, RenewLease};
use serde_json::{Value, json};

use super::created;
use crate::app::App;
use crate::auth::Tenant;
use crate::error::ApiError;
use crate::extract::{Body, Id, require_filled, require_key};
use crate::store::leases;

/// The longest lease, in seconds.
const MAX_TTL: u32 = 3_600;

fn check_ttl(ttl_secs: u32) -> Result<(), ApiError> {
    if (1..=MAX_TTL).contains(&ttl_secs) {
        return Ok(());
    }
    Err(ApiError::field("ttl_secs", "must be from 1 to 3600"))
}

pub(super) async fn create(
    State(app): State<App>,
    tenant: Tenant,
    body: Body<LeaseRequest>,
) -> Result<Response, ApiError> {
    let new = body.value;
    require_filled(&[("task_id", &new.task_id), ("holder", &new.holder)])?;
    require_key(new.idempotency_key.as_deref())?;
    check_ttl(new.ttl_secs)?;
    tenant.check_session(&new.session_key)?;
    let (scope, key) = (tenant.scope(), new.idempotency_key.as_deref());
    let user = scope.user_id;
    let make = async |tx: &mut _| leases::insert(tx, user, &new).await;
    Ok(created(app.store.create(scope, "sessions/lease", key, &body.raw, make).await?))
}

pub(super) async fn renew(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id,
    body: Body<RenewLease>,
) -> Result<Json<Lease>, ApiError> {
    if let Some(ttl_secs) = body.value.ttl_secs {
        check_ttl(ttl_secs)?;
    }
    Ok(Json(app.store.renew_lease(tenant.scope(), &id, body.value.ttl_secs).await?))
}

pub(super) async fn free(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id,
) -> Result<Json<Value>, ApiError> {
    app.store.free_lease(tenant.scope(), &id).await?;
    Ok(Json(json!({ "status": "freed" })))
}
