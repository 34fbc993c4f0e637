//! What an application says when it refuses a call, as the model sees it: its own words, whole, whatever
//! framework wrote them.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

/// The most characters of one text in a refusal: stack traces and echoed values are cut.
const MAX_TEXT_CHARS: usize = 2_000;

/// The most items of a list and fields of an object, and the most characters of a field's name.
const MAX_PARTS: usize = 50;
const MAX_NAME_CHARS: usize = 200;

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

/// A refusal for the model: `{"status": …, "error": …}`, with first what is never cut. A body in the contract's shape keeps its `code` and
/// `details`, one with a single sentence is that sentence, and any other is told as it is.
pub(super) fn told(status: u16, reason: Value) -> Value {
    let Value::Object(mut fields) = reason else {
        return json!({ "status": status, "error": reason });
    };
    let is_contract = fields.get("error").is_some_and(Value::is_string)
        && fields.keys().all(|key| ["error", "code", "details"].contains(&key.as_str()));
    let mut told = Map::new();
    if is_contract {
        told.insert("status".to_owned(), status.into());
        told.extend(fields.shift_remove("error").map(|error| ("error".to_owned(), error)));
        told.extend(fields);
        return Value::Object(told);
    }
    let only = match fields.len() {
        1 => SENTENCES.iter().find_map(|name| fields.remove(*name)),
        _ => None,
    };
    json!({ "status": status, "error": only.unwrap_or(Value::Object(fields)) })
}

/// A body whose long texts, lists and objects are cut.
fn bounded(value: Value) -> Value {
    let more = |all: usize| all.checked_sub(MAX_PARTS).filter(|more| *more > 0);
    match value {
        Value::String(text) => cut(text, MAX_TEXT_CHARS).into(),
        Value::Array(items) => {
            let more = more(items.len()).map(|more| format!("\u{2026} [cut: {more} more]").into());
            items.into_iter().take(MAX_PARTS).map(bounded).chain(more).collect()
        }
        Value::Object(fields) => {
            let more = more(fields.len())
                .map(|more| ("\u{2026}".to_owned(), format!("[cut: {more} more]").into()));
            // A sentence is kept wherever it stands.
            let is_sentence = |name: &String| SENTENCES.contains(&name.as_str());
            let kept = fields.into_iter().enumerate();
            let kept = kept.filter(|(at, (name, _))| *at < MAX_PARTS || is_sentence(name));
            let kept = kept.map(|(_, (name, value))| (cut(name, MAX_NAME_CHARS), bounded(value)));
            kept.chain(more).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

fn cut(text: String, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}\u{2026} [cut]", &text[..end]),
        None => text,
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
                r#"{"status":409,"error":"taken","code":"conflict","details":{"by":"ann"}}"#,
            ),
            // FastAPI, Django REST, Flask-JWT, express.
            (
                422,
                json,
                r#"{"detail":[{"loc":["body","due"],"msg":"Field required"}]}"#,
                r#"{"status":422,"error":[{"loc":["body","due"],"msg":"Field required"}]}"#,
            ),
            (403, json, r#"{"detail":"Not yours."}"#, r#"{"status":403,"error":"Not yours."}"#),
            (
                401,
                json,
                r#"{"msg":"Token has expired"}"#,
                r#"{"status":401,"error":"Token has expired"}"#,
            ),
            (
                404,
                json,
                r#"{"message":"No such item"}"#,
                r#"{"status":404,"error":"No such item"}"#,
            ),
            // NestJS, Fastify, Litestar.
            (
                400,
                json,
                r#"{"message":["due must be a date"],"error":"Bad Request","statusCode":400}"#,
                r#"{"status":400,"error":{"message":["due must be a date"],"error":"Bad Request","statusCode":400}}"#,
            ),
            (
                400,
                json,
                r#"{"statusCode":400,"code":"FST_ERR_VALIDATION","error":"Bad Request","message":"body/due must match format"}"#,
                r#"{"status":400,"error":{"statusCode":400,"code":"FST_ERR_VALIDATION","error":"Bad Request","message":"body/due must match format"}}"#,
            ),
            (
                400,
                json,
                r#"{"status_code":400,"detail":"Validation failed","extra":[{"key":"due"}]}"#,
                r#"{"status":400,"error":{"status_code":400,"detail":"Validation failed","extra":[{"key":"due"}]}}"#,
            ),
            // RFC 9457 and ASP.NET, Spring, Laravel, Django REST, JSON:API.
            (
                400,
                "application/problem+json",
                r#"{"title":"Invalid","status":400,"errors":{"Due":["required"]}}"#,
                r#"{"status":400,"error":{"title":"Invalid","status":400,"errors":{"Due":["required"]}}}"#,
            ),
            (
                400,
                json,
                r#"{"timestamp":"t","status":400,"error":"Bad Request","message":"due: must not be null","path":"/a"}"#,
                r#"{"status":400,"error":{"timestamp":"t","status":400,"error":"Bad Request","message":"due: must not be null","path":"/a"}}"#,
            ),
            (
                422,
                json,
                r#"{"message":"Invalid.","errors":{"due":["required"]}}"#,
                r#"{"status":422,"error":{"message":"Invalid.","errors":{"due":["required"]}}}"#,
            ),
            (
                400,
                json,
                r#"{"due":["This field is required."]}"#,
                r#"{"status":400,"error":{"due":["This field is required."]}}"#,
            ),
            (400, json, r#"["Enter a number."]"#, r#"{"status":400,"error":["Enter a number."]}"#),
            (
                400,
                json,
                r#"{"error":{"code":7,"message":"no"},"request_id":"r"}"#,
                r#"{"status":400,"error":{"error":{"code":7,"message":"no"},"request_id":"r"}}"#,
            ),
            // Text, pages, nothing.
            (400, "text/plain", " due is missing\n", r#"{"status":400,"error":"due is missing"}"#),
            (
                500,
                "text/html",
                "<!doctype html><title>Oops</title><pre>stack</pre>",
                r#"{"status":500,"error":"a page (Oops)"}"#,
            ),
            (
                400,
                "text/html",
                r#"{"message":"due is missing"}"#,
                r#"{"status":400,"error":"due is missing"}"#,
            ),
            (
                400,
                "application/xml",
                "<error>due is missing</error>",
                r#"{"status":400,"error":"<error>due is missing</error>"}"#,
            ),
            (404, json, "", r#"{"status":404,"error":"no reason given"}"#),
            (418, json, "null", r#"{"status":418,"error":null}"#),
        ] {
            assert_eq!(seen(status, media_type, body), expected, "{body}");
        }
    }

    #[test]
    fn a_list_or_an_object_without_end_does_not_cost_the_reason() {
        let list: Vec<Value> = (0..9_999).map(|n| json!({ "loc": n })).collect();
        let mut fields: Map<String, Value> =
            (0..9_999).map(|n| (format!("f{n}"), json!("x"))).collect();
        fields.insert("n".repeat(9_999), json!(1));
        let names = json!({ "n".repeat(9_999): 1, "message": "the reason" });
        fields.insert("message".to_owned(), "the reason".into());
        for body in [json!({ "detail": list, "message": "the reason" }), fields.into(), names] {
            let seen = seen(422, "application/json", &body.to_string());
            assert!(seen.len() < 3_000 && seen.starts_with(r#"{"status":422,"#), "{seen}");
            assert!(seen.contains("the reason") && seen.contains("[cut"), "{seen}");
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
