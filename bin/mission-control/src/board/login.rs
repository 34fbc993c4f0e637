//! Logging in and out.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::{HeaderMap, header};

use super::forms::{fields, own_form};
use super::markup::place::at;
use super::viewer::Viewer;
use super::{guard, notices};
use crate::app::App;
use crate::error::ApiError;
use crate::store::audit::{Act, Actor, By};

/// The most failed logins of an hour that are in the audit log.
const MAX_FAILED: u32 = 100;

const HOUR: Duration = Duration::from_secs(3600);

/// Asks for the password.
pub(super) async fn form(State(app): State<App>, headers: HeaderMap) -> Response {
    if app.login.has_session(&headers) {
        return Redirect::to(&at("/")).into_response();
    }
    Html(notices::login()).into_response()
}

/// Checks the password and sets the cookie.
pub(super) async fn log_in(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let peer = guard::peer(&request);
    let address = app.config.front.address(peer, &headers);
    if !guard::is_same_origin(&headers, &address) {
        return Err(ApiError::forbidden("this form was not sent from the page"));
    }
    let form = fields(request).await?;
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let over_tls =
        address.scheme == "https" || origin.is_some_and(|origin| origin.starts_with("https:"));
    let password = form.get("password").cloned().unwrap_or_default();
    let outcome = app.login.check(password, app.login.source(peer, &headers)).await;
    match &outcome {
        Ok(()) => app.store.record(&act("login.succeeded")).await.map(drop)?,
        Err(error) if error.is_unauthorized() => {
            // Somebody who guesses must not fill the log.
            app.store
                .record_at_most(None, &act("login.failed"), MAX_FAILED, HOUR)
                .await
                .map(drop)?;
        }
        Err(_) => {}
    }
    outcome?;
    let mut response = Redirect::to(&at("/")).into_response();
    for cookie in app.login.open(&at("/"), over_tls)? {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// An act of somebody whose name the password does not tell.
fn act(name: &str) -> Act<'_> {
    Act::new(By::new(Actor::Unnamed), name)
}

/// Ends the session.
pub(super) async fn log_out(
    State(app): State<App>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    own_form(&app, &viewer, request).await?;
    if app.login.has_session(&headers) {
        app.store.record(&act("login.ended")).await?;
    }
    let cookie = app.login.log_out(&headers, &at("/"))?;
    let mut response = Redirect::to(&at("/")).into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}
