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

/// Why a client could not be made, with its causes and, where the machine has no roots of TLS, what
/// to do about it: nothing is built in.
pub fn explain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if text.contains("No CA certificates") {
        text += "; install ca-certificates, or name a file of certificates in SSL_CERT_FILE";
    }
    text
}
