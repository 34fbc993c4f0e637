//! A user whose data was erased begins anew with the real programs: the daemon mints other tokens by itself. And what a
//! daemon runs with stands in the audit log.

use std::time::Duration;

use daemon_client::{RunAnswer, SendRequest};
use serde_json::{Value, json};
use test_support::stack::{Stack, StackOptions, example};

use crate::kills::{OPTIONS, client};

const WORD: &str = "zq7canaryx9";

async fn say(stack: &Stack, message: &str) -> RunAnswer {
    let request = SendRequest {
        user_id: "ann".into(),
        session_key: "user:ann:scout".into(),
        task_title: Some(message.into()),
        message: message.into(),
        ..SendRequest::default()
    };
    client(&stack.daemon_url, stack.daemon_key()).send(&request, &OPTIONS).await.unwrap()
}

async fn call(stack: &Stack, method: reqwest::Method, path: &str) -> Value {
    let url = format!("{}/api/mission-control{path}", stack.backend_url);
    let call = reqwest::Client::new().request(method, url);
    let answer = call.header("x-internal-token", stack.internal_token()).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{path}");
    answer.json().await.unwrap()
}

#[tokio::test]
async fn whoever_was_erased_begins_anew() {
    let mut stack = Stack::start(&StackOptions { example: example(), ..StackOptions::default() })
        .await
        .unwrap();
    let started = loop {
        let acts = call(&stack, reqwest::Method::GET, "/audit?act=daemon.started").await;
        match acts["items"].as_array().unwrap().first() {
            Some(act) => break act.clone(),
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let details = &started["details"];
    assert_eq!(details["settings_digest"].as_str().unwrap().len(), 64, "{started}");
    assert_eq!(details["workspace_digests"]["default"].as_str().unwrap().len(), 64, "{started}");

    say(&stack, &format!("hello {WORD}")).await;
    let path = "/users/ann/agent-data?messages=delete";
    let erased = call(&stack, reqwest::Method::DELETE, path).await;
    assert!(erased["counts"]["steps"].as_u64().unwrap() > 0, "{erased}");
    assert!(stack.person("ann").list("/tasks").await.unwrap().is_empty());

    let answer = say(&stack, "hello again").await;
    assert!(answer.response.is_some_and(|reply| !reply.contains(WORD)));
    let tasks = stack.person("ann").list("/tasks").await.unwrap();
    assert_eq!(
        tasks.iter().map(|task| &task["title"]).collect::<Vec<_>>(),
        [&json!("hello again")]
    );
    stack.stop().await.unwrap();
}
