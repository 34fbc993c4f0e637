//! Errors in the contract's shape: `{error, code, details?}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mc_client::types::ErrorBody;
use serde::Serialize;
use serde_json::json;

use crate::store::Conflict;

#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: Box<ErrorBody>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &str, error: impl Into<String>) -> Self {
        let body = ErrorBody { error: error.into(), code: Some(code.to_owned()), details: None };
        Self { status, body: Box::new(body) }
    }

    /// The request does not fit; the text says where, so that a model can correct it.
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", why)
    }

    pub(crate) fn unauthorized(why: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", why)
    }

    pub(crate) fn forbidden(why: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", why)
    }

    /// Also what is another user's: for this one it does not exist.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }
}

impl<T: Serialize> From<Conflict<T>> for ApiError {
    fn from(Conflict(original): Conflict<T>) -> Self {
        let text = "this key was used for another request";
        let mut error = Self::new(StatusCode::CONFLICT, "idempotency_conflict", text);
        error.body.details = Some(json!({ "original": original }));
        error
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
