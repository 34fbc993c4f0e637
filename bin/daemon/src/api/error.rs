//! The one form of all errors, `{error, code, details}`, and the HTTP status of a failed run.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use daemon_api::{ErrorBody, FieldProblems};
use http::{HeaderValue, StatusCode, header};
use llm::error::LlmErrorKind;
use serde_json::{Value, json};

use crate::run::error::{RunError, RunErrorKind};

/// An error as the caller sees it.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body.
    pub body: Box<ErrorBody>,
    /// Sent as `Retry-After`, rounded up to whole seconds.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// An error without details.
    pub fn new(status: StatusCode, code: &'static str, error: impl Into<String>) -> Self {
        let body = ErrorBody { error: error.into(), code: code.into(), details: json!({}) };
        Self { status, body: Box::new(body), retry_after: None }
    }

    /// A request with invalid fields; names all of them.
    pub fn fields(code: &'static str, fields: BTreeMap<String, String>) -> Self {
        let list: Vec<String> = fields.iter().map(|(path, why)| format!("{path}: {why}")).collect();
        let mut error = Self::new(StatusCode::BAD_REQUEST, code, list.join("; "));
        error.body.details = json!(FieldProblems { fields });
        error
    }

    /// Adds details.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.body.details = details;
        self
    }

    /// An unknown path.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such endpoint")
    }

    /// An internal error.
    pub fn internal() -> Self {
        RunError::new(RunErrorKind::Internal).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after_value(wait));
        }
        response
    }
}

/// The value of a `Retry-After` header: whole seconds, rounded up, at least 1.
pub(super) fn retry_after_value(wait: Duration) -> HeaderValue {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    HeaderValue::from(seconds.max(1))
}

impl From<RunError> for ApiError {
    fn from(error: RunError) -> Self {
        let code = error.code();
        let mut answer = Self::new(status_of(&error), code, error.message());
        answer.retry_after = error.retry_after;
        if answer.retry_after.is_none()
            && matches!(code, "llm_unavailable" | "overloaded" | "draining" | "session_queue_full")
        {
            answer.retry_after = Some(Duration::from_secs(1));
        }
        answer.body.details = error.details();
        if let RunErrorKind::FailedElsewhere(failure) = error.kind {
            answer.body.code = Cow::Owned(failure.code);
        }
        answer
    }
}

/// The HTTP status of a failed run (docs/API.md).
fn status_of(error: &RunError) -> StatusCode {
    use RunErrorKind as Kind;
    match &error.kind {
        Kind::TaskNotFound
        | Kind::RunNotFound
        | Kind::UnknownRole(_)
        | Kind::RoleWithoutProfile(_)
        | Kind::FileNotFound(_) => StatusCode::NOT_FOUND,
        Kind::FilesTooLarge(_) | Kind::FileRefused(_) => StatusCode::PAYLOAD_TOO_LARGE,
        // With the backend's own Retry-After, it is a 503 that carries it.
        Kind::BackendUnavailable | Kind::BackendInBetween(_) | Kind::ProfileUnreadable(_)
            if error.retry_after.is_some() =>
        {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Kind::BackendUnavailable
        | Kind::BackendInBetween(_)
        | Kind::ProfileUnreadable(_)
        | Kind::ProfileInvalid(_)
        | Kind::BackendAuth(_)
        | Kind::BackendRefused(_)
        | Kind::ReplyNotStored(_)
        | Kind::EmptyReply => StatusCode::BAD_GATEWAY,
        Kind::FailedElsewhere(failure) => {
            let recorded = failure.status.and_then(|status| StatusCode::from_u16(status).ok());
            recorded.unwrap_or_else(|| status_of_code(&failure.code, failure.retry_after.is_some()))
        }
        Kind::Llm(kind, _) => status_of_llm(kind),
        Kind::ContentFiltered | Kind::SchemaMismatch(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Cancelled
        | Kind::SessionBusy
        | Kind::SessionLost
        | Kind::KeyConflict
        | Kind::JournalRejected(_) => StatusCode::CONFLICT,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::Overloaded
        | Kind::Draining
        | Kind::Stalled
        | Kind::PolicyInvalid(_)
        | Kind::WorkspaceUnreadable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Kind::BudgetExceeded(_) | Kind::BudgetSpent(..) => StatusCode::PAYMENT_REQUIRED,
        Kind::PriceUnknown(_) | Kind::FeatureMissing(_) => StatusCode::BAD_REQUEST,
        Kind::QueueFull => StatusCode::TOO_MANY_REQUESTS,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The HTTP status of a failed run, where only its code is known: it failed at another instance.
fn status_of_code(code: &str, may_retry: bool) -> StatusCode {
    let status = match code {
        "invalid_payload" | "task_unresolved" | "feature_missing" => 400,
        "budget_exceeded" => 402,
        "task_not_found" | "run_not_found" | "unknown_role" | "file_not_found" => 404,
        "run_cancelled" | "session_busy" | "idempotency_conflict" | "journal_rejected" => 409,
        "payload_too_large" | "file_too_large" | "quota_exceeded" => 413,
        "content_filtered" | "context_too_long" | "schema_mismatch" => 422,
        "session_queue_full" => 429,
        "backend_unavailable" if may_retry => 503,
        "backend_unavailable" | "backend_auth" | "backend_error" | "reply_not_stored" => 502,
        "llm_empty_reply" | "llm_auth" | "llm_invalid_request" | "llm_rejected" => 502,
        "llm_bad_answer" | "profile_invalid" => 502,
        "llm_not_configured" | "llm_unavailable" | "overloaded" | "draining" => 503,
        "policy_invalid" | "workspace_unreadable" | "run_stalled" => 503,
        "run_timeout" => 504,
        _ => 500,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn status_of_llm(kind: &LlmErrorKind) -> StatusCode {
    match kind {
        LlmErrorKind::NotConfigured { .. }
        | LlmErrorKind::Unavailable
        | LlmErrorKind::QuotaExhausted => StatusCode::SERVICE_UNAVAILABLE,
        LlmErrorKind::Auth { .. }
        | LlmErrorKind::InvalidRequest
        | LlmErrorKind::Rejected
        | LlmErrorKind::BadAnswer
        | LlmErrorKind::ForbiddenCall => StatusCode::BAD_GATEWAY,
        LlmErrorKind::ContextTooLong | LlmErrorKind::ContentFiltered => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_body_of_an_error_is_as_documented() {
        let fields = BTreeMap::from([("a".to_owned(), "is wrong".to_owned())]);
        let mut error = ApiError::fields("invalid_payload", fields);
        error.retry_after = Some(Duration::from_millis(1_200));
        let response = error.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let body = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
        let expected = r#"{"error":"a: is wrong","code":"invalid_payload","details":{"fields":{"a":"is wrong"}}}"#;
        assert_eq!(body, expected);
    }
}
