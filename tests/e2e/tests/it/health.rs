//! `PROGRAM health`, as a container's health check runs it.

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use test_support::program::Program;
use test_support::stack::{Stack, StackOptions};
use test_support::wait_for;
use tokio::net::TcpListener;

use crate::peers::free_port;
use crate::streams::Model;

/// Exit code and output line of a health check with these settings and no secret.
async fn health(name: &str, settings: &[(&str, String)], arguments: &[&str]) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let arguments: Vec<_> = std::iter::once("health").chain(arguments.iter().copied()).collect();
    let mut program = Program::start(name, dir.path(), settings, &arguments).unwrap();
    let status = program.wait().await.unwrap();
    let said = program.full_log().await;
    assert_eq!(said.lines().count(), 1, "{said}");
    (status.code().unwrap(), said)
}

fn workspace(dir: &Path) {
    std::fs::create_dir_all(dir.join("workspace")).unwrap();
    std::fs::create_dir_all(dir.join("config")).unwrap();
    std::fs::write(dir.join("workspace/AGENTS.md"), "Be brief.").unwrap();
    std::fs::write(dir.join("config/agent-config.json"), r#"{"agents": [{"role": "scout"}]}"#)
        .unwrap();
}

#[tokio::test]
async fn a_program_is_ready_until_it_drains_and_not_when_it_is_gone() {
    let (model, model_url) = Model::start(false).await;
    let dir = tempfile::tempdir().unwrap();
    workspace(dir.path());
    let listens = free_port();
    let mut stack = Stack::start(&StackOptions {
        example: dir.path().to_owned(),
        everywhere: vec![("DISPATCH_HTTP_PORT", listens.to_string())],
        daemon: vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_BASE_URL", format!("{model_url}/v1")),
        ],
        ..StackOptions::default()
    })
    .await
    .unwrap();
    let port = |url: &str| url.rsplit(':').next().unwrap().to_owned();
    let backend = [("MC_PORT", port(&stack.backend_url))];
    // As in a container: it listens everywhere, and is asked on loopback.
    let daemon = [
        ("WOMBAT_PORT", port(&stack.daemon_url)),
        ("WOMBAT_HOST", "0.0.0.0".to_owned()),
        ("HTTP_PROXY", "http://127.0.0.1:9".to_owned()),
    ];
    let dispatcher = [("DISPATCH_HTTP_PORT", listens.to_string())];

    let (code, said) = health("wombat-mission-control", &backend, &[]).await;
    let expected = format!("wombat-mission-control: ready: {}/readyz\n", stack.backend_url);
    assert_eq!((code, said), (0, expected));
    let expected = format!("wombat-daemon: ready: {}/readyz\n", stack.daemon_url);
    assert_eq!(health("wombat-daemon", &daemon, &[]).await, (0, expected.clone()));
    assert_eq!(health("wombat-daemon", &[], &["--url", &stack.daemon_url]).await, (0, expected));
    wait_for("the dispatcher answers", async || {
        let (code, _) = health("wombat-dispatcher", &dispatcher, &[]).await;
        (code == 0).then_some(())
    })
    .await;

    // A run goes on, so the daemon drains until it is let go.
    let body = json!({
        "user_id": "ann", "session_key": "user:ann:scout", "task_title": "T", "message": "Go.",
    });
    let run = reqwest::Client::new()
        .post(format!("{}/api/agents/send", stack.daemon_url))
        .header("x-agent-daemon-key", stack.daemon_key())
        .json(&body);
    let run = tokio::spawn(run.send());
    let mut asked = model.asked.subscribe();
    asked.wait_for(|asked| *asked == 1).await.unwrap();
    stack.daemon.signal(Signal::TERM);
    let said = wait_for("it drains", async || {
        let (code, said) = health("wombat-daemon", &daemon, &[]).await;
        (code == 1).then_some(said)
    })
    .await;
    assert!(said.contains("answered 503") && said.contains("draining"), "{said}");
    model.go.send_replace(true);
    assert_eq!(run.await.unwrap().unwrap().status(), 200);
    assert!(stack.daemon.wait().await.unwrap().success());
    stack.backend.stop().await.unwrap();
    stack.dispatcher.stop().await.unwrap();
    for (name, settings) in [
        ("wombat-daemon", &daemon[..]),
        ("wombat-mission-control", &backend[..]),
        ("wombat-dispatcher", &dispatcher[..]),
    ] {
        let (code, said) = health(name, settings, &[]).await;
        assert!(code == 1 && said.contains("cannot be reached: "), "{code} {said}");
    }
}

#[tokio::test]
async fn a_backend_whose_database_is_away_is_not_ready() {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let Some(mut postgres) = test_support::postgres::Postgres::start(kept) else { return };
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef".to_owned()),
        ("DATABASE_URL", postgres.url()),
        ("MC_PORT", "0".to_owned()),
    ];
    let mut backend = Program::start("wombat-mission-control", dir.path(), &settings, &[]).unwrap();
    let url = backend.url().await.unwrap();
    let arguments = ["--url", &url];
    assert_eq!(health("wombat-mission-control", &[], &arguments).await.0, 0);
    postgres.stop();
    // The database is asked once in a second, whoever wants to know.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let (code, said) = health("wombat-mission-control", &[], &arguments).await;
        if code == 1 && said.contains("not ready") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{code} {said}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_in_one_line() {
    let broken = [
        ("wombat-daemon", &["--url", "127.0.0.1:8081"][..], "--url: "),
        ("wombat-mission-control", &["--url", "http://"], "--url: "),
        ("wombat-dispatcher", &[], "DISPATCH_HTTP_PORT is not set"),
    ];
    for (name, arguments, why) in broken {
        let (code, said) = health(name, &[], arguments).await;
        assert!(code == 1 && said.contains(why), "{code} {said}");
    }
    // One that takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let (code, said) = health("wombat-daemon", &[], &["--url", &url]).await;
    assert!(code == 1 && said.contains("gave no answer within 2 s"), "{code} {said}");
}
