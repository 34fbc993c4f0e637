//! A run's events as they arrive.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use http::header::CONTENT_TYPE;
use reqwest::Response;
use sse_stream::{Sse, SseByteStream};
use tokio::time::timeout;

use crate::StreamEvent;
use crate::error::{DaemonError, root_cause};

/// How long a stream may be silent: the daemon sends a comment every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// The largest stream that is read, bytes.
const MAX_STREAM_BYTES: usize = 64 * 1024 * 1024;

type Blocks = Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>;

/// The events of a run. Dropping this closes the connection, which ends the run.
pub struct EventStream {
    blocks: Blocks,
    silence: Duration,
    ended: bool,
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl EventStream {
    /// Reads a successful answer's body.
    pub(crate) fn open(response: Response) -> Result<Self, DaemonError> {
        let kind = response.headers().get(CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            let cause = "it is not a stream of events".to_owned();
            return Err(DaemonError::BadAnswer { cause });
        }
        let mut read = 0;
        let pieces = response.bytes_stream().map(move |piece| {
            let piece = piece.map_err(std::io::Error::other)?;
            read += piece.len();
            if read > MAX_STREAM_BYTES {
                return Err(std::io::Error::other("the stream is larger than its limit"));
            }
            Ok(piece)
        });
        let blocks = Box::pin(SseByteStream::new(Box::pin(pieces)));
        Ok(Self { blocks, silence: SILENCE, ended: false })
    }

    /// Another limit for how long the stream may be silent; 60 seconds without this.
    #[must_use]
    pub fn with_silence(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// The next event, unknown ones left out; `None` after the last one, which is
    /// [`StreamEvent::Done`] or [`StreamEvent::Error`].
    ///
    /// # Errors
    /// [`DaemonError::Broken`] when the stream breaks, ends without its last event, holds an event
    /// that cannot be read, or is silent for too long.
    pub async fn next(&mut self) -> Result<Option<StreamEvent>, DaemonError> {
        let broken = |cause| Err(DaemonError::Broken { cause });
        while !self.ended {
            let block = match timeout(self.silence, self.blocks.next()).await {
                Ok(Some(Ok(block))) => block,
                Ok(Some(Err(error))) => return broken(root_cause(&error)),
                Ok(None) => return broken("the stream ended early".to_owned()),
                Err(_) => {
                    let seconds = self.silence.as_secs();
                    return broken(format!("timeout: nothing came for {seconds} seconds"));
                }
            };
            let Some(data) = block.data else { continue };
            match serde_json::from_str(&data) {
                Ok(StreamEvent::Unknown) => {}
                Ok(event) => {
                    self.ended = matches!(event, StreamEvent::Done(_) | StreamEvent::Error(_));
                    return Ok(Some(event));
                }
                Err(error) => return broken(format!("an event could not be read: {error}")),
            }
        }
        Ok(None)
    }
}
