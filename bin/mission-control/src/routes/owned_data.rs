//! What is kept of a user, its erasure (feature `erasure`), and for how long things are kept (feature `retention`).

use std::collections::HashMap;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use mc_client::owned_data::{Erasure, Messages, Retention};

use crate::app::App;
use crate::auth::{Service, Trace, is_user_id};
use crate::erasing::Asker;
use crate::error::ApiError;
use crate::extract::{Id, Params};

/// Refuses a person another user's; a service that acts for nobody in particular may have any.
fn check_user(service: &Service, user_id: &str) -> Result<(), ApiError> {
    let is_theirs = service.on_behalf_of.as_deref().is_none_or(|person| person == user_id);
    if is_theirs && is_user_id(user_id) { Ok(()) } else { Err(ApiError::not_found("user")) }
}

/// What becomes of messages, which must be said.
fn messages(params: &HashMap<String, String>) -> Result<Messages, ApiError> {
    let wrong = || {
        ApiError::field(
            "messages",
            "must be keep or delete: what becomes of tasks, messages and documents",
        )
    };
    params.get("messages").and_then(|text| text.parse().ok()).ok_or_else(wrong)
}

/// Whether it is only counted: `dry_run`, `dry_run=true`.
fn is_dry_run(params: &HashMap<String, String>) -> Result<bool, ApiError> {
    match params.get("dry_run").map(String::as_str) {
        None | Some("false" | "0") => Ok(false),
        Some("" | "true" | "1") => Ok(true),
        Some(_) => Err(ApiError::field("dry_run", "must be true or false")),
    }
}

pub(super) async fn erase(
    State(app): State<App>,
    service: Service,
    trace: Trace,
    Id(user_id): Id,
    Query(params): Params,
) -> Result<Json<Erasure>, ApiError> {
    check_user(&service, &user_id)?;
    let (messages, is_dry_run) = (messages(&params)?, is_dry_run(&params)?);
    if is_dry_run {
        return Ok(Json(app.store.count_owned(&user_id, messages).await?));
    }
    let trace_id = trace.by(service.actor()).trace_id.map(str::to_owned);
    let asker = Asker { person: service.on_behalf_of, trace_id };
    Ok(Json(app.eraser.erase(user_id, messages, asker).await?))
}

pub(super) async fn export(
    State(app): State<App>,
    service: Service,
    trace: Trace,
    Id(user_id): Id,
) -> Result<Response, ApiError> {
    check_user(&service, &user_id)?;
    app.store.record_export(&user_id, trace.by(service.actor())).await?;
    let lines = futures::stream::unfold(app.store.owned(user_id), async |mut told| {
        // The answer breaks off at an error, so that nobody takes a part for all.
        let line = told.recv().await?.and_then(|item| {
            let mut line = serde_json::to_vec(&item)?;
            line.push(b'\n');
            Ok(Bytes::from(line))
        });
        Some((line, told))
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(lines)).into_response())
}

pub(super) async fn retention(
    State(app): State<App>,
    service: Service,
) -> Result<Json<Retention>, ApiError> {
    if service.on_behalf_of.is_some() {
        return Err(ApiError::forbidden("only a service may do this, on behalf of nobody"));
    }
    let (retention, store) = (&app.config.retention, &app.store);
    Ok(Json(Retention { days: retention.days(), counts: store.count_expired(retention).await? }))
}
