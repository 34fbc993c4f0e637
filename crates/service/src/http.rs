//! The HTTP client of all programs.

use std::time::Duration;

use crate::proxies::Proxies;

/// The connect timeout.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client with a connection pool, without redirects, and with the proxies of the environment
/// ([`Proxies`]). Timeouts other than the connect timeout belong to each call.
pub fn client_builder() -> reqwest::ClientBuilder {
    // Its own reading of the variables is switched off.
    let builder = reqwest::Client::builder().no_proxy();
    let proxies = Proxies::from_env();
    let builder = if proxies.is_empty() { builder } else { builder.proxy(proxies.into_rule()) };
    builder
        .user_agent(concat!("wombat/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(50))
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
}

/// The same for a thread that may block, without a pool.
pub(crate) fn blocking_client_builder() -> reqwest::blocking::ClientBuilder {
    let builder = reqwest::blocking::Client::builder().no_proxy();
    let proxies = Proxies::from_env();
    let builder = if proxies.is_empty() { builder } else { builder.proxy(proxies.into_rule()) };
    builder
        .user_agent(concat!("wombat/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
}

/// Why a client could not be built, with the causes and, when the machine has no root certificates,
/// the remedy: none are built in.
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
