//! Debian's Prometheus and `promtool` against the metrics of the real programs, and `ops/`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use test_support::llm::{Reply, ScriptedLlm};
use test_support::stack::{Stack, StackOptions, example};
use test_support::wait_for;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::peers::{free_port, installed};

/// The metrics token.
const TOKEN: &str = "canary-of-the-metrics";

fn ops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops")
}

async fn promtool(program: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(ops())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

/// All three programs after a delivered message whose run called a tool, a repetition and a stream;
/// and the URLs of their metrics.
async fn watched() -> (Stack, [String; 3]) {
    let llm = ScriptedLlm::start([
        Reply::json(429, json!({})).header("retry-after", "0"),
        Reply::call("create_task", &json!({ "title": "Made" })),
        Reply::text("Done."),
        Reply::sse_calls(&[("create_task", json!({ "title": "Streamed" }))]),
        Reply::text("Done."),
    ])
    .await;
    let port = free_port();
    let options = StackOptions {
        everywhere: vec![
            ("WOMBAT_METRICS_TOKEN", TOKEN.to_owned()),
            ("DISPATCH_HTTP_PORT", port.to_string()),
        ],
        daemon: vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_API_KEY", "sk-test".to_owned()),
            ("OPENAI_BASE_URL", llm.base_url()),
        ],
        example: example(),
        ..StackOptions::default()
    };
    let stack = Stack::start(&options).await.unwrap();
    let person = stack.person("ann-of-the-metrics");
    let task = person.post("/tasks", &json!({ "title": "T" })).await.unwrap();
    let message = json!({ "task_id": task["id"], "content": "@scout make a plan" });
    person.post("/messages", &message).await.unwrap();
    let thread = format!("/messages?task_id={}", task["id"].as_str().unwrap());
    wait_for("the reply", async || (person.list(&thread).await.unwrap().len() == 2).then_some(()))
        .await;
    let body = json!({ "user_id": "ann-of-the-metrics", "session_key": "user:ann-of-the-metrics:scout",
        "message": "Go.", "task_id": task["id"], "stream": true });
    let answer = reqwest::Client::new()
        .post(format!("{}/api/agents/send", stack.daemon_url))
        .header("x-agent-daemon-key", stack.daemon_key())
        .json(&body);
    let stream = answer.send().await.unwrap().text().await.unwrap();
    assert!(stream.contains("event: done"), "{stream}");
    let urls =
        [stack.daemon_url.clone(), format!("http://127.0.0.1:{port}"), stack.backend_url.clone()];
    (stack, urls)
}

async fn scrape(url: &str) -> String {
    let call = reqwest::Client::new().get(format!("{url}/metrics")).bearer_auth(TOKEN);
    let answer = call.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    answer.text().await.unwrap()
}

/// The names of Wombat's metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c));
    words.filter(|name| name.starts_with("wombat_")).collect()
}

#[tokio::test]
async fn promtool_finds_no_fault_in_the_rules_and_each_alert_fires_when_it_should() {
    let Some(program) = installed("promtool") else { return };
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts.test.yml"],
        ["check", "config", "--syntax-only"],
    ] {
        let mut arguments = arguments.to_vec();
        if arguments[1] == "config" {
            arguments.push("prometheus.yml");
        }
        let output = promtool(&program, &arguments, "").await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    let rules = std::fs::read_to_string(ops().join("alerts.yml")).unwrap();
    let tests = std::fs::read_to_string(ops().join("alerts.test.yml")).unwrap();
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        let fires = format!("        alertname: {alert}\n        exp_alerts:\n          - ");
        assert!(tests.contains(&fires), "no test lets {alert} fire");
    }
}

#[tokio::test]
async fn what_dashboard_and_alerts_ask_for_is_in_real_answers_that_promtool_accepts() {
    let (mut stack, urls) = watched().await;
    let mut all = String::new();
    for url in &urls {
        let bare = reqwest::get(format!("{url}/metrics")).await.unwrap();
        assert_eq!(bare.status(), 401, "{url} without the token");
        let text = scrape(url).await;
        assert!(!text.contains("ann-of-the-metrics") && !text.contains(TOKEN), "{text}");
        if let Some(program) = installed("promtool") {
            let output = promtool(&program, &["check", "metrics"], &text).await;
            assert!(output.status.success() && output.stderr.is_empty(), "{url}: {output:?}");
        }
        all += &text;
    }
    let there = names(&all);
    for file in ["alerts.yml", "grafana-dashboard.json"] {
        let text = std::fs::read_to_string(ops().join(file)).unwrap();
        let missing: Vec<_> = names(&text).difference(&there).copied().collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}\n{all}");
    }
    for line in [
        "wombat_llm_retries_total{model=\"openai/gpt-4o-mini\"} 1",
        "wombat_dispatcher_delivery_age_seconds_count 1",
        "wombat_backend_notifications_waiting 0",
    ] {
        assert!(all.contains(line), "{line}\n{all}");
    }
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_real_prometheus_scrapes_all_three_and_loads_the_rules() {
    let Some(program) = installed("prometheus") else { return };
    let (mut stack, urls) = watched().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = std::fs::read_to_string(ops().join("prometheus.yml")).unwrap();
    for (port, url) in ["8081", "9081", "8000"].into_iter().zip(&urls) {
        let known = format!("localhost:{port}");
        assert!(config.contains(&known), "{config}");
        config = config.replace(&known, url.strip_prefix("http://").unwrap());
    }
    std::fs::write(dir.path().join("prometheus.yml"), config.replace("15s", "1s")).unwrap();
    std::fs::write(dir.path().join("metrics-token"), TOKEN).unwrap();
    std::fs::copy(ops().join("alerts.yml"), dir.path().join("alerts.yml")).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut prometheus = Command::new(program)
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg(format!("--web.listen-address={address}"))
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let http = reqwest::Client::new();
    let ask = async |path: &str| -> Option<Value> {
        let answer = http.get(format!("http://{address}/api/v1/{path}")).send().await.ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    };
    for name in [
        "wombat_runs_total",
        "wombat_dispatcher_delivery_age_seconds_bucket",
        "wombat_backend_requests_total",
    ] {
        wait_for(name, async || {
            let found = ask(&format!("query?query={name}")).await?;
            (!found["data"]["result"].as_array()?.is_empty()).then_some(())
        })
        .await;
    }
    let up = ask("query?query=up").await.unwrap();
    let up = up["data"]["result"].as_array().unwrap();
    assert!(up.len() == 3 && up.iter().all(|target| target["value"][1] == "1"), "{up:?}");
    let rules = ask("rules").await.unwrap();
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() >= 9 && rules.iter().all(|rule| rule["lastError"].is_null()), "{rules:?}");
    prometheus.kill().await.unwrap();
    stack.stop().await.unwrap();
}
