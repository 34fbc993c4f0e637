//! What a service has sent.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use wombat_core::hooks::Scheme;

/// The longest id of a service that stands in a key as it is.
const MAX_ID: usize = 128;

/// The body as fields: JSON, or a form, whose `payload` may hold JSON. An empty one has none. The header is
/// signed by nobody: what is JSON is never read as a form.
pub(super) fn fields(headers: &HeaderMap, body: &[u8]) -> Option<Value> {
    if body.trim_ascii().is_empty() {
        return Some(Value::Null);
    }
    let json = serde_json::from_slice(body).ok();
    if json.is_some() || !is_form(headers) {
        return json;
    }
    let form: Map<String, Value> = url::form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    match form.get("payload").and_then(Value::as_str).map(serde_json::from_str) {
        Some(Ok(payload @ Value::Object(_))) => Some(payload),
        Some(Ok(_) | Err(_)) | None => Some(Value::Object(form)),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// All values of a header in one.
pub(super) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let values = headers.get_all(name).iter();
    let values: Vec<_> =
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// What Slack asks to be answered with, before it sends anything to an address.
pub(super) fn challenge(scheme: Scheme, fields: &Value) -> Option<String> {
    let is_one = scheme == Scheme::Slack && fields["type"] == "url_verification";
    fields["challenge"].as_str().filter(|_| is_one).map(str::to_owned)
}

/// The key under which the notification is stored once: by the hook, and by the id that stays the same
/// when the service sends the event again. `given` is the id in its headers.
pub(super) fn key(
    hook: &str,
    scheme: Scheme,
    given: Option<String>,
    fields: &Value,
    body: &[u8],
) -> String {
    let of_body = |name: &str| fields[name].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
    let id = match scheme {
        Scheme::Standard => given,
        Scheme::Github => None,
        Scheme::Stripe => of_body("id"),
        Scheme::Slack => of_body("event_id"),
    };
    let hash = |bytes: &[u8]| format!("sha256:{}", hex(&Sha256::digest(bytes)));
    let is_plain = |id: &str| id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_graphic());
    let id = match id {
        Some(id) if is_plain(&id) => id,
        Some(id) => hash(id.as_bytes()),
        None => hash(body),
    };
    format!("hook:{hook}:{id}")
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn form() -> HeaderMap {
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        HeaderMap::from_iter([(CONTENT_TYPE, kind)])
    }

    #[test]
    fn a_body_is_json_or_a_form() {
        let none = HeaderMap::new();
        assert_eq!(fields(&none, b" {\"a\": 1}\n"), Some(json!({ "a": 1 })));
        assert_eq!(fields(&none, b""), Some(Value::Null));
        assert_eq!(fields(&none, b"a=1"), None);
        let both = br#"{"id":"&payload=%7B%22user%22%3A%22bob%22%7D&"}"#;
        assert_eq!(fields(&form(), both), fields(&none, both));
        assert_eq!(fields(&none, &b"[".repeat(100_000)), None);
        assert_eq!(fields(&form(), b"a=1+2&b=%C3%A9"), Some(json!({ "a": "1 2", "b": "é" })));
        assert_eq!(fields(&form(), b"payload=%7B%22a%22%3A1%7D"), Some(json!({ "a": 1 })));
        assert_eq!(fields(&form(), b"payload=x"), Some(json!({ "payload": "x" })));
    }

    #[test]
    fn a_key_is_the_services_own_id_or_the_hash_of_the_body() {
        let body = json!({ "id": "evt_1", "event_id": "Ev1" });
        let key = |scheme, given: Option<&str>, fields: &Value| {
            super::key("h", scheme, given.map(str::to_owned), fields, b"abc")
        };
        // FIPS 180-4, the example "abc".
        let hash = "hook:h:sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(key(Scheme::Standard, Some("msg_1"), &body), "hook:h:msg_1");
        assert_eq!(key(Scheme::Stripe, None, &body), "hook:h:evt_1");
        assert_eq!(key(Scheme::Slack, None, &body), "hook:h:Ev1");
        assert_eq!(key(Scheme::Github, None, &body), hash);
        assert_eq!(key(Scheme::Slack, None, &json!([])), hash);
        assert_eq!(key(Scheme::Stripe, None, &Value::Null), hash);
        let odd = key(Scheme::Standard, Some("abc def"), &body);
        assert!(odd.starts_with("hook:h:sha256:") && odd != hash, "{odd}");
    }
}
