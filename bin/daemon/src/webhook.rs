//! Webhooks: notifying the caller's own server of the end of a run, in the background.
//!
//! The URL comes from outside and may point at something that only this machine can reach (SSRF).
//! Private addresses are rejected when the request is read, and again when a connection is made,
//! for the address that the name resolves to then.

mod sign;
mod target;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use http::{HeaderMap, StatusCode};
use mc_client::idempotency::sha256_hex;
use reqwest::Url;
use retry::{Backoff, retry_after};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::run::answer_json::{cost_to_wire, usage_to_wire};
use crate::run::error::RunError;
use crate::run::registry::{Outcome, RunHandle};
use crate::run::request::{RunRequest, TaskTarget, Webhook};

pub use target::TargetError;

/// How many attempts are made to deliver one event.
const ATTEMPTS: u32 = 5;

/// The timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a run that could be told of again waits for the first attempt.
const FIRST_ATTEMPT: Duration = Duration::from_secs(3);

/// The longest wait between two attempts, also when the receiver asks for more.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Headers that a caller cannot set, because the daemon or the HTTP client sets them.
const RESERVED: [&str; 9] = [
    "host",
    "connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "expect",
    "user-agent",
];

/// Sends webhooks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// Created with the first webhook: most daemons never send one.
    http: Arc<OnceLock<reqwest::Client>>,
    allow_private: bool,
    /// Signs where the request brings no secret.
    secret: Option<SecretString>,
    backoff: Backoff,
    tracker: TaskTracker,
}

impl Webhooks {
    /// `delay` is the wait before the second attempt; it doubles up to a minute.
    pub fn new(
        allow_private: bool,
        secret: Option<SecretString>,
        delay: Duration,
        tracker: TaskTracker,
    ) -> Self {
        let backoff = Backoff::new(delay, MAX_WAIT);
        Self { http: Arc::default(), allow_private, secret, backoff, tracker }
    }

    /// The client, which connects to public addresses only.
    fn client(&self) -> reqwest::Result<&reqwest::Client> {
        if let Some(client) = self.http.get() {
            return Ok(client);
        }
        let client = service::http::client_builder()
            // A proxy would resolve names itself, past our check.
            .no_proxy()
            .dns_resolver(target::Resolver { allow_private: self.allow_private })
            .build()?;
        Ok(self.http.get_or_init(|| client))
    }

    /// Checks a URL, including the addresses that its host resolves to now.
    ///
    /// # Errors
    /// When nothing may be sent there.
    pub async fn check(&self, url: &str) -> Result<Url, TargetError> {
        target::check(url, self.allow_private).await
    }

    /// Delivers the end of a run in the background, where the request names a webhook.
    pub fn send(&self, request: &RunRequest, handle: &RunHandle, outcome: &Outcome) {
        let Some(delivery) = self.delivery(request, handle, outcome) else { return };
        let sender = self.clone();
        self.tracker.spawn(async move { sender.deliver(&delivery, None).await }.in_current_span());
    }

    /// The same, and waits for a while until the first attempt has been made.
    pub async fn announce(&self, request: &RunRequest, handle: &RunHandle, outcome: &Outcome) {
        let Some(delivery) = self.delivery(request, handle, outcome) else { return };
        let (tell, tried) = oneshot::channel();
        let sender = self.clone();
        let deliver = async move { sender.deliver(&delivery, Some(tell)).await };
        self.tracker.spawn(deliver.in_current_span());
        let _in_time = tokio::time::timeout(FIRST_ATTEMPT, tried).await;
    }

    fn delivery(
        &self,
        request: &RunRequest,
        handle: &RunHandle,
        outcome: &Outcome,
    ) -> Option<Delivery> {
        let mut webhook = request.webhook.clone()?;
        webhook.secret = webhook.secret.or_else(|| self.secret.clone());
        let event = event(request, handle, outcome).to_string();
        // The same key gives the same id, so that a receiver can recognise a repetition.
        let id = request.key.as_ref().map_or(handle.run_id.as_str(), |key| key.as_str());
        let mut id = format!("msg_{id}");
        // A run that waits ends once more, and may wait for other requests before.
        let asked = outcome.as_ref().map_or(&[][..], |answer| answer.tool_requests());
        if !asked.is_empty() {
            let ids: Vec<_> = asked.iter().map(|request| request.id.as_str()).collect();
            id.extend(["_", &sha256_hex(&ids)[..16]]);
        }
        Some(Delivery { webhook, id, event })
    }

    async fn deliver(&self, delivery: &Delivery, mut tell: Option<oneshot::Sender<()>>) {
        let host = delivery.webhook.url.host_str().unwrap_or_default();
        for attempt in 1..=ATTEMPTS {
            let result = self.attempt(delivery).await;
            drop(tell.take());
            let (cause, asked) = match result {
                AttemptResult::Delivered => {
                    return tracing::debug!(host, attempt, "webhook delivered");
                }
                AttemptResult::Permanent(cause) => {
                    return tracing::warn!(host, attempt, cause, "webhook rejected; not retried");
                }
                AttemptResult::Transient(cause, asked) => (cause, asked),
            };
            if attempt == ATTEMPTS {
                return tracing::warn!(
                    host,
                    attempt,
                    cause,
                    "webhook delivery failed on the last attempt; giving up"
                );
            }
            let wait =
                asked.map_or_else(|| self.backoff.delay(attempt), |asked| asked.min(MAX_WAIT));
            tracing::info!(
                host,
                attempt,
                cause,
                wait_ms = wait.as_millis(),
                "webhook delivery failed; retrying"
            );
            sleep(wait).await;
        }
    }

    async fn attempt(&self, delivery: &Delivery) -> AttemptResult {
        let webhook = &delivery.webhook;
        let timestamp = Utc::now().timestamp();
        let mut headers = webhook.headers.clone();
        headers.extend(sign::headers(
            webhook.secret.as_ref(),
            &delivery.id,
            timestamp,
            &delivery.event,
        ));
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => {
                return AttemptResult::Permanent(format!(
                    "the HTTP client cannot be created: {error}"
                ));
            }
        };
        let sent = client
            .post(webhook.url.clone())
            .headers(headers)
            .timeout(ATTEMPT_TIMEOUT)
            .body(delivery.event.clone())
            .send()
            .await;
        match sent {
            Ok(answer) => classify(answer.status(), answer.headers()),
            // The error's own text would contain the URL.
            Err(error) if error.is_timeout() => {
                AttemptResult::Transient("timeout".to_owned(), None)
            }
            Err(error) => {
                let cause = shown::cause(&error);
                let why = if cause.is_tls() { format!(": {cause}") } else { String::new() };
                AttemptResult::Transient(format!("connection failed{why}"), None)
            }
        }
    }
}

struct Delivery {
    webhook: Webhook,
    id: String,
    event: String,
}

/// How one attempt to deliver went.
enum AttemptResult {
    Delivered,
    /// No later attempt will do better: why.
    Permanent(String),
    /// A later attempt may succeed: why this one did not, and how long the receiver asks to wait.
    Transient(String, Option<Duration>),
}

fn classify(status: StatusCode, headers: &HeaderMap) -> AttemptResult {
    let cause = format!("HTTP {}", status.as_u16());
    match status.as_u16() {
        200..=299 => AttemptResult::Delivered,
        408 | 409 | 425 | 429 | 500..=599 => {
            AttemptResult::Transient(cause, retry_after(headers, std::time::SystemTime::now()))
        }
        // Redirects are not followed: they could lead anywhere.
        _ => AttemptResult::Permanent(cause),
    }
}

/// Whether a caller may set this header.
pub fn is_allowed_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_reserved = RESERVED.contains(&name.as_str())
        || ["content-", "webhook-", "x-wombat-", "proxy-"]
            .iter()
            .any(|begin| name.starts_with(begin));
    !is_reserved
}

/// The body of a delivery (docs/API.md).
fn event(request: &RunRequest, handle: &RunHandle, outcome: &Outcome) -> Value {
    let tally = handle.meter.read_with_estimate();
    let mut event = json!({
        "event": if outcome.is_ok() { "agent.completed" } else { "agent.error" },
        "timestamp": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "run_id": handle.run_id,
        "task_id": task_of(request, outcome),
        "user_id": request.session.user().as_str(),
        "role": request.session.role().as_str(),
        "usage": usage_to_wire(&tally.usage),
        "cost": cost_to_wire(&tally.cost),
        "metadata": request.metadata,
    });
    match outcome {
        Ok(answer) => {
            event["response"] = json!(answer.response);
            event["message_id"] = json!(answer.message_id());
            event["status"] = json!(answer.ending.status());
            if !answer.tool_requests().is_empty() {
                event["tool_requests"] = json!(answer.tool_requests());
            }
        }
        Err(error) => {
            event["error"] = json!(error.message());
            event["code"] = json!(error.code());
            if let Some(produced) = &error.produced {
                event["response"] = json!(produced.response);
            }
        }
    }
    event
}

fn task_of(request: &RunRequest, outcome: &Outcome) -> Option<String> {
    match (outcome, &request.task) {
        (Ok(answer), _) => Some(answer.task_id.clone()),
        (Err(RunError { produced: Some(produced), .. }), _) => Some(produced.task_id.clone()),
        (Err(_), TaskTarget::Id(id)) => Some(id.clone()),
        (Err(_), TaskTarget::Title { .. }) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_set_their_own_headers_and_none_of_ours() {
        for name in ["authorization", "X-Tenant", "cookie"] {
            assert!(is_allowed_header(name), "{name}");
        }
        for name in [
            "Host",
            "content-type",
            "Content-Length",
            "WEBHOOK-id",
            "x-wombat-signature",
            "Connection",
            "proxy-authorization",
        ] {
            assert!(!is_allowed_header(name), "{name}");
        }
    }
}
