//! The daemon's OpenAPI document: it is valid, each answer is as it says, and clients that three generators
//! make of it compile and work.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::stack::{Stack, StackOptions};
use tokio::process::Command;

use crate::peers;

/// A daemon, its document, and a folder for what is made of it.
struct World {
    stack: Stack,
    dir: TempDir,
}

impl World {
    async fn new() -> Self {
        let llm = ScriptedLlm::start([Reply::text("It is done.")]).await;
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("workspace/AGENTS.md", "Be brief.");
        write("workspace/BOOTSTRAP.md", "Say who you are.");
        write(
            "workspace/skills/weather/SKILL.md",
            "---\nname: weather\ndescription: Tells the weather.\n---\nLook out of the window.\n",
        );
        let scout = json!({ "role": "scout", "tools": {
            "approval": ["create_document"], "idempotent": ["create_task"], "enable": ["ask_user"] } });
        write("config/agent-config.json", &json!({ "agents": [scout] }).to_string());
        let daemon = vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_BASE_URL", llm.base_url()),
            ("WOMBAT_RETRY_ATTEMPTS", "1".to_owned()),
        ];
        let options =
            StackOptions { daemon, example: dir.path().to_owned(), ..StackOptions::default() };
        let stack = Stack::start(&options).await.unwrap();
        let document = reqwest::get(format!("{}/openapi.json", stack.daemon_url)).await.unwrap();
        let document = document.text().await.unwrap();
        std::fs::write(dir.path().join("openapi.json"), document).unwrap();
        Self { stack, dir }
    }

    /// Runs a program in the folder, and returns the last line that it prints.
    async fn run(&self, program: &Path, arguments: &[&str]) -> Value {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
        let output = Command::new(program)
            .args(arguments)
            .current_dir(self.dir.path())
            .env("DAEMON_URL", &self.stack.daemon_url)
            .env("DAEMON_KEY", self.stack.daemon_key())
            .env("PEERS", peers)
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}{complained}");
        let last = said.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|_| panic!("{arguments:?}: {said}{complained}"))
    }
}

fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

/// What each generated client does.
fn check(seen: &Value) {
    assert_eq!(seen["roles"], json!(["scout"]), "{seen}");
    assert_eq!(seen["reply"], "It is done.", "{seen}");
    assert_eq!(seen["total_tokens"], 110, "{seen}");
    assert_eq!(seen["refused"], "invalid_session_key", "{seen}");
    assert_eq!(seen["stranger"], "invalid_daemon_key", "{seen}");
}

#[tokio::test]
async fn the_document_is_valid_true_and_usable_from_python() {
    let Some(python) = peers::generators_python() else { return };
    let world = World::new().await;
    let script = peer("generated.py").display().to_string();
    let seen = world.run(&python, &[&script]).await;
    assert_eq!(seen["untrue"], json!([]), "answers that are not as the document says: {seen:#}");
    assert_eq!(seen["compared"].as_array().unwrap().len(), 16, "{seen}");
    check(&seen["client"]);
}

#[tokio::test]
async fn the_document_passes_redoclys_linter_and_is_usable_from_typescript() {
    let Some(folder) = peers::generators_node() else { return };
    let world = World::new().await;
    let packages = world.dir.path().join("node_modules");
    std::os::unix::fs::symlink(folder.join("node_modules"), packages).unwrap();
    let script = peer("generated.cjs").display().to_string();
    let seen = world.run(Path::new("node"), &[&script]).await;
    assert_eq!(seen["problems"], json!([]), "{seen:#}");
    for generator in ["openapi_fetch", "hey_api"] {
        check(&seen[generator]);
    }
}
