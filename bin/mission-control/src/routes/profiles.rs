//! Customers' profiles (feature `profile`).

use std::collections::HashMap;

use axum::Json;
use axum::extract::{FromRequestParts, Query, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use mc_client::profiles::{MAX_PROFILE_TEXT, MAX_PROMPT_APPEND, Profile, ProfileWorkspace, digest};
use serde_json::Value;

use crate::app::App;
use crate::auth::{Agent, Service, Trace, is_user_id};
use crate::error::ApiError;
use crate::extract::{Body, Params, require_short};
use crate::mentions::is_role;
use crate::store::audit::{Actor, By};

/// Who may read a profile: the agent that it narrows, or a service for nobody in particular.
pub(super) enum Reader {
    Agent(Agent),
    Service,
}

/// A service for nobody in particular.
pub(super) struct Alone;

impl FromRequestParts<App> for Alone {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match Service::from_request_parts(parts, app).await?.on_behalf_of {
            None => Ok(Self),
            Some(_) => {
                Err(ApiError::forbidden("only a service may do this, for nobody in particular"))
            }
        }
    }
}

impl FromRequestParts<App> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if parts.headers.contains_key("x-internal-token") {
            return Alone::from_request_parts(parts, app).await.map(|Alone| Self::Service);
        }
        Agent::from_request_parts(parts, app).await.map(Self::Agent)
    }
}

/// The user and the role that a service names.
fn named(params: &HashMap<String, String>) -> Result<(&str, Option<&str>), ApiError> {
    let user = params.get("user_id").ok_or_else(|| ApiError::field("user_id", "is required"))?;
    if !is_user_id(user) {
        return Err(ApiError::field("user_id", "is not a user id"));
    }
    let role = params.get("role").map(String::as_str);
    if role.is_some_and(|role| !is_role(role)) {
        return Err(ApiError::field("role", "is not a role"));
    }
    Ok((user, role))
}

fn digest_of(body: &Value) -> Result<String, ApiError> {
    digest(body).map_err(|error| ApiError::field("profile", &error.to_string()))
}

/// Whether a request has this very version already.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter();
    let known = known.filter_map(|known| known.to_str().ok()).flat_map(|known| known.split(','));
    known.map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

fn answer(app: &App, headers: &HeaderMap, body: &Value) -> Result<Response, ApiError> {
    let tag = format!("\"{}\"", digest_of(body)?);
    let mut response = match has(headers, &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Json(body).into_response(),
    };
    let age = format!("private, max-age={}", app.config.profile_max_age.as_secs());
    for (name, value) in [(ETAG, tag), (CACHE_CONTROL, age)] {
        let value = HeaderValue::from_str(&value).map_err(|_| ApiError::internal())?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

pub(super) async fn get(
    State(app): State<App>,
    reader: Reader,
    headers: HeaderMap,
    Query(params): Params,
) -> Result<Response, ApiError> {
    let (user_id, role) = match &reader {
        Reader::Service => named(&params)?,
        Reader::Agent(agent) => {
            if let Some(user_id) = params.get("user_id") {
                agent.must_be(user_id)?;
            }
            if params.get("role").is_some_and(|role| *role != agent.role) {
                return Err(ApiError::role_mismatch("role", &agent.role));
            }
            (agent.user_id.as_str(), Some(agent.role.as_str()))
        }
    };
    let body = app.store.profile(user_id, role).await?;
    answer(&app, &headers, &body)
}

/// Refuses what is out of bounds. Whether a pattern, a model or a zone can be used, the daemon knows.
fn check(profile: &Profile) -> Result<(), ApiError> {
    require_short(&[
        ("prompt_append", profile.prompt_append.as_deref(), MAX_PROMPT_APPEND),
        ("tenant_id", profile.tenant_id.as_deref(), MAX_PROFILE_TEXT),
        ("locale", profile.locale.as_deref(), MAX_PROFILE_TEXT),
        ("timezone", profile.timezone.as_deref(), MAX_PROFILE_TEXT),
    ])?;
    if let Some(shares @ ProfileWorkspace::Shares(_)) = &profile.workspace
        && shares.of_user("").is_none()
    {
        return Err(ApiError::field("workspace", "the percentages must be 100 together"));
    }
    let limits = profile.limits.as_ref();
    if limits.is_some_and(|limits| limits.max_cost_usd.is_some_and(|most| most < 0.0)) {
        return Err(ApiError::field("limits.max_cost_usd", "must not be negative"));
    }
    if limits.is_some_and(|limits| limits.timeout_secs == Some(0)) {
        return Err(ApiError::field("limits.timeout_secs", "must be at least 1"));
    }
    if limits.is_some_and(|limits| limits.max_output_tokens == Some(0)) {
        return Err(ApiError::field("limits.max_output_tokens", "must be at least 1"));
    }
    Ok(())
}

pub(super) async fn put(
    State(app): State<App>,
    _alone: Alone,
    trace: Trace,
    Query(params): Params,
    body: Body<Profile>,
) -> Result<Response, ApiError> {
    let (user_id, role) = named(&params)?;
    check(&body.value)?;
    let digest = digest_of(&body.raw)?;
    let by: By<'_> = trace.by(Actor::Service);
    app.store.put_profile(by, (user_id, role), &body.raw, &digest).await?;
    answer(&app, &HeaderMap::new(), &body.raw)
}
