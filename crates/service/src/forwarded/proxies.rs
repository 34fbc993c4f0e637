//! The addresses of reverse proxies whose headers count.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The addresses and networks of reverse proxies whose headers count. Empty trusts nobody.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

/// An address, or a network as `10.0.0.0/8`.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

impl TrustedProxies {
    /// From addresses or networks, separated by commas, or `none`. The error says what is wrong with them.
    pub fn new(list: &str) -> Result<Self, String> {
        if list.trim() == "none" {
            return Ok(Self::default());
        }
        let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
        let parse = |part| {
            network(part).ok_or_else(|| {
                format!("{part} is neither an address nor a network such as 10.0.0.0/8")
            })
        };
        Ok(Self(parts.map(parse).collect::<Result<_, _>>()?))
    }

    /// This machine's own addresses, from which only its own programs connect.
    pub fn loopback() -> Self {
        let own = [IpAddr::from([127, 0, 0, 0]), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];
        let lengths = [8, 128];
        Self(own.into_iter().zip(lengths).filter_map(|(ip, n)| IpNet::new(ip, n).ok()).collect())
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is one of theirs.
    pub fn contains(&self, address: IpAddr) -> bool {
        // A proxy on an IPv4 network may appear under a mapped IPv6 address.
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }
}

/// An address of `X-Forwarded-For`, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

impl TrustedProxies {
    /// The address of whoever sent a request: the nearest one that is not a trusted proxy's. What
    /// comes before it in `X-Forwarded-For` was written by the client.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let forwarded = headers.get_all("x-forwarded-for").iter().rev();
        let mut hops = forwarded.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        let mut client = peer;
        while self.contains(client) {
            let Some(before) = hops.next().and_then(address) else { break };
            client = before;
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_client_is_whom_the_last_trusted_proxy_saw() {
        let trusted = TrustedProxies::new("10.0.0.0/8, ::1").unwrap();
        let name = HeaderName::from_static("x-forwarded-for");
        for (peer, forwarded, client) in [
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["6.6.6.6", "198.51.100.7:4711, 10.2.3.4"], "198.51.100.7"),
            ("::1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("::1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["6.6.6.6, nonsense"], "10.0.0.1"),
        ] {
            let headers = forwarded.iter().map(|one| (name.clone(), HeaderValue::from_static(one)));
            let headers = HeaderMap::from_iter(headers);
            let found = trusted.client(peer.parse().unwrap(), &headers);
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
    }
}
