//! Serving HTTP/1.1, with the limits that every listener has.
//!
//! A connection is closed when a request's head does not arrive in time, when it is idle for too
//! long between requests, and when the client reads nothing of a response for too long. hyper limits
//! the size of heads (431); the size and timeout of bodies are the handlers' business.

mod connection;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt as _};

use self::connection::{Connection, RequestState, ResponseBody};
use crate::cores::Cores;

/// Timeouts and size limits of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Timeout of a request's head, from its first byte on.
    pub head: Duration,
    /// Idle timeout between requests. Longer than that of clients and load balancers (50 s here,
    /// 60 s elsewhere), so that they close the connection first.
    pub idle: Duration,
    /// Write timeout: how long a client may read nothing of a response.
    pub stalled: Duration,
    /// The largest head in bytes; one more read may exceed it.
    pub head_bytes: usize,
    /// The most header fields.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stalled: Duration::from_secs(60),
            head_bytes: 64 * 1024,
            headers: 100,
        }
    }
}

/// How long to wait before the next accept after one failed for lack of file descriptors or memory.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(250);

/// Serves with what `service` makes for each connection, until `stop` is cancelled; then accepts no
/// more connections and returns once the requests in progress are answered. Connections are served on
/// `cores`, or on the runtime of the caller.
pub async fn serve<M, S, B>(
    listener: TcpListener,
    limits: Limits,
    service: M,
    cores: Option<&Cores>,
    stop: CancellationToken,
) where
    M: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (service, stop) = (service(peer), stop.clone());
                let serve = move |stream| serve_connection(stream, limits, service, stop);
                match cores {
                    Some(cores) => cores.spawn(stream, &connections, serve),
                    None => drop(connections.spawn(serve(stream))),
                }
            }
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                tracing::error!(%error, "accepting a connection failed; retrying");
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Whether the client was gone before its connection was accepted.
fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves one connection to its end.
async fn serve_connection<S, B>(
    stream: TcpStream,
    limits: Limits,
    service: S,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Small responses and events are sent at once. An error here shows up below, too.
    let _ = stream.set_nodelay(true);
    let requests = Arc::new(RequestState::default());
    let io = TokioIo::new(Connection::new(stream, limits, Arc::clone(&requests)));
    let service = service_fn(move |request: Request<Incoming>| {
        requests.begin();
        let (service, requests) = (service.clone(), Arc::clone(&requests));
        async move {
            let response = service.oneshot(request).await?;
            Ok::<_, Infallible>(response.map(|body| ResponseBody::new(body, requests)))
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers)
        .header_read_timeout(None)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "connection ended");
    }
}

#[cfg(test)]
mod tests;
