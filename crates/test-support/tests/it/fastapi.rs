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

#[tokio::test]
async fn the_example_passes_the_conformance_suite() {
    let Some(example) = Example::start().await else { return };
    let report = Command::new(Program::path("wombat-mission-control").unwrap())
        .args(["conformance", "--url", &example.url])
        .env_clear()
        .envs([("AGENT_JWT_SECRET", SECRET), ("INTERNAL_API_TOKEN", INTERNAL)])
        .current_dir(example.dir.path())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&report.stdout);
    assert!(report.status.success(), "{said}{}", String::from_utf8_lossy(&report.stderr));
    assert!(said.contains(" 0 failed in the required part"), "{said}");
}

#[tokio::test]
async fn the_example_keeps_the_required_part_of_the_contract() {
    let Some(example) = Example::start().await else { return };
    let ann = Agent::new(&example, "ann");
    let bob = Agent::new(&example, "bob");
    let (_, offered) = ann.get("/capabilities").await;
    assert_eq!(offered["contract_version"], "v1");

    // Creates happen once, also two at once; another body under the key is a conflict.
    let task = json!({ "title": "Grüße", "metadata": { "a": [1, null] }, "idempotency_key": "k" });
    let all = futures::future::join_all((0..8).map(|_| ann.post("/tasks", &task))).await;
    let first = &all[0].2;
    assert!(all.iter().all(|(status, _, made)| *status < 300 && made == first), "{all:?}");
    let fresh = all.iter().filter(|(_, replayed, _)| !replayed).count();
    assert_eq!(fresh, 1, "{all:?}");
    assert_eq!(first["status"], "pending");
    assert!(first["created_at"].is_string() && first["updated_at"].is_string());
    let reordered =
        json!({ "idempotency_key": "k", "metadata": { "a": [1, null] }, "title": "Grüße" });
    assert!(ann.post("/tasks", &reordered).await.1);
    let other = json!({ "title": "Other", "idempotency_key": "k" });
    let (status, _, conflict) = ann.post("/tasks", &other).await;
    assert_eq!((status, &conflict["code"]), (409, &json!("idempotency_conflict")));
    assert_eq!(&conflict["details"]["original"], first);
    // A key is one user's, and one endpoint's.
    assert!(!bob.post("/tasks", &other).await.1);
    let document = json!({ "title": "D", "content": "x", "idempotency_key": "k" });
    assert_eq!(ann.post("/documents", &document).await.0, 201);

    // Pages.
    for n in 0..5 {
        ann.post("/tasks", &json!({ "title": format!("T{n}") })).await;
    }
    let (mut cursor, mut titles) = (String::new(), Vec::new());
    loop {
        let (status, page) = ann.get(&format!("/tasks?limit=2{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().unwrap();
        titles.extend(items.iter().map(|task| task["title"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(titles, ["Grüße", "T0", "T1", "T2", "T3", "T4"]);
    for wrong in ["cursor=zzz", "cursor=-1", "cursor=99999999999999999999", "limit=0", "limit=201"]
    {
        let (status, said) = ann.get(&format!("/tasks?{wrong}")).await;
        assert!(status == 400 && said["error"].is_string(), "{wrong}: {status} {said}");
    }
    assert_eq!(ann.get("/tasks?status=blocked").await.1["items"], json!([]));
    assert_eq!(ann.get("/tasks?status=none").await.0, 400);

    // Nobody's but the user's.
    let id = first["id"].as_str().unwrap();
    assert_eq!(ann.get(&format!("/tasks/{id}")).await.0, 200);
    assert_eq!(bob.get(&format!("/tasks/{id}")).await.0, 404);
    let message = json!({ "task_id": id, "content": "hello", "idempotency_key": "m" });
    assert_eq!(bob.post("/messages", &message).await.0, 404);
    let (status, _, posted) = ann.post("/messages", &message).await;
    assert_eq!((status, &posted["actor_type"]), (201, &json!("agent")), "{posted}");
    let found = ann.get("/messages?idempotency_key=m").await.1;
    assert_eq!(found["items"][0]["id"], posted["id"]);
    assert_eq!(bob.get("/messages?idempotency_key=m").await.1["items"], json!([]));
    assert_eq!(bob.get(&format!("/messages?task_id={id}")).await.0, 404);
    let as_user = json!({ "task_id": id, "content": "x", "actor_type": "user" });
    assert_eq!(ann.post("/messages", &as_user).await.0, 403);

    // Errors are said alike.
    for (body, status) in [
        (json!({}), 400),
        (json!({ "title": "" }), 400),
        (json!({ "title": 7 }), 400),
        (json!({ "title": "x", "status": "none" }), 400),
        (json!([]), 400),
        (json!({ "title": "x".repeat(2 * 1024 * 1024) }), 413),
    ] {
        let (answered, _, said) = ann.post("/tasks", &body).await;
        assert!(answered == status && said["error"].is_string() && said["code"].is_string());
    }
    let put = ann.call(reqwest::Method::PUT, "/tasks").send().await.unwrap();
    assert_eq!(put.status(), 405);
    let put: Value = put.json().await.unwrap();
    assert_eq!(put["code"], "method_not_allowed");
    assert_eq!(ann.get("/nothing").await.1["code"], "not_found");
}

/// An agent of a user, at the contract's endpoints.
struct Agent {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Agent {
    fn new(example: &Example, user: &str) -> Self {
        let token = token(SECRET, json!({ "user_id": user }));
        Self { http: reqwest::Client::new(), url: example.url.clone(), token }
    }

    fn call(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/api/mission-control{path}", self.url);
        self.http.request(method, url).header("x-agent-token", &self.token)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.call(reqwest::Method::GET, path).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Status, whether it was there before, and the answer.
    async fn post(&self, path: &str, body: &Value) -> (u16, bool, Value) {
        let answer = self.call(reqwest::Method::POST, path).json(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let replayed = answer.headers().contains_key("idempotent-replayed");
        (status, replayed, answer.json().await.unwrap())
    }
}
