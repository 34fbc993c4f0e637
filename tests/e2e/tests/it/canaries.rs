//! No secret appears in any output: the logs of all programs at level `trace`, responses, traces with
//! all content, prompts, stored objects. And every log line of a run carries its ids.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::program::Program;
use test_support::stack::{Stack, StackOptions};
use test_support::wait_for;
use tokio::net::TcpListener;

use crate::otel::Collector;

const MODEL_KEY: &str = "sk-canary-0d5c1f4b7a";
const METRICS_TOKEN: &str = "canary-metrics-51f0c2";
const BOARD_PASSWORD: &str = "canary-board-7c11d9";
const OTEL_HEADER: &str = "canary-otel-93ab44";
const WEBHOOK_SECRET: &str = "whsec_Y2FuYXJ5LXdlYmhvb2stMTIzNDU2Nzg5MA==";
const SHOUTED: &str = "canary-proxy-password-11";

/// All collected output, with its origin.
#[derive(Default)]
struct Read(Vec<(String, String)>);

impl Read {
    fn take(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into()));
    }

    /// Fails when it contains a secret or an agent token.
    fn holds_none_of(&self, secrets: &[&str]) {
        for (place, text) in &self.0 {
            for secret in secrets {
                if let Some(at) = text.find(secret) {
                    let from = text[..at].rfind('\n').map_or(0, |line| line + 1);
                    panic!("{place} holds {secret}: {:.400}", &text[from..]);
                }
            }
            if let Some(at) = text.find("eyJ0eXAi").or_else(|| text.find("eyJhbGci")) {
                let from = text[..at].rfind('\n').map_or(0, |line| line + 1);
                panic!("{place} holds an agent token: {:.600}", &text[from..]);
            }
        }
    }
}

/// Forwards everything to the backend, except `/api/mirror`, which echoes the request.
async fn with_a_mirror(backend: &str) -> String {
    #[derive(Clone)]
    struct Front(String, reqwest::Client);
    async fn pass(
        State(front): State<Front>,
        request: axum::extract::Request,
    ) -> axum::response::Response {
        use axum::response::IntoResponse as _;
        let (parts, body) = request.into_parts();
        if parts.uri.path() == "/api/mirror" {
            let said = format!("{:?}", parts.headers);
            let token = parts.headers["x-agent-token"].to_str().unwrap().to_owned();
            return (
                axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                axum::Json(json!({
                "error": format!("{token} twice {token}"), "details": { "headers": said } })),
            )
                .into_response();
        }
        let body = axum::body::to_bytes(body, 10_000_000).await.unwrap();
        let url = format!("{}{}", front.0, parts.uri);
        let answer = front.1.request(parts.method, url).headers(parts.headers).body(body).send();
        let Ok(answer) = answer.await else {
            return axum::http::StatusCode::BAD_GATEWAY.into_response();
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = axum::body::Body::from_stream(answer.bytes_stream());
        (status, headers, body).into_response()
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(pass);
    let router = router.with_state(Front(backend.to_owned(), reqwest::Client::new()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn workspace() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let skill = dir.path().join("workspace/skills/mirror");
    std::fs::create_dir_all(&skill).unwrap();
    std::fs::create_dir(dir.path().join("config")).unwrap();
    let text = "---\nname: mirror\ndescription: Looks into the mirror.\n---\n```http\nGET /api/mirror\n```\n";
    std::fs::write(skill.join("SKILL.md"), text).unwrap();
    std::fs::write(dir.path().join("workspace/HEARTBEAT.md"), "- Look after the tasks.\n").unwrap();
    let config = json!({ "agents": [{ "role": "scout", "heartbeat_cron": "0 0 1 1 *" }] });
    std::fs::write(dir.path().join("config/agent-config.json"), config.to_string()).unwrap();
    dir
}

/// A webhook receiver, with all that it received.
async fn receiver() -> (String, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let keep = Arc::clone(&told);
    let take = async move |headers: HeaderMap, body: String| {
        keep.lock().unwrap().push(format!("{headers:?}\n{body}"));
    };
    let router = axum::Router::new().route("/hook", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, told)
}

/// The model's script: a tool call that works, one that echoes the token, an answer; then its key is
/// rejected by a provider that echoes it.
fn script() -> Vec<Reply> {
    let refused = json!({ "error": { "message": format!("Incorrect API key provided: {MODEL_KEY}."),
        "type": "invalid_request_error", "code": "invalid_api_key" } });
    vec![
        Reply::call("create_task", &json!({ "title": "Plan" })),
        Reply::call("call_backend", &json!({ "method": "GET", "path": "/api/mirror" })),
        Reply::text("Done."),
        Reply::text("Done again."),
        Reply::json(401, refused),
    ]
}

/// All secrets that the programs are given.
fn settings(otel: String, llm: &ScriptedLlm, front: &str) -> StackOptions {
    StackOptions {
        everywhere: vec![
            ("RUST_LOG", "trace".to_owned()),
            ("WOMBAT_LOG_FORMAT", "json".to_owned()),
            ("WOMBAT_METRICS_TOKEN", METRICS_TOKEN.to_owned()),
            ("MC_BOARD_PASSWORD", BOARD_PASSWORD.to_owned()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", otel),
            ("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer {OTEL_HEADER}")),
            ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true".to_owned()),
        ],
        daemon: vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_API_KEY", MODEL_KEY.to_owned()),
            ("OPENAI_BASE_URL", llm.base_url()),
            ("BACKEND_URL", front.to_owned()),
            ("WOMBAT_WEBHOOK_ALLOW_PRIVATE", "true".to_owned()),
        ],
        ..StackOptions::default()
    }
}

/// Makes all kinds of requests, valid and invalid.
async fn ask_everything(stack: &Stack, hook: &str, read: &mut Read) {
    let http = reqwest::Client::new();
    let key = stack.daemon_key();
    let send = |message: &str, extra: Value| {
        let mut body = json!({ "user_id": "ann", "session_key": "user:ann:scout",
            "message": message, "task_title": "T" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        http.post(format!("{}/api/agents/send", stack.daemon_url))
            .header("x-agent-daemon-key", key)
            .json(&body)
    };
    let hook = json!({ "webhook": { "url": hook, "secret": WEBHOOK_SECRET } });
    let bad_hook = json!({ "webhook": { "url": "gopher://x", "secret": WEBHOOK_SECRET } });
    let calls = [
        ("a run with tools", send("Go.", hook)),
        ("a run that is streamed", send("Go.", json!({ "stream": true }))),
        ("a run whose key is refused", send("Go.", json!({}))),
        ("a bad webhook", send("Go.", bad_hook)),
        ("a wrong key", send("Go.", json!({})).header("x-agent-daemon-key", "wrong")),
        ("broken JSON", http.post(format!("{}/api/agents/send", stack.daemon_url)).body(SHOUTED)),
    ];
    for (what, call) in calls {
        let answer = call.send().await.unwrap();
        let headers = format!("{:?}", answer.headers());
        read.take(what, format!("{} {headers}\n{}", answer.status(), answer.text().await.unwrap()));
    }
    for path in [
        "livez",
        "readyz",
        "health",
        "openapi.json",
        "metrics",
        "usage",
        "context",
        "skills",
        "api/agents",
        "version",
        "compatibility",
        "nowhere",
    ] {
        for (whose, url) in [("daemon", &stack.daemon_url), ("backend", &stack.backend_url)] {
            let call = http.get(format!("{url}/{path}")).header("x-agent-daemon-key", key);
            let answer = call.bearer_auth(METRICS_TOKEN).send().await.unwrap();
            let text = format!("{:?}\n{}", answer.headers().clone(), answer.text().await.unwrap());
            read.take(&format!("{whose} /{path}"), text);
        }
    }
    let page = http.get(&stack.backend_url).send().await.unwrap();
    read.take("the page", page.text().await.unwrap());
}

/// The stored objects, as a person reads them.
async fn read_the_store(stack: &Stack, read: &mut Read) {
    let person = stack.person("ann");
    for path in ["/tasks", "/documents", "/notifications", "/runs", "/agents", "/standup?tz=UTC"] {
        if let Ok(answer) = person.get(path).await {
            read.take(path, answer.to_string());
        }
    }
    for task in person.list("/tasks").await.unwrap() {
        let path = format!("/messages?task_id={}", task["id"].as_str().unwrap());
        read.take(&path, person.get(&path).await.unwrap().to_string());
    }
    for run in person.list("/runs").await.unwrap_or_default() {
        let key = run["run_key"].as_str().unwrap_or_default();
        if let Ok(run) = person.get(&format!("/runs/{key}")).await {
            read.take("a run's journal", run.to_string());
        }
    }
}

/// The cron programs, and `config` of all five.
async fn run_the_others(stack: &Stack, dir: &Path, model: &str, read: &mut Read) {
    let settings = [
        ("USER_ID", "ann".to_owned()),
        ("AGENT_ROLE", "scout".to_owned()),
        ("BACKEND_URL", stack.backend_url.clone()),
        ("AGENT_DAEMON_URL", stack.daemon_url.clone()),
        ("AGENT_DAEMON_API_KEY", stack.daemon_key().to_owned()),
        ("AGENT_JWT_SECRET", stack.agent_secret().to_owned()),
        ("INTERNAL_API_TOKEN", stack.internal_token().to_owned()),
        ("WOMBAT_METRICS_TOKEN", METRICS_TOKEN.to_owned()),
        ("MC_BOARD_PASSWORD", BOARD_PASSWORD.to_owned()),
        ("DATABASE_URL", format!("postgres://wombat:{SHOUTED}@127.0.0.1:1/wombat")),
        ("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer {OTEL_HEADER}")),
        ("OPENAI_API_KEY", MODEL_KEY.to_owned()),
        ("OPENAI_BASE_URL", model.to_owned()),
        ("LLM_PROVIDER", "openai".to_owned()),
        ("WOMBAT_WORKSPACE", dir.join("workspace").display().to_string()),
        ("WOMBAT_AGENT_CONFIG", dir.join("config/agent-config.json").display().to_string()),
        ("RUST_LOG", "trace".to_owned()),
        ("TZ", "UTC".to_owned()),
    ];
    let calls: [(&str, &[&str]); 9] = [
        ("wombat-heartbeat", &["--wake", "always"]),
        ("wombat-standup", &["--user", "ann"]),
        ("wombat-daemon", &["check"]),
        ("wombat-daemon", &["config"]),
        ("wombat-dispatcher", &["config"]),
        ("wombat-heartbeat", &["config"]),
        ("wombat-standup", &["config"]),
        ("wombat-mission-control", &["config"]),
        // Its database cannot be reached.
        ("wombat-mission-control", &["--port", "0"]),
    ];
    for (name, arguments) in calls {
        let mut program = Program::start(name, dir, &settings, arguments).unwrap();
        program.wait().await.unwrap();
        let log = program.full_log().await;
        if arguments == ["config"] {
            assert!(log.contains("********"), "{name}: {log}");
        }
        read.take(&format!("{name} {arguments:?}"), log);
    }
}

#[tokio::test]
async fn no_secret_is_in_anything_that_anybody_can_read() {
    let dir = workspace();
    let (collector, llm) = (Collector::default(), ScriptedLlm::start(script()).await);
    let port = crate::peers::free_port();
    let front = with_a_mirror(&format!("http://127.0.0.1:{port}")).await;
    let (hook, told) = receiver().await;
    let mut options = settings(collector.http().await, &llm, &front);
    options.example = dir.path().to_owned();
    options.backend_port = Some(port);
    let mut stack = Stack::start(&options).await.unwrap();
    let mut read = Read::default();
    ask_everything(&stack, &hook, &mut read).await;
    let person = stack.person("ann");
    let task = person.post("/tasks", &json!({ "title": "Mentioned" })).await.unwrap();
    let message = json!({ "task_id": task["id"], "content": "@scout look" });
    person.post("/messages", &message).await.unwrap();
    // The provider refuses the key: an outage.
    wait_for("the failed delivery", async || {
        stack.dispatcher.log().contains("daemon unavailable; deliveries paused").then_some(())
    })
    .await;
    wait_for("the webhook", async || (!told.lock().unwrap().is_empty()).then_some(())).await;
    read_the_store(&stack, &mut read).await;
    run_the_others(&stack, dir.path(), &llm.base_url(), &mut read).await;
    stack.stop().await.unwrap();
    for program in [&mut stack.backend, &mut stack.daemon, &mut stack.dispatcher] {
        let name = program.name().to_owned();
        let log = program.full_log().await;
        assert!(log.contains("\"level\":\"TRACE\""), "{name} was not asked for everything");
        read.take(&format!("the log of {name}"), log);
    }
    read.take("the traces", format!("{:?}", collector.spans()));
    read.take("what the model was told", format!("{:?}", llm.asked()));
    read.take("the webhooks", told.lock().unwrap().join("\n"));
    assert!(read.0.iter().any(|(_, text)| text.contains("[token] twice [token]")), "no mirror");
    assert!(
        read.0.iter().any(|(place, text)| place == "the traces" && text.contains("invoke_agent"))
    );
    let shared = [stack.daemon_key(), stack.internal_token(), stack.agent_secret()];
    let own = [MODEL_KEY, METRICS_TOKEN, BOARD_PASSWORD, OTEL_HEADER, WEBHOOK_SECRET, SHOUTED];
    read.holds_none_of(&[&shared[..], &own[..]].concat());
}

#[tokio::test]
async fn each_log_line_of_a_run_bears_the_ids_of_run_and_trace() {
    let dir = workspace();
    let llm = ScriptedLlm::start([Reply::json(500, json!({})), Reply::text("Done.")]).await;
    let options = StackOptions {
        daemon: vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_BASE_URL", llm.base_url()),
            ("WOMBAT_RETRY_DELAY_MS", "1".to_owned()),
            ("WOMBAT_LOG_FORMAT", "json".to_owned()),
        ],
        example: dir.path().to_owned(),
        ..StackOptions::default()
    };
    let mut stack = Stack::start(&options).await.unwrap();
    let body = json!({ "user_id": "ann", "session_key": "user:ann:scout", "message": "Go.", "task_title": "T" });
    let call = reqwest::Client::new()
        .post(format!("{}/api/agents/send", stack.daemon_url))
        .header("x-agent-daemon-key", stack.daemon_key())
        .header("x-trace-id", "trace-of-mine");
    let answer: Value = call.json(&body).send().await.unwrap().json().await.unwrap();
    stack.stop().await.unwrap();
    let log = stack.daemon.full_log().await;
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_the_run: Vec<Value> = lines.filter(|line| line["span"]["name"] == "run").collect();
    let messages: Vec<_> = of_the_run.iter().filter_map(|line| line["message"].as_str()).collect();
    assert!(messages.contains(&"run completed") && messages.len() >= 2, "{log}");
    for line in of_the_run {
        assert_eq!(line["span"]["run_id"], answer["run_id"], "{line}");
        assert_eq!(line["span"]["trace_id"], "trace-of-mine", "{line}");
    }
}
