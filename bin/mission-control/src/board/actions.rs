//! What a person does on the page beside writing: decides, puts back, stops.

use std::collections::HashMap;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use mc_client::tool_requests::{Decision, ToolRequestStatus};

use super::{markup, own_form};
use crate::app::App;
use crate::auth::is_user_id;
use crate::error::ApiError;
use crate::store::Scope;

/// The most characters of a note.
const MAX_NOTE: usize = 2_000;

/// A form of our own page about one of a user's objects.
struct Act {
    user: String,
    id: String,
    form: HashMap<String, String>,
}

async fn act(app: &App, request: Request) -> Result<Act, ApiError> {
    let form = own_form(app, request).await?;
    let field = |name: &str| form.get(name).map(|text| text.trim()).unwrap_or_default().to_owned();
    let (user, id) = (field("user"), field("id"));
    if !is_user_id(&user) {
        return Err(ApiError::field("user", "must not be empty and must hold no colon"));
    }
    Ok(Act { user, id, form })
}

/// A person approves a tool call, or denies it.
pub(super) async fn decide(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let Act { user, id, form } = act(&app, request).await?;
    let status = match form.get("decision").map(String::as_str) {
        Some("approved") => ToolRequestStatus::Approved,
        Some("denied") => ToolRequestStatus::Denied,
        Some(_) | None => return Err(ApiError::field("decision", "must be approved or denied")),
    };
    let note = form.get("note").map(|note| note.trim()).filter(|note| !note.is_empty());
    let note = note.map(|note| note.chars().take(MAX_NOTE).collect());
    app.store.decide(&user, &id, &Decision { status, note }, None, None).await?;
    Ok(Redirect::to(&markup::link("/", &user)).into_response())
}

/// A person puts back a notification that was given up.
pub(super) async fn requeue(
    State(app): State<App>,
    request: Request,
) -> Result<Response, ApiError> {
    let Act { user, id, .. } = act(&app, request).await?;
    app.store.requeue(&id, &user).await?;
    Ok(Redirect::to(&markup::link("/", &user)).into_response())
}

/// A person stops a run.
pub(super) async fn cancel(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let Act { user, id, .. } = act(&app, request).await?;
    app.store.cancel_run(Scope::of(&user), &id).await?;
    Ok(Redirect::to(&markup::run_link(&user, &id)).into_response())
}
