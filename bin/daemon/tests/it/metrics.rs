//! The Prometheus metrics.

use serde_json::json;

use crate::harness::{World, calls, message, refuses, says};

/// The value of a series.
fn value(text: &str, line: &str) -> Option<f64> {
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

#[tokio::test]
async fn runs_tools_and_models_are_counted_under_bounded_names() {
    let world = World::new().await;
    world.write("souls/scout.md", "Curious.");
    world.daemon.reloaded("Curious.").await;
    let made_up = "x".repeat(40);
    let two = calls(&[("list_tasks", json!({})), (&made_up, json!({}))]);
    world.model(vec![two, says("Done."), refuses(401, "x", "no")]).await;
    assert_eq!(world.daemon.send(&message(json!({}))).await.0, 200);
    let stranger = message(json!({ "session_key": "user:u1:stranger" }));
    assert_eq!(world.daemon.send(&stranger).await.0, 404);
    assert_eq!(world.daemon.send(&message(json!({}))).await.0, 502);
    let answer = world.daemon.get("/metrics").await;
    assert!(
        answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4")
    );
    let text = answer.text().await.unwrap();
    for (line, expected) in [
        ("wombat_runs_total{role=\"scout\",outcome=\"ok\"}", 1.0),
        ("wombat_runs_total{role=\"scout\",outcome=\"llm_auth\"}", 1.0),
        ("wombat_runs_in_flight", 0.0),
        ("wombat_policy_problems{effect=\"last_good\"}", 0.0),
        ("wombat_policy_problems{effect=\"no_runs\"}", 0.0),
        ("wombat_tool_calls_total{tool=\"list_tasks\",outcome=\"ok\"}", 1.0),
        ("wombat_tool_calls_total{tool=\"other\",outcome=\"error\"}", 1.0),
        ("wombat_llm_calls_total{model=\"openai/gpt-4o-mini\",outcome=\"ok\"}", 2.0),
        ("wombat_llm_calls_total{model=\"openai/gpt-4o-mini\",outcome=\"error\"}", 1.0),
        ("wombat_llm_tokens_total{model=\"openai/gpt-4o-mini\",kind=\"input\"}", 200.0),
        ("wombat_llm_retries_total{model=\"openai/gpt-4o-mini\"}", 0.0),
        ("wombat_llm_fallbacks_total{model=\"openai/gpt-4o-mini\"}", 0.0),
        ("wombat_run_duration_seconds_count{role=\"scout\",outcome=\"ok\"}", 1.0),
    ] {
        assert_eq!(value(&text, line), Some(expected), "{line}\n{text}");
    }
    assert!(
        text.contains("# HELP wombat_runs_total Runs that have ended")
            && text.contains("# TYPE wombat_run_duration_seconds histogram")
    );
    assert!(!text.contains("stranger") && !text.contains("xxx") && !text.contains("u1"), "{text}");
}
