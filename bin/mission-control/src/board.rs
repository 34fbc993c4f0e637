//! The page for people: what the agents did, and a form to write to one.
//!
//! It knows no login, so that it is served on loopback only, and there only under a loopback name:
//! a foreign page whose name is made to point here gets nothing (DNS rebinding). Its forms carry a
//! token that only our own page knows (CSRF).

mod html;

use std::collections::HashMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use mc_client::types::{ActorType, CreateMessage, CreateTask};
use serde_json::json;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use crate::App;
use crate::error::ApiError;
use crate::mentions::mentioned_roles;
use crate::store::{messages, tasks};

/// Who the page shows when nobody is named.
const DEFAULT_USER: &str = "demo-user";

/// The most messages of a thread.
const THREAD: u32 = 200;

/// The most documents of the list.
const DOCUMENTS: u32 = 50;

/// How much of a message becomes the title of its task.
const TITLE_CHARS: usize = 80;

/// What no answer of the page goes without: only its own style and script, in nobody's frame.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// The page's routes.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/", get(show))
        .route("/documents/{id}", get(show_document))
        .route("/write", post(write))
        .route("/assets/{name}", get(asset))
        .layer(middleware::from_fn(guard))
}

/// Lets in what comes under a loopback name, and marks what goes out.
async fn guard(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let mut response = if host.is_some_and(is_loopback) {
        next.run(request).await
    } else {
        let why = "the page is for this machine: open it as http://localhost or http://127.0.0.1";
        ApiError::forbidden(why).into_response()
    };
    response.headers_mut().extend(HEADERS);
    response
}

/// Whether a `Host` header names this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "board.css" => ("text/css; charset=utf-8", include_str!("../assets/board.css")),
        "board.js" => ("text/javascript; charset=utf-8", include_str!("../assets/board.js")),
        _ => return ApiError::not_found("file").into_response(),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn user_of(given: Option<&String>) -> &str {
    given.map(|user| user.trim()).filter(|user| is_user(user)).unwrap_or(DEFAULT_USER)
}

/// Whether a text can be a user's id: it becomes part of session keys.
fn is_user(user: &str) -> bool {
    (1..=200).contains(&user.len()) && !user.contains(':') && !user.chars().any(char::is_control)
}

async fn show(
    State(app): State<App>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let user = user_of(query.get("user"));
    let tasks = app.store.newest_tasks(user).await?;
    let chosen = query.get("task").or_else(|| tasks.first().map(|task| &task.id));
    let thread = match chosen {
        Some(id) => Some((
            app.store.task(user, id).await?,
            app.store.messages(user, id, THREAD, None).await?,
        )),
        None => None,
    };
    let page = html::Page {
        user,
        token: &app.form_token,
        tasks: &tasks,
        thread: thread.as_ref().map(|(task, messages)| (task, messages.items.as_slice())),
        documents: &app.store.documents(user, None, None, DOCUMENTS, None).await?.items,
        notifications: &app.store.newest_notifications(user).await?,
    };
    Ok(axum::response::Html(page.render()).into_response())
}

async fn show_document(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let user = user_of(query.get("user"));
    let document = app.store.document(user, &id).await?;
    Ok(axum::response::Html(html::document(user, &document)).into_response())
}

/// A person writes a message; an agent that it mentions is notified.
async fn write(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let foreign =
        headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let field = |name: &str| form.get(name).map(|text| text.trim()).unwrap_or_default();
    if foreign || !bool::from(field("token").as_bytes().ct_eq(app.form_token.as_bytes())) {
        return Err(ApiError::forbidden(
            "this form was not sent from the page, or the page is old: reload it",
        ));
    }
    let (user, role, text) = (field("user"), field("role"), field("text"));
    if !is_user(user) {
        return Err(ApiError::field("user", "must not be empty and must hold no colon"));
    }
    if text.is_empty() {
        return Err(ApiError::field("text", "must not be empty"));
    }
    if mentioned_roles(&format!("@{role}")) != [role] {
        return Err(ApiError::field("role", "must be letters, digits, _ and -"));
    }
    let content = match mentioned_roles(text).is_empty() {
        true => format!("@{role} {text}"),
        false => text.to_owned(),
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
    let created = app.store.create(user, "board", None, &json!({}), make).await?;
    let task_id = created.body["task_id"].as_str().unwrap_or_default();
    Ok(see_other(user, task_id))
}

fn see_other(user: &str, task_id: &str) -> Response {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("user", user).append_pair("task", task_id);
    let mut response = Redirect::to(&format!("/?{}", query.finish())).into_response();
    *response.status_mut() = StatusCode::SEE_OTHER;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_let_in() {
        for host in
            ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:80", "[::1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1:80",
            "127.0.0.1.nip.io",
            "[::2]",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
