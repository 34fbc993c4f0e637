//! Limits of models: cut answers, the last step, budgets, usage that nobody reported, long threads.

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::harness::{World, calls, completion, message, refuses, says};

/// A streamed answer of these chunks.
pub(crate) fn streamed(chunks: &[Value]) -> ResponseTemplate {
    let mut body: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    body += "data: [DONE]\n\n";
    ResponseTemplate::new(200).set_body_raw(body, "text/event-stream")
}

/// A streamed call whose arguments never came, because the answer was cut off.
pub(crate) fn cut_call() -> ResponseTemplate {
    let function = json!({ "name": "create_task", "arguments": "" });
    let call = json!({ "index": 0, "id": "c1", "type": "function", "function": function });
    streamed(&[
        json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] }),
        json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "length" }],
            "usage": { "prompt_tokens": 50, "completion_tokens": 16, "total_tokens": 66 } }),
    ])
}

#[tokio::test]
async fn a_call_that_was_cut_off_is_not_made_and_the_model_hears_of_it() {
    let world = World::new().await;
    world.model(vec![cut_call(), says("Then without.")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["response"]), (200, &json!("Then without.")), "{answer}");
    assert!(world.backend_got("POST", "/tasks").await.is_empty());
    assert_eq!(answer["steps"], json!([]));
    let asked = world.model_got().await;
    let told = asked[1]["messages"].as_array().unwrap().last().unwrap().to_string();
    assert!(told.contains("cut off") && told.contains("16 tokens"), "{told}");
}

#[tokio::test]
async fn the_same_cut_is_paid_for_four_times_at_most() {
    let world = World::new().await;
    world.model(vec![cut_call()]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["code"]), (502, &json!("llm_bad_answer")), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("output limit"), "{answer}");
    assert_eq!(world.model_got().await.len(), 4);
    assert!(world.backend_got("POST", "/messages").await.is_empty());
}

#[tokio::test]
async fn a_model_that_never_sums_up_leaves_what_it_did() {
    let world = World::new().await;
    world.model(vec![calls(&[("list_tasks", json!({}))])]).await;
    let (status, answer) =
        world.daemon.send(&message(json!({ "limits": { "max_steps": 2 } }))).await;
    assert_eq!(status, 200, "{answer}");
    let reply = answer["response"].as_str().unwrap();
    assert!(reply.contains("list_tasks: done"), "{reply}");
    assert_eq!(answer["steps"].as_array().unwrap().len(), 2);
    assert_eq!(world.backend_got("POST", "/messages").await.len(), 1);
}

#[tokio::test]
async fn no_answer_is_asked_for_that_the_model_cannot_give() {
    for more in [json!({ "max_output_tokens": 4_000_000 }), json!({ "max_cost_usd": 1 })] {
        let world = World::new().await;
        world.model(vec![says("ok")]).await;
        assert_eq!(world.daemon.send(&message(json!({ "limits": more }))).await.0, 200);
        let asked = &world.model_got().await[0];
        assert_eq!(limit(asked), Some(16_384), "{asked}");
    }
}

/// The output limit that was sent.
fn limit(asked: &Value) -> Option<u64> {
    ["max_completion_tokens", "max_tokens"].iter().find_map(|name| asked[name].as_u64())
}

/// A backend with budgets, of which this much is left.
pub(crate) async fn with_budget(left: f64) -> World {
    with_budget_and(left, &[]).await
}

/// The same, with settings of the daemon.
pub(crate) async fn with_budget_and(left: f64, settings: &[(&str, &str)]) -> World {
    let world = World::with(settings, json!({ "budgets": true })).await;
    world.backend_says("POST", "/usage", 200, json!({})).await;
    let budget = json!({ "limit_usd": 1, "spent_usd": 1.0 - left, "remaining_usd": left });
    world.backend_says("GET", "/budget", 200, budget).await;
    let reserve = wiremock::Mock::given(wiremock::matchers::method("POST"))
        .and(wiremock::matchers::path("/api/mission-control/budget/reserve"))
        .respond_with(move |request: &wiremock::Request| {
            let sent: Value = serde_json::from_slice(&request.body).unwrap();
            if sent["estimate_usd"].as_f64().unwrap() > left {
                let body = json!({ "error": "too little", "code": "budget_exceeded" });
                return ResponseTemplate::new(402).set_body_json(body);
            }
            ResponseTemplate::new(200).set_body_json(json!({ "reservation_id": "r1" }))
        });
    reserve.with_priority(5).mount(&world.backend).await;
    world.model(vec![says("ok")]).await;
    world
}

#[tokio::test]
async fn a_budget_reserves_what_a_call_can_cost_and_no_more() {
    let world = with_budget(0.5).await;
    let limits = json!({ "limits": { "max_cost_usd": 1 } });
    assert_eq!(world.daemon.send(&message(limits)).await.0, 200);
    let reserved = &world.backend_got("POST", "/budget/reserve").await[0];
    let reserved: Value = serde_json::from_slice(&reserved.body).unwrap();
    // 16,384 tokens at 0.60 dollars for a million, and the prompt.
    let usd = reserved["estimate_usd"].as_f64().unwrap();
    assert!((0.0098..0.0120).contains(&usd), "{usd}");
}

#[tokio::test]
async fn what_is_left_of_a_budget_limits_the_answer() {
    let world = with_budget(0.002).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let allowed = limit(&world.model_got().await[0]).unwrap();
    assert!((1_000..=3_400).contains(&allowed), "{allowed}");
    let reserved = world.backend_got("POST", "/budget/reserve").await;
    let last: Value = serde_json::from_slice(&reserved.last().unwrap().body).unwrap();
    assert!(last["estimate_usd"].as_f64().unwrap() <= 0.002, "{last}");
    let world = with_budget(0.0).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["code"]), (402, &json!("budget_exceeded")), "{answer}");
    assert!(world.model_got().await.is_empty());
}

#[tokio::test]
async fn usage_that_is_not_reported_is_estimated_and_marked() {
    let world = World::new().await;
    let text = "word ".repeat(100);
    let body = json!({ "id": "c", "choices": [{ "index": 0, "finish_reason": "stop",
        "message": { "role": "assistant", "content": text } }] });
    world.model(vec![ResponseTemplate::new(200).set_body_json(body)]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["usage"]["estimated"]), (200, &json!(true)), "{answer}");
    assert_eq!(answer["usage"]["completion_tokens"], 125);
    assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() > 100, "{answer}");
    let cost = answer["cost"]["totalCost"].as_f64().unwrap();
    assert!(cost > 0.0 && (cost * 1e6).fract().abs() < 1e-6, "{cost}");
    let usage: Value = world.daemon.get("/usage").await.json().await.unwrap();
    assert_eq!(usage["estimatedTokens"], answer["usage"]["total_tokens"]);
    world.llm.reset().await;
    world.model(vec![says("ok")]).await;
    let (_, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(answer["usage"].get("estimated"), None, "{answer}");
}

/// A thread of so many turns, each of about so many tokens.
pub(crate) fn thread(turns: usize, tokens: usize) -> Value {
    let role = |n: usize| if n.is_multiple_of(2) { "user" } else { "assistant" };
    (0..turns)
        .map(|n| json!({ "role": role(n), "content": format!("#{n} {}", "word".repeat(tokens)) }))
        .collect()
}

#[tokio::test]
async fn a_thread_longer_than_the_window_loses_its_oldest_turns_and_says_so() {
    let world = World::new().await;
    world.model(vec![says("ok")]).await;
    let (status, answer) =
        world.daemon.send(&message(json!({ "messages": thread(30, 10_000) }))).await;
    assert_eq!(status, 200, "{answer}");
    let warning = answer["context_warning"].as_str().unwrap();
    assert!(warning.contains("earlier messages") && warning.contains("left out"), "{warning}");
    let asked = &world.model_got().await[0];
    let text = asked["messages"].to_string();
    assert!(text.len() < 128_000 * 4, "{}", text.len());
    assert!(!text.contains("#0 ") && text.contains("#29 ") && text.contains("hello"));
    assert!(text.contains("left out to fit"), "the model is told");
}

#[tokio::test]
async fn a_window_that_is_not_known_is_found_by_asking() {
    let world = World::with(&[("LLM_MODEL_DEFAULT", "some-model")], json!({})).await;
    let too_long = || {
        let text =
            "This model's maximum context length is 32768 tokens. However, you requested more.";
        refuses(400, "context_length_exceeded", text)
    };
    world.model(vec![too_long(), too_long(), says("ok")]).await;
    let (status, answer) =
        world.daemon.send(&message(json!({ "messages": thread(40, 1_000) }))).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["context_warning"].as_str().unwrap().contains("left out"), "{answer}");
    let asked = world.model_got().await;
    let sizes: Vec<usize> = asked.iter().map(|asked| asked["messages"].to_string().len()).collect();
    assert!(sizes[1] < sizes[0] * 6 / 10 && sizes[2] < sizes[1] * 6 / 10, "{sizes:?}");
    // Without a history there is nothing to leave out.
    let world = World::with(&[("LLM_MODEL_DEFAULT", "some-model")], json!({})).await;
    world.model(vec![too_long()]).await;
    let (status, answer) = world.daemon.send(&message(json!({ "messages": [] }))).await;
    assert_eq!((status, &answer["code"]), (422, &json!("context_too_long")));
    assert_eq!(world.model_got().await.len(), 1);
}

#[tokio::test]
async fn half_a_text_is_asked_for_again_and_never_stored() {
    for word in ["insufficient_system_resource", "abort", "error", "network_error", "cancelled"] {
        let world = World::new().await;
        let half = json!({ "role": "assistant", "content": "The half of" });
        world.model(vec![completion(half.clone(), word), says("All of it.")]).await;
        let (status, answer) = world.daemon.send(&message(json!({}))).await;
        assert_eq!((status, &answer["response"]), (200, &json!("All of it.")), "{word}");
        let world = World::new().await;
        world.model(vec![completion(half, word)]).await;
        let (status, answer) = world.daemon.send(&message(json!({}))).await;
        assert_eq!((status, &answer["code"]), (502, &json!("llm_bad_answer")), "{word} {answer}");
        assert!(answer["error"].as_str().unwrap().contains(word), "{answer}");
        assert_eq!(world.model_got().await.len(), 3);
        assert!(world.backend_got("POST", "/messages").await.is_empty());
    }
}

#[tokio::test]
async fn what_was_used_before_the_deadline_is_booked_and_told() {
    let world = World::new().await;
    let call = calls(&[("list_tasks", json!({}))]);
    let slow = says("too late").set_delay(std::time::Duration::from_secs(30));
    world.model(vec![call, slow]).await;
    let (status, answer) =
        world.daemon.send(&message(json!({ "limits": { "timeout_secs": 1 } }))).await;
    assert_eq!((status, &answer["code"]), (504, &json!("run_timeout")), "{answer}");
    let details = &answer["details"];
    assert_eq!(details["usage"]["estimated"], true, "{answer}");
    assert!(details["usage"]["prompt_tokens"].as_u64().unwrap() > 110, "{answer}");
    assert!(details["cost"]["totalCost"].as_f64().unwrap() > 0.0, "{answer}");
    assert_eq!(details["steps"][0]["name"], "list_tasks", "{answer}");
    let usage: Value = world.daemon.get("/usage").await.json().await.unwrap();
    assert_eq!(usage["totalTokens"], details["usage"]["total_tokens"]);
}
