//! The address by which clients know a program that stands behind a reverse proxy: its scheme, its
//! host, and the prefix of its paths.
//!
//! It is what the operator has set (`WOMBAT_PUBLIC_URL`, `MC_PUBLIC_URL`), else what a trusted proxy
//! says in `X-Forwarded-Proto`, `-Host`, `-Port` and `-Prefix`, or in `Forwarded` (RFC 7239). From
//! anybody else these headers mean nothing.

mod prefix;
mod proxies;

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::header::{FORWARDED, HOST};
use http::uri::Authority;
use http::{HeaderMap, Request};
use url::Url;

pub use self::prefix::Prefix;
pub use self::proxies::TrustedProxies;
use crate::settings::Reader;

/// The address by which clients know the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host, with a port unless it is the scheme's.
    pub host: String,
    /// What comes before every path.
    pub prefix: Prefix,
}

impl Address {
    /// The URL of a path, which begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{}{path}", self.scheme, self.host, self.prefix)
    }
}

/// An address that the operator has set: `https://HOST[:PORT][/PREFIX]`.
impl FromStr for Address {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let url = Url::parse(text).map_err(drop)?;
        let scheme = match url.scheme() {
            "http" => "http",
            "https" => "https",
            _ => return Err(()),
        };
        let bare = url.username().is_empty() && url.password().is_none();
        if !bare || url.query().is_some() || url.fragment().is_some() {
            return Err(());
        }
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => return Err(()),
        };
        // As it stands in the setting: the parser would resolve `..`.
        let after = text.split_once("://").map_or(text, |(_, rest)| rest);
        let path = after.find('/').map_or("", |at| &after[at..]);
        Ok(Self { scheme, host, prefix: path.parse()? })
    }
}

/// How a program learns by which address its clients know it.
#[derive(Debug, Clone, Default)]
pub struct Front {
    public: Option<Address>,
    trusted: TrustedProxies,
    /// Whether the operator has named the proxies. Else they are this machine's own, one of which may
    /// pass a client's headers on.
    is_explicit: bool,
}

/// Who sent a request: the other end of its connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

impl Front {
    /// With what the operator has set: the address, and the proxies whose headers count otherwise. If
    /// none are named, they are this machine's own.
    pub fn new(public: Option<Address>, named: Option<TrustedProxies>) -> Self {
        let is_explicit = named.is_some();
        Self { public, trusted: named.unwrap_or_else(TrustedProxies::loopback), is_explicit }
    }

    /// Reads the address that clients use.
    pub fn read_public(r: &mut Reader<'_>, name: &'static str) -> Option<Address> {
        r.parse_optional(
            name,
            "http:// or https://, a host, and perhaps a port and a path of letters, digits, . _ ~ -",
        )
    }

    /// The same, with its proxies: those of a setting, else this machine's own.
    pub fn read(r: &mut Reader<'_>, public: &'static str, proxies: &'static str) -> Self {
        let public = Self::read_public(r, public);
        let named = r.optional(proxies).map(|list| {
            let named = TrustedProxies::new(&list).map_err(|why| r.problem(proxies, why));
            named.unwrap_or_default()
        });
        Self::new(public, named)
    }

    /// The proxies whose headers count.
    pub fn trusted(&self) -> &TrustedProxies {
        &self.trusted
    }

    /// The address that the operator has set.
    pub fn public(&self) -> Option<&Address> {
        self.public.as_ref()
    }

    /// Notes who sent a request and under which prefix, and takes the prefix from its path where the
    /// proxy has left it there. The path is changed only where the operator has set the address or
    /// the proxies: else a client whose header a proxy passes on would choose its path after the
    /// proxy's rules have judged another.
    pub fn enter<B>(&self, peer: SocketAddr, mut request: Request<B>) -> Request<B> {
        let peer = peer.ip();
        request.extensions_mut().insert(Peer(peer));
        let prefix = self.prefix(peer, request.headers());
        if prefix.is_empty() {
            return request;
        }
        if (self.public.is_some() || self.is_explicit)
            && let Some(uri) = prefix.strip(request.uri())
        {
            *request.uri_mut() = uri;
        }
        request.extensions_mut().insert(prefix);
        request
    }

    /// The prefix of every path, as clients see it.
    pub fn prefix(&self, peer: IpAddr, headers: &HeaderMap) -> Prefix {
        if let Some(public) = &self.public {
            return public.prefix.clone();
        }
        if !headers.contains_key(PREFIX) || !self.trusted.contains(peer) {
            return Prefix::default();
        }
        only(headers, PREFIX).and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            tracing::debug!(proxy = %peer, "X-Forwarded-Prefix is no path prefix; it is ignored");
            Prefix::default()
        })
    }

    /// The address by which the client of a request knows this program.
    pub fn address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Address {
        if let Some(public) = &self.public {
            return public.clone();
        }
        let own = only(headers, HOST.as_str()).and_then(authority);
        let Some(peer) = peer.filter(|peer| self.trusted.contains(*peer)) else {
            let host = own.unwrap_or_default();
            return Address { scheme: "http", host, prefix: Prefix::default() };
        };
        let said = Said::of(headers);
        let scheme = said.scheme.unwrap_or("http");
        let mut host = said.host.or(own).unwrap_or_default();
        if let Some(port) = said.port
            && !has_port(&host)
        {
            host = format!("{host}:{port}");
        }
        Address { scheme, host, prefix: self.prefix(peer, headers) }
    }
}

const PREFIX: &str = "x-forwarded-prefix";

/// What a proxy says of the client's request. Of several values the client has written the first, where
/// proxies append theirs: then none counts, and of `Forwarded` only the last.
#[derive(Debug, Default)]
struct Said {
    scheme: Option<&'static str>,
    host: Option<String>,
    /// A port that is neither scheme's own. Proxies behind another one tell their own 80 or 443.
    port: Option<u16>,
}

impl Said {
    fn of(headers: &HeaderMap) -> Self {
        let said = |name: &str, parameter_name: &str| match headers.contains_key(name) {
            true => only(headers, name).map(str::to_owned),
            false => parameter(last(headers, FORWARDED.as_str())?, parameter_name),
        };
        Self {
            scheme: said("x-forwarded-proto", "proto").as_deref().and_then(scheme),
            host: said("x-forwarded-host", "host").as_deref().and_then(authority),
            port: only(headers, "x-forwarded-port")
                .and_then(|text| text.parse().ok())
                .filter(|port| !matches!(port, 0 | 80 | 443)),
        }
    }
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| text.eq_ignore_ascii_case(known))
}

/// The value of a header that comes once.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok().map(str::trim)
}

/// The last element of a header's list: what the nearest proxy has said.
fn last<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// A parameter of an element of `Forwarded` (RFC 7239, section 4), without its quotes.
fn parameter(element: &str, name: &str) -> Option<String> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim().trim_matches('"').to_owned())
}

/// A host with or without a port, and nothing else.
fn authority(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    let is_host = !text.contains(['@', ',']) && !authority.host().is_empty();
    let url = Url::parse(&format!("http://{text}")).ok().filter(|_| is_host)?;
    (url.path() == "/" && url.has_host()).then(|| text.to_owned())
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'))
}

#[cfg(test)]
mod tests;
