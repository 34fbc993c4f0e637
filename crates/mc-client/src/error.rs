//! Why a call to the backend failed.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::token::TokenError;
use crate::types::ErrorBody;

pub use retry::retry_after;

/// How many characters of an answer that is not JSON are shown.
const EXCERPT_CHARS: usize = 200;

/// A failed call, after its retries.
#[derive(Debug, Clone, thiserror::Error)]
pub enum McError {
    /// The connection failed or was lost.
    #[error("the backend cannot be reached: {cause}")]
    Unreachable {
        /// What happened.
        cause: String,
    },
    /// The timeout or deadline passed.
    #[error("timeout: the backend did not answer in time")]
    Timeout,
    /// The backend returned an error status.
    #[error("the backend answered {status}: {message}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The contract's `code`.
        code: Option<String>,
        /// The contract's `error`, or what could be read of the answer.
        message: String,
        /// The contract's `details`.
        details: Option<Box<Value>>,
        /// How long the backend asks to wait (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The body of a success is not what the contract requires.
    #[error("the backend's answer could not be understood: {cause}")]
    BadAnswer {
        /// What is wrong with it.
        cause: String,
    },
    /// The agent token could not be minted.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl McError {
    /// The error of an answer with an error status.
    pub(crate) fn of_answer(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let retry_after = retry_after(headers, SystemTime::now());
        let (message, code, details) = match serde_json::from_slice::<ErrorBody>(body) {
            Ok(body) => (body.error, body.code, body.details.map(Box::new)),
            Err(_) => (excerpt(headers, body), None, None),
        };
        Self::Status { status, code, message, details, retry_after }
    }

    /// Whether the same call may succeed later: connection errors, timeouts, 408, 425, 429 and 5xx
    /// except 501.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout => true,
            Self::Status { status, .. } => {
                matches!(status, 408 | 425 | 429 | 500..=599) && *status != 501
            }
            Self::BadAnswer { .. } | Self::Token(_) => false,
        }
    }

    /// How long the backend asks to wait (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Unreachable { .. } | Self::Timeout | Self::BadAnswer { .. } | Self::Token(_) => {
                None
            }
        }
    }

    /// The HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Unreachable { .. } | Self::Timeout | Self::BadAnswer { .. } | Self::Token(_) => {
                None
            }
        }
    }

    /// The contract's `code`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Status { code, .. } => code.as_deref(),
            Self::Unreachable { .. } | Self::Timeout | Self::BadAnswer { .. } | Self::Token(_) => {
                None
            }
        }
    }

    /// Whether the object does not exist or belongs to another user.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the backend rejected the token.
    pub fn is_auth(&self) -> bool {
        matches!(self.status(), Some(401 | 403))
    }

    /// The original object of a create whose key was used with another body.
    pub fn conflicting_original<T: DeserializeOwned>(&self) -> Option<T> {
        match self {
            Self::Status { status: 409, code: Some(code), details: Some(details), .. }
                if code == "idempotency_conflict" =>
            {
                T::deserialize(details.get("original")?).ok()
            }
            Self::Status { .. }
            | Self::Unreachable { .. }
            | Self::Timeout
            | Self::BadAnswer { .. }
            | Self::Token(_) => None,
        }
    }
}

/// A readable excerpt of an answer that is not JSON, such as a proxy's HTML page.
fn excerpt(headers: &HeaderMap, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let is_html = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("text/html"))
        || text.trim_start().starts_with('<');
    if is_html {
        let title = text
            .split_once("<title>")
            .and_then(|(_, rest)| rest.split_once("</title>"))
            .map(|(title, _)| title.trim().chars().take(EXCERPT_CHARS).collect::<String>());
        return match title {
            Some(title) if !title.is_empty() => format!("an HTML page ({title})"),
            Some(_) | None => "an HTML page".to_owned(),
        };
    }
    let words: Vec<_> = text.split_whitespace().collect();
    let words = words.join(" ");
    if words.is_empty() {
        "(no text)".to_owned()
    } else {
        words.chars().take(EXCERPT_CHARS).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_page_becomes_a_readable_message() {
        let page = b"<html><head><title>502 Bad Gateway</title></head><body>...</body></html>";
        let error = McError::of_answer(502, &HeaderMap::new(), page);
        assert_eq!(error.to_string(), "the backend answered 502: an HTML page (502 Bad Gateway)");
        assert!(error.is_retryable());
    }

    #[test]
    fn the_contracts_error_is_read_and_a_conflict_gives_the_original() {
        let body = br#"{"error":"other body","code":"idempotency_conflict","details":{"original":{"id":"7"}}}"#;
        let error = McError::of_answer(409, &HeaderMap::new(), body);
        assert_eq!(error.code(), Some("idempotency_conflict"));
        let original: Value = error.conflicting_original().unwrap();
        assert_eq!(original["id"], "7");
        assert!(!error.is_retryable());
    }
}
