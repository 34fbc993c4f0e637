//! `cost` is an object wherever it stands, also where a price is not known.

use serde_json::{Value, json};

use crate::harness::{World, message, says};

const UNKNOWN: [(&str, &str); 2] =
    [("LLM_MODEL_DEFAULT", "openai/gpt-unknown"), ("LLM_MODEL_CHEAP", "openai/gpt-unknown")];

/// Tokens as they were used, and no price.
fn is_unknown(cost: &Value) {
    let expected = json!({
        "model": "gpt-unknown", "inputTokens": 100, "outputTokens": 10, "inputCost": 0.0,
        "outputCost": 0.0, "totalCost": 0.0, "currency": "USD", "known": false
    });
    assert_eq!(*cost, expected);
}

#[tokio::test]
async fn a_model_without_a_price_has_a_cost_that_is_not_known() {
    let world = World::with(&UNKNOWN, json!({})).await;
    world.model(vec![says("Hi")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    is_unknown(&answer["cost"]);

    let stream = world.daemon.post("/api/agents/stream", &message(json!({}))).send().await.unwrap();
    let text = stream.text().await.unwrap();
    let done = text.lines().find(|line| line.contains(r#""type":"done""#)).unwrap();
    let done: Value = serde_json::from_str(done.trim_start_matches("data:")).unwrap();
    is_unknown(&done["cost"]);

    let turn = |text: &str| json!({ "role": "user", "content": text });
    let turns = json!({ "messages": [turn("a"), turn("b"), turn("c")], "keep_recent": 1 });
    for (path, body) in [("/compact", turns), ("/llm-task", json!({ "prompt": "p" }))] {
        let answer = world.daemon.post(path, &body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        is_unknown(&answer["cost"]);
    }
    let mismatch = json!({ "prompt": "p", "schema": { "type": "object" } });
    let answer = world.daemon.post("/llm-task", &mismatch).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["code"], "schema_mismatch", "{answer}");
    assert_eq!(answer["details"]["cost"]["known"], false, "{answer}");

    world.backend_says("POST", "/messages", 500, json!({ "error": "no" })).await;
    let (_, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(answer["code"], "reply_not_stored", "{answer}");
    is_unknown(&answer["details"]["cost"]);
}

#[tokio::test]
async fn a_run_without_a_model_call_costs_nothing_and_that_is_known() {
    let world = World::with(&UNKNOWN, json!({ "message_lookup": true })).await;
    let reply = json!({ "id": "m7", "task_id": "t1", "content": "earlier" });
    world.backend_says("GET", "/messages", 200, json!({ "items": [reply] })).await;
    let (status, answer) = world.daemon.send(&message(json!({ "idempotency_key": "k" }))).await;
    assert_eq!((status, &answer["replayed"]), (200, &json!(true)), "{answer}");
    let cost = &answer["cost"];
    assert_eq!((&cost["totalCost"], &cost["known"]), (&json!(0.0), &json!(true)), "{answer}");
}
