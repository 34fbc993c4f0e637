//! Paths and queries of the contract.

use url::form_urlencoded::Serializer;

/// Where the contract's endpoints are.
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
        out.extend(percent(segment));
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

/// Everything but RFC 3986's unreserved characters, so that an id can never change the path.
/// A segment of dots is encoded too, which servers do not take for a relative path.
fn percent(segment: &str) -> impl Iterator<Item = char> {
    let dots = segment.bytes().all(|b| b == b'.');
    segment.bytes().flat_map(move |byte| {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'~')
            || (byte == b'.' && !dots);
        let text = if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        text.chars().collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_segment() {
        assert_eq!(path(&["tasks", "a/../b?c#d"]), "/api/mission-control/tasks/a%2F..%2Fb%3Fc%23d");
        assert_eq!(path(&["tasks", ".."]), "/api/mission-control/tasks/%2E%2E");
        let query = with_query("/p".into(), &[("a", Some("x y&z".into())), ("b", None)]);
        assert_eq!(query, "/p?a=x+y%26z");
    }
}
