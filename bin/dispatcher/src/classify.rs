//! What the daemon's answer means for a notification (docs/RUNS.md, "Dispatcher").

use std::time::Duration;

use daemon_client::DaemonError;

/// How much of the daemon's sentence is kept in the reason of a failure, characters.
const MAX_SENTENCE_CHARS: usize = 300;

/// The outcome of a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The daemon made its run: to be acknowledged.
    Delivered,
    /// The daemon will never accept it: a dead letter at once.
    Rejected(String),
    /// A failed attempt, which counts towards the dead letter.
    Failed {
        /// The reason.
        error: String,
        /// The wait that the daemon asks for.
        retry_after: Option<Duration>,
    },
    /// Another run of the session is in progress: retried, and not counted.
    Busy {
        /// The wait that the daemon asks for.
        retry_after: Option<Duration>,
    },
    /// The daemon is unavailable or a setting is wrong: all deliveries pause, nothing is counted.
    Outage {
        /// The reason.
        error: String,
        /// The wait that the daemon asks for.
        retry_after: Option<Duration>,
    },
}

/// Decides by the daemon's answer what happens to the notification.
pub(crate) fn classify<T>(answer: Result<T, DaemonError>) -> Verdict {
    let error = match answer {
        Ok(_) => return Verdict::Delivered,
        // The run succeeded; only its answer, which is not needed here, could not be read.
        Err(DaemonError::BadAnswer { .. }) => return Verdict::Delivered,
        Err(error) => error,
    };
    let retry_after = error.retry_after();
    if error.is_session_busy() || error.code() == Some("session_queue_full") {
        return Verdict::Busy { retry_after };
    }
    // A key that the provider refuses is a wrong setting, as one that is missing.
    let is_outage = error.is_unavailable()
        || error.code() == Some("llm_auth")
        || matches!(error, DaemonError::Refused { .. } | DaemonError::NotDaemon { .. });
    let is_final = matches!(error.status(), Some(400 | 404 | 409 | 422));
    let error = reason(error);
    if is_outage {
        Verdict::Outage { error, retry_after }
    } else if is_final {
        Verdict::Rejected(error)
    } else {
        // Including a broken connection and a timeout: this very notification may have caused them,
        // and it must not pause all others.
        Verdict::Failed { error, retry_after }
    }
}

/// The error as it is logged and kept with a dead letter: bounded, without losing the hint at its
/// end.
fn reason(mut error: DaemonError) -> String {
    if let DaemonError::Refused { body, .. } | DaemonError::Status { body, .. } = &mut error
        && let Some((end, _)) = body.error.char_indices().nth(MAX_SENTENCE_CHARS)
    {
        body.error.truncate(end);
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use daemon_client::{ErrorBody, RunAnswer};

    use super::*;

    fn class(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Delivered => "delivered",
            Verdict::Rejected(_) => "rejected",
            Verdict::Failed { .. } => "failed",
            Verdict::Busy { .. } => "busy",
            Verdict::Outage { .. } => "outage",
        }
    }

    /// What the client makes of an answer with this status and body.
    fn answer(status: u16, body: ErrorBody) -> Result<RunAnswer, DaemonError> {
        let body = Box::new(body);
        let retry_after = Some(Duration::from_secs(7));
        match status {
            200..=299 => Ok(RunAnswer::default()),
            401 | 403 => Err(DaemonError::Refused { status, body, retry_after }),
            _ => Err(DaemonError::Status { status, body, retry_after }),
        }
    }

    fn body(code: &'static str, error: &str) -> ErrorBody {
        ErrorBody { error: error.to_owned(), code: code.into(), ..ErrorBody::default() }
    }

    #[test]
    fn every_failure_has_its_class() {
        for (status, code, expected) in [
            (200, "", "delivered"),
            (202, "", "delivered"),
            (400, "invalid_payload", "rejected"),
            (404, "task_not_found", "rejected"),
            (404, "run_not_found", "rejected"),
            (422, "context_too_long", "rejected"),
            (409, "run_cancelled", "rejected"),
            (409, "", "rejected"),
            (409, "session_busy", "busy"),
            (429, "session_queue_full", "busy"),
            (401, "missing_daemon_key", "outage"),
            (403, "invalid_daemon_key", "outage"),
            (503, "overloaded", "outage"),
            // Also of a spent account: it waits until somebody pays.
            (503, "llm_unavailable", "outage"),
            (502, "llm_auth", "outage"),
            (502, "llm_rejected", "failed"),
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
            let verdict = classify(answer(status, body(code, "why")));
            assert_eq!(class(&verdict), expected, "{status} {code}");
        }
    }

    #[test]
    fn calls_without_an_answer_have_their_class() {
        let cause = || "why".to_owned();
        let in_between =
            |status| DaemonError::InBetween { status, page: cause(), retry_after: None };
        for (error, expected) in [
            (DaemonError::Unreachable { cause: cause() }, "outage"),
            (DaemonError::NotDaemon { status: 404, retry_after: None }, "outage"),
            (in_between(403), "outage"),
            (in_between(502), "outage"),
            // The gateway gave up on this very notification.
            (in_between(504), "failed"),
            (DaemonError::Broken { cause: cause() }, "failed"),
            (DaemonError::Timeout { after: Duration::from_secs(300) }, "failed"),
            (DaemonError::BadAnswer { cause: cause() }, "delivered"),
        ] {
            assert_eq!(class(&classify::<()>(Err(error))), expected);
        }
    }

    #[test]
    fn the_daemons_reason_and_wait_are_kept() {
        let answered = answer(402, body("budget_exceeded", "no money"));
        let Verdict::Failed { error, retry_after } = classify(answered) else { panic!() };
        assert_eq!(error, "the daemon answered 402 budget_exceeded: no money");
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
        let answered = answer(500, body("", &"x ".repeat(10_000)));
        let Verdict::Failed { error, .. } = classify(answered) else { panic!() };
        assert!(error.len() < 400, "{}", error.len());
        let answered = answer(403, body("", &"x ".repeat(10_000)));
        let Verdict::Outage { error, .. } = classify(answered) else { panic!() };
        assert!(error.ends_with("(check AGENT_DAEMON_API_KEY on both sides)"), "{error}");
    }
}
