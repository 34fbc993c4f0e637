//! Has the daemon run an agent's checklist.

use std::time::Duration;

use daemon_client::{CallOptions, DaemonClient, DaemonError, RetryPolicy, RunAnswer, SendRequest};
use mc_client::types::Pending;
use retry::Backoff;
use serde_json::{Map, Value};
use service::trace::TraceId;
use wombat_core::session::SessionKey;

use crate::settings::Settings;

/// The attempts of every call, to the daemon and to the backend. What is unavailable for longer is
/// left to the next cron tick.
pub(crate) const RETRIES: RetryPolicy = RetryPolicy {
    attempts: 3,
    backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(15)),
    max_wait: Duration::from_secs(15),
};

/// Sends the agent its checklist's message and waits for the end of the run. With a slot the run is
/// made once, however often it is asked for.
pub(crate) async fn run_checklist(
    settings: &Settings,
    client: &DaemonClient,
    session: &SessionKey,
    pending: Option<Pending>,
    slot: Option<&str>,
) -> Result<RunAnswer, DaemonError> {
    let metadata = [("type", "heartbeat"), ("prompt_mode", "minimal"), ("model_tier", "cheap")];
    let metadata: Map<String, Value> =
        metadata.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let request = SendRequest {
        user_id: session.user().as_str().into(),
        session_key: session.to_string().into(),
        message: message(pending).into(),
        task_title: Some(settings.task.as_str().into()),
        metadata: Some(metadata),
        idempotency_key: slot.map(|slot| format!("heartbeat:{slot}").into()),
        ..SendRequest::default()
    };
    let traceparent = TraceId::random().traceparent();
    let options = CallOptions { timeout: settings.send_timeout, traceparent: Some(&traceparent) };
    client.send_with_retries(&request, &options, &RETRIES).await
}

/// Whether the same run is in progress for another machine.
pub(crate) fn is_run_elsewhere(error: &DaemonError) -> bool {
    error.status() == Some(409) && error.code() == Some("idempotency_conflict")
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
