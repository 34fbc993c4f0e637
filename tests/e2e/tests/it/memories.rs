//! Memories through the real programs: a person's and an agent's, in the prompt of later runs and of no other
//! user's, through a resume, and without the backend.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use daemon_client::{RunAnswer, SendRequest};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::stack::{Stack, StackOptions};

use crate::kills::{OPTIONS, client};

const AGENTS: &str = r#"{"agents": [{"role": "scout", "memory": {"write": ["user", "task"]}}]}"#;

/// The newest turns that the model was sent. It fails while a message asks it to.
type Seen = Arc<Mutex<Vec<String>>>;

async fn turn(State(seen): State<Seen>, Json(body): Json<Value>) -> Response {
    let messages = body["messages"].as_array().unwrap();
    let user = messages.iter().rfind(|message| message["role"] == "user").unwrap();
    let text = user["content"].as_str().unwrap().to_owned();
    let has_called = messages.last().unwrap()["role"] == "tool";
    let is_first = !seen.lock().unwrap().contains(&text);
    seen.lock().unwrap().push(text.clone());
    if text.ends_with("fail first") && is_first {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": { "message": "no" } })))
            .into_response();
    }
    let message = match text.rsplit_once("please remember: ") {
        Some((_, fact)) if !has_called => {
            let arguments = json!({ "text": fact, "scope": "user" }).to_string();
            json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "c1", "type": "function",
                "function": { "name": "remember", "arguments": arguments } }] })
        }
        _ => json!({ "role": "assistant", "content": "done" }),
    };
    let reason = if message["tool_calls"].is_array() { "tool_calls" } else { "stop" };
    Json(json!({
        "id": "c", "object": "chat.completion", "model": "gpt-4o-mini",
        "choices": [{ "index": 0, "finish_reason": reason, "message": message }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11 },
    }))
    .into_response()
}

struct World {
    stack: Stack,
    seen: Seen,
    _dir: TempDir,
}

impl World {
    async fn new() -> Self {
        let seen = Seen::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let model = format!("http://{}/v1", listener.local_addr().unwrap());
        let app = Router::new().route("/v1/chat/completions", post(turn)).with_state(seen.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("workspace")).unwrap();
        std::fs::create_dir_all(dir.path().join("config")).unwrap();
        std::fs::write(dir.path().join("config/agent-config.json"), AGENTS).unwrap();
        let options = StackOptions {
            daemon: vec![("LLM_PROVIDER", "openai".to_owned()), ("OPENAI_BASE_URL", model)],
            example: dir.path().to_owned(),
            ..StackOptions::default()
        };
        let stack = Stack::start(&options).await.unwrap();
        Self { stack, seen, _dir: dir }
    }

    async fn say(&self, user: &str, message: &str, key: Option<&str>) -> Option<RunAnswer> {
        let request = SendRequest {
            user_id: user.into(),
            session_key: format!("user:{user}:scout").into(),
            task_title: Some("Talk".into()),
            message: message.into(),
            idempotency_key: key.map(Into::into),
            ..SendRequest::default()
        };
        let client = client(&self.stack.daemon_url, self.stack.daemon_key());
        client.send(&request, &OPTIONS).await.ok()
    }

    fn newest(&self) -> String {
        self.seen.lock().unwrap().last().unwrap().clone()
    }
}

#[tokio::test]
async fn what_is_remembered_comes_back_to_its_user_alone() {
    let mut world = World::new().await;
    let (ann, bob) = (world.stack.person("ann"), world.stack.person("bob"));
    let drink = json!({ "scope": "user", "text": "Her favourite drink is oolong." });
    let drink = ann.post("/memories", &drink).await.unwrap();
    let told = world.say("ann", "please remember: She lives in Graz.", None).await.unwrap();
    assert!(told.steps.iter().all(|step| step.ok) && told.steps.len() == 1, "{told:?}");
    let known = ann.list("/memories").await.unwrap();
    assert_eq!(known[0]["text"], "She lives in Graz.");
    assert_eq!(known[0]["author"], json!({ "type": "agent", "id": "scout" }));
    assert_eq!(known[0]["source"]["run_key"], json!(told.run_key));

    world.say("ann", "Which drink do I like, and where do I live?", None).await.unwrap();
    let newest = world.newest();
    let fenced = newest.split("source=\"memory\">").nth(1).expect(&newest);
    let fenced = fenced.split("</untrusted-data-").next().unwrap();
    assert!(fenced.contains("oolong") && fenced.contains("Graz"), "{newest}");
    world.say("bob", "Which drink do I like, and where do I live?", None).await.unwrap();
    assert!(!world.newest().contains("oolong"), "{}", world.newest());
    assert!(bob.list("/memories").await.unwrap().is_empty());

    // A resumed run has what it had when it began.
    assert!(world.say("ann", "My drink? fail first", Some("k")).await.is_none());
    let before = world.newest();
    assert!(before.contains("oolong"), "{before}");
    let id = drink["id"].as_str().unwrap();
    let path = format!("{}/api/mission-control/memories/{id}", world.stack.backend_url);
    let gone = reqwest::Client::new()
        .delete(path)
        .header("x-internal-token", world.stack.internal_token())
        .header("x-on-behalf-of", "ann");
    assert_eq!(gone.send().await.unwrap().status().as_u16(), 204);
    world.say("ann", "My drink? fail first", Some("k")).await.unwrap();
    assert_eq!(world.newest(), before);
    world.say("ann", "My drink?", None).await.unwrap();
    assert!(!world.newest().contains("oolong"), "{}", world.newest());

    let runs = ann.list("/runs").await.unwrap();
    let asked: Vec<_> = runs.iter().map(|run| run["asked"].as_str().unwrap()).collect();
    assert_eq!(asked[..2], ["My drink?", "My drink? fail first"]);
    let run = &runs[0];
    assert_eq!((&run["status"], &run["reply"]), (&json!("completed"), &json!("done")), "{run}");
    assert_eq!((&run["model"], &run["provider"]), (&json!("gpt-4o-mini"), &json!("openai")));
    assert!(run["cost_usd"].as_f64().unwrap() > 0.0 && run["usage"]["total_tokens"] == 11, "{run}");
    assert_eq!(run["step_count"], 2, "{run}");
    world.stack.stop().await.unwrap();
}
