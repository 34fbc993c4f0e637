//! Why an answer does not come, in one line for the person at the terminal.

use serde_json::Value;

use super::clean::one_line;

/// The longest line that is made of what others wrote.
const LONGEST: usize = 500;

/// Why an answer does not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChatError {
    /// Nobody listens there.
    #[error(
        "no daemon answers at {url} ({cause}); start one with `wombat-daemon`, or name another \
         with --url or AGENT_DAEMON_URL"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// What happened.
        cause: String,
    },
    /// The key is missing or wrong.
    #[error(
        "the daemon at {url} refuses the call: {why}; set AGENT_DAEMON_API_KEY to the daemon's key"
    )]
    Key {
        /// Where.
        url: String,
        /// Its words.
        why: String,
    },
    /// Something else listens there.
    #[error("{url} is no Wombat daemon: {why}; name one with --url or AGENT_DAEMON_URL")]
    NoDaemon {
        /// Where.
        url: String,
        /// What gave it away.
        why: String,
    },
    /// The workspace has no such role.
    #[error("the daemon has no role {role:?}; it has {known}")]
    UnknownRole {
        /// What was asked for.
        role: String,
        /// What there is.
        known: String,
    },
    /// What the daemon says of a run or a request.
    #[error("{error} ({code})")]
    Told {
        /// Its word for programs.
        code: String,
        /// Its sentence.
        error: String,
    },
    /// The run waits for a person.
    #[error("{0}")]
    Waits(String),
    /// The stream ended before the answer did.
    #[error("the connection to the daemon broke before the answer was complete: {0}")]
    Broken(String),
    /// Nothing can be printed any more.
    #[error("the answer cannot be printed: {0}")]
    Screen(#[from] std::io::Error),
    /// The client itself.
    #[error("{0}")]
    Own(String),
}

impl ChatError {
    /// What the daemon says of a request or a run, `body` being its error.
    pub(super) fn told(body: &Value) -> Self {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let mut error = text("error").to_owned();
        if let Some(fields) = body["details"]["fields"].as_object() {
            for (field, why) in fields {
                error.push_str(&format!("; {field}: {}", why.as_str().unwrap_or_default()));
            }
        }
        let error = if error.is_empty() { "the daemon gives no reason".to_owned() } else { error };
        Self::Told { code: one_line(text("code"), LONGEST), error: one_line(&error, LONGEST) }
    }

    /// What an HTTP answer says that is no success.
    pub(super) fn of_status(url: &str, status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let code = body["code"].as_str().unwrap_or_default();
        let url = url.to_owned();
        match (status, code) {
            (_, "missing_daemon_key" | "invalid_daemon_key") => Self::Key {
                url,
                why: one_line(body["error"].as_str().unwrap_or_default(), LONGEST),
            },
            (_, "") => Self::NoDaemon { url, why: format!("it answers with status {status}") },
            (404 | 405, "not_found" | "method_not_allowed") => {
                Self::NoDaemon { url, why: "it lacks the endpoint".to_owned() }
            }
            (_, _) => Self::told(&body),
        }
    }

    /// What happened to a call.
    pub(super) fn of_transport(url: &str, error: &reqwest::Error) -> Self {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let cause = if error.is_timeout() { "no answer in time".into() } else { cause.to_string() };
        if error.is_connect() || error.is_timeout() {
            Self::Unreachable { url: url.to_owned(), cause }
        } else {
            Self::Broken(cause)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(status: u16, body: &Value) -> String {
        ChatError::of_status("http://d", status, body.to_string().as_bytes()).to_string()
    }

    #[test]
    fn each_refusal_says_what_to_do_in_one_line() {
        let key = json!({ "error": "the header is missing", "code": "missing_daemon_key" });
        assert!(line(401, &key).contains("the header is missing; set AGENT_DAEMON_API_KEY"));
        let fields = json!({ "error": "fields are wrong", "code": "invalid_payload",
            "details": { "fields": { "user_id": "is \u{1b}[31mempty\nor not" } } });
        let told = line(400, &fields);
        assert_eq!(told, "fields are wrong; user_id: is empty or not (invalid_payload)");
        assert!(line(404, &json!("?")).contains("is no Wombat daemon: it answers with status 404"));
        let busy = json!({ "error": "the backend is away", "code": "backend_unavailable" });
        assert_eq!(line(502, &busy), "the backend is away (backend_unavailable)");
    }
}
