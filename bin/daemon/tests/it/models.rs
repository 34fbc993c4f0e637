//! `/compact` and `/llm-task`.

use serde_json::{Value, json};

use crate::harness::{World, refuses, says};

async fn post(world: &World, path: &str, body: Value) -> (u16, Value) {
    let response = world.daemon.post(path, &body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn turns(n: usize) -> Vec<Value> {
    let role = |i: usize| if i.is_multiple_of(2) { "user" } else { "assistant" };
    (0..n).map(|i| json!({ "role": role(i), "content": format!("turn {i}") })).collect()
}

#[tokio::test]
async fn older_turns_become_one_summary_and_the_newest_stay() {
    let world = World::with(&[("LLM_MODEL_CHEAP", "gpt-4.1-nano")], json!({})).await;
    world.model(vec![says("They spoke of turns.")]).await;
    let body = json!({ "messages": turns(6), "instructions": "Keep the numbers." });
    let (status, answer) = post(&world, "/compact", body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["original_count"], &answer["compacted_count"]), (&json!(6), &json!(3)));
    let messages = answer["compacted_messages"].as_array().unwrap();
    let summary = "[Previous conversation summary]\nThey spoke of turns.";
    assert_eq!(messages[0], json!({ "role": "system", "content": summary }));
    assert_eq!(messages[1..], turns(6)[4..]);
    assert_eq!((&answer["status"], &answer["usage"]["total_tokens"]), (&json!("ok"), &json!(110)));
    assert_eq!(answer["cost"]["model"], "gpt-4.1-nano");
    let asked = &world.model_got().await[0];
    assert_eq!(asked["model"], "gpt-4.1-nano");
    let sent = asked["messages"].to_string();
    assert!(
        sent.contains("Keep the numbers.") && sent.contains("turn 3") && !sent.contains("turn 4"),
        "{sent}"
    );
    let usage: Value = world.daemon.get("/usage").await.json().await.unwrap();
    assert_eq!(usage["requestCount"], 1);
}

#[tokio::test]
async fn there_may_be_nothing_to_shorten() {
    let world = World::new().await;
    for (n, keep) in [(1, 2), (2, 2), (5, 9)] {
        let (status, answer) =
            post(&world, "/compact", json!({ "messages": turns(n), "keep_recent": keep })).await;
        assert_eq!((status, &answer["compacted_messages"]), (200, &Value::from(turns(n))));
        assert_eq!(answer["usage"]["total_tokens"], 0);
    }
    assert!(world.model_got().await.is_empty());
    world.model(vec![says("All of it.")]).await;
    let (_, answer) =
        post(&world, "/compact", json!({ "messages": turns(3), "keep_recent": 0 })).await;
    assert_eq!((&answer["original_count"], &answer["compacted_count"]), (&json!(3), &json!(1)));
}

#[tokio::test]
async fn a_summary_that_fails_loses_nothing_and_says_why() {
    for (reply, status, code) in [
        (refuses(401, "x", "no"), 502, "llm_auth"),
        (refuses(503, "x", "busy"), 503, "llm_unavailable"),
        (says(" "), 502, "llm_empty_reply"),
    ] {
        let world = World::new().await;
        world.model(vec![reply]).await;
        let (got, answer) = post(&world, "/compact", json!({ "messages": turns(4) })).await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{answer}");
    }
    let world = World::new().await;
    let bad = json!({ "messages": [{ "role": "robot", "content": 1 }], "keep_recent": -1, "instructions": 7 });
    let (status, answer) = post(&world, "/compact", bad).await;
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_payload")));
    assert_eq!(answer["details"]["fields"].as_object().unwrap().len(), 4, "{answer}");
    assert_eq!(post(&world, "/compact", json!({ "messages": [] })).await.0, 400);
    assert_eq!(post(&world, "/compact", json!({})).await.0, 400);
}

fn person() -> Value {
    json!({ "type": "object", "required": ["name", "age"], "additionalProperties": false,
        "properties": { "name": { "type": "string" }, "age": { "type": "integer", "minimum": 0 } } })
}

#[tokio::test]
async fn an_answer_that_fits_the_schema_is_given_as_json() {
    let world = World::new().await;
    world.model(vec![says("```json\n{\"name\": \"Ann\", \"age\": 7}\n```")]).await;
    let body = json!({ "prompt": "Who?", "input": { "text": "Ann is 7" }, "schema": person(),
        "temperature": 0.5, "max_tokens": 50 });
    let (status, answer) = post(&world, "/llm-task", body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["output"], json!({ "name": "Ann", "age": 7 }));
    assert_eq!((&answer["validated"], &answer["model"]), (&json!(true), &json!("gpt-4o-mini")));
    assert_eq!(answer["usage"]["total_tokens"], 110);
    let asked = &world.model_got().await[0];
    assert_eq!(asked["response_format"]["type"], "json_schema");
    assert_eq!((&asked["temperature"], &asked["max_completion_tokens"]), (&json!(0.5), &json!(50)));
    assert!(asked["messages"][1]["content"].as_str().unwrap().contains("Ann is 7"));
}

#[tokio::test]
async fn without_a_schema_the_answer_is_json_where_it_is_any() {
    for (said, output) in [
        (
            r#"{"intent": "meet", "entities": ["Tue"]}"#,
            json!({"intent": "meet", "entities": ["Tue"]}),
        ),
        ("```json\n[1, 2]\n```", json!([1, 2])),
        (" true\n", json!(true)),
        ("\"positive\"", json!("positive")),
        ("17", json!(17)),
        ("{\"intent\": ", json!("{\"intent\": ")),
        ("positive", json!("positive")),
    ] {
        let world = World::new().await;
        world.model(vec![says(said)]).await;
        let (status, answer) = post(&world, "/llm-task", json!({ "prompt": "The intent?" })).await;
        assert_eq!((status, &answer["output"]), (200, &output), "{said}");
        assert_eq!(answer["validated"], false, "nothing was validated");
        let asked = &world.model_got().await[0];
        assert!(asked["messages"][0]["content"].as_str().unwrap().contains("JSON"), "{asked}");
    }
}

#[tokio::test]
async fn without_a_schema_an_answer_in_words_is_text() {
    let world = World::new().await;
    world.model(vec![says("Blue.")]).await;
    let (status, answer) =
        post(&world, "/llm-task", json!({ "prompt": "A colour?", "model": "openai/gpt-4.1" }))
            .await;
    assert_eq!(
        (status, &answer["output"], &answer["validated"]),
        (200, &json!("Blue."), &json!(false))
    );
    assert_eq!(world.model_got().await[0]["model"], "gpt-4.1");
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_repaired_once() {
    let world = World::new().await;
    world.model(vec![says("{\"name\": \"Ann\"}"), says("{\"name\": \"Ann\", \"age\": 7}")]).await;
    let (status, answer) =
        post(&world, "/llm-task", json!({ "prompt": "Who?", "schema": person() })).await;
    assert_eq!((status, &answer["output"]["age"]), (200, &json!(7)), "{answer}");
    assert_eq!(answer["usage"]["total_tokens"], 220);
    let told =
        world.model_got().await[1]["messages"].as_array().unwrap().last().unwrap().to_string();
    assert!(told.contains("age"), "{told}");
}

#[tokio::test]
async fn an_answer_that_never_fits_is_told_with_what_is_wrong() {
    let world = World::new().await;
    world.model(vec![says("no JSON"), says("{\"name\": 1, \"age\": -1}")]).await;
    let (status, answer) =
        post(&world, "/llm-task", json!({ "prompt": "Who?", "schema": person() })).await;
    assert_eq!((status, &answer["code"]), (422, &json!("schema_mismatch")));
    assert_eq!(answer["details"]["output"], json!({ "name": 1, "age": -1 }));
    assert_eq!(answer["details"]["errors"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(answer["details"]["usage"]["total_tokens"], 220);
    assert_eq!(world.model_got().await.len(), 2);
}

#[tokio::test]
async fn a_provider_that_knows_no_schemas_is_asked_without() {
    // Known as a refusal of the schema, known as a refused request, and not known at all.
    for (kind, why) in [
        ("unsupported", "no response_format"),
        ("unsupported_value", "Something else is wrong."),
        ("invalid_request_error", "Forms are not for this moon."),
    ] {
        let world = World::new().await;
        let reply = says("{\"name\": \"Ann\", \"age\": 7}");
        world.model(vec![refuses(400, kind, why), reply]).await;
        let (status, answer) =
            post(&world, "/llm-task", json!({ "prompt": "Who?", "schema": person() })).await;
        assert_eq!((status, &answer["output"]["name"]), (200, &json!("Ann")), "{why} {answer}");
        let asked = world.model_got().await;
        assert!(
            asked[1].get("response_format").is_none()
                && asked[1]["messages"][0].to_string().contains("additionalProperties"),
            "{why}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_task_is_said_at_once() {
    let world = World::new().await;
    let body = json!({ "prompt": " ", "schema": { "$ref": "https://example.com/x.json" }, "model": "a b",
        "temperature": 3, "max_tokens": 0 });
    let (status, answer) = post(&world, "/llm-task", body).await;
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_payload")));
    let mut fields: Vec<&String> =
        answer["details"]["fields"].as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["max_tokens", "model", "prompt", "schema", "temperature"], "{answer}");
    assert!(world.model_got().await.is_empty());
    let (status, answer) =
        post(&world, "/llm-task", json!({ "prompt": "x", "model": "groq/llama" })).await;
    assert_eq!((status, &answer["code"]), (503, &json!("llm_not_configured")));
}
