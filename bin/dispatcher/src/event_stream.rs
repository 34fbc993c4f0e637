//! The backend's stream of events, as far as it wakes the dispatcher.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mc_client::error::McError;
use mc_client::events::{Event, Events, News};
use mc_client::types::Delivery;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Nothing for so long means that the connection is dead: a backend sends a comment every 15
/// seconds, so that two are missing.
const SILENCE: Duration = Duration::from_secs(35);

/// Before a backend that refuses the stream is asked for it again. It may be upgraded.
const REFUSED: Duration = Duration::from_secs(300);

/// News that wait for the dispatcher. When there are more, the stream waits.
const WAITING: usize = 1_024;

/// Announced notifications that are kept in mind.
const MAX_ANNOUNCED: usize = 10_000;

/// What the stream tells.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It is open. What happened before may have been missed.
    Open,
    /// There is something to deliver.
    Something {
        /// The notification, where the event names it.
        id: Option<String>,
        /// The session it is for, where the event names it.
        session: Option<String>,
    },
    /// It broke; it is opened again.
    Broken(String),
    /// It cannot be opened now; that is tried again.
    Failed(McError),
}

/// A stream that is listened to until this is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    heard: mpsc::Receiver<Heard>,
    _task: AbortOnDropHandle<()>,
}

impl Listener {
    pub(crate) fn start(events: Events) -> Self {
        let (tell, heard) = mpsc::channel(WAITING);
        let task = tokio::spawn(listen(events.with_silence(SILENCE), tell));
        Self { heard, _task: AbortOnDropHandle::new(task) }
    }

    /// The next news. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }
}

async fn listen(mut events: Events, tell: mpsc::Sender<Heard>) {
    loop {
        let heard = match events.next().await {
            Ok(News::Connected) => Heard::Open,
            Ok(News::Broken(cause)) => Heard::Broken(cause),
            Ok(News::Event(event)) if event.kind.starts_with("notification.") => something(&event),
            Ok(News::Event(_)) => continue,
            Err(error) => Heard::Failed(error),
        };
        let is_refused = matches!(&heard, Heard::Failed(error) if !error.is_retryable());
        if tell.send(heard).await.is_err() {
            return;
        }
        if is_refused {
            tokio::time::sleep(REFUSED).await;
        }
    }
}

fn something(event: &Event) -> Heard {
    let text = |names: [&str; 2]| {
        names.iter().find_map(|name| match &event.data[*name] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        })
    };
    Heard::Something {
        id: text(["notification_id", "id"]),
        session: text(["session_key", "session_key"]),
    }
}

/// Notifications that events told of and no poll has brought yet: a backend that leases holds
/// back a session while something older of it is at work, and nothing tells of its end.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    sessions: HashMap<String, HashSet<String>>,
    count: usize,
}

impl Announced {
    pub(crate) fn add(&mut self, id: String, session: String) {
        if self.count >= MAX_ANNOUNCED {
            self.clear();
        }
        if self.sessions.entry(session).or_default().insert(id) {
            self.count += 1;
        }
    }

    /// A poll brought it.
    pub(crate) fn came(&mut self, delivery: &Delivery) {
        let Some(ids) = self.sessions.get_mut(&delivery.session_key) else { return };
        if ids.remove(&delivery.notification_id) {
            self.count -= 1;
        }
        if ids.is_empty() {
            self.sessions.remove(&delivery.session_key);
        }
    }

    /// Whether something is missing of a session.
    pub(crate) fn waits(&self, session: &str) -> bool {
        self.sessions.contains_key(session)
    }

    /// Forgets all: others may have delivered it.
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
    fn what_was_announced_is_missing_until_it_comes() {
        let mut announced = Announced::default();
        announced.add("1".into(), "s".into());
        announced.add("1".into(), "s".into());
        announced.add("2".into(), "s".into());
        let delivery = |id: &str| -> Delivery {
            serde_json::from_value(
                json!({"notification_id": id, "user_id": "u", "session_key": "s"}),
            )
            .unwrap()
        };
        announced.came(&delivery("1"));
        assert!(announced.waits("s") && !announced.waits("t"));
        announced.came(&delivery("3"));
        announced.came(&delivery("2"));
        assert!(!announced.waits("s"));
        assert_eq!(announced.count, 0);
    }
}
