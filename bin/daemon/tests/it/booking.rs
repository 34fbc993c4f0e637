//! What is reserved, booked and told of calls that fail, break off, or do not say what they used.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::harness::{World, calls, message, says};
use crate::limits::{streamed, with_budget, with_budget_and};

/// An answer of so many tokens that ends badly.
fn broken(tokens: usize) -> ResponseTemplate {
    streamed(&[
        json!({ "choices": [{ "index": 0, "delta": { "content": "word".repeat(tokens) } }] }),
        json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "abort" }] }),
    ])
}

/// The bodies of the requests that the backend received at a path.
async fn sent(world: &World, path: &str) -> Vec<Value> {
    let requests = world.backend_got("POST", path).await;
    requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

#[tokio::test]
async fn an_attempt_that_broke_off_is_booked_too() {
    let world = with_budget(0.5).await;
    world.llm.reset().await;
    world.model(vec![broken(10_000), says("ok")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["response"]), (200, &json!("ok")), "{answer}");
    let usage = &answer["usage"];
    let written = usage["completion_tokens"].as_u64().unwrap();
    assert!((10_010..10_020).contains(&written), "{usage}");
    assert!(usage["prompt_tokens"].as_u64().unwrap() > 200, "both prompts: {usage}");
    assert_eq!(usage["estimated"], true);
    let cost = answer["cost"]["totalCost"].as_f64().unwrap();
    assert!((0.006..0.007).contains(&cost), "{cost}");
    let report: Value = world.daemon.get("/usage").await.json().await.unwrap();
    assert_eq!(report["totalTokens"], usage["total_tokens"]);
    assert_eq!(report["models"]["openai/gpt-4o-mini"]["totalCost"], cost);
    let settled = &sent(&world, "/usage").await[0];
    assert_eq!((&settled["cost_usd"], &settled["estimated"]), (&json!(cost), &json!(true)));
    assert_eq!(settled["completion_tokens"], written);
}

#[tokio::test]
async fn each_broken_attempt_of_a_failed_call_is_booked() {
    let world = with_budget(0.5).await;
    world.llm.reset().await;
    world.model(vec![broken(1_000)]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["code"]), (502, &json!("llm_bad_answer")), "{answer}");
    let settled = &sent(&world, "/usage").await[0];
    let report: Value = world.daemon.get("/usage").await.json().await.unwrap();
    let written = report["totalOutputTokens"].as_u64().unwrap();
    assert!((3_000..3_020).contains(&written), "{report}");
    assert_eq!((&report["requestCount"], &report["unpricedRequests"]), (&json!(0), &json!(0)));
    assert_eq!(settled["cost_usd"], report["totalCost"]);
    assert_eq!(report["models"]["openai/gpt-4o-mini"]["totalTokens"], report["totalTokens"]);
    assert_eq!(answer["details"]["usage"]["total_tokens"], report["totalTokens"]);
}

#[tokio::test]
async fn estimates_are_counted_by_the_metrics() {
    let world = World::new().await;
    let body = json!({ "id": "c", "choices": [{ "index": 0, "finish_reason": "stop",
        "message": { "role": "assistant", "content": "word".repeat(100) } }] });
    world.model(vec![ResponseTemplate::new(200).set_body_json(body)]).await;
    world.daemon.post("/llm-task", &json!({ "prompt": "Say something." })).send().await.unwrap();
    world.daemon.send(&message(json!({}))).await;
    let text = world.daemon.get("/metrics").await.text().await.unwrap();
    let line = "wombat_llm_tokens_total{model=\"openai/gpt-4o-mini\",kind=\"output\"} 200";
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn a_timeout_does_not_wait_for_a_slow_settlement() {
    let world = World::with(&[], json!({ "budgets": true })).await;
    let reservation = json!({ "reservation_id": "r1" });
    world.backend_says("POST", "/budget/reserve", 200, reservation).await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(4));
    let settling = wiremock::Mock::given(wiremock::matchers::method("POST"))
        .and(wiremock::matchers::path("/api/mission-control/usage"));
    settling.respond_with(slow).mount(&world.backend).await;
    world.model(vec![says("too late").set_delay(Duration::from_secs(30))]).await;
    let begun = Instant::now();
    let limits = json!({ "limits": { "timeout_secs": 1 } });
    let (status, answer) = world.daemon.send(&message(limits)).await;
    assert_eq!((status, &answer["code"]), (504, &json!("run_timeout")), "{answer}");
    assert!(begun.elapsed() < Duration::from_millis(2_500), "{:?}", begun.elapsed());
    assert!(answer["details"]["usage"]["prompt_tokens"].as_u64().unwrap() > 0, "{answer}");
    while sent(&world, "/usage").await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "nothing was settled");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_settlement_in_progress_outlives_its_run() {
    let world = World::with(&[], json!({ "budgets": true })).await;
    let reservation = json!({ "reservation_id": "r1" });
    world.backend_says("POST", "/budget/reserve", 200, reservation).await;
    let settling = || {
        wiremock::Mock::given(wiremock::matchers::method("POST"))
            .and(wiremock::matchers::path("/api/mission-control/usage"))
    };
    // The backend fails while the run ends, so that the settlement has to be sent again.
    let slow = ResponseTemplate::new(503).set_delay(Duration::from_millis(3_500));
    settling().respond_with(slow).up_to_n_times(1).with_priority(1).mount(&world.backend).await;
    settling().respond_with(ResponseTemplate::new(200)).mount(&world.backend).await;
    world.model(vec![calls(&[("list_tasks", json!({}))])]).await;
    let limits = json!({ "limits": { "timeout_secs": 1 } });
    let (status, answer) = world.daemon.send(&message(limits)).await;
    assert_eq!((status, &answer["code"]), (504, &json!("run_timeout")), "{answer}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while sent(&world, "/usage").await.len() < 2 {
        assert!(Instant::now() < deadline, "the settlement was not sent again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_budget_reserves_the_price_of_a_dearer_fallback() {
    let settings =
        [("LLM_MODEL_FALLBACK", "anthropic/claude-sonnet-4-5"), ("ANTHROPIC_API_KEY", "sk-b")];
    let world = with_budget_and(2.0, &settings).await;
    assert_eq!(world.daemon.send(&message(json!({}))).await.0, 200);
    // 64,000 tokens at 15 dollars for a million, and the prompt.
    let usd = sent(&world, "/budget/reserve").await[0]["estimate_usd"].as_f64().unwrap();
    assert!((0.96..1.0).contains(&usd), "{usd}");
    let world = with_budget_and(0.2, &settings).await;
    assert_eq!(world.daemon.send(&message(json!({}))).await.0, 200);
    let allowed = world.model_got().await[0]["max_completion_tokens"].as_u64().unwrap();
    assert!((5_000..6_667).contains(&allowed), "{allowed}");
}

#[tokio::test]
async fn a_call_takes_half_of_the_rest_and_says_when_others_hold_it() {
    let world = with_budget(0.004).await;
    assert_eq!(world.daemon.send(&message(json!({}))).await.0, 200);
    let reserved = sent(&world, "/budget/reserve").await;
    let usd = reserved.last().unwrap()["estimate_usd"].as_f64().unwrap();
    assert!((0.0019..=0.002).contains(&usd), "{usd}");
    for (spent, reserved, words) in
        [(0.2, 0.8, "reserved for calls in progress"), (1.0, 0.0, "used up")]
    {
        let world = with_budget(0.0).await;
        let budget = json!({ "limit_usd": 1, "spent_usd": spent, "reserved_usd": reserved,
            "remaining_usd": 0 });
        let asked = wiremock::Mock::given(wiremock::matchers::method("GET"))
            .and(wiremock::matchers::path("/api/mission-control/budget"));
        let answer = ResponseTemplate::new(200).set_body_json(budget);
        asked.respond_with(answer).with_priority(1).mount(&world.backend).await;
        let (status, answer) = world.daemon.send(&message(json!({}))).await;
        assert_eq!((status, &answer["code"]), (402, &json!("budget_exceeded")), "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(words), "{answer}");
    }
}

#[tokio::test]
async fn the_webhook_of_a_cancelled_run_counts_the_call_in_flight() {
    let world = World::with(&[("WOMBAT_WEBHOOK_ALLOW_PRIVATE", "true")], json!({})).await;
    let receiver = wiremock::MockServer::start().await;
    wiremock::Mock::given(wiremock::matchers::path("/hook"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&receiver)
        .await;
    world.model(vec![says("late").set_delay(Duration::from_secs(30))]).await;
    let body = message(json!({ "webhook": { "url": format!("{}/hook", receiver.uri()) } }));
    let mut response = world.daemon.post("/api/agents/stream", &body).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("run_id") {
        text += std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap();
    }
    let begin = text.find("run_id\":\"").unwrap() + "run_id\":\"".len();
    let run_id = text[begin..].split('"').next().unwrap();
    while world.model_got().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let url = format!("{}/api/agents/runs/{run_id}", world.daemon.url);
    let receipt: Value = world.daemon.http.delete(url).send().await.unwrap().json().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while receiver.received_requests().await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "no webhook");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let told = &receiver.received_requests().await.unwrap()[0];
    let event: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(event["usage"], receipt["usage"], "{event}");
    assert!(event["usage"]["prompt_tokens"].as_u64().unwrap() > 100, "{event}");
}

/// The budget of a tenant, as the backend tells of it.
fn of_tenant(spent: f64, reserved: f64) -> Value {
    json!({ "tenant_id": "acme", "limit_usd": 1.0, "spent_usd": spent, "reserved_usd": reserved,
        "remaining_usd": 1.0 - spent - reserved, "period": "month", "period_end": "2030-01-01T00:00:00Z" })
}

/// What is told of the user's own budget, of which a lot is left, and of the tenant's.
async fn tells(world: &World, tenants: &Value) {
    let budget = json!({ "limit_usd": 9.0, "spent_usd": 0.0, "reserved_usd": 0.0, "remaining_usd": 9.0,
        "budgets": [tenants] });
    let asked = wiremock::Mock::given(wiremock::matchers::method("GET"))
        .and(wiremock::matchers::path("/api/mission-control/budget"));
    let answer = ResponseTemplate::new(200).set_body_json(budget);
    asked.respond_with(answer).with_priority(1).mount(&world.backend).await;
}

#[tokio::test]
async fn the_tightest_of_several_budgets_refuses_and_is_named() {
    for (spent, reserved, why) in [(1.0, 0.0, "is used up"), (0.25, 0.75, "is reserved for")] {
        let world = with_budget(0.0).await;
        tells(&world, &of_tenant(spent, reserved)).await;
        let (status, answer) = world.daemon.send(&message(json!({}))).await;
        assert_eq!((status, &answer["code"]), (402, &json!("budget_exceeded")), "{answer}");
        let told = answer["error"].as_str().unwrap();
        assert!(told.contains("the budget of tenant \"acme\"") && told.contains(why), "{told}");
        assert_eq!(answer["details"]["budget"], of_tenant(spent, reserved), "{answer}");
        assert!(world.model_got().await.is_empty());
    }
}

#[tokio::test]
async fn the_budget_that_a_refusal_names_is_passed_on() {
    let world = World::with(&[], json!({ "budgets": true, "budget_scopes": true })).await;
    // It is spent by others after it was looked at.
    tells(&world, &of_tenant(0.0, 0.0)).await;
    let refused = json!({ "error": "spent", "code": "budget_exceeded", "details": {
        "limit_usd": 9.0, "spent_usd": 0.0, "reserved_usd": 0.0, "remaining_usd": 9.0,
        "budget": of_tenant(1.0, 0.0) } });
    world.backend_says("POST", "/budget/reserve", 402, refused).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["code"]), (402, &json!("budget_exceeded")), "{answer}");
    assert_eq!(answer["details"]["budget"], of_tenant(1.0, 0.0), "{answer}");
    // What the run has so far stands beside it.
    assert!(answer["details"]["run_id"].is_string(), "{answer}");
}

#[tokio::test]
async fn what_is_left_of_the_tightest_budget_limits_the_answer() {
    let world = with_budget(0.004).await;
    tells(&world, &of_tenant(0.996, 0.0)).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let reserved = sent(&world, "/budget/reserve").await;
    let last = reserved.last().unwrap()["estimate_usd"].as_f64().unwrap();
    assert!(reserved.len() == 2 && last <= 0.002_1, "{reserved:?}");
}
