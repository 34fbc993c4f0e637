//! The daemon, as the dispatcher calls it.

use std::time::{Duration, SystemTime};

use mc_client::error::retry_after;
use mc_client::types::Delivery;
use reqwest::header::{HeaderName, HeaderValue, InvalidHeaderValue};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, Value};
use service::otel::{Side, Span};
use service::trace::TraceId;

use crate::settings::Settings;
use crate::verdict::{self, Verdict};

/// The daemon's key.
const DAEMON_KEY: HeaderName = HeaderName::from_static("x-agent-daemon-key");

/// The trace that the run belongs to (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The largest answer that is read to its end, so that the connection can be used again. Only the
/// status and an error's text matter.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Where notifications go.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    http: reqwest::Client,
    url: String,
    key: Option<HeaderValue>,
    timeout: Duration,
    default_task: String,
}

impl Daemon {
    /// The daemon of the settings; fails when its key cannot stand in a header.
    pub(crate) fn new(
        settings: &Settings,
        http: reqwest::Client,
    ) -> Result<Self, InvalidHeaderValue> {
        let key = match &settings.daemon_key {
            Some(key) => {
                let mut value = HeaderValue::from_str(key.expose_secret())?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self {
            http,
            url: format!("{}/api/agents/send", settings.daemon_url),
            key,
            timeout: settings.send_timeout,
            default_task: settings.default_task.clone(),
        })
    }

    /// Forwards a notification and waits for the run's end.
    pub(crate) async fn send(&self, delivery: &Delivery) -> Verdict {
        let trace = TraceId::random();
        let mut span =
            Span::of_request(&trace, Side::Producer, || "deliver notification".to_owned());
        span.set("messaging.operation.type", "send");
        span.set("messaging.message.id", delivery.notification_id.clone());
        let verdict = self.forward(delivery, &span.traceparent()).await;
        match &verdict {
            Verdict::Delivered => span.succeed(),
            _ => span.fail("not_delivered"),
        }
        verdict
    }

    async fn forward(&self, delivery: &Delivery, traceparent: &str) -> Verdict {
        let mut request = self
            .http
            .post(&self.url)
            .timeout(self.timeout)
            .header(TRACEPARENT, traceparent)
            .json(&Message::of(delivery, &self.default_task));
        if let Some(key) = &self.key {
            request = request.header(DAEMON_KEY, key);
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return of_transport(&error),
        };
        let status = response.status().as_u16();
        let wait = retry_after(response.headers(), SystemTime::now());
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER_BYTES => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Some(_) | None) => break,
                // An answer that was cut proves nothing; the repeat is answered from what is stored.
                Err(error) => return of_transport(&error),
            }
        }
        verdict::of_answer(status, &body, wait)
    }
}

/// Only a connection that could not be made is an outage: one that breaks, or an answer that does
/// not come, may well be this notification's doing, which must not hold up all others for ever.
fn of_transport(error: &reqwest::Error) -> Verdict {
    if error.is_connect() {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let error = format!("the daemon cannot be reached: {cause} (check AGENT_DAEMON_URL)");
        return Verdict::Outage { error, retry_after: None };
    }
    let error = if error.is_timeout() {
        "the daemon did not answer in time"
    } else {
        "the connection to the daemon broke"
    };
    Verdict::Failed { error: error.to_owned(), retry_after: None }
}

/// The body of `POST /api/agents/send`.
#[derive(Debug, Serialize)]
struct Message<'a> {
    user_id: &'a str,
    session_key: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume_run_key: Option<&'a str>,
    metadata: Map<String, Value>,
}

impl<'a> Message<'a> {
    fn of(delivery: &'a Delivery, default_task: &'a str) -> Self {
        let task_id = delivery.task_id.as_deref().filter(|id| !id.is_empty());
        let mut metadata = delivery.metadata.clone().unwrap_or_default();
        // Set last: the daemon derives the run's key from the id.
        metadata.insert("type".to_owned(), "mc.notification".into());
        metadata.insert("notification_id".to_owned(), delivery.notification_id.clone().into());
        Self {
            user_id: &delivery.user_id,
            session_key: &delivery.session_key,
            message: &delivery.content,
            task_id,
            task_title: task_id.is_none().then_some(default_task),
            resume_run_key: delivery.run_key.as_deref(),
            metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delivery(value: Value) -> Delivery {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_notification_becomes_a_message_to_its_session() {
        let delivery = delivery(json!({
            "notification_id": "n", "user_id": "u", "session_key": "user:u:r", "content": "hi",
            "metadata": {"type": "forged", "notification_id": "forged", "colour": "red"}
        }));
        let body = serde_json::to_value(Message::of(&delivery, "Notifications")).unwrap();
        let expected = json!({
            "user_id": "u", "session_key": "user:u:r", "message": "hi",
            "task_title": "Notifications",
            "metadata": {"type": "mc.notification", "notification_id": "n", "colour": "red"}
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn its_own_task_and_the_run_that_it_takes_up_are_named() {
        let delivery = delivery(json!({
            "notification_id": "n", "user_id": "u", "session_key": "user:u:r",
            "task_id": "t", "run_key": "k"
        }));
        let body = serde_json::to_value(Message::of(&delivery, "Notifications")).unwrap();
        let expected = json!({
            "user_id": "u", "session_key": "user:u:r", "task_id": "t", "resume_run_key": "k",
            "metadata": {"type": "mc.notification", "notification_id": "n"}
        });
        assert_eq!(body, expected);
    }
}
