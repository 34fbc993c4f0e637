//! A connection with read and write timeouts: it is closed when its client is too slow.

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

/// What the client has to send next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// Nothing: a request is in progress.
    Nothing,
    /// Its next request.
    Request,
    /// The rest of a request's head.
    Head,
}

/// Whether a request is in progress.
enum Activity {
    Busy,
    Idle,
}

/// The state of a connection's requests, set by its service and read by its stream.
#[derive(Debug, Default)]
pub(super) struct RequestState {
    /// How many requests have begun.
    begun: AtomicUsize,
    /// Whether one is in progress: what is read then is its body, whose timeout is the handler's.
    busy: AtomicBool,
}

impl RequestState {
    /// The head of a request has arrived.
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
    }
}

/// A stream with a timeout for each direction.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    limits: Limits,
    requests: Arc<RequestState>,
    /// How many requests had begun when it was last checked.
    seen: usize,
    awaited: Awaited,
    /// Ends when the client has sent nothing for too long.
    read_timeout: Option<Pin<Box<Sleep>>>,
    /// Ends when the client has read nothing for too long.
    write_timeout: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, limits: Limits, requests: Arc<RequestState>) -> Self {
        let awaited = Awaited::Nothing;
        Self { stream, limits, requests, seen: 0, awaited, read_timeout: None, write_timeout: None }
    }

    /// Updates the read timeout from the state of the requests: between two of them it is for the next.
    fn activity(&mut self) -> Activity {
        let begun = self.requests.begun.load(Ordering::Relaxed);
        let busy = self.requests.busy.load(Ordering::Relaxed);
        // One may have begun and ended since the last check.
        if busy || begun != self.seen {
            self.seen = begun;
            self.wait_for(Awaited::Nothing);
        }
        if busy {
            return Activity::Busy;
        }
        if self.awaited == Awaited::Nothing {
            self.wait_for(Awaited::Request);
        }
        Activity::Idle
    }

    /// Registers for the end of the read timeout: after a response hyper need not read again.
    fn arm(&mut self, cx: &mut Context<'_>) {
        if let (Activity::Idle, Some(end)) = (self.activity(), &mut self.read_timeout) {
            // It is over already: the next read returns the error.
            if end.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// Starts the timeout for what is awaited, unless it runs already.
    fn wait_for(&mut self, awaited: Awaited) {
        if self.awaited == awaited {
            return;
        }
        self.awaited = awaited;
        self.read_timeout = match awaited {
            Awaited::Nothing => None,
            Awaited::Request => Some(Box::pin(sleep(self.limits.idle))),
            Awaited::Head => Some(Box::pin(sleep(self.limits.head))),
        };
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        match (this.activity(), &read) {
            (Activity::Busy, _) => return read,
            (Activity::Idle, Poll::Ready(_)) => this.wait_for(Awaited::Head),
            (Activity::Idle, Poll::Pending) => {}
        }
        match &mut this.read_timeout {
            Some(end) if read.is_pending() => {
                ready!(end.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Some(_) | None => read,
        }
    }
}

/// The result of a write, or a timeout when the client has read nothing for `limit`.
fn write_within<T>(
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

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        write_within(written, &mut this.write_timeout, this.limits.stalled, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        write_within(written, &mut this.write_timeout, this.limits.stalled, cx)
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

/// A response's body, which marks its request as finished when it is dropped.
#[derive(Debug)]
pub(super) struct ResponseBody<B> {
    body: B,
    requests: Arc<RequestState>,
}

impl<B> ResponseBody<B> {
    pub(super) fn new(body: B, requests: Arc<RequestState>) -> Self {
        Self { body, requests }
    }
}

impl<B> Drop for ResponseBody<B> {
    fn drop(&mut self) {
        self.requests.busy.store(false, Ordering::Relaxed);
    }
}

impl<B: Body + Unpin> Body for ResponseBody<B> {
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
