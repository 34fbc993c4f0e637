//! One message to the daemon.

use std::time::{Duration, SystemTime};

use mc_client::error::retry_after;
use mc_client::types::{ErrorBody, Pending};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;
use service::trace::TraceId;
use wombat_core::session::SessionKey;

use crate::retry;
use crate::settings::Settings;

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// What the agent did.
#[derive(Debug, Deserialize)]
pub(crate) struct Reply {
    /// `ok` or `awaiting_approval`.
    #[serde(default)]
    pub(crate) status: String,
    /// What it said.
    #[serde(default)]
    pub(crate) response: Option<String>,
    /// Whether there was nothing to do.
    #[serde(default)]
    pub(crate) silent: bool,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// No connection.
    #[error("the daemon cannot be reached: {0} (check AGENT_DAEMON_URL)")]
    Unreachable(String),
    /// Half an answer, or none.
    #[error("the connection to the daemon broke: {0}")]
    Broken(String),
    /// The run outlasted all patience.
    #[error("the daemon did not answer in time")]
    Timeout,
    /// The daemon says no.
    #[error("the daemon answered {status}: {message}{}", hint(*.status))]
    Status {
        /// The HTTP status.
        status: u16,
        /// Its word for programs.
        code: Option<String>,
        /// Its sentence.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Not the daemon's form.
    #[error("the daemon's answer could not be understood: {0}")]
    BadAnswer(String),
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => " (check AGENT_DAEMON_API_KEY on both sides)",
        404 | 405 => " (check AGENT_DAEMON_URL)",
        _ => "",
    }
}

impl DaemonError {
    /// The wait before a repeat that does no harm: the daemon did nothing yet, or the key of the
    /// run makes the repeat find what it did. A run that took too long would do so again.
    fn again(&self, keyed: bool) -> Option<Duration> {
        match self {
            Self::Unreachable(_) => Some(Duration::ZERO),
            Self::Broken(_) => keyed.then_some(Duration::ZERO),
            Self::Status { status, code, retry_after, .. } => {
                let idle = match (status, code.as_deref()) {
                    (503, _) | (409, Some("session_busy")) | (502, Some("backend_unavailable")) => {
                        true
                    }
                    (_, Some(_) | None) => false,
                };
                idle.then_some(retry_after.unwrap_or_default())
            }
            Self::Timeout | Self::BadAnswer(_) => None,
        }
    }

    /// Whether the same run is being made for another machine.
    pub(crate) fn is_run_elsewhere(&self) -> bool {
        match self {
            Self::Status { status, code, .. } => {
                *status == 409 && code.as_deref() == Some("idempotency_conflict")
            }
            Self::Unreachable(_) | Self::Broken(_) | Self::Timeout | Self::BadAnswer(_) => false,
        }
    }
}

/// Has the daemon run the checklist. With a slot the run is made once, however often it is asked
/// for.
pub(crate) async fn wake(
    settings: &Settings,
    http: &reqwest::Client,
    session: &SessionKey,
    pending: Option<Pending>,
    slot: Option<&str>,
) -> Result<Reply, DaemonError> {
    let mut body = json!({
        "user_id": session.user().as_str(),
        "session_key": session.to_string(),
        "message": message(pending),
        "task_title": settings.task,
        "metadata": {"type": "heartbeat", "prompt_mode": "minimal", "model_tier": "cheap"},
    });
    if let Some(slot) = slot {
        body["idempotency_key"] = format!("heartbeat:{slot}").into();
    }
    let traceparent = TraceId::random().traceparent();
    retry::repeat(
        async || send(settings, http, &body, &traceparent).await,
        |error| error.again(slot.is_some()),
    )
    .await
}

fn message(pending: Option<Pending>) -> String {
    const ASK: &str = "Heartbeat: look at what is pending, act on it, else answer HEARTBEAT_OK.";
    match pending {
        Some(Pending { notifications, tasks }) => {
            format!("{ASK}\nPending: {notifications} unread notifications, {tasks} open tasks.")
        }
        None => ASK.to_owned(),
    }
}

async fn send(
    settings: &Settings,
    http: &reqwest::Client,
    body: &serde_json::Value,
    traceparent: &str,
) -> Result<Reply, DaemonError> {
    let mut request = http
        .post(format!("{}/api/agents/send", settings.daemon_url))
        .timeout(settings.send_timeout)
        .header("traceparent", traceparent)
        .json(body);
    if let Some(key) = &settings.daemon_key {
        request = request.header("x-agent-daemon-key", key);
    }
    let mut response = request.send().await.map_err(|error| of_transport(&error))?;
    let status = response.status();
    let wait = retry_after(response.headers(), SystemTime::now());
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| of_transport(&error))? {
        if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(DaemonError::BadAnswer("it is too long".to_owned()));
        }
        bytes.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return serde_json::from_slice(&bytes)
            .map_err(|error| DaemonError::BadAnswer(error.to_string()));
    }
    let (code, message) = reason(status, &bytes);
    Err(DaemonError::Status { status: status.as_u16(), code, message, retry_after: wait })
}

/// The `code` and the sentence of a bad answer.
fn reason(status: StatusCode, body: &[u8]) -> (Option<String>, String) {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => (body.code, body.error),
        Err(_) => (None, status.canonical_reason().unwrap_or("(no text)").to_owned()),
    }
}

fn of_transport(error: &reqwest::Error) -> DaemonError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_connect() {
        DaemonError::Unreachable(cause.to_string())
    } else if error.is_timeout() {
        DaemonError::Timeout
    } else {
        DaemonError::Broken(cause.to_string())
    }
}
