//! An LLM server that speaks OpenAI's chat completions and answers from a queue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The response to one request.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Value,
    /// The request is never answered.
    never: bool,
    /// The body is sent as a stream of chunks.
    streams: bool,
}

impl Reply {
    /// Any status and JSON.
    pub fn json(status: u16, body: Value) -> Self {
        let status = StatusCode::from_u16(status).expect("a status");
        Self { status, headers: Vec::new(), body, never: false, streams: false }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((HeaderName::from_static(name), HeaderValue::from_static(value)));
        self
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Self::json(200, completion(&json!({ "role": "assistant", "content": text }), "stop"))
    }

    /// No answer at all.
    pub fn never() -> Self {
        Self { never: true, ..Self::json(200, Value::Null) }
    }

    /// A text, streamed word by word.
    pub fn sse_text(text: &str) -> Self {
        Self { streams: true, ..Self::text(text) }
    }

    /// Tool calls, streamed.
    pub fn sse_calls(calls: &[(&str, Value)]) -> Self {
        Self { streams: true, ..Self::calls(calls) }
    }

    /// One tool call.
    pub fn call(name: &str, arguments: &Value) -> Self {
        Self::calls(&[(name, arguments.clone())])
    }

    /// Several tool calls at once.
    pub fn calls(calls: &[(&str, Value)]) -> Self {
        let call = |(n, (name, arguments)): (usize, &(&str, Value))| {
            json!({ "id": format!("call_{}", n + 1), "type": "function",
                "function": { "name": name, "arguments": arguments.to_string() } })
        };
        let calls: Vec<_> = calls.iter().enumerate().map(call).collect();
        let message = json!({ "role": "assistant", "content": null, "tool_calls": calls });
        Self::json(200, completion(&message, "tool_calls"))
    }
}

fn completion(message: &Value, finish_reason: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "scripted",
        "choices": [{ "index": 0, "finish_reason": finish_reason, "message": message }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 },
    })
}

#[derive(Debug, Default)]
struct Shared {
    replies: VecDeque<Reply>,
    asked: Vec<Value>,
}

/// The server. It lives as long as the test's runtime.
#[derive(Debug, Clone)]
pub struct ScriptedLlm {
    base_url: String,
    shared: Arc<Mutex<Shared>>,
}

impl ScriptedLlm {
    /// Starts on a free port. The replies are used in order; the last one is repeated.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let shared = Arc::new(Mutex::new(Shared {
            replies: replies.into_iter().collect(),
            asked: Vec::new(),
        }));
        let server = Self { base_url, shared };
        let app =
            Router::new().route("/v1/chat/completions", post(answer)).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    /// The value for `OPENAI_BASE_URL`.
    pub fn base_url(&self) -> String {
        self.base_url.clone()
    }

    /// The bodies of all requests so far.
    pub fn asked(&self) -> Vec<Value> {
        self.shared.lock().expect("no test has failed here").asked.clone()
    }
}

async fn answer(State(server): State<ScriptedLlm>, body: String) -> Response {
    let reply = {
        let mut shared = server.shared.lock().expect("no test has failed here");
        shared.asked.push(serde_json::from_str(&body).unwrap_or_default());
        let has_more = shared.replies.len() > 1;
        if has_more { shared.replies.pop_front() } else { shared.replies.front().cloned() }
    };
    let reply = reply.expect("a reply");
    if reply.never {
        std::future::pending::<()>().await;
    }
    if reply.streams {
        return stream(&reply.body).into_response();
    }
    let mut response = (reply.status, axum::Json(reply.body)).into_response();
    response.headers_mut().extend(reply.headers);
    response
}

/// A complete response as the events of a stream.
fn stream(body: &Value) -> impl IntoResponse {
    let choice = &body["choices"][0];
    let mut delta = choice["message"].clone();
    for (n, call) in delta["tool_calls"].as_array_mut().into_iter().flatten().enumerate() {
        call["index"] = json!(n);
    }
    let piece = |delta: &Value, reason: &Value, usage: &Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": reason }]);
        let chunk =
            json!({ "object": "chat.completion.chunk", "choices": choices, "usage": usage });
        format!("data: {chunk}\n\n")
    };
    let mut events = match delta["content"].as_str() {
        Some(text) => text
            .split_inclusive(' ')
            .map(|word| piece(&json!({ "content": word }), &Value::Null, &Value::Null))
            .collect(),
        None => vec![piece(&delta, &Value::Null, &Value::Null)],
    };
    events.push(piece(&json!({}), &choice["finish_reason"], &body["usage"]));
    events.push("data: [DONE]\n\n".to_owned());
    ([("content-type", "text/event-stream")], events.concat())
}
