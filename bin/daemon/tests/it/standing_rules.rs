//! Standing rules: a person's word in advance, which takes the place of an approval and of nothing else.

use mc_client::approval_rules::parameters_sha256;
use serde_json::{Value, json};

use crate::harness::{World, calls, says};
use crate::journaled::{Journal, own, request, run_key};
use crate::unclear_calls::own_at;

const FEATURES: [&str; 2] = ["decisions", "approval_rules"];

async fn world(tools: Value, steps: Vec<Value>) -> (World, Journal) {
    let (world, journal) = Journal::world_that_has(&FEATURES, &[], steps).await;
    let agents = json!({ "agents": [{ "role": "scout", "tools": tools }] });
    world.write("agent-config.json", &agents.to_string());
    world.write("AGENTS.md", "Read anew.");
    world.daemon.reloaded("Read anew.").await;
    (world, journal)
}

fn approval() -> Value {
    json!({ "approval": ["create_task", "list_tasks"] })
}

fn rule(more: Value) -> Value {
    let mut rule = json!({ "id": "rule1", "role": "scout", "tool": "create_task",
        "expires_at": "2999-01-01T00:00:00Z", "uses": 0, "author": { "type": "person", "id": "u1" } });
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rule
}

fn creates(amount: Value) -> (&'static str, Value) {
    ("create_task", json!({ "title": "A", "metadata": { "amount": amount } }))
}

async fn created(world: &World) -> usize {
    world.backend_got("POST", "/tasks").await.len()
}

/// The hash of the schema that the model gets of a tool.
async fn hash_of(world: &World, tool: &str) -> String {
    let asked = world.model_got().await;
    let tools = asked[0]["tools"].as_array().unwrap();
    let tool = tools.iter().find(|offered| offered["function"]["name"] == tool).unwrap();
    parameters_sha256(&tool["function"]["parameters"])
}

#[tokio::test]
async fn a_call_that_a_rule_fits_needs_no_approval() {
    let (world, journal) = world(approval(), Vec::new()).await;
    journal.held().rules = vec![rule(json!({ "when": { "metadata.amount": { "lte": 50 } } }))];
    world.model(vec![calls(&[creates(json!(50))]), says("Done.")]).await;
    let (_, answer) = world.send_keyed().await;
    assert_eq!(answer["response"], "Done.", "{answer}");
    assert_eq!(answer["steps"][0]["rule_id"], "rule1");
    assert_eq!(created(&world).await, 1);
    let (id, used) = journal.held().uses[0].clone();
    assert_eq!((id.as_str(), &used["run_key"]), ("rule1", &json!(run_key().as_str())));
    assert_eq!(used["arguments"], creates(json!(50)).1);
    assert_eq!(used["parameters_sha256"], hash_of(&world, "create_task").await);
    assert!(journal.held().requests.is_empty());
}

#[tokio::test]
async fn what_no_rule_surely_fits_waits_for_a_person() {
    let lte = || json!({ "metadata.amount": { "lte": 50 } });
    for (rules, amount) in [
        (vec![], json!(5)),
        (vec![rule(json!({ "when": lte() }))], json!(51)),
        (vec![rule(json!({ "when": lte() }))], json!("5")),
        (vec![rule(json!({ "when": lte() }))], Value::Null),
        (vec![rule(json!({ "when": { "other": { "lte": 50 } } }))], json!(5)),
        (vec![rule(json!({ "when": { "metadata.amount": { "soon": 1 } } }))], json!(5)),
        (vec![rule(json!({ "parameters_sha256": "of another schema" }))], json!(5)),
        (vec![rule(json!({ "expires_at": "2001-01-01T00:00:00Z" }))], json!(5)),
        (vec![rule(json!({ "role": "jarvis" }))], json!(5)),
        (vec![rule(json!({ "tool": "list_tasks" }))], json!(5)),
    ] {
        let (world, journal) = world(approval(), Vec::new()).await;
        journal.held().rules.clone_from(&rules);
        world.model(vec![calls(&[creates(amount.clone())]), says("Done.")]).await;
        let (_, answer) = world.send_keyed().await;
        assert_eq!(answer["status"], "awaiting_approval", "{rules:?} {amount}: {answer}");
        assert!(journal.held().uses.is_empty() && created(&world).await == 0, "{rules:?}");
    }
}

#[tokio::test]
async fn a_rule_that_is_void_or_cannot_be_asked_for_leaves_it_to_a_person() {
    for at in ["void", "list", "use"] {
        let (world, journal) = world(approval(), Vec::new()).await;
        journal.held().rules = vec![rule(json!({}))];
        match at {
            "void" => journal.held().void = Some("revoked".to_owned()),
            "list" => world.backend_says("GET", "/approval-rules", 500, json!({})).await,
            _ => world.backend_says("POST", "/approval-rules/rule1/uses", 500, json!({})).await,
        }
        world.model(vec![calls(&[creates(json!(5))]), says("Done.")]).await;
        let (_, answer) = world.send_keyed().await;
        assert_eq!(answer["status"], "awaiting_approval", "{at}: {answer}");
        assert_eq!(created(&world).await, 0, "{at}");
        // From now on the person's word counts, whatever rules there are.
        journal.held().void = None;
        journal.decide_one("r1", "denied", json!({}));
        let (_, answer) = world.resume().await;
        assert_eq!(answer["response"], "Done.", "{at}: {answer}");
        assert_eq!((created(&world).await, journal.held().requests.len()), (0, 1), "{at}");
    }
}

#[tokio::test]
async fn a_rule_that_comes_after_the_question_does_not_answer_it() {
    let (world, journal) = world(approval(), Vec::new()).await;
    world.model(vec![calls(&[creates(json!(5))]), says("Done.")]).await;
    world.send_keyed().await;
    journal.held().rules = vec![rule(json!({}))];
    let (_, answer) = world.resume().await;
    assert_eq!(answer["status"], "awaiting_approval", "{answer}");
    journal.decide_one("r1", "approved", json!({}));
    let (_, answer) = world.resume().await;
    assert_eq!(answer["response"], "Done.", "{answer}");
    assert_eq!(answer["steps"][0]["tool_request_id"], "r1");
    assert!(journal.held().uses.is_empty() && answer["steps"][0]["rule_id"].is_null());
}

#[tokio::test]
async fn a_rule_never_allows_what_is_denied() {
    let (world, journal) = world(json!({ "deny": ["create_task"] }), Vec::new()).await;
    journal.held().rules = vec![rule(json!({}))];
    world.model(vec![calls(&[creates(json!(5))]), says("Done.")]).await;
    let (_, answer) = world.send_keyed().await;
    assert_eq!(answer["response"], "Done.", "{answer}");
    assert!(journal.held().uses.is_empty() && created(&world).await == 0);
}

#[tokio::test]
async fn calls_by_a_rule_are_made_while_others_of_the_turn_wait_and_not_again() {
    let (world, journal) = world(approval(), Vec::new()).await;
    journal.held().rules = vec![rule(json!({}))];
    let turn = calls(&[creates(json!(5)), ("list_tasks", json!({}))]);
    world.model(vec![turn, says("Done.")]).await;
    let (_, answer) = world.send_keyed().await;
    assert_eq!(answer["status"], "awaiting_approval", "{answer}");
    assert_eq!(answer["tool_requests"].as_array().map(Vec::len), Some(1));
    assert_eq!(created(&world).await, 1);
    journal.decide_one("r1", "approved", json!({}));
    let (_, answer) = world.resume().await;
    assert_eq!(answer["response"], "Done.", "{answer}");
    assert_eq!((created(&world).await, journal.held().uses.len()), (1, 1));
}

/// The journal of a run that ended right after it had used a rule, or was about to.
fn interrupted() -> Vec<Value> {
    let call = json!({ "id": "c1", "name": "create_task", "arguments": creates(json!(5)).1 });
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cached_tokens": 0 });
    let turn = json!({ "completion": { "message": { "text": "", "tool_calls": [call] },
        "finish_reason": "tool_calls", "usage": usage, "model": "gpt-4o-mini", "provider": "openai" },
        "cost": null, "prompt": {}, "duration_ms": 1 });
    let calling = json!({ "calls": [], "run_id": "earlier", "rules": { "2": "rule1" } });
    let mut steps = own(&[request(json!([])), ("llm", turn)]);
    // Behind the place of the result.
    steps.push(own_at(3, &steps, &("calling", calling)));
    steps
}

#[tokio::test]
async fn after_a_crash_the_same_use_is_repeated() {
    let (world, journal) = world(approval(), interrupted()).await;
    // Used up by this very call, so that it is not listed.
    let call = creates(json!(5)).1;
    let key = format!("{}:rule:rule1", run_key().tool_key("create_task", &call, 1));
    journal.held().used = vec![json!(key)];
    journal.held().void = Some("used_up".to_owned());
    world.model(vec![says("Done.")]).await;
    let (_, answer) = world.send_keyed().await;
    assert_eq!(answer["response"], "Done.", "{answer}");
    assert_eq!(answer["steps"][0]["rule_id"], "rule1");
    assert_eq!(created(&world).await, 1);
    assert_eq!(journal.held().uses[0].1["idempotency_key"], key);
}
