//! What a person does on the page: writes, requeues, cancels.

use std::collections::HashMap;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use mc_client::types::{CreateMessage, CreateTask, Message};
use serde::Deserialize as _;
use serde_json::json;

use super::forms::own_form;
use super::viewer::Viewer;
use super::{markup, parts};
use crate::app::App;
use crate::error::ApiError;
use crate::mentions::{is_role, mentioned_roles};
use crate::routes::answering::find_answer;
use crate::store::answering::insert;
use crate::store::audit::Act;
use crate::store::messages::Author;
use crate::store::{Scope, audit, tasks};

/// How much of a message becomes the title of its task.
const TITLE_CHARS: usize = 80;

/// A form about one of a user's objects.
pub(super) struct Action {
    pub(super) user: String,
    pub(super) id: String,
    pub(super) form: HashMap<String, String>,
}

pub(super) async fn action(
    app: &App,
    viewer: &Viewer,
    request: Request,
) -> Result<Action, ApiError> {
    let form = own_form(app, viewer, request).await?;
    let user = viewer.user(form.get("user").map(String::as_str))?.to_owned();
    let id = form.get("id").map(|text| text.trim()).unwrap_or_default().to_owned();
    Ok(Action { user, id, form })
}

/// A person requeues a dead letter.
pub(super) async fn requeue(
    State(app): State<App>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, ApiError> {
    let Action { user, id, .. } = action(&app, &viewer, request).await?;
    app.store.requeue(viewer.scope(&user), &id).await?;
    Ok(Redirect::to(&markup::link("/", &user)).into_response())
}

/// A person deletes a file.
pub(super) async fn delete_file(
    State(app): State<App>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, ApiError> {
    let Action { user, id, form } = action(&app, &viewer, request).await?;
    app.store.delete_file(viewer.scope(&user), &id).await?;
    let task = form.get("task").map(|task| task.trim()).unwrap_or_default();
    Ok(Redirect::to(&markup::task_link(&user, task)).into_response())
}

/// A person cancels a run.
pub(super) async fn cancel(
    State(app): State<App>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, ApiError> {
    let Action { user, id, form } = action(&app, &viewer, request).await?;
    let role = form.get("role").map(String::as_str).filter(|role| !role.is_empty());
    app.store.cancel_run(Scope { role, ..viewer.scope(&user) }, &id).await?;
    Ok(Redirect::to(&markup::run_link(&user, &id, role)).into_response())
}

/// A person writes a message; an agent that it mentions is notified.
pub(super) async fn write(
    State(app): State<App>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, ApiError> {
    let (form, files) = match parts::has_parts(&request) {
        true => parts::own_form(&app, &viewer, request).await?,
        false => (own_form(&app, &viewer, request).await?, Vec::new()),
    };
    let user = viewer.user(form.get("user").map(String::as_str))?.to_owned();
    let field = |name: &str| form.get(name).map(|text| text.trim()).unwrap_or_default();
    let (user, role, text) = (user.as_str(), field("role"), field("text"));
    if text.is_empty() {
        return Err(ApiError::field("text", "must not be empty"));
    }
    // Mentions in the text take precedence; the field is for a text without any.
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
    let answering = match task.is_empty() {
        true => None,
        false => {
            let new = CreateMessage {
                task_id: task.clone(),
                content: content.clone(),
                ..CreateMessage::default()
            };
            find_answer(&app, viewer.scope(user), Author::Person, &new).await?
        }
    };
    let make = async |tx: &mut _| {
        let task_id = if task.is_empty() {
            let title = text.lines().next().unwrap_or_default().chars().take(TITLE_CHARS).collect();
            let new = CreateTask { title, ..CreateTask::default() };
            tasks::insert(tx, user, &new).await?.id
        } else {
            task
        };
        let message =
            CreateMessage { task_id, content, attachments: files, ..CreateMessage::default() };
        let scope = viewer.scope(user);
        let message = insert(tx, scope, Author::Person, &message, answering.as_ref()).await?;
        if viewer.name().is_some_and(|own| own != user) {
            let act = Act::new(viewer.scope(user).by, "message.created");
            audit::record(tx, &act.of(user).about("message", &message.id)).await?;
        }
        Ok(message)
    };
    let created = app.store.create(viewer.scope(user), "board", None, &json!({}), make).await?;
    let message = Message::deserialize(&created.body).map_err(|_| ApiError::internal())?;
    Ok(Redirect::to(&markup::task_link(user, &message.task_id)).into_response())
}
