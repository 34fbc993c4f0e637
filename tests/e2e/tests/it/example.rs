//! Shared by the tests of all example applications: the application beside the real daemon, and the
//! required part of the contract.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use test_support::program::Program;
use tokio::process::Command;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const INTERNAL: &str = "internal-token-of-the-example";

/// The folder of an example.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name).canonicalize().unwrap()
}

/// A running example.
pub(crate) struct Example {
    pub(crate) url: String,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) server: Program,
    /// Its folder in the repository.
    pub(crate) folder: PathBuf,
}

impl Example {
    /// The daemon in the example's folder, and its address.
    pub(crate) async fn daemon(&self, settings: &[(&str, String)]) -> (Program, String) {
        daemon(&self.folder, &self.url, settings).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut call = reqwest::Client::new().get(format!("{}{path}", self.url));
        for (name, value) in headers {
            call = call.header(*name, *value);
        }
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// A request as a person of the application.
    pub(crate) async fn as_person(&self, user: &str, path: &str) -> Value {
        let headers = [("x-internal-token", INTERNAL), ("x-on-behalf-of", user)];
        let (status, answer) = self.get(path, &headers).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// What a person has booked.
    pub(crate) async fn visits(&self, user: &str) -> Vec<Value> {
        let visits = self.as_person(user, "/api/schools/visits").await;
        visits["items"].as_array().unwrap().clone()
    }
}

/// Starts the daemon as a person would, in an example's folder; other settings are in `wombat.toml`.
/// Returns its URL, too.
pub(crate) async fn daemon(
    folder: &Path,
    backend: &str,
    settings: &[(&str, String)],
) -> (Program, String) {
    let mut all = vec![
        ("AGENT_JWT_SECRET", SECRET.to_owned()),
        ("BACKEND_URL", backend.to_owned()),
        ("WOMBAT_PORT", "0".to_owned()),
    ];
    all.extend(settings.iter().cloned());
    let mut daemon = Program::start("wombat-daemon", folder, &all, &[]).unwrap();
    let url = daemon.url().await.unwrap();
    (daemon, url)
}

pub(crate) async fn send(daemon: &str, user: &str) -> (u16, Value) {
    say(daemon, user, "Find a school near the beach and book a visit.", "k1").await
}

async fn say(daemon: &str, user: &str, message: &str, key: &str) -> (u16, Value) {
    let body = json!({
        "user_id": user, "session_key": format!("user:{user}:scout"), "task_title": "Schools",
        "message": message, "idempotency_key": key,
    });
    let answer = reqwest::Client::new().post(format!("{daemon}/api/agents/send")).json(&body);
    let answer = answer.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A search, a booking and a reply by the example's script; a repetition books nothing twice.
pub(crate) async fn books_a_visit_once(example: &Example, daemon: &str, tools: [&str; 2]) {
    // Nothing is booked unless it is asked for.
    let (_, answer) = say(daemon, "ann", "Find a school near the beach.", "k0").await;
    assert_eq!(answer["response"], "Dune Street Primary fits. Shall I book a visit?", "{answer}");
    assert!(example.visits("ann").await.is_empty());

    let (status, answer) = send(daemon, "ann").await;
    let reply = "A visit of Dune Street Primary is booked for 2030-05-07.";
    assert_eq!((status, answer["response"].as_str()), (200, Some(reply)), "{answer}");
    let steps = answer["steps"].as_array().unwrap();
    let steps: Vec<_> = steps.iter().map(|step| (step["name"].as_str(), &step["ok"])).collect();
    assert_eq!(steps, tools.map(|name| (Some(name), &json!(true))), "{answer}");
    let visits = example.visits("ann").await;
    assert_eq!(visits.len(), 1, "{visits:?}");
    assert_eq!((&visits[0]["school_id"], &visits[0]["visitors"]), (&json!("sch_1"), &json!(2)));
    assert!(example.visits("bob").await.is_empty());
    let (status, again) = send(daemon, "ann").await;
    assert_eq!((status, &again["replayed"]), (200, &json!(true)), "{again}");
    assert_eq!(example.visits("ann").await, visits);

    // Another user's run under the same key is another run.
    let (status, answer) = send(daemon, "bob").await;
    assert_eq!((status, &answer["replayed"]), (200, &Value::Null), "{answer}");
    assert_eq!(example.visits("bob").await.len(), 1);

    // The endpoint itself: a key makes one visit, and belongs to one body and one user.
    let visit = json!({ "day": "2030-05-08", "visitors": 3 });
    let ann = Agent::new(example, "ann");
    let (status, replayed, booked) = ann.book("sch_2", "v1", &visit).await;
    assert_eq!((status, replayed), (201, false), "{booked}");
    assert_eq!(ann.book("sch_2", "v1", &visit).await, (200, true, booked));
    for (school, body) in
        [("sch_3", &visit), ("sch_2", &json!({ "day": "2030-05-08", "visitors": 4 }))]
    {
        let (status, _, said) = ann.book(school, "v1", body).await;
        assert_eq!((status, &said["code"]), (409, &json!("idempotency_conflict")), "{said}");
    }
    assert_eq!(Agent::new(example, "bob").book("sch_2", "v1", &visit).await.0, 201);
    for (school, body, expected) in [
        ("sch_9", visit.clone(), 404),
        ("sch_1", json!({ "day": "soon", "visitors": 2 }), 400),
        ("sch_1", json!({ "day": "2030-05-08", "visitors": 0 }), 400),
        ("sch_1", json!({ "visitors": 2 }), 400),
    ] {
        let (status, _, said) = ann.book(school, "v2", &body).await;
        assert!(
            status == expected && said["error"].is_string(),
            "{school} {body}: {status} {said}"
        );
    }
    assert_eq!(example.visits("ann").await.len(), 2);
}

/// Agent tokens are accepted, and no others.
pub(crate) async fn takes_the_tokens_of_agents_and_no_others(example: &Example) {
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
    // The daemon's clock is half a minute ahead or behind, and the token has just been made, or is old. First:
    // `iat` is one second ahead.
    let now = chrono::Utc::now().timestamp();
    for (shift, age) in [(6, 0), (30, 0), (-30, 0), (30, 840), (-30, 840)] {
        let made = now + shift - age;
        let times = json!({ "iat": made - 5, "nbf": made - 5, "exp": made + 900 });
        let shifted = token(SECRET, times);
        let (status, answer) = example.get(path, &[("x-agent-token", &shifted)]).await;
        assert_eq!(status, 200, "{shift} {age}: {answer}");
    }
    let ended = token(SECRET, json!({ "iat": now - 935, "nbf": now - 935, "exp": now - 30 }));
    assert_eq!(example.get(path, &[("x-agent-token", &ended)]).await.0, 200);
    assert_eq!(example.get(path, &[]).await.0, 401);
    let wrong = [("x-internal-token", "wrong"), ("x-on-behalf-of", "ann")];
    assert_eq!(example.get(path, &wrong).await.0, 401);
}

/// An agent token; `null` removes a claim.
pub(crate) fn token(secret: &str, change: Value) -> String {
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

/// `wombat-mission-control conformance` passes.
pub(crate) async fn passes_the_conformance_suite(example: &Example) {
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
    let sum = " 0 failed in the required part, 0 failed in optional features";
    assert!(said.contains(sum), "{said}");
}

/// The required part of the contract, checked independently of the suite.
pub(crate) async fn keeps_the_required_part_of_the_contract(example: &Example) {
    let ann = Agent::new(example, "ann");
    let bob = Agent::new(example, "bob");
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

/// A client for the contract's endpoints, with a user's agent token.
pub(crate) struct Agent {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Agent {
    pub(crate) fn new(example: &Example, user: &str) -> Self {
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

    /// Status, whether it was a replay, and the response.
    async fn post(&self, path: &str, body: &Value) -> (u16, bool, Value) {
        let answer = self.call(reqwest::Method::POST, path).json(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let replayed = answer.headers().contains_key("idempotent-replayed");
        (status, replayed, answer.json().await.unwrap())
    }

    /// The same for a visit, under a key.
    async fn book(&self, school: &str, key: &str, visit: &Value) -> (u16, bool, Value) {
        let call = self.http.post(format!("{}/api/schools/{school}/visits", self.url));
        let call = call.header("x-agent-token", &self.token).header("idempotency-key", key);
        let answer = call.json(visit).send().await.unwrap();
        let status = answer.status().as_u16();
        let replayed = answer.headers().contains_key("idempotent-replayed");
        (status, replayed, answer.json().await.unwrap())
    }
}
