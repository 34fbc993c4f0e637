//! The programs where `HTTP_PROXY` and its like are set (docs/CONFIGURATION.md).

use std::sync::{Arc, Mutex};

use serde_json::json;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::program::Program;
use test_support::stack::{Stack, StackOptions};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

/// A proxy that notes what it is asked for and answers like a portal, so that nobody takes its answer
/// for the right one.
#[derive(Clone)]
struct Recorder {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let recorder = Self { address, asked: Arc::default() };
        let asked = recorder.asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let asked = asked.clone();
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n")
                        && stream.read_line(&mut head).await.is_ok_and(|read| read > 0)
                    {
                    }
                    asked.lock().unwrap().push(head);
                    let page = "<title>Portal</title>";
                    let answer = format!(
                        "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-type: text/html\r\n\
                         content-length: {}\r\nconnection: close\r\n\r\n{page}",
                        page.len()
                    );
                    let _ = stream.get_mut().write_all(answer.as_bytes()).await;
                });
            }
        });
        recorder
    }

    /// All variables of proxies, with a password.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let url = format!("http://user:canary-proxy@{}", self.address);
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
            .map(|name| (name, url.clone()))
            .to_vec()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn workspace(dir: &std::path::Path, mcp: &str) {
    std::fs::create_dir_all(dir.join("workspace")).unwrap();
    std::fs::create_dir_all(dir.join("config")).unwrap();
    std::fs::write(dir.join("workspace/AGENTS.md"), "Be brief.").unwrap();
    std::fs::write(dir.join("config/agent-config.json"), r#"{"agents": [{"role": "scout"}]}"#)
        .unwrap();
    std::fs::write(dir.join("workspace/mcp.json"), mcp).unwrap();
}

#[tokio::test]
async fn nothing_on_this_machine_is_asked_for_through_a_proxy() {
    let proxy = Recorder::start().await;
    let llm = ScriptedLlm::start([Reply::text("Hello.")]).await;
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens there: it is asked all the same.
    workspace(dir.path(), r#"{"mcpServers": {"here": {"url": "http://localhost:9/mcp"}}}"#);
    let everywhere = [
        proxy.variables(),
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9".to_owned()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
        ],
    ]
    .concat();
    let mut stack = Stack::start(&StackOptions {
        example: dir.path().to_owned(),
        everywhere: everywhere.clone(),
        daemon: vec![
            ("LLM_PROVIDER", "ollama".to_owned()),
            ("LLM_MODEL_DEFAULT", "llama3.2".to_owned()),
            ("OLLAMA_BASE_URL", llm.base_url()),
        ],
        ..StackOptions::default()
    })
    .await
    .unwrap();
    let body = json!({
        "user_id": "ann", "session_key": "user:ann:scout", "task_title": "T", "message": "Go.",
        "webhook": {"url": "http://127.0.0.1:9/hook"},
    });
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(format!("{}/api/agents/send", stack.daemon_url))
        .header("x-agent-daemon-key", stack.daemon_key())
        .json(&body)
        .send()
        .await
        .unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success() || text.contains("webhook"), "{text}");
    let settings = [
        &everywhere[..],
        &[
            ("USER_ID", "ann".to_owned()),
            ("AGENT_ROLE", "scout".to_owned()),
            ("BACKEND_URL", stack.backend_url.clone()),
            ("AGENT_DAEMON_URL", stack.daemon_url.clone()),
            ("AGENT_DAEMON_API_KEY", stack.daemon_key().to_owned()),
            ("AGENT_JWT_SECRET", stack.agent_secret().to_owned()),
        ],
    ]
    .concat();
    for (program, arguments) in [
        ("wombat-standup", &[][..]),
        ("wombat-heartbeat", &[]),
        ("wombat-daemon", &["check"]),
        ("wombat-mission-control", &["conformance", "--chapter", "capabilities"]),
    ] {
        let mut running = Program::start(program, dir.path(), &settings, arguments).unwrap();
        running.wait().await.unwrap();
        let log = running.full_log().await;
        assert!(!log.contains("canary-proxy") && !log.contains("Portal"), "{program}: {log}");
    }
    stack.stop().await.unwrap();
    assert_eq!(proxy.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_elsewhere_is_asked_for_through_the_proxy_whose_password_is_never_told() {
    let proxy = Recorder::start().await;
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        &proxy.variables()[..],
        &[
            ("USER_ID", "ann".to_owned()),
            ("BACKEND_URL", "http://backend.invalid".to_owned()),
            ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef".to_owned()),
            ("RUST_LOG", "debug".to_owned()),
        ],
    ]
    .concat();
    let mut standup = Program::start("wombat-standup", dir.path(), &settings, &[]).unwrap();
    assert!(!standup.wait().await.unwrap().success());
    let log = standup.full_log().await;
    let asked = proxy.asked();
    assert!(asked[0].contains(" http://backend.invalid/api/mission-control/"), "{asked:?}");
    assert!(asked[0].to_lowercase().contains("proxy-authorization: basic "), "{asked:?}");
    assert!(log.contains("Portal"), "{log}");
    assert!(!log.contains("canary"), "{log}");
}
