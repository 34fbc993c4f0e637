//! A server for each protocol that refuses what the real provider refuses, and answers from a queue.

mod write;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::strict::{self, Call, Profile, Refusal};

/// What a model answers, in no protocol's form.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    text: String,
    calls: Vec<(String, Value)>,
    thought: Option<String>,
    /// The calls are made as long as the server shows tools to the model; then comes the text.
    stubborn: bool,
    /// Sent as it is, with this status, instead of an answer.
    raw: Option<(u16, Value)>,
}

impl Answer {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Tool calls.
    pub fn calls(calls: &[(&str, Value)]) -> Self {
        let calls = calls.iter().map(|(name, arguments)| ((*name).to_owned(), arguments.clone()));
        Self { calls: calls.collect(), ..Self::default() }
    }

    /// One tool call.
    pub fn call(name: &str, arguments: Value) -> Self {
        Self::calls(&[(name, arguments)])
    }

    /// With a thought before it, signed where the protocol signs thoughts.
    #[must_use]
    pub fn thinking(mut self, thought: &str) -> Self {
        self.thought = Some(thought.to_owned());
        self
    }

    /// A model that calls tools as long as it is shown some, and else writes the text. `tool_choice:
    /// none` keeps it from that at servers that heed it; Ollama ignores it, Groq refuses the answer.
    #[must_use]
    pub fn or_else(mut self, text: &str) -> Self {
        text.clone_into(&mut self.text);
        self.stubborn = true;
        self
    }

    /// Any status and JSON.
    pub fn raw(status: u16, body: Value) -> Self {
        Self { raw: Some((status, body)), ..Self::default() }
    }

    /// The answer to a request: the text or the calls of a model that does both.
    fn settled(mut self, profile: Profile, request: &Value) -> Result<Self, Refusal> {
        if !self.stubborn {
            return Ok(self);
        }
        let shown =
            request.get("tools").is_some_and(|tools| !tools.as_array().is_none_or(Vec::is_empty));
        let config = request.pointer("/toolConfig/functionCallingConfig/mode");
        let none = request["tool_choice"] == "none"
            || request["tool_choice"]["type"] == "none"
            || config.is_some_and(|mode| mode == "NONE");
        match profile {
            Profile::Groq if shown && none => {
                let message = "Tool choice is none, but model called a tool";
                let body = json!({ "error": { "message": message, "type": "invalid_request_error",
                    "code": "tool_use_failed", "failed_generation": "{}" } });
                let (rule, message) = ("no calls where none may be made", message.to_owned());
                Err(Refusal { rule, message, status: 400, body })
            }
            _ if shown && (!none || profile == Profile::Ollama) => {
                self.text.clear();
                Ok(self)
            }
            _ => {
                self.calls.clear();
                Ok(self)
            }
        }
    }
}

/// A tool that a request shows to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// What it is said to do.
    pub description: String,
    /// The names of its arguments, in order.
    pub arguments: Vec<String>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Value,
}

#[derive(Debug, Default)]
struct Shared {
    answers: VecDeque<Answer>,
    asked: Vec<Asked>,
    /// The turns that were sent, in the protocol's form.
    sent: Vec<Value>,
    refusals: Vec<Refusal>,
}

/// The server. It lives as long as the test's runtime; a test that drops it without looking at the
/// [refusals](Self::refusals) fails if there are any.
#[derive(Debug)]
pub struct StrictLlm {
    profile: Profile,
    url: String,
    shared: Arc<Mutex<Shared>>,
}

impl StrictLlm {
    /// Starts on a free port. The answers are used in order; the last one is repeated.
    pub async fn start(profile: Profile, answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answers = answers.into_iter().collect();
        let shared = Arc::new(Mutex::new(Shared { answers, ..Shared::default() }));
        let app = Router::new().fallback(answer).with_state((profile, Arc::clone(&shared)));
        let app = app.layer(DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { profile, url, shared }
    }

    /// The base address as the settings take it: for Chat Completions and Responses it ends in `/v1`.
    pub fn base_url(&self) -> String {
        match self.profile {
            Profile::Anthropic | Profile::Gemini => self.url.clone(),
            _ => format!("{}/v1", self.url),
        }
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared).asked.clone()
    }

    /// The number of requests so far.
    pub fn asked_so_far(&self) -> usize {
        lock(&self.shared).asked.len()
    }

    /// The tools of the newest request.
    pub fn shown(&self) -> Vec<Shown> {
        let shared = lock(&self.shared);
        let Some(asked) = shared.asked.last() else { return Vec::new() };
        strict::tools(self.profile, &asked.body)
            .into_iter()
            .map(|(name, description, parameters)| Shown {
                name: name.to_owned(),
                description: description.to_owned(),
                arguments: parameters["properties"]
                    .as_object()
                    .map_or_else(Vec::new, |all| all.keys().cloned().collect()),
            })
            .collect()
    }

    /// The images and documents of the newest request.
    pub fn media(&self) -> Vec<strict::Sent> {
        let shared = lock(&self.shared);
        shared.asked.last().map_or_else(Vec::new, |asked| strict::media(self.profile, &asked.body))
    }

    /// Takes the refusals so far, so that they do not fail the test.
    pub fn refusals(&self) -> Vec<Refusal> {
        std::mem::take(&mut lock(&self.shared).refusals)
    }

    /// Begins a new conversation, with these answers.
    pub fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut shared = lock(&self.shared);
        shared.answers = answers.into_iter().collect();
        shared.sent.clear();
    }
}

impl Drop for StrictLlm {
    fn drop(&mut self) {
        let refusals = self.refusals();
        let seen = std::thread::panicking() || refusals.is_empty();
        assert!(seen, "{} refused requests: {refusals:#?}", self.profile.name());
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn answer(
    State((profile, shared)): State<(Profile, Arc<Mutex<Shared>>)>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let mut shared = lock(&shared);
    let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let call = Call {
        profile,
        path: &path,
        headers: &headers,
        body: &body,
        needs_key: true,
        sent: &shared.sent,
    };
    let checked = strict::check(&call);
    let n = shared.asked.len();
    shared.asked.push(Asked { path: path.clone(), headers, body: body.clone() });
    if let Err(refusal) = checked {
        shared.refusals.push(refusal.clone());
        return refused(&refusal);
    }
    let has_more = shared.answers.len() > 1;
    let next = if has_more { shared.answers.pop_front() } else { shared.answers.front().cloned() };
    let next = next.expect("an answer");
    if let Some((status, body)) = next.raw {
        let status = StatusCode::from_u16(status).expect("a status");
        return (status, axum::Json(body)).into_response();
    }
    match next.settled(profile, &body) {
        Ok(settled) => {
            let written = write::answer(profile, &settled, n);
            shared.sent.push(written.sent);
            ([("content-type", "text/event-stream")], written.events).into_response()
        }
        // The model's fault, not the request's.
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).expect("a status");
    (status, axum::Json(refusal.body.clone())).into_response()
}
