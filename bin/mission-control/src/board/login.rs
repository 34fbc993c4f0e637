//! Logging in and out.

use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::{HeaderMap, header};

use super::forms::{fields, own_form};
use super::viewer::Viewer;
use super::{guard, notices};
use crate::app::App;
use crate::error::ApiError;

/// Asks for the password.
pub(super) async fn form(State(app): State<App>, headers: HeaderMap) -> Response {
    if app.login.has_session(&headers) {
        return Redirect::to("/").into_response();
    }
    Html(notices::login()).into_response()
}

/// Checks the password and sets the cookie.
pub(super) async fn log_in(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
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

/// Ends the session.
pub(super) async fn log_out(
    State(app): State<App>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    own_form(&app, &viewer, request).await?;
    let cookie = app.login.log_out(&headers)?;
    let mut response = Redirect::to("/").into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}
