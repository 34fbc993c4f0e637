//! Real runs as tests, through the real programs: runs of the reference backend are exported, replayed and compared.

use std::fs;
use std::path::Path;
use std::process::Output;

use daemon_client::{RunAnswer, SendRequest};
use serde_json::Value;
use tempfile::TempDir;
use test_support::program::Program;
use test_support::stack::{Stack, StackOptions};
use tokio::process::Command;

use crate::kills::{OPTIONS, client};

const AGENTS: &str = r#"{"agents": [
  {"role": "scout", "tools": {"deny": ["list_notifications"]}, "redact": {"to": ["traces"],
    "patterns": [{"name": "customer", "regex": "C-[0-9]{6}"}]}}
]}"#;

/// A model that makes a task of what it is told, tries what it may not, and repeats the message.
const SCRIPT: &str = r#"
rules:
  - when: {user: "^note (.*)", step: 0}
    call: [{name: create_task, arguments: {title: "{1}"}}, {name: list_notifications, arguments: {}}]
  - when: {user: "^note (.*)", step: 2, tool: list_notifications}
    say: "noted: {1}"
  - say: "hello, {user}"
"#;

const MESSAGE: &str = "note write to ann.lee@mail.org about DE89 3704 0044 0532 0130 00, card 4111 1111 1111 1111, \
                       call +43 1 5131234, customer C-123456, user annabel";

struct World {
    stack: Stack,
    dir: TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("workspace/AGENTS.md", "Be exact.");
        write("config/agent-config.json", AGENTS);
        write("model.yaml", SCRIPT);
        let script = dir.path().join("model.yaml").display().to_string();
        let options = StackOptions {
            daemon: vec![("LLM_PROVIDER", "offline".to_owned()), ("LLM_OFFLINE_SCRIPT", script)],
            example: dir.path().to_owned(),
            ..StackOptions::default()
        };
        Self { stack: Stack::start(&options).await.unwrap(), dir }
    }

    async fn say(&self, user: &str, message: &str) -> RunAnswer {
        let request = SendRequest {
            user_id: user.into(),
            session_key: format!("user:{user}:scout").into(),
            task_title: Some("Talk".into()),
            message: message.into(),
            ..SendRequest::default()
        };
        let client = client(&self.stack.daemon_url, self.stack.daemon_key());
        client.send(&request, &OPTIONS).await.unwrap()
    }

    /// The key of the run that answers this.
    async fn key(&self, user: &str, message: &str) -> String {
        self.say(user, message).await.run_key.unwrap().into_owned()
    }

    async fn eval(&self, arguments: &[&str]) -> Output {
        Command::new(Program::path("wombat-daemon").unwrap())
            .arg("eval")
            .args(arguments)
            .current_dir(self.dir.path())
            .env_clear()
            .env("LLM_PROVIDER", "offline")
            .env("LLM_OFFLINE_SCRIPT", "model.yaml")
            .env("WOMBAT_WORKSPACE", "workspace")
            .env("AGENT_JWT_SECRET", self.stack.agent_secret())
            .env("INTERNAL_API_TOKEN", self.stack.internal_token())
            .env("BACKEND_URL", &self.stack.backend_url)
            .kill_on_drop(true)
            .output()
            .await
            .unwrap()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join(path)).unwrap()
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

#[tokio::test]
async fn real_runs_become_cases_without_personal_data_and_pass() {
    let mut world = World::new().await;
    world.say("annabel", MESSAGE).await;
    world.say("annabel", MESSAGE).await;
    world.say("bob", "hello from bob").await;

    let output = world.eval(&["export", "--out", "cases.yaml"]).await;
    assert_eq!(code(&output), 0, "{}", told(&output));
    let yaml = world.read("cases.yaml");
    let personal = ["ann.lee", "DE89 3704", "4111 1111", "5131234", "C-123456", "annabel", "bob"];
    for secret in personal {
        assert!(!yaml.contains(secret), "{secret}\n{yaml}");
    }
    for shape in ["person1@example.com", "C-000001", "user-", "+43 "] {
        assert!(yaml.contains(shape), "{shape}\n{yaml}");
    }
    assert!(!yaml.contains("person2@"), "equal values have one placeholder\n{yaml}");
    assert_eq!(yaml.matches("  - id: scout-").count(), 3, "{yaml}");

    // The message of the cases has changed as a whole, so that the model does the same as before.
    let output = world.eval(&["run", "cases.yaml", "--json", "report.json"]).await;
    assert_eq!(code(&output), 0, "{}", told(&output));
    let report: Value = serde_json::from_str(&world.read("report.json")).unwrap();
    let cases = report["cases"].as_array().unwrap();
    let noted = cases.iter().find(|case| case["turns"] == 2).unwrap();
    let answered: Vec<_> =
        noted["calls"].as_array().unwrap().iter().map(|call| &call["answered"]).collect();
    assert_eq!(answered, ["journal", "refused"], "{report:#}");

    let output = world.eval(&["export", "--raw", "--user", "annabel", "--limit", "1"]).await;
    let raw = String::from_utf8(output.stdout).unwrap();
    assert!(
        personal[..6].iter().all(|secret| raw.contains(secret)) && !raw.contains("bob"),
        "{raw}"
    );
    assert_eq!(raw.matches("  - id: scout-").count(), 1, "{raw}");

    // Without the rule the call is no longer refused, and nothing answers it.
    let config = Path::new("config/agent-config.json");
    let allowed = AGENTS.replace("\"deny\": [\"list_notifications\"]", "\"deny\": []");
    fs::write(world.dir.path().join(config), allowed).unwrap();
    let output = world.eval(&["run", "cases.yaml"]).await;
    assert_eq!(code(&output), 1, "{}", told(&output));
    assert!(told(&output).contains("got list_notifications {}"), "{}", told(&output));
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn runs_are_compared_with_each_other_and_with_a_replay() {
    let mut world = World::new().await;
    let first = world.key("annabel", "note one").await;
    let second = world.key("annabel", "note one").await;
    let other = world.key("annabel", "note two").await;

    let output = world.eval(&["diff", &first, &second]).await;
    assert_eq!(code(&output), 0, "{}", told(&output));
    let output = world.eval(&["diff", &first, &other]).await;
    assert_eq!(code(&output), 1, "{}", told(&output));
    assert!(
        told(&output)
            .contains("- create_task {\"title\":\"one\"}\n+ create_task {\"title\":\"two\"}"),
        "{}",
        told(&output)
    );

    let output = world.eval(&["rerun", &first]).await;
    assert_eq!(code(&output), 0, "{}", told(&output));
    let tasks = world.stack.person("annabel").list("/tasks").await.unwrap();
    let output = world.eval(&["export", "--run", &first]).await;
    assert!(told(&output).contains(&first), "{}", told(&output));

    // Another workspace, another model: the replay differs, and nothing was done.
    fs::write(world.dir.path().join("model.yaml"), "rules: [{say: other}]").unwrap();
    let output = world.eval(&["rerun", &first, "--model", "offline/other"]).await;
    assert_eq!(code(&output), 1, "{}", told(&output));
    assert!(
        told(&output).contains("+ not made") && told(&output).contains("offline/other"),
        "{}",
        told(&output)
    );
    assert_eq!(world.stack.person("annabel").list("/tasks").await.unwrap(), tasks);

    for arguments in
        [&["diff", "nothing", &first][..], &["rerun", "nothing"], &["export", "--run", "nothing"]]
    {
        let output = world.eval(arguments).await;
        assert_eq!(code(&output), 1, "{}", told(&output));
        assert!(told(&output).contains("there is no run nothing"), "{}", told(&output));
    }
    world.stack.stop().await.unwrap();
}
