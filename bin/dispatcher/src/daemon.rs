//! Forwards notifications to the daemon.

use std::time::Duration;

use daemon_client::{
    CallOptions, DaemonClient, DaemonError, InvalidKey, SendRequest, key_header, metadata as names,
};
use mc_client::orphans::Orphan;
use mc_client::types::{DETACHED, Delivery};
use serde_json::Value;
use service::otel::{Side, Span};
use service::trace::TraceId;

use crate::classify::{Verdict, classify};
use crate::settings::Settings;

/// How much of an answer is read, bytes: what it says beyond its status does not matter here.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// How long the daemon may take until it has taken a run up.
const TAKE_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// The daemon that notifications are forwarded to.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    client: DaemonClient,
    timeout: Duration,
    default_task: String,
}

impl Daemon {
    /// The daemon of the settings; fails when its key cannot be sent in a header.
    pub(crate) fn new(settings: &Settings, http: reqwest::Client) -> Result<Self, InvalidKey> {
        let key = settings.daemon_key.as_ref().map(key_header).transpose()?;
        Ok(Self {
            client: DaemonClient::new(http, &settings.daemon_url, key)
                .with_answer_limit(MAX_ANSWER_BYTES),
            timeout: settings.send_timeout,
            default_task: settings.default_task.clone(),
        })
    }

    /// Sends a notification as a message to its session and waits for the end of the run.
    pub(crate) async fn forward(&self, delivery: &Delivery) -> Verdict {
        let trace = TraceId::random();
        let mut span =
            Span::of_request(&trace, Side::Producer, || "deliver notification".to_owned());
        span.set("messaging.operation.type", "send");
        span.set("messaging.message.id", delivery.notification_id.clone());
        let traceparent = span.traceparent();
        let options = CallOptions { timeout: self.timeout, traceparent: Some(&traceparent) };
        let verdict = match detached(delivery) {
            Some(request) => self.post(&request, options).await,
            None => {
                let request = request(delivery, &self.default_task);
                classify(self.client.send(&request, &options).await)
            }
        };
        match &verdict {
            Verdict::Delivered => span.succeed(),
            _ => span.fail("not_delivered"),
        }
        verdict
    }
}

impl Daemon {
    /// Lets an instance take up a run that none works on.
    pub(crate) async fn resume(&self, run: &Orphan) -> Verdict {
        let trace = TraceId::random();
        let mut span = Span::of_request(&trace, Side::Producer, || "resume run".to_owned());
        span.set("wombat.run_key", run.run_key.clone());
        let traceparent = span.traceparent();
        let options = CallOptions { timeout: self.timeout, traceparent: Some(&traceparent) };
        let request = resumption(&run.user_id, &run.session_key, &run.run_key);
        let verdict = self.post(&request, options).await;
        match &verdict {
            Verdict::Delivered => span.succeed(),
            _ => span.fail("not_resumed"),
        }
        verdict
    }

    /// Has an instance look at a run that the backend has ended, so that it tells whoever wants to know.
    pub(crate) async fn look_at(&self, run: &Orphan) -> Verdict {
        let is_key = run.run_key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_key || !run.session_key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Verdict::Rejected("its key or session is none of the daemon's".to_owned());
        }
        let options = CallOptions { timeout: self.timeout.min(TAKE_UP_TIMEOUT), traceparent: None };
        classify(self.client.look_at((&run.run_key, &run.session_key), &options).await)
    }

    /// Whether the daemon answers at all; an error says why not.
    pub(crate) async fn answers(&self) -> Result<(), DaemonError> {
        self.client.agents().await.map(drop)
    }

    /// Posts a detached run, which is answered as soon as it is taken up.
    async fn post(&self, request: &SendRequest<'_>, options: CallOptions<'_>) -> Verdict {
        let options = CallOptions { timeout: self.timeout.min(TAKE_UP_TIMEOUT), ..options };
        classify(self.client.resume(request, &options).await)
    }
}

/// The request that resumes a detached run, where a notification is about one.
fn detached(delivery: &Delivery) -> Option<SendRequest<'_>> {
    let is_detached = delivery.metadata.as_ref()?.get(DETACHED)? == &Value::Bool(true);
    let run_key = delivery.run_key.as_deref().filter(|_| is_detached)?;
    Some(resumption(&delivery.user_id, &delivery.session_key, run_key))
}

/// The request that resumes a run.
fn resumption<'a>(user_id: &'a str, session_key: &'a str, run_key: &'a str) -> SendRequest<'a> {
    SendRequest {
        user_id: user_id.into(),
        session_key: session_key.into(),
        resume_run_key: Some(run_key.into()),
        ..SendRequest::default()
    }
}

/// The message that a notification becomes.
fn request<'a>(delivery: &'a Delivery, default_task: &'a str) -> SendRequest<'a> {
    let task_id = delivery.task_id.as_deref().filter(|id| !id.is_empty());
    let mut metadata = delivery.metadata.clone().unwrap_or_default();
    // Set last, over whatever the notification holds: the daemon derives the idempotency key from
    // the id.
    metadata.insert(names::TYPE.to_owned(), names::NOTIFICATION.into());
    metadata.insert(names::NOTIFICATION_ID.to_owned(), delivery.notification_id.clone().into());
    SendRequest {
        user_id: delivery.user_id.as_str().into(),
        session_key: delivery.session_key.as_str().into(),
        message: delivery.content.as_str().into(),
        task_id: task_id.map(Into::into),
        task_title: task_id.is_none().then_some(default_task.into()),
        metadata: Some(metadata),
        resume_run_key: delivery.run_key.as_deref().map(Into::into),
        ..SendRequest::default()
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
        let body = serde_json::to_value(request(&delivery, "Notifications")).unwrap();
        let expected = json!({
            "user_id": "u", "session_key": "user:u:r", "message": "hi",
            "task_title": "Notifications",
            "metadata": {"type": "mc.notification", "notification_id": "n", "colour": "red"}
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_decision_about_a_detached_run_only_names_the_run() {
        let one = |metadata: Value| {
            delivery(json!({
                "notification_id": "n", "user_id": "u", "session_key": "user:u:r", "content": "approved",
                "task_id": "t", "run_key": "k", "metadata": metadata
            }))
        };
        let told = one(json!({ "detached": true, "tool_request_id": "x" }));
        let body = serde_json::to_value(detached(&told).unwrap()).unwrap();
        let expected = json!({"user_id": "u", "session_key": "user:u:r", "resume_run_key": "k"});
        assert_eq!(body, expected);
        for other in [json!({}), json!({ "detached": false }), json!({ "detached": "true" })] {
            assert!(detached(&one(other.clone())).is_none(), "{other}");
        }
        let without_run = json!({
            "notification_id": "n", "user_id": "u", "session_key": "user:u:r",
            "metadata": { "detached": true }
        });
        assert!(detached(&delivery(without_run)).is_none());
    }

    #[test]
    fn its_task_and_the_run_that_it_resumes_are_named() {
        let delivery = delivery(json!({
            "notification_id": "n", "user_id": "u", "session_key": "user:u:r",
            "task_id": "t", "run_key": "k"
        }));
        let body = serde_json::to_value(request(&delivery, "Notifications")).unwrap();
        let expected = json!({
            "user_id": "u", "session_key": "user:u:r", "task_id": "t", "resume_run_key": "k",
            "metadata": {"type": "mc.notification", "notification_id": "n"}
        });
        assert_eq!(body, expected);
    }
}
