//! The look-up of names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The machine's own look-up of names, with both loopback addresses for `localhost` (RFC 6761, section
/// 6.3): many machines list only `127.0.0.1` for it, where a server may listen on `::1` only.
#[derive(Debug, Clone, Copy)]
pub struct WithLoopback;

impl Resolve for WithLoopback {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move { Ok(Box::new(look_up(name.as_str()).await?) as Addrs) })
    }
}

impl tower::Service<dns::Name> for WithLoopback {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, std::io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Self::Future {
        Box::pin(async move { look_up(name.as_str()).await })
    }
}

async fn look_up(host: &str) -> std::io::Result<std::vec::IntoIter<SocketAddr>> {
    let found = tokio::net::lookup_host((host, 0)).await.map(Iterator::collect);
    let found: Vec<SocketAddr> = match found {
        Err(_) if is_localhost(host) => Vec::new(),
        found => found?,
    };
    let all = if is_localhost(host) { with_loopback(found) } else { found };
    Ok(all.into_iter())
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
}
