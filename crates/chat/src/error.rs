//! Why there is no answer, in one line for the person at the terminal.

use daemon_client::{DaemonError, ErrorBody};

use super::clean::one_line;

/// The longest text of others in an error, characters.
const LONGEST: usize = 500;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChatError {
    /// Nothing answers at this address.
    #[error(
        "no daemon answers at {url} ({cause}); start one with `wombat-daemon`, or name another \
         with --url or AGENT_DAEMON_URL"
    )]
    Unreachable {
        /// The address.
        url: String,
        /// What happened.
        cause: String,
    },
    /// The key is missing or wrong.
    #[error(
        "the daemon at {url} refuses the call: {why}; set AGENT_DAEMON_API_KEY to the daemon's key"
    )]
    Key {
        /// The address.
        url: String,
        /// The daemon's reason.
        why: String,
    },
    /// Something else answers at this address.
    #[error("{url} is no Wombat daemon: {why}; name one with --url or AGENT_DAEMON_URL")]
    NotDaemon {
        /// The address.
        url: String,
        /// What gave it away.
        why: String,
    },
    /// Something between here and the daemon answers.
    #[error(
        "{url} was answered by something in between ({page}), with status {status}; look at the \
         proxies and gateways on the way"
    )]
    InBetween {
        /// The address.
        url: String,
        /// What the answer says.
        page: String,
        /// Its status.
        status: u16,
    },
    /// The workspace has no such role.
    #[error("the daemon has no role {role:?}; it has {known}")]
    UnknownRole {
        /// What was asked for.
        role: String,
        /// What there is.
        known: String,
    },
    /// There is no role to take by itself.
    #[error("name the role with --role: {known}")]
    NoRole {
        /// What there is.
        known: String,
    },
    /// The daemon's own error, of a request or of a run.
    #[error("{error} ({code})")]
    Daemon {
        /// Its word for programs.
        code: String,
        /// Its sentence.
        error: String,
    },
    /// The run awaits a person's approval, or an answer.
    #[error("{0}")]
    AwaitingApproval(String),
    /// The stream ended before the answer did.
    #[error("the connection to the daemon broke before the answer was complete: {0}")]
    Broken(String),
    /// Standard output or standard error cannot be written.
    #[error("the answer could not be printed: {0}")]
    Screen(#[from] std::io::Error),
    /// Something went wrong on this machine, before or beside the call.
    #[error("{0}")]
    Local(String),
}

impl ChatError {
    /// Whether the daemon refuses the question because another one of the session is being answered.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Daemon { code, .. } if code == "session_busy")
    }

    /// A call to the daemon at `url` that failed.
    pub(crate) fn of_call(url: &str, error: DaemonError) -> Self {
        let url = shown::url(url).to_string();
        let (status, body) = match error {
            DaemonError::Unreachable { cause } => return Self::Unreachable { url, cause },
            DaemonError::Timeout { after } => {
                let cause = format!("timeout after {} s", after.as_secs());
                return Self::Unreachable { url, cause };
            }
            DaemonError::Broken { cause } => return Self::Broken(cause),
            DaemonError::BadAnswer { cause } => {
                let why = format!("its answer could not be understood: {cause}");
                return Self::NotDaemon { url, why: one_line(&why, LONGEST) };
            }
            DaemonError::NotDaemon { status, .. } => {
                return Self::NotDaemon {
                    url,
                    why: format!("it answers {status} with a web page"),
                };
            }
            DaemonError::InBetween { status, page, .. } => {
                return Self::InBetween { url, page: one_line(&page, LONGEST), status };
            }
            DaemonError::Refused { status, body, .. }
            | DaemonError::Status { status, body, .. } => (status, body),
        };
        match (status, &*body.code) {
            (_, "missing_daemon_key" | "invalid_daemon_key") => {
                Self::Key { url, why: one_line(&body.error, LONGEST) }
            }
            (_, "") => Self::NotDaemon { url, why: format!("it answers with status {status}") },
            (404 | 405, "not_found" | "method_not_allowed") => {
                Self::NotDaemon { url, why: "it lacks the endpoint".to_owned() }
            }
            (_, _) => Self::of_body(&body),
        }
    }

    /// The daemon's own error, of a request or of a run.
    pub(crate) fn of_body(body: &ErrorBody) -> Self {
        let mut error = body.error.clone();
        for (field, why) in body.problems() {
            error.push_str(&format!("; {field}: {why}"));
        }
        if error.is_empty() {
            "the daemon gives no reason".clone_into(&mut error);
        }
        Self::Daemon { code: one_line(&body.code, LONGEST), error: one_line(&error, LONGEST) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn line(status: u16, body: Value) -> String {
        let body = serde_json::from_value(body).unwrap();
        let error = match status {
            401 | 403 => DaemonError::Refused { status, body, retry_after: None },
            _ => DaemonError::Status { status, body, retry_after: None },
        };
        ChatError::of_call("http://d", error).to_string()
    }

    #[test]
    fn each_refusal_says_what_to_do_in_one_line() {
        let key = json!({ "error": "the header is missing", "code": "missing_daemon_key" });
        assert!(line(401, key).contains("the header is missing; set AGENT_DAEMON_API_KEY"));
        let fields = json!({ "error": "fields are wrong", "code": "invalid_payload",
            "details": { "fields": { "user_id": "is \u{1b}[31mempty\nor not" } } });
        let text = line(400, fields);
        assert_eq!(text, "fields are wrong; user_id: is empty or not (invalid_payload)");
        let odd = line(404, json!({ "error": "?" }));
        assert!(odd.contains("is no Wombat daemon: it answers with status 404"), "{odd}");
        let busy = json!({ "error": "the backend is away", "code": "backend_unavailable" });
        assert_eq!(line(502, busy), "the backend is away (backend_unavailable)");
    }
}
