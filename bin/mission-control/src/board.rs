//! The page for people: what the agents did, and a form to write to one.
//!
//! It knows no login, so that it is served on loopback only, and there only under a loopback name:
//! a foreign page whose name is made to point here gets nothing (DNS rebinding). Its form carries a
//! token that only our own page knows (CSRF).

mod guard;
mod html;

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use mc_client::types::{ActorType, CreateMessage, CreateTask};
use serde_json::json;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use crate::App;
use crate::auth::is_user_id;
use crate::error::ApiError;
use crate::extract::{Id, Params, read};
use crate::mentions::{is_role, mentioned_roles};
use crate::store::{Scope, messages, tasks};

/// Who the page shows when nobody is named.
const DEFAULT_USER: &str = "demo-user";

/// The most messages of a thread.
const THREAD: u32 = 200;

/// The most documents of a list.
const DOCUMENTS: u32 = 50;

/// How much of a message becomes the title of its task.
const TITLE_CHARS: usize = 80;

/// The largest form.
const MAX_FORM: usize = 256 * 1024;

/// The page's routes.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/", get(overview))
        .route("/tasks/{id}", get(task))
        .route("/documents/{id}", get(document))
        .route("/write", post(write))
        .route("/assets/{name}", get(asset))
        .layer(middleware::from_fn(guard::guard))
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
    let page = html::Overview {
        user,
        token: &app.form_token,
        tasks: &app.store.newest_tasks(user).await?,
        documents: &app.store.documents(user, None, None, DOCUMENTS, None).await?.items,
        notifications: &app.store.newest_notifications(user, None).await?,
        wakes: &app.store.wakes(user).await?,
    };
    Ok(Html(page.render()))
}

async fn task(
    State(app): State<App>,
    Id(id): Id,
    Query(params): Params,
) -> Result<Html<String>, ApiError> {
    let user = user_of(&params);
    let page = html::Thread {
        user,
        token: &app.form_token,
        task: &app.store.task(user, &id).await?,
        messages: &app.store.messages(user, &id, THREAD, None).await?,
        documents: &app.store.documents(user, Some(&id), None, DOCUMENTS, None).await?.items,
        notifications: &app.store.newest_notifications(user, Some(&id)).await?,
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
    Ok(Html(html::document(user, &document)))
}

/// A person writes a message; an agent that it mentions is notified.
async fn write(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let own = guard::is_same_origin(request.headers());
    let body = read(request.into_body(), MAX_FORM).await?;
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let field = |name: &str| form.get(name).map(|text| text.trim()).unwrap_or_default();
    if !own || !bool::from(field("token").as_bytes().ct_eq(app.form_token.as_bytes())) {
        let why = "this form was not sent from the page, or the page is old: reload it";
        return Err(ApiError::forbidden(why));
    }
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
    let mut response = Redirect::to(&html::task_link(user, task_id)).into_response();
    *response.status_mut() = StatusCode::SEE_OTHER;
    Ok(response)
}
