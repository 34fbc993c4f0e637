//! The program between a backend and a daemon.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    missing_docs
)]

mod arrival;
mod clocks;
mod retries;
mod schedules;
mod settings;

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use wiremock::matchers::{body_partial_json, header, header_exists, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const HEARTBEAT: &str = "/api/mission-control/heartbeat";
const SEND: &str = "/api/agents/send";

struct Setup {
    server: MockServer,
    dir: TempDir,
}

impl Setup {
    /// A backend that says this, and a daemon that says that.
    async fn new(heartbeat: ResponseTemplate, send: ResponseTemplate) -> Self {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path(HEARTBEAT))
            .and(header_exists("x-agent-token"))
            .respond_with(heartbeat)
            .mount(&server)
            .await;
        Mock::given(method("POST"))
            .and(path(SEND))
            .and(header("x-agent-daemon-key", "k"))
            .and(body_partial_json(json!({"task_title": "Heartbeat", "metadata":
                {"type": "heartbeat", "prompt_mode": "minimal", "model_tier": "cheap"}})))
            .respond_with(send)
            .mount(&server)
            .await;
        Self { server, dir: tempfile::tempdir().unwrap() }
    }

    fn program(&self) -> Command {
        let mut command = program(self.dir.path());
        command
            .env("USER_ID", "u")
            .env("AGENT_ROLE", "scout")
            .env("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef")
            .env("AGENT_DAEMON_API_KEY", "k")
            .env("BACKEND_URL", self.server.uri())
            .env("AGENT_DAEMON_URL", self.server.uri());
        command
    }

    fn agents(&self, agents: Value) {
        std::fs::create_dir_all(self.dir.path().join("workspace")).unwrap();
        let path = self.dir.path().join("workspace/agent-config.json");
        std::fs::write(path, json!({ "agents": agents }).to_string()).unwrap();
    }

    async fn bodies(&self, path: &str) -> Vec<Value> {
        let requests = self.server.received_requests().await.unwrap();
        let hits = requests.iter().filter(|request| request.url.path() == path);
        hits.map(|request| request.body_json().unwrap()).collect()
    }
}

fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wombat-heartbeat"));
    command.env_clear().current_dir(dir).kill_on_drop(true);
    command
}

async fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn pending(notifications: u64, tasks: u64) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "status": "ok", "claimed": true, "more": 7,
        "pending": {"notifications": notifications, "tasks": tasks}
    }))
}

fn reply(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn did() -> ResponseTemplate {
    reply(json!({"status": "ok", "response": "Did it."}))
}

#[tokio::test]
async fn the_agent_runs_when_something_waits() {
    let setup = Setup::new(pending(2, 1), did()).await;
    let (code, out, err) = run(&mut setup.program()).await;
    assert_eq!(code, 0, "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].contains(r#""notifications":2"#) && lines[0].contains(r#""more":7"#), "{out}");
    assert_eq!(lines[1..], ["Did it.", "heartbeat_ok"]);
    assert_eq!(setup.bodies(HEARTBEAT).await, [json!({"user_id": "u", "role": "scout"})]);
    let sent = setup.bodies(SEND).await;
    assert_eq!(sent[0]["session_key"], "user:u:scout");
    assert!(sent[0]["message"].as_str().unwrap().contains("2 unread notifications, 1 open tasks"));
    assert!(sent[0].get("idempotency_key").is_none());
}

#[tokio::test]
async fn the_agent_sleeps_on_when_nothing_waits_unless_it_must_wake() {
    let silent = reply(json!({"status": "ok", "response": "", "silent": true}));
    let setup = Setup::new(pending(0, 0), silent).await;
    let (code, out, _) = run(&mut setup.program()).await;
    assert_eq!((code, out.lines().count()), (0, 2), "{out}");
    assert!(setup.bodies(SEND).await.is_empty());
    let (code, out, _) = run(setup.program().args(["--wake", "always"])).await;
    assert_eq!(code, 0);
    assert!(out.ends_with("nothing to do\nheartbeat_ok\n"), "{out}");
}

#[tokio::test]
async fn only_recording_asks_the_daemon_nothing() {
    let setup = Setup::new(pending(2, 1), did()).await;
    let (code, out, _) = run(setup.program().args(["--wake", "never"])).await;
    assert!(code == 0 && out.ends_with("heartbeat_ok\n"), "{out}");
    assert!(setup.bodies(SEND).await.is_empty());
}

#[tokio::test]
async fn a_slot_is_claimed_and_makes_the_run_repeatable() {
    let setup = Setup::new(pending(1, 0), did()).await;
    let slot = "2026-01-31T10:00:00+01:00";
    assert_eq!(run(setup.program().args(["--slot", slot])).await.0, 0);
    assert_eq!(setup.bodies(HEARTBEAT).await[0]["slot"], "2026-01-31T09:00:00Z");
    let key = &setup.bodies(SEND).await[0]["idempotency_key"];
    assert_eq!(key, "heartbeat:2026-01-31T09:00:00Z");
}

#[tokio::test]
async fn the_automatic_slot_is_the_roles_last_cron_tick() {
    let setup = Setup::new(pending(0, 0), did()).await;
    setup.agents(json!([{"role": "scout", "heartbeat_cron": "0 0 1 1 *"}]));
    let (code, _, err) = run(setup.program().args(["--slot", "auto"]).env("TZ", "UTC")).await;
    assert_eq!(code, 0, "{err}");
    let slot = setup.bodies(HEARTBEAT).await[0]["slot"].as_str().unwrap().to_owned();
    assert!(slot.ends_with("-01-01T00:00:00Z"), "{slot}");
}

#[tokio::test]
async fn a_slot_that_another_machine_claimed_is_left_to_it() {
    let claimed = reply(json!({"status": "ok", "claimed": false,
        "pending": {"notifications": 5, "tasks": 5}}));
    let setup = Setup::new(claimed, did()).await;
    let (code, out, _) = run(setup.program().args(["--slot", "auto", "--wake", "always"])).await;
    assert!(code == 0 && out.contains(r#""claimed":false"#), "{out}");
    assert!(setup.bodies(SEND).await.is_empty());
}

#[tokio::test]
async fn all_roles_of_all_users_wake_and_one_failure_stops_no_other() {
    let setup = Setup::new(pending(1, 0), did()).await;
    setup.agents(json!([{"role": "scout"}, {"role": "writer"}]));
    let all = ["--user", "u1", "--user", "u2", "--all-roles"];
    let (code, out, err) = run(setup.program().args(all)).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.matches("Did it.").count(), 4, "{out}");
    assert_eq!(setup.bodies(SEND).await.len(), 4);
    // One agent's run fails: the others still run, and the end says which one.
    Mock::given(body_partial_json(json!({"session_key": "user:u1:writer"})))
        .respond_with(ResponseTemplate::new(500).set_body_json(json!({"error": "broke\ndown"})))
        .with_priority(1)
        .mount(&setup.server)
        .await;
    let (code, out, err) = run(setup.program().args(all)).await;
    assert_eq!(code, 1);
    assert_eq!(out.matches("Did it.").count(), 3, "{out}");
    assert!(!out.contains("heartbeat_ok"), "{out}");
    assert_eq!(err, "wombat-heartbeat: user:u1:writer: the daemon answered 500: broke down\n");
}

#[tokio::test]
async fn a_failure_is_one_clear_line() {
    let down = ResponseTemplate::new(401).set_body_json(json!({"error": "bad token"}));
    let setup = Setup::new(down, did()).await;
    let (code, out, err) = run(&mut setup.program()).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.contains("401") && err.contains("AGENT_JWT_SECRET"), "{err}");
}

#[tokio::test]
async fn a_backend_without_heartbeat_is_no_reason_not_to_wake_on_demand() {
    let setup = Setup::new(ResponseTemplate::new(404), did()).await;
    assert_eq!(run(&mut setup.program()).await.0, 1);
    let (code, out, _) = run(setup.program().args(["--wake", "always"])).await;
    assert_eq!((code, out.as_str()), (0, "Did it.\nheartbeat_ok\n"));
}

#[tokio::test]
async fn a_mistake_of_configuration_is_told_before_any_call() {
    let setup = Setup::new(pending(1, 1), did()).await;
    let (code, _, err) = run(setup.program().env_remove("USER_ID")).await;
    assert_eq!((code, err.lines().count()), (78, 1), "{err}");
    assert!(err.contains("USER_ID"), "{err}");
    assert_eq!(run(setup.program().env_remove("AGENT_JWT_SECRET")).await.0, 78);
    assert_eq!(run(setup.program().env("AGENT_ROLE", "../x")).await.0, 78);
    assert_eq!(run(setup.program().arg("--all-roles")).await.0, 78);
    assert!(setup.server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_crontab_is_printed_without_keys() {
    let setup = Setup::new(pending(1, 1), did()).await;
    setup.agents(json!([{"role": "scout", "heartbeat_cron": "*/15 * * * *"}, {"role": "idle"}]));
    let (code, out, err) = run(program(setup.dir.path()).args(["crontab", "--user", "u"])).await;
    assert_eq!(code, 0, "{err}");
    let jobs: Vec<&str> = out.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(jobs.len(), 1, "{out}");
    assert!(jobs[0].starts_with("*/15 * * * * cd "), "{out}");
    assert!(jobs[0].ends_with("wombat-heartbeat --user u --role scout --slot auto"), "{out}");
}
