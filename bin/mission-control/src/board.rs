//! The page for people: what agents did, and forms to write to them, decide and requeue.
//!
//! With `MC_BOARD_PASSWORD` it asks for a password, and with `MC_BOARD_AUTH_HEADER` it trusts a
//! reverse proxy, and shows each person only what is theirs ([`viewer`]). Without either it is served on loopback only, and only under a loopback host name,
//! against DNS rebinding. Its forms carry a token against cross-site request forgery.

mod actions;
mod approvals;
mod attachments;
mod columns;
mod compose;
mod decide;
mod documents;
mod edits;
mod forms;
mod guard;
mod login;
mod markup;
mod memories;
mod notices;
mod overview;
mod panels;
mod parts;
mod questions;
mod rules;
mod thread;
mod timeline;
mod totals;
mod viewer;

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Query, State};
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use http::{HeaderMap, header};
use mc_client::types::Message;

use self::viewer::{Viewer, record_view};
use crate::app::App;
use crate::auth::Listener;
use crate::demo;
use crate::error::ApiError;
use crate::extract::{Id, Params};
use crate::routes::{events, files};
use crate::store::{Scope, stamp};

/// The most messages of a thread.
const THREAD: u32 = 200;

/// The most approval rules of a list.
const RULES: u32 = 100;

/// The most documents of a list.
const DOCUMENTS: u32 = 50;

/// The role that is offered while none is known: that of `wombat-daemon init`.
const DEFAULT_ROLE: &str = "agent";

/// How long the page's event stream stays open at a time, in seconds.
const LIVE_SECS: i64 = 900;

/// The page's routes.
pub(crate) fn router(app: &App) -> Router<App> {
    let router = Router::new()
        .route("/", get(overview))
        .route("/tasks/{id}", get(task))
        .route("/documents/{id}", get(document))
        .route("/files/{id}", get(file))
        .route("/runs/{id}", get(run))
        .route("/tool-requests/{id}/arguments", get(arguments))
        .route("/live", get(live))
        .route("/write", post(actions::write))
        .route("/decide", post(decide::decide))
        .route("/revoke", post(decide::revoke))
        .route("/correct-memory", post(memories::correct))
        .route("/forget-memory", post(memories::forget))
        .route("/requeue", post(actions::requeue))
        .route("/cancel", post(actions::cancel))
        .route("/delete-file", post(actions::delete_file))
        .route("/assets/{name}", get(asset))
        .route("/logout", post(login::log_out));
    let router = if app.login.has_password() {
        router.route(guard::LOGIN, get(login::form).post(login::log_in))
    } else {
        router
    };
    router.layer(middleware::from_fn_with_state(app.clone(), guard::guard))
}

async fn asset(name: Id) -> Result<Response, ApiError> {
    let (kind, text) = match name.0.as_str() {
        "board.css" => ("text/css; charset=utf-8", include_str!("../assets/board.css")),
        "board.js" => ("text/javascript; charset=utf-8", include_str!("../assets/board.js")),
        _ => return Err(ApiError::not_found("file")),
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

async fn overview(
    State(app): State<App>,
    viewer: Viewer,
    headers: HeaderMap,
    Query(params): Params,
) -> Result<Html<String>, ApiError> {
    let chosen = user_of(&params).filter(|user| !user.is_empty());
    let newest = match (viewer.name(), chosen) {
        (None, None) => app.store.newest_user().await?,
        (Some(_), _) | (None, Some(_)) => None,
    };
    let user = viewer.shown(newest.as_deref().or(chosen))?;
    let (waiting, more_wait) = app.store.waiting(user, None).await?;
    let midnight = Utc::now().date_naive().and_time(chrono::NaiveTime::MIN);
    let page = overview::Overview {
        user,
        may_choose: viewer.may_choose(),
        token: &forms::token(&app, &viewer)?,
        locked: app.login.has_password(),
        users: &if viewer.may_choose() {
            app.store.some_users(overview::USERS).await?
        } else {
            Vec::new()
        },
        is_open: chosen.is_none(),
        roles: &roles(&app, &viewer, user).await?,
        columns: &app.store.task_columns(user).await?,
        done: &app.store.done_since(user, &stamp(midnight.and_utc())).await?,
        documents: &app.store.documents(user, None, None, DOCUMENTS, None).await?.items,
        notifications: &app.store.newest_notifications(user, None).await?,
        asked_at: asked_at(&app),
        agents: &app.store.agents(user).await?,
        waiting: &waiting,
        more_wait,
        rules: &app.store.approval_rules(viewer.scope(user), None, None, RULES, None).await?,
        memories: &memories::newest(&app, user).await?,
        runs: &app.store.newest_runs(user, None).await?,
        budget: &app.store.budget(user, None, app.config.budget).await?,
        days: &app.store.spending(user).await?,
    };
    record_view(&app, &viewer, user, &headers, None).await?;
    Ok(Html(page.render()))
}

/// When a dispatcher last asked this instance for notifications.
fn asked_at(app: &App) -> Option<DateTime<Utc>> {
    let at = app.asked_at.load(Ordering::Relaxed);
    DateTime::from_timestamp_millis(at).filter(|_| at > 0)
}

async fn task(
    State(app): State<App>,
    viewer: Viewer,
    headers: HeaderMap,
    Id(id): Id,
    Query(params): Params,
) -> Result<Html<String>, ApiError> {
    let user = viewer.shown(user_of(&params))?;
    let messages = app.store.messages(user, &id, THREAD, None).await?;
    let files = messages.items.iter().flat_map(Message::files);
    let (waiting, _) = app.store.waiting(user, Some(&id)).await?;
    let page = thread::Thread {
        user,
        may_choose: viewer.may_choose(),
        token: &forms::token(&app, &viewer)?,
        roles: &roles(&app, &viewer, user).await?,
        task: &app.store.task(user, &id).await?,
        gone: &app.store.gone_files(user, files).await?,
        waiting: &waiting,
        messages: &messages,
        documents: &app.store.documents(user, Some(&id), None, DOCUMENTS, None).await?.items,
        notifications: &app.store.newest_notifications(user, Some(&id)).await?,
        asked_at: asked_at(&app),
        runs: &app.store.newest_runs(user, Some(&id)).await?,
    };
    record_view(&app, &viewer, user, &headers, Some(("task", &id))).await?;
    Ok(Html(page.render()))
}

async fn document(
    State(app): State<App>,
    viewer: Viewer,
    headers: HeaderMap,
    Id(id): Id,
    Query(params): Params,
) -> Result<Html<String>, ApiError> {
    let user = viewer.shown(user_of(&params))?;
    let document = app.store.document(user, &id).await?;
    record_view(&app, &viewer, user, &headers, Some(("document", &id))).await?;
    Ok(Html(documents::document(user, &document)))
}

/// A file, to be saved.
async fn file(
    State(app): State<App>,
    viewer: Viewer,
    headers: HeaderMap,
    Id(id): Id,
    Query(params): Params,
) -> Result<Response, ApiError> {
    let user = viewer.shown(user_of(&params))?;
    let file = app.store.file(user, &id).await?;
    record_view(&app, &viewer, user, &headers, Some(("file", &id))).await?;
    files::download(&app.store, file)
}

async fn run(
    State(app): State<App>,
    viewer: Viewer,
    headers: HeaderMap,
    Id(run_key): Id,
    Query(params): Params,
) -> Result<Html<String>, ApiError> {
    let user = viewer.shown(user_of(&params))?;
    let role = params.get("role").map(String::as_str);
    let scope = Scope { role, ..viewer.scope(user) };
    let (found, steps) = app.store.timeline(scope, &run_key).await?;
    record_view(&app, &viewer, user, &headers, Some(("run", &run_key))).await?;
    let tree = app.store.run_tree(user, &found).await?;
    let page = timeline::RunPage { run: &found, steps: &steps, tree: &tree };
    Ok(Html(timeline::timeline(user, &forms::token(&app, &viewer)?, &page)))
}

/// The arguments of a tool request, byte by byte as they were sent, as a download.
async fn arguments(
    State(app): State<App>,
    viewer: Viewer,
    headers: HeaderMap,
    Id(id): Id,
    Query(params): Params,
) -> Result<Response, ApiError> {
    let user = viewer.shown(user_of(&params))?;
    let request = app.store.waiting_one(user, &id).await?;
    record_view(&app, &viewer, user, &headers, Some(("tool_request", &id))).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"arguments.json\""),
    ];
    Ok((headers, request.arguments).into_response())
}

/// The roles that a person can write to: those that the daemon serves, and that have been at work. The
/// first is the one that was at work last.
async fn roles(app: &App, viewer: &Viewer, user: &str) -> Result<Vec<String>, ApiError> {
    let mut roles = app.store.roles(Some(user)).await?;
    if roles.is_empty() && viewer.may_choose() {
        roles = app.store.roles(None).await?;
    }
    let served = app.served_roles.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // What is no longer served comes last.
    roles.sort_by_key(|role| !served.is_empty() && !served.contains(role));
    let serving = roles.iter().take_while(|role| served.contains(role)).count();
    let new: Vec<_> = served.iter().filter(|role| !roles.contains(role)).cloned().collect();
    roles.splice(serving..serving, new);
    // No daemon has asked for anything yet.
    if served.is_empty() && app.config.demo {
        let new = demo::ROLES.map(str::to_owned);
        roles.extend(new.into_iter().filter(|role| !roles.contains(role)).collect::<Vec<_>>());
    }
    if served.is_empty()
        && (roles.is_empty() || app.config.demo)
        && !roles.iter().any(|role| role == DEFAULT_ROLE)
    {
        roles.push(DEFAULT_ROLE.to_owned());
    }
    Ok(roles)
}

/// The user that a page's address names.
fn user_of(params: &HashMap<String, String>) -> Option<&str> {
    params.get("user").map(String::as_str)
}

/// The events of the user's objects, so that the page knows when to reload.
async fn live(
    State(app): State<App>,
    viewer: Viewer,
    headers: HeaderMap,
    Query(params): Params,
) -> Result<Response, ApiError> {
    let user = viewer.shown(user_of(&params))?;
    record_view(&app, &viewer, user, &headers, None).await?;
    // The browser reconnects by itself and is authenticated again.
    let until = Utc::now().timestamp() + LIVE_SECS;
    let expires_at = u64::try_from(until).ok();
    let user_id = Some(user.to_owned());
    let listener = Listener { user_id, role: None, agent: None, expires_at, issued_at: None };
    events::stream(app, listener, &headers, events::EventFormat::Plain).await
}
