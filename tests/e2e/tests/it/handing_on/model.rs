//! A stateless model that plays: the newest message of the user says which part, and the part says what each
//! turn answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;

/// One answer.
#[derive(Debug, Clone)]
pub(super) enum Turn {
    /// It calls these tools.
    Calls(Vec<(&'static str, Value)>),
    /// It says this.
    Says(&'static str),
}

/// A request that came in.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) part: String,
    pub(super) turn: usize,
    pub(super) body: Value,
    pub(super) traceparent: String,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    parts: Arc<Mutex<HashMap<String, Vec<Turn>>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// A part that waits before it answers, while it is named here.
    pub(super) held: watch::Sender<String>,
}

impl Model {
    pub(super) async fn start() -> (Self, String) {
        let model =
            Self { parts: Arc::default(), asked: Arc::default(), held: watch::Sender::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app =
            Router::new().route("/v1/chat/completions", post(answer)).with_state(model.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (model, url)
    }

    /// What a part answers, turn by turn.
    pub(super) fn plays(&self, part: &str, turns: Vec<Turn>) {
        self.parts.lock().unwrap().insert(part.to_owned(), turns);
    }

    /// The requests for a part.
    pub(super) fn asked(&self, part: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.part == part).cloned().collect()
    }

    /// How often a turn of a part was asked for.
    pub(super) fn bought(&self, part: &str, turn: usize) -> usize {
        self.asked(part).iter().filter(|asked| asked.turn == turn).count()
    }

    /// The results of tools in the newest request for a part.
    pub(super) fn told(&self, part: &str) -> Vec<String> {
        let asked = self.asked(part);
        let messages = asked.last().unwrap().body["messages"].as_array().unwrap().clone();
        let results = messages.iter().filter(|message| message["role"] == "tool");
        results.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
    }
}

async fn answer(
    State(model): State<Model>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Json<Value> {
    let messages = body["messages"].as_array().unwrap();
    // A request to sum up names no part.
    let is_part = |message: &Value| {
        let text = message["content"].as_str().unwrap_or_default();
        message["role"] == "user" && text.contains("play ")
    };
    let user = messages.iter().rposition(is_part).unwrap();
    let text = messages[user]["content"].as_str().unwrap();
    let part = text.rsplit_once("play ").map_or("", |(_, rest)| rest);
    let is_name = |c: char| c.is_alphanumeric() || c == '-';
    let part = part.split(|c: char| !is_name(c)).next().unwrap().to_owned();
    let turn = messages[user..].iter().filter(|message| message["role"] == "assistant").count();
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    let traceparent = traceparent.unwrap_or_default().to_owned();
    let asked = Asked { part: part.clone(), turn, body: body.clone(), traceparent };
    model.asked.lock().unwrap().push(asked);
    let mut held = model.held.subscribe();
    let _never_closed = held.wait_for(|held| *held != part).await;
    let turns = model.parts.lock().unwrap().get(&part).cloned().unwrap_or_default();
    let (message, reason) = match turns.get(turn) {
        Some(Turn::Calls(calls)) => {
            let call = |(n, (name, arguments)): (usize, &(&str, Value))| {
                json!({ "id": format!("c{turn}-{n}"), "type": "function",
                    "function": { "name": name, "arguments": arguments.to_string() } })
            };
            let calls: Vec<_> = calls.iter().enumerate().map(call).collect();
            (json!({ "role": "assistant", "content": null, "tool_calls": calls }), "tool_calls")
        }
        Some(Turn::Says(text)) => (json!({ "role": "assistant", "content": text }), "stop"),
        None => {
            let text = format!("{part} has no turn {turn}");
            (json!({ "role": "assistant", "content": text }), "stop")
        }
    };
    Json(json!({
        "id": "c", "object": "chat.completion", "model": "gpt-4o-mini",
        "choices": [{ "index": 0, "finish_reason": reason, "message": message }],
        "usage": { "prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100 },
    }))
}
