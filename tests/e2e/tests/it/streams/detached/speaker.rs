//! A model that says many words, one after the other, as far as the test lets it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

/// How many words an answer has.
pub(super) const WORDS: usize = 24;

/// From this word on, an answer that is asked for again is another one, where the run `drifts`.
const DRIFT: usize = 8;

/// See the module. It knows a run by what follows the last "run " of its message; where the message says
/// `with a tool`, it makes a task first.
#[derive(Debug, Clone)]
pub(super) struct Speaker {
    /// How many words it may say.
    pub(super) upto: watch::Sender<usize>,
    pace: Duration,
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

/// The text of a run's answer.
pub(super) fn answer(run: &str, is_other: bool) -> String {
    (0..WORDS).map(|n| word(run, n, is_other)).collect()
}

fn word(run: &str, n: usize, is_other: bool) -> String {
    let other = if is_other && n >= DRIFT { "*" } else { "" };
    // More bytes than characters, and more UTF-16 units than code points.
    format!("{run}\u{2013}{n}{other}🦘 ")
}

impl Speaker {
    pub(super) async fn start(upto: usize, pace: Duration) -> (Self, String) {
        let speaker = Self { upto: watch::Sender::new(upto), pace, asked: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app =
            Router::new().route("/v1/chat/completions", post(speak)).with_state(speaker.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (speaker, url)
    }

    /// How often a turn of a run was asked for.
    pub(super) fn asked(&self, run: &str, turn: usize) -> usize {
        self.asked.lock().unwrap().get(&format!("{run} {turn}")).copied().unwrap_or_default()
    }
}

async fn speak(State(speaker): State<Speaker>, body: String) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap();
    let messages = body["messages"].as_array().unwrap();
    let user = messages.iter().rfind(|message| message["role"] == "user").unwrap();
    let text = user["content"].as_str().unwrap();
    let run = text.rsplit_once("run ").unwrap().1.trim().to_owned();
    let has_results = messages.iter().any(|message| message["role"] == "tool");
    let (wants_tool, drifts) = (text.contains("with a tool"), text.contains("drifting"));
    let turn = usize::from(has_results);
    let times = {
        let mut asked = speaker.asked.lock().unwrap();
        let times = asked.entry(format!("{run} {turn}")).or_default();
        *times += 1;
        *times
    };
    let event = |delta: Value, reason: Value| {
        let usage = if reason.is_null() {
            Value::Null
        } else {
            json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 })
        };
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": reason }]);
        format!("data: {}\n\n", json!({ "choices": choices, "usage": usage }))
    };
    let mut events = Vec::new();
    if wants_tool && !has_results {
        let arguments = json!({ "title": format!("made by {run}") }).to_string();
        let call = json!([{ "index": 0, "id": "c1", "type": "function",
            "function": { "name": "create_task", "arguments": arguments } }]);
        events.push((0, event(json!({ "content": format!("{run} looks. ") }), Value::Null)));
        events.push((0, event(json!({ "tool_calls": call }), Value::Null)));
        events.push((0, event(json!({}), json!("tool_calls"))));
    } else {
        for n in 0..WORDS {
            let word = word(&run, n, drifts && times > 1);
            events.push((n + 1, event(json!({ "content": word }), Value::Null)));
        }
        events.push((0, event(json!({}), json!("stop"))));
    }
    events.push((0, "data: [DONE]\n\n".to_owned()));
    let upto = speaker.upto.subscribe();
    let all = (events.into_iter(), upto, speaker.pace);
    let body = futures::stream::unfold(all, |(mut events, mut upto, pace)| async move {
        let (needs, event) = events.next()?;
        drop(upto.wait_for(|upto| *upto >= needs).await);
        sleep(pace).await;
        Some((Ok::<_, std::io::Error>(event), (events, upto, pace)))
    });
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(body))
        .unwrap()
}
