//! The fields of the page's forms, and of its links.

use std::collections::HashMap;

use axum::extract::Request;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::guard;
use crate::app::App;
use crate::auth::is_user_id;
use crate::error::ApiError;
use crate::extract::read_body;

/// The user that the page shows unless one is named.
const DEFAULT_USER: &str = "demo-user";

/// The largest form, in bytes.
const MAX_FORM: usize = 256 * 1024;

/// The fields of a form.
pub(super) async fn fields(request: Request) -> Result<HashMap<String, String>, ApiError> {
    let body = read_body(request.into_body(), MAX_FORM).await?;
    Ok(form_urlencoded::parse(&body).into_owned().collect())
}

/// The fields of a form that was sent from our own page; 403 for any other.
pub(super) async fn own_form(
    app: &App,
    request: Request,
) -> Result<HashMap<String, String>, ApiError> {
    let own = guard::is_same_origin(request.headers());
    let form = fields(request).await?;
    let token = form.get("token").map(|token| token.trim()).unwrap_or_default();
    if !own || !bool::from(token.as_bytes().ct_eq(app.form_token.as_bytes())) {
        let why = "this form was not sent from the page, or the page is old: reload it";
        return Err(ApiError::forbidden(why));
    }
    Ok(form)
}

/// The user that the page shows.
pub(super) fn user_of(params: &HashMap<String, String>) -> &str {
    let named = params.get("user").map(|user| user.trim());
    named.filter(|user| is_user_id(user)).unwrap_or(DEFAULT_USER)
}
