//! A real, though tiny, model behind `OPENAI_BASE_URL`; runs where it is installed
//! (docs/REAL_MODELS.md).

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::lacks;
use test_support::local_model::LocalModel;
use test_support::program::Program;
use test_support::stack::{Stack, StackOptions};
use tokio::process::Command;

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

struct World {
    stack: Stack,
    task_id: String,
    /// The value of `OPENAI_BASE_URL`.
    model_url: String,
    _model: LocalModel,
    dir: TempDir,
}

impl World {
    /// The programs with the model; `None`, with the reason told, where it is not installed.
    async fn start(more: &[&str]) -> Option<Self> {
        Self::start_with(more, &[]).await
    }

    async fn start_with(more: &[&str], settings: &[(&'static str, &str)]) -> Option<Self> {
        let arguments = [&["--context", "8192", "--answer", "48"], more].concat();
        let Some(_model) = LocalModel::start(&arguments).await.unwrap() else {
            lacks("the small model", "models");
            return None;
        };
        let url = _model.url.clone();
        // A small model follows a small prompt.
        let _dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(_dir.path().join("workspace")).unwrap();
        std::fs::create_dir_all(_dir.path().join("config")).unwrap();
        let prompt = "You are a helpful assistant. Answer in one short sentence.";
        std::fs::write(_dir.path().join("workspace/AGENTS.md"), prompt).unwrap();
        std::fs::write(
            _dir.path().join("config/agent-config.json"),
            r#"{"agents": [{"role": "scout"}]}"#,
        )
        .unwrap();
        let mut daemon = vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("LLM_MODEL_DEFAULT", "smollm2".to_owned()),
            ("OPENAI_BASE_URL", url.clone()),
            ("WOMBAT_RUN_TIMEOUT_SECS", "300".to_owned()),
            // The same prompt at any time: a model this small is easily led astray.
            ("WOMBAT_INCLUDE_TIME_CONTEXT", "false".to_owned()),
        ];
        daemon.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let example = _dir.path().to_owned();
        let options = StackOptions { daemon, example, ..StackOptions::default() };
        let stack = Stack::start(&options).await.unwrap();
        let task = stack.person("ann").post("/tasks", &json!({ "title": "Talk" })).await.unwrap();
        let task_id = task["id"].as_str().unwrap().to_owned();
        Some(Self { stack, task_id, model_url: url, _model, dir: _dir })
    }

    /// Sends a message; returns the run and the last reply that is stored.
    async fn send(&self, message: &str) -> (Value, String) {
        self.send_with(message, json!({})).await
    }

    async fn send_with(&self, message: &str, limits: Value) -> (Value, String) {
        let body = self.message(message, limits);
        let (_, run) = self.daemon("/api/agents/send", &body).await;
        let reply = self.replies().await.pop();
        let reply = reply.unwrap_or_else(|| panic!("no reply is stored: {run}"));
        (run, reply)
    }

    fn message(&self, message: &str, limits: Value) -> Value {
        json!({
            "user_id": "ann", "session_key": "user:ann:scout", "message": message, "limits": limits,
            "task_id": self.task_id, "metadata": { "prompt_mode": "minimal" },
        })
    }

    /// The replies that are stored in the task.
    async fn replies(&self) -> Vec<String> {
        let path = format!("/messages?task_id={}", self.task_id);
        let thread = self.stack.person("ann").list(&path).await.unwrap();
        let replies = thread.iter().filter(|message| message["actor_type"] == "agent");
        replies.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
    }

    async fn daemon(&self, path: &str, body: &Value) -> (u16, Value) {
        let call = reqwest::Client::new()
            .post(format!("{}{path}", self.stack.daemon_url))
            .header("x-agent-daemon-key", self.stack.daemon_key())
            .timeout(PATIENCE)
            .json(body);
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The task of docs/REAL_MODELS.md.
    async fn task(&self) -> (u16, Value) {
        let schema = json!({
            "type": "object", "properties": { "city": { "type": "string" } },
            "required": ["city"], "additionalProperties": false,
        });
        let body = json!({ "prompt": "What is the capital of France?", "schema": schema });
        self.daemon("/llm-task", &body).await
    }

    /// Why the model sees no tools, by `/health`: the server is asked beside the first run.
    async fn unseen_tools(&self) -> String {
        let asked = async {
            loop {
                let call = reqwest::Client::new()
                    .get(format!("{}/health", self.stack.daemon_url))
                    .header("x-agent-daemon-key", self.stack.daemon_key());
                let health: Value = call.send().await.unwrap().json().await.unwrap();
                if let Some(why) = health["tools"]["models"]["openai/smollm2"]["unseen"].as_str() {
                    return why.to_owned();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("/health does not tell")
    }

    /// What `wombat-daemon check` says.
    async fn check(&self, settings: &[(&str, &str)]) -> Vec<String> {
        let output = Command::new(Program::path("wombat-daemon").unwrap())
            .arg("check")
            .current_dir(self.dir.path())
            .env_clear()
            .envs([
                ("AGENT_JWT_SECRET", self.stack.agent_secret()),
                ("BACKEND_URL", &self.stack.backend_url),
                ("LLM_PROVIDER", "openai"),
                ("LLM_MODEL_DEFAULT", "smollm2"),
                ("OPENAI_BASE_URL", &self.model_url),
            ])
            .envs(settings.iter().copied())
            .output()
            .await
            .unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    async fn a_prompt_that_is_too_long_is_said_so_and_nothing_is_stored(&self) {
        let before = self.replies().await;
        let body = self.message(&"word ".repeat(9_000), json!({}));
        let (status, error) = self.daemon("/api/agents/send", &body).await;
        assert_eq!((status, &error["code"]), (422, &json!("context_too_long")), "{error}");
        let said = error["error"].as_str().unwrap();
        assert!(said.contains("exceeds the available context size"), "{said}");
        assert_eq!(self.replies().await, before);
    }

    /// What the model's server tells of itself.
    async fn server(&self, path: &str) -> String {
        let url = self.model_url.replace("/v1", path);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    /// Waits until the server's one slot is free, by its own word; returns the tokens of all answers that
    /// it has completed.
    async fn written_when_idle(&self) -> u64 {
        let idle = async {
            loop {
                let slots: Value = serde_json::from_str(&self.server("/slots").await).unwrap();
                if slots[0]["is_processing"] == false {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, idle).await.expect("the server works for nobody");
        let metrics = self.server("/metrics").await;
        let total =
            metrics.lines().find_map(|l| l.strip_prefix("llamacpp:tokens_predicted_total "));
        total.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
    }
}

#[tokio::test]
async fn a_real_models_reply_makes_sense_and_is_stored() {
    let Some(mut world) = World::start(&[]).await else { return };
    let (run, reply) = world.send("What is the capital of France?").await;
    assert!(reply.contains("Paris"), "{reply} ({run})");
    assert_eq!(run["usage"]["estimated"], Value::Null, "{run}");
    assert!(run["usage"]["prompt_tokens"].as_u64().unwrap() > 10, "{run}");
    // Its chat template has no place for tools, and the server does not say so by itself.
    let unseen = world.unseen_tools().await;
    assert!(unseen.contains("will never see its tools"), "{unseen}");
    let checked = world.check(&[]).await;
    assert!(
        checked.iter().any(|line| line.starts_with("warn  model: openai/smollm2")
            && line.contains("will never see its tools")),
        "{checked:#?}"
    );
    // docs/REAL_MODELS.md, with both of the server's protocols that OpenAI has.
    let (status, task) = world.task().await;
    assert_eq!((status, &task["output"]), (200, &json!({ "city": "Paris" })), "{task}");
    assert_eq!((&task["validated"], &task["usage"]["estimated"]), (&json!(true), &Value::Null));
    world.a_prompt_that_is_too_long_is_said_so_and_nothing_is_stored().await;
    world.stack.stop().await.unwrap();
}

/// How many tokens an endless answer would have.
const ENDLESS: u64 = 4_000;

#[tokio::test]
async fn the_slot_of_a_run_that_nobody_wants_any_more_is_free() {
    let answer = ENDLESS.to_string();
    let Some(mut world) = World::start(&["--endless", "--answer", &answer]).await else { return };
    for is_cancelled in [true, false] {
        let http = reqwest::Client::new();
        let key = world.stack.daemon_key();
        let url = format!("{}/api/agents/stream", world.stack.daemon_url);
        let body = world.message("Tell a story.", json!({}));
        let call = http.post(url).header("x-agent-daemon-key", key).json(&body);
        let mut stream = call.send().await.unwrap();
        let mut told = String::new();
        // The model writes.
        while !told.contains(r#""type":"chunk""#) {
            let chunk = stream.chunk().await.unwrap().unwrap_or_else(|| panic!("{told}"));
            told.push_str(&String::from_utf8_lossy(&chunk));
        }
        if is_cancelled {
            let (_, rest) = told.split_once(r#""run_id":""#).unwrap();
            let (run, _) = rest.split_once('"').unwrap();
            let url = format!("{}/api/agents/runs/{run}", world.stack.daemon_url);
            let call = http.delete(url).header("x-agent-daemon-key", key);
            assert_eq!(call.send().await.unwrap().status(), 200);
        } else {
            drop(stream);
        }
        assert!(world.written_when_idle().await < ENDLESS);
    }
    assert_eq!(world.replies().await, Vec::<String>::new());
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_real_models_responses_are_understood() {
    let Some(mut world) = World::start_with(&[], &[("OPENAI_API", "responses")]).await else {
        return;
    };
    let (run, reply) = world.send("What is the capital of France?").await;
    assert!(reply.contains("Paris"), "{reply} ({run})");
    // The first answer is free text: llama.cpp reads no `text.format`. The correction is held to the
    // schema, and its history holds a turn of the model.
    let (status, task) = world.task().await;
    assert_eq!((status, &task["output"]), (200, &json!({ "city": "Paris" })), "{task}");
    // The server calls an answer complete that it has cut off.
    let mut body = world.message("Tell a long story.", json!({ "max_output_tokens": 16 }));
    // Without the thread, whose short answers it would follow.
    body["messages"] = json!([]);
    let (_, run) = world.daemon("/api/agents/send", &body).await;
    assert_eq!(run["finish_reason"], "length", "{run}");
    assert_ne!(run["response"], "", "{run}");
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_real_models_tool_call_has_its_effect() {
    let Some(mut world) = World::start(&["--force-tool", "create_task"]).await else { return };
    let (run, reply) = world.send("Create a task: Buy milk.").await;
    assert_eq!(run["steps"][0]["ok"], true, "{run}");
    let tasks = world.stack.person("ann").list("/tasks").await.unwrap();
    let titles: Vec<_> = tasks.iter().map(|task| task["title"].as_str().unwrap()).collect();
    assert_eq!(titles.len(), 2, "{titles:?}");
    assert!(titles.iter().any(|title| title.to_lowercase().contains("milk")), "{titles:?}");
    assert!(!reply.trim().is_empty(), "{run}");
    world.stack.stop().await.unwrap();
}
