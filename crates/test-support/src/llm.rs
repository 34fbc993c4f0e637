//! An LLM server that speaks OpenAI's chat completions and answers from a queue. It refuses what OpenAI
//! refuses ([`crate::strict`]).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::strict::{self, Call, Profile, Refusal};

/// The response to one request.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Value,
    /// The request is never answered.
    never: bool,
}

impl Reply {
    /// Any status and JSON.
    pub fn json(status: u16, body: Value) -> Self {
        let status = StatusCode::from_u16(status).expect("a status");
        Self { status, headers: Vec::new(), body, never: false }
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

    /// A text, streamed word by word. (As any text is, where the request asks for a stream.)
    pub fn sse_text(text: &str) -> Self {
        Self::text(text)
    }

    /// Tool calls, streamed.
    pub fn sse_calls(calls: &[(&str, Value)]) -> Self {
        Self::calls(calls)
    }

    /// Whether it can be streamed: errors and other bodies go out as they are.
    fn is_completion(&self) -> bool {
        self.status.is_success() && self.body.pointer("/choices/0/message").is_some()
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
    refusals: Vec<Refusal>,
}

/// The server. It lives as long as the test's runtime; a test that drops it fails if requests were
/// refused that the test did not [take](Self::refusals).
#[derive(Debug, Clone)]
pub struct ScriptedLlm {
    base_url: String,
    held: Arc<Held>,
}

/// What the test holds of the server.
#[derive(Debug)]
struct Held(Arc<Mutex<Shared>>);

impl Drop for Held {
    fn drop(&mut self) {
        let refusals = std::mem::take(&mut lock(&self.0).refusals);
        let seen = std::thread::panicking() || refusals.is_empty();
        assert!(seen, "requests that OpenAI refuses: {refusals:#?}");
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptedLlm {
    /// Starts on a free port. The replies are used in order; the last one is repeated.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let replies = replies.into_iter().collect();
        let shared = Arc::new(Mutex::new(Shared { replies, ..Shared::default() }));
        let app = Router::new()
            .route("/v1/chat/completions", post(answer))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base_url, held: Arc::new(Held(shared)) }
    }

    /// Replaces the replies that are left, for a test that scripts what follows from what was asked.
    pub fn say(&self, replies: impl IntoIterator<Item = Reply>) {
        lock(&self.held.0).replies = replies.into_iter().collect();
    }

    /// The value for `OPENAI_BASE_URL`.
    pub fn base_url(&self) -> String {
        self.base_url.clone()
    }

    /// The bodies of all requests so far.
    pub fn asked(&self) -> Vec<Value> {
        lock(&self.held.0).asked.clone()
    }

    /// Takes the refusals so far, so that they do not fail the test.
    pub fn refusals(&self) -> Vec<Refusal> {
        std::mem::take(&mut lock(&self.held.0).refusals)
    }
}

async fn answer(
    State(shared): State<Arc<Mutex<Shared>>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let call = Call {
        profile: Profile::OpenAi,
        path: uri.path(),
        headers: &headers,
        body: &body,
        needs_key: false,
        sent: &[],
    };
    let checked = strict::check(&call);
    let streams = body["stream"] == true;
    let reply = {
        let mut shared = lock(&shared);
        shared.asked.push(body);
        if let Err(refusal) = checked {
            let status = StatusCode::from_u16(refusal.status).expect("a status");
            let response = (status, axum::Json(refusal.body.clone())).into_response();
            shared.refusals.push(refusal);
            return response;
        }
        let has_more = shared.replies.len() > 1;
        if has_more { shared.replies.pop_front() } else { shared.replies.front().cloned() }
    };
    let reply = reply.expect("a reply");
    if reply.never {
        std::future::pending::<()>().await;
    }
    let mut response = if streams && reply.is_completion() {
        stream(&reply.body).into_response()
    } else {
        (reply.status, axum::Json(reply.body)).into_response()
    };
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
        let chunk = json!({ "id": body["id"], "object": "chat.completion.chunk", "choices": choices,
            "usage": usage });
        format!("data: {chunk}\n\n")
    };
    let mut events: Vec<_> = match delta["content"].as_str() {
        Some(text) => text
            .split_inclusive(' ')
            .map(|word| piece(&json!({ "content": word }), &Value::Null, &Value::Null))
            .collect(),
        None => vec![piece(&delta, &Value::Null, &Value::Null)],
    };
    // Calls come behind the words.
    if delta["content"].is_string() && delta["tool_calls"].is_array() {
        let calls = json!({ "tool_calls": delta["tool_calls"] });
        events.push(piece(&calls, &Value::Null, &Value::Null));
    }
    events.push(piece(&json!({}), &choice["finish_reason"], &body["usage"]));
    events.push("data: [DONE]\n\n".to_owned());
    ([("content-type", "text/event-stream")], events.concat())
}
