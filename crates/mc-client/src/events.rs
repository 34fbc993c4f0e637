//! The backend's stream of events (feature `events_sse`): read, kept open, and resumed.

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
use crate::url::path;

/// The name of the event that tells of a new notification.
pub const NOTIFICATION_CREATED: &str = "notification.created";

/// How long nothing may come, not even a comment, before the connection counts as broken. Backends
/// send a comment every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// The largest event that is read.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// The longest wait between two attempts to connect.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How long a connection must last to count as a good one.
const GOOD: Duration = Duration::from_secs(10);

/// Something that happened in the backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the stream.
    pub id: Option<String>,
    /// What happened, such as [`NOTIFICATION_CREATED`].
    pub kind: String,
    /// To what.
    pub data: Value,
}

/// What comes out of [`Events`].
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The stream is open. What happened before may have been missed: look.
    Connected,
    /// Something happened.
    Event(Event),
    /// The stream ended, or nothing came for too long: why. It is opened again when asked for more.
    Broken(String),
}

/// A stream of events that connects again when it breaks, from the event after the last one.
pub struct Events {
    caller: Caller,
    silence: Duration,
    last_id: Option<String>,
    failures: u32,
    state: State,
}

type Blocks = BoxStream<'static, Result<Sse, sse_stream::Error>>;

enum State {
    /// Not to be opened before this moment.
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
    /// What happens to the user's objects. `after` is the last event that was seen; without it the
    /// stream begins now.
    pub fn events(&self, after: Option<&str>) -> Events {
        Events::new(self.caller.clone(), after)
    }
}

impl InternalClient {
    /// What happens to everybody's objects, or to those of the person that
    /// [`InternalClient::on_behalf_of`] names.
    pub fn events(&self, after: Option<&str>) -> Events {
        Events::new(self.caller.clone(), after)
    }
}

impl Events {
    fn new(caller: Caller, after: Option<&str>) -> Self {
        Self {
            caller,
            silence: SILENCE,
            last_id: after.map(str::to_owned),
            failures: 0,
            state: State::Closed(Instant::now()),
        }
    }

    /// Gives up a connection on which nothing came for so long.
    #[must_use]
    pub fn with_silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// The last event that was seen.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next news; waits for it, and for the next attempt to connect, as long as it takes. An
    /// error says that an attempt to connect failed; asking again waits and tries again. Dropping
    /// the future loses nothing.
    pub async fn next(&mut self) -> Result<News, McError> {
        loop {
            match &mut self.state {
                State::Closed(not_before) => {
                    tokio::time::sleep_until(*not_before).await;
                    let opening = open(self.caller.clone(), self.last_id.clone(), self.silence);
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
                        if since.elapsed() >= GOOD {
                            self.failures = 0;
                        }
                        self.close(None);
                        return Ok(News::Broken(cause.unwrap_or_else(|| "it ended".to_owned())));
                    }
                },
            }
        }
    }

    /// Waits before the next attempt, longer with each that failed.
    fn close(&mut self, at_least: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let backoff = Backoff::new(self.caller.retry_policy().delay, MAX_WAIT);
        let wait = backoff.delay_at_least(self.failures, at_least.map(|wait| wait.min(MAX_WAIT)));
        self.state = State::Closed(Instant::now() + wait);
    }
}

/// What a block of the stream says; a block without data is none that anybody waits for.
fn event(block: Sse) -> Option<Event> {
    let data = block.data?;
    let data: Value = serde_json::from_str(&data).unwrap_or(Value::String(data));
    let named = data.get("type").and_then(Value::as_str).map(str::to_owned);
    let kind = block.event.or(named).unwrap_or_else(|| "message".to_owned());
    Some(Event { id: block.id, kind, data })
}

async fn open(
    caller: Caller,
    last_id: Option<String>,
    silence: Duration,
) -> Result<(Blocks, Arc<AtomicUsize>), McError> {
    let mut call = Call::get(&path(&["events"])).accept("text/event-stream");
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
            match tokio::time::timeout(silence, response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    let waiting = count.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len();
                    if waiting > MAX_EVENT_BYTES {
                        return Some((Err(std::io::Error::other("an event is too long")), None));
                    }
                    Some((Ok::<Bytes, _>(chunk), Some(response)))
                }
                Ok(Ok(None)) => None,
                Ok(Err(error)) => Some((Err(std::io::Error::other(error.without_url())), None)),
                Err(_) => Some((Err(std::io::Error::other("nothing came for too long")), None)),
            }
        }
    });
    Ok((SseByteStream::new(Box::pin(chunks)).boxed(), unread))
}
