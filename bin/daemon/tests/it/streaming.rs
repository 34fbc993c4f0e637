use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::harness::{World, message, refuses, says};

/// A streamed answer of the model in OpenAI's form.
fn streams(words: &[&str]) -> ResponseTemplate {
    let mut body = String::new();
    for word in words {
        let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini",
            "choices": [{ "index": 0, "delta": { "role": "assistant", "content": word }, "finish_reason": null }] });
        body += &format!("data: {chunk}\n\n");
    }
    let last = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini",
        "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let usage = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini",
        "choices": [], "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 } });
    body += &format!("data: {last}\n\ndata: {usage}\n\ndata: [DONE]\n\n");
    ResponseTemplate::new(200).set_body_raw(body, "text/event-stream")
}

/// Names and data of the events of a response.
fn events(text: &str) -> Vec<(String, Value)> {
    text.split("\n\n")
        .filter_map(|block| {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            Some((field("event: ")?.to_owned(), serde_json::from_str(field("data: ")?).unwrap()))
        })
        .collect()
}

#[tokio::test]
async fn a_stream_tells_the_run_live_and_stores_the_same_reply() {
    for (path, more) in
        [("/api/agents/stream", json!({})), ("/api/agents/send", json!({ "stream": true }))]
    {
        let world = World::new().await;
        world.model(vec![streams(&["one ", "two ", "three"])]).await;
        let response = world.daemon.post(path, &message(more)).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let events = events(&response.text().await.unwrap());
        let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.first(), Some(&"start"));
        assert_eq!(names.last(), Some(&"done"), "{events:?}");
        assert!(events.iter().all(|(name, data)| data["type"] == *name));
        let text: String = events
            .iter()
            .filter(|(name, _)| name == "chunk")
            .map(|(_, data)| data["data"].as_str().unwrap())
            .collect();
        assert_eq!(text, "one two three");
        let done = &events.last().unwrap().1;
        assert_eq!(done["response"], "one two three");
        assert_eq!(done["message_id"], "m1");
        assert_eq!(done["usage"]["total_tokens"], 110);
        let posted = world.backend_got("POST", "/messages").await;
        let stored: Value = serde_json::from_slice(&posted[0].body).unwrap();
        assert_eq!(stored["content"], "one two three");
    }
}

#[tokio::test]
async fn what_fails_before_the_start_is_a_plain_error_and_afterwards_the_last_event() {
    let world = World::new().await;
    world.backend_says("GET", "/tasks", 401, json!({ "error": "no" })).await;
    let body = message(json!({ "task_id": null, "task_title": "x" }));
    let response = world.daemon.post("/api/agents/stream", &body).send().await.unwrap();
    assert_eq!(response.status(), 502);
    assert_eq!(response.json::<Value>().await.unwrap()["code"], "backend_auth");
    world.model(vec![refuses(400, "invalid_request_error", "bad")]).await;
    let response =
        world.daemon.post("/api/agents/stream", &message(json!({}))).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let events = events(&response.text().await.unwrap());
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["start", "error"]);
    assert_eq!(events[1].1["code"], "llm_rejected");
}

#[tokio::test]
async fn a_run_can_be_cancelled_by_its_id() {
    let world = World::new().await;
    world.model(vec![says("late").set_delay(std::time::Duration::from_secs(30))]).await;
    let body = message(json!({ "idempotency_key": "k" }));
    let mut response = world.daemon.post("/api/agents/stream", &body).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("run_id") {
        text += std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap();
    }
    let run_id = events(&text)[0].1["run_id"].as_str().unwrap().to_owned();
    let url = format!("{}/api/agents/runs/{run_id}", world.daemon.url);
    let receipt: Value = world.daemon.http.delete(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(receipt["status"], "cancelled");
    assert_eq!(receipt["estimated"], true);
    assert!(receipt["usage"]["prompt_tokens"].as_u64().unwrap() > 0);
    let rest = response.text().await.unwrap();
    assert_eq!(events(&rest).last().unwrap().1["code"], "run_cancelled");
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!((status, &answer["code"]), (409, &json!("run_cancelled")));
    assert!(world.backend_got("POST", "/messages").await.is_empty());
    let usage: Value = world.daemon.get("/usage").await.json().await.unwrap();
    assert!(usage["estimatedTokens"].as_u64().unwrap() > 0, "{usage}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_hands_over_and_books_what_was_said() {
    let world = World::new().await;
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": "Half of an answer" } }] });
    let broken =
        ResponseTemplate::new(200).set_body_raw(format!("data: {chunk}\n\n"), "text/event-stream");
    world.model(vec![broken]).await;
    let response =
        world.daemon.post("/api/agents/stream", &message(json!({}))).send().await.unwrap();
    let events = events(&response.text().await.unwrap());
    let (name, data) = events.last().unwrap();
    assert_eq!((name.as_str(), &data["code"]), ("error", &json!("llm_bad_answer")), "{events:?}");
    assert_eq!(data["details"]["response"], "Half of an answer");
    assert!(data["details"]["usage"]["completion_tokens"].as_u64().unwrap() > 0);
    let usage: Value = world.daemon.get("/usage").await.json().await.unwrap();
    assert!(
        usage["estimatedTokens"].as_u64() > Some(0)
            && usage["totalOutputTokens"].as_u64() > Some(0),
        "{usage}"
    );
    assert!(world.backend_got("POST", "/messages").await.is_empty());
}
