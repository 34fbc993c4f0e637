//! The documented failures of `send`, each provoked.

use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{Daemon, MC, World, completion, message, refuses, says};

async fn fails(world: &World, more: Value, status: u16, code: &str) -> Value {
    let (got, answer) = world.daemon.send(&message(more)).await;
    assert_eq!((got, &answer["code"]), (status, &json!(code)), "{answer}");
    assert!(!answer.to_string().contains("sk-canary"), "{answer}");
    answer
}

#[tokio::test]
async fn an_unknown_task_is_found_out_before_the_model_is_asked() {
    for feature in ["tasks_get", "messages_list"] {
        let world = World::with(&[], json!({ feature: true })).await;
        world.model(vec![says("x")]).await;
        world.backend_says("GET", "/tasks/t1", 404, json!({ "error": "no" })).await;
        world.backend_says("GET", "/messages", 404, json!({ "error": "no" })).await;
        fails(&world, json!({}), 404, "task_not_found").await;
        assert!(world.model_got().await.is_empty());
    }
}

#[tokio::test]
async fn without_a_way_to_ask_it_is_found_out_when_the_reply_is_stored() {
    let world = World::new().await;
    world.model(vec![says("paid for")]).await;
    world.backend_says("POST", "/messages", 404, json!({ "error": "no such task" })).await;
    let answer = fails(&world, json!({}), 404, "task_not_found").await;
    assert_eq!(answer["details"]["response"], "paid for");
    assert_eq!(answer["details"]["task_id"], "t1");
    assert!(answer["details"]["run_id"].is_string() && answer["details"]["usage"].is_object());
}

#[tokio::test]
async fn a_backend_that_is_down_is_an_outage() {
    let world = World::new().await;
    world.backend_says("GET", "/tasks", 503, json!({ "error": "down" })).await;
    fails(&world, json!({ "task_id": null, "task_title": "x" }), 502, "backend_unavailable").await;
    assert_eq!(world.backend_got("GET", "/tasks").await.len(), 3);
    let workspace = world.dir.path().into();
    let daemon = Daemon::start(&[], "http://127.0.0.1:1", &world.llm.uri(), workspace).await;
    let (status, answer) = daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["code"]), (502, &json!("backend_unavailable")), "{answer}");
}

#[tokio::test]
async fn a_backend_that_says_when_to_come_back_is_quoted() {
    let world = World::new().await;
    Mock::given(method("GET"))
        .and(path(format!("{MC}/tasks")))
        .respond_with(
            ResponseTemplate::new(429)
                .insert_header("retry-after", "17")
                .set_body_json(json!({ "error": "x" })),
        )
        .with_priority(1)
        .mount(&world.backend)
        .await;
    let body = message(json!({ "task_id": null, "task_title": "x" }));
    let response = world.daemon.post("/api/agents/send", &body).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "17");
    assert_eq!(response.json::<Value>().await.unwrap()["code"], "backend_unavailable");
}

#[tokio::test]
async fn a_refused_agent_token_says_what_to_check() {
    let world = World::new().await;
    world.backend_says("GET", "/tasks", 401, json!({ "error": "bad token" })).await;
    let answer =
        fails(&world, json!({ "task_id": null, "task_title": "x" }), 502, "backend_auth").await;
    let told = answer["error"].as_str().unwrap();
    assert!(told.contains("user \"u1\", role \"scout\": 401, bad token;"), "{told}");
    assert!(told.starts_with(&world.backend.uri()), "{told}");
    assert!(told.contains("check AGENT_JWT_SECRET on both sides"), "{told}");
}

#[tokio::test]
async fn a_reply_that_cannot_be_stored_is_handed_over() {
    let world = World::new().await;
    world.model(vec![says("paid for")]).await;
    world.backend_says("POST", "/messages", 500, json!({ "error": "disk" })).await;
    let answer = fails(&world, json!({}), 502, "reply_not_stored").await;
    assert_eq!(answer["details"]["response"], "paid for");
    assert_eq!(answer["details"]["usage"]["total_tokens"], 110);
    assert!(answer["details"]["cost"]["totalCost"].is_number());
}

#[tokio::test]
async fn each_refusal_of_the_model_has_its_own_code() {
    for (answer, status, code) in [
        (refuses(401, "invalid_api_key", "Incorrect API key provided: sk-canary"), 502, "llm_auth"),
        (refuses(400, "invalid_request_error", "The moon is wrong."), 502, "llm_rejected"),
        (
            refuses(400, "unknown_parameter", "Unknown parameter: 'moon'."),
            502,
            "llm_invalid_request",
        ),
        (refuses(403, "x", "Key limit exceeded (monthly limit)."), 503, "llm_unavailable"),
        (refuses(403, "unsupported_country_region_territory", "no"), 502, "llm_rejected"),
        (refuses(404, "model_not_found", "The model does not exist."), 502, "llm_rejected"),
        (refuses(500, "server_error", "Context size has been exceeded."), 422, "context_too_long"),
        (
            refuses(400, "context_length_exceeded", "maximum context length is 8 tokens"),
            422,
            "context_too_long",
        ),
        (refuses(400, "content_filter", "filtered"), 422, "content_filtered"),
        (refuses(503, "overloaded", "busy"), 503, "llm_unavailable"),
        (
            refuses(429, "insufficient_quota", "You exceeded your current quota"),
            503,
            "llm_unavailable",
        ),
        (completion(json!({ "role": "assistant", "content": "" }), "stop"), 502, "llm_empty_reply"),
        (
            completion(json!({ "role": "assistant", "content": "half" }), "content_filter"),
            422,
            "content_filtered",
        ),
    ] {
        let world = World::new().await;
        world.model(vec![answer]).await;
        let answer = fails(&world, json!({}), status, code).await;
        assert!(world.backend_got("POST", "/messages").await.is_empty(), "{answer}");
        if code == "llm_rejected" && answer.to_string().contains("moon") {
            let told = answer["error"].as_str().unwrap();
            assert!(told.ends_with("The moon is wrong."), "{told}");
        }
        if code == "llm_auth" {
            assert!(answer["error"].as_str().unwrap().contains("OPENAI_API_KEY"), "{answer}");
        }
    }
}

#[tokio::test]
async fn an_overloaded_model_is_answered_with_retry_after() {
    let world = World::new().await;
    world.model(vec![refuses(503, "overloaded", "busy")]).await;
    let response = world.daemon.post("/api/agents/send", &message(json!({}))).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_spent_account_is_asked_once_and_says_when_to_come_back() {
    let world = World::new().await;
    world.model(vec![refuses(429, "insufficient_quota", "You exceeded your current quota.")]).await;
    let response = world.daemon.post("/api/agents/send", &message(json!({}))).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &"60".parse().unwrap())
    );
    let answer: Value = response.json().await.unwrap();
    assert!(
        answer["error"].as_str().unwrap().contains("You exceeded your current quota."),
        "{answer}"
    );
    assert_eq!(world.model_got().await.len(), 1);
}

#[tokio::test]
async fn a_missing_key_names_its_variable() {
    let world =
        World::with(&[("LLM_PROVIDER", "anthropic"), ("LLM_MODEL_DEFAULT", "claude-x")], json!({}))
            .await;
    let answer = fails(&world, json!({}), 503, "llm_not_configured").await;
    assert!(answer["error"].as_str().unwrap().contains("ANTHROPIC_API_KEY"), "{answer}");
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_ended() {
    let world = World::new().await;
    world.model(vec![says("late").set_delay(Duration::from_secs(30))]).await;
    fails(&world, json!({ "limits": { "timeout_secs": 1 } }), 504, "run_timeout").await;
}

#[tokio::test]
async fn money_that_is_spent_ends_the_run_before_the_next_call() {
    let world = World::new().await;
    world.model(vec![says("x")]).await;
    fails(&world, json!({ "limits": { "max_cost_usd": 0 } }), 402, "budget_exceeded").await;
    assert!(world.model_got().await.is_empty());
}

#[tokio::test]
async fn more_runs_than_allowed_are_refused_at_once() {
    let world = World::with(&[("WOMBAT_MAX_CONCURRENT_RUNS", "1")], json!({})).await;
    world.model(vec![says("slow").set_delay(Duration::from_millis(300))]).await;
    let first = message(json!({}));
    let second = async {
        while world.model_got().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world
            .daemon
            .post("/api/agents/send", &message(json!({ "task_id": "t2" })))
            .send()
            .await
            .unwrap()
    };
    let (first, second) = tokio::join!(world.daemon.send(&first), second);
    assert_eq!(first.0, 200);
    assert_eq!(second.status(), 503);
    assert!(second.headers().contains_key("retry-after"));
    assert_eq!(second.json::<Value>().await.unwrap()["code"], "overloaded");
}

#[tokio::test]
async fn a_busy_session_may_be_refused() {
    let world = World::with(&[("WOMBAT_SESSION_POLICY", "reject")], json!({})).await;
    world.model(vec![says("slow").set_delay(Duration::from_millis(300))]).await;
    let second = async {
        while world.model_got().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.daemon.send(&message(json!({ "message": "again" }))).await
    };
    let first = message(json!({}));
    let (first, second) = tokio::join!(world.daemon.send(&first), second);
    assert_eq!((first.0, second.0), (200, 409));
    assert_eq!(second.1["code"], "session_busy");
}

#[tokio::test]
async fn a_key_with_another_message_is_a_conflict() {
    let world = World::new().await;
    world.model(vec![says("slow").set_delay(Duration::from_millis(300))]).await;
    let second = async {
        while world.model_got().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.daemon.send(&message(json!({ "idempotency_key": "k", "message": "other" }))).await
    };
    let first = message(json!({ "idempotency_key": "k" }));
    let (first, second) = tokio::join!(world.daemon.send(&first), second);
    assert_eq!((first.0, second.0), (200, 409));
    assert_eq!(second.1["code"], "idempotency_conflict");
}

#[tokio::test]
async fn a_limit_on_the_cost_limits_the_answer_too() {
    let world = World::with(&[("LLM_MODEL_FALLBACK", "openai/gpt-4o")], json!({})).await;
    world.model(vec![says("ok")]).await;
    let (status, _) =
        world.daemon.send(&message(json!({ "limits": { "max_cost_usd": 0.01 } }))).await;
    assert_eq!(status, 200);
    // The fallback's price counts: 10 dollars for a million tokens of its answers.
    let allowed = world.model_got().await[0]["max_completion_tokens"].as_u64().unwrap();
    assert!((700..=1000).contains(&allowed), "{allowed}");
    let world = World::with(&[("LLM_MODEL_FALLBACK", "openai/gpt-unknown")], json!({})).await;
    let more = json!({ "limits": { "max_cost_usd": 1 } });
    let answer = fails(&world, more, 400, "invalid_payload").await;
    assert!(answer["error"].as_str().unwrap().contains("gpt-unknown"), "{answer}");
    assert!(world.model_got().await.is_empty());
}

#[tokio::test]
async fn what_was_said_before_the_run_is_no_work_of_the_run() {
    let world = World::new().await;
    world.model(vec![refuses(400, "bad", "no")]).await;
    let history = json!([{ "role": "user", "content": "a" }, { "role": "assistant", "content": "old words" }]);
    let answer = fails(&world, json!({ "messages": history }), 502, "llm_rejected").await;
    assert_eq!(answer["details"]["response"], "", "{answer}");
}
