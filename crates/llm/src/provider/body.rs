//! The bytes of an answer, with limits on their number and on the silence between them.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use reqwest::Response;
use sse_stream::{Sse, SseByteStream};
use tokio::time::timeout;

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
fn pieces(
    response: Response,
    timeouts: Timeouts,
) -> impl Stream<Item = Result<Bytes, Broken>> + Send {
    let begin = (Some(response), timeouts.first_byte, 0_usize);
    futures::stream::unfold(begin, move |(response, limit, read)| {
        let idle = timeouts.idle;
        async move {
            let mut response = response?;
            let failure = match timeout(limit, response.chunk()).await {
                Ok(Ok(None)) => return None,
                Ok(Ok(Some(piece))) if read + piece.len() <= MAX_ANSWER => {
                    let read = read + piece.len();
                    return Some((Ok(piece), (Some(response), idle, read)));
                }
                Ok(Ok(Some(_))) => Failure::bad_answer("the answer is larger than any honest one"),
                Ok(Err(error)) => Failure::of_reqwest(&error),
                Err(_) => too_slow(limit),
            };
            Some((Err(Broken(failure)), (None, limit, read)))
        }
    })
}

/// All bytes of an answer.
pub(super) async fn whole(response: Response, timeouts: &Timeouts) -> Result<Vec<u8>, Failure> {
    let pieces = pieces(response, timeouts.clone());
    let joined = pieces.try_fold(Vec::new(), |mut all, piece| async move {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    joined.await.map_err(|Broken(failure)| failure)
}

/// The beginning of a refusal; nothing when it cannot be read, for its status says enough.
pub(super) async fn beginning(response: Response, timeouts: &Timeouts) -> Vec<u8> {
    let mut pieces = Box::pin(pieces(response, timeouts.clone()));
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
pub(super) fn events(response: Response, timeouts: Timeouts) -> Events {
    let events = SseByteStream::new(Box::pin(pieces(response, timeouts)));
    Box::pin(events.map_err(|error| match error {
        sse_stream::Error::Body(inner) => match inner.downcast::<Broken>() {
            Ok(broken) => broken.0,
            Err(_) => Failure::cut_off(),
        },
        _ => Failure::bad_answer("the stream is no event stream"),
    }))
}
