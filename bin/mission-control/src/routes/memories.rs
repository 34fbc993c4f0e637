//! What is remembered from run to run.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::StatusCode;
use mc_client::memories::{
    CreateMemory, MAX_QUERY, MAX_TEXT, Memory, MemoryScope, MemorySource, UpdateMemory,
};
use mc_client::types::Page;

use super::created;
use crate::anyone::Anyone;
use crate::app::App;
use crate::auth::is_user_id;
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, paging, require_filled, require_key, require_short};
use crate::store::memories::{MemoryFilter, NewMemory, Owner, Reach, insert};
use crate::store::schedule_times::is_in_order;

/// The most characters of an id that a memory names.
const MAX_ID: usize = 200;

/// The most characters of a tenant's id.
const MAX_TENANT: usize = 128;

/// The scope that a field or a query names.
fn scope_of(text: &str) -> Result<MemoryScope, ApiError> {
    text.parse().map_err(|()| ApiError::field("scope", "must be user, task or tenant"))
}

/// Refuses a text that is no memory's.
pub(crate) fn check_text(text: &str) -> Result<(), ApiError> {
    require_filled(&[("text", text)])?;
    require_short(&[("text", Some(text), MAX_TEXT)])
}

/// Refuses a time that is over, or that is not in order with others as it is stored.
fn check_expiry(expires_at: Option<DateTime<Utc>>) -> Result<(), ApiError> {
    match expires_at {
        Some(at) if at <= Utc::now() => {
            Err(ApiError::field("expires_at", "must be in the future, or absent for never"))
        }
        Some(at) if !is_in_order(at) => {
            Err(ApiError::field("expires_at", "must be before the year 10000, or absent for never"))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_source(source: Option<&MemorySource>) -> Result<(), ApiError> {
    let Some(MemorySource { run_key, message_id }) = source else { return Ok(()) };
    for (name, id) in [("source.run_key", run_key), ("source.message_id", message_id)] {
        let Some(id) = id else { continue };
        require_filled(&[(name, id)])?;
        require_short(&[(name, Some(id), MAX_ID)])?;
    }
    Ok(())
}

/// The user whose memory it is to be: the caller's own, or the one that a service names.
fn user_of(caller: &Anyone, new: &CreateMemory) -> Result<String, ApiError> {
    let named = new.user_id.as_deref();
    if named.is_some_and(|named| !is_user_id(named)) {
        return Err(ApiError::field("user_id", "is not a user id"));
    }
    match (caller.user_id(), named) {
        (Some(own), Some(named)) if own != named => Err(ApiError::not_found("user")),
        (Some(own), _) => Ok(own.to_owned()),
        (None, Some(named)) => Ok(named.to_owned()),
        (None, None) => Err(ApiError::field(
            "user_id",
            "is required, or X-On-Behalf-Of: a service has no memories of its own",
        )),
    }
}

/// Whose a new memory is.
fn owner(caller: &Anyone, new: &CreateMemory) -> Result<Owner, ApiError> {
    let unfit = |name: &str| {
        let why = format!("does not go with the scope {}: leave it out", new.scope.as_str());
        ApiError::field(name, &why)
    };
    if new.scope == MemoryScope::Tenant && caller.user_id().is_some() {
        let why = "only a service with the internal token alone writes a tenant's memories";
        return Err(ApiError::forbidden(why));
    }
    for (name, is_there, fits) in [
        ("user_id", new.user_id.is_some(), new.scope != MemoryScope::Tenant),
        ("task_id", new.task_id.is_some(), new.scope == MemoryScope::Task),
        ("tenant_id", new.tenant_id.is_some(), new.scope == MemoryScope::Tenant),
    ] {
        if is_there && !fits {
            return Err(unfit(name));
        }
    }
    Ok(match new.scope {
        MemoryScope::User => Owner::User(user_of(caller, new)?),
        MemoryScope::Task => {
            let task_id = new.task_id.clone();
            let task_id = task_id.ok_or_else(|| ApiError::field("task_id", "is required"))?;
            Owner::Task { user_id: user_of(caller, new)?, task_id }
        }
        MemoryScope::Tenant => {
            let tenant_id = new.tenant_id.clone();
            let tenant_id = tenant_id.ok_or_else(|| ApiError::field("tenant_id", "is required"))?;
            require_filled(&[("tenant_id", &tenant_id)])?;
            require_short(&[("tenant_id", Some(&tenant_id), MAX_TENANT)])?;
            Owner::Tenant(tenant_id)
        }
    })
}

/// Whose memories a caller has. `params`: a service may name a user or a tenant.
async fn reach(
    app: &App,
    caller: &Anyone,
    params: &HashMap<String, String>,
) -> Result<Reach, ApiError> {
    let named = |name: &str| params.get(name).cloned();
    let (user_id, tenant_id) = (named("user_id"), named("tenant_id"));
    let Some(own) = caller.user_id() else { return Ok(Reach { user_id, tenant_id }) };
    if user_id.is_some_and(|user_id| user_id != own) {
        return Err(ApiError::not_found("user"));
    }
    let own_tenant = app.store.tenant_of(own, caller.role()).await?;
    if tenant_id.is_some() && tenant_id != own_tenant {
        return Err(ApiError::not_found("tenant"));
    }
    Ok(Reach { user_id: Some(own.to_owned()), tenant_id: own_tenant })
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Anyone,
    Query(params): Params,
) -> Result<Json<Page<Memory>>, ApiError> {
    let (limit, before) = paging(&params)?;
    let scope = params.get("scope").map(|text| scope_of(text)).transpose()?;
    let q = params.get("q").map(String::as_str).filter(|q| !q.trim().is_empty());
    require_short(&[("q", q, MAX_QUERY)])?;
    if q.is_some() && params.contains_key("cursor") {
        return Err(ApiError::field("cursor", "does not go with q, whose answer is one page"));
    }
    let filter = MemoryFilter { scope, task_id: params.get("task_id").map(String::as_str), q };
    let reach = reach(&app, &caller, &params).await?;
    Ok(Json(app.store.memories(&reach, &filter, limit, before).await?))
}

pub(super) async fn create(
    State(app): State<App>,
    caller: Anyone,
    body: Body<CreateMemory>,
) -> Result<Response, ApiError> {
    let new = &body.value;
    check_text(&new.text)?;
    check_expiry(new.expires_at)?;
    check_source(new.source.as_ref())?;
    require_key(new.idempotency_key.as_deref())?;
    let owner = owner(&caller, new)?;
    let memory = NewMemory {
        owner,
        text: new.text.clone(),
        source: new.source.clone(),
        expires_at: new.expires_at,
    };
    let scope = caller.scope(new.user_id.as_deref().unwrap_or_default());
    let key = new.idempotency_key.as_deref();
    let make = async |tx: &mut _| insert(tx, scope, &memory).await;
    Ok(created(app.store.create(scope, "memories", key, &body.raw, make).await?))
}

pub(super) async fn update(
    State(app): State<App>,
    caller: Anyone,
    Id(id): Id,
    body: Body<UpdateMemory>,
) -> Result<Json<Memory>, ApiError> {
    let update = &body.value;
    if let Some(text) = &update.text {
        check_text(text)?;
    }
    check_expiry(update.expires_at.flatten())?;
    let reach = reach(&app, &caller, &HashMap::new()).await?;
    Ok(Json(app.store.update_memory(caller.scope(""), &reach, &id, update).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Anyone,
    Id(id): Id,
) -> Result<StatusCode, ApiError> {
    let reach = reach(&app, &caller, &HashMap::new()).await?;
    app.store.delete_memory(caller.scope(""), &reach, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
