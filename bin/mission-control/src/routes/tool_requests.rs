//! Tool requests: calls that need a person's approval, and questions.

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use http::HeaderMap;
use mc_client::tool_requests::{
    CreateToolRequest, Decision, ToolRequest, ToolRequestKind, ToolRequestStatus,
};
use mc_client::types::Page;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::runs::check_key;
use super::{created, question};
use crate::app::App;
use crate::auth::{Person, Tenant, Trace, Writer};
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, paging, require_filled, require_short};
use crate::headers::idempotency_key;
use crate::mentions::is_role;
use crate::store::audit::Actor;
use crate::store::tool_requests::ToolRequestFilter;
use crate::store::{Scope, tool_requests};

/// The most characters of a tool's name.
pub(super) const MAX_TOOL: usize = 1_000;

/// The most characters of a reason and of a note, which are kept in the audit log.
pub(super) const MAX_WORDS: usize = 10_000;

pub(super) async fn list(
    State(app): State<App>,
    tenant: Tenant,
    Query(params): Params,
) -> Result<Json<Page<ToolRequest>>, ApiError> {
    let (limit, after) = paging(&params)?;
    let status = match params.get("status") {
        None => None,
        Some(text) => Some(text.parse::<ToolRequestStatus>().map_err(|()| {
            ApiError::field(
                "status",
                "must be pending, approved, denied, answered, expired or cancelled",
            )
        })?),
    };
    let (run_key, task_id) = (params.get("run_key").cloned(), params.get("task_id").cloned());
    let filter = ToolRequestFilter { status, run_key, task_id };
    app.store.expire_before_reading().await;
    Ok(Json(app.store.tool_requests(tenant.scope(), &filter, limit, after).await?))
}

/// The arguments as they were sent. What a person approves is this text: a number has all its digits,
/// and a name that is given twice is there twice.
#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow)]
    arguments: &'a RawValue,
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
    require_short(&[
        ("tool", Some(&new.tool), MAX_TOOL),
        ("reason", new.reason.as_deref(), MAX_WORDS),
    ])?;
    check_key(&new.run_key)?;
    check_kind(&new).await?;
    let scope = writer.scope();
    writer.tenant.check_session(&new.session_key)?;
    let sent: Sent<'_> = serde_json::from_slice(&body.bytes)
        .map_err(|_| ApiError::field("arguments", "must be given once"))?;
    let arguments = sent.arguments.get();
    let make = async |tx: &mut _| tool_requests::insert(tx, scope, &new, arguments).await;
    let key = Some(new.idempotency_key.as_str());
    let mut made = app.store.create(scope, "tool-requests", key, &body.raw, make).await?;
    // A repetition is answered with the current status.
    if made.replayed
        && let Ok(known) = ToolRequest::deserialize(&made.body)
    {
        app.store.expire_before_reading().await;
        let current = app.store.tool_request(scope, &known.id).await?;
        made.body = serde_json::to_value(current).map_err(|_| ApiError::internal())?;
    }
    Ok(created(made))
}

/// Refuses what does not belong to the kind of a request: a question that cannot be asked, and fields that only
/// questions have.
async fn check_kind(new: &CreateToolRequest) -> Result<(), ApiError> {
    if let Some(asker) = &new.asked_by {
        check_key(&asker.run_key)?;
        if !is_role(&asker.role) {
            return Err(ApiError::field("asked_by.role", "must be letters, digits, _ and -"));
        }
    }
    if new.kind == ToolRequestKind::Question {
        return question::check(new).await;
    }
    let of_questions =
        [("ttl_secs", new.ttl_secs.is_some()), ("expires_at", new.expires_at.is_some())];
    if let Some((name, _)) = of_questions.iter().find(|(_, is_given)| *is_given) {
        return Err(ApiError::field(
            name,
            "is for questions: an approval waits until it is decided",
        ));
    }
    if new.parameters.as_ref().is_some_and(|schema| !schema.is_object() && !schema.is_boolean()) {
        return Err(ApiError::field("parameters", "must be a JSON Schema"));
    }
    Ok(())
}

pub(super) async fn get(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id,
) -> Result<Json<ToolRequest>, ApiError> {
    app.store.expire_before_reading().await;
    Ok(Json(app.store.tool_request(tenant.scope(), &id).await?))
}

pub(super) async fn decide(
    State(app): State<App>,
    person: Person,
    trace: Trace,
    Id(id): Id,
    headers: HeaderMap,
    body: Body<Decision>,
) -> Result<Json<ToolRequest>, ApiError> {
    match body.value.status {
        ToolRequestStatus::Approved | ToolRequestStatus::Denied => {}
        ToolRequestStatus::Pending
        | ToolRequestStatus::Cancelled
        | ToolRequestStatus::Answered
        | ToolRequestStatus::Expired => {
            return Err(ApiError::field("status", "must be approved or denied"));
        }
    }
    require_short(&[("note", body.value.note.as_deref(), MAX_WORDS)])?;
    let key = idempotency_key(&headers);
    let arguments = body.raw.get("arguments").filter(|arguments| **arguments != Value::Null);
    let user_id = &person.user_id;
    let scope = Scope::of(user_id).by(trace.by(Actor::Person(user_id)));
    Ok(Json(app.store.decide(scope, &id, &body.value, arguments, key).await?))
}
