//! Printing URLs: a path or a query may hold a key (webhooks, MCP servers, collectors, gateways), and a
//! user name a password. So only scheme, host and port are shown.

use std::fmt;

use ::url::Url;

/// A URL as it may be shown to people: scheme, host and port. What is left out is marked.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(&'a str);

/// Shows a URL without what may be secret in it.
pub fn url(url: &str) -> Shown<'_> {
    Shown(url)
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(url) = Url::parse(self.0) else { return f.write_str("(no valid URL)") };
        let Some(host) = url.host_str() else { return write!(f, "{}:\u{2026}", url.scheme()) };
        write!(f, "{}://{host}", url.scheme())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        if url.path().len() > 1 || url.query().is_some() || url.fragment().is_some() {
            f.write_str("/\u{2026}")?;
        }
        Ok(())
    }
}

/// A text with every URL in it shown as by [`url()`]: for errors of libraries, which may repeat an address.
pub fn without_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(mark) = rest.find("://") {
        let before = &rest[..mark];
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let scheme = before.trim_end_matches(is_scheme).len();
        let end = |c: char| c.is_whitespace() || c.is_control() || "\"'<>()[]{}|\\^`,;".contains(c);
        let after = &rest[mark + 3..];
        // An IPv6 address stands in brackets, which end a URL elsewhere.
        let from = match after.rsplit_once('@').map_or(after, |(_, host)| host).starts_with('[') {
            true => after.find(']').map_or(0, |at| at + 1),
            false => 0,
        };
        let length = after[from..].find(end).map_or(after.len(), |at| from + at);
        out.push_str(&rest[..scheme]);
        let url = &rest[scheme..mark + 3 + length];
        let bare = url.trim_end_matches(['.', ':', '!', '?']);
        out.push_str(&Shown(bare).to_string());
        out.push_str(&url[bare.len()..]);
        rest = &rest[mark + 3 + length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_port_are_shown() {
        for (url, expected) in [
            ("http://localhost:8000", "http://localhost:8000"),
            ("https://h.example/", "https://h.example"),
            ("https://ann:pass@h.example:8443", "https://h.example:8443"),
            ("https://hooks.example/services/T0/B0/secret", "https://hooks.example/\u{2026}"),
            ("https://h.example?token=secret", "https://h.example/\u{2026}"),
            ("https://h.example/#secret", "https://h.example/\u{2026}"),
            ("postgres://u:pass@db:5432/wombat", "postgres://db:5432/\u{2026}"),
            ("http://[::1]:80/x", "http://[::1]/\u{2026}"),
            ("data:secret", "data:\u{2026}"),
            ("secret", "(no valid URL)"),
        ] {
            assert_eq!(Shown(url).to_string(), expected);
        }
    }

    #[test]
    fn the_urls_of_a_text_are_shown_and_its_words_kept() {
        for (text, expected) in [
            ("no address", "no address"),
            (
                "sending to (https://h/mcp?key=secret) failed: http://u:p@x:1/y. Later",
                "sending to (https://h/\u{2026}) failed: http://x:1/\u{2026}. Later",
            ),
            ("at http://[::1]:8/secret", "at http://[::1]:8/\u{2026}"),
            ("://", "(no valid URL)"),
        ] {
            assert_eq!(without_urls(text), expected);
        }
    }
}
