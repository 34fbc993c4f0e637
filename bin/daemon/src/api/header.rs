//! Headers that say who calls, for whom, and about what: each comes once, as plain text.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use super::error::ApiError;

/// The user, for protocols that have no field for one.
pub(super) const USER_HEADER: &str = "x-wombat-user";
/// The task, for protocols that have no field for one.
pub(super) const TASK_HEADER: &str = "x-wombat-task-id";
/// The name of a conversation, which becomes the title of its task.
pub(super) const SESSION_HEADER: &str = "x-wombat-session";
/// Resumes a run that waited for approval.
pub(super) const RESUME_HEADER: &str = "x-wombat-resume-run-key";
/// Whether a run goes on when its caller leaves.
pub(super) const DETACHED_HEADER: &str = "x-wombat-detached";
/// Makes a run safe to retry.
pub(super) const KEY_HEADER: &str = "idempotency-key";
/// The daemon key.
pub(super) const DAEMON_KEY: HeaderName = HeaderName::from_static("x-agent-daemon-key");
/// The session of an MCP client.
pub(super) const MCP_SESSION: &str = "mcp-session-id";
/// The revision of an MCP client.
pub(super) const MCP_REVISION: &str = "mcp-protocol-version";
/// The version of an A2A client.
pub(super) const A2A_VERSION: &str = "a2a-version";

/// Headers that decide whether a request is accepted at all: checked before the key.
const ACCESS: [&str; 4] = ["x-agent-daemon-key", "authorization", "host", "origin"];

/// Headers that decide for whom, and about what, a request is.
const IDENTITY: [&str; 9] = [
    DETACHED_HEADER,
    USER_HEADER,
    TASK_HEADER,
    SESSION_HEADER,
    RESUME_HEADER,
    KEY_HEADER,
    MCP_SESSION,
    MCP_REVISION,
    A2A_VERSION,
];

/// Whether a header says that the run goes on when its caller leaves.
///
/// # Errors
/// It says something else than true or false.
pub(super) fn detaches(headers: &HeaderMap) -> Result<bool, ApiError> {
    match single(headers, DETACHED_HEADER)?.as_deref() {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(invalid(DETACHED_HEADER, "is neither true nor false")),
    }
}

/// Checks the headers by which a request is accepted.
///
/// # Errors
/// One of them comes twice, or is not plain text.
pub(super) fn check_access(headers: &HeaderMap) -> Result<(), ApiError> {
    check(headers, &ACCESS)
}

/// Checks the headers that say for whom a request is.
///
/// # Errors
/// One of them comes twice, or is not plain text.
pub(super) fn check_identity(headers: &HeaderMap) -> Result<(), ApiError> {
    check(headers, &IDENTITY)
}

/// Looks only at what is there: most requests have few headers.
fn check(headers: &HeaderMap, names: &[&str]) -> Result<(), ApiError> {
    for name in headers.keys() {
        if names.contains(&name.as_str()) {
            single(headers, name.as_str())?;
        }
    }
    Ok(())
}

/// The text of a header that may come once (RFC 9110, section 5.3: only a list may come more often).
///
/// # Errors
/// `invalid_header`: it comes twice, is empty, is not UTF-8, or has control characters. Reading bytes
/// that are not UTF-8 with replacement characters would make one tenant of two.
pub(super) fn single(headers: &HeaderMap, name: &str) -> Result<Option<String>, ApiError> {
    let mut all = headers.get_all(name).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(invalid(name, "is sent more than once"));
    }
    let text = std::str::from_utf8(value.as_bytes());
    let text = bare(text.map_err(|_| invalid(name, "is not valid UTF-8"))?);
    if text.is_empty() {
        return Err(invalid(name, "is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(name, "contains control characters"));
    }
    Ok(Some(text.to_owned()))
}

/// A value without the white space that HTTP allows around it (RFC 9110, section 5.6.3). Other white space
/// belongs to the value: without it, two users would be one.
pub(super) fn bare(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

/// The text of a header that [`check_identity`] has checked, or that is only a hint.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    single(headers, name).ok().flatten()
}

/// Checks that a field of the request does not say something else than a header does.
///
/// # Errors
/// `invalid_payload`, with the field.
pub(super) fn agrees(
    headers: &HeaderMap,
    name: &str,
    field: &str,
    value: Option<&str>,
) -> Result<(), ApiError> {
    match (single(headers, name)?, value) {
        (Some(header), Some(value)) if header != bare(value) => {
            let why = format!("differs from the header {}", shown(name));
            Err(ApiError::fields("invalid_payload", [(field.to_owned(), why)].into()))
        }
        (Some(_), Some(_)) | (None, _) | (_, None) => Ok(()),
    }
}

fn invalid(name: &str, why: &str) -> ApiError {
    let name = shown(name);
    let text = format!("the header {name} {why}; send it once, as UTF-8 text");
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_header", text)
        .with_details(json!({ "header": name }))
}

/// A header's name as people write it.
fn shown(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// The one value of a header, as bytes.
pub(super) fn bytes<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

/// The value of `Authorization`.
pub(super) fn authorization(headers: &HeaderMap) -> Option<&[u8]> {
    bytes(headers, &header::AUTHORIZATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(USER_HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn one_value_in_utf8_is_the_text() {
        for (values, expected) in [
            (&[][..], None),
            (&[b" ann ".as_slice()], Some("ann")),
            (&["müller".as_bytes()], Some("müller")),
            (&["ann\u{a0}".as_bytes()], Some("ann\u{a0}")),
        ] {
            assert_eq!(single(&headers(values), USER_HEADER).unwrap().as_deref(), expected);
        }
    }

    #[test]
    fn two_values_other_bytes_and_nothing_are_refused() {
        for values in [
            &[b"ann".as_slice(), b"bob"][..],
            &[b"ann", b"ann"],
            &[b"m\xfcller"],
            &[b""],
            &[b"  "],
            &[b"a\tb"],
            &["a\u{85}b".as_bytes()],
        ] {
            let error = check_identity(&headers(values)).unwrap_err();
            assert_eq!((error.status.as_u16(), &*error.body.code), (400, "invalid_header"));
            assert_eq!(error.body.details["header"], "X-Wombat-User");
        }
    }

    #[test]
    fn a_field_must_not_contradict_its_header() {
        let ann = headers(&[b"ann"]);
        for (value, agrees_with) in [(None, true), (Some("ann"), true), (Some("bob"), false)] {
            assert_eq!(agrees(&ann, USER_HEADER, "user", value).is_ok(), agrees_with);
        }
        assert!(agrees(&HeaderMap::new(), USER_HEADER, "user", Some("bob")).is_ok());
    }
}
