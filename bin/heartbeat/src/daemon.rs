//! One message to the daemon.

use std::time::{Duration, SystemTime};

use mc_client::error::retry_after;
use mc_client::types::Pending;
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use service::trace::TraceId;
use wombat_core::session::SessionKey;

use crate::settings::Settings;

/// How often the daemon is asked when it is away for a moment, as while it restarts.
const ATTEMPTS: u32 = 3;

/// The first wait between two attempts; doubles.
const WAIT: Duration = Duration::from_secs(1);

/// The longest `Retry-After` that is waited for: cron comes again.
const MAX_WAIT: Duration = Duration::from_secs(15);

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
    /// No answer, or half of one.
    #[error("the daemon did not answer: {0}")]
    Broken(String),
    /// The daemon says no.
    #[error("the daemon answered {status}: {message}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// Its sentence.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Not the daemon's form.
    #[error("the daemon's answer could not be understood: {0}")]
    BadAnswer(String),
    /// The key cannot stand in a header.
    #[error("AGENT_DAEMON_API_KEY cannot stand in a header")]
    Key,
}

impl DaemonError {
    /// Whether the daemon did nothing yet and may later.
    fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status { status, .. } => *status == 503,
            Self::Broken(_) | Self::BadAnswer(_) | Self::Key => false,
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
    let mut attempt = 1;
    loop {
        let error = match send(settings, http, &body, &traceparent).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        let asked = match &error {
            DaemonError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            DaemonError::Unreachable(_)
            | DaemonError::Broken(_)
            | DaemonError::BadAnswer(_)
            | DaemonError::Key => Duration::ZERO,
        };
        if attempt >= ATTEMPTS || asked > MAX_WAIT || !error.is_retryable() {
            return Err(error);
        }
        tracing::info!(%error, "trying again");
        tokio::time::sleep(asked.max(WAIT * 2_u32.pow(attempt - 1))).await;
        attempt += 1;
    }
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
        let mut value = HeaderValue::from_str(key.expose_secret()).map_err(|_| DaemonError::Key)?;
        value.set_sensitive(true);
        request = request.header("x-agent-daemon-key", value);
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
    Err(DaemonError::Status {
        status: status.as_u16(),
        message: sentence(status, &bytes),
        retry_after: wait,
    })
}

fn sentence(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Error {
        error: String,
    }
    match serde_json::from_slice::<Error>(body) {
        Ok(body) => body.error.split_whitespace().collect::<Vec<_>>().join(" "),
        Err(_) => status.canonical_reason().unwrap_or("(no text)").to_owned(),
    }
}

fn of_transport(error: &reqwest::Error) -> DaemonError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_connect() {
        DaemonError::Unreachable(cause.to_string())
    } else {
        DaemonError::Broken(cause.to_string())
    }
}
