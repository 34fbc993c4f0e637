//! The journal of runs.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use mc_client::runs::{PutRun, PutStep, Run, RunNote};

use crate::app::App;
use crate::auth::{Tenant, Writer};
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, Part, require_filled};
use crate::mentions::is_role;
use crate::store::{Scope, session_role};

/// The largest step, and the largest run without its steps: a request as large as the daemon takes, with the thread that goes with it.
const MAX_STEP: usize = 8 * 1024 * 1024;

/// The longest key of a run.
const MAX_KEY: usize = 200;

/// Refuses a text that cannot be a run's key.
pub(super) fn check_key(run_key: &str) -> Result<(), ApiError> {
    check_key_in("run_key", run_key)
}

fn check_key_in(field: &str, run_key: &str) -> Result<(), ApiError> {
    require_filled(&[(field, run_key)])?;
    if run_key.len() > MAX_KEY {
        return Err(ApiError::field(field, "is too long"));
    }
    Ok(())
}

/// The role that a query names, for those who may touch all roles' runs: a key alone is not enough
/// where several roles have a run with it, and a lead's own comes first.
pub(super) fn of_role<'a>(
    scope: Scope<'a>,
    params: &'a HashMap<String, String>,
) -> Result<Scope<'a>, ApiError> {
    let named = params.get("role").map(String::as_str);
    if named.is_some_and(|role| !is_role(role)) {
        return Err(ApiError::field("role", "must be letters, digits, _ and -"));
    }
    Ok(Scope { role: scope.role.or(named), ..scope })
}

pub(super) async fn get(
    State(app): State<App>,
    tenant: Tenant,
    Id(run_key): Id,
    Query(params): Params,
) -> Result<Json<Run>, ApiError> {
    let scope = of_role(tenant.scope(), &params)?;
    // Who asks often where a run stands does not want its journal.
    let run = match params.get("steps").map(String::as_str) {
        None | Some("true") => app.store.run(scope, &run_key).await?,
        Some("false") => app.store.run_state(scope, &run_key).await?,
        Some(_) => return Err(ApiError::field("steps", "must be true or false")),
    };
    Ok(Json(run))
}

pub(super) async fn put(
    State(app): State<App>,
    writer: Writer,
    Id(run_key): Id,
    Query(params): Params,
    body: Body<PutRun, MAX_STEP>,
) -> Result<Json<RunNote>, ApiError> {
    check_key(&run_key)?;
    if let Some(parent) = &body.value.parent_run_key {
        check_key_in("parent_run_key", parent)?;
    }
    let scope = of_role(writer.scope(), &params)?;
    if let Some(session_key) = &body.value.session_key {
        writer.tenant.check_session(session_key)?;
        if scope.role.is_some_and(|role| session_role(scope.user_id, session_key) != Some(role)) {
            return Err(ApiError::field("session_key", "must be of the role that the query names"));
        }
    }
    Ok(Json(app.store.put_run(scope, &run_key, &body.value).await?))
}

pub(super) async fn put_step(
    State(app): State<App>,
    writer: Writer,
    Part(run_key, index): Part,
    Query(params): Params,
    body: Body<PutStep, MAX_STEP>,
) -> Result<Json<RunNote>, ApiError> {
    check_key(&run_key)?;
    let number = index.bytes().all(|b| b.is_ascii_digit()).then(|| index.parse::<u32>().ok());
    let index = number
        .flatten()
        .ok_or_else(|| ApiError::field("index", "must be a whole number from 0"))?;
    require_filled(&[("kind", &body.value.kind)])?;
    let scope = of_role(writer.scope(), &params)?;
    Ok(Json(app.store.put_step(scope, &run_key, index, &body.value).await?))
}

pub(super) async fn cancel(
    State(app): State<App>,
    writer: Writer,
    Id(run_key): Id,
    Query(params): Params,
) -> Result<Json<RunNote>, ApiError> {
    let scope = of_role(writer.scope(), &params)?;
    Ok(Json(app.store.cancel_run(scope, &run_key).await?))
}
