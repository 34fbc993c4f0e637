//! Why a connection failed, in words: the innermost cause, and for TLS what to do about it.
//!
//! The texts of causes are those of rustls 0.23 and rustls-webpki 0.103; a test makes each of them with
//! certificates of OpenSSL.

use std::error::Error;
use std::fmt;

/// Why a connection failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    text: String,
    is_tls: bool,
}

impl Cause {
    /// Whether TLS is what failed: the other side is there, and trying again does not help.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The innermost cause of an error, explained. Outer ones may show an address.
pub fn cause(error: &dyn Error) -> Cause {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    explain(&cause.to_string())
}

/// How to have an authority trusted.
const TRUST: &str = "install the authority's certificate on this machine, or name a file with it in \
                     SSL_CERT_FILE, and restart";

fn explain(raw: &str) -> Cause {
    let certificate = raw.strip_prefix("invalid peer certificate: ");
    let tls = match certificate {
        Some(why) => Some(of_certificate(why)),
        None => of_handshake(raw).map(str::to_owned),
    };
    let is_tls = tls.is_some();
    let text = tls.or_else(|| raw.contains(NO_HTTP).then(|| ALERT.to_owned()));
    Cause { text: text.unwrap_or_else(|| in_a_sentence(raw)), is_tls }
}

/// `Connection refused (os error 111)` as it stands within a sentence.
fn in_a_sentence(raw: &str) -> String {
    let text = raw.split(" (os error ").next().unwrap_or(raw);
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second))
            if first.is_ascii_uppercase() && second.is_ascii_lowercase() =>
        {
            format!("{}{}", first.to_ascii_lowercase(), &text[1..])
        }
        _ => text.to_owned(),
    }
}

/// What hyper 1 says of an answer that does not begin as HTTP does. A server of TLS sends an alert there;
/// but what has sent rubbish once may do better the next time.
const NO_HTTP: &str = "invalid HTTP version parsed";
const ALERT: &str =
    "its answer is not HTTP; if the address begins with http://, https:// may be meant";

fn of_certificate(why: &str) -> String {
    let has = |word: &str| why.contains(word);
    if has("CaUsedAsEndEntity") {
        return "its certificate is self-signed and marked as an authority (CA:TRUE), which a server's must \
                not be; make one with basicConstraints=CA:FALSE, or sign it with an authority of your own \
                and name that in SSL_CERT_FILE"
            .to_owned();
    }
    if has("not valid yet") || has("NotValidYet") {
        return "its certificate is not valid yet; look at the clock of this machine, or at the dates of \
                the certificate"
            .to_owned();
    }
    if has("xpired") {
        return "its certificate has expired; renew it, or look at the clock of this machine"
            .to_owned();
    }
    if has("not valid for any names") {
        return "its certificate names no host: a common name alone does not count; make one with a \
                subjectAltName"
            .to_owned();
    }
    if has("not valid for name") || has("NotValidForName") {
        let names = why.split("only valid for ").nth(1).map(names).unwrap_or_default();
        return format!(
            "its certificate is for another host{names}; put a name that it holds into the address, or \
             make one for this name"
        );
    }
    if has("Revoked") {
        return "its certificate has been revoked".to_owned();
    }
    let why = match has("UnknownIssuer") {
        true => {
            "it is self-signed, or of a private authority, or the server leaves out an intermediate \
                 certificate"
        }
        false => why,
    };
    format!("its certificate is not trusted: {why}; {TRUST}")
}

/// The names of a certificate, as rustls lists them: `DnsName("a.example"), IpAddress(…)`.
fn names(list: &str) -> String {
    let quoted: Vec<_> = list.split('"').skip(1).step_by(2).take(5).collect();
    if quoted.is_empty() { String::new() } else { format!(" ({})", quoted.join(", ")) }
}

fn of_handshake(raw: &str) -> Option<&'static str> {
    let has = |word: &str| raw.contains(word);
    Some(if has("fatal alert: ProtocolVersion") || has("peer is incompatible") {
        "it speaks no TLS that is still safe; TLS 1.2 or 1.3 is needed"
    } else if has("fatal alert: UnrecognisedName") {
        "it knows no host of this name (SNI); correct the name in the address"
    } else if has("fatal alert: CertificateRequired") {
        "it asks for a client certificate, which these programs do not send"
    } else if has("fatal alert: HandshakeFailure") {
        "it found no cipher or protocol that both sides speak; TLS 1.2 or 1.3 is needed"
    } else if has("InvalidContentType") {
        "it does not speak TLS there; the address begins with http:// then"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_matter_of_tls_stays_as_it_is() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let cause = cause(&refused);
        assert_eq!((cause.to_string().as_str(), cause.is_tls()), ("connection refused", false));
        assert_eq!(explain("Connection refused (os error 111)").to_string(), "connection refused");
        assert_eq!(explain("TLS failed").to_string(), "TLS failed");
        let cause = explain("invalid HTTP version parsed");
        assert!(cause.to_string().contains("https:// may be meant") && !cause.is_tls(), "{cause}");
    }

    #[test]
    fn the_names_of_a_certificate_are_told() {
        let cause = explain(
            "invalid peer certificate: certificate not valid for name \"localhost\"; certificate is only \
             valid for DnsName(\"a.example\") or DnsName(\"b.example\")",
        );
        let text = cause.to_string();
        assert!(cause.is_tls() && text.contains("another host (a.example, b.example);"), "{text}");
    }
}
