//! The HTTP client of all programs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

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
        .dns_resolver(Arc::new(WithLoopback))
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
}

/// The machine's own look-up of names, with both loopback addresses for `localhost` (RFC 6761, section
/// 6.3): many machines list only `127.0.0.1` for it, where a server may listen on `::1` only.
struct WithLoopback;

impl Resolve for WithLoopback {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await.map(Iterator::collect);
            let found: Vec<SocketAddr> = match found {
                Err(_) if is_localhost(host) => Vec::new(),
                found => found?,
            };
            let all = if is_localhost(host) { with_loopback(found) } else { found };
            Ok(Box::new(all.into_iter()) as Addrs)
        })
    }
}

fn is_localhost(host: &str) -> bool {
    host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("localhost")
}

/// The addresses in their order, and the loopback addresses that are missing.
fn with_loopback(mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    for own in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        if !found.iter().any(|address| address.ip() == own) {
            found.push(SocketAddr::new(own, 0));
        }
    }
    found
}

/// The same for a thread that may block, without a pool.
pub(crate) fn blocking_client_builder() -> reqwest::blocking::ClientBuilder {
    let builder = reqwest::blocking::Client::builder().no_proxy();
    let proxies = Proxies::from_env();
    let builder = if proxies.is_empty() { builder } else { builder.proxy(proxies.into_rule()) };
    builder
        .user_agent(concat!("wombat/", env!("CARGO_PKG_VERSION")))
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

    #[test]
    fn localhost_is_both_loopback_addresses_in_the_machines_order() {
        let [four, six] = ["127.0.0.1:0", "[::1]:0"].map(|text| text.parse().unwrap());
        for (found, all) in [
            (vec![four], vec![four, six]),
            (vec![six], vec![six, four]),
            (vec![six, four], vec![six, four]),
            (vec![], vec![four, six]),
        ] {
            assert_eq!(with_loopback(found), all);
        }
        assert!(is_localhost("LocalHost.") && !is_localhost("localhost.example"));
    }

    #[tokio::test]
    async fn a_server_on_either_loopback_address_is_reached_by_its_name() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A machine without IPv6 has only one of them.
            let Ok(listener) = tokio::net::TcpListener::bind(address).await else { continue };
            let port = listener.local_addr().unwrap().port();
            let call = client_builder().build().unwrap().get(format!("http://localhost:{port}/"));
            let call = tokio::spawn(call.timeout(Duration::from_secs(20)).send());
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
            assert_eq!(call.await.unwrap().unwrap().status(), 204, "{address}");
        }
    }
}
