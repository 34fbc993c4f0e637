//! The FastAPI example: its own document becomes tools, and an agent works there as its user.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use test_support::llm::{Reply, ScriptedLlm};
use test_support::program::Program;
use test_support::wait_for;
use tokio::process::{Child, Command};

use crate::peers::{free_port, pypi};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const INTERNAL: &str = "internal-token-of-the-example";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/fastapi-backend")
}

struct Example {
    url: String,
    dir: tempfile::TempDir,
    _server: Child,
}

impl Example {
    /// The application, if its packages are installed.
    async fn start() -> Option<Self> {
        let python = pypi("fastapi, jwt, uvicorn")?;
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let server = Command::new(python)
            .args(["-m", "uvicorn", "app.main:app", "--log-level", "warning", "--port"])
            .arg(port.to_string())
            .current_dir(folder())
            .env("AGENT_JWT_SECRET", SECRET)
            .env("INTERNAL_API_TOKEN", INTERNAL)
            .env("DATABASE", dir.path().join("example.db"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        wait_for("the example", async || reqwest::get(format!("{url}/healthz")).await.ok()).await;
        Some(Self { url, dir, _server: server })
    }

    async fn daemon(&self, llm: &ScriptedLlm) -> (Program, String) {
        let agents = folder().join("agents");
        let settings = [
            ("AGENT_JWT_SECRET", SECRET.to_owned()),
            ("BACKEND_URL", self.url.clone()),
            ("WOMBAT_PORT", "0".to_owned()),
            ("WOMBAT_WORKSPACE", agents.join("workspace").display().to_string()),
            ("WOMBAT_AGENT_CONFIG", agents.join("config/agent-config.json").display().to_string()),
            ("WOMBAT_BACKEND_OPENAPI", "/openapi.json".to_owned()),
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_API_KEY", "sk-test".to_owned()),
            ("OPENAI_BASE_URL", llm.base_url()),
        ];
        let mut daemon = Program::start("wombat-daemon", self.dir.path(), &settings, &[]).unwrap();
        let url = daemon.url().await.unwrap();
        (daemon, url)
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut call = reqwest::Client::new().get(format!("{}{path}", self.url));
        for (name, value) in headers {
            call = call.header(*name, *value);
        }
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// As a person of the application.
    async fn as_person(&self, user: &str, path: &str) -> Value {
        let headers = [("x-internal-token", INTERNAL), ("x-on-behalf-of", user)];
        let (status, answer) = self.get(path, &headers).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

async fn send(daemon: &str, user: &str) -> (u16, Value) {
    let body = json!({
        "user_id": user, "session_key": format!("user:{user}:scout"), "task_title": "Schools",
        "message": "Find a school near the beach and book a visit.", "idempotency_key": "k1",
    });
    let answer = reqwest::Client::new().post(format!("{daemon}/api/agents/send")).json(&body);
    let answer = answer.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn an_agent_searches_reads_and_writes_through_typed_tools() {
    let Some(example) = Example::start().await else { return };
    let visit = json!({ "day": "2026-12-01", "visitor": { "name": "Ann", "children": [7, 9] } });
    let llm = ScriptedLlm::start([
        Reply::calls(&[
            ("search_schools", json!({ "body": { "near": { "place": "beach", "max_km": 1 } } })),
            ("search_schools", json!({ "body": { "level": "kindergarten" } })),
            ("search_schools", json!({ "body": { "near": { "max_km": 1 } } })),
        ]),
        Reply::calls(&[
            (
                "school_profile",
                json!({ "school_id": "sch_1", "include": ["programs", "results"], "year": 2025 }),
            ),
            ("school_profile", json!({ "school_id": "../visits" })),
            ("school_profile", json!({ "school_id": "sch_9" })),
            ("call_backend", json!({ "method": "GET", "path": "/api/schools/visits" })),
        ]),
        Reply::calls(&[
            ("book_visit", json!({ "school_id": "sch_1", "body": visit })),
            ("create_task", json!({ "title": "Visit Dune Street" })),
            ("create_document", json!({ "title": "Schools", "content": "# One fits" })),
            ("list_visits", json!({})),
        ]),
        Reply::text("Booked."),
    ])
    .await;
    let (daemon, url) = example.daemon(&llm).await;
    let (status, answer) = send(&url, "ann").await;
    assert_eq!((status, answer["response"].as_str()), (200, Some("Booked.")), "{answer}");
    let oks: Vec<_> =
        answer["steps"].as_array().unwrap().iter().map(|step| step["ok"] == true).collect();
    let expected = [true, false, false, true, false, false, false, true, true, true, true];
    assert_eq!(oks, expected, "{answer}");

    let asked = llm.asked();
    let tools = asked[0]["tools"].as_array().unwrap();
    let names: Vec<_> =
        tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
    for name in ["search_schools", "school_profile", "book_visit", "list_visits"] {
        assert!(names.contains(&name), "{names:?}");
    }
    // Only what the skill declares, and nothing that the role may not have.
    assert!(!names.iter().any(|name| name.contains("capabilities")), "{names:?}");
    assert!(!names.contains(&"call_backend"), "{names:?}");
    let told = asked[2]["messages"].to_string();
    assert!(told.contains("Dune Street Primary") && told.contains("surf"), "{told}");
    assert!(told.contains("\\\"2025\\\": 74") || told.contains("\\\"2025\\\":74"), "{told}");

    let visits = example.as_person("ann", "/api/schools/visits").await;
    assert_eq!(visits["items"][0]["visitor"], visit["visitor"], "{visits}");
    assert_eq!(example.as_person("bob", "/api/schools/visits").await["items"], json!([]));
    let tasks = example.as_person("ann", "/api/mission-control/tasks").await;
    let titles: Vec<_> = tasks["items"].as_array().unwrap().iter().map(|t| &t["title"]).collect();
    assert_eq!(titles, ["Schools", "Visit Dune Street"]);
    let task = tasks["items"][0]["id"].as_str().unwrap();
    let thread =
        example.as_person("ann", &format!("/api/mission-control/messages?task_id={task}")).await;
    assert_eq!(thread["items"][0]["content"], "Booked.", "{thread}");

    // Once more with the same key: the reply that is there, and no second visit.
    let (status, again) = send(&url, "ann").await;
    assert_eq!((status, &again["replayed"]), (200, &json!(true)), "{again}");
    assert_eq!(llm.asked().len(), 4);
    let visits = example.as_person("ann", "/api/schools/visits").await;
    assert_eq!(visits["items"].as_array().unwrap().len(), 1);
    drop(daemon);
}

#[tokio::test]
async fn the_example_takes_the_tokens_of_agents_and_no_others() {
    let Some(example) = Example::start().await else { return };
    let good = token(SECRET, json!({}));
    let path = "/api/mission-control/tasks";
    assert_eq!(example.get(path, &[("x-agent-token", &good)]).await.0, 200);
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let unsigned = format!("{none}.{}.", good.split('.').nth(1).unwrap());
    for bad in [
        unsigned,
        token("another-secret-of-thirty-two-chars", json!({})),
        token(SECRET, json!({ "exp": 1 })),
        token(SECRET, json!({ "iss": "else" })),
        token(SECRET, json!({ "type": "user" })),
        token(SECRET, json!({ "sub": "wombat:other" })),
        token(SECRET, json!({ "jti": null })),
        token(SECRET, json!({ "user_id": 7 })),
        "x".to_owned(),
    ] {
        let (status, answer) = example.get(path, &[("x-agent-token", &bad)]).await;
        assert_eq!((status, &answer["code"]), (401, &json!("unauthorized")), "{bad}: {answer}");
    }
    assert_eq!(example.get(path, &[]).await.0, 401);
    let wrong = [("x-internal-token", "wrong"), ("x-on-behalf-of", "ann")];
    assert_eq!(example.get(path, &wrong).await.0, 401);
}

/// A token of an agent; `null` takes a claim out.
fn token(secret: &str, change: Value) -> String {
    let now = chrono::Utc::now().timestamp();
    let mut claims = json!({
        "type": "agent", "user_id": "ann", "agent_role": "scout", "sub": "wombat:scout",
        "iss": "wombat", "iat": now, "exp": now + 600, "jti": "j",
    });
    let fields = claims.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}
