//! A2A's contexts and lists, with backends that have other tasks, and many of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, Request, ResponseTemplate};

use crate::harness::{MC, World, says};

async fn world() -> World {
    let features = json!({ "tasks_get": true, "messages_list": true });
    World::with(&[("WOMBAT_PROTOCOLS", "a2a")], features).await
}

async fn call(world: &World, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let call = world.daemon.http.post(format!("{}/a2a/scout", world.daemon.url));
    let answer = call.header("x-wombat-user", "u1").json(&body).send().await.unwrap();
    answer.json().await.unwrap()
}

fn message(id: &str, context: &str) -> Value {
    json!({ "message": { "messageId": id, "role": "ROLE_USER", "contextId": context,
        "parts": [{ "text": "Go." }] } })
}

/// A task that has nothing to do with A2A.
async fn has_task(world: &World, title: &str) {
    let task = json!({ "id": "t-other", "title": title, "status": "pending" });
    Mock::given(method("GET"))
        .and(path(format!("{MC}/tasks")))
        .and(query_param("title", title))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "items": [task] })))
        .mount(&world.backend)
        .await;
}

#[tokio::test]
async fn a_context_that_a_client_makes_up_enters_no_unrelated_task() {
    let world = world().await;
    world.model(vec![says("Done.")]).await;
    for title in ["Chat", "a2a:Taken"] {
        has_task(&world, title).await;
    }
    let none = json!({ "error": "there is no such task", "code": "not_found" });
    for context in ["Chat", "Taken"] {
        world.backend_says("GET", &format!("/tasks/{context}"), 404, none.clone()).await;
    }
    world.backend_says("GET", "/messages", 200, json!({ "items": [] })).await;

    let answer = call(&world, "SendMessage", message("m1", "Chat")).await;
    let task = &answer["result"]["task"];
    assert_eq!((&task["id"], &task["contextId"]), (&json!("t-new"), &json!("Chat")), "{answer}");
    let made = world.backend_got("POST", "/tasks").await;
    let made: Value = serde_json::from_slice(&made[0].body).unwrap();
    assert_eq!(made["title"], "a2a:Chat", "{made}");
    assert_eq!(made["metadata"]["a2a_context"], "Chat", "{made}");

    let answer = call(&world, "SendMessage", message("m2", "Taken")).await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("t-other"), "{answer}");
    assert_eq!(world.backend_got("POST", "/tasks").await.len(), 1);
}

#[tokio::test]
async fn a_context_that_is_too_long_does_not_reach_the_backend() {
    let world = world().await;
    let context = "c".repeat(201);
    for (method, params) in
        [("SendMessage", message("m1", &context)), ("ListTasks", json!({ "contextId": context }))]
    {
        let answer = call(&world, method, params).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("contextId"), "{answer}");
    }
    let asked = world.backend.received_requests().await.unwrap();
    let asked: Vec<_> = asked.iter().filter(|asked| asked.url.path().contains("/tasks")).collect();
    assert!(asked.is_empty(), "{asked:?}");
}

#[tokio::test]
async fn a_page_looks_at_few_tasks_and_the_pages_lead_to_all() {
    let world = world().await;
    let page = |request: &Request| {
        let cursor = request.url.query_pairs().find(|(name, _)| name == "cursor");
        let from: usize = cursor.map_or(0, |(_, cursor)| cursor.parse().unwrap());
        let until = (from + 200).min(450);
        // The backend lists the oldest first.
        let items: Vec<_> = (from..until)
            .map(|n| {
                let at = format!("2026-01-01T{:02}:{:02}:00Z", n / 60, n % 60);
                json!({ "id": format!("t{n}"), "title": "Any", "status": "pending", "updated_at": at })
            })
            .collect();
        let mut body = json!({ "items": items });
        if until < 450 {
            body["next_cursor"] = json!(until.to_string());
        }
        ResponseTemplate::new(200).set_body_json(body)
    };
    let tasks = Mock::given(method("GET")).and(path(format!("{MC}/tasks"))).respond_with(page);
    tasks.mount(&world.backend).await;
    world.backend_says("GET", "/messages", 200, json!({ "items": [] })).await;

    let (mut seen, mut token, mut before) = (Vec::new(), String::new(), 0);
    loop {
        let answer =
            call(&world, "ListTasks", json!({ "pageSize": 100, "pageToken": token })).await;
        let page = &answer["result"];
        assert_eq!(page["totalSize"], 450, "{answer}");
        let tasks = page["tasks"].as_array().unwrap();
        seen.extend(tasks.iter().map(|task| task["id"].as_str().unwrap().to_owned()));
        let looked_at = world.backend_got("GET", "/messages").await.len();
        assert!(looked_at - before <= 200, "{} tasks for one page", looked_at - before);
        before = looked_at;
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    let newest_first: Vec<_> = (0..450).rev().map(|n| format!("t{n}")).collect();
    assert_eq!(seen, newest_first);
}

#[tokio::test]
async fn a_subscriber_of_a_task_that_waits_is_left_where_no_retry_helps() {
    let features = ["tasks_get", "tasks_update", "messages_list", "run_journal", "tool_requests"];
    let features = features.into_iter().map(|feature| (feature.to_owned(), json!(true)));
    let world =
        World::with(&[("WOMBAT_PROTOCOLS", "a2a")], Value::Object(features.collect())).await;
    let key = "a".repeat(64);
    let task = json!({ "id": "t1", "title": "Any", "status": "pending",
        "metadata": { "a2a_runs": { "scout": key } } });
    world.backend_says("GET", "/tasks/t1", 200, task).await;
    let asked = json!({ "id": "q1", "kind": "question", "status": "pending", "task_id": "t1", "run_key": key,
        "session_key": "user:u1:scout", "tool": "ask_user", "arguments": { "question": "Which?" } });
    world.backend_says("GET", "/tool-requests", 200, json!({ "items": [asked] })).await;
    let run = json!({ "run_key": key, "status": "awaiting_answer", "session_key": "user:u1:scout",
        "task_id": "t1", "detached": true, "steps": [] });
    let looks = AtomicUsize::new(0);
    let says = move |request: &Request| {
        let is_look = request.url.query_pairs().any(|(name, _)| name == "steps");
        if is_look && looks.fetch_add(1, Ordering::Relaxed) >= 2 {
            return ResponseTemplate::new(403).set_body_json(json!({ "error": "no" }));
        }
        ResponseTemplate::new(200).set_body_json(&run)
    };
    let at = format!("{MC}/runs/{key}");
    let runs = Mock::given(method("GET")).and(path(at)).respond_with(says);
    runs.mount(&world.backend).await;

    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": { "id": "t1" } });
    let call = world.daemon.http.post(format!("{}/a2a/scout", world.daemon.url));
    let call = call.header("x-wombat-user", "u1").json(&body).send();
    let told = async { call.await.unwrap().text().await.unwrap() };
    let told = tokio::time::timeout(Duration::from_secs(20), told).await.expect("the stream ends");
    assert!(told.contains("TASK_STATE_INPUT_REQUIRED"), "{told}");
    let asked = world.backend_got("GET", &format!("/runs/{key}")).await;
    let looks = asked.iter().filter(|asked| asked.url.query().unwrap_or("").contains("steps="));
    assert_eq!(looks.count(), 3, "one before the stream, one while it waits, one refused");
}
