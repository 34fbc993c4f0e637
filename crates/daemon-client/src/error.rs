//! Why a call to the daemon failed, by what a caller can do about it.

use std::borrow::Cow;
use std::time::Duration;

use daemon_api::ErrorBody;
use http::StatusCode;
use serde_json::Value;

/// The longest message that is kept of an error, characters.
const MAX_MESSAGE_CHARS: usize = 1_000;

/// Why a call to the daemon failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DaemonError {
    /// No connection could be made, so nothing was sent.
    #[error("the daemon cannot be reached: {cause} (check AGENT_DAEMON_URL)")]
    Unreachable {
        /// The innermost cause.
        cause: String,
    },
    /// The connection broke. The daemon may have received the request and acted on it.
    #[error("the connection to the daemon broke: {cause}")]
    Broken {
        /// The innermost cause.
        cause: String,
    },
    /// The call's time ran out. The daemon may have received the request and acted on it.
    #[error("timeout: the daemon did not answer within {} s", .after.as_secs())]
    Timeout {
        /// How long the call was given.
        after: Duration,
    },
    /// The daemon wants another key, or accepts no caller like this one: status 401 or 403.
    #[error("the daemon refused the call: {status}{}: {} (check AGENT_DAEMON_API_KEY on both sides)", code(.body), .body.error)]
    Refused {
        /// 401 or 403.
        status: u16,
        /// The daemon's reason.
        body: Box<ErrorBody>,
        /// How long the daemon asks to wait.
        retry_after: Option<Duration>,
    },
    /// Any other answer that is not a success.
    #[error("the daemon answered {status}{}: {}", code(.body), .body.error)]
    Status {
        /// The HTTP status.
        status: u16,
        /// The daemon's reason, or what could be read of the body.
        body: Box<ErrorBody>,
        /// How long the daemon asks to wait.
        retry_after: Option<Duration>,
    },
    /// An HTML page where an endpoint should be: the address of another server.
    #[error(
        "no daemon at this address: it answered {status} with an HTML page (check AGENT_DAEMON_URL)"
    )]
    NotDaemon {
        /// The HTTP status.
        status: u16,
        /// How long the page asks to wait.
        retry_after: Option<Duration>,
    },
    /// Something between here and the daemon answered in its place: a proxy, a firewall, a page to log
    /// in. Nothing is known of the daemon, and nothing is wrong with the key.
    #[error(
        "answered by something in between ({page}), with status {status}, and not by the daemon; \
         look at the proxies and gateways before AGENT_DAEMON_URL"
    )]
    InBetween {
        /// The HTTP status.
        status: u16,
        /// The title of its page, or the beginning of its text.
        page: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// A success whose body is not what docs/API.md says.
    #[error("the daemon's answer could not be understood: {cause}")]
    BadAnswer {
        /// What is wrong with it.
        cause: String,
    },
}

/// The code with a space before it, or nothing.
fn code(body: &ErrorBody) -> String {
    if body.code.is_empty() { String::new() } else { format!(" {}", body.code) }
}

impl DaemonError {
    /// The error that an answer with this status, which is no success, stands for.
    pub(crate) fn of_answer(
        status: StatusCode,
        body: &[u8],
        retry_after: Option<Duration>,
    ) -> Self {
        let is_in_between = match status.as_u16() {
            // The daemon gives its reason for each of these, and knows no others. What a proxy sends while
            // the daemon is away may be a page, a few words, or nothing (Caddy 2).
            300..=399 | 401 | 403 | 407 | 502..=504 | 511 => {
                // An object: serde would read a list, too.
                let is_object = body.trim_ascii_start().starts_with(b"{");
                !is_object || serde_json::from_slice::<ErrorBody>(body).is_err()
            }
            404 | 405 if is_page(body) => {
                return Self::NotDaemon { status: status.as_u16(), retry_after };
            }
            _ => false,
        };
        if is_in_between {
            return Self::in_between(status, body, retry_after);
        }
        let body = Box::new(read_body(status, body));
        let status = status.as_u16();
        match status {
            401 | 403 => Self::Refused { status, body, retry_after },
            _ => Self::Status { status, body, retry_after },
        }
    }

    /// The error of an answer that the daemon did not give.
    pub(crate) fn in_between(
        status: StatusCode,
        body: &[u8],
        retry_after: Option<Duration>,
    ) -> Self {
        Self::InBetween { status: status.as_u16(), page: shown::page(None, body), retry_after }
    }

    /// The error of a call that got no whole answer. `after` is the time that it was given.
    pub(crate) fn of_transport(error: &reqwest::Error, after: Duration) -> Self {
        if error.is_connect() {
            Self::Unreachable { cause: root_cause(error) }
        } else if error.is_timeout() {
            Self::Timeout { after }
        } else {
            Self::Broken { cause: root_cause(error) }
        }
    }

    /// The daemon's word for programs, where it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { body, .. } | Self::Status { body, .. } => {
                Some(&*body.code).filter(|code| !code.is_empty())
            }
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::Timeout { .. }
            | Self::NotDaemon { .. }
            | Self::InBetween { .. }
            | Self::BadAnswer { .. } => None,
        }
    }

    /// The HTTP status of an answer that is no success.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. }
            | Self::Status { status, .. }
            | Self::NotDaemon { status, .. }
            | Self::InBetween { status, .. } => Some(*status),
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::Timeout { .. }
            | Self::BadAnswer { .. } => None,
        }
    }

    /// How long the daemon asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. }
            | Self::Status { retry_after, .. }
            | Self::NotDaemon { retry_after, .. }
            | Self::InBetween { retry_after, .. } => *retry_after,
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::Timeout { .. }
            | Self::BadAnswer { .. } => None,
        }
    }

    /// Whether the daemon is away: it cannot be reached, is stopping or overloaded, lacks its
    /// backend, or something stands before it. Nothing is wrong with the request, and every other one would fail as well.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => {
                *status == 503 || (*status == 502 && self.code() == Some("backend_unavailable"))
            }
            // A gateway that gave up on it may have passed the request on.
            Self::InBetween { status, .. } => *status != 504,
            Self::Broken { .. }
            | Self::Timeout { .. }
            | Self::Refused { .. }
            | Self::NotDaemon { .. }
            | Self::BadAnswer { .. } => false,
        }
    }

    /// Whether another run of the session is in progress.
    pub fn is_session_busy(&self) -> bool {
        self.status() == Some(409) && self.code() == Some("session_busy")
    }

    /// Whether the same call may succeed later and did nothing yet, so that a retry is safe even
    /// without an idempotency key.
    pub fn is_retryable(&self) -> bool {
        if let Self::InBetween { status, .. } = self {
            // With any other status it stays until somebody removes what stands there.
            return *status == 503;
        }
        self.is_unavailable() || self.is_session_busy()
    }

    /// Whether the outcome is unknown because the connection broke: a retry is safe only with an
    /// idempotency key. A timeout is not meant: a retry would most likely time out as well.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::InBetween { status: 502, .. })
    }
}

/// Whether a body is an HTML page for people.
pub(crate) fn is_page(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

/// The body of an error, or a few words of whatever else it is.
fn read_body(status: StatusCode, body: &[u8]) -> ErrorBody {
    let (text, code, details) = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => (body.error, body.code, body.details),
        Err(_) if is_page(body) => ("an HTML page".to_owned(), Cow::default(), Value::Null),
        Err(_) => (String::from_utf8_lossy(body).into_owned(), Cow::default(), Value::Null),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut error: String = words.join(" ").chars().take(MAX_MESSAGE_CHARS).collect();
    if error.is_empty() {
        status.canonical_reason().unwrap_or("(no text)").clone_into(&mut error);
    }
    ErrorBody { error, code, details }
}

/// The innermost cause of an error.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    shown::cause(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> DaemonError {
        DaemonError::of_answer(StatusCode::from_u16(status).unwrap(), body.as_bytes(), None)
    }

    fn coded(status: u16, code: &str) -> DaemonError {
        of(status, &format!(r#"{{"error": "why", "code": "{code}"}}"#))
    }

    #[test]
    fn what_may_succeed_later_is_told_from_what_will_not() {
        for (error, unavailable, retryable) in [
            (DaemonError::Unreachable { cause: "c".into() }, true, true),
            (DaemonError::Broken { cause: "c".into() }, false, false),
            (DaemonError::Timeout { after: Duration::from_secs(3) }, false, false),
            (DaemonError::BadAnswer { cause: "c".into() }, false, false),
            (coded(503, "overloaded"), true, true),
            (of(503, ""), true, true),
            (of(502, ""), true, false),
            (of(503, "no healthy upstream"), true, true),
            (coded(502, "backend_unavailable"), true, true),
            (coded(502, "backend_auth"), false, false),
            (coded(409, "session_busy"), false, true),
            (coded(409, "run_cancelled"), false, false),
            (coded(401, "missing_daemon_key"), false, false),
            (coded(500, "internal_error"), false, false),
            (of(404, "<html>"), false, false),
            (of(401, "<html>"), true, false),
            (of(403, ""), true, false),
            (of(502, "<html>"), true, false),
            (of(503, "<html>"), true, true),
            (of(504, "<html>"), false, false),
        ] {
            assert_eq!(error.is_unavailable(), unavailable, "{error}");
            assert_eq!(error.is_retryable(), retryable, "{error}");
        }
        assert!(DaemonError::Broken { cause: String::new() }.is_in_doubt());
        assert!(!DaemonError::Timeout { after: Duration::ZERO }.is_in_doubt());
    }

    #[test]
    fn a_message_is_one_line_and_bounded_whatever_the_body_is() {
        assert_eq!(
            coded(402, "budget_exceeded").to_string(),
            "the daemon answered 402 budget_exceeded: why"
        );
        assert_eq!(of(500, " no\n  JSON ").to_string(), "the daemon answered 500: no JSON");
        assert_eq!(of(500, "").to_string(), "the daemon answered 500: Internal Server Error");
        assert_eq!(of(500, "\n<html>").to_string(), "the daemon answered 500: an HTML page");
        assert!(of(500, &"x ".repeat(100_000)).to_string().len() < 1_100);
        let key = coded(401, "missing_daemon_key").to_string();
        assert!(key.ends_with("why (check AGENT_DAEMON_API_KEY on both sides)"), "{key}");
    }

    #[test]
    fn a_page_is_no_answer_of_a_daemon_unless_the_daemon_is_known_to_stand_behind() {
        for (status, expected) in
            [(301, false), (404, true), (405, true), (502, false), (400, false)]
        {
            let error = of(status, "<!DOCTYPE html>");
            assert_eq!(matches!(error, DaemonError::NotDaemon { .. }), expected, "{status}");
            assert_eq!(error.status(), Some(status));
        }
    }

    #[test]
    fn what_the_daemon_did_not_answer_is_not_taken_for_its_word() {
        let page = "<html><TITLE>Access Denied by ACME</TITLE></html>";
        for (status, body, in_between) in [
            (401, page, true),
            (403, page, true),
            (403, "Forbidden", true),
            (401, "", true),
            (401, r#"{"message":"no"}"#, true),
            (401, r#"["x"]"#, true),
            (407, "", true),
            (302, "", true),
            (502, page, true),
            (511, page, true),
            (502, "", true),
            (504, "stream timeout", true),
            (502, r#"{"error":"no","code":"backend_unavailable"}"#, false),
            (500, page, false),
            (401, r#"{"error":"no","code":"missing_daemon_key"}"#, false),
        ] {
            let error = of(status, body);
            let is_in_between = matches!(error, DaemonError::InBetween { .. });
            assert_eq!(is_in_between, in_between, "{status} {body}");
            assert!(!is_in_between || !error.to_string().contains("KEY"), "{error}");
        }
        let error = of(403, page).to_string();
        assert!(
            error.starts_with("answered by something in between (Access Denied by ACME)"),
            "{error}"
        );
    }
}
