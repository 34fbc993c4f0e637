//! A daemon inside the test's process, with wiremock as its model and its backend.

use std::path::PathBuf;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use service::settings::Layers;
use tempfile::TempDir;
use test_support::strict::{self, Call, Profile, Refusal};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};
use wombat_daemon::settings::Settings;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const MC: &str = "/api/mission-control";

/// The role of [`message`], without any rule.
pub(crate) const ROLES: &str = r#"{"agents": [{"role": "scout"}]}"#;

pub(crate) struct Daemon {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) task: JoinHandle<Result<(), wombat_daemon::ServeError>>,
    pub(crate) shutdown: CancellationToken,
    _stop: DropGuard,
}

pub(crate) struct World {
    pub(crate) daemon: Daemon,
    pub(crate) backend: MockServer,
    pub(crate) llm: MockServer,
    pub(crate) dir: TempDir,
}

impl World {
    /// A daemon with a workspace that only declares the role of [`message`], a backend without optional features that stores everything,
    /// and a model without answers yet.
    pub(crate) async fn new() -> Self {
        Self::with(&[], json!({})).await
    }

    pub(crate) async fn with(settings: &[(&str, &str)], features: Value) -> Self {
        let (backend, llm) = (MockServer::start().await, MockServer::start().await);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("agent-config.json"), ROLES).unwrap();
        let capabilities = json!({ "contract_version": "v1", "features": features });
        answer(&backend, "GET", "/capabilities", 200, capabilities).await;
        refuse(&llm).await;
        let world = Self {
            daemon: Daemon::start(settings, &backend.uri(), &llm.uri(), dir.path().into()).await,
            backend,
            llm,
            dir,
        };
        world.backend_stores().await;
        world
    }

    /// Default answers, at the lowest priority: mocks of a test take precedence.
    async fn backend_stores(&self) {
        for (verb, at, body) in [
            ("GET", "/tasks", json!({ "items": [] })),
            ("POST", "/tasks", json!({ "id": "t-new", "title": "Any" })),
            ("POST", "/messages", json!({ "id": "m1", "task_id": "t1", "content": "stored" })),
            ("POST", "/documents", json!({ "id": "d1", "title": "x" })),
        ] {
            Mock::given(method(verb))
                .and(path(format!("{MC}{at}")))
                .respond_with(move |request: &Request| {
                    let mut body = body.clone();
                    if let Ok(Value::Object(sent)) = serde_json::from_slice(&request.body) {
                        body.as_object_mut().unwrap().extend(sent);
                    }
                    ResponseTemplate::new(200).set_body_json(body)
                })
                .with_priority(200)
                .mount(&self.backend)
                .await;
        }
    }

    /// The next answers of the model, in order; the last one repeats.
    pub(crate) async fn model(&self, answers: Vec<ResponseTemplate>) {
        let last = answers.len() - 1;
        for (i, answer) in answers.into_iter().enumerate() {
            let mock =
                Mock::given(method("POST")).and(path("/v1/chat/completions")).respond_with(answer);
            let mock = mock.with_priority(u8::try_from(i).unwrap() + 1);
            let mock = if i < last { mock.up_to_n_times(1) } else { mock };
            mock.mount(&self.llm).await;
        }
    }

    pub(crate) async fn backend_says(&self, verb: &str, at: &str, status: u16, body: Value) {
        answer(&self.backend, verb, at, status, body).await;
    }

    /// One answer before the others.
    pub(crate) async fn backend_says_once(&self, verb: &str, at: &str, status: u16) {
        Mock::given(method(verb))
            .and(path(format!("{MC}{at}")))
            .respond_with(ResponseTemplate::new(status).set_body_json(json!({ "error": "once" })))
            .up_to_n_times(1)
            .with_priority(1)
            .mount(&self.backend)
            .await;
    }

    /// The requests that the backend received at a path of the contract.
    pub(crate) async fn backend_got(&self, verb: &str, at: &str) -> Vec<Request> {
        let requests = self.backend.received_requests().await.unwrap();
        let wanted = |r: &Request| r.method.as_str() == verb && r.url.path() == format!("{MC}{at}");
        requests.into_iter().filter(wanted).collect()
    }

    pub(crate) async fn model_got(&self) -> Vec<Value> {
        let requests = self.llm.received_requests().await.unwrap();
        requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

pub(crate) async fn answer(server: &MockServer, verb: &str, at: &str, status: u16, body: Value) {
    Mock::given(method(verb))
        .and(path(format!("{MC}{at}")))
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .with_priority(10)
        .mount(server)
        .await;
}

/// Makes the model's server refuse what OpenAI refuses; a test in which it had to fails.
async fn refuse(llm: &MockServer) {
    Mock::given(method("POST"))
        .and(|request: &Request| refusal(request).is_some())
        .respond_with(|request: &Request| {
            let refusal = refusal(request).unwrap();
            ResponseTemplate::new(refusal.status).set_body_json(refusal.body)
        })
        .with_priority(1)
        .expect(0)
        .named("requests that OpenAI refuses")
        .mount(llm)
        .await;
}

fn refusal(request: &Request) -> Option<Refusal> {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let call = Call {
        profile: Profile::OpenAi,
        path: request.url.path(),
        headers: &request.headers,
        body: &body,
        needs_key: true,
        sent: &[],
    };
    strict::check(&call).err()
}

impl Daemon {
    pub(crate) async fn start(
        settings: &[(&str, &str)],
        backend: &str,
        llm: &str,
        workspace: PathBuf,
    ) -> Self {
        let mut pairs = vec![
            ("AGENT_JWT_SECRET".to_owned(), SECRET.to_owned()),
            ("BACKEND_URL".to_owned(), backend.to_owned()),
            ("OPENAI_BASE_URL".to_owned(), format!("{llm}/v1")),
            ("OPENAI_API_KEY".to_owned(), "sk-canary".to_owned()),
            ("WOMBAT_WORKSPACE".to_owned(), workspace.display().to_string()),
            ("WOMBAT_THREADS".to_owned(), "2".to_owned()),
            ("WOMBAT_RETRY_DELAY_MS".to_owned(), "1".to_owned()),
            ("WOMBAT_RETRY_MAX_DELAY_MS".to_owned(), "5".to_owned()),
        ];
        pairs.extend(settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        let settings = Settings::read(&Layers::from_pairs(pairs)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(wombat_daemon::serve(listener, settings, shutdown.clone()));
        let _stop = shutdown.clone().drop_guard();
        Self { url, http: reqwest::Client::new(), task, shutdown, _stop }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).json(body)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    /// Waits until the prompt contains a text: edits are picked up within a second.
    pub(crate) async fn reloaded(&self, text: &str) {
        let holds = |context: &Value| context["systemPrompt"].as_str().unwrap().contains(text);
        self.until("/context?role=scout&full=true", holds).await;
    }

    /// Waits until an answer satisfies the condition.
    pub(crate) async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(15);
        loop {
            let answer: Value = self.get(path).await.json().await.unwrap();
            if is_so(&answer) {
                return answer;
            }
            assert!(std::time::Instant::now() < deadline, "{path}: {answer}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn send(&self, body: &Value) -> (u16, Value) {
        let response = self.post("/api/agents/send", body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

/// A body with the required fields; `more` overrides them.
pub(crate) fn message(more: Value) -> Value {
    let mut body = json!({
        "user_id": "u1", "session_key": "user:u1:scout", "message": "hello", "task_id": "t1"
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// An answer of the model with text.
pub(crate) fn says(text: &str) -> ResponseTemplate {
    completion(json!({ "role": "assistant", "content": text }), "stop")
}

/// An answer of the model with tool calls.
pub(crate) fn calls(calls: &[(&str, Value)]) -> ResponseTemplate {
    let calls: Vec<_> = calls
        .iter()
        .enumerate()
        .map(|(i, (name, arguments))| {
            json!({ "id": format!("call_{i}"), "type": "function",
                "function": { "name": name, "arguments": arguments.to_string() } })
        })
        .collect();
    completion(json!({ "role": "assistant", "content": null, "tool_calls": calls }), "tool_calls")
}

pub(crate) fn completion(message: Value, finish_reason: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
        "choices": [{ "index": 0, "message": message, "finish_reason": finish_reason }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110,
            "prompt_tokens_details": { "cached_tokens": 40 } }
    }))
}

/// An error of the model's server.
pub(crate) fn refuses(status: u16, code: &str, text: &str) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .set_body_json(json!({ "error": { "message": text, "type": code, "code": code } }))
}
