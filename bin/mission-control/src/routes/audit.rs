//! The audit log.

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{MatchedPath, Query, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use chrono::DateTime;
use http::StatusCode;
use mc_client::audit::{AuditEntry, DAEMON_ACTS, MAX_DETAILS, RecordAct};
use mc_client::jcs::canonical;
use mc_client::types::Page;
use serde_json::Value;

use super::created;
use crate::app::App;
use crate::auth::{Caller, Service, Trace, claims, is_user_id, issued_at};
use crate::error::ApiError;
use crate::extract::{Body, Params, paging, require_key};
use crate::store::audit::{Act, Actor, AuditFilter};
use crate::store::audit_limits::record_daemon_act;
use crate::store::{Scope, StoreError, stamp};

/// The longest name of an act, or kind or id of an object, in characters.
const MAX_NAME: usize = 200;

/// The longest reason, in characters.
const MAX_REASON: usize = 2_000;

/// How many of a role's denied calls of one endpoint are recorded within an [`HOUR`]: who tries without
/// end fills no disk.
const MAX_DENIED: u32 = 10;

const HOUR: Duration = Duration::from_secs(3_600);

/// A time of the query, as it is stored.
fn time(params: &HashMap<String, String>, name: &str) -> Result<Option<String>, ApiError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let time = DateTime::parse_from_rfc3339(text);
    let time = time.map_err(|_| ApiError::field(name, "must be a time of RFC 3339"))?;
    Ok(Some(stamp(time.to_utc())))
}

pub(super) async fn list(
    State(app): State<App>,
    service: Service,
    Query(params): Params,
) -> Result<Json<Page<AuditEntry>>, ApiError> {
    let (limit, after) = paging(&params)?;
    let user = |name: &str| match params.get(name) {
        Some(user_id) if !is_user_id(user_id) => Err(ApiError::field(name, "is not a user id")),
        user_id => Ok(user_id.cloned()),
    };
    let (mut user_id, actor_user_id) = (user("user_id")?, user("actor_user_id")?);
    if let Some(own) = service.on_behalf_of {
        // A person sees what concerns them, whoever did it.
        if user_id.as_ref().is_some_and(|user_id| *user_id != own) {
            return Err(ApiError::not_found("user"));
        }
        user_id = Some(own);
    }
    let act = params.get("act").cloned();
    let (from, to) = (time(&params, "from")?, time(&params, "to")?);
    let filter = AuditFilter { act, user_id, actor_user_id, from, to };
    Ok(Json(app.store.audit(&filter, limit, after).await?))
}

/// Whether an act is the daemon's to record: `daemon.` and a name in `snake_case`.
fn is_daemon_act(act: &str) -> bool {
    let name = act.strip_prefix(DAEMON_ACTS).unwrap_or_default();
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && act.len() <= MAX_NAME
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn check(new: &RecordAct) -> Result<(), ApiError> {
    if !is_daemon_act(&new.act) {
        return Err(ApiError::field("act", "must be daemon. and a name in snake_case"));
    }
    let too_long = |text: &str, most: usize| text.chars().count() > most;
    if let Some(object) = &new.object {
        for (field, text) in [("object.type", &object.kind), ("object.id", &object.id)] {
            if text.trim().is_empty() || too_long(text, MAX_NAME) {
                return Err(ApiError::field(field, "must have 1 to 200 characters"));
            }
        }
    }
    if new.reason.as_ref().is_some_and(|reason| too_long(reason, MAX_REASON)) {
        return Err(ApiError::field("reason", "must have at most 2000 characters"));
    }
    let details = canonical(&Value::Object(new.details.clone()));
    let details =
        details.map_err(|error| ApiError::field("details", &format!("is not valid: {error}")))?;
    if details.len() > MAX_DETAILS {
        return Err(ApiError::field("details", "must have at most 8192 bytes as JSON"));
    }
    require_key(new.idempotency_key.as_deref())
}

pub(super) async fn record(
    State(app): State<App>,
    caller: Caller,
    trace: Trace,
    body: Body<RecordAct>,
) -> Result<Response, ApiError> {
    let Caller::Agent(agent) = caller else {
        return Err(ApiError::forbidden("only an agent token records acts of the daemon"));
    };
    let new = body.value;
    check(&new)?;
    let (by, key) = (trace.by(agent.actor()), new.idempotency_key.as_deref());
    let mut act = Act::new(by, &new.act).of(&agent.user_id).with_all(new.details.clone());
    act = act.because(new.reason.as_deref());
    if let Some(object) = &new.object {
        act = act.about(&object.kind, &object.id);
    }
    let make = async |tx: &mut _| record_daemon_act(tx, &act).await;
    let made = app.store.create(agent.scope(), "audit", key, &body.raw, make).await;
    if let Err(StoreError::TooManyActs { .. }) = &made {
        let limited = Act::new(by, "audit.limited").of(&agent.user_id);
        app.store.record_at_most(Some(agent.scope()), &limited, 1, HOUR).await?;
    }
    Ok(created(made?))
}

/// Records calls of agents that are denied: an agent that acts as another role, or as a person.
pub(super) async fn record_denied(
    State(app): State<App>,
    trace: Trace,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers().clone();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    if response.status() != StatusCode::FORBIDDEN {
        return response;
    }
    // Who has no valid token is nobody that could be named.
    let (Ok(agent), Some(path)) = (claims(&headers, &app), path) else { return response };
    let actor = Actor::Agent { user_id: &agent.user_id, role: &agent.agent_role };
    let act = Act::new(trace.by(actor), "access.denied").of(&agent.user_id);
    let act = act.with("method", method.as_str()).with("path", path.as_str());
    let scope = Scope { issued_at: Some(issued_at(&agent)), ..Scope::of(&agent.user_id) };
    if let Err(error) = app.store.record_at_most(Some(scope), &act, MAX_DENIED, HOUR).await {
        tracing::warn!(%error, "a denied call could not be recorded in the audit log");
    }
    response
}
