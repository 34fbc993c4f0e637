//! Reading the body of a response, with a size limit and timeouts.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use reqwest::Response;
use sse_stream::{Sse, SseByteStream};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::provider::failure::Failure;
use crate::settings::Timeouts;

/// The largest whole answer, bytes: parsed, it may take twenty times as much memory.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// The largest stream, bytes: some hundred for each token.
const MAX_STREAM: usize = 64 * 1024 * 1024;
/// The most of an error response that is read, bytes.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// The events of a streamed response.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<Sse, Failure>> + Send>>;

/// The failure of a timeout.
pub(super) fn timed_out(limit: Duration) -> Failure {
    Failure::unavailable(format!("timeout: nothing received for {} seconds", limit.as_secs_f32()))
}

/// The body of a success.
pub(super) enum Body {
    Events(Events),
    /// The server does not stream, or is something else.
    Whole(Vec<u8>),
    /// A stream that ended, in good order, before anything was in it.
    Nothing,
}

/// Reads the beginning of a body, which tells a stream from a whole answer, and all of a whole one.
///
/// # Errors
/// When the connection fails, a timeout passes, or the body is too large.
pub(super) async fn open(response: Response, timeouts: &Timeouts) -> Result<Body, Failure> {
    let is_whole = is_not_streamed(&response);
    let mut chunks = chunks(response, timeouts);
    let mut head = Vec::new();
    let mut first = None;
    while let Some(piece) = chunks.next().await {
        let piece = piece.map_err(|Broken(failure)| failure)?;
        head.extend_from_slice(&piece);
        if is_whole || first.is_some() {
            continue;
        }
        // No line of an event stream begins like JSON, whatever the header says.
        first = piece.iter().copied().find(|byte| !byte.is_ascii_whitespace());
        if first.is_some_and(|first| !matches!(first, b'{' | b'[')) {
            chunks.limit = MAX_STREAM;
            return Ok(Body::Events(events(head.into(), chunks)));
        }
    }
    Ok(if first.is_none() && !is_whole { Body::Nothing } else { Body::Whole(head) })
}

/// Whether the response to a streaming request is not a stream.
fn is_not_streamed(response: &Response) -> bool {
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    ["application/json", "text/html"].iter().any(|other| kind.starts_with(other))
}

/// The failure that ended the body early.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.cause)]
struct Broken(Failure);

/// The chunks of a body, with a timeout for the first and one for each pause after it.
struct Chunks {
    /// The rest of the body; `None` after its end or a failure.
    body: Option<Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>>,
    idle: IdleTimer,
    /// The timeout of later pauses.
    idle_timeout: Duration,
    /// The bytes read so far.
    read: usize,
    /// The most bytes that are read.
    limit: usize,
}

fn chunks(response: Response, timeouts: &Timeouts) -> Chunks {
    let body: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(response.bytes_stream());
    let idle = IdleTimer::new(timeouts.first_byte);
    Chunks { body: Some(body), idle, idle_timeout: timeouts.idle, read: 0, limit: MAX_ANSWER }
}

impl Stream for Chunks {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let failure = match body.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(piece))) => {
                this.read += piece.len();
                this.idle.restart(this.idle_timeout);
                if this.read <= this.limit {
                    return Poll::Ready(Some(Ok(piece)));
                }
                Failure::bad_answer("the answer exceeds the size limit")
            }
            Poll::Ready(Some(Err(error))) => Failure::of_reqwest(&error),
            Poll::Ready(None) => {
                this.body = None;
                return Poll::Ready(None);
            }
            Poll::Pending => {
                ready!(this.idle.poll(cx));
                timed_out(this.idle.limit)
            }
        };
        this.body = None;
        Poll::Ready(Some(Err(Broken(failure))))
    }
}

/// A timeout of pauses. Its timer is not reset for each chunk, but only when it fires and a chunk has
/// come since.
struct IdleTimer {
    limit: Duration,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl IdleTimer {
    fn new(limit: Duration) -> Self {
        let since = Instant::now();
        Self { limit, since, timer: Box::pin(sleep_until(since + limit)) }
    }

    /// Restarts after a chunk, with the timeout of the next pause.
    fn restart(&mut self, limit: Duration) {
        self.since = Instant::now();
        if limit < self.limit {
            self.timer.as_mut().reset(self.since + limit);
        }
        self.limit = limit;
    }

    /// Ready when the timeout has passed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let end = self.since + self.limit;
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end);
        }
    }
}

/// Reads the beginning of an error response; empty if that fails, for the status says enough.
pub(super) async fn read_error(response: Response, timeouts: &Timeouts) -> Vec<u8> {
    let mut chunks = chunks(response, timeouts);
    let mut all = Vec::new();
    while let Some(Ok(piece)) = chunks.next().await {
        let room = MAX_ERROR_BODY - all.len();
        all.extend_from_slice(&piece[..piece.len().min(room)]);
        if all.len() == MAX_ERROR_BODY {
            break;
        }
    }
    all
}

/// The events of a streamed response. Comments reset the idle timeout; an incomplete last
/// event is ignored.
fn events(head: Bytes, chunks: Chunks) -> Events {
    let head = futures::stream::iter([Ok(head)]);
    let events = SseByteStream::new(head.chain(chunks));
    Box::pin(events.map_err(|error| match error {
        sse_stream::Error::Body(inner) => match inner.downcast::<Broken>() {
            Ok(broken) => broken.0,
            Err(_) => Failure::cut_off(),
        },
        _ => Failure::bad_answer("the response is not an event stream"),
    }))
}
