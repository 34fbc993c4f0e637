//! The HTTP client that all programs use.

use std::time::Duration;

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A pooled client that keeps connections, follows no redirects, and goes through the proxies that
/// the environment names (HTTPS_PROXY, NO_PROXY). Time limits beyond the connection belong to each
/// call.
pub fn client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("wombat/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(50))
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
}
