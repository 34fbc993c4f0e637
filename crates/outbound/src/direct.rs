//! Plain HTTP by hyper's own client.

use std::cell::OnceCell;
use std::fmt;
use std::io::{Error, ErrorKind};

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use reqwest::{Body, Request, Response, ResponseBuilderExt as _};
use thread_local::ThreadLocal;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service as _, ServiceExt as _};

use crate::loopback::WithLoopback;
use crate::{
    CONNECT_TIMEOUT, IDLE_TIMEOUT, KEEPALIVE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, SendError,
};

type Connector = BoxCloneSyncService<Uri, TokioIo<TcpStream>, BoxError>;

thread_local! {
    static SHARED: OnceCell<Handle> = const { OnceCell::new() };
}

/// For a thread with a runtime of its own, which others had to wait for: its calls over plain HTTP use connections that
/// no other thread uses. Those of all other calls belong to the runtime `shared`.
pub fn own_connections(shared: Handle) {
    SHARED.with(|own| own.set(shared).ok());
}

/// The runtime that a thread's connections belong to which are not its own.
pub(crate) fn shared_runtime() -> Option<Handle> {
    SHARED.with(|shared| shared.get().cloned())
}

/// hyper's client, with the same limits and look-up of names as reqwest's.
pub(crate) struct Direct {
    /// For all threads that have none of their own.
    shared: Client<Connector, Body>,
    own: ThreadLocal<Client<Connector, Body>>,
    user_agent: HeaderValue,
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").finish_non_exhaustive()
    }
}

impl Direct {
    pub(crate) fn new(user_agent: &'static str) -> Self {
        let user_agent = HeaderValue::from_static(user_agent);
        Self { shared: client(), own: ThreadLocal::new(), user_agent }
    }

    fn client(&self) -> &Client<Connector, Body> {
        match SHARED.with(|shared| shared.get().is_some()) {
            true => self.own.get_or(client),
            false => &self.shared,
        }
    }

    pub(crate) async fn execute(&self, mut request: Request) -> Result<Response, SendError> {
        let uri = match request.url().as_str().parse::<Uri>() {
            Ok(uri) => uri,
            Err(cause) => {
                return Err(SendError::InvalidUrl { cause, url: Box::new(request.url().clone()) });
            }
        };
        let mut sent = http::Request::new(request.body_mut().take().unwrap_or_default());
        *sent.method_mut() = request.method().clone();
        *sent.uri_mut() = uri;
        *sent.headers_mut() = std::mem::take(request.headers_mut());
        // What reqwest sends where the caller says nothing.
        let headers = sent.headers_mut();
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        let mut url = request.url().clone();
        url.set_fragment(None);
        let answer = match self.client().request(sent).await {
            Ok(answer) => answer,
            Err(cause) => return Err(SendError::Direct { cause, url: Box::new(url) }),
        };
        let (mut parts, body) = answer.into_parts();
        // The only way to tell a response its URL.
        if let Ok(with_url) = http::Response::builder().url(url).body(()) {
            parts.extensions.extend(with_url.into_parts().0.extensions);
        }
        Ok(http::Response::from_parts(parts, Body::wrap(body)).into())
    }
}

fn client() -> Client<Connector, Body> {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(connector())
}

fn connector() -> Connector {
    let mut http = HttpConnector::new_with_resolver(WithLoopback);
    http.set_nodelay(true);
    http.set_keepalive(Some(KEEPALIVE));
    http.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    http.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    #[cfg(target_os = "linux")]
    http.set_tcp_user_timeout(Some(crate::USER_TIMEOUT));
    // Shared by the addresses of a name, so that one that does not answer leaves time for the next.
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connect = tower::service_fn(move |uri: Uri| {
        let mut http = http.clone();
        async move {
            let opened = timeout(CONNECT_TIMEOUT, http.ready().await?.call(uri)).await;
            let opened =
                opened.map_err(|_| Error::new(ErrorKind::TimedOut, "operation timed out"))?;
            Ok::<_, BoxError>(opened?)
        }
    });
    BoxCloneSyncService::new(connect)
}
