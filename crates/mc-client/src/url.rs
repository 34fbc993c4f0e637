//! Paths and queries of the contract.

use url::form_urlencoded::Serializer;

/// The path prefix of the contract's endpoints.
pub(crate) const PREFIX: &str = "/api/mission-control";

/// A path under [`PREFIX`]; each segment is percent-encoded.
pub(crate) fn path(parts: &[&str]) -> String {
    segments(PREFIX, parts)
}

/// A path under another one; each segment is percent-encoded.
pub(crate) fn segments(under: &str, parts: &[&str]) -> String {
    let mut out = under.to_owned();
    for segment in parts {
        out.push('/');
        percent(segment, &mut out);
    }
    out
}

/// A path with a query of the parameters that have a value.
pub(crate) fn with_query(path: String, parameters: &[(&str, Option<String>)]) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

/// Percent-encodes everything but RFC 3986's unreserved characters, so that an id can never change
/// the path. `.` and `..` are encoded twice, because clients and servers treat them as directories
/// even when their dots are encoded: no object has such an id, and none is found.
fn percent(segment: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if matches!(segment, "." | "..") {
        return out.extend(segment.bytes().map(|_| "%252E"));
    }
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_segment() {
        assert_eq!(path(&["tasks", "a/../b?c#d"]), "/api/mission-control/tasks/a%2F..%2Fb%3Fc%23d");
        for id in [".", "..", "%2e%2e", "a/../..", "...", "x/.."] {
            let path = path(&["tasks", id, "messages"]);
            let url = url::Url::parse(&format!("http://h{path}")).unwrap();
            assert_eq!(url.path(), path, "{id}");
            assert_eq!(url.path_segments().unwrap().count(), 5, "{id}");
        }
        let query = with_query("/p".into(), &[("a", Some("x y&z".into())), ("b", None)]);
        assert_eq!(query, "/p?a=x+y%26z");
    }
}
