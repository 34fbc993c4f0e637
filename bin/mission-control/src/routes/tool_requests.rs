//! Tool requests: calls that need a person's approval.

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use http::HeaderMap;
use mc_client::tool_requests::{CreateToolRequest, Decision, ToolRequest, ToolRequestStatus};
use mc_client::types::Page;
use serde_json::Value;

use super::created;
use super::runs::check_key;
use crate::app::App;
use crate::auth::{Person, Tenant, Writer, check_session};
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, paging, require_filled};
use crate::headers::idempotency_key;
use crate::store::tool_requests;
use crate::store::tool_requests::ToolRequestFilter;

pub(super) async fn list(
    State(app): State<App>,
    tenant: Tenant,
    Query(params): Params,
) -> Result<Json<Page<ToolRequest>>, ApiError> {
    let (limit, after) = paging(&params)?;
    let status = match params.get("status") {
        None => None,
        Some(text) => Some(text.parse::<ToolRequestStatus>().map_err(|()| {
            ApiError::field("status", "must be pending, approved, denied or cancelled")
        })?),
    };
    let (run_key, task_id) = (params.get("run_key").cloned(), params.get("task_id").cloned());
    let filter = ToolRequestFilter { status, run_key, task_id };
    Ok(Json(app.store.tool_requests(tenant.user_id(), &filter, limit, after).await?))
}

pub(super) async fn create(
    State(app): State<App>,
    writer: Writer,
    body: Body<CreateToolRequest>,
) -> Result<Response, ApiError> {
    let new = body.value;
    require_filled(&[
        ("task_id", &new.task_id),
        ("tool", &new.tool),
        ("idempotency_key", &new.idempotency_key),
    ])?;
    check_key(&new.run_key)?;
    let scope = writer.scope();
    let user = scope.user_id;
    check_session(user, &new.session_key)?;
    let make = async |tx: &mut _| tool_requests::insert(tx, user, &new).await;
    let key = Some(new.idempotency_key.as_str());
    let mut made = app.store.create(scope, "tool-requests", key, &body.raw, make).await?;
    // A repetition is answered with the current status.
    if made.replayed
        && let Some(id) = made.body["id"].as_str()
    {
        let current = app.store.tool_request(user, id).await?;
        made.body = serde_json::to_value(current).map_err(|_| ApiError::internal())?;
    }
    Ok(created(made))
}

pub(super) async fn get(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id,
) -> Result<Json<ToolRequest>, ApiError> {
    Ok(Json(app.store.tool_request(tenant.user_id(), &id).await?))
}

pub(super) async fn decide(
    State(app): State<App>,
    person: Person,
    Id(id): Id,
    headers: HeaderMap,
    body: Body<Decision>,
) -> Result<Json<ToolRequest>, ApiError> {
    match body.value.status {
        ToolRequestStatus::Approved | ToolRequestStatus::Denied => {}
        ToolRequestStatus::Pending | ToolRequestStatus::Cancelled => {
            return Err(ApiError::field("status", "must be approved or denied"));
        }
    }
    let key = idempotency_key(&headers);
    let arguments = body.raw.get("arguments").filter(|arguments| **arguments != Value::Null);
    Ok(Json(app.store.decide(&person.user_id, &id, &body.value, arguments, key).await?))
}
