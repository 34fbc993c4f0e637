//! The program: exit codes, signals, `/livez` and `/metrics`.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::fake::{Fake, answers, notification, ok};

fn program(dir: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wombat-dispatcher"));
    command.env_clear().current_dir(dir).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn signal(child: &Child, name: &str) {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([name, &id]).status().await.unwrap().success());
}

#[tokio::test]
async fn a_missing_token_is_a_mistake_of_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let output = program(dir.path()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("INTERNAL_API_TOKEN"), "{text}");
}

#[tokio::test]
async fn once_delivers_what_waits_and_exits() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(answers(|_| ok()), json!({})).await;
    fake.put((0..3).map(|n| notification("u", &n.to_string())));
    let output = program(dir.path()).arg("--once").envs(fake.pairs()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fake.read(|log| log.acked.clone()), ["0", "1", "2"]);
}

#[tokio::test]
async fn it_serves_metrics_and_a_signal_ends_it_with_zero() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(answers(|_| ok()), json!({})).await;
    fake.put([notification("u", "1")]);
    let mut child = program(dir.path())
        .envs(fake.pairs())
        .env("DISPATCH_HTTP_PORT", "0")
        .env("WOMBAT_LOG_FORMAT", "json")
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap().expect("the address is logged");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        if let Some(address) = line["address"].as_str() {
            break address.to_owned();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    fake.until("acknowledged", |log| log.acked.len() == 1).await;
    let get = |path: &str| {
        let url = format!("http://{address}{path}");
        async move { reqwest::get(url).await.unwrap().text().await.unwrap() }
    };
    assert_eq!(get("/livez").await.trim(), "ok");
    let metrics = get("/metrics").await;
    assert!(metrics.contains("wombat_dispatcher_received_total 1"), "{metrics}");
    signal(&child, "-TERM").await;
    let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await.unwrap();
    assert_eq!(status.unwrap().code(), Some(0));
}
