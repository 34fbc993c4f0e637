//! The HTTP client of all programs.

use std::sync::Arc;

use outbound::{CONNECT_TIMEOUT, HttpClient, IDLE_TIMEOUT, KEEPALIVE, WithLoopback};

use crate::proxies::Proxies;

/// What all programs call themselves.
const USER_AGENT: &str = concat!("wombat/", env!("CARGO_PKG_VERSION"));

/// [`client_builder`]'s client, with plain HTTP past reqwest where no proxy is set.
///
/// # Errors
/// When it cannot be set up ([`explain`]).
pub fn client() -> reqwest::Result<HttpClient> {
    let library = client_builder().build()?;
    if Proxies::from_env().is_empty() {
        return Ok(HttpClient::with_direct(library, USER_AGENT));
    }
    Ok(library.into())
}

/// A client with a connection pool, without redirects, and with the proxies of the environment
/// ([`Proxies`]). Timeouts other than the connect timeout belong to each call.
pub fn client_builder() -> reqwest::ClientBuilder {
    // Its own reading of the variables is switched off.
    let builder = reqwest::Client::builder().no_proxy();
    let proxies = Proxies::from_env();
    let builder = if proxies.is_empty() { builder } else { builder.proxy(proxies.into_rule()) };
    builder
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .dns_resolver(Arc::new(WithLoopback))
        .tcp_nodelay(true)
        .tcp_keepalive(KEEPALIVE)
}

/// The same for a thread that may block, without a pool.
pub(crate) fn blocking_client_builder() -> reqwest::blocking::ClientBuilder {
    let builder = reqwest::blocking::Client::builder().no_proxy();
    let proxies = Proxies::from_env();
    let builder = if proxies.is_empty() { builder } else { builder.proxy(proxies.into_rule()) };
    builder
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Arc::new(WithLoopback))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_on_either_loopback_address_is_reached_by_its_name() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A machine without IPv6 has only one of them.
            let Ok(listener) = tokio::net::TcpListener::bind(address).await else { continue };
            let port = listener.local_addr().unwrap().port();
            let call = client_builder().build().unwrap().get(format!("http://localhost:{port}/"));
            let call = tokio::spawn(call.timeout(std::time::Duration::from_secs(20)).send());
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
            assert_eq!(call.await.unwrap().unwrap().status(), 204, "{address}");
        }
    }
}
