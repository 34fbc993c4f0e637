//! A failure as it was written with the end of a run: whoever asks later, at any instance, is told the same.

use mc_client::runs::Run;
use serde::Deserialize;
use serde_json::{Value, json};

/// Why a run has failed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Failure {
    /// A sentence.
    pub error: String,
    /// Its code.
    pub code: String,
    /// What comes with it.
    #[serde(default)]
    pub details: Value,
    /// After how many seconds a retry is worthwhile.
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// The HTTP status, where it was written.
    #[serde(default)]
    pub status: Option<u16>,
}

impl Failure {
    /// The failure of a run that has failed.
    pub fn of(run: &Run) -> Self {
        let code = run.extra.get("error").and_then(Value::as_str).unwrap_or("internal_error");
        let recorded = run.extra.get("failure").and_then(|failure| Self::deserialize(failure).ok());
        recorded.filter(|failure| failure.code == code).unwrap_or_else(|| Self {
            error: format!("the run failed: {code}"),
            code: code.to_owned(),
            details: json!({}),
            retry_after: None,
            status: None,
        })
    }
}
