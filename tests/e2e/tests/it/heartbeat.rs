//! `wombat-heartbeat` with the real backend and the real daemon.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::program::Program;
use test_support::stack::{Stack, StackOptions};

/// A workspace with a yearly heartbeat for scout, so that all calls of a test are in the same tick.
fn workspace(checklist: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for sub in ["workspace", "config"] {
        std::fs::create_dir(dir.path().join(sub)).unwrap();
    }
    std::fs::write(dir.path().join("workspace/HEARTBEAT.md"), checklist).unwrap();
    let config = json!({ "agents": [
        { "role": "scout", "heartbeat_cron": "0 0 1 1 *" },
        { "role": "writer", "heartbeat_cron": "0 0 1 1 *" },
    ] });
    std::fs::write(dir.path().join("config/agent-config.json"), config.to_string()).unwrap();
    dir
}

async fn stack(dir: &Path, llm: &ScriptedLlm) -> Stack {
    let options = StackOptions {
        daemon: vec![("LLM_PROVIDER", "openai".to_owned()), ("OPENAI_BASE_URL", llm.base_url())],
        example: dir.to_owned(),
        ..StackOptions::default()
    };
    Stack::start(&options).await.unwrap()
}

fn heartbeat(dir: &Path, stack: &Stack, arguments: &[&str]) -> Program {
    let settings = [
        ("USER_ID", "ann".to_owned()),
        ("AGENT_ROLE", "scout".to_owned()),
        ("BACKEND_URL", stack.backend_url.clone()),
        ("AGENT_DAEMON_URL", stack.daemon_url.clone()),
        ("AGENT_DAEMON_API_KEY", stack.daemon_key().to_owned()),
        ("AGENT_JWT_SECRET", stack.agent_secret().to_owned()),
        ("WOMBAT_AGENT_CONFIG", dir.join("config/agent-config.json").display().to_string()),
        ("TZ", "UTC".to_owned()),
    ];
    Program::start("wombat-heartbeat", dir, &settings, arguments).unwrap()
}

async fn ended(mut program: Program) -> String {
    let status = program.wait().await.unwrap();
    let log = program.full_log().await;
    assert!(status.success(), "{status}: {log}");
    assert!(log.ends_with("heartbeat_ok\n"), "{log}");
    log
}

#[tokio::test]
async fn of_ten_machines_at_the_same_tick_one_makes_the_run_for_each_role() {
    let dir = workspace("- Look after the tasks.\n");
    let llm = ScriptedLlm::start([Reply::text("I looked."), Reply::text("I looked.")]).await;
    let mut stack = stack(dir.path(), &llm).await;
    let fleet: Vec<_> = (0..10)
        .map(|_| {
            let all = ["--all-roles", "--slot", "auto", "--wake", "always"];
            heartbeat(dir.path(), &stack, &all)
        })
        .collect();
    let mut looked = 0;
    for machine in fleet {
        looked += ended(machine).await.matches("I looked.").count();
    }
    assert_eq!((looked, llm.asked().len()), (2, 2), "one run for each of two roles");
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn an_empty_checklist_and_nothing_to_say_cost_no_call_and_no_message() {
    let dir = workspace("# Checklist\n\n- \n* [ ]\n");
    let llm = ScriptedLlm::start([Reply::text("**HEARTBEAT_OK** all quiet")]).await;
    let mut stack = stack(dir.path(), &llm).await;
    let said = ended(heartbeat(dir.path(), &stack, &["--wake", "always"])).await;
    assert!(said.contains("nothing to do"), "{said}");
    assert!(llm.asked().is_empty());

    std::fs::write(dir.path().join("workspace/HEARTBEAT.md"), "- Look.\n").unwrap();
    let said = test_support::wait_for("the edit is seen", async || {
        let said = ended(heartbeat(dir.path(), &stack, &["--wake", "always"])).await;
        (!llm.asked().is_empty()).then_some(said)
    })
    .await;
    assert!(said.contains("nothing to do"), "{said}");
    let person = stack.person("ann");
    let tasks = person.list("/tasks").await.unwrap();
    let task = tasks.iter().find(|task| task["title"] == "Heartbeat").unwrap();
    let path = format!("/messages?task_id={}", task["id"].as_str().unwrap());
    assert!(person.list(&path).await.unwrap().is_empty(), "nothing is stored");
    stack.stop().await.unwrap();
}
