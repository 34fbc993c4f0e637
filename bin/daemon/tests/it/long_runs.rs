//! Runs that reach their last step, their deadline or the end of the model's window.

use std::time::Duration;

use serde_json::{Value, json};
use wiremock::ResponseTemplate;
use wiremock::matchers::{method, path};

use crate::harness::{MC, World, calls, completion, message, refuses, says};
use crate::limits::{cut_call, thread};

#[tokio::test]
async fn a_summing_up_that_ends_badly_is_an_error_with_the_word() {
    let world = World::new().await;
    let call = calls(&[("list_tasks", json!({}))]);
    let half = json!({ "role": "assistant", "content": "Half of" });
    world.model(vec![call, completion(half, "abort")]).await;
    let (status, answer) =
        world.daemon.send(&message(json!({ "limits": { "max_steps": 1 } }))).await;
    assert_eq!((status, &answer["code"]), (502, &json!("llm_bad_answer")), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("abort"), "{answer}");
    assert_eq!(answer["details"]["steps"][0]["name"], "list_tasks");
    assert!(world.backend_got("POST", "/messages").await.is_empty());
}

#[tokio::test]
async fn a_model_that_calls_tools_after_three_cuts_has_not_used_up_its_steps() {
    let world = World::new().await;
    let call = calls(&[("list_tasks", json!({}))]);
    world.model(vec![cut_call(), cut_call(), cut_call(), call]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["code"]), (502, &json!("llm_bad_answer")), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("16 tokens"), "{answer}");
    assert!(world.backend_got("POST", "/messages").await.is_empty());
}

#[tokio::test]
async fn the_reply_in_place_of_a_summary_is_streamed() {
    let world = World::new().await;
    world.model(vec![calls(&[("list_tasks", json!({}))])]).await;
    let body = message(json!({ "limits": { "max_steps": 1 } }));
    let response = world.daemon.post("/api/agents/stream", &body).send().await.unwrap();
    let text = response.text().await.unwrap();
    let told = |line: &&str| line.contains("\"chunk\"") && line.contains("list_tasks: done");
    assert!(
        text.lines().filter(|line| line.starts_with("data:")).any(|line| told(&line)),
        "{text}"
    );
}

#[tokio::test]
async fn a_small_window_leaves_out_a_short_history() {
    let world = World::with(&[("LLM_MODEL_DEFAULT", "some-model")], json!({})).await;
    let too_long = refuses(
        400,
        "context_length_exceeded",
        "This model's maximum context length is 4096 tokens. However, you requested more.",
    );
    world.model(vec![too_long, says("ok")]).await;
    let body = json!({ "messages": thread(4, 400), "message": "word".repeat(2_000) });
    let (status, answer) = world.daemon.send(&message(body)).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["context_warning"].as_str().unwrap().contains("left out"), "{answer}");
    let asked = world.model_got().await;
    assert!(asked[1].to_string().len() < asked[0].to_string().len() - 4_000);
}

#[tokio::test]
async fn long_results_of_one_turn_are_shortened_to_fit() {
    let settings = [("LLM_MODEL_DEFAULT", "some-model"), ("WOMBAT_TOOL_RESULT_MAX_CHARS", "20000")];
    let world = World::with(&settings, json!({})).await;
    let task = json!({ "id": "t2", "title": "word".repeat(6_000) });
    world.backend_says("GET", "/tasks", 200, json!({ "items": [task] })).await;
    let list = ("list_tasks", json!({}));
    let all = calls(&[list.clone(), list.clone(), list.clone(), list]);
    let too_long = refuses(
        400,
        "context_length_exceeded",
        "This model's maximum context length is 16384 tokens. However, you requested more.",
    );
    world.model(vec![all, too_long, says("ok")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["context_warning"].as_str().unwrap().contains("shortened"), "{answer}");
    let asked = world.model_got().await;
    let results = |asked: &Value| {
        let all = asked["messages"].as_array().unwrap().clone();
        all.iter()
            .filter(|one| one["role"] == "tool")
            .map(|one| one["content"].to_string().len())
            .sum::<usize>()
    };
    assert!(results(&asked[1]) > 4 * 20_000 && results(&asked[2]) < 11_000 * 4, "{answer}");
    assert_eq!(world.backend_got("GET", "/tasks").await.len(), 4);
}

#[tokio::test]
async fn what_was_done_in_the_turn_that_reaches_the_deadline_is_told() {
    let world = World::new().await;
    let slow = ResponseTemplate::new(200)
        .set_body_json(json!({ "id": "d1", "title": "Plan" }))
        .set_delay(Duration::from_secs(30));
    wiremock::Mock::given(method("POST"))
        .and(path(format!("{MC}/documents")))
        .respond_with(slow)
        .with_priority(5)
        .mount(&world.backend)
        .await;
    world
        .model(vec![calls(&[
            ("create_document", json!({ "title": "Plan", "content": "Buy milk." })),
            ("create_task", json!({ "title": "Milk" })),
            ("list_tasks", json!({})),
        ])])
        .await;
    let (status, answer) =
        world.daemon.send(&message(json!({ "limits": { "timeout_secs": 2 } }))).await;
    assert_eq!((status, &answer["code"]), (504, &json!("run_timeout")), "{answer}");
    let steps = answer["details"]["steps"].as_array().unwrap();
    let done: Vec<_> =
        steps.iter().filter(|step| step["ok"] == true).map(|step| step["name"].as_str()).collect();
    assert_eq!(done, [Some("create_task"), Some("list_tasks")], "{answer}");
}
