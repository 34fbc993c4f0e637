//! Webhooks: telling the caller's own server how a run ended, without making anybody wait.
//!
//! The address comes from outside, so it may point at something that only this machine can reach.
//! Private targets are refused when the request is read, and again when a connection is made, with
//! the address that the name has then.

mod sign;
mod target;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use http::{HeaderMap, StatusCode};
use mc_client::error::retry_after;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::run::error::RunError;
use crate::run::registry::{Outcome, RunHandle};
use crate::run::request::{RunRequest, TaskTarget, Webhook};

pub use target::Refused;

/// Tries of one event.
const ATTEMPTS: u32 = 5;

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest wait between two tries.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Headers that a caller cannot set: they say where the message ends, whom it is for, or that it is
/// from us.
const OURS: [&str; 9] = [
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
    /// Made when the first webhook is sent: most daemons never send one.
    http: Arc<OnceLock<reqwest::Client>>,
    allow_private: bool,
    delay: Duration,
    tracker: TaskTracker,
}

impl Webhooks {
    /// `delay` is the wait before the second try; it doubles.
    pub fn new(allow_private: bool, delay: Duration, tracker: TaskTracker) -> Self {
        Self { http: Arc::default(), allow_private, delay, tracker }
    }

    /// The client, which connects to public addresses only.
    fn client(&self) -> reqwest::Result<&reqwest::Client> {
        if let Some(client) = self.http.get() {
            return Ok(client);
        }
        let client = service::http::client_builder()
            // A proxy would look names up itself, behind our back.
            .no_proxy()
            .dns_resolver(target::Resolver { allow_private: self.allow_private })
            .build()?;
        Ok(self.http.get_or_init(|| client))
    }

    /// Checks an address, with the addresses that its name has now.
    ///
    /// # Errors
    /// When nothing may be sent there.
    pub async fn check(&self, url: &str) -> Result<Url, Refused> {
        target::check(url, self.allow_private).await
    }

    /// Tells how a run ended. Returns at once.
    pub fn tell(&self, request: &RunRequest, handle: &RunHandle, outcome: &Outcome) {
        let Some(webhook) = request.webhook.clone() else { return };
        let event = event(request, handle, outcome).to_string();
        // The same for the same key, so that a receiver can tell a repetition.
        let id = request.key.as_ref().map_or(handle.run_id.as_str(), |key| key.as_str());
        let delivery = Delivery { webhook, id: format!("msg_{id}"), event };
        let sender = self.clone();
        self.tracker.spawn(async move { sender.deliver(&delivery).await }.in_current_span());
    }

    async fn deliver(&self, delivery: &Delivery) {
        let host = delivery.webhook.url.host_str().unwrap_or_default();
        for attempt in 1..=ATTEMPTS {
            let (what, wait) = match self.attempt(delivery).await {
                Verdict::Taken => {
                    return tracing::debug!(host, attempt, "webhook delivered");
                }
                Verdict::Refused(what) => {
                    return tracing::warn!(
                        host,
                        what,
                        "the webhook is refused; it is not tried again"
                    );
                }
                Verdict::Failed(what, wait) => (what, wait),
            };
            if attempt == ATTEMPTS {
                return tracing::warn!(host, what, "the webhook could not be delivered; giving up");
            }
            let backoff = self.delay.saturating_mul(1 << (attempt - 1));
            let wait = wait.unwrap_or(backoff).min(MAX_WAIT);
            tracing::info!(host, what, wait_ms = wait.as_millis(), "the webhook is tried again");
            sleep(wait).await;
        }
    }

    async fn attempt(&self, delivery: &Delivery) -> Verdict {
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
            Err(error) => return Verdict::Refused(format!("no client can be made: {error}")),
        };
        let sent = client
            .post(webhook.url.clone())
            .headers(headers)
            .timeout(PATIENCE)
            .body(delivery.event.clone())
            .send()
            .await;
        match sent {
            Ok(answer) => judge(answer.status(), answer.headers()),
            // The text of the error would hold the address.
            Err(error) if error.is_timeout() => {
                Verdict::Failed("no answer in time".to_owned(), None)
            }
            Err(_) => Verdict::Failed("no connection".to_owned(), None),
        }
    }
}

struct Delivery {
    webhook: Webhook,
    id: String,
    event: String,
}

enum Verdict {
    Taken,
    /// It will not be taken, also not later.
    Refused(String),
    /// It may be taken later; when, if the receiver said so.
    Failed(String, Option<Duration>),
}

fn judge(status: StatusCode, headers: &HeaderMap) -> Verdict {
    let what = format!("HTTP {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Verdict::Taken,
        408 | 409 | 425 | 429 | 500..=599 => {
            Verdict::Failed(what, retry_after(headers, std::time::SystemTime::now()))
        }
        // Redirects are not followed: they could lead anywhere.
        _ => Verdict::Refused(what),
    }
}

/// Whether a caller may set a header.
pub fn is_callers(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_ours = OURS.contains(&name.as_str())
        || ["content-", "webhook-", "x-wombat-", "proxy-"]
            .iter()
            .any(|begin| name.starts_with(begin));
    !is_ours
}

fn event(request: &RunRequest, handle: &RunHandle, outcome: &Outcome) -> Value {
    let tally = handle.meter.read();
    let mut event = json!({
        "event": if outcome.is_ok() { "agent.completed" } else { "agent.error" },
        "timestamp": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "run_id": handle.run_id,
        "task_id": task_of(request, outcome),
        "user_id": request.session.user().as_str(),
        "role": request.session.role().as_str(),
        "usage": tally.usage,
        "cost": tally.cost,
        "metadata": request.metadata,
    });
    match outcome {
        Ok(answer) => {
            event["response"] = json!(answer.response);
            event["message_id"] = json!(answer.message_id());
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
            assert!(is_callers(name), "{name}");
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
            assert!(!is_callers(name), "{name}");
        }
    }
}
