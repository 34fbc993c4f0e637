//! The other protocols (docs/PROTOCOLS.md): their official clients against the real daemon.

mod a2a;
mod ag_ui;
mod asking;
mod files;
mod mcp_server;
mod openai;
mod openai_responses;
mod push;
mod typed;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::stack::{Person, Stack, StackOptions};
use test_support::wait_for;
use tokio::process::Command;

use crate::peers;

const USER: &str = "ann";

/// Timeout for one part of a client's script.
const PATIENCE: Duration = Duration::from_secs(60);

/// A workspace whose scout needs approval to create documents, and has a helper.
fn workspace(scout: Value) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("workspace/AGENTS.md", "Be brief.");
    write(
        "workspace/skills/weather/SKILL.md",
        "---\nname: weather\ndescription: Tells the weather.\n---\nLook out of the window.\n",
    );
    let agents = json!({ "agents": [scout, { "role": "helper" }] });
    write("config/agent-config.json", &agents.to_string());
    dir
}

/// All three programs, with one protocol enabled.
struct World {
    stack: Stack,
    person: Person,
    llm: ScriptedLlm,
    _dir: TempDir,
}

impl World {
    async fn new(protocol: &str, replies: Vec<Reply>) -> Self {
        let scout = json!({ "role": "scout", "tools": { "approval": ["create_document"] } });
        Self::with(protocol, replies, scout).await
    }

    /// With this entry of agent-config for the role scout.
    async fn with(protocol: &str, replies: Vec<Reply>, scout: Value) -> Self {
        Self::set(protocol, replies, scout, &[]).await
    }

    /// With further settings of the daemon.
    async fn set(
        protocol: &str,
        replies: Vec<Reply>,
        scout: Value,
        settings: &[(&'static str, &str)],
    ) -> Self {
        let llm = ScriptedLlm::start(replies).await;
        let dir = workspace(scout);
        let mut daemon = vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_BASE_URL", llm.base_url()),
            ("WOMBAT_RETRY_ATTEMPTS", "1".to_owned()),
            ("WOMBAT_PROTOCOLS", protocol.to_owned()),
        ];
        daemon.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let options =
            StackOptions { daemon, example: dir.path().to_owned(), ..StackOptions::default() };
        let stack = Stack::start(&options).await.unwrap();
        let person = stack.person(USER);
        Self { stack, person, llm, _dir: dir }
    }

    /// Runs one part of a client's script, and returns its report.
    async fn client(&self, program: &Path, script: &str, part: &str, with: &Value) -> Value {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
        let client = Command::new(program)
            .arg(dir.join(script))
            .arg(part)
            .env("DAEMON_URL", &self.stack.daemon_url)
            .env("DAEMON_KEY", self.stack.daemon_key())
            .env("WITH", with.to_string())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, client).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script} {part}: {said}{complained}");
        let last = said.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|_| panic!("{script} {part}: {said}{complained}"))
    }

    /// Lets a client start a run that the model never answers, and disconnect after the model call.
    async fn client_leaves(&self, program: &Path, script: &str, part: &str) -> Value {
        self.is_idle().await;
        let asked = self.llm.asked().len();
        let dir = tempfile::tempdir().unwrap();
        let sign = dir.path().join("leave");
        let with = json!({ "leave_at": sign });
        let client = self.client(program, script, part, &with);
        let watch = async {
            wait_for("the model to be asked", async || {
                (self.llm.asked().len() > asked).then_some(())
            })
            .await;
            std::fs::write(&sign, "").unwrap();
        };
        let (seen, ()) = tokio::join!(client, watch);
        self.is_idle().await;
        seen
    }

    async fn titles(&self, of: &str) -> Vec<String> {
        let all = self.person.list(of).await.unwrap();
        let mut titles: Vec<_> =
            all.iter().map(|one| one["title"].as_str().unwrap().to_owned()).collect();
        titles.sort();
        titles
    }

    async fn decide(&self, title: &str, status: &str) {
        let all = self.person.list("/tool-requests").await.unwrap();
        let wanted = all.iter().find(|request| request["arguments"]["title"] == title).unwrap();
        let path = format!("/tool-requests/{}", wanted["id"].as_str().unwrap());
        self.person.patch(&path, &json!({ "status": status })).await.unwrap();
    }

    /// Waits until no run is in flight.
    async fn is_idle(&self) {
        wait_for("the end of all runs", async || {
            let metrics = reqwest::Client::new()
                .get(format!("{}/metrics", self.stack.daemon_url))
                .header("x-agent-daemon-key", self.stack.daemon_key())
                .send()
                .await
                .unwrap();
            metrics.text().await.unwrap().contains("wombat_runs_in_flight 0\n").then_some(())
        })
        .await;
    }
}

/// Node, where these packages are installed.
fn node(packages: &[&str]) -> Option<PathBuf> {
    for package in packages {
        peers::npm(package)?;
    }
    Some("node".into())
}

fn new_task(title: &str) -> (&'static str, Value) {
    ("create_task", json!({ "title": title }))
}

fn new_document(title: &str) -> (&'static str, Value) {
    ("create_document", json!({ "title": title, "content": "Text." }))
}
