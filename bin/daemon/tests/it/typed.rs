//! Typed results: the reply is JSON of the schema that the caller, or the role, asks for.

use serde_json::{Value, json};

use crate::harness::{World, calls, completion, message, says};
use crate::journaled::{Journal, run_key};

const GOOD: &str = r#"{"sum":7}"#;
const BAD: &str = r#"{"sum":"seven"}"#;

fn schema() -> Value {
    json!({ "type": "object", "properties": { "sum": { "type": "integer", "minimum": 1 } },
        "required": ["sum"] })
}

fn asks(more: Value) -> Value {
    let mut body = message(json!({ "output": { "schema": schema(), "name": "bill" } }));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The events of a stream: name and data.
async fn stream(world: &World, body: &Value) -> Vec<(String, Value)> {
    let text = world.daemon.post("/api/agents/stream", body).send().await.unwrap();
    let text = text.text().await.unwrap();
    let events = text.split("\n\n").filter_map(|block| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        Some((field("event: ")?.to_owned(), serde_json::from_str(field("data: ")?).unwrap()))
    });
    events.collect()
}

/// What a reader has in the end: the texts of the turns, without what was taken back.
fn told(events: &[(String, Value)]) -> String {
    let mut turns: Vec<(Value, String)> = Vec::new();
    for (name, data) in events {
        let is_new = turns.last().is_none_or(|(step, _)| *step != data["step"]);
        match name.as_str() {
            "chunk" if is_new => {
                turns.push((data["step"].clone(), data["data"].as_str().unwrap().to_owned()));
            }
            "chunk" => turns.last_mut().unwrap().1 += data["data"].as_str().unwrap(),
            "restarted" => {
                assert_eq!(data["reason"], "schema");
                let from = usize::try_from(data["from"].as_u64().unwrap()).unwrap();
                let turn = turns.iter_mut().find(|(step, _)| *step == data["step"]).unwrap();
                turn.1 = turn.1.chars().take(from).collect();
            }
            _ => {}
        }
    }
    turns.into_iter().map(|(_, text)| text).collect()
}

#[tokio::test]
async fn a_reply_of_the_schema_is_told_as_json_and_stored_with_its_data() {
    for (text, content) in [
        (GOOD, GOOD),
        (" {\"sum\": 7}\n", "{\"sum\": 7}"),
        ("```json\n{\"sum\": 7}\n```", "{\"sum\": 7}"),
    ] {
        let world = World::with(&[], json!({ "message_data": true })).await;
        world.model(vec![says(text)]).await;
        let (status, answer) = world.daemon.send(&asks(json!({}))).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["output"], json!({ "sum": 7 }));
        assert_eq!((&answer["response"], answer.get("output_errors")), (&json!(content), None));
        let posted = world.backend_got("POST", "/messages").await;
        let stored: Value = serde_json::from_slice(&posted[0].body).unwrap();
        assert_eq!(stored["content"], content);
        assert_eq!(stored["data"], json!({ "sum": 7 }));
        let asked = &world.model_got().await[0];
        assert_eq!(asked["response_format"]["json_schema"]["name"], "bill");
        assert_eq!(asked["response_format"]["json_schema"]["schema"], schema());
        let system = asked["messages"][0]["content"].as_str().unwrap();
        assert!(system.contains(&schema().to_string()), "{system}");
    }
    // A backend that cannot keep it gets no data, and a run without a schema asks for none.
    let world = World::new().await;
    world.model(vec![says(GOOD)]).await;
    world.daemon.send(&asks(json!({}))).await;
    let (_, plain) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(plain.get("output"), None);
    for posted in world.backend_got("POST", "/messages").await {
        let stored: Value = serde_json::from_slice(&posted.body).unwrap();
        assert_eq!(stored.get("data"), None);
    }
    assert_eq!(world.model_got().await[1].get("response_format"), None);
}

#[tokio::test]
async fn a_reply_that_does_not_fit_is_sent_back_twice_without_tools_beyond_max_steps() {
    let (world, journal) = Journal::world(&[], Vec::new()).await;
    let find = calls(&[("list_tasks", json!({}))]);
    world.model(vec![find, says("It is 7."), says(BAD), says(GOOD)]).await;
    let body = asks(json!({ "idempotency_key": "k", "limits": { "max_steps": 1 } }));
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!((status, &answer["output"]), (200, &json!({ "sum": 7 })), "{answer}");
    assert_eq!(answer["steps"][0]["name"], "list_tasks");
    let asked = world.model_got().await;
    assert_eq!(asked.len(), 4);
    for (n, asked) in asked.iter().enumerate() {
        assert_eq!(asked.get("tools").is_none(), n > 0, "{n}: {asked}");
        assert_eq!(asked["response_format"]["type"], "json_schema", "{n}");
    }
    let told =
        |n: usize| asked[n]["messages"].as_array().unwrap().last().unwrap()["content"].to_string();
    assert!(told(2).contains("not JSON") && told(3).contains("/sum"), "{} {}", told(2), told(3));
    assert_eq!(journal.kinds(), ["request", "llm", "tool", "llm_rejected", "llm_rejected", "llm"]);
    let held = journal.held();
    assert_eq!(held.steps[&0]["payload"]["output"]["name"], "bill");
    let errors = &held.steps[&4]["payload"]["errors"];
    assert!(errors[0].as_str().unwrap().starts_with("/sum: "), "{errors}");
    assert_eq!(held.statuses.last().unwrap(), "completed");
    assert_eq!(answer["usage"]["total_tokens"], 440);
}

#[tokio::test]
async fn a_reply_that_never_fits_fails_and_the_same_key_gets_the_same_without_a_model_call() {
    let (mut world, journal) = Journal::world(&[], Vec::new()).await;
    world.model(vec![says(BAD)]).await;
    let body = asks(json!({ "idempotency_key": "k" }));
    let (status, first) = world.daemon.send(&body).await;
    assert_eq!((status, &first["code"]), (422, &json!("schema_mismatch")), "{first}");
    assert!(first["details"]["errors"][0].as_str().unwrap().starts_with("/sum: "), "{first}");
    assert_eq!(first["details"]["output"], json!({ "sum": "seven" }));
    assert_eq!(first["details"]["response"], BAD);
    assert_eq!(world.backend_got("POST", "/messages").await.len(), 0);
    assert_eq!(world.model_got().await.len(), 3);
    assert_eq!(journal.kinds(), ["request", "llm_rejected", "llm_rejected", "llm_rejected"]);
    assert_eq!(journal.held().statuses.last().unwrap(), "failed");
    world.restart(&[]).await;
    let (status, again) = world.daemon.send(&body).await;
    assert_eq!((status, &again["code"]), (422, &json!("schema_mismatch")));
    for field in ["errors", "output", "usage", "cost", "steps", "response", "task_id"] {
        assert_eq!(again["details"][field], first["details"][field], "{field}");
    }
    assert_eq!(again["error"], first["error"]);
    assert_eq!(world.model_got().await.len(), 3);
    assert_eq!(world.backend_got("POST", "/messages").await.len(), 0);
    assert_eq!(journal.held().statuses.last().unwrap(), "failed");
    // It is the output that the key names, too.
    for other in [json!({ "schema": {} }), json!({ "schema": schema() }), Value::Null] {
        let (status, other) =
            world.daemon.send(&asks(json!({ "idempotency_key": "k", "output": other }))).await;
        assert_eq!((status, &other["code"]), (409, &json!("idempotency_conflict")), "{other}");
    }
    let spelled = json!({ "schema": schema(), "name": "bill", "strict": true });
    let (status, _) =
        world.daemon.send(&asks(json!({ "idempotency_key": "k", "output": spelled }))).await;
    assert_eq!(status, 422);
}

#[tokio::test]
async fn at_most_twenty_errors_are_told() {
    let world = World::new().await;
    let items: Vec<_> = (0..50).map(|n| json!(format!("x{n}"))).collect();
    world.model(vec![says(&json!({ "all": items }).to_string())]).await;
    let all = json!({ "type": "object",
        "properties": { "all": { "type": "array", "items": { "type": "integer" } } } });
    let (status, answer) = world.daemon.send(&asks(json!({ "output": { "schema": all } }))).await;
    assert_eq!(status, 422);
    assert_eq!(answer["details"]["errors"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn without_strict_the_text_is_the_reply_and_says_why_it_is_no_output() {
    let (mut world, journal) = Journal::world(&[], Vec::new()).await;
    world.model(vec![says("It is seven.")]).await;
    let output = json!({ "schema": schema(), "strict": false });
    let body = asks(json!({ "idempotency_key": "k", "output": output }));
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["response"], &answer["output"]), (&json!("It is seven."), &Value::Null));
    assert!(answer.as_object().unwrap().contains_key("output"));
    assert!(answer["output_errors"][0].as_str().unwrap().starts_with("not JSON"), "{answer}");
    let posted = world.backend_got("POST", "/messages").await;
    let stored: Value = serde_json::from_slice(&posted[0].body).unwrap();
    assert_eq!((&stored["content"], stored.get("data")), (&json!("It is seven."), None));
    assert_eq!(journal.held().statuses.last().unwrap(), "completed");
    assert_eq!(world.model_got().await.len(), 3);
    world.restart(&[]).await;
    let (status, again) = world.daemon.send(&body).await;
    assert_eq!((status, &again["replayed"]), (200, &json!(true)), "{again}");
    assert_eq!(
        (&again["output"], &again["output_errors"]),
        (&Value::Null, &answer["output_errors"])
    );
    assert_eq!(world.model_got().await.len(), 3);
}

#[tokio::test]
async fn a_resumed_run_goes_on_counting() {
    // Killed after the first correction, and again after the second.
    let (world, journal) = Journal::world(&[], Vec::new()).await;
    world.model(vec![says(BAD)]).await;
    let body = asks(json!({ "idempotency_key": "k" }));
    world.daemon.send(&body).await;
    let steps: Vec<Value> = journal.held().steps.values().cloned().collect();
    for kept in 1..=3_usize {
        let (mut world, journal) = Journal::world(&[], steps[..=kept].to_vec()).await;
        journal.held().statuses.push("interrupted".to_owned());
        journal.held().task_id = Some("t1".to_owned());
        world.restart(&[]).await;
        world.model(vec![says(GOOD)]).await;
        let (status, answer) = world.resume().await;
        if kept == 3 {
            assert_eq!((status, &answer["code"]), (422, &json!("schema_mismatch")));
            assert_eq!(world.model_got().await.len(), 0);
            continue;
        }
        assert_eq!((status, &answer["output"]), (200, &json!({ "sum": 7 })), "{kept}: {answer}");
        let asked = world.model_got().await;
        assert_eq!((asked.len(), asked[0].get("tools")), (1, None), "{kept}");
        let spoken = asked[0]["messages"].as_array().unwrap();
        // System and message, then each reply with what is wrong with it.
        assert_eq!(spoken.len(), 2 + 2 * kept, "{kept}: {spoken:?}");
        // And one more that does not fit, where there is one left.
        let (mut world, journal) = Journal::world(&[], steps[..=kept].to_vec()).await;
        journal.held().statuses.push("interrupted".to_owned());
        world.restart(&[]).await;
        world.model(vec![says(BAD)]).await;
        let (status, _) = world.resume().await;
        assert_eq!((status, world.model_got().await.len()), (422, 3 - kept), "{kept}");
    }
    assert_eq!(run_key().as_str().len(), 64);
}

#[tokio::test]
async fn a_stream_takes_back_the_words_that_do_not_fit() {
    let world = World::new().await;
    world.model(vec![says("It is seven."), says(GOOD)]).await;
    let events = stream(&world, &asks(json!({}))).await;
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.iter().filter(|name| **name == "restarted").count(), 1, "{events:?}");
    let (last, done) = events.last().unwrap();
    assert_eq!((last.as_str(), &done["output"]), ("done", &json!({ "sum": 7 })));
    assert_eq!(told(&events), GOOD);
    // The code block around an answer is no part of it.
    let world = World::new().await;
    world.model(vec![says("```json\n{\"sum\": 7}\n```")]).await;
    let events = stream(&world, &asks(json!({}))).await;
    assert_eq!(told(&events), "{\"sum\": 7}");
    // Never valid: nothing of it is left. Without strict, the last text is the reply.
    for (strict, last, text) in [(true, "error", ""), (false, "done", "no")] {
        let world = World::new().await;
        world.model(vec![says("never"), says("mind"), says("no")]).await;
        let output = json!({ "schema": schema(), "strict": strict });
        let events = stream(&world, &asks(json!({ "output": output }))).await;
        assert_eq!((events.last().unwrap().0.as_str(), told(&events).as_str()), (last, text));
    }
}

#[tokio::test]
async fn what_is_no_output_is_named_before_anything_is_done() {
    let world = World::new().await;
    let deep = (1..34).fold(json!({}), |inner, _| json!({ "items": inner }));
    let large = json!({ "description": "x".repeat(64 * 1024) });
    for (output, field) in [
        (json!(7), "output"),
        (json!({}), "output.schema"),
        (json!({ "schema": 7 }), "output.schema"),
        (json!({ "schema": { "type": "no-such-type" } }), "output.schema"),
        (json!({ "schema": { "$ref": "https://example.com/a.json" } }), "output.schema"),
        (json!({ "schema": deep }), "output.schema"),
        (json!({ "schema": large }), "output.schema"),
        (json!({ "schema": schema(), "name": "a bill" }), "output.name"),
        (json!({ "schema": schema(), "strict": 1 }), "output.strict"),
    ] {
        let (status, answer) = world.daemon.send(&asks(json!({ "output": output }))).await;
        assert_eq!((status, &answer["code"]), (400, &json!("invalid_payload")), "{answer}");
        assert!(answer["details"]["fields"].get(field).is_some(), "{field}: {answer}");
    }
    let plan = asks(json!({ "metadata": { "kickoff_plan": true } }));
    let (status, answer) = world.daemon.send(&plan).await;
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_payload")), "{answer}");
    assert_eq!(world.model_got().await.len(), 0);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_asked_for_anew_and_a_shorter_one_fits() {
    let world = World::new().await;
    let cut = completion(json!({ "role": "assistant", "content": "{\"sum\":" }), "length");
    world.model(vec![cut, says(GOOD)]).await;
    let (status, answer) = world.daemon.send(&asks(json!({}))).await;
    assert_eq!((status, &answer["output"]), (200, &json!({ "sum": 7 })), "{answer}");
    let asked = world.model_got().await;
    let told = asked[1]["messages"].as_array().unwrap().last().unwrap()["content"].to_string();
    assert!(told.contains("cut off") && told.contains("not JSON"), "{told}");
}

fn fixed(output: &Value) -> String {
    json!({ "agents": [{ "role": "scout", "output": output }] }).to_string()
}

async fn fixed_world(output: &Value) -> World {
    let world = World::new().await;
    world.write("agent-config.json", &fixed(output));
    world
}

#[tokio::test]
async fn a_role_may_always_answer_with_an_output_but_not_to_heartbeats() {
    let output = json!({ "schema": schema() });
    let mut world = fixed_world(&output).await;
    world.restart(&[]).await;
    world.model(vec![says(GOOD)]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["output"]), (200, &json!({ "sum": 7 })), "{answer}");
    // The same one may be given.
    let (status, _) = world.daemon.send(&message(json!({ "output": output }))).await;
    assert_eq!(status, 200);
    for other in [json!({ "schema": {} }), json!({ "schema": schema(), "strict": false })] {
        let (status, answer) = world.daemon.send(&message(json!({ "output": other }))).await;
        assert_eq!((status, &answer["code"]), (400, &json!("output_fixed")), "{answer}");
    }
    let plan = message(json!({ "metadata": { "kickoff_plan": true } }));
    let (status, answer) = world.daemon.send(&plan).await;
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_payload")), "{answer}");
    let beat = message(json!({ "metadata": { "type": "heartbeat" } }));
    let (status, answer) = world.daemon.send(&beat).await;
    assert_eq!((status, answer.get("output")), (200, None), "{answer}");
}

#[tokio::test]
async fn a_roles_schema_that_cannot_be_used_refuses_its_runs_and_names_the_file() {
    let mut world = fixed_world(&json!({ "schema": { "type": "no-such-type" } })).await;
    world.restart(&[]).await;
    world.model(vec![says(GOOD)]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["code"]), (503, &json!("policy_invalid")), "{answer}");
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("agent-config.json") && error.contains("output.schema"), "{error}");
    assert_eq!(world.model_got().await.len(), 0);
}
