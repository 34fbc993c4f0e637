//! Errors in the contract's shape.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderValue, StatusCode, header};
use mc_client::types::ErrorBody;
use serde_json::{Value, json};

/// An error as the caller sees it.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: Box<ErrorBody>,
    /// When to come back, in seconds.
    retry_after: Option<u64>,
}

impl ApiError {
    /// An error with a code.
    pub fn new(status: StatusCode, code: &str, error: impl Into<String>) -> Self {
        let body = ErrorBody { error: error.into(), code: Some(code.to_owned()), details: None };
        // What is overloaded or away for a moment is soon back.
        let retry_after =
            matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
                .then_some(1);
        Self { status, body: Box::new(body), retry_after }
    }

    /// A request that is wrong in one field.
    pub fn field(name: &str, why: &str) -> Self {
        Self::fields(BTreeMap::from([(name.to_owned(), why.to_owned())]))
    }

    /// A request that is wrong in some fields.
    pub fn fields(fields: BTreeMap<String, String>) -> Self {
        let list: Vec<_> = fields.iter().map(|(name, why)| format!("{name} {why}")).collect();
        let mut error = Self::new(StatusCode::BAD_REQUEST, "invalid_payload", list.join("; "));
        error.body.details = Some(json!({ "fields": fields }));
        error
    }

    /// There is no such object, or it is another user's.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// The caller may not do this.
    pub fn forbidden(why: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", why)
    }

    /// The caller has not said who it is.
    pub fn unauthorized(why: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", why)
    }

    /// A key that belongs to another body.
    pub fn conflict(original: Value) -> Self {
        let text = "the idempotency key was used with another body";
        let mut error = Self::new(StatusCode::CONFLICT, "idempotency_conflict", text);
        error.body.details = Some(json!({ "original": original }));
        error
    }

    /// The same, with what else helps.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.body.details = Some(details);
        self
    }

    /// The same, with the seconds after which it may be otherwise.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// A fault of ours.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "something went wrong; the log says more",
        )
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        // Locked, full, or not to be had in time: it may work later, and nothing was lost.
        let busy = match &error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                if let Some(refused) = refused(&code) {
                    return Self::new(StatusCode::BAD_REQUEST, "invalid_payload", refused);
                }
                is_busy(&code)
            }
            _ => false,
        };
        tracing::error!(%error, busy, "the database failed");
        if busy {
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "the database is busy or full",
            );
        }
        Self::internal()
    }
}

/// Whether a code of SQLite or of PostgreSQL says that it may work later: locked, full, gone, or
/// an error of the disk.
fn is_busy(code: &str) -> bool {
    // SQLite's extended codes have their primary code in the lowest byte: BUSY, LOCKED, IOERR,
    // FULL, CANTOPEN.
    if let (Ok(number), true) = (code.parse::<u32>(), code.len() < 5) {
        return matches!(number & 0xff, 5 | 6 | 10 | 13 | 14);
    }
    // By class: connection, transaction rollback, resources, operator, system; then single ones:
    // lock_not_available, read_only_sql_transaction (a standby), idle_in_transaction_session_timeout.
    ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        || matches!(code, "55P03" | "25006" | "25P03")
}

/// What PostgreSQL cannot keep and SQLite can.
fn refused(code: &str) -> Option<&'static str> {
    match code {
        "22021" => Some("a text holds the character U+0000, which this database cannot keep"),
        "54000" => Some("a key or a name is longer than this database can find again"),
        _ => None,
    }
}

/// What an error says, beside its response: the page shows it to people.
#[derive(Debug, Clone)]
pub struct Said(pub String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after.map(HeaderValue::from);
        let said = Said(self.body.error.clone());
        let mut response = (self.status, Extension(said), Json(self.body)).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
