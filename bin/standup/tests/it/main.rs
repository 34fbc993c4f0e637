//! The program against a backend of wiremock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::process::Command;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

async fn backend(status: u16, body: Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/mission-control/standup"))
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .mount(&server)
        .await;
    server
}

fn day(user: &str) -> Value {
    json!({ "date": "2026-11-23", "timezone": "UTC", "user_id": user, "summary": "1 done.",
        "done": [{ "id": "t", "title": "Call Bob" }], "in_progress": [], "blocked": [] })
}

async fn standup(
    arguments: &[&str],
    settings: &[(&str, &str)],
    server: &MockServer,
) -> (Output, Vec<Request>) {
    let dir = std::env::temp_dir();
    let output = Command::new(env!("CARGO_BIN_EXE_wombat-standup"))
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("BACKEND_URL", server.uri())
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    (output, server.received_requests().await.unwrap())
}

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8(output.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn one_users_day_is_asked_with_an_agent_token() {
    let server = backend(200, day("ann")).await;
    let settings = [("AGENT_JWT_SECRET", SECRET), ("USER_ID", "ann")];
    let (output, asked) =
        standup(&["--tz", "Europe/Berlin", "--date", "2026-11-23"], &settings, &server).await;
    let said = lines(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said.last().unwrap(), "standup_ok");
    assert!(said.contains(&"- Call Bob".to_owned()), "{said:?}");
    let body: Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!(
        body,
        json!({ "user_id": "ann", "timezone": "Europe/Berlin", "date": "2026-11-23" })
    );
    assert!(asked[0].headers.contains_key("x-agent-token"));
    assert!(!asked[0].headers.contains_key("x-internal-token"));
}

#[tokio::test]
async fn without_a_user_all_are_asked_with_the_internal_token() {
    let all = json!({ "date": "2026-11-23", "timezone": "Asia/Tokyo", "items": [day("ann"), day("bob")] });
    let server = backend(200, all.clone()).await;
    let settings = [("INTERNAL_API_TOKEN", "it"), ("STANDUP_TIMEZONE", "Asia/Tokyo")];
    let (output, asked) = standup(&["--format", "json"], &settings, &server).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let printed: Value = serde_json::from_str(text.strip_suffix("standup_ok\n").unwrap()).unwrap();
    assert_eq!(printed["items"][1]["user_id"], "bob");
    assert_eq!(asked[0].headers["x-internal-token"], "it");
    assert_eq!(
        serde_json::from_slice::<Value>(&asked[0].body).unwrap(),
        json!({ "timezone": "Asia/Tokyo" })
    );
}

#[tokio::test]
async fn what_is_wrong_is_said_in_a_line_before_anybody_is_asked() {
    let server = backend(200, day("ann")).await;
    let secret = ("AGENT_JWT_SECRET", SECRET);
    for (arguments, settings, told) in [
        (
            &["--tz", "Europe/Berln"][..],
            vec![secret, ("USER_ID", "a")],
            "--tz: unknown time zone \"Europe/Berln\"; did you mean Europe/Berlin",
        ),
        (&[], vec![secret, ("USER_ID", "a"), ("STANDUP_TIMEZONE", "Mars")], "STANDUP_TIMEZONE"),
        (&["--date", "23.11.2026"], vec![secret, ("USER_ID", "a")], "--date: must be a day"),
        (&["--user", "a:b"], vec![secret], "--user"),
        (&["--user", "a"], vec![], "AGENT_JWT_SECRET: is not set"),
        (&[], vec![secret], "INTERNAL_API_TOKEN: is not set"),
    ] {
        let (output, asked) = standup(arguments, &settings, &server).await;
        let said = lines(&output.stderr);
        assert_eq!((output.status.code(), asked.len()), (Some(78), 0), "{said:?}");
        assert!(said.len() == 1 && said[0].contains(told), "{said:?}");
    }
}

#[tokio::test]
async fn a_backend_that_says_no_fails_with_one_clear_line() {
    for (status, told) in [(401, "check AGENT_JWT_SECRET"), (404, "does not offer standup")] {
        let server = backend(status, json!({ "error": "no" })).await;
        let (output, _) = standup(&["--user", "a"], &[("AGENT_JWT_SECRET", SECRET)], &server).await;
        let said = lines(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.len() == 1 && said[0].contains(told), "{said:?}");
        assert!(output.stdout.is_empty());
    }
}
