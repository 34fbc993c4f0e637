//! Why a call to the backend failed.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::token::{LEEWAY, TokenError};
use crate::types::ErrorBody;

/// A failed call, after its retries.
#[derive(Debug, Clone, thiserror::Error)]
pub enum McError {
    /// The connection failed or was lost.
    #[error("{}: {cause}", if *.is_tls { "no secure connection to the backend (BACKEND_URL)" } else { "the backend cannot be reached" })]
    Unreachable {
        /// What happened.
        cause: String,
        /// Whether TLS is what failed: the backend is there, and what to do is said.
        is_tls: bool,
    },
    /// The timeout or deadline passed.
    #[error("timeout: the backend did not answer in time")]
    Timeout,
    /// The backend returned an error status.
    #[error("the backend answered {status}{}: {message}{}", to(.caller.as_deref()), clocks(*.clock_ahead))]
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
        /// By how many seconds its clock (`Date`) is ahead of ours, where a token was refused and that
        /// is more than tokens allow.
        clock_ahead: Option<i64>,
        /// Who called, where that was refused (401 or 403): user and role.
        caller: Option<Box<str>>,
    },
    /// Something between here and the backend answered in its place: a proxy, a firewall, a page to
    /// log in. Nothing is known of the backend, and nothing is wrong with a token.
    #[error(
        "answered by something in between ({page}), with status {status}, and not by the backend; \
         look at the proxies and gateways before BACKEND_URL"
    )]
    InBetween {
        /// The HTTP status.
        status: u16,
        /// The title of its page, or the beginning of its text.
        page: String,
        /// How long it asks to wait (`Retry-After`).
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
        let retry_after = retry::retry_after(headers, SystemTime::now());
        // An object: serde would read a list, too.
        let is_object = body.trim_ascii_start().starts_with(b"{");
        let read = is_object.then(|| serde_json::from_slice::<ErrorBody>(body).ok()).flatten();
        let (message, code, details) = match read {
            Some(body) => (body.error, body.code, body.details.map(Box::new)),
            None if is_of_something_else(status, headers, body) => {
                return Self::in_between(status, headers, body);
            }
            None => (excerpt(headers, body), None, None),
        };
        let clock_ahead = clock_ahead(headers, SystemTime::now()).filter(|_| status == 401);
        let caller = None;
        Self::Status { status, code, message, details, retry_after, clock_ahead, caller }
    }

    /// The error of an answer that the backend did not give.
    pub(crate) fn in_between(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let retry_after = retry::retry_after(headers, SystemTime::now());
        Self::InBetween { status, page: shown::page(media_type(headers), body), retry_after }
    }

    /// Adds who called, if that is what was refused.
    #[must_use]
    pub(crate) fn for_caller(mut self, who: impl FnOnce() -> String) -> Self {
        if let Self::Status { status: 401 | 403, caller, .. } = &mut self {
            *caller = Some(who().into());
        }
        self
    }

    /// Whether something between here and the backend answered.
    pub fn is_in_between(&self) -> bool {
        matches!(self, Self::InBetween { .. })
    }

    /// Whether TLS failed, in a way that somebody has to put right.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Unreachable { is_tls: true, .. })
    }

    /// Whether the same call may succeed later: connection errors, timeouts, 408, 425, 429 and 5xx
    /// except 501.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout => true,
            Self::Status { status, .. } | Self::InBetween { status, .. } => {
                matches!(status, 408 | 425 | 429 | 500..=599) && *status != 501
            }
            Self::BadAnswer { .. } | Self::Token(_) => false,
        }
    }

    /// How long the backend asks to wait (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } | Self::InBetween { retry_after, .. } => *retry_after,
            Self::Unreachable { .. } | Self::Timeout | Self::BadAnswer { .. } | Self::Token(_) => {
                None
            }
        }
    }

    /// The HTTP status, if the backend answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            // Its status says nothing of the object or the token.
            Self::InBetween { .. }
            | Self::Unreachable { .. }
            | Self::Timeout
            | Self::BadAnswer { .. }
            | Self::Token(_) => None,
        }
    }

    /// The contract's `code`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Status { code, .. } => code.as_deref(),
            Self::InBetween { .. }
            | Self::Unreachable { .. }
            | Self::Timeout
            | Self::BadAnswer { .. }
            | Self::Token(_) => None,
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

    /// A sentence on a token that the backend has rejected: whose, what the backend says, and what to
    /// look at.
    pub fn rejection(&self) -> String {
        let Self::Status { status, message, clock_ahead, caller, .. } = self else {
            return self.to_string();
        };
        let whose = caller.as_deref().map(|caller| format!(" of {caller}")).unwrap_or_default();
        let check = "check AGENT_JWT_SECRET on both sides, and that the backend knows this user";
        let advice = clock_ahead.map_or_else(|| check.to_owned(), apart);
        format!("the backend rejects the agent token{whose}: {status}, {message}; {advice}")
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
            | Self::InBetween { .. }
            | Self::Unreachable { .. }
            | Self::Timeout
            | Self::BadAnswer { .. }
            | Self::Token(_) => None,
        }
    }
}

/// The caller in brackets.
fn to(caller: Option<&str>) -> String {
    caller.map(|caller| format!(" to {caller}")).unwrap_or_default()
}

/// By how many seconds the clock of an answer is ahead of ours, where that is more than tokens allow.
fn clock_ahead(headers: &HeaderMap, now: SystemTime) -> Option<i64> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let theirs = httpdate::parse_http_date(date).ok()?;
    let seconds = match theirs.duration_since(now) {
        Ok(ahead) => i64::try_from(ahead.as_secs()).ok()?,
        Err(behind) => -i64::try_from(behind.duration().as_secs()).ok()?,
    };
    (seconds.unsigned_abs() > LEEWAY.as_secs()).then_some(seconds)
}

fn apart(seconds: i64) -> String {
    let way = if seconds > 0 { "ahead of" } else { "behind" };
    format!(
        "the clocks differ: the backend's is {} s {way} this machine's, and tokens allow {} s; set both \
         by NTP",
        seconds.unsigned_abs(),
        LEEWAY.as_secs()
    )
}

fn clocks(ahead: Option<i64>) -> String {
    ahead.map(|seconds| format!(" ({})", apart(seconds))).unwrap_or_default()
}

/// Whether an error that is not in the contract's shape comes from something else than the backend: no
/// backend rejects a token without saying so in that shape, none asks for a proxy's password or leads
/// elsewhere, and what is sent in its place while it is away are pages.
fn is_of_something_else(status: u16, headers: &HeaderMap, body: &[u8]) -> bool {
    match status {
        300..=399 | 401 | 403 | 407 => true,
        502..=504 | 511 => shown::is_page(media_type(headers), body),
        _ => false,
    }
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
}

/// A readable excerpt of an answer that is not JSON.
fn excerpt(headers: &HeaderMap, body: &[u8]) -> String {
    let media_type = media_type(headers);
    let text = shown::page(media_type, body);
    if shown::is_page(media_type, body) { format!("a page ({text})") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_page_becomes_a_readable_message() {
        let page = b"<html><head><title>Cannot GET</title></head><body>...</body></html>";
        let error = McError::of_answer(404, &HeaderMap::new(), page);
        assert_eq!(error.to_string(), "the backend answered 404: a page (Cannot GET)");
        assert!(error.is_not_found());
    }

    #[test]
    fn what_the_backend_did_not_answer_is_not_taken_for_its_word() {
        let page = "<html><head><title>Access Denied by ACME</title></head></html>";
        for (status, body, in_between, retried) in [
            (401, page, true, false),
            (403, page, true, false),
            (403, "Forbidden", true, false),
            (401, "", true, false),
            (403, r#"{"message":"Forbidden"}"#, true, false),
            (401, r#"["x"]"#, true, false),
            (302, "", true, false),
            (407, "", true, false),
            (502, page, true, true),
            (511, page, true, true),
            (502, "", false, true),
            (500, page, false, true),
            (404, page, false, false),
            (401, r#"{"error":"expired"}"#, false, false),
            (403, r#"{"error":"no","code":"forbidden"}"#, false, false),
        ] {
            let error = McError::of_answer(status, &HeaderMap::new(), body.as_bytes());
            assert_eq!(error.is_in_between(), in_between, "{status} {body}");
            assert_eq!(error.is_retryable(), retried, "{status} {body}");
            assert!(!in_between || !error.is_auth() && error.status().is_none(), "{status} {body}");
        }
        let error = McError::of_answer(403, &HeaderMap::new(), page.as_bytes()).to_string();
        assert!(
            error.starts_with("answered by something in between (Access Denied by ACME)"),
            "{error}"
        );
    }

    #[test]
    fn a_token_that_is_refused_because_of_the_clocks_says_so() {
        let now = SystemTime::now();
        let body = br#"{"error":"the token is not valid"}"#;
        for (status, ahead, told) in [
            (401, 120, Some("120 s ahead of")),
            (401, -120, Some("120 s behind")),
            (401, 30, None),
            (401, -30, None),
            (403, 120, None),
        ] {
            let shift = Duration::from_secs(i64::unsigned_abs(ahead));
            let theirs = if ahead > 0 { now + shift } else { now - shift };
            let date = httpdate::fmt_http_date(theirs);
            let headers = HeaderMap::from_iter([(header::DATE, date.parse().unwrap())]);
            // The date has no fraction of a second.
            assert!(
                told.is_none()
                    || clock_ahead(&headers, now).is_some_and(|s| (s - ahead).abs() <= 1)
            );
            let error = McError::of_answer(status, &headers, body);
            assert_eq!(error.to_string().contains("the clocks differ"), told.is_some(), "{error}");
            assert_eq!(error.rejection().contains("the clocks differ"), told.is_some());
        }
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
