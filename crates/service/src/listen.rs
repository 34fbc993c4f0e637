//! Serving HTTP/1.1 within bounds that every listener has.
//!
//! A client is given up when its request's head does not arrive in time, when it sends nothing for
//! long between requests, and when it takes nothing of an answer for long. Heads are bounded by
//! hyper (431); bodies, and how long they may take, are the handlers' business.

mod watched;

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

use self::watched::{Answer, Requests, Watched};

/// What a client may do to a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a request's head may take from its first byte on.
    pub head: Duration,
    /// How long a connection may be silent between requests. Longer than clients and load
    /// balancers keep theirs (50 s here, 60 s elsewhere), so that they end it first.
    pub idle: Duration,
    /// How long a client may take nothing of what is written to it.
    pub stalled: Duration,
    /// The largest head, bytes; what one more read brings is taken as well.
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

/// How long no connection is accepted after one could not be, for want of files or memory.
const BREATH: Duration = Duration::from_millis(250);

/// Serves what `service` makes for each connection until `stop`; then no connection is accepted any
/// more, and those that are open end with the request that they are at.
pub async fn serve<M, S, B>(
    listener: TcpListener,
    limits: Limits,
    service: M,
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
                connections.spawn(connection(stream, limits, service(peer), stop.clone()));
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted; trying again");
                sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Whether a connection was gone before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves one connection to its end.
async fn connection<S, B>(stream: TcpStream, limits: Limits, service: S, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Small answers and events leave at once. A connection that is gone already says so below.
    let _ = stream.set_nodelay(true);
    let requests = Arc::new(Requests::default());
    let io = TokioIo::new(Watched::new(stream, limits, Arc::clone(&requests)));
    let service = service_fn(move |request: Request<Incoming>| {
        requests.begin();
        let (service, requests) = (service.clone(), Arc::clone(&requests));
        async move {
            let response = service.oneshot(request).await?;
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, requests)))
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers)
        .header_read_timeout(None)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
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
