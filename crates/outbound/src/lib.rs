//! The HTTP client of the calls that are made most: to the backend and to models.
//!
//! reqwest 0.13 takes a tenth of what such a call costs: it parses the URL twice more, for redirects that
//! are never followed, and copies its headers for a second attempt that is never made. So a call over plain
//! HTTP, past no proxy, goes to hyper's client at once. Whatever needs more (TLS, HTTP/2, proxies) goes
//! through reqwest, and both answer with reqwest's response.

mod direct;
mod loopback;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use reqwest::{Request, Response, Url};

use self::direct::Direct;
pub use self::direct::own_connections;
pub use self::loopback::WithLoopback;

/// The timeout of opening a connection, with the look-up of its name.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that nobody uses is kept.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// The time after which an idle TCP connection is probed.
pub const KEEPALIVE: Duration = Duration::from_secs(30);

/// The time between two probes. This and the next two are what reqwest sets by itself.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// After how many probes without an answer the connection is given up.
const KEEPALIVE_RETRIES: u32 = 3;

/// How long sent bytes may be without an acknowledgement.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// A client with pools of connections. Clones share them.
#[derive(Debug, Clone)]
pub struct HttpClient {
    library: reqwest::Client,
    direct: Option<Arc<Direct>>,
}

/// Everything through reqwest, as its client is set up.
impl From<reqwest::Client> for HttpClient {
    fn from(library: reqwest::Client) -> Self {
        Self { library, direct: None }
    }
}

impl HttpClient {
    /// Plain HTTP past reqwest; everything else as `library` is set up. Only where no proxy is set, and for a
    /// `library` with this crate's limits: its other settings do not hold for plain HTTP.
    /// `user_agent` is what `library` sends, too.
    pub fn with_direct(library: reqwest::Client, user_agent: &'static str) -> Self {
        Self { library, direct: Some(Arc::new(Direct::new(user_agent))) }
    }

    /// reqwest's client, for calls that need more than [`Self::execute`].
    pub fn library(&self) -> &reqwest::Client {
        &self.library
    }

    /// Makes one call, once, and follows no redirect. Timeouts are the caller's.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn execute(&self, request: Request) -> Result<Response, SendError> {
        let is_plain = request.url().scheme() == "http" && request.timeout().is_none();
        match self.direct.as_ref().filter(|_| is_plain) {
            Some(direct) => direct.execute(request).await,
            None => Ok(self.execute_by_library(request).await?),
        }
    }

    /// Where a thread has connections of its own, the library's are opened on the runtime that it shares with others:
    /// many calls go over one of HTTP/2, and must not wait for what that thread does.
    async fn execute_by_library(&self, request: Request) -> reqwest::Result<Response> {
        let Some(shared) = direct::shared_runtime() else {
            return self.library.execute(request).await;
        };
        let mut calling = std::pin::pin!(self.library.execute(request));
        let poll = |cx: &mut Context<'_>| {
            let _entered = shared.enter();
            calling.as_mut().poll(cx)
        };
        poll_fn(poll).await
    }
}

/// Why a call had no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Of reqwest.
    #[error(transparent)]
    Library(#[from] reqwest::Error),
    /// Of hyper's client.
    #[error("sending the request failed")]
    Direct {
        /// With its own cause.
        #[source]
        cause: hyper_util::client::legacy::Error,
        /// Where it went to.
        url: Box<Url>,
    },
    /// The URL is no URI: it has more than 65,534 bytes, say.
    #[error("the URL is invalid")]
    InvalidUrl {
        /// Why.
        #[source]
        cause: http::uri::InvalidUri,
        /// The whole of it.
        url: Box<Url>,
    },
}

impl SendError {
    /// Whether the request could not even be made.
    pub fn is_invalid(&self) -> bool {
        match self {
            Self::Library(error) => error.is_builder(),
            Self::InvalidUrl { .. } => true,
            Self::Direct { .. } => false,
        }
    }

    /// Whether no connection came about.
    pub fn is_connect(&self) -> bool {
        match self {
            Self::Library(error) => error.is_connect(),
            Self::Direct { cause, .. } => cause.is_connect(),
            Self::InvalidUrl { .. } => false,
        }
    }

    /// Whether it took too long.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Library(error) => error.is_timeout(),
            Self::Direct { cause, .. } => is_timed_out(cause),
            Self::InvalidUrl { .. } => false,
        }
    }

    /// Where the request went to.
    pub fn url(&self) -> Option<&Url> {
        match self {
            Self::Library(error) => error.url(),
            Self::Direct { url, .. } | Self::InvalidUrl { url, .. } => Some(url),
        }
    }

    /// What lies below, for a sentence without the URL.
    pub fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Library(error) => std::error::Error::source(error),
            Self::Direct { cause, .. } => Some(cause),
            Self::InvalidUrl { cause, .. } => Some(cause),
        }
    }
}

/// Whether a timeout of the system is at the bottom of it.
fn is_timed_out(error: &hyper_util::client::legacy::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>()
            && error.kind() == std::io::ErrorKind::TimedOut
        {
            return true;
        }
        cause = error.source();
    }
    false
}
