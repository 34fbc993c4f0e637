//! What an application says when it refuses a call, as the model sees it: its own words, whole, whatever
//! framework wrote them.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

/// The most characters of one text in a refusal: stack traces and echoed values are cut.
const MAX_TEXT_CHARS: usize = 2_000;

/// The fields that may hold the only sentence of a refusal.
const SENTENCES: [&str; 4] = ["error", "detail", "message", "msg"];

/// The reason that a body gives.
pub(super) fn reason(headers: &HeaderMap, body: &[u8]) -> Value {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // Some frameworks send JSON as HTML, and XML is no page.
    let begin = body.trim_ascii_start();
    let is_xml = begin.starts_with(b"<?xml") || media_type.is_some_and(|it| it.contains("xml"));
    let is_json = begin.starts_with(b"{") || begin.starts_with(b"[");
    let is_html = media_type.is_some_and(|it| it.contains("html"));
    if !is_json && (is_html || !is_xml) && shown::is_page(media_type, body) {
        return format!("a page ({})", shown::page(media_type, body)).into();
    }
    let text = String::from_utf8_lossy(body);
    match serde_json::from_str(&text) {
        Ok(Value::Null) | Err(_) if text.trim().is_empty() => "no reason given".into(),
        Ok(value) => bounded(value),
        Err(_) => bounded(text.trim().into()),
    }
}

/// A refusal for the model: `{"error": …, "status": …}`. A body in the contract's shape keeps its `code` and
/// `details`, one with a single sentence is that sentence, and any other is told as it is.
pub(super) fn told(status: u16, reason: Value) -> Value {
    let Value::Object(mut fields) = reason else {
        return json!({ "error": reason, "status": status });
    };
    let is_contract = fields.get("error").is_some_and(Value::is_string)
        && fields.keys().all(|key| ["error", "code", "details"].contains(&key.as_str()));
    let mut told = Map::new();
    if is_contract {
        told.extend(fields.shift_remove("error").map(|error| ("error".to_owned(), error)));
        told.insert("status".to_owned(), status.into());
        told.extend(fields);
        return Value::Object(told);
    }
    let only = match fields.len() {
        1 => SENTENCES.iter().find_map(|name| fields.remove(*name)),
        _ => None,
    };
    json!({ "error": only.unwrap_or(Value::Object(fields)), "status": status })
}

/// A body whose long texts are cut.
fn bounded(value: Value) -> Value {
    match value {
        Value::String(text) => match text.char_indices().nth(MAX_TEXT_CHARS) {
            Some((end, _)) => format!("{}\u{2026} [cut]", &text[..end]).into(),
            None => text.into(),
        },
        Value::Array(items) => items.into_iter().map(bounded).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, bounded(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(status: u16, media_type: &str, body: &str) -> String {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, media_type.parse().unwrap())]);
        told(status, reason(&headers, body.as_bytes())).to_string()
    }

    #[test]
    fn the_model_sees_the_whole_reason_of_each_framework() {
        let json = "application/json";
        for (status, media_type, body, expected) in [
            // The contract.
            (
                409,
                json,
                r#"{"error":"taken","code":"conflict","details":{"by":"ann"}}"#,
                r#"{"error":"taken","status":409,"code":"conflict","details":{"by":"ann"}}"#,
            ),
            // FastAPI, Django REST, Flask-JWT, express.
            (
                422,
                json,
                r#"{"detail":[{"loc":["body","due"],"msg":"Field required"}]}"#,
                r#"{"error":[{"loc":["body","due"],"msg":"Field required"}],"status":422}"#,
            ),
            (403, json, r#"{"detail":"Not yours."}"#, r#"{"error":"Not yours.","status":403}"#),
            (
                401,
                json,
                r#"{"msg":"Token has expired"}"#,
                r#"{"error":"Token has expired","status":401}"#,
            ),
            (
                404,
                json,
                r#"{"message":"No such item"}"#,
                r#"{"error":"No such item","status":404}"#,
            ),
            // NestJS, Fastify, Litestar.
            (
                400,
                json,
                r#"{"message":["due must be a date"],"error":"Bad Request","statusCode":400}"#,
                r#"{"error":{"message":["due must be a date"],"error":"Bad Request","statusCode":400},"status":400}"#,
            ),
            (
                400,
                json,
                r#"{"statusCode":400,"code":"FST_ERR_VALIDATION","error":"Bad Request","message":"body/due must match format"}"#,
                r#"{"error":{"statusCode":400,"code":"FST_ERR_VALIDATION","error":"Bad Request","message":"body/due must match format"},"status":400}"#,
            ),
            (
                400,
                json,
                r#"{"status_code":400,"detail":"Validation failed","extra":[{"key":"due"}]}"#,
                r#"{"error":{"status_code":400,"detail":"Validation failed","extra":[{"key":"due"}]},"status":400}"#,
            ),
            // RFC 9457 and ASP.NET, Spring, Laravel, Django REST, JSON:API.
            (
                400,
                "application/problem+json",
                r#"{"title":"Invalid","status":400,"errors":{"Due":["required"]}}"#,
                r#"{"error":{"title":"Invalid","status":400,"errors":{"Due":["required"]}},"status":400}"#,
            ),
            (
                400,
                json,
                r#"{"timestamp":"t","status":400,"error":"Bad Request","message":"due: must not be null","path":"/a"}"#,
                r#"{"error":{"timestamp":"t","status":400,"error":"Bad Request","message":"due: must not be null","path":"/a"},"status":400}"#,
            ),
            (
                422,
                json,
                r#"{"message":"Invalid.","errors":{"due":["required"]}}"#,
                r#"{"error":{"message":"Invalid.","errors":{"due":["required"]}},"status":422}"#,
            ),
            (
                400,
                json,
                r#"{"due":["This field is required."]}"#,
                r#"{"error":{"due":["This field is required."]},"status":400}"#,
            ),
            (400, json, r#"["Enter a number."]"#, r#"{"error":["Enter a number."],"status":400}"#),
            (
                400,
                json,
                r#"{"error":{"code":7,"message":"no"},"request_id":"r"}"#,
                r#"{"error":{"error":{"code":7,"message":"no"},"request_id":"r"},"status":400}"#,
            ),
            // Text, pages, nothing.
            (400, "text/plain", " due is missing\n", r#"{"error":"due is missing","status":400}"#),
            (
                500,
                "text/html",
                "<!doctype html><title>Oops</title><pre>stack</pre>",
                r#"{"error":"a page (Oops)","status":500}"#,
            ),
            (
                400,
                "text/html",
                r#"{"message":"due is missing"}"#,
                r#"{"error":"due is missing","status":400}"#,
            ),
            (
                400,
                "application/xml",
                "<error>due is missing</error>",
                r#"{"error":"<error>due is missing</error>","status":400}"#,
            ),
            (404, json, "", r#"{"error":"no reason given","status":404}"#),
            (418, json, "null", r#"{"error":null,"status":418}"#),
        ] {
            assert_eq!(seen(status, media_type, body), expected, "{body}");
        }
    }

    #[test]
    fn a_stack_trace_does_not_cost_the_reason() {
        let body = json!({ "trace": "at x\n".repeat(9_999), "message": "the reason" });
        let seen = seen(500, "application/json", &body.to_string());
        assert!(
            seen.len() < 3_000 && seen.contains("the reason") && seen.contains("[cut]"),
            "{}",
            seen.len()
        );
    }
}
