//! Lists of runs, what they come to together, and what people think of them.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use mc_client::run_lists::{
    CreateFeedback, Feedback, ListedRun, MAX_COMMENT, MAX_LABEL, MAX_LABELS, MAX_QUERY, RunTotals,
};
use mc_client::runs::RunStatus;
use mc_client::types::Page;
use serde_json::{Value, json};

use super::created;
use super::runs::check_key;
use crate::anyone::Anyone;
use crate::app::App;
use crate::auth::{Service, Tenant, Trace, Writer, is_user_id};
use crate::error::ApiError;
use crate::extract::{Body, Params, paging, require_filled, require_key, require_short};
use crate::mentions::is_role;
use crate::store::feedback::{OfRun, put};
use crate::store::run_filter::{Rated, RunFilter};
use crate::store::run_lists::By;
use crate::store::{Scope, stamp};

/// A time of a query, as it is stored.
fn time(params: &HashMap<String, String>, name: &str) -> Result<Option<String>, ApiError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let at = text.parse::<DateTime<Utc>>().map_err(|_| {
        ApiError::field(name, "must be a time as of RFC 3339, such as 2026-11-29T08:00:00Z")
    })?;
    Ok(Some(stamp(at)))
}

/// The user that a caller asks about: its own, or the one that a service names.
fn user_of<'a>(caller: &'a Anyone, named: Option<&'a str>) -> Result<Option<&'a str>, ApiError> {
    match (caller.user_id(), named) {
        (Some(own), Some(named)) if own != named => Err(ApiError::not_found("user")),
        (Some(own), _) => Ok(Some(own)),
        (None, named) => Ok(named),
    }
}

/// The role that a caller asks about: an agent that is no lead asks about its own.
fn role_of<'a>(caller: &'a Anyone, named: Option<&'a str>) -> Result<Option<&'a str>, ApiError> {
    if named.is_some_and(|role| !is_role(role)) {
        return Err(ApiError::field("role", "must be letters, digits, _ and -"));
    }
    let Anyone::Tenant(Writer { tenant: Tenant::Agent(agent), .. }) = caller else {
        return Ok(named);
    };
    if let Some(role) = named {
        agent.must_act_as("role", role)?;
    }
    Ok(named.or(agent.scope().role))
}

fn filter(caller: &Anyone, params: &HashMap<String, String>) -> Result<RunFilter, ApiError> {
    let named = |name: &str| params.get(name).map(String::as_str);
    let status = named("status");
    if status.is_some_and(|status| status.parse::<RunStatus>().is_err()) {
        let all = RunStatus::ALL.map(RunStatus::as_str).join(", ");
        return Err(ApiError::field("status", &format!("must be one of {all}")));
    }
    let rating = match named("rating") {
        None => None,
        Some("up") => Some(Rated::Up),
        Some("down") => Some(Rated::Down),
        Some("none") => Some(Rated::None),
        Some(_) => return Err(ApiError::field("rating", "must be up, down or none")),
    };
    let q = named("q").filter(|q| !q.trim().is_empty());
    require_short(&[("q", q, MAX_QUERY), ("label", named("label"), MAX_LABEL)])?;
    let own = |text: Option<&str>| text.map(str::to_owned);
    if let Some(key) = params.get("run_key") {
        check_key(key)?;
    }
    Ok(RunFilter {
        run_key: own(named("run_key")),
        user_id: own(user_of(caller, named("user_id"))?),
        role: own(role_of(caller, named("role"))?),
        status: own(status),
        model: own(named("model")),
        digest: own(named("digest")),
        rating,
        label: own(named("label")),
        from: time(params, "from")?,
        to: time(params, "to")?,
        q: own(q),
    })
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Anyone,
    Query(params): Params,
) -> Result<Json<Page<ListedRun>>, ApiError> {
    let (limit, before) = paging(&params)?;
    Ok(Json(app.store.list_runs(&filter(&caller, &params)?, limit, before).await?))
}

pub(super) async fn summary(
    State(app): State<App>,
    caller: Anyone,
    Query(params): Params,
) -> Result<Json<Value>, ApiError> {
    let name = params.get("by").map(String::as_str).unwrap_or_default();
    let by = match name {
        "model" => By::Model,
        "role" => By::Role,
        "workspace" => By::Workspace,
        "digest" => By::Digest,
        _ => return Err(ApiError::field("by", "must be model, role, workspace or digest")),
    };
    let totals = app.store.run_totals(&filter(&caller, &params)?, by).await?;
    Ok(Json(
        json!({ "by": name, "items": totals.iter().map(|one| named(name, one)).collect::<Vec<_>>() }),
    ))
}

/// A total, with what its runs have in common also under its own name.
fn named(by: &str, totals: &RunTotals) -> Value {
    let mut item = json!(totals);
    item[by] = json!(totals.key);
    item
}

fn check(new: &CreateFeedback) -> Result<(), ApiError> {
    require_key(new.idempotency_key.as_deref())?;
    if new.rating.is_none() && new.labels.is_none() && new.comment.is_none() {
        return Err(ApiError::field("rating", "is required, or labels, or a comment"));
    }
    let labels = new.labels.as_deref().unwrap_or_default();
    if labels.len() > MAX_LABELS {
        return Err(ApiError::field("labels", &format!("are more than {MAX_LABELS}")));
    }
    for label in labels {
        require_filled(&[("labels", label)])?;
        require_short(&[("labels", Some(label), MAX_LABEL)])?;
    }
    require_short(&[("comment", new.comment.as_deref(), MAX_COMMENT)])?;
    if new.role.as_deref().is_some_and(|role| !is_role(role)) {
        return Err(ApiError::field("role", "must be letters, digits, _ and -"));
    }
    if new.user_id.as_deref().is_some_and(|user_id| !is_user_id(user_id)) {
        return Err(ApiError::field("user_id", "is not a user id"));
    }
    match (&new.message_id, &new.run_key) {
        (None, None) => Err(ApiError::field("run_key", "is required, or message_id")),
        (Some(id), None) => require_filled(&[("message_id", id)]),
        (_, Some(key)) => check_key(key),
    }
}

/// The run that a person, or a service, means.
fn of_run<'a>(
    service: &'a Service,
    (user_id, role): (Option<&'a str>, Option<&'a str>),
) -> Result<OfRun<'a>, ApiError> {
    let user_id = match (service.on_behalf_of.as_deref(), user_id) {
        (Some(own), Some(named)) if own != named => return Err(ApiError::not_found("user")),
        (own, named) => own.or(named),
    };
    Ok(OfRun { user_id, role, ..OfRun::default() })
}

pub(super) async fn give(
    State(app): State<App>,
    service: Service,
    trace: Trace,
    body: Body<CreateFeedback>,
) -> Result<Response, ApiError> {
    let new = &body.value;
    check(new)?;
    let of = OfRun {
        run_key: new.run_key.as_deref(),
        message_id: new.message_id.as_deref(),
        ..of_run(&service, (new.user_id.as_deref(), new.role.as_deref()))?
    };
    let scope = Scope::of(of.user_id.unwrap_or_default()).by(trace.by(service.actor()));
    let key = new.idempotency_key.as_deref();
    let make = async |tx: &mut _| put(tx, scope, of, new).await;
    Ok(created(app.store.create(scope, "feedback", key, &body.raw, make).await?))
}

pub(super) async fn given(
    State(app): State<App>,
    service: Service,
    Query(params): Params,
) -> Result<Json<Page<Feedback>>, ApiError> {
    let (limit, after) = paging(&params)?;
    let named = |name: &str| params.get(name).map(String::as_str);
    let run_key = named("run_key").ok_or_else(|| ApiError::field("run_key", "is required"))?;
    let of =
        OfRun { run_key: Some(run_key), ..of_run(&service, (named("user_id"), named("role")))? };
    app.store.check_run(of).await?;
    Ok(Json(app.store.feedback(of, limit, after).await?))
}
