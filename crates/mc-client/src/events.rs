//! The backend's event stream (feature `events_sse`): read, reconnected and resumed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, stream};
use retry::Backoff;
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};
use tokio::time::Instant;

use crate::call::Call;
use crate::caller::Caller;
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::url::{path, with_query};

/// The event of a new notification.
pub const NOTIFICATION_CREATED: &str = "notification.created";

/// The event of a dead letter that was put back into the queue.
pub const NOTIFICATION_REQUEUED: &str = "notification.requeued";

/// The idle timeout: without any data, not even a comment, the connection counts as broken. Backends
/// send a comment every 15 seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// The largest event that is read.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// The longest delay between two attempts to connect.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// A connection that lasted this long resets the backoff.
const STABLE: Duration = Duration::from_secs(10);

/// Something that happened in the backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its id in the stream, to resume after.
    pub id: Option<String>,
    /// The type of the event, such as [`NOTIFICATION_CREATED`].
    pub kind: String,
    /// The payload.
    pub data: Value,
}

/// What comes out of [`Events`].
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The stream is open. Events before that may have been missed: poll once.
    Connected,
    /// An event.
    Event(Event),
    /// The stream ended or was idle for too long, with the reason. The next call reconnects.
    Broken(String),
}

/// An event stream that reconnects when it breaks and resumes after the last event.
pub struct Events {
    caller: Caller,
    /// The run whose deltas are wanted, too.
    run_key: Option<String>,
    idle_timeout: Duration,
    last_id: Option<String>,
    failures: u32,
    state: State,
}

type Blocks = BoxStream<'static, Result<Sse, sse_stream::Error>>;

enum State {
    /// Closed; no attempt to connect before this moment.
    Closed(Instant),
    Opening(BoxFuture<'static, Result<(Blocks, Arc<AtomicUsize>), McError>>),
    Open {
        blocks: Blocks,
        unread: Arc<AtomicUsize>,
        since: Instant,
    },
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("last_id", &self.last_id).finish_non_exhaustive()
    }
}

impl AgentClient {
    /// The events of the user's objects. `after` is the id of the last event that was seen; without
    /// it the stream begins now.
    pub fn events(&self, after: Option<&str>) -> Events {
        Events::new(self.caller.clone(), after)
    }

    /// The same, and with them what a run of the token's own role tells from now on
    /// ([`crate::deltas::RUN_DELTA`]; feature `run_stream`). That is not saved: after each
    /// [`News::Connected`] read [`AgentClient::deltas`] for what came before.
    pub fn events_of_run(&self, run_key: &str, after: Option<&str>) -> Events {
        let mut events = Events::new(self.caller.clone(), after);
        events.run_key = Some(run_key.to_owned());
        events
    }
}

impl InternalClient {
    /// The events of all users' objects, or those of the user that [`InternalClient::on_behalf_of`]
    /// names.
    pub fn events(&self, after: Option<&str>) -> Events {
        Events::new(self.caller.clone(), after)
    }
}

impl Events {
    fn new(caller: Caller, after: Option<&str>) -> Self {
        Self {
            caller,
            run_key: None,
            idle_timeout: IDLE_TIMEOUT,
            last_id: after.map(str::to_owned),
            failures: 0,
            state: State::Closed(Instant::now()),
        }
    }

    /// Sets the idle timeout, after which a connection counts as broken.
    #[must_use]
    pub fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    /// The id of the last event that was seen.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Waits for what comes next, reconnecting if needed. An error is a failed attempt to connect; the
    /// next call retries after a delay. Cancel safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<News, McError> {
        loop {
            match &mut self.state {
                State::Closed(not_before) => {
                    tokio::time::sleep_until(*not_before).await;
                    let url = self.url();
                    let last_id = self.last_id.clone();
                    let opening = open(self.caller.clone(), url, last_id, self.idle_timeout);
                    self.state = State::Opening(opening.boxed());
                }
                State::Opening(opening) => match opening.await {
                    Ok((blocks, unread)) => {
                        self.state = State::Open { blocks, unread, since: Instant::now() };
                        return Ok(News::Connected);
                    }
                    Err(error) => {
                        self.close(error.retry_after());
                        return Err(error);
                    }
                },
                State::Open { blocks, unread, since } => match blocks.next().await {
                    Some(Ok(block)) => {
                        unread.store(0, Ordering::Relaxed);
                        if let Some(id) = &block.id {
                            self.last_id = Some(id.clone());
                        }
                        if let Some(event) = event(block) {
                            self.failures = 0;
                            return Ok(News::Event(event));
                        }
                    }
                    broken => {
                        let cause = broken.and_then(Result::err).map(|error| error.to_string());
                        if since.elapsed() >= STABLE {
                            self.failures = 0;
                        }
                        self.close(None);
                        return Ok(News::Broken(
                            cause.unwrap_or_else(|| "the stream ended".to_owned()),
                        ));
                    }
                },
            }
        }
    }

    /// The path and query of the stream.
    fn url(&self) -> String {
        let role = self.run_key.as_ref().and_then(|_| self.caller.role()).map(str::to_owned);
        with_query(path(&["events"]), &[("run_key", self.run_key.clone()), ("role", role)])
    }

    /// Closes the stream and sets the delay before the next attempt to connect.
    fn close(&mut self, at_least: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let backoff = Backoff::new(self.caller.retry_policy().delay, MAX_DELAY);
        let wait = backoff.delay_at_least(self.failures, at_least.map(|wait| wait.min(MAX_DELAY)));
        self.state = State::Closed(Instant::now() + wait);
    }
}

/// The event of a block of the stream; `None` for a block without data.
fn event(block: Sse) -> Option<Event> {
    let data = block.data?;
    let data: Value = serde_json::from_str(&data).unwrap_or(Value::String(data));
    let named = data.get("type").and_then(Value::as_str).map(str::to_owned);
    let kind = block.event.or(named).unwrap_or_else(|| "message".to_owned());
    Some(Event { id: block.id, kind, data })
}

async fn open(
    caller: Caller,
    url: String,
    last_id: Option<String>,
    idle_timeout: Duration,
) -> Result<(Blocks, Arc<AtomicUsize>), McError> {
    let mut call = Call::get(&url).accept("text/event-stream");
    if let Some(id) = &last_id {
        call = call.header(http::HeaderName::from_static("last-event-id"), id)?;
    }
    let response = caller.stream(&call).await?;
    let unread = Arc::new(AtomicUsize::new(0));
    let count = unread.clone();
    let chunks = stream::unfold(Some(response), move |response| {
        let count = count.clone();
        async move {
            let mut response = response?;
            match tokio::time::timeout(idle_timeout, response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    let waiting = count.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len();
                    if waiting > MAX_EVENT_BYTES {
                        return Some((
                            Err(std::io::Error::other("an event exceeds the size limit")),
                            None,
                        ));
                    }
                    Some((Ok::<Bytes, _>(chunk), Some(response)))
                }
                Ok(Ok(None)) => None,
                Ok(Err(error)) => Some((Err(std::io::Error::other(error.without_url())), None)),
                Err(_) => Some((Err(std::io::Error::other("idle timeout")), None)),
            }
        }
    });
    Ok((SseByteStream::new(Box::pin(chunks)).boxed(), unread))
}
