//! Model and backend in one: answers at once, and records its requests.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};

use super::load::{EVENTS, LONG, TOOLS};

/// The requests since the last query.
type Record = Arc<Mutex<Option<Vec<Value>>>>;

pub(crate) async fn serve() -> std::io::Result<()> {
    let record = Record::default();
    let lock = |record: &Record| record.lock().unwrap_or_else(PoisonError::into_inner).take();
    let router = Router::new()
        .route(
            "/record",
            post(async |State(record): State<Record>| {
                *record.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
            }),
        )
        .route(
            "/recorded",
            post(async move |State(record): State<Record>| axum::Json(lock(&record))),
        )
        .fallback(answer)
        .with_state(record);
    super::listen(router).await
}

async fn answer(
    State(record): State<Record>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(calls) = &mut *record.lock().unwrap_or_else(PoisonError::into_inner) {
        let headers: Vec<_> = headers
            .iter()
            .filter(|(name, _)| !["host", "content-length"].contains(&name.as_str()))
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        calls.push(json!({ "method": method.as_str(), "path": uri.to_string(), "headers": headers,
            "body": serde_json::from_slice::<Value>(&body).ok() }));
    }
    if uri.path() == "/v1/chat/completions" {
        return model(&body);
    }
    let task = r#"{"id":"t","title":"T","status":"inbox"}"#;
    let text = match (method.as_str(), uri.path().rsplit('/').next()) {
        ("GET", Some("capabilities")) => r#"{"contract_version":"v1","features":{}}"#.to_owned(),
        ("GET", Some("tasks")) => format!(r#"{{"items":[{task}],"next_cursor":null}}"#),
        (_, Some("standup")) => {
            r#"{"date":"2026-01-01","timezone":"UTC","user_id":"ann"}"#.to_owned()
        }
        (_, Some("tasks")) => task.to_owned(),
        _ => r#"{"id":"m","task_id":"t","content":"x"}"#.to_owned(),
    };
    json_response(text)
}

fn json_response(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

/// How often a text occurs in bytes.
fn count(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).filter(|window| *window == text).count()
}

fn model(body: &[u8]) -> Response {
    let is_stream = count(body, br#""stream":true"#) > 0;
    if is_stream && count(body, LONG.as_bytes()) > 0 {
        return stream();
    }
    let tool = |name: &str, arguments: &str| {
        json!({ "role": "assistant", "content": null, "tool_calls": [{ "index": 0, "id": "c", "type": "function",
            "function": { "name": name, "arguments": arguments } }] })
    };
    let uses_tools = count(body, TOOLS.as_bytes()) > 0;
    let (message, reason) = match (uses_tools, count(body, br#""role":"tool""#)) {
        (true, 0) => (tool("list_tasks", "{}"), "tool_calls"),
        (true, 1) => (tool("create_task", r#"{"title":"Visit the school"}"#), "tool_calls"),
        _ => (json!({ "role": "assistant", "content": "Here is what you asked for." }), "stop"),
    };
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 });
    if is_stream {
        let event = |delta: Value, reason: Value, usage: Value| {
            let choices = json!([{ "index": 0, "delta": delta, "finish_reason": reason }]);
            let event = json!({ "id": "c", "object": "chat.completion.chunk", "choices": choices, "usage": usage });
            format!("data: {event}\n\n")
        };
        let whole = event(message, Value::Null, Value::Null)
            + &event(json!({}), json!(reason), usage)
            + "data: [DONE]\n\n";
        return event_response(Body::from(whole));
    }
    json_response(
        json!({ "id": "c", "object": "chat.completion", "model": "m",
        "choices": [{ "index": 0, "finish_reason": reason, "message": message }],
        "usage": usage })
        .to_string(),
    )
}

fn event_response(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
    response
}

/// The events of a long answer, as fast as the client reads.
fn stream() -> Response {
    let event = |delta: Value, reason: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": reason }]);
        format!(
            "data: {}\n\n",
            json!({ "id": "c", "object": "chat.completion.chunk", "choices": choices })
        )
    };
    let word = Bytes::from(event(json!({ "content": "word " }), Value::Null));
    let last = Bytes::from(event(json!({}), json!("stop")) + "data: [DONE]\n\n");
    let words =
        futures::stream::iter((0..EVENTS).map(move |_| Ok::<_, std::io::Error>(word.clone())));
    let all = futures::StreamExt::chain(words, futures::stream::once(async { Ok(last) }));
    event_response(Body::from_stream(all))
}
