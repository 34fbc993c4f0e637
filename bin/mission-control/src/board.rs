//! The page for people: what the agents did, and a form to write to one.
//!
//! With `MC_BOARD_PASSWORD` it asks for that, and with `MC_BOARD_AUTH_HEADER` it believes a proxy
//! that has asked. Without either it is served on loopback only, and there only
//! under a loopback name: a foreign page whose name is made to point here gets nothing (DNS
//! rebinding). Its forms carry a token that only our own page knows (CSRF).

mod actions;
mod columns;
mod compose;
mod documents;
mod guard;
mod markup;
mod notices;
mod overview;
mod panels;
mod thread;
mod timeline;

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::Utc;
use http::{HeaderMap, header};
use mc_client::tool_requests::ToolRequestStatus;
use mc_client::types::{ActorType, CreateMessage, CreateTask};
use serde_json::json;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use crate::app::App;
use crate::auth::{Listener, is_user_id};
use crate::error::ApiError;
use crate::extract::{Id, Params, read};
use crate::mentions::{is_role, mentioned_roles};
use crate::routes::events;
use crate::store::tool_requests::ToolRequestFilter;
use crate::store::{Scope, messages, stamp, tasks};

/// Who the page shows when nobody is named.
const DEFAULT_USER: &str = "demo-user";

/// The most messages of a thread.
const THREAD: u32 = 200;

/// The most documents of a list.
const DOCUMENTS: u32 = 50;

/// The most decisions that wait on the page.
const WAITING: u32 = 50;

/// How long the page listens at a time.
const LIVE_SECS: i64 = 900;

/// How much of a message becomes the title of its task.
const TITLE_CHARS: usize = 80;

/// The largest form.
const MAX_FORM: usize = 256 * 1024;

/// Where a person logs in.
const LOGIN: &str = "/login";

/// The page's routes.
pub(crate) fn router(app: &App) -> Router<App> {
    let router = Router::new()
        .route("/", get(overview))
        .route("/tasks/{id}", get(task))
        .route("/documents/{id}", get(document))
        .route("/runs/{id}", get(run))
        .route("/live", get(live))
        .route("/write", post(write))
        .route("/decide", post(actions::decide))
        .route("/requeue", post(actions::requeue))
        .route("/cancel", post(actions::cancel))
        .route("/assets/{name}", get(asset))
        .route("/logout", post(log_out));
    let router = if app.login.has_password() {
        router.route(LOGIN, get(login_form).post(log_in))
    } else {
        router
    };
    router.layer(middleware::from_fn_with_state(app.clone(), guard::guard))
}

async fn login_form(State(app): State<App>, headers: HeaderMap) -> Response {
    if app.login.has_session(&headers) {
        return Redirect::to("/").into_response();
    }
    Html(notices::login()).into_response()
}

async fn log_in(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    if !guard::is_same_origin(&headers) {
        return Err(ApiError::forbidden("this form was not sent from the page"));
    }
    let form = fields(request).await?;
    let says_https = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value == "https" || value.starts_with("https:"))
    };
    let over_tls = says_https("x-forwarded-proto") || says_https("origin");
    let password = form.get("password").cloned().unwrap_or_default();
    let cookie = app.login.log_in(password, over_tls).await?;
    let mut response = Redirect::to("/").into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

async fn log_out(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    own_form(&app, request).await?;
    let cookie = app.login.log_out(&headers)?;
    let mut response = Redirect::to("/").into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// What a form holds.
async fn fields(request: Request) -> Result<HashMap<String, String>, ApiError> {
    let body = read(request.into_body(), MAX_FORM).await?;
    Ok(form_urlencoded::parse(&body).into_owned().collect())
}

/// What a form holds that was sent from our own page.
async fn own_form(app: &App, request: Request) -> Result<HashMap<String, String>, ApiError> {
    let own = guard::is_same_origin(request.headers());
    let form = fields(request).await?;
    let token = form.get("token").map(|token| token.trim()).unwrap_or_default();
    if !own || !bool::from(token.as_bytes().ct_eq(app.form_token.as_bytes())) {
        let why = "this form was not sent from the page, or the page is old: reload it";
        return Err(ApiError::forbidden(why));
    }
    Ok(form)
}

async fn asset(name: Id) -> Result<Response, ApiError> {
    let (kind, text) = match name.0.as_str() {
        "board.css" => ("text/css; charset=utf-8", include_str!("../assets/board.css")),
        "board.js" => ("text/javascript; charset=utf-8", include_str!("../assets/board.js")),
        _ => return Err(ApiError::not_found("file")),
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn user_of(params: &HashMap<String, String>) -> &str {
    let named = params.get("user").map(|user| user.trim());
    named.filter(|user| is_user_id(user)).unwrap_or(DEFAULT_USER)
}

async fn overview(State(app): State<App>, Query(params): Params) -> Result<Html<String>, ApiError> {
    let user = user_of(&params);
    let status = Some(ToolRequestStatus::Pending);
    let waiting = ToolRequestFilter { status, ..ToolRequestFilter::default() };
    let midnight = Utc::now().date_naive().and_time(chrono::NaiveTime::MIN);
    let page = overview::Overview {
        user,
        token: &app.form_token,
        locked: app.login.has_password(),
        users: &app.store.users().await?,
        columns: &app.store.task_columns(user).await?,
        done: &app.store.done_since(user, &stamp(midnight.and_utc())).await?,
        documents: &app.store.documents(user, None, None, DOCUMENTS, None).await?.items,
        notifications: &app.store.newest_notifications(user, None).await?,
        wakes: &app.store.wakes(user).await?,
        waiting: &app.store.tool_requests(user, &waiting, WAITING, None).await?.items,
        runs: &app.store.newest_runs(user, None).await?,
        budget: &app.store.budget(user, app.config.budget).await?,
        days: &app.store.spending(user).await?,
    };
    Ok(Html(page.render()))
}

async fn task(
    State(app): State<App>,
    Id(id): Id,
    Query(params): Params,
) -> Result<Html<String>, ApiError> {
    let user = user_of(&params);
    let page = thread::Thread {
        user,
        token: &app.form_token,
        task: &app.store.task(user, &id).await?,
        messages: &app.store.messages(user, &id, THREAD, None).await?,
        documents: &app.store.documents(user, Some(&id), None, DOCUMENTS, None).await?.items,
        notifications: &app.store.newest_notifications(user, Some(&id)).await?,
        runs: &app.store.newest_runs(user, Some(&id)).await?,
    };
    Ok(Html(page.render()))
}

async fn document(
    State(app): State<App>,
    Id(id): Id,
    Query(params): Params,
) -> Result<Html<String>, ApiError> {
    let user = user_of(&params);
    let document = app.store.document(user, &id).await?;
    Ok(Html(documents::document(user, &document)))
}

async fn run(
    State(app): State<App>,
    Id(run_key): Id,
    Query(params): Params,
) -> Result<Html<String>, ApiError> {
    let user = user_of(&params);
    let found = app.store.run_state(user, &run_key).await?;
    let steps = app.store.timeline(&run_key).await?;
    Ok(Html(timeline::timeline(user, &app.form_token, &found, &steps)))
}

/// What happens to the user's objects, so that the page knows when to look.
async fn live(
    State(app): State<App>,
    headers: HeaderMap,
    Query(params): Params,
) -> Result<Response, ApiError> {
    // A browser comes back by itself, and is asked again who it is.
    let until = Utc::now().timestamp() + LIVE_SECS;
    let expires_at = u64::try_from(until).ok();
    let listener = Listener { user_id: Some(user_of(&params).to_owned()), expires_at };
    events::stream(app, listener, &headers, events::Form::Plain).await
}

/// A person writes a message; an agent that it mentions is notified.
async fn write(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let form = own_form(&app, request).await?;
    let field = |name: &str| form.get(name).map(|text| text.trim()).unwrap_or_default();
    let (user, role, text) = (field("user"), field("role"), field("text"));
    if !is_user_id(user) {
        return Err(ApiError::field("user", "must not be empty and must hold no colon"));
    }
    if text.is_empty() {
        return Err(ApiError::field("text", "must not be empty"));
    }
    // Who is mentioned in the text is who is meant; the field is for a text that mentions nobody.
    let content = if mentioned_roles(text).is_empty() {
        let role = role.strip_prefix('@').unwrap_or(role);
        if !is_role(role) {
            return Err(ApiError::field("role", "must be letters, digits, _ and -"));
        }
        format!("@{role} {text}")
    } else {
        text.to_owned()
    };
    let task = field("task").to_owned();
    let make = async |tx: &mut _| {
        let task_id = if task.is_empty() {
            let title = text.lines().next().unwrap_or_default().chars().take(TITLE_CHARS).collect();
            let new = CreateTask { title, ..CreateTask::default() };
            tasks::insert(tx, user, &new).await?.id
        } else {
            task
        };
        let message = CreateMessage { task_id, content, ..CreateMessage::default() };
        messages::insert(tx, user, ActorType::User, None, &message).await
    };
    let created = app.store.create(Scope::of(user), "board", None, &json!({}), make).await?;
    let task_id = created.body["task_id"].as_str().unwrap_or_default();
    Ok(Redirect::to(&markup::task_link(user, task_id)).into_response())
}
