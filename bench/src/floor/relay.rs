//! The floor: the same calls, the same JSON, and nothing else.

use std::collections::HashMap;
use std::io::Result;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::load::{LONG, TOOLS};
use super::process::failed;

/// A call as the daemon made it.
struct Call {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Option<Value>,
}

struct Relay {
    http: reqwest::Client,
    upstream: String,
    calls: HashMap<String, Vec<Call>>,
}

type Shared = Arc<Relay>;

pub(crate) async fn serve() -> Result<()> {
    let variable = |name| std::env::var(name).map_err(failed);
    let upstream = variable("UPSTREAM")?;
    let text = std::fs::read_to_string(variable("CALLS")?)?;
    let recorded: HashMap<String, Vec<Value>> = serde_json::from_str(&text).map_err(failed)?;
    let calls = recorded
        .into_iter()
        .map(|(kind, calls)| {
            (kind, calls.iter().filter_map(|call| read(&upstream, call)).collect())
        })
        .collect();
    let http = reqwest::Client::builder().tcp_nodelay(true).build().map_err(failed)?;
    let router = Router::new()
        .route("/api/agents/send", post(send))
        .route("/api/agents/stream", post(stream))
        .route("/v1/chat/completions", post(chat))
        .with_state(Arc::new(Relay { http, upstream, calls }));
    super::listen(router).await
}

fn read(upstream: &str, call: &Value) -> Option<Call> {
    let headers = call["headers"].as_array()?.iter().filter_map(|pair| {
        let name = HeaderName::try_from(pair[0].as_str()?).ok()?;
        Some((name, HeaderValue::from_str(pair[1].as_str()?).ok()?))
    });
    Some(Call {
        method: call["method"].as_str()?.parse().ok()?,
        url: format!("{upstream}{}", call["path"].as_str()?),
        headers: headers.collect(),
        body: Some(call["body"].clone()).filter(|body| !body.is_null()),
    })
}

async fn send(
    State(relay): State<Shared>,
    Json(asked): Json<Value>,
) -> std::result::Result<Json<Value>, StatusCode> {
    let message = asked["message"].as_str().unwrap_or_default();
    let kind = if message.contains(TOOLS) { "tools" } else { "plain" };
    let mut told = Value::Null;
    for call in &relay.calls[kind] {
        let mut request =
            relay.http.request(call.method.clone(), &call.url).headers(call.headers.clone());
        if let Some(body) = &call.body {
            // Each call says something of its own.
            let mut body = body.clone();
            body["user"] = asked["user_id"].clone();
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        let bytes = answer.bytes().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| StatusCode::BAD_GATEWAY)?;
        if let Some(text) = answer["choices"][0]["message"]["content"].as_str() {
            told = json!(text);
        }
    }
    Ok(Json(json!({ "status": "ok", "run_id": "r", "task_id": "t", "response": told,
        "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 } })))
}

/// One model call, forwarded.
async fn chat(
    State(relay): State<Shared>,
    Json(asked): Json<Value>,
) -> std::result::Result<Json<Value>, StatusCode> {
    let url = format!("{}/v1/chat/completions", relay.upstream);
    let answer = relay.http.post(url).json(&asked).send().await;
    let answer = answer.map_err(|_| StatusCode::BAD_GATEWAY)?;
    answer.json().await.map(Json).map_err(|_| StatusCode::BAD_GATEWAY)
}

async fn stream(
    State(relay): State<Shared>,
    Json(_asked): Json<Value>,
) -> std::result::Result<Response, StatusCode> {
    let body =
        json!({ "model": "m", "stream": true, "messages": [{ "role": "user", "content": LONG }] });
    let url = format!("{}/v1/chat/completions", relay.upstream);
    let answer = relay.http.post(url).json(&body).send().await;
    let answer = answer.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let mut rest = Vec::new();
    let events = answer.bytes_stream().map(move |piece| {
        let mut told = String::new();
        rest.extend_from_slice(&piece.map_err(failed)?);
        while let Some(end) = rest.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = rest.drain(..end + 2).collect();
            let data = event.strip_prefix(b"data: ").unwrap_or_default();
            if let Ok(value) = serde_json::from_slice::<Value>(data) {
                if let Some(text) = value["choices"][0]["delta"]["content"].as_str() {
                    told += &format!(
                        "event: chunk\ndata: {}\n\n",
                        json!({ "type": "chunk", "data": text })
                    );
                }
            } else {
                told += "event: done\ndata: {\"type\":\"done\"}\n\n";
            }
        }
        Ok::<_, std::io::Error>(Bytes::from(told))
    });
    let mut response = Response::new(Body::from_stream(events));
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
    Ok(response)
}
