//! The proxies of the environment: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, also in lower
//! case, for every HTTP client of all programs.
//!
//! reqwest 0.13 reads them, too, but sends loopback and link-local addresses through a proxy, and knows
//! no ports in `NO_PROXY` (hyper-util 0.1, `client::proxy::matcher`). Such an address means another
//! machine to the proxy: at best nobody, at worst somebody else, who then gets the token.

use std::fmt;
use std::net::IpAddr;

use reqwest::{Proxy, Url};
use url::Host;

/// The proxies, and what goes past them.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    direct: NoProxy,
    broken: Vec<String>,
}

/// Without the addresses, which may hold passwords.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").field("direct", &self.direct).finish_non_exhaustive()
    }
}

impl Proxies {
    /// The proxies of the process's environment.
    pub fn from_env() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// The proxies of an environment. An upper case name comes before the same in lower case, as in
    /// reqwest; an empty value counts as none.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_lowercase()];
            let is_set = |text: &String| !text.trim().is_empty();
            names.into_iter().find_map(|name| Some((get(&name).filter(is_set)?, name)))
        };
        let mut broken = Vec::new();
        let mut proxy = |name: &str| {
            let (text, name) = text(name)?;
            let proxy = parse_proxy(text.trim());
            if proxy.is_none() {
                // Not its value, which may hold a password.
                broken.push(format!(
                    "{name} is no address of a proxy; allowed: http://HOST:PORT, also https, socks5 and \
                     socks5h, with a user and a password in percent-encoding if need be"
                ));
            }
            proxy
        };
        // In a CGI program HTTP_PROXY is a header of the request (https://httpoxy.org).
        let is_cgi = get("REQUEST_METHOD").is_some();
        let all = proxy("ALL_PROXY");
        let http = if is_cgi { None } else { proxy("HTTP_PROXY") };
        let https = proxy("HTTPS_PROXY");
        Self {
            http: http.or_else(|| all.clone()),
            https: https.or(all),
            direct: NoProxy::parse(&text("NO_PROXY").map(|(text, _)| text).unwrap_or_default()),
            broken,
        }
    }

    /// The variables that name no proxy, a sentence each. A program refuses to start with one: to go
    /// past a proxy that is meant would be a guess.
    pub(crate) fn problems(&self) -> &[String] {
        &self.broken
    }

    /// The entries of `NO_PROXY` that cannot be read, and so let nothing past.
    pub(crate) fn unread_exceptions(&self) -> &[String] {
        &self.direct.unread
    }

    /// The proxy for a URL, if it goes through one.
    pub fn proxy_of(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            "http" => self.http.as_ref(),
            "https" => self.https.as_ref(),
            _ => None,
        }?;
        let host = url.host()?;
        let is_direct = is_local(&host) || self.direct.has(&host, url.port_or_known_default());
        (!is_direct).then_some(proxy)
    }

    /// Whether there is any proxy.
    pub fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// For a client's builder.
    pub(crate) fn into_rule(self) -> Proxy {
        Proxy::custom(move |url| self.proxy_of(url).cloned())
    }
}

/// A proxy's address; without a scheme it is HTTP.
fn parse_proxy(text: &str) -> Option<Url> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&url).ok().filter(Url::has_host)?;
    // A path is what stands after a `/` in a password: the host would be the user's name.
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    matches!(url.scheme(), "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h")
        .then_some(url)
}

/// Whether a host is this machine or this link, which no proxy can reach for us.
fn is_local<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        // RFC 6761, section 6.3.
        Host::Domain(name) => {
            let name = name.as_ref().trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(address) => is_local_address(IpAddr::V4(*address)),
        Host::Ipv6(address) => is_local_address(IpAddr::V6(*address)),
    }
}

fn is_local_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

/// The list of `NO_PROXY`.
#[derive(Debug, Clone, Default)]
struct NoProxy {
    entries: Vec<Entry>,
    unread: Vec<String>,
}

/// One entry: what it names, and a port if it names one.
#[derive(Debug, Clone)]
struct Entry {
    place: Place,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    /// `*`.
    Any,
    /// An address, or a range of them by the length of their common beginning.
    Range(IpAddr, u8),
    /// A name, and all below it.
    Name(String),
}

impl NoProxy {
    /// Entries are separated by commas or white space, as in curl
    /// (<https://curl.se/libcurl/c/CURLOPT_NOPROXY.html>).
    fn parse(list: &str) -> Self {
        let mut read = Self::default();
        for text in list.split(|c: char| c == ',' || c.is_whitespace()) {
            match Entry::parse(text) {
                Some(entry) => read.entries.push(entry),
                None if text.is_empty() => {}
                None => read.unread.push(text.to_owned()),
            }
        }
        read
    }

    fn has<S: AsRef<str>>(&self, host: &Host<S>, port: Option<u16>) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.port.is_none_or(|only| Some(only) == port) && entry.place.has(host))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if let Some(place) = Place::of_address(text) {
            return Some(Self { place, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let place = Place::of_address(host).or_else(|| Place::of_name(host))?;
        Some(Self { place, port })
    }
}

impl Place {
    /// `10.0.0.1`, `10.0.0.0/8`, `::1`, `[::1]`, `fd00::/8`.
    fn of_address(text: &str) -> Option<Self> {
        let (address, length) = match text.rsplit_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let bare = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let address: IpAddr = bare.unwrap_or(address).parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().ok().filter(|length| *length <= longest)?,
            None => longest,
        };
        Some(Self::Range(address, length))
    }

    /// `*`, `example.org`, `.example.org`, `*.example.org`: a name and all below it.
    fn of_name(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let name = text.strip_prefix('*').unwrap_or(text).trim_matches('.').to_ascii_lowercase();
        (!name.is_empty() && !name.contains('/')).then_some(Self::Name(name))
    }

    fn has<S: AsRef<str>>(&self, host: &Host<S>) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Range(range, length), Host::Ipv4(address)) => {
                is_in(IpAddr::V4(*address), *range, *length)
            }
            (Self::Range(range, length), Host::Ipv6(address)) => {
                is_in(IpAddr::V6(*address), *range, *length)
                    || is_in(IpAddr::V6(*address).to_canonical(), *range, *length)
            }
            (Self::Name(name), Host::Domain(host)) => {
                let host = host.as_ref().trim_end_matches('.').to_ascii_lowercase();
                let above = host.strip_suffix(name.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            (Self::Range(..), Host::Domain(_)) | (Self::Name(_), Host::Ipv4(_) | Host::Ipv6(_)) => {
                false
            }
        }
    }
}

fn is_in(address: IpAddr, range: IpAddr, length: u8) -> bool {
    let (address, range, width) = match (address, range) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let rest = width - u32::from(length);
    (address ^ range).checked_shr(rest).unwrap_or_default() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> Proxies {
        let get = |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Proxies::read(get)
    }

    fn is_direct(proxies: &Proxies, url: &str) -> bool {
        proxies.proxy_of(&Url::parse(url).unwrap()).is_none()
    }

    #[test]
    fn this_machine_and_this_link_are_reached_directly_whatever_the_variables_say() {
        let all = proxies(&[("ALL_PROXY", "http://proxy:3128")]);
        for host in [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "127.0.0.1:8000",
            "127.9.9.9",
            "0.0.0.0",
            "2130706433",
            "[::1]:8000",
            "[::]",
            "[::ffff:127.0.0.1]",
            "169.254.169.254",
            "[fe80::1]",
        ] {
            assert!(is_direct(&all, &format!("http://{host}/")), "{host}");
            assert!(is_direct(&all, &format!("https://{host}/")), "{host}");
        }
        for host in ["h.example", "localhost.example", "10.0.0.1", "[fd00::1]", "[2001:db8::1]"] {
            assert!(!is_direct(&all, &format!("http://{host}/")), "{host}");
        }
    }

    #[test]
    fn no_proxy_takes_names_addresses_ranges_and_ports() {
        let list = "h.example, .below.example *.stars.example,10.0.0.0/8,192.168.7.7,fd00::/8,[2001:db8::1],\
                    ported.example:8443,10.99.0.0/99,[2001:db8::2]:90";
        let some = proxies(&[("ALL_PROXY", "proxy:3128"), ("NO_PROXY", list)]);
        for (host, direct) in [
            ("h.example", true),
            ("H.Example.", true),
            ("a.h.example", true),
            ("notth.example", false),
            ("xh.example", false),
            ("below.example", true),
            ("a.below.example", true),
            ("a.stars.example", true),
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.168.7.7:81", true),
            ("192.168.7.8", false),
            ("[fd12::1]", true),
            ("[fe00::1]", false),
            ("[::ffff:10.0.0.1]", true),
            ("[2001:db8::1]", true),
            ("[2001:db8::2]", false),
            ("[2001:db8::2]:90", true),
            ("ported.example", false),
            ("ported.example:8443", true),
        ] {
            assert_eq!(is_direct(&some, &format!("http://{host}/")), direct, "{host}");
        }
        let none = proxies(&[("ALL_PROXY", "proxy:3128"), ("NO_PROXY", "*")]);
        assert!(is_direct(&none, "http://h.example"));
        let everything = proxies(&[("ALL_PROXY", "proxy:3128"), ("no_proxy", "0.0.0.0/0")]);
        assert!(is_direct(&everything, "http://8.8.8.8"));
        assert!(!is_direct(&everything, "http://h.example"));
    }

    #[test]
    fn each_scheme_has_its_variable_and_upper_case_comes_first() {
        let of = |pairs: &[(&str, &str)], url: &str| {
            proxies(pairs).proxy_of(&Url::parse(url).unwrap()).map(Url::to_string)
        };
        let both = [("HTTP_PROXY", "a:1"), ("http_proxy", "b:1"), ("https_proxy", "http://c:1")];
        assert_eq!(of(&both, "http://h").unwrap(), "http://a:1/");
        assert_eq!(of(&both, "https://h").unwrap(), "http://c:1/");
        assert_eq!(
            of(&[("HTTP_PROXY", " "), ("all_proxy", "d:1")], "http://h").unwrap(),
            "http://d:1/"
        );
        assert_eq!(of(&[("HTTP_PROXY", "a:1"), ("REQUEST_METHOD", "GET")], "http://h"), None);
        assert_eq!(of(&[("HTTP_PROXY", "ftp://a:1")], "http://h"), None);
    }

    #[test]
    fn what_cannot_be_read_is_told_without_what_may_be_a_password() {
        for broken in [
            "ftp://canary@h:1",
            "http://u:can#ary@h",
            "http://",
            "canary:x:1",
            "http://h:99999/canary",
            "http://u:1/canary@h:3128",
        ] {
            let read = proxies(&[("https_proxy", broken), ("NO_PROXY", "a b:x,10.0.0.0/99,c:1")]);
            assert_eq!(read.problems().len(), 1, "{broken}");
            assert!(read.problems()[0].starts_with("https_proxy is no address of a proxy"));
            assert!(!read.problems()[0].contains("ary"), "{broken}");
            assert_eq!(read.unread_exceptions(), ["b:x", "10.0.0.0/99"]);
        }
        let read = proxies(&[("HTTP_PROXY", "http://user:canary@h:1")]);
        assert!(read.problems().is_empty() && !format!("{read:?}").contains("canary"), "{read:?}");
    }

    /// What arrives at a port of this machine: the first line of each request.
    fn listen() -> (String, std::sync::mpsc::Receiver<String>) {
        use std::io::{BufRead as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                lines.map(Result::unwrap).find(String::is_empty).unwrap();
                let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).unwrap();
                sender.send(first).unwrap();
            }
        });
        (address, receiver)
    }

    #[tokio::test]
    async fn a_client_asks_the_proxy_for_others_and_this_machine_itself() {
        let ((proxy, at_proxy), (own, at_own)) = (listen(), listen());
        let rule = proxies(&[("HTTP_PROXY", &proxy), ("NO_PROXY", "10.0.0.0/8")]).into_rule();
        let client = reqwest::Client::builder().no_proxy().proxy(rule).build().unwrap();
        client.get(format!("{own}/mine")).send().await.unwrap();
        client.get("http://192.0.2.1/theirs").send().await.unwrap();
        assert_eq!(at_proxy.recv().unwrap(), "GET http://192.0.2.1/theirs HTTP/1.1");
        assert_eq!(at_own.recv().unwrap(), "GET /mine HTTP/1.1");
        assert!(at_proxy.try_recv().is_err());
    }
}
