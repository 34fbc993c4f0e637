//! The bytes of an answer, with limits on their number and on the silence between them.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use reqwest::Response;
use sse_stream::{Sse, SseByteStream};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::provider::Failure;
use crate::settings::Timeouts;

/// The most that one answer may hold, bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// As much of a refusal as is read.
const MAX_REFUSAL: usize = 64 * 1024;

/// The events of an answer.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<Sse, Failure>> + Send>>;

/// The silence that a provider is allowed was longer.
pub(super) fn too_slow(limit: Duration) -> Failure {
    Failure::unavailable(format!("no answer for {} seconds", limit.as_secs_f32()))
}

/// Whether an answer that was asked for as a stream says of itself that it is none.
pub(super) fn is_whole(response: &Response) -> bool {
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    ["application/json", "text/html"].iter().any(|whole| kind.starts_with(whole))
}

/// Why the bytes of an answer ended before it did.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.cause)]
struct Broken(Failure);

/// The pieces of an answer: the first within its own limit, the others within that on silence.
struct Pieces {
    /// What is still to come; nothing after its end or a failure.
    body: Option<Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>>,
    silence: Silence,
    /// How long later silences may be.
    idle: Duration,
    /// How many bytes have come.
    read: usize,
}

fn pieces(response: Response, timeouts: &Timeouts) -> Pieces {
    let body: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(response.bytes_stream());
    let silence = Silence::new(timeouts.first_byte);
    Pieces { body: Some(body), silence, idle: timeouts.idle, read: 0 }
}

impl Stream for Pieces {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let failure = match body.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(piece))) => {
                this.read += piece.len();
                this.silence.ends(this.idle);
                if this.read <= MAX_ANSWER {
                    return Poll::Ready(Some(Ok(piece)));
                }
                Failure::bad_answer("the answer is larger than any honest one")
            }
            Poll::Ready(Some(Err(error))) => Failure::of_reqwest(&error),
            Poll::Ready(None) => {
                this.body = None;
                return Poll::Ready(None);
            }
            Poll::Pending => {
                ready!(this.silence.poll(cx));
                too_slow(this.silence.limit)
            }
        };
        this.body = None;
        Poll::Ready(Some(Err(Broken(failure))))
    }
}

/// How long nothing has come. Its timer is not set for each piece: it is set again when it goes off
/// and something has come meanwhile.
struct Silence {
    limit: Duration,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    fn new(limit: Duration) -> Self {
        let since = Instant::now();
        Self { limit, since, timer: Box::pin(sleep_until(since + limit)) }
    }

    /// Something has come; the next silence may be so long.
    fn ends(&mut self, limit: Duration) {
        self.since = Instant::now();
        if limit < self.limit {
            self.timer.as_mut().reset(self.since + limit);
        }
        self.limit = limit;
    }

    /// Ready when the silence is too long.
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

/// All bytes of an answer.
pub(super) async fn whole(response: Response, timeouts: &Timeouts) -> Result<Vec<u8>, Failure> {
    let pieces = pieces(response, timeouts);
    let joined = pieces.try_fold(Vec::new(), |mut all, piece| async move {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    joined.await.map_err(|Broken(failure)| failure)
}

/// The beginning of a refusal; nothing when it cannot be read, for its status says enough.
pub(super) async fn beginning(response: Response, timeouts: &Timeouts) -> Vec<u8> {
    let mut pieces = pieces(response, timeouts);
    let mut all = Vec::new();
    while let Some(Ok(piece)) = pieces.next().await {
        let room = MAX_REFUSAL - all.len();
        all.extend_from_slice(&piece[..piece.len().min(room)]);
        if all.len() == MAX_REFUSAL {
            break;
        }
    }
    all
}

/// The events of an answer. Comments keep it alive; a last event that is not whole is none.
pub(super) fn events(response: Response, timeouts: &Timeouts) -> Events {
    let events = SseByteStream::new(pieces(response, timeouts));
    Box::pin(events.map_err(|error| match error {
        sse_stream::Error::Body(inner) => match inner.downcast::<Broken>() {
            Ok(broken) => broken.0,
            Err(_) => Failure::cut_off(),
        },
        _ => Failure::bad_answer("the stream is no event stream"),
    }))
}
