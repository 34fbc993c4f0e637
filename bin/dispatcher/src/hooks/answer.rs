//! What a service is answered.

use std::time::Duration;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// After how long a service is asked to send again, where nothing better is known.
const RETRY: Duration = Duration::from_secs(10);

/// The end of a webhook.
#[derive(Debug)]
pub(super) enum Answer {
    /// The agent is told.
    Told {
        /// The notification, where the backend names it.
        notification_id: Option<String>,
        /// Whether that was so before.
        repeated: bool,
    },
    /// The hook's `when` leaves it out.
    Filtered,
    /// Slack asks whether this address is the application's.
    Challenge(String),
    /// Nobody is told.
    Refused(Refusal),
}

/// Why nobody is told.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    text: &'static str,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, text: &'static str) -> Self {
        Self { status, code, text, retry_after: None }
    }

    fn later(code: &'static str, text: &'static str) -> Self {
        Self { retry_after: Some(RETRY), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, text) }
    }

    pub(super) fn unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_hook", "there is no such hook")
    }

    /// The reason is in the log: it is nothing for whoever sends.
    pub(super) fn broken() -> Self {
        Self::later("hook_invalid", "this hook is not set up rightly; see the dispatcher's log")
    }

    pub(super) fn overloaded() -> Self {
        Self::later("overloaded", "too many webhooks at the same time; send it again")
    }

    pub(super) fn backend_away(retry_after: Option<Duration>) -> Self {
        let away = Self::later("backend_unavailable", "the backend is away; send it again");
        Self { retry_after: retry_after.or(away.retry_after), ..away }
    }

    pub(super) fn too_large() -> Self {
        let text = "the body exceeds 1 MiB";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", text)
    }

    pub(super) fn slow() -> Self {
        let text = "timeout while receiving the body";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", text)
    }

    pub(super) fn incomplete() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_body", "the body is incomplete")
    }

    pub(super) fn compressed() -> Self {
        let text = "the body must not be compressed: omit Content-Encoding";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", text)
    }

    pub(super) fn no_json() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_json", "the body is not valid JSON")
    }

    pub(super) fn invalid_signature() -> Self {
        let text = "the signature is missing, or not that of this body under the hook's secret";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_signature", text)
    }

    pub(super) fn stale_timestamp() -> Self {
        let text = "the signature's time is more than 300 seconds away from now";
        Self::new(StatusCode::UNAUTHORIZED, "stale_timestamp", text)
    }

    pub(super) fn no_user() -> Self {
        let text = "the event names no user where the hook looks for one";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no_user", text)
    }

    pub(super) fn no_text() -> Self {
        let text = "the hook's text is empty for this event";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no_text", text)
    }

    pub(super) fn not_taken() -> Self {
        let text = "the backend does not take the notification; see the dispatcher's log";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "not_taken", text)
    }

    /// Whether sending it again may help.
    pub(super) fn is_temporary(&self) -> bool {
        self.retry_after.is_some()
    }

    /// Its code.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Told { notification_id, repeated } => {
                let status = if repeated { StatusCode::OK } else { StatusCode::ACCEPTED };
                (status, Json(json!({ "notification_id": notification_id }))).into_response()
            }
            Self::Filtered => StatusCode::NO_CONTENT.into_response(),
            Self::Challenge(challenge) => Json(json!({ "challenge": challenge })).into_response(),
            Self::Refused(refusal) => refusal.into_response(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.text, "code": self.code }));
        let mut response = (self.status, body).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}
