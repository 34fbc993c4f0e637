//! Errors in the contract's shape, and what each error of the store becomes over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderValue, StatusCode, header};
use mc_client::error::{ErasedAgo, Original};
use mc_client::runs::ExistingStep;
use mc_client::types::ErrorBody;
use serde_json::{Value, json};

use crate::store::schedule_times::Unfit;
use crate::store::{Conflict, Misfit, StoreError};

/// An error as the caller sees it.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: Box<ErrorBody>,
    /// The `Retry-After` header, in seconds.
    retry_after: Option<u64>,
}

impl ApiError {
    /// An error with a code.
    pub fn new(status: StatusCode, code: &str, error: impl Into<String>) -> Self {
        let body = ErrorBody { error: error.into(), code: Some(code.to_owned()), details: None };
        // Overload and outages are short here: one second unless the error says otherwise.
        let retry_after =
            matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
                .then_some(1);
        Self { status, body: Box::new(body), retry_after }
    }

    /// 400: one field of the request is wrong.
    pub fn field(name: &str, why: &str) -> Self {
        Self::fields(BTreeMap::from([(name.to_owned(), why.to_owned())]))
    }

    /// 400: fields of the request are wrong, each with the reason.
    pub fn fields(fields: BTreeMap<String, String>) -> Self {
        let list: Vec<_> = fields.iter().map(|(name, why)| format!("{name} {why}")).collect();
        let mut error = Self::new(StatusCode::BAD_REQUEST, "invalid_payload", list.join("; "));
        error.body.details = Some(json!({ "fields": fields }));
        error
    }

    /// 404: there is no such object, or it is another user's.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// 403: the caller may not do this.
    pub fn forbidden(why: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", why)
    }

    /// 403: a field names another role than the agent token.
    pub fn role_mismatch(field: &str, own: &str) -> Self {
        let text = format!(
            "{field} names another role than the agent token, which is for {own}: send that role's token"
        );
        Self::new(StatusCode::FORBIDDEN, "role_mismatch", text)
            .with_details(json!({ "field": field, "role": own }))
    }

    /// 401: the caller is not authenticated.
    pub fn unauthorized(why: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", why)
    }

    /// Whether the caller is not authenticated.
    pub fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// The same, with `details`.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.body.details = Some(details);
        self
    }

    /// The same, with a `Retry-After` header of whole seconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait.as_secs());
        self
    }

    /// 500: a bug or a failure of ours; the cause is in the log only.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "something went wrong; the log says more",
        )
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::NotFound(what) => Self::not_found(what),
            StoreError::NotAllowed(why) => Self::forbidden(why),
            StoreError::Invalid { field, why } => Self::field(field, why),
            StoreError::Unfit(unfit) => match unfit {
                Unfit::Field { field, why } => Self::field(field, &why),
                Unfit::Cron(_) => Self::new(StatusCode::BAD_REQUEST, "invalid_cron", text),
                Unfit::TooOften => Self::new(StatusCode::BAD_REQUEST, "too_often", text),
            },
            StoreError::Mismatch { what, errors } => {
                let code = match what {
                    Misfit::Answer => "answer_mismatch",
                    Misfit::Arguments => "arguments_mismatch",
                };
                Self::new(StatusCode::BAD_REQUEST, code, text)
                    .with_details(json!({ "errors": errors }))
            }
            StoreError::KeyReused { original } => {
                Self::new(StatusCode::CONFLICT, "idempotency_conflict", text)
                    .with_details(json!(Original { original }))
            }
            StoreError::Conflict(conflict) => Self::from(conflict),
            StoreError::BudgetExceeded(refusal) => {
                Self::new(StatusCode::PAYMENT_REQUIRED, "budget_exceeded", text)
                    .with_details(json!(refusal))
            }
            StoreError::Interrupted => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)
                    .retry_after(Duration::from_secs(60))
            }
            StoreError::TokenErased { age } => {
                let ago = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                Self::new(StatusCode::UNAUTHORIZED, mc_client::error::USER_ERASED, text)
                    .with_details(json!(ErasedAgo { erased_ms_ago: ago }))
            }
            StoreError::TooManyActs { retry_after } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "audit_limit", text)
                    .retry_after(retry_after)
            }
            StoreError::TooManyDeltas => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_deltas", text)
            }
            StoreError::DeltasFull { max_bytes } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "deltas_full", text)
                    .with_details(json!({ "max_bytes": max_bytes }))
            }
            StoreError::DeltasUnavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "deltas_unavailable", text)
            }
            StoreError::FileNotFound { file_id } => {
                Self::new(StatusCode::NOT_FOUND, "file_not_found", text)
                    .with_details(json!({ "file_id": file_id }))
            }
            StoreError::FileTooLarge { max_bytes } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "file_too_large", text)
                    .with_details(json!({ "max_bytes": max_bytes }))
            }
            StoreError::QuotaExceeded { quota_bytes, used_bytes } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "quota_exceeded", text)
                    .with_details(json!({ "quota_bytes": quota_bytes, "used_bytes": used_bytes }))
            }
            StoreError::ArtifactNotFound => {
                Self::new(StatusCode::NOT_FOUND, "artifact_not_found", text)
            }
            StoreError::ArtifactTooLarge { max_bytes } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "artifact_too_large", text)
                    .with_details(json!({ "max_bytes": max_bytes }))
            }
            StoreError::ArtifactQuota { quota_bytes, used_bytes } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "quota_exceeded", text)
                    .with_details(json!({ "quota_bytes": quota_bytes, "used_bytes": used_bytes }))
            }
            StoreError::Unstorable(_) => {
                Self::new(StatusCode::BAD_REQUEST, "invalid_payload", text)
            }
            StoreError::Unavailable { retry_after, source } => {
                tracing::error!(error = %source, busy = true, "database call failed");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)
                    .retry_after(retry_after)
            }
            StoreError::ReadOnly { retry_after } => {
                tracing::error!(busy = true, "the database is read-only");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)
                    .retry_after(retry_after)
            }
            StoreError::Unwritable { retry_after, source, .. } => {
                tracing::error!(error = %source, busy = true, "database call failed");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)
                    .retry_after(retry_after)
            }
            StoreError::File(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text),
            StoreError::Forbidden { retry_after, source } => {
                tracing::error!(error = %source, busy = false, "the database denies a privilege");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)
                    .retry_after(retry_after)
            }
            StoreError::Database(source) => {
                tracing::error!(error = %source, busy = false, "database call failed");
                Self::internal()
            }
            StoreError::Encode(source) => {
                tracing::error!(error = %source, "an object could not be written as JSON");
                Self::internal()
            }
        }
    }
}

impl From<Conflict> for ApiError {
    fn from(conflict: Conflict) -> Self {
        let text = conflict.to_string();
        let answer = |code: &str| Self::new(StatusCode::CONFLICT, code, text);
        match conflict {
            Conflict::AlreadyDelivered => answer("already_delivered"),
            Conflict::AlreadyDecided { status } => {
                answer("already_decided").with_details(json!({ "status": status }))
            }
            Conflict::TooManyRules { most } => {
                answer("too_many_rules").with_details(json!({ "most": most }))
            }
            Conflict::TooManySchedules { most } => {
                answer("schedule_limit").with_details(json!({ "most": most }))
            }
            Conflict::RuleVoid { reason } => {
                answer("rule_void").with_details(json!({ "reason": reason }))
            }
            Conflict::MemoryFull { scope, most } => {
                answer("memory_full").with_details(json!({ "scope": scope, "most": most }))
            }
            Conflict::MemoryExists { id } => {
                answer("memory_exists").with_details(json!({ "id": id }))
            }
            Conflict::RunFinished { status, .. } => {
                answer("run_finished").with_details(json!({ "status": status }))
            }
            Conflict::RunCancelled => answer("run_cancelled"),
            Conflict::RunAmbiguous { roles } => {
                answer("run_ambiguous").with_details(json!({ "roles": roles }))
            }
            Conflict::RunConflict { field, known } => {
                answer("run_conflict").with_details(json!({ field: known }))
            }
            Conflict::StepExists(step) => {
                answer("step_exists").with_details(json!(ExistingStep { step: *step }))
            }
            Conflict::StaleFence => answer("stale_fence"),
            Conflict::SeqConflict { last_seq } => {
                answer("seq_conflict").with_details(json!({ "last_seq": last_seq }))
            }
            Conflict::SessionBusy { holder, retry_after } => answer("session_busy")
                .with_details(json!({ "holder": holder }))
                .retry_after(retry_after),
        }
    }
}

/// The error's sentence beside its response, so that the page can show it to people.
#[derive(Debug, Clone)]
pub struct ErrorText(pub String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after.map(HeaderValue::from);
        let shown_text = ErrorText(self.body.error.clone());
        let mut response = (self.status, Extension(shown_text), Json(self.body)).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use mc_client::approval_rules::VoidReason;
    use mc_client::memories::MemoryScope;

    use super::*;

    fn answer(error: StoreError) -> (u16, String, Option<u64>) {
        let error = ApiError::from(error);
        (error.status.as_u16(), error.body.code.unwrap_or_default(), error.retry_after)
    }

    #[test]
    fn each_error_of_the_store_has_its_status_and_code() {
        let wait = Duration::from_secs(3);
        let status = || "completed".to_owned();
        for (error, expected) in [
            (StoreError::NotFound("task"), (404, "not_found", None)),
            (
                StoreError::Invalid { field: "task_id", why: "is wrong" },
                (400, "invalid_payload", None),
            ),
            (StoreError::KeyReused { original: Value::Null }, (409, "idempotency_conflict", None)),
            (StoreError::BudgetExceeded(Box::default()), (402, "budget_exceeded", None)),
            (StoreError::Unstorable("too long"), (400, "invalid_payload", None)),
            (sqlx::Error::PoolTimedOut.into(), (503, "unavailable", Some(1))),
            (sqlx::Error::RowNotFound.into(), (500, "internal_error", None)),
            (Conflict::AlreadyDelivered.into(), (409, "already_delivered", None)),
            (Conflict::AlreadyDecided { status: status() }.into(), (409, "already_decided", None)),
            (Conflict::TooManyRules { most: 1 }.into(), (409, "too_many_rules", None)),
            (Conflict::TooManySchedules { most: 1 }.into(), (409, "schedule_limit", None)),
            (Unfit::TooOften.into(), (400, "too_often", None)),
            (Unfit::Cron(status()).into(), (400, "invalid_cron", None)),
            (Conflict::RuleVoid { reason: VoidReason::UsedUp }.into(), (409, "rule_void", None)),
            (StoreError::NotAllowed("no"), (403, "forbidden", None)),
            (
                Conflict::MemoryFull { scope: MemoryScope::User, most: 1 }.into(),
                (409, "memory_full", None),
            ),
            (Conflict::MemoryExists { id: status() }.into(), (409, "memory_exists", None)),
            (
                StoreError::Mismatch { what: Misfit::Answer, errors: Vec::new() },
                (400, "answer_mismatch", None),
            ),
            (
                StoreError::Mismatch { what: Misfit::Arguments, errors: Vec::new() },
                (400, "arguments_mismatch", None),
            ),
            (
                Conflict::RunFinished { why: "it is over", status: status() }.into(),
                (409, "run_finished", None),
            ),
            (Conflict::RunCancelled.into(), (409, "run_cancelled", None)),
            (
                Conflict::RunConflict { field: "task_id", known: status() }.into(),
                (409, "run_conflict", None),
            ),
            (StoreError::TooManyDeltas, (429, "too_many_deltas", Some(1))),
            (StoreError::DeltasFull { max_bytes: 1 }, (413, "deltas_full", None)),
            (StoreError::FileNotFound { file_id: status() }, (404, "file_not_found", None)),
            (StoreError::FileTooLarge { max_bytes: 1 }, (413, "file_too_large", None)),
            (StoreError::ArtifactNotFound, (404, "artifact_not_found", None)),
            (StoreError::ArtifactTooLarge { max_bytes: 1 }, (413, "artifact_too_large", None)),
            (
                StoreError::ArtifactQuota { quota_bytes: 2, used_bytes: 1 },
                (413, "quota_exceeded", None),
            ),
            (
                StoreError::QuotaExceeded { quota_bytes: 2, used_bytes: 1 },
                (413, "quota_exceeded", None),
            ),
            (StoreError::DeltasUnavailable("gone"), (503, "deltas_unavailable", Some(1))),
            (Conflict::SeqConflict { last_seq: 7 }.into(), (409, "seq_conflict", None)),
            (Conflict::StaleFence.into(), (409, "stale_fence", None)),
            (
                Conflict::SessionBusy { holder: status(), retry_after: wait }.into(),
                (409, "session_busy", Some(3)),
            ),
        ] {
            let expected = (expected.0, expected.1.to_owned(), expected.2);
            assert_eq!(answer(error), expected);
        }
    }
}
