//! Runs that are interrupted, resumed by another instance, cancelled, or wait for approval.

mod approvals;
mod budgets;
mod cancelling;
mod questions;
mod takeover;

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::stack::{Person, Stack, StackOptions};

const USER: &str = "ann";

/// A workspace whose scout needs approval to create documents.
fn workspace() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("workspace/AGENTS.md", "Be brief.");
    write(
        "config/agent-config.json",
        &json!({ "agents": [
            { "role": "scout", "tools": {
                "approval": ["create_document"], "enable": ["ask_user"] } },
            { "role": "jarvis" },
        ] })
        .to_string(),
    );
    dir
}

struct World {
    stack: Stack,
    person: Person,
    llm: ScriptedLlm,
    options: StackOptions,
    task_id: String,
    _dir: TempDir,
}

impl World {
    async fn new(replies: Vec<Reply>) -> Self {
        let llm = ScriptedLlm::start(replies).await;
        let dir = workspace();
        let options = StackOptions {
            daemon: vec![
                ("LLM_PROVIDER", "openai".to_owned()),
                ("OPENAI_BASE_URL", llm.base_url()),
                ("WOMBAT_RETRY_ATTEMPTS", "1".to_owned()),
            ],
            example: Path::new(dir.path()).to_owned(),
            ..StackOptions::default()
        };
        let stack = Stack::start(&options).await.unwrap();
        let person = stack.person(USER);
        let task = person.post("/tasks", &json!({ "title": "Work" })).await.unwrap();
        let task_id = task["id"].as_str().unwrap().to_owned();
        Self { stack, person, llm, options, task_id, _dir: dir }
    }

    fn body(&self, key: &str) -> Value {
        json!({
            "user_id": USER, "session_key": format!("user:{USER}:scout"), "message": "Do it.",
            "task_id": self.task_id, "idempotency_key": key,
        })
    }

    async fn send(&self, daemon: &str, body: &Value) -> (u16, Value) {
        send(daemon, self.stack.daemon_key(), body).await
    }

    async fn replies(&self) -> Vec<Value> {
        let path = format!("/messages?task_id={}", self.task_id);
        let thread = self.person.list(&path).await.unwrap();
        thread.into_iter().filter(|message| message["actor_type"] == "agent").collect()
    }

    async fn titles(&self) -> Vec<String> {
        let tasks = self.person.list("/tasks").await.unwrap();
        let mut titles: Vec<_> =
            tasks.iter().map(|task| task["title"].as_str().unwrap().to_owned()).collect();
        titles.sort();
        titles
    }

    async fn run(&self, key: &str) -> Value {
        self.person.get(&format!("/runs/{}", run_key(key))).await.unwrap()
    }
}

async fn send(daemon: &str, key: &str, body: &Value) -> (u16, Value) {
    let call = reqwest::Client::new()
        .post(format!("{daemon}/api/agents/send"))
        .header("x-agent-daemon-key", key)
        .json(body);
    let answer = call.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn run_key(key: &str) -> String {
    mc_client::idempotency::RunKey::derive(USER, "scout", key).as_str().to_owned()
}

fn new_task(title: &str) -> (&'static str, Value) {
    ("create_task", json!({ "title": title }))
}

fn kinds(run: &Value) -> Vec<String> {
    let steps = run["steps"].as_array().unwrap();
    steps.iter().map(|step| step["kind"].as_str().unwrap().to_owned()).collect()
}
