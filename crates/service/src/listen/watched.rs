//! A connection that is given up when its client is too slow.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::Limits;

/// What the client is waited for, when no request of it is being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// Nothing: a request is being answered.
    Nothing,
    /// Its next request.
    Request,
    /// The rest of a request's head.
    Head,
}

/// Whether a request is being answered.
enum Look {
    Busy,
    Idle,
}

/// What a connection's service tells its stream.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// How many have begun.
    begun: AtomicUsize,
    /// Whether one is being answered: then what is read is a body, and its handler's.
    busy: AtomicBool,
}

impl Requests {
    /// A head has arrived in full.
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
    }
}

/// A stream with deadlines for both directions.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    limits: Limits,
    requests: Arc<Requests>,
    /// How many requests had begun when it was last read.
    seen: usize,
    awaited: Awaited,
    /// When the client is given up for what it does not send.
    reading: Option<Pin<Box<Sleep>>>,
    /// When the client is given up for what it does not take.
    writing: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, limits: Limits, requests: Arc<Requests>) -> Self {
        let awaited = Awaited::Nothing;
        Self { stream, limits, requests, seen: 0, awaited, reading: None, writing: None }
    }

    /// Takes in what has become of the requests; between two of them the next one is awaited.
    fn look(&mut self) -> Look {
        let begun = self.requests.begun.load(Ordering::Relaxed);
        let busy = self.requests.busy.load(Ordering::Relaxed);
        // One may have begun and ended since the last look.
        if busy || begun != self.seen {
            self.seen = begun;
            self.wait_for(Awaited::Nothing);
        }
        if busy {
            return Look::Busy;
        }
        if self.awaited == Awaited::Nothing {
            self.wait_for(Awaited::Request);
        }
        Look::Idle
    }

    /// Sees to it that the task looks again when the client's time is over: after an answer hyper
    /// need not read.
    fn arm(&mut self, cx: &mut Context<'_>) {
        if let (Look::Idle, Some(end)) = (self.look(), &mut self.reading) {
            // When it is over already, the next read says so.
            if end.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// Begins to wait, unless this is waited for already.
    fn wait_for(&mut self, awaited: Awaited) {
        if self.awaited == awaited {
            return;
        }
        self.awaited = awaited;
        self.reading = match awaited {
            Awaited::Nothing => None,
            Awaited::Request => Some(Box::pin(sleep(self.limits.idle))),
            Awaited::Head => Some(Box::pin(sleep(self.limits.head))),
        };
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        match (this.look(), &read) {
            (Look::Busy, _) => return read,
            (Look::Idle, Poll::Ready(_)) => this.wait_for(Awaited::Head),
            (Look::Idle, Poll::Pending) => {}
        }
        match &mut this.reading {
            Some(end) if read.is_pending() => {
                ready!(end.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Some(_) | None => read,
        }
    }
}

/// The outcome of a write, unless the client takes nothing for too long.
fn taken<T>(
    written: Poll<io::Result<T>>,
    end: &mut Option<Pin<Box<Sleep>>>,
    limit: Duration,
    cx: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    if written.is_ready() {
        *end = None;
        return written;
    }
    ready!(end.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        taken(written, &mut this.writing, this.limits.stalled, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        taken(written, &mut this.writing, this.limits.stalled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.arm(cx);
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// An answer's body, which says when it has been told.
#[derive(Debug)]
pub(super) struct Answer<B> {
    body: B,
    requests: Arc<Requests>,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, requests: Arc<Requests>) -> Self {
        Self { body, requests }
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.requests.busy.store(false, Ordering::Relaxed);
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
