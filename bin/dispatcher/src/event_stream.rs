//! The backend's event stream, as far as it announces notifications.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mc_client::error::McError;
use mc_client::events::{Event, Events, News};
use mc_client::types::Delivery;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// A stream that is silent for so long is broken: the backend sends a comment every 15 seconds, so
/// two are missing.
const SILENCE: Duration = Duration::from_secs(35);

/// Delay before the stream is requested again from a backend that refused it: the backend may be
/// upgraded meanwhile.
const REFUSED_DELAY: Duration = Duration::from_secs(300);

/// Events that may wait for the dispatcher; when there are more, the stream waits.
const MAX_QUEUED: usize = 1_024;

/// Announced notifications that are remembered.
const MAX_ANNOUNCED: usize = 10_000;

/// What happened on the stream.
#[derive(Debug)]
pub(crate) enum BackendEvent {
    /// The stream is open. Earlier events may have been missed.
    Connected,
    /// There is a notification to deliver.
    Notification {
        /// The notification, where the event names it.
        id: Option<String>,
        /// The session it is for, where the event names it.
        session: Option<String>,
    },
    /// The connection broke, for this reason; it is opened again.
    Disconnected(String),
    /// The stream could not be opened; that is tried again.
    Failed(McError),
}

/// Reads the stream in the background until this is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    events: mpsc::Receiver<BackendEvent>,
    _task: AbortOnDropHandle<()>,
}

impl Listener {
    /// Starts to read.
    pub(crate) fn start(stream: Events) -> Self {
        let (sender, events) = mpsc::channel(MAX_QUEUED);
        let task = tokio::spawn(listen(stream.with_idle_timeout(SILENCE), sender));
        Self { events, _task: AbortOnDropHandle::new(task) }
    }

    /// The next event. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<BackendEvent> {
        self.events.recv().await
    }
}

async fn listen(mut stream: Events, sender: mpsc::Sender<BackendEvent>) {
    loop {
        let event = match stream.next().await {
            Ok(News::Connected) => BackendEvent::Connected,
            Ok(News::Broken(cause)) => BackendEvent::Disconnected(cause),
            Ok(News::Event(event)) if event.kind.starts_with("notification.") => {
                notification(&event)
            }
            Ok(News::Event(_)) => continue,
            Err(error) => BackendEvent::Failed(error),
        };
        let is_refused = matches!(&event, BackendEvent::Failed(error) if !error.is_retryable());
        if sender.send(event).await.is_err() {
            return;
        }
        if is_refused {
            tokio::time::sleep(REFUSED_DELAY).await;
        }
    }
}

fn notification(event: &Event) -> BackendEvent {
    let text = |name: &str| match &event.data[name] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    BackendEvent::Notification {
        id: text("notification_id").or_else(|| text("id")),
        session: text("session_key"),
    }
}

/// Notifications that events announced and no poll has returned yet. A backend that leases holds a
/// notification back while an older one of its session is leased, and sends no event when that one
/// is done.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    sessions: HashMap<String, HashSet<String>>,
    count: usize,
}

impl Announced {
    /// An event announced this notification.
    pub(crate) fn insert(&mut self, id: String, session: String) {
        if self.count >= MAX_ANNOUNCED {
            self.clear();
        }
        if self.sessions.entry(session).or_default().insert(id) {
            self.count += 1;
        }
    }

    /// A poll returned this notification.
    pub(crate) fn remove(&mut self, delivery: &Delivery) {
        let Some(ids) = self.sessions.get_mut(&delivery.session_key) else { return };
        if ids.remove(&delivery.notification_id) {
            self.count -= 1;
        }
        if ids.is_empty() {
            self.sessions.remove(&delivery.session_key);
        }
    }

    /// Whether a notification of this session was announced and not returned yet.
    pub(crate) fn has_any_of(&self, session: &str) -> bool {
        self.sessions.contains_key(session)
    }

    /// Forgets all: another dispatcher may have delivered them.
    pub(crate) fn clear(&mut self) {
        self.sessions.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_announced_notification_is_remembered_until_a_poll_returns_it() {
        let mut announced = Announced::default();
        announced.insert("1".into(), "s".into());
        announced.insert("1".into(), "s".into());
        announced.insert("2".into(), "s".into());
        let delivery = |id: &str| -> Delivery {
            serde_json::from_value(
                json!({"notification_id": id, "user_id": "u", "session_key": "s"}),
            )
            .unwrap()
        };
        announced.remove(&delivery("1"));
        assert!(announced.has_any_of("s") && !announced.has_any_of("t"));
        announced.remove(&delivery("3"));
        announced.remove(&delivery("2"));
        assert!(!announced.has_any_of("s"));
        assert_eq!(announced.count, 0);
    }
}
