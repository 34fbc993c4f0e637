//! A model whose stream continues when the test says so.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::watch;

/// The model's answer, with everything that could confuse a parser.
pub(crate) const PIECES: [&str; 4] =
    ["Hallo, ", "zwei\nZeilen\r\n\r\n", "data: kein Feld, 🦘 ", "Ende"];

/// The answer where the message says `[json]`.
pub(crate) const JSON: [&str; 2] = ["{\"sum\"", ":7}"];

/// A model that streams its pieces one by one: after the first it waits until [`Model::go`] is true.
/// It calls a tool first where the message asks for one; where the message asks for that, the first
/// answer breaks off.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) go: watch::Sender<bool>,
    pub(crate) asked: watch::Sender<usize>,
}

impl Model {
    pub(crate) async fn start(go: bool) -> (Self, String) {
        let model = Self { go: watch::Sender::new(go), asked: watch::Sender::new(0) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app =
            Router::new().route("/v1/chat/completions", post(answer)).with_state(model.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (model, url)
    }

    pub(crate) async fn let_go(&self) {
        self.go.send_replace(true);
    }
}

async fn answer(State(model): State<Model>, body: String) -> Response {
    model.asked.send_modify(|asked| *asked += 1);
    let is_first = *model.asked.borrow() == 1;
    let body: Value = serde_json::from_str(&body).unwrap();
    let messages = body["messages"].as_array().unwrap();
    let streams = body["stream"] == true;
    let wants_tools = messages.iter().any(|m| m.to_string().contains("with tools"));
    let has_results = messages.iter().any(|m| m["role"] == "tool");
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 });
    let calls = wants_tools && !has_results;
    let mut go = model.go.subscribe();
    if !streams {
        let _open = go.wait_for(|go| *go).await;
        let message = if calls {
            json!({ "role": "assistant", "content": "I look. ", "tool_calls": tool_calls() })
        } else {
            json!({ "role": "assistant", "content": PIECES.concat() })
        };
        let reason = if calls { "tool_calls" } else { "stop" };
        let body = json!({
            "choices": [{ "index": 0, "finish_reason": reason, "message": message }],
            "usage": usage,
        });
        return Response::new(Body::from(body.to_string()));
    }
    let event = |delta: Value, reason: Value, usage: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": reason }]);
        format!("data: {}\n\n", json!({ "choices": choices, "usage": usage }))
    };
    let mut events = Vec::new();
    if calls {
        events.push(event(json!({ "content": "I look. " }), Value::Null, Value::Null));
        events.push(event(json!({ "tool_calls": tool_calls() }), Value::Null, Value::Null));
        events.push(event(json!({}), json!("tool_calls"), usage));
    } else {
        let is_json = messages.iter().any(|m| m.to_string().contains("[json]"));
        for piece in if is_json { &JSON[..] } else { &PIECES[..] } {
            events.push(event(json!({ "content": piece }), Value::Null, Value::Null));
        }
        events.push(event(json!({}), json!("stop"), usage));
    }
    events.push("data: [DONE]\n\n".to_owned());
    if is_first && messages.iter().any(|m| m.to_string().contains("break off")) {
        events.truncate(2);
    }
    let body = futures::stream::unfold((events.into_iter(), 0), move |(mut events, n)| {
        let mut go = go.clone();
        async move {
            let event = events.next()?;
            if n == 1 {
                let _open = go.wait_for(|go| *go).await;
            }
            Some((Ok::<_, std::io::Error>(event), (events, n + 1)))
        }
    });
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(body))
        .unwrap()
}

fn tool_calls() -> Value {
    json!([
        { "index": 0, "id": "c1", "type": "function",
            "function": { "name": "create_task", "arguments": "{\"title\":\"One\"}" } },
        { "index": 1, "id": "c2", "type": "function",
            "function": { "name": "list_tasks", "arguments": "{}" } },
    ])
}
