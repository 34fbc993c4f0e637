//! What an answer of the daemon means for a notification (docs/RUNS.md, "Dispatcher").

use std::time::Duration;

use serde::Deserialize;

/// How much of an answer is kept as the reason of a failure.
const MAX_REASON_CHARS: usize = 300;

/// What became of a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The daemon took it: to be acknowledged.
    Delivered,
    /// It will never be taken: dead at once.
    Refused(String),
    /// It failed; counts against the notification.
    Failed {
        /// Why.
        error: String,
        /// How long the daemon asks to wait.
        retry_after: Option<Duration>,
    },
    /// The session is at work on something else: waits, does not count.
    Busy {
        /// How long the daemon asks to wait.
        retry_after: Option<Duration>,
    },
    /// The daemon is away or a setting is wrong: everything waits, nothing counts.
    Outage {
        /// Why.
        error: String,
        /// How long the daemon asks to wait.
        retry_after: Option<Duration>,
    },
}

/// Judges an answer by its status and, where the status leaves it open, by the `code` in its body.
pub(crate) fn of_answer(status: u16, body: &[u8], retry_after: Option<Duration>) -> Verdict {
    let (code, message) = read_error(body);
    let code = code.as_deref();
    let error = || match code {
        Some(code) => format!("the daemon answered {status} {code}: {message}"),
        None => format!("the daemon answered {status}: {message}"),
    };
    if is_page(body) && matches!(status, 200..=399 | 404 | 405) {
        let error = format!(
            "what answers at AGENT_DAEMON_URL is no daemon: {status} with an HTML page (check AGENT_DAEMON_URL)"
        );
        return Verdict::Outage { error, retry_after };
    }
    match (status, code) {
        (200..=299, _) => Verdict::Delivered,
        (401, _) => Verdict::Outage {
            error: format!("{} (check AGENT_DAEMON_API_KEY: the daemon wants a key)", error()),
            retry_after,
        },
        (403, _) => Verdict::Outage {
            error: format!("{} (check AGENT_DAEMON_API_KEY on both sides)", error()),
            retry_after,
        },
        (503, _) | (502, Some("backend_unavailable")) => {
            Verdict::Outage { error: error(), retry_after }
        }
        (409, Some("session_busy")) => Verdict::Busy { retry_after },
        (400 | 404 | 409 | 422, _) => Verdict::Refused(error()),
        (_, _) => Verdict::Failed { error: error(), retry_after },
    }
}

/// Whether a body is a page for people: a wrong address or a proxy answered, not the daemon.
fn is_page(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

/// The contract's `code` and sentence, or a few words of whatever else the body is.
fn read_error(body: &[u8]) -> (Option<String>, String) {
    #[derive(Deserialize)]
    struct Error {
        error: String,
        code: Option<String>,
    }
    let (code, text) = match serde_json::from_slice::<Error>(body) {
        Ok(error) => (error.code, error.error),
        Err(_) if is_page(body) => (None, "an HTML page".to_owned()),
        Err(_) => (None, String::from_utf8_lossy(body).into_owned()),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let text: String = words.join(" ").chars().take(MAX_REASON_CHARS).collect();
    (code, if text.is_empty() { "(no text)".to_owned() } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Delivered => "delivered",
            Verdict::Refused(_) => "refused",
            Verdict::Failed { .. } => "failed",
            Verdict::Busy { .. } => "busy",
            Verdict::Outage { .. } => "outage",
        }
    }

    #[test]
    fn every_failure_has_its_class() {
        for (status, code, expected) in [
            (200, "", "delivered"),
            (202, "", "delivered"),
            (400, "invalid_payload", "refused"),
            (404, "task_not_found", "refused"),
            (404, "run_not_found", "refused"),
            (422, "context_too_long", "refused"),
            (409, "run_cancelled", "refused"),
            (409, "", "refused"),
            (409, "session_busy", "busy"),
            (401, "missing_daemon_key", "outage"),
            (403, "invalid_daemon_key", "outage"),
            (503, "overloaded", "outage"),
            (503, "", "outage"),
            (502, "backend_unavailable", "outage"),
            (502, "backend_auth", "failed"),
            (502, "llm_empty_reply", "failed"),
            (502, "", "failed"),
            (500, "internal", "failed"),
            (504, "run_timeout", "failed"),
            (402, "budget_exceeded", "failed"),
            (429, "", "failed"),
            (302, "", "failed"),
        ] {
            let body = format!(r#"{{"error": "why", "code": "{code}"}}"#);
            let verdict = of_answer(status, body.as_bytes(), None);
            assert_eq!(class(&verdict), expected, "{status} {code}");
        }
    }

    #[test]
    fn the_daemons_reason_and_wait_are_kept() {
        let wait = Some(Duration::from_secs(7));
        let body = br#"{"error": "no money", "code": "budget_exceeded"}"#;
        let Verdict::Failed { error, retry_after } = of_answer(402, body, wait) else { panic!() };
        assert_eq!(error, "the daemon answered 402 budget_exceeded: no money");
        assert_eq!(retry_after, wait);
        let text = "x ".repeat(10_000);
        let Verdict::Failed { error, .. } = of_answer(500, text.as_bytes(), None) else { panic!() };
        assert!(error.len() < 400, "{}", error.len());
    }

    #[test]
    fn a_page_for_people_is_no_answer_of_a_daemon() {
        let page = b"\n<!DOCTYPE html><html><title>Welcome</title></html>";
        for (status, expected) in [
            (200, "outage"),
            (301, "outage"),
            (404, "outage"),
            (405, "outage"),
            (502, "failed"),
            (400, "refused"),
        ] {
            assert_eq!(class(&of_answer(status, page, None)), expected, "{status}");
        }
        let Verdict::Failed { error, .. } = of_answer(502, page, None) else { panic!() };
        assert_eq!(error, "the daemon answered 502: an HTML page");
    }
}
