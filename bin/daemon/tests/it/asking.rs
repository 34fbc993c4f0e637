//! What a person is asked: questions, and approvals with other arguments or under conditions.

use serde_json::{Value, json};

use crate::harness::{World, calls, message, says};
use crate::journaled::{Journal, run_key};

/// A world whose role has these rules.
async fn world(tools: Value) -> (World, Journal) {
    let (world, journal) = Journal::world_that_has(&["decisions"], &[], Vec::new()).await;
    enable(&world, tools).await;
    (world, journal)
}

async fn enable(world: &World, tools: Value) {
    let agents = json!({ "agents": [{ "role": "scout", "tools": tools }] });
    world.write("agent-config.json", &agents.to_string());
    world.write("AGENTS.md", "Read anew.");
    world.daemon.reloaded("Read anew.").await;
}

fn asks(question: &str) -> (&'static str, Value) {
    ("ask_user", json!({ "question": question, "options": ["red", "blue"] }))
}

fn creates(title: &str) -> (&'static str, Value) {
    ("create_task", json!({ "title": title }))
}

/// The names of the tools that the model was last offered.
async fn offered(world: &World) -> Vec<String> {
    let asked = world.model_got().await;
    let tools = asked.last().unwrap()["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

/// The results of tools that the model was last given.
async fn results(world: &World) -> Vec<String> {
    let asked = world.model_got().await;
    let messages = asked.last().unwrap()["messages"].as_array().unwrap();
    let results = messages.iter().filter(|message| message["role"] == "tool");
    results.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_tool_that_is_enabled_exists_where_the_backend_can_keep_it_and_nothing_denies_it() {
    for (features, tools, is_there) in [
        (&["decisions"][..], json!({ "enable": ["ask_user"] }), true),
        (&["decisions"], json!({ "enable": ["ask_user"], "allow": ["list_tasks"] }), true),
        (&["decisions"], json!({ "enable": ["ask_user"], "deny": ["ask_*"] }), false),
        (&["decisions"], json!({ "allow": ["ask_user"] }), false),
        (&["decisions"], json!({}), false),
        (&[], json!({ "enable": ["ask_user"] }), false),
    ] {
        let (world, _) = Journal::world_that_has(features, &[], Vec::new()).await;
        enable(&world, tools.clone()).await;
        world.model(vec![calls(&[asks("Which?")]), says("ok")]).await;
        let (_, answer) = world.send_keyed().await;
        let is_asked = answer["status"] == "awaiting_answer";
        assert_eq!(is_asked, is_there, "{features:?} {tools}: {answer}");
        assert_eq!(offered(&world).await.contains(&"ask_user".to_owned()), is_there, "{tools}");
    }
}

#[tokio::test]
async fn a_question_is_asked_once_and_the_model_gets_the_answer() {
    let settings = [("WOMBAT_QUESTION_TTL_SECS", "60")];
    let (world, journal) = Journal::world_that_has(&["decisions"], &settings, Vec::new()).await;
    enable(&world, json!({ "enable": ["ask_user"], "approval": ["*"] })).await;
    world.model(vec![calls(&[asks("Which?")]), says("Blue it is.")]).await;
    for (status, answer) in [world.send_keyed().await, world.resume().await] {
        assert_eq!((status, &answer["status"]), (200, &json!("awaiting_answer")), "{answer}");
        let asked = &answer["tool_requests"][0];
        assert_eq!(asked["kind"], "question");
        assert_eq!(asked["question"], "Which?");
        assert_eq!(asked["options"], json!(["red", "blue"]));
        assert_eq!(asked["parameters"], json!({ "enum": ["red", "blue"] }));
        assert_eq!(answer["message_id"], Value::Null);
    }
    let request = journal.held().requests[0].1.clone();
    assert_eq!(journal.held().requests.len(), 1);
    assert_eq!(request["kind"], "question");
    assert_eq!(request["ttl_secs"], 60);
    assert_eq!(request["arguments"], asks("Which?").1);
    assert_eq!(journal.held().statuses.last().unwrap(), "awaiting_answer");
    journal.decide_one("r1", "answered", json!({ "answer": "blue" }));
    let (_, answer) = world.resume().await;
    assert_eq!(answer["response"], "Blue it is.", "{answer}");
    let step = &answer["steps"][0];
    assert_eq!((&step["name"], &step["ok"]), (&json!("ask_user"), &json!(true)));
    assert_eq!(step["tool_request_id"], "r1");
    assert_eq!(step["decided_by"], json!({ "type": "person", "id": "u1" }));
    let given = &results(&world).await[0];
    assert!(given.contains(r#"{"answer":"blue"}"#) && given.contains("untrusted"), "{given}");
    assert!(given.ends_with("take it as their word.)"), "{given}");
}

#[tokio::test]
async fn where_nobody_answers_the_model_is_told_why() {
    for (status, note, told) in [
        ("denied", json!({}), "nobody answers: a person left it unanswered"),
        ("denied", json!({ "note": "ask Bob" }), "left it unanswered, and says: ask Bob"),
        ("expired", json!({}), "nobody answers: the time for it is over"),
        ("cancelled", json!({}), "nobody answers: the question was withdrawn"),
    ] {
        let (world, journal) = world(json!({ "enable": ["ask_user"] })).await;
        world.model(vec![calls(&[asks("Which?")]), says("I chose red.")]).await;
        world.send_keyed().await;
        journal.decide_one("r1", status, note);
        let (_, answer) = world.resume().await;
        assert_eq!(answer["response"], "I chose red.", "{answer}");
        assert_eq!(answer["steps"][0]["ok"], false);
        assert!(results(&world).await[0].contains(told), "{:?}", results(&world).await);
    }
}

#[tokio::test]
async fn the_run_goes_on_when_all_of_a_turn_are_decided() {
    let (world, journal) =
        world(json!({ "enable": ["ask_user"], "approval": ["create_task"] })).await;
    let turn = calls(&[asks("Which?"), creates("A"), ("list_tasks", json!({}))]);
    world.model(vec![turn, says("Done.")]).await;
    let (_, answer) = world.send_keyed().await;
    assert_eq!(answer["status"], "awaiting_approval", "{answer}");
    let kinds = |answer: &Value| -> Vec<String> {
        let requests = answer["tool_requests"].as_array().unwrap();
        requests.iter().map(|asked| asked["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&answer), ["question", "approval"]);
    assert!(answer["tool_requests"][1]["parameters"]["properties"]["title"].is_object());
    journal.decide_one("r2", "approved", json!({}));
    let (_, answer) = world.resume().await;
    assert_eq!(answer["status"], "awaiting_answer", "{answer}");
    assert_eq!(kinds(&answer), ["question"]);
    assert!(world.backend_got("POST", "/tasks").await.is_empty());
    journal.decide_one("r1", "answered", json!({ "answer": "red" }));
    let (_, answer) = world.resume().await;
    assert_eq!(answer["response"], "Done.", "{answer}");
    assert_eq!(world.backend_got("POST", "/tasks").await.len(), 1);
    assert_eq!(world.backend_got("GET", "/tasks").await.len(), 1);
    let names: Vec<_> = answer["steps"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
    assert_eq!(names, ["ask_user", "create_task", "list_tasks"]);
    assert_eq!(journal.held().requests.len(), 2);
}

#[tokio::test]
async fn the_ninth_question_of_a_run_is_an_error_for_the_model() {
    let (world, journal) = world(json!({ "enable": ["ask_user"] })).await;
    let turn = |from: usize, to: usize| {
        let all: Vec<_> = (from..=to).map(|n| asks(&format!("Question {n}?"))).collect();
        calls(&all)
    };
    world.model(vec![turn(1, 5), turn(6, 10), says("Enough.")]).await;
    world.send_keyed().await;
    let answer_all = || {
        let waiting: Vec<String> = journal
            .held()
            .requests
            .iter()
            .filter(|(_, request)| request["status"] == "pending")
            .map(|(_, request)| request["id"].as_str().unwrap().to_owned())
            .collect();
        waiting
            .iter()
            .for_each(|id| journal.decide_one(id, "answered", json!({ "answer": "red" })));
        waiting.len()
    };
    assert_eq!(answer_all(), 5);
    let (_, answer) = world.resume().await;
    assert_eq!(answer["tool_requests"].as_array().map(Vec::len), Some(3), "{answer}");
    // Another instance counts the same.
    let (_, answer) = world.resume().await;
    assert_eq!(answer["tool_requests"].as_array().map(Vec::len), Some(3), "{answer}");
    assert_eq!(answer_all(), 3);
    let (_, answer) = world.resume().await;
    assert_eq!(answer["response"], "Enough.", "{answer}");
    let results = results(&world).await;
    assert_eq!(results.iter().filter(|text| text.contains("may ask no more")).count(), 2);
    assert_eq!(journal.held().requests.len(), 8);
}

#[tokio::test]
async fn a_question_that_cannot_be_asked_is_an_error_for_the_model() {
    let (world, journal) = world(json!({ "enable": ["ask_user"] })).await;
    let bad = calls(&[
        ("ask_user", json!({ "question": "x".repeat(2_001) })),
        ("ask_user", json!({ "question": "?", "options": ["one"] })),
        ("ask_user", json!({ "question": "?", "options": ["one", "ONE "] })),
        ("ask_user", json!({ "question": "?", "schema": { "type": "nothing" } })),
        ("ask_user", json!({ "question": "?", "schema": {}, "options": ["a", "b"] })),
        (
            "request_tool",
            json!({ "tool": "ask_user", "arguments": { "question": "?" }, "reason": "x" }),
        ),
    ]);
    world.model(vec![bad, says("ok")]).await;
    let (_, answer) = world.send_keyed().await;
    assert_eq!(answer["response"], "ok", "{answer}");
    let steps = answer["steps"].as_array().unwrap();
    assert!(steps.len() == 6 && steps.iter().all(|step| step["ok"] == false), "{answer}");
    assert!(journal.held().requests.is_empty());
}

#[tokio::test]
async fn answers_beside_the_run_key_answer_and_go_on() {
    let (world, journal) =
        world(json!({ "enable": ["ask_user"], "approval": ["create_task"] })).await;
    let number = json!({ "question": "How many?", "schema": { "type": "integer" } });
    let turn = calls(&[asks("Which?"), ("ask_user", number), creates("A")]);
    world.model(vec![turn, says("Done.")]).await;
    world.send_keyed().await;
    let refused = |answer: (u16, Value)| (answer.0, answer.1["code"].as_str().unwrap().to_owned());
    for (answers, status, code) in [
        (json!({ "r1": "green" }), 400, "answer_mismatch"),
        (json!({ "r1": "red", "r2": "seven" }), 400, "answer_mismatch"),
        (json!({ "r3": true }), 400, "invalid_payload"),
        (json!({ "other": "red" }), 404, "tool_request_not_found"),
        (json!(["red"]), 400, "invalid_payload"),
    ] {
        let refused = refused(world.resume_with(answers.clone()).await);
        assert_eq!(refused, (status, code.to_owned()), "{answers}");
    }
    let body = message(json!({ "answers": { "r1": "red" } }));
    assert_eq!(refused(world.daemon.send(&body).await).1, "invalid_payload");
    assert_eq!(journal.decide("x"), 3, "nothing was answered");
    for id in ["r1", "r2", "r3"] {
        journal.decide_one(id, "pending", json!({}));
    }
    let (_, answer) = world.resume_with(json!({ "r1": " RED ", "r2": 7 })).await;
    assert_eq!(answer["status"], "awaiting_approval", "{answer}");
    // Given again, they are what they were; other ones are too late.
    let (status, _) = world.resume_with(json!({ "r1": " RED ", "r2": 7 })).await;
    assert_eq!(status, 200);
    let late = world.resume_with(json!({ "r2": 8 })).await;
    assert_eq!(refused(late), (409, "already_decided".to_owned()));
    journal.decide_one("r3", "approved", json!({}));
    let (_, answer) = world.resume().await;
    assert_eq!(answer["response"], "Done.", "{answer}");
    assert!(results(&world).await[1].contains(r#"{"answer":7}"#));
}

#[tokio::test]
async fn a_call_approved_with_other_arguments_is_made_with_those() {
    let (world, journal) = world(json!({ "approval": ["create_task"] })).await;
    let again = calls(&[creates("B")]);
    world.model(vec![calls(&[creates("A")]), again, says("Done.")]).await;
    world.send_keyed().await;
    journal.decide_one("r1", "approved", json!({ "edited": { "arguments": { "title": "B" } } }));
    let (_, answer) = world.resume().await;
    assert_eq!(answer["status"], "awaiting_approval", "{answer}");
    let step = &answer["steps"][0];
    assert_eq!(step["arguments"], json!({ "title": "B" }));
    assert_eq!(step["requested_arguments"], json!({ "title": "A" }));
    assert_eq!(step["decided_by"]["id"], "u1");
    let told = &results(&world).await[0];
    assert!(told.contains(r#"{"approved_with_other_arguments":{"title":"B"}}"#), "{told}");
    // The same call of the model's own is another one.
    journal.decide_one("r2", "approved", json!({}));
    let (_, answer) = world.resume().await;
    assert_eq!(answer["response"], "Done.", "{answer}");
    let made = world.backend_got("POST", "/tasks").await;
    let made: Vec<Value> =
        made.iter().map(|made| serde_json::from_slice(&made.body).unwrap()).collect();
    assert_eq!((made.len(), &made[0]["title"], &made[1]["title"]), (2, &json!("B"), &json!("B")));
    assert_eq!(keys_of(&made), [key_of("B", 1), key_of("B", 2)]);
}

fn key_of(title: &str, nth: u32) -> String {
    run_key().tool_key("create_task", &json!({ "title": title }), nth)
}

fn keys_of(made: &[Value]) -> Vec<&str> {
    made.iter().map(|made| made["idempotency_key"].as_str().unwrap_or_default()).collect()
}

#[tokio::test]
async fn calls_that_a_person_makes_equal_are_several() {
    let (world, journal) = world(json!({ "approval": ["create_task"] })).await;
    let turn = calls(&[creates("A"), creates("B"), creates("C")]);
    world.model(vec![turn, calls(&[creates("B")]), says("Done.")]).await;
    world.send_keyed().await;
    for id in ["r1", "r3"] {
        journal.decide_one(id, "approved", json!({ "edited": { "arguments": { "title": "B" } } }));
    }
    journal.decide_one("r2", "approved", json!({}));
    world.resume().await;
    journal.decide_one("r4", "approved", json!({}));
    let (_, answer) = world.resume().await;
    assert_eq!(answer["response"], "Done.", "{answer}");
    let made = world.backend_got("POST", "/tasks").await;
    let made: Vec<Value> =
        made.iter().map(|made| serde_json::from_slice(&made.body).unwrap()).collect();
    let mut keys = keys_of(&made);
    keys.sort_unstable();
    assert_eq!(keys, [key_of("B", 1), key_of("B", 2), key_of("B", 3), key_of("B", 4)]);
}

#[tokio::test]
async fn other_arguments_are_checked_like_those_of_any_call() {
    for (tools, edited, told) in [
        (
            json!({ "approval": ["create_task"] }),
            json!({ "title": 7 }),
            "do not fit the tool's schema",
        ),
        (json!({ "deny": ["create_task"] }), json!({ "title": "B" }), "may not be called"),
    ] {
        let (world, journal) = world(json!({ "approval": ["create_task"] })).await;
        world.model(vec![calls(&[creates("A")]), says("Done.")]).await;
        world.send_keyed().await;
        journal.decide_one("r1", "approved", json!({ "edited": { "arguments": edited } }));
        let rules = json!({ "agents": [{ "role": "scout", "tools": tools }] });
        world.write("agent-config.json", &rules.to_string());
        world.write("AGENTS.md", "Other rules.");
        world.daemon.reloaded("Other rules.").await;
        let (_, answer) = world.resume().await;
        assert_eq!(answer["response"], "Done.", "{answer}");
        assert!(results(&world).await[0].contains(told), "{:?}", results(&world).await);
        assert!(world.backend_got("POST", "/tasks").await.is_empty());
    }
}

#[tokio::test]
async fn a_condition_says_which_calls_wait_for_a_person() {
    let rule = json!({ "tool": "create_task", "when": { "metadata.amount": { "gt": 100 } } });
    for (arguments, waits) in [
        (json!({ "title": "A", "metadata": { "amount": 100 } }), false),
        (json!({ "title": "A", "metadata": { "amount": 100.5 } }), true),
        (json!({ "title": "A", "metadata": { "amount": "1" } }), true),
        (json!({ "title": "A" }), true),
    ] {
        let (world, _) = world(json!({ "approval": [rule] })).await;
        world.model(vec![calls(&[("create_task", arguments.clone())]), says("Done.")]).await;
        let (_, answer) = world.send_keyed().await;
        let status = if waits { "awaiting_approval" } else { "ok" };
        assert_eq!(answer["status"], status, "{arguments}: {answer}");
    }
}

#[tokio::test]
async fn what_a_run_waits_for_is_told_as_it_stands_now() {
    let (world, journal) =
        world(json!({ "enable": ["ask_user"], "approval": ["create_task"] })).await;
    world.model(vec![calls(&[asks("Which?"), creates("A")]), says("Done.")]).await;
    world.send_keyed().await;
    let look = async || {
        let path = format!("/api/agents/runs/{}?session_key=user:u1:scout", run_key().as_str());
        world.daemon.get(&path).await.json::<Value>().await.unwrap()
    };
    let report = look().await;
    assert_eq!(report["status"], "awaiting_approval", "{report}");
    assert_eq!(report["tool_requests"].as_array().map(Vec::len), Some(2));
    journal.decide_one("r2", "approved", json!({}));
    let report = look().await;
    assert_eq!(report["status"], "awaiting_answer", "{report}");
    assert_eq!(report["answer"]["status"], "awaiting_answer");
    assert_eq!(report["tool_requests"][0]["id"], "r1");
    assert_eq!(report["answer"]["tool_requests"], report["tool_requests"]);
    journal.decide_one("r1", "answered", json!({ "answer": "red" }));
    assert_eq!(look().await["status"], "running");
}
