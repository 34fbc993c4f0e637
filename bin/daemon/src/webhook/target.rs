//! Which addresses a webhook may be sent to: public ones only (protection against SSRF).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use tokio::time::timeout;
use url::Host;

/// The timeout of a DNS lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a URL is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is not a URL with http or https.
    #[error("is not an http or https URL")]
    NotHttp,
    /// It contains a user name or a password.
    #[error("must not contain a user name or password")]
    Userinfo,
    /// It resolves to this machine or to a private network.
    #[error("resolves to a private address (WOMBAT_WEBHOOK_ALLOW_PRIVATE=true allows that)")]
    Private,
    /// Its host cannot be resolved.
    #[error("has a host that cannot be resolved")]
    Unresolvable,
}

/// Checks a URL. The URL parser has already normalised all spellings of an IP address (decimal, hex,
/// octal, short, with other dots).
pub(super) async fn check(text: &str, allow_private: bool) -> Result<Url, TargetError> {
    let url = Url::parse(text.trim()).map_err(|_| TargetError::NotHttp)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(TargetError::NotHttp);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TargetError::Userinfo);
    }
    let addresses = match url.host().ok_or(TargetError::NotHttp)? {
        Host::Ipv4(address) => vec![IpAddr::V4(address)],
        Host::Ipv6(address) => vec![IpAddr::V6(address)],
        Host::Domain(name) => {
            let port = url.port_or_known_default().unwrap_or(443);
            let found = timeout(LOOKUP_TIMEOUT, lookup_host((name, port))).await;
            let found = found.ok().and_then(Result::ok).ok_or(TargetError::Unresolvable)?;
            found.map(|address| address.ip()).collect()
        }
    };
    if addresses.is_empty() {
        return Err(TargetError::Unresolvable);
    }
    if !allow_private && !addresses.iter().all(|address| is_public(*address)) {
        return Err(TargetError::Private);
    }
    Ok(url)
}

/// The DNS resolver of the connection itself, which returns public addresses only: a name that
/// resolves differently after the check (DNS rebinding) is not connected.
pub(super) struct Resolver {
    pub(super) allow_private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = timeout(LOOKUP_TIMEOUT, lookup_host((name.as_str(), 0))).await??;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| allow_private || is_public(address.ip())).collect();
            if allowed.is_empty() {
                return Err(
                    Box::new(TargetError::Private) as Box<dyn std::error::Error + Send + Sync>
                );
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is public: in none of the special ranges of the IANA registries.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        // This network, shared address space, protocol assignments, 6to4 relays, benchmarks,
        // reserved.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240;
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let [a, b, c, d] = [s[6] >> 8, s[6] & 0xff, s[7] >> 8, s[7] & 0xff].map(|byte| byte as u8);
    let last = Ipv4Addr::new(a, b, c, d);
    // IPv4 in IPv6: mapped, translated (NAT64), 6to4.
    let is_mapped = s[..5] == [0; 5] && s[5] == 0xffff;
    let is_translated = s[..6] == [0x64, 0xff9b, 0, 0, 0, 0] || s[..3] == [0x64, 0xff9b, 1];
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return false;
    }
    if is_mapped || is_translated {
        return is_public_v4(last);
    }
    if s[0] == 0x2002 {
        let [a, b, c, d] = [s[1] >> 8, s[1] & 0xff, s[2] >> 8, s[2] & 0xff].map(|byte| byte as u8);
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Only 2000::/3 is allocated; within it, Teredo, protocol assignments and documentation are not
    // public.
    let is_global = s[0] & 0xe000 == 0x2000;
    let is_special = (s[0] == 0x2001 && (s[1] < 0x200 || s[1] == 0xdb8)) || s[0] == 0x3fff;
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn private_targets_are_refused_in_every_spelling() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127。0。0。1/",
            "http://localhost:8080/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[64:ff9b::a00:1]/",
            "http://[2002:7f00:1::]/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://10.0.0.1/",
            "http://172.16.5.5/",
            "http://192.168.1.1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://100.100.100.200/",
            "http://[fd00:ec2::254]/",
            "http://[fe80::1]/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
        ] {
            assert_eq!(check(url, false).await, Err(TargetError::Private), "{url}");
            assert!(check(url, true).await.is_ok(), "{url}");
        }
        for (url, why) in [
            ("ftp://example.com/", TargetError::NotHttp),
            ("file:///etc/passwd", TargetError::NotHttp),
            ("nonsense", TargetError::NotHttp),
            ("http://", TargetError::NotHttp),
            ("https://user@1.1.1.1/", TargetError::Userinfo),
            ("https://1.1.1.1@127.0.0.1/", TargetError::Userinfo),
            ("https://no-such-host.invalid/", TargetError::Unresolvable),
        ] {
            assert_eq!(check(url, false).await, Err(why), "{url}");
        }
    }

    #[tokio::test]
    async fn public_addresses_pass() {
        for url in
            ["https://1.1.1.1/hook", "http://93.184.216.34:8080/", "https://[2606:4700::1111]/"]
        {
            assert!(check(url, false).await.is_ok(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_connected_to() {
        let resolver = Resolver { allow_private: false };
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_err());
        let resolver = Resolver { allow_private: true };
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
