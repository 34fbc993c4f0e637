//! Providers as the tests see them: what a request said in each protocol, and an answer in it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use llm::model::Provider;
use llm::request::{AssistantMessage, LlmRequest, Message, ToolCall, ToolSpec};
use llm::{CallContext, LlmClient, OpenAiApi};
use serde_json::{Value, json};

use crate::server::{client, request, settings};

/// A provider with a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Peer {
    pub(super) provider: Provider,
    pub(super) model: &'static str,
    pub(super) api: OpenAiApi,
}

pub(super) const OPENAI: Peer = chat(Provider::OpenAi, "gpt-4o-mini");
pub(super) const ANTHROPIC: Peer = chat(Provider::Anthropic, "claude-sonnet-4-5");
pub(super) const GOOGLE: Peer = chat(Provider::Google, "gemini-2.5-flash");

/// One of each kind.
pub(super) const PEERS: [Peer; 10] = [
    OPENAI,
    Peer { api: OpenAiApi::Responses, ..OPENAI },
    ANTHROPIC,
    GOOGLE,
    chat(Provider::Xai, "grok-4"),
    chat(Provider::Groq, "llama-3.3-70b-versatile"),
    chat(Provider::Mistral, "mistral-large-latest"),
    chat(Provider::OpenRouter, "google/gemini-2.5-pro"),
    chat(Provider::OpenRouter, "meta-llama/llama-3.3-70b-instruct"),
    chat(Provider::Ollama, "qwen3"),
];

const fn chat(provider: Provider, model: &'static str) -> Peer {
    Peer { provider, model, api: OpenAiApi::Chat }
}

/// A tool as it was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) name: String,
    pub(super) description: String,
    /// `None` where it was sent without arguments.
    pub(super) schema: Option<Value>,
}

/// What a model calls: a tool's name and arguments.
pub(super) type Call = (String, Value);

impl Peer {
    fn is_responses(self) -> bool {
        self.provider == Provider::OpenAi && self.api == OpenAiApi::Responses
    }

    /// The tools in a request.
    pub(super) fn tools(self, body: &Value) -> Vec<Sent> {
        let (list, fields) = match self.provider {
            Provider::Google => (
                &body["tools"][0]["functionDeclarations"],
                ["", "/name", "/description", "/parameters"],
            ),
            Provider::Anthropic => (&body["tools"], ["", "/name", "/description", "/input_schema"]),
            _ if self.is_responses() => {
                (&body["tools"], ["", "/name", "/description", "/parameters"])
            }
            _ => (
                &body["tools"],
                ["", "/function/name", "/function/description", "/function/parameters"],
            ),
        };
        let text = |tool: &Value, at: &str| tool.pointer(at).unwrap().as_str().unwrap().to_owned();
        let tools = list.as_array().into_iter().flatten().map(|tool| Sent {
            name: text(tool, fields[1]),
            description: text(tool, fields[2]),
            schema: tool.pointer(fields[3]).cloned(),
        });
        tools.collect()
    }

    /// The calls of earlier turns in a request.
    pub(super) fn history(self, body: &Value) -> Vec<Call> {
        let call = |call: &Value, name: &str, arguments: &str| {
            let arguments = match &call[arguments] {
                Value::String(text) => serde_json::from_str(text).unwrap(),
                other => other.clone(),
            };
            (call[name].as_str().unwrap().to_owned(), arguments)
        };
        let turns = ["messages", "contents", "input"].map(|name| body[name].as_array().cloned());
        let mut calls = Vec::new();
        for turn in turns.into_iter().flatten().flatten() {
            for made in turn["tool_calls"].as_array().into_iter().flatten() {
                calls.push(call(&made["function"], "name", "arguments"));
            }
            for part in turn["parts"].as_array().into_iter().flatten() {
                calls.extend(part.get("functionCall").map(|made| call(made, "name", "args")));
            }
            for block in turn["content"].as_array().into_iter().flatten() {
                if block["type"] == "tool_use" {
                    calls.push(call(block, "name", "input"));
                }
            }
            if turn["type"] == "function_call" {
                calls.push(call(&turn, "name", "arguments"));
            }
        }
        calls
    }

    fn says(self) -> Value {
        match self.provider {
            Provider::Google => json!({ "candidates": [{ "finishReason": "STOP", "content": {
                "role": "model", "parts": [{ "text": "Hello" }] } }] }),
            Provider::Anthropic => json!({
                "type": "message", "role": "assistant", "stop_reason": "end_turn",
                "content": [{ "type": "text", "text": "Hello" }],
                "usage": { "input_tokens": 1, "output_tokens": 1 },
            }),
            _ if self.is_responses() => json!({
                "id": "r", "object": "response", "status": "completed",
                "output": [{ "type": "message", "role": "assistant",
                    "content": [{ "type": "output_text", "text": "Hello" }] }],
            }),
            _ => json!({ "choices": [{ "index": 0, "finish_reason": "stop",
                "message": { "role": "assistant", "content": "Hello" } }] }),
        }
    }

    /// An answer that makes these calls, or says something where there are none.
    fn answer(self, calls: &[Call]) -> Value {
        if calls.is_empty() {
            return self.says();
        }
        let each = |write: &dyn Fn(&str, &Value, String) -> Value| -> Value {
            let numbered = calls.iter().enumerate();
            numbered
                .map(|(n, (name, arguments))| write(name, arguments, format!("call{n:05}")))
                .collect()
        };
        match self.provider {
            Provider::Google => json!({ "candidates": [{ "finishReason": "STOP", "content": {
                "role": "model",
                "parts": each(&|name, args, _| json!({ "functionCall": { "name": name, "args": args } })),
            } }] }),
            Provider::Anthropic => json!({
                "type": "message", "role": "assistant",
                "stop_reason": if calls.is_empty() { "end_turn" } else { "tool_use" },
                "content": each(&|name, input, id| {
                    json!({ "type": "tool_use", "id": id, "name": name, "input": input })
                }),
                "usage": { "input_tokens": 1, "output_tokens": 1 },
            }),
            _ if self.is_responses() => json!({
                "id": "r", "object": "response", "status": "completed",
                "output": each(&|name, arguments, id| json!({
                    "type": "function_call", "call_id": id, "name": name,
                    "arguments": arguments.to_string(),
                })),
            }),
            _ if calls.is_empty() => json!({ "choices": [{ "index": 0, "finish_reason": "stop",
                "message": { "role": "assistant", "content": "Hello" } }] }),
            _ => json!({ "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": null,
                "tool_calls": each(&|name, arguments, id| json!({
                    "id": id, "type": "function",
                    "function": { "name": name, "arguments": arguments.to_string() },
                })),
            } }] }),
        }
    }
}

/// A server of any provider: its answer can be changed, and the last request be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage {
    url: String,
    shared: Arc<Mutex<(Value, Value)>>,
    /// One per provider: making one is slow.
    clients: Arc<Mutex<Vec<(Peer, LlmClient)>>>,
}

impl Stage {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stage =
            Self { url: format!("http://{}", listener.local_addr().unwrap()), ..Self::default() };
        let reply = async |State(stage): State<Self>, body: String| {
            let mut shared = stage.shared.lock().unwrap();
            shared.1 = serde_json::from_str(&body).unwrap();
            axum::Json(shared.0.clone())
        };
        let app = Router::new().fallback(reply).with_state(stage.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        stage
    }

    pub(super) fn client(&self, peer: Peer) -> LlmClient {
        let mut clients = self.clients.lock().unwrap();
        if let Some((_, known)) = clients.iter().find(|(known, _)| *known == peer) {
            return known.clone();
        }
        let mut settings = settings(peer.provider, peer.model, &self.url);
        settings.openai_api = peer.api;
        clients.push((peer, client(settings)));
        clients[clients.len() - 1].1.clone()
    }

    /// Sends these tools and a history of these calls; the model makes `calls`. Returns the request as
    /// it came, and the calls as the caller gets them.
    pub(super) async fn turn(
        &self,
        peer: Peer,
        tools: &[ToolSpec],
        history: &[Call],
        calls: &[Call],
    ) -> (Value, Vec<Call>) {
        let client = self.client(peer);
        let request = with_history(&client, tools, history);
        self.shared.lock().unwrap().0 = peer.answer(calls);
        let answer = client.complete(&request, &CallContext::default()).await.unwrap();
        let made = answer.message.tool_calls.into_iter().map(|call| (call.name, call.arguments));
        (self.shared.lock().unwrap().1.clone(), made.collect())
    }
}

fn with_history(client: &LlmClient, tools: &[ToolSpec], history: &[Call]) -> LlmRequest {
    let mut request = request(client, vec![Message::user("Hello")]);
    request.tools = tools.to_vec().into();
    if history.is_empty() {
        return request;
    }
    let id = |n: usize| format!("past{n:05}");
    let calls = history.iter().enumerate().map(|(n, (name, arguments))| ToolCall {
        id: id(n),
        name: name.clone(),
        arguments: arguments.clone(),
        provider_state: None,
    });
    request.messages.push(Message::Assistant(AssistantMessage {
        tool_calls: calls.collect(),
        ..AssistantMessage::default()
    }));
    let results =
        history.iter().enumerate().map(|(n, (name, _))| Message::tool(id(n), name.clone(), "done"));
    request.messages.extend(results);
    request
}
