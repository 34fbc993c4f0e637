//! Login by a reverse proxy that authenticates people and names them in a header.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use service::forwarded::TrustedProxies;

use crate::error::ApiError;

/// The trusted proxies, the header with the person's name, and who may see other people's things.
#[derive(Debug, Clone)]
pub struct ProxyLogin {
    header: HeaderName,
    trusted: TrustedProxies,
    operators: Vec<String>,
    /// The header with the person's roles, and the role that makes an operator.
    role: Option<(HeaderName, String)>,
}

/// A person whom a trusted proxy has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// The name, which is the id of the user whose things the person may see.
    pub(crate) name: String,
    /// Whether the person may see other users' things, too.
    pub(crate) is_operator: bool,
}

fn header_name(text: &str) -> Result<HeaderName, String> {
    text.trim().parse().map_err(|_| "is not a header name".to_owned())
}

/// The white space that HTTP allows around a value (RFC 9110, section 5.6.3). Other white space belongs to
/// the value: without it, two people would be one.
const BLANK: [char; 2] = [' ', '\t'];

/// The one value of a header. Of two values one is the client's own, which the proxy should have
/// removed, and bytes that are no UTF-8 could make two people one.
fn only(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        let why = "is there more than once: the proxy must remove the one that the client sent";
        return Err(ApiError::field(name.as_str(), why));
    }
    let text = std::str::from_utf8(value.as_bytes());
    let text = text.map_err(|_| ApiError::field(name.as_str(), "must be UTF-8"))?;
    let text = text.trim_matches(BLANK);
    Ok(Some(text).filter(|text| !text.is_empty()).map(str::to_owned))
}

impl ProxyLogin {
    /// From the header's name and the proxies' addresses or networks, separated by commas. The error
    /// says what is wrong, and whether with the header (`true`) or with the addresses.
    pub fn new(header: &str, trusted: &str) -> Result<Self, (bool, String)> {
        let header = header_name(header).map_err(|why| (true, why))?;
        let trusted = TrustedProxies::new(trusted).map_err(|why| (false, why))?;
        if trusted.is_empty() {
            let why = "names none; MC_BOARD_AUTH_HEADER needs the addresses of the proxies whose header counts";
            return Err((false, why.to_owned()));
        }
        Ok(Self { header, trusted, operators: Vec::new(), role: None })
    }

    /// The same, with people who may see other users' things, by their names, separated by commas.
    pub fn with_operators(mut self, names: &str) -> Result<Self, String> {
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        self.operators = names.map(str::to_owned).collect();
        if self.operators.is_empty() {
            return Err("names nobody; allowed: names, separated by commas".to_owned());
        }
        Ok(self)
    }

    /// The same, with everybody as an operator for whom the proxy names a role in a header.
    pub fn with_operator_role(mut self, header: &str, role: &str) -> Result<Self, String> {
        let (header, role) = (header_name(header)?, role.trim());
        if role.is_empty() || role.contains(',') {
            return Err("needs one role, without a comma, in MC_BOARD_OPERATOR_ROLE".to_owned());
        }
        self.role = Some((header, role.to_owned()));
        Ok(self)
    }

    /// Whether somebody may be an operator. Who has the role is known only when they come.
    pub(crate) fn may_operate(&self, name: &str) -> bool {
        self.role.is_some() || self.operators.iter().any(|operator| operator == name)
    }

    /// The person whom a trusted proxy has named. Headers from anybody else are ignored.
    pub(crate) fn visitor(
        &self,
        peer: Option<IpAddr>,
        headers: &HeaderMap,
    ) -> Result<Option<Visitor>, ApiError> {
        if !peer.is_some_and(|peer| self.trusted.contains(peer)) {
            return Ok(None);
        }
        let Some(name) = only(headers, &self.header)? else { return Ok(None) };
        let has_role = match &self.role {
            Some((header, role)) => only(headers, header)?
                .is_some_and(|roles| roles.split(',').any(|one| one.trim_matches(BLANK) == role)),
            None => false,
        };
        let is_operator = has_role || self.operators.contains(&name);
        Ok(Some(Visitor { name, is_operator }))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn says(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn visitor(login: &ProxyLogin, peer: &str, headers: &HeaderMap) -> Option<Visitor> {
        login.visitor(peer.parse().ok(), headers).unwrap()
    }

    #[test]
    fn only_a_trusted_proxys_one_name_counts() {
        let login = ProxyLogin::new("X-Forwarded-User", "10.1.0.0/16, ::1").unwrap();
        let user = "x-forwarded-user";
        let ann = says(&[(user, b"ann")]);
        for peer in ["10.1.2.3", "::ffff:10.1.2.3", "::1"] {
            let found = visitor(&login, peer, &ann).unwrap();
            assert_eq!((found.name.as_str(), found.is_operator), ("ann", false), "{peer}");
        }
        for peer in ["10.2.0.1", "127.0.0.1", "::2"] {
            assert_eq!(visitor(&login, peer, &ann), None, "{peer}");
        }
        assert_eq!(login.visitor(None, &ann).unwrap(), None);
        for names in [&[][..], &[(user, &b""[..])], &[(user, b"  ")]] {
            assert_eq!(visitor(&login, "::1", &says(names)), None, "{names:?}");
        }
        let named = visitor(&login, "::1", &says(&[(user, "müller".as_bytes())]));
        assert_eq!(named.unwrap().name, "müller");
        for names in [&[(user, &b"ann"[..]), (user, b"bob")][..], &[(user, b"m\xfcller")]] {
            assert!(login.visitor("::1".parse().ok(), &says(names)).is_err(), "{names:?}");
            // From anybody else they mean nothing.
            assert_eq!(visitor(&login, "::2", &says(names)), None, "{names:?}");
        }
    }

    #[test]
    fn operators_are_named_or_have_the_role() {
        let login = ProxyLogin::new("X-User", "::1").unwrap();
        let login = login.with_operators(" root, olga ,").unwrap();
        let login = login.with_operator_role("X-Groups", "support").unwrap();
        for (name, groups, is_operator) in [
            ("root", "", true),
            ("olga", "", true),
            ("Root", "", false),
            ("roo", "", false),
            ("root, olga", "", false),
            ("ann", "support", true),
            ("ann", "users, support", true),
            ("ann", "Support", false),
            ("ann", "support-users", false),
            ("ann", "", false),
        ] {
            let headers = says(&[("x-user", name.as_bytes()), ("x-groups", groups.as_bytes())]);
            let found = visitor(&login, "::1", &headers).unwrap();
            assert_eq!(found.is_operator, is_operator, "{name} {groups}");
        }
        let twice = says(&[("x-user", b"ann"), ("x-groups", b"users"), ("x-groups", b"support")]);
        assert!(login.visitor("::1".parse().ok(), &twice).is_err());
        assert!(login.clone().with_operators(" , ").is_err());
        for (header, role) in [("no header", "x"), ("x-groups", " "), ("x-groups", "a,b")] {
            assert!(login.clone().with_operator_role(header, role).is_err(), "{header} {role}");
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
