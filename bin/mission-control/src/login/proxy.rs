//! Login by a reverse proxy that authenticates people and names them in a header.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The trusted proxies and the header with the person's name.
#[derive(Debug, Clone)]
pub struct ProxyLogin {
    header: HeaderName,
    trusted: Vec<IpNet>,
}

/// An address, or a network as `10.0.0.0/8`.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

impl ProxyLogin {
    /// From the header's name and the proxies' addresses or networks, separated by commas. The error
    /// says what is wrong, and whether with the header (`true`) or with the addresses.
    pub fn new(header: &str, trusted: &str) -> Result<Self, (bool, String)> {
        let header =
            header.trim().parse().map_err(|_| (true, "is not a header name".to_owned()))?;
        let parts = trusted.split(',').map(str::trim).filter(|part| !part.is_empty());
        let parse = |part| {
            network(part).ok_or_else(|| {
                (false, format!("{part} is neither an address nor a network such as 10.0.0.0/8"))
            })
        };
        let trusted: Vec<_> = parts.map(parse).collect::<Result<_, _>>()?;
        if trusted.is_empty() {
            let why = "is not set; MC_BOARD_AUTH_HEADER needs the addresses of the proxies whose header counts";
            return Err((false, why.to_owned()));
        }
        Ok(Self { header, trusted })
    }

    /// Whether the request comes from a trusted proxy and names one person. Headers from anybody else
    /// are ignored.
    pub(crate) fn vouches(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
        // A proxy on an IPv4 network may appear under a mapped IPv6 address.
        let peer = peer.map(|peer| peer.to_canonical());
        let is_proxy = peer.is_some_and(|peer| self.trusted.iter().any(|net| net.contains(&peer)));
        let mut said = headers.get_all(&self.header).iter();
        let name = said.next().and_then(|name| name.to_str().ok());
        // Of two names one is the client's own, which the proxy should have removed.
        is_proxy && said.next().is_none() && name.is_some_and(|name| !name.trim().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_trusted_proxys_one_name_counts() {
        let login = ProxyLogin::new("X-Forwarded-User", "10.1.0.0/16, ::1").unwrap();
        let says = |names: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for name in names {
                headers.append("x-forwarded-user", HeaderValue::from_static(name));
            }
            headers
        };
        let ann = says(&["ann"]);
        for peer in ["10.1.2.3", "::ffff:10.1.2.3", "::1"] {
            assert!(login.vouches(peer.parse().ok(), &ann), "{peer}");
        }
        for peer in ["10.2.0.1", "127.0.0.1", "::2"] {
            assert!(!login.vouches(peer.parse().ok(), &ann), "{peer}");
        }
        assert!(!login.vouches(None, &ann));
        for names in [&[][..], &[""], &["  "], &["ann", "bob"]] {
            assert!(!login.vouches("::1".parse().ok(), &says(names)), "{names:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_of_the_right_setting() {
        for (header, trusted, of_header) in [
            ("no header", "::1", true),
            ("", "::1", true),
            ("X-User", "", false),
            ("X-User", "10.0.0.0/40", false),
            ("X-User", "proxy.example", false),
        ] {
            assert_eq!(
                ProxyLogin::new(header, trusted).unwrap_err().0,
                of_header,
                "{header} {trusted}"
            );
        }
    }
}
