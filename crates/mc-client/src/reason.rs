//! What an error body says, in the words of whoever wrote it: the contract's shape, and those of web
//! frameworks, whose middleware answers before a backend's own code does.

use serde_json::{Map, Value};

/// The most characters of a reason.
const MAX_CHARS: usize = 1_000;

/// The fields that hold a sentence, or a list of them, with who writes them so: the contract and many; RFC
/// 9457; NestJS, Fastify, Spring, Laravel; Flask-JWT; FastAPI, Litestar, Django REST; OAuth (RFC 6749).
const SENTENCES: [&str; 6] = ["error", "title", "message", "msg", "detail", "error_description"];

/// The fields that say what is wrong with which value: Laravel, ASP.NET, JSON:API and GraphQL; Litestar;
/// zod; simplejwt; Symfony.
const DETAILS: [&str; 5] = ["errors", "extra", "issues", "messages", "violations"];

/// An error body, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reason {
    /// The sentence, or as much of the body as says why.
    pub(crate) message: String,
    pub(crate) code: Option<String>,
    pub(crate) details: Option<Value>,
}

impl Reason {
    /// Reads a body; `None` when it is no JSON object, or an empty one.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        // An object: serde would read a list as one, too.
        if !body.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        let mut fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let message = sentence(&fields)?;
        let code = fields.get("code").and_then(Value::as_str).map(str::to_owned);
        let details = fields.remove("details").filter(|details| !details.is_null());
        Some(Self { message, code, details })
    }
}

fn sentence(fields: &Map<String, Value>) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for value in SENTENCES.iter().filter_map(|name| fields.get(*name)) {
        let part = words(value);
        if !part.is_empty() && !parts.contains(&part) {
            parts.push(part);
        }
    }
    let details = DETAILS.iter().filter_map(|name| Some((*name, fields.get(*name)?)));
    let details = details.filter(|(_, value)| value.is_object() || value.is_array());
    parts.extend(details.map(|(name, value)| format!("{name}: {value}")));
    if parts.is_empty() && !fields.is_empty() {
        // Django REST: `{"name": ["This field is required."]}`.
        parts.push(Value::Object(fields.clone()).to_string());
    }
    // Whoever wrote it: in a log it is one line.
    let line = shown::line(&parts.join(": "), MAX_CHARS + 1);
    (!line.is_empty()).then(|| cut(&line))
}

/// A value as text: a list of sentences one after the other, anything else that is no text as JSON.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Null => String::new(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_sentence_of_each_framework_is_found() {
        for (body, message) in [
            (json!({ "error": "no such task", "code": "not_found" }), "no such task"),
            (json!({ "message": "Unauthorized", "statusCode": 401 }), "Unauthorized"),
            (
                json!({ "message": ["a must be a date", "b is too long"], "error": "Bad Request", "statusCode": 400 }),
                "Bad Request: a must be a date; b is too long",
            ),
            (
                json!({ "statusCode": 400, "code": "FST_ERR_VALIDATION", "error": "Bad Request", "message": "body/due must match format \"date\"" }),
                "Bad Request: body/due must match format \"date\"",
            ),
            (json!({ "detail": "Not authenticated" }), "Not authenticated"),
            (
                json!({ "detail": [{ "loc": ["body", "due"], "msg": "Field required" }] }),
                r#"[{"loc":["body","due"],"msg":"Field required"}]"#,
            ),
            (
                json!({ "status_code": 400, "detail": "Validation failed", "extra": [{ "message": "m", "key": "due" }] }),
                r#"Validation failed: extra: [{"message":"m","key":"due"}]"#,
            ),
            (
                json!({ "type": "about:blank", "title": "Forbidden", "status": 403, "detail": "Ask your admin." }),
                "Forbidden: Ask your admin.",
            ),
            (
                json!({ "timestamp": "t", "status": 401, "error": "Unauthorized", "path": "/x" }),
                "Unauthorized",
            ),
            (
                json!({ "message": "The due field is required.", "errors": { "due": ["The due field is required."] } }),
                r#"The due field is required.: errors: {"due":["The due field is required."]}"#,
            ),
            (
                json!({ "title": "One or more validation errors occurred.", "status": 400, "errors": { "Due": ["x"] } }),
                r#"One or more validation errors occurred.: errors: {"Due":["x"]}"#,
            ),
            (json!({ "msg": "Missing Authorization Header" }), "Missing Authorization Header"),
            (
                json!({ "error": "invalid_token", "error_description": "The token expired" }),
                "invalid_token: The token expired",
            ),
            (
                json!({ "errors": [{ "message": "Not logged in" }] }),
                r#"errors: [{"message":"Not logged in"}]"#,
            ),
            (json!({ "error": { "code": 7, "message": "no" } }), r#"{"code":7,"message":"no"}"#),
            (
                json!({ "due": ["This field is required."] }),
                r#"{"due":["This field is required."]}"#,
            ),
            (json!({ "error": "same", "message": "same" }), "same"),
        ] {
            let read = Reason::read(body.to_string().as_bytes()).unwrap();
            assert_eq!(read.message, message, "{body}");
        }
        for none in ["", "{}", "[\"x\"]", "text", "{\"error\"", "\"x\""] {
            assert_eq!(Reason::read(none.as_bytes()), None, "{none}");
        }
        let long = json!({ "detail": "ü".repeat(5_000) }).to_string();
        let read = Reason::read(long.as_bytes()).unwrap();
        assert_eq!(read.message.chars().count(), MAX_CHARS + 1);
        let foreign =
            json!({ "detail": "no\r\n2026-01-01 INFO \u{1b}[2Jall\u{202e} is\twell" }).to_string();
        let read = Reason::read(foreign.as_bytes()).unwrap();
        assert_eq!(read.message, "no 2026-01-01 INFO [2Jall is well");
        let body = json!({ "error": "x", "code": "c", "details": { "a": 1 }, "request_id": "r" });
        let read = Reason::read(body.to_string().as_bytes()).unwrap();
        assert_eq!((read.message.as_str(), read.code.as_deref()), ("x", Some("c")));
        assert_eq!(read.details, Some(json!({ "a": 1 })));
    }
}
