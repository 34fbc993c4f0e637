//! Every error of the daemon in one shape: `{error, code, details}`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use llm::error::LlmErrorKind;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::run::error::{RunError, RunErrorKind};

/// An error as the caller sees it.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body.
    pub body: Box<ErrorBody>,
    /// Goes as `Retry-After`, rounded up to whole seconds.
    pub retry_after: Option<Duration>,
}

/// The body of every error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorBody {
    /// A sentence for a person.
    pub error: String,
    /// A word for a program.
    pub code: &'static str,
    /// What else helps.
    #[schema(value_type = Object)]
    pub details: Value,
}

impl ApiError {
    /// An error without details.
    pub fn new(status: StatusCode, code: &'static str, error: impl Into<String>) -> Self {
        let body = ErrorBody { error: error.into(), code, details: json!({}) };
        Self { status, body: Box::new(body), retry_after: None }
    }

    /// A request whose fields are wrong; names all of them.
    pub fn fields(code: &'static str, fields: BTreeMap<String, String>) -> Self {
        let list: Vec<String> = fields.iter().map(|(path, why)| format!("{path}: {why}")).collect();
        let mut error = Self::new(StatusCode::BAD_REQUEST, code, list.join("; "));
        error.body.details = json!({ "fields": fields });
        error
    }

    /// Adds details.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.body.details = details;
        self
    }

    /// There is nothing at this path.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such endpoint")
    }

    /// A fault of ours.
    pub fn internal() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(
            status,
            "internal_error",
            "something went wrong inside the daemon; its log says more",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

impl From<RunError> for ApiError {
    fn from(error: RunError) -> Self {
        let (status, code, text) = describe(&error);
        let mut answer = Self::new(status, code, text);
        answer.retry_after = error.retry_after;
        if answer.retry_after.is_none()
            && matches!(code, "llm_unavailable" | "overloaded" | "draining")
        {
            answer.retry_after = Some(Duration::from_secs(1));
        }
        if let Some(produced) = error.produced {
            answer.body.details = serde_json::to_value(*produced).unwrap_or_default();
        }
        answer
    }
}

/// The code of a failed run.
pub(crate) fn code_of(error: &RunError) -> &'static str {
    describe(error).1
}

/// Status, code and sentence of a failed run (docs/API.md).
fn describe(error: &RunError) -> (StatusCode, &'static str, String) {
    use RunErrorKind as Kind;
    use StatusCode as S;
    match &error.kind {
        Kind::TaskNotFound => {
            (S::NOT_FOUND, "task_not_found", "the backend has no such task for this user".into())
        }
        Kind::BackendUnavailable => {
            // With the backend's own word on when to come back, it is a 503 that carries it.
            let status =
                if error.retry_after.is_some() { S::SERVICE_UNAVAILABLE } else { S::BAD_GATEWAY };
            (status, "backend_unavailable", "the backend cannot be reached or is overloaded".into())
        }
        Kind::BackendAuth => (
            S::BAD_GATEWAY,
            "backend_auth",
            "the backend refuses the agent token: check AGENT_JWT_SECRET on both sides".into(),
        ),
        Kind::BackendRefused(why) => (S::BAD_GATEWAY, "backend_error", why.clone()),
        Kind::ReplyNotStored(why) => (
            S::BAD_GATEWAY,
            "reply_not_stored",
            format!("the reply is there (see details) but could not be stored: {why}"),
        ),
        Kind::Llm(kind, text) => {
            let (status, code) = describe_llm(kind);
            (status, code, text.clone())
        }
        Kind::EmptyReply => {
            (S::BAD_GATEWAY, "llm_empty_reply", "the model answered nothing".into())
        }
        Kind::ContentFiltered => (
            S::UNPROCESSABLE_ENTITY,
            "content_filtered",
            "a content filter of the provider stopped the answer".into(),
        ),
        Kind::Cancelled => (S::CONFLICT, "run_cancelled", "the run was cancelled".into()),
        Kind::Timeout => (S::GATEWAY_TIMEOUT, "run_timeout", "the run's time is over".into()),
        Kind::Overloaded => (
            S::SERVICE_UNAVAILABLE,
            "overloaded",
            "the daemon has as many runs as it may (WOMBAT_MAX_CONCURRENT_RUNS)".into(),
        ),
        Kind::BudgetExceeded(why) => (S::PAYMENT_REQUIRED, "budget_exceeded", why.clone()),
        Kind::PriceUnknown(model) => (
            S::BAD_REQUEST,
            "invalid_payload",
            format!(
                "limits.max_cost_usd: cannot hold, because the price of model {model:?} is not known"
            ),
        ),
        Kind::Draining => {
            (S::SERVICE_UNAVAILABLE, "draining", "the daemon is stopping; send it again".into())
        }
        Kind::SessionBusy => (
            S::CONFLICT,
            "session_busy",
            "another message of this session is being answered".into(),
        ),
        Kind::SessionLost => (
            S::CONFLICT,
            "session_busy",
            "another instance has taken this session over in the middle of the run; send it again"
                .into(),
        ),
        Kind::KeyConflict => (
            S::CONFLICT,
            "idempotency_conflict",
            "the idempotency key belongs to another request".into(),
        ),
        Kind::RunNotFound => {
            (S::NOT_FOUND, "run_not_found", "there is no journaled run with this key".into())
        }
        Kind::Internal => {
            let error = ApiError::internal();
            (error.status, error.body.code, error.body.error)
        }
    }
}

fn describe_llm(kind: &LlmErrorKind) -> (StatusCode, &'static str) {
    match kind {
        LlmErrorKind::NotConfigured { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "llm_not_configured")
        }
        LlmErrorKind::Auth { .. } => (StatusCode::BAD_GATEWAY, "llm_auth"),
        LlmErrorKind::Unavailable | LlmErrorKind::QuotaExhausted => {
            (StatusCode::SERVICE_UNAVAILABLE, "llm_unavailable")
        }
        LlmErrorKind::InvalidRequest => (StatusCode::BAD_GATEWAY, "llm_invalid_request"),
        LlmErrorKind::ContextTooLong => (StatusCode::UNPROCESSABLE_ENTITY, "context_too_long"),
        LlmErrorKind::ContentFiltered => (StatusCode::UNPROCESSABLE_ENTITY, "content_filtered"),
        LlmErrorKind::BadAnswer => (StatusCode::BAD_GATEWAY, "llm_bad_answer"),
    }
}
