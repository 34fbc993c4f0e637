//! A failure as it was written with the end of a run: whoever asks later, at any instance, is told the same.

use mc_client::runs::Run;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::RunError;
use super::written;

/// Why a run has failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// A sentence.
    pub error: String,
    /// Its code.
    pub code: String,
    /// What comes with it.
    #[serde(default)]
    pub details: Value,
    /// After how many seconds a retry is worthwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The HTTP status, where it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl Failure {
    /// An error as it is written.
    pub fn told(error: &RunError) -> Self {
        Self {
            error: error.message(),
            code: error.code().to_owned(),
            details: error.details(),
            retry_after: error.retry_after.map(|wait| wait.as_secs().max(1)),
            status: None,
        }
    }

    /// The failure of a run that has failed.
    pub fn of(run: &Run) -> Self {
        let code =
            run.extra.get(written::ERROR).and_then(Value::as_str).unwrap_or("internal_error");
        let recorded =
            run.extra.get(written::FAILURE).and_then(|failure| Self::deserialize(failure).ok());
        recorded.filter(|failure| failure.code == code).unwrap_or_else(|| Self {
            error: format!("the run failed: {code}"),
            code: code.to_owned(),
            details: json!({}),
            retry_after: None,
            status: None,
        })
    }
}
