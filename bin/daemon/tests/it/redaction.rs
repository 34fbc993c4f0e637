//! Redaction: what models, journals, traces and people get of a value.

mod edges;
mod ways;

use std::sync::Arc;

use serde_json::{Value, json};
use wiremock::ResponseTemplate;
use wombat_core::redact::{RedactKey, RedactRules, Redactor};

use crate::harness::{Daemon, SECRET, World, calls, message, says};
use crate::journaled::{Journal, run_key};

const EMAIL: &str = "jane.doe@example.org";
const PHONE: &str = "+49 30 901820";
const CARD: &str = "4111 1111 1111 1111";
const IBAN: &str = "DE89 3704 0044 0532 0130 00";
const MEMBER: &str = "M-20261130";
/// A part of each, as it would stand where a value is cut or split.
const PARTS: [&str; 5] = ["jane.doe", "901820", "1111 1111", "0532 0130", "20261130"];

/// What the user's value is for models.
fn placeholder(user: &str, value: &str) -> String {
    let rules = Arc::new(RedactRules::all_kinds(None));
    let redactor = Redactor::new(rules, RedactKey::new(SECRET.as_bytes()), user);
    redactor.redact(value).into_owned()
}

fn own(value: &str) -> String {
    placeholder("u1", value)
}

/// A configuration of the role.
fn config(to: &[&str], mode: &str, tools: Value) -> String {
    let patterns = json!([{ "name": "member", "regex": r"M-\d{8}" }]);
    let redact = json!({ "to": to, "kinds": ["email", "phone", "iban", "card", "key"],
        "patterns": patterns, "mode": mode });
    json!({ "agents": [{ "role": "scout", "redact": redact, "tools": tools }] }).to_string()
}

async fn configured(world: &World, config: &str) {
    world.write("agent-config.json", config);
    world.write("TOOLS.md", "Configured.");
    world.daemon.reloaded("Configured.").await;
}

/// Whether a text has any part of a value.
fn leaks(text: &str) -> Vec<&'static str> {
    PARTS.into_iter().filter(|part| text.contains(part)).collect()
}

async fn model_texts(world: &World) -> String {
    world.model_got().await.iter().map(Value::to_string).collect()
}

/// Everything that the backend was sent of runs.
async fn journal_texts(world: &World) -> String {
    let requests = world.backend.received_requests().await.unwrap();
    let of_runs = requests.iter().filter(|request| request.url.path().contains("/runs"));
    of_runs.map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect()
}

#[tokio::test]
async fn a_model_gets_placeholders_of_everything_from_outside() {
    let world = World::with(&[], json!({ "memories": true })).await;
    configured(&world, &config(&["provider"], "redact", json!({}))).await;
    world.write("AGENTS.md", "Our desk is desk@example.com. Now reloaded.");
    world.daemon.reloaded("Now reloaded.").await;
    let memory = json!({ "id": "m1", "scope": "user", "text": format!("member {MEMBER}"),
        "author": { "type": "agent", "id": "scout" } });
    world.backend_says("GET", "/memories", 200, json!({ "items": [memory] })).await;
    let task = json!({ "id": "t2", "title": format!("Refund to {IBAN}") });
    world.backend_says("GET", "/tasks", 200, json!({ "items": [task] })).await;
    world.model(vec![calls(&[("list_tasks", json!({}))]), says("done")]).await;
    let history = json!([{ "role": "user", "content": format!("call {PHONE}") },
        { "role": "assistant", "content": format!("I called {PHONE}.") }]);
    let body =
        message(json!({ "message": format!("I am {EMAIL}, card {CARD}"), "messages": history,
        "metadata": { "kickoff": { "note": format!("write to {EMAIL}") } } }));
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!(status, 200, "{answer}");
    let got = model_texts(&world).await;
    assert_eq!(leaks(&got), [""; 0], "{got}");
    for value in [EMAIL, PHONE, CARD, IBAN] {
        assert!(got.contains(&own(value)), "{value}: {got}");
    }
    assert!(got.contains("[[member:") && got.contains("desk@example.com"), "{got}");
    // The thread, lists and the rest of the backend have what was said.
    let said = world.backend_got("GET", "/memories").await;
    assert!(said[0].url.query().unwrap().contains("jane.doe"));
}

#[tokio::test]
async fn a_value_is_replaced_before_a_result_is_cut() {
    let world = World::with(&[("WOMBAT_TOOL_RESULT_MAX_CHARS", "1000")], json!({})).await;
    configured(&world, &config(&["provider"], "redact", json!({}))).await;
    // The limit falls into the middle of the address, wherever it is.
    let title = format!("{EMAIL} ").repeat(200);
    world
        .backend_says("GET", "/tasks", 200, json!({ "items": [{ "id": "t", "title": title }] }))
        .await;
    world.model(vec![calls(&[("list_tasks", json!({}))]), says("done")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let got = model_texts(&world).await;
    assert!(got.contains("[cut: the first 9"), "{got}");
    assert!(!got.contains("jane"), "{got}");
}

#[tokio::test]
async fn tools_and_people_get_the_values_again() {
    let world = World::new().await;
    configured(&world, &config(&["provider"], "redact-restore", json!({}))).await;
    let (email, card) = (own(EMAIL), own(CARD));
    let call = calls(&[(
        "create_task",
        json!({ "title": format!("Mail {email}"), "description": "[[card:00000000]]" }),
    )]);
    world
        .model(vec![call, says(&format!("Sent to {email}, {card}; not [[email:0badc0de]]."))])
        .await;
    let body = message(json!({ "message": format!("mail {EMAIL} about {CARD}") }));
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!(status, 200, "{answer}");
    let reply = format!("Sent to {EMAIL}, {CARD}; not [[email:0badc0de]].");
    assert_eq!(answer["response"], reply);
    assert_eq!(answer["steps"][0]["arguments"]["title"], format!("Mail {EMAIL}"));
    let made: Value = world.backend_got("POST", "/tasks").await[0].body_json().unwrap();
    assert_eq!(made["title"], format!("Mail {EMAIL}"));
    assert_eq!(made["description"], "[[card:00000000]]");
    let stored: Value = world.backend_got("POST", "/messages").await[0].body_json().unwrap();
    assert_eq!(stored["content"], reply);
    let got = model_texts(&world).await;
    assert_eq!(leaks(&got), [""; 0], "{got}");
}

#[tokio::test]
async fn without_giving_back_the_placeholders_stay() {
    let world = World::new().await;
    configured(&world, &config(&["provider"], "redact", json!({}))).await;
    let email = own(EMAIL);
    let call = calls(&[("create_task", json!({ "title": email }))]);
    world.model(vec![call, says(&email)]).await;
    let (status, answer) = world.daemon.send(&message(json!({ "message": EMAIL }))).await;
    assert_eq!((status, answer["response"].as_str()), (200, Some(&*email)), "{answer}");
    let made: Value = world.backend_got("POST", "/tasks").await[0].body_json().unwrap();
    assert_eq!(made["title"], email);
}

#[tokio::test]
async fn another_user_s_placeholder_is_only_text() {
    let world = World::new().await;
    configured(&world, &config(&["provider"], "redact-restore", json!({}))).await;
    let (theirs, own) = (placeholder("u2", EMAIL), own(EMAIL));
    assert_ne!(theirs, own);
    world.model(vec![says(&format!("{theirs} {own}"))]).await;
    // Who has seen the placeholder of another one, or of their own, gets no value by it.
    let typed = format!("what is {theirs}, what is {own}?");
    let (_, answer) = world.daemon.send(&message(json!({ "message": typed }))).await;
    assert_eq!(answer["response"], format!("{theirs} {own}"));
    // The form hides nothing.
    let typed = format!("[[email:{EMAIL}]]");
    world.daemon.send(&message(json!({ "message": typed }))).await;
    let got = model_texts(&world).await;
    assert_eq!(leaks(&got), [""; 0], "{got}");
}

#[tokio::test]
async fn schema_and_policy_see_the_values() {
    let world = World::new().await;
    let tools = json!({ "deny": ["POST /api/orders/M-*"] });
    let skill = "---\nname: shop\ndescription: d\n---\n```http\nPOST /api/orders/{id}\n```\n";
    world.write("skills/shop/SKILL.md", skill);
    world.daemon.until("/skills", |skills| skills["total"] == 1).await;
    configured(&world, &config(&["provider"], "redact-restore", tools)).await;
    world.model(vec![says("first")]).await;
    let body = message(json!({ "message": format!("{MEMBER}, {EMAIL}") }));
    world.daemon.send(&body).await;
    let got = model_texts(&world).await;
    let at = got.find("[[member:").unwrap();
    let member = got[at..].split_inclusive("]]").next().unwrap().to_owned();
    world.llm.reset().await;
    let order = |id: &str| json!({ "method": "POST", "path": format!("/api/orders/{id}") });
    // The rule speaks of the value.
    world.model(vec![calls(&[("call_backend", order(&member))]), says("ok")]).await;
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["refused"][0]["rule"]["pattern"], "POST /api/orders/M-*", "{answer}");
    assert!(world.backend_got("POST", "/orders").await.is_empty());
    assert_eq!(leaks(&model_texts(&world).await), [""; 0]);
}

/// The text that a stream tells, and its whole output.
async fn streamed(daemon: &Daemon, body: &Value) -> (String, String) {
    let response = daemon.post("/api/agents/stream", body).send().await.unwrap();
    let told = response.text().await.unwrap();
    let mut text = String::new();
    for line in told.lines().filter_map(|line| line.strip_prefix("data:")) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        if event["type"] == "chunk" {
            text += event["data"].as_str().unwrap();
        }
    }
    (text, told)
}

/// An answer of the model that comes in these pieces.
fn pieces(pieces: &[String]) -> ResponseTemplate {
    let mut body = String::new();
    let mut event = |delta: Value, finish: Value| {
        let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
        body += &format!("data: {chunk}\n\n");
    };
    event(json!({ "role": "assistant", "content": "" }), Value::Null);
    for piece in pieces {
        event(json!({ "content": piece }), Value::Null);
    }
    event(json!({}), json!("stop"));
    body += "data: [DONE]\n\n";
    ResponseTemplate::new(200).set_body_raw(body, "text/event-stream")
}

#[tokio::test]
async fn a_stream_tells_the_stored_reply_however_it_is_split() {
    let world = World::new().await;
    configured(&world, &config(&["provider"], "redact-restore", json!({}))).await;
    let said = format!("To {} and [[email:0badc0de]], [[ {}[", own(EMAIL), own(CARD));
    let whole = format!("To {EMAIL} and [[email:0badc0de]], [[ {CARD}[");
    for size in [1, 2, 3, 7, 18, 200] {
        world.llm.reset().await;
        let chars: Vec<char> = said.chars().collect();
        let split: Vec<String> = chars.chunks(size).map(|piece| piece.iter().collect()).collect();
        world.model(vec![pieces(&split)]).await;
        let body = message(json!({ "message": format!("{EMAIL} {CARD}") }));
        let (text, told) = streamed(&world.daemon, &body).await;
        assert_eq!(text, whole, "{size}: {told}");
        assert!(!told.contains(&own(EMAIL)), "{told}");
        let stored = world.backend_got("POST", "/messages").await;
        let stored: Value = stored.last().unwrap().body_json().unwrap();
        assert_eq!(stored["content"], whole);
    }
}

/// A run that waits for approval of a call with a value, on the world's daemon.
async fn waiting(to: &[&str], mode: &str) -> (World, Journal) {
    let (world, journal) = Journal::world(&[], Vec::new()).await;
    let tools = json!({ "approval": ["create_task"] });
    configured(&world, &config(to, mode, tools)).await;
    let value = if to.contains(&"provider") { own(EMAIL) } else { EMAIL.to_owned() };
    let call = calls(&[("create_task", json!({ "title": format!("Mail {value}") }))]);
    world.model(vec![call, says(&format!("Done: {value}."))]).await;
    let body = message(json!({ "idempotency_key": "k",
        "message": format!("mail {EMAIL}, pay with {CARD}, account {IBAN}") }));
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!((status, &answer["status"]), (200, &json!("awaiting_approval")), "{answer}");
    (world, journal)
}

/// Another instance, which knows nothing but what the backend holds.
async fn another(world: &World) -> Daemon {
    Daemon::start(&[], &world.backend.uri(), &world.llm.uri(), world.dir.path().into()).await
}

async fn resumed(daemon: &Daemon) -> Value {
    let body = json!({ "user_id": "u1", "session_key": "user:u1:scout",
        "resume_run_key": run_key().as_str() });
    let (status, answer) = daemon.send(&body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn another_instance_gives_the_values_back() {
    for to in [&["provider"][..], &["provider", "journal"], &["provider", "journal", "traces"]] {
        let (world, journal) = waiting(to, "redact-restore").await;
        let asked = journal.held().requests[0].1.clone();
        assert_eq!(asked["arguments"]["title"], format!("Mail {EMAIL}"), "{asked}");
        assert_eq!(journal.decide("approved"), 1);
        let other = another(&world).await;
        let answer = resumed(&other).await;
        assert_eq!(answer["response"], format!("Done: {EMAIL}."), "{answer}");
        let made: Value = world.backend_got("POST", "/tasks").await[0].body_json().unwrap();
        assert_eq!(made["title"], format!("Mail {EMAIL}"));
        let got = world.model_got().await;
        assert_eq!(leaks(&model_texts(&world).await), [""; 0]);
        // The second prompt begins with the bytes of the first one.
        let messages = |request: &Value| request["messages"].as_array().unwrap().clone();
        let (first, second) = (messages(&got[0]), messages(&got[1]));
        assert_eq!(first[1..], second[1..first.len()]);
        let held = journal_texts(&world).await;
        if to.contains(&"journal") {
            assert_eq!(leaks(&held), [""; 0], "{held}");
            assert!(held.contains("\"sealed\":"), "{held}");
        }
    }
}

#[tokio::test]
async fn a_redacted_journal_holds_no_value_and_any_instance_goes_on_from_it() {
    let (world, journal) = waiting(&["journal"], "redact").await;
    let held = journal_texts(&world).await;
    assert_eq!(leaks(&held), [""; 0], "{held}");
    assert!(held.contains(r#""asked":"mail [[email:"#), "{held}");
    // The model is told everything.
    assert!(model_texts(&world).await.contains(EMAIL));
    journal.decide("approved");
    let other = another(&world).await;
    let answer = resumed(&other).await;
    assert_eq!(answer["response"], format!("Done: {EMAIL}."), "{answer}");
    let (first, second) = {
        let got = world.model_got().await;
        (got[0]["messages"][1].clone(), got[1]["messages"][1].clone())
    };
    assert_eq!(first, second);
    let held = journal_texts(&world).await;
    assert_eq!(leaks(&held), [""; 0], "{held}");
    assert!(held.contains(r#""reply":"Done: [[email:"#), "{held}");
}

#[tokio::test]
async fn a_sealed_part_is_nobody_s_but_the_run_s() {
    let (world, journal) = waiting(&["journal"], "redact").await;
    journal.decide("approved");
    // Whoever changes what is sealed, or takes it away, stops the run.
    for change in [json!("AAAA"), Value::Null] {
        let steps = journal.held().steps.clone();
        journal.held().steps.get_mut(&0).unwrap()["payload"]["sealed"] = change;
        let other = another(&world).await;
        let body = json!({ "user_id": "u1", "session_key": "user:u1:scout",
            "resume_run_key": run_key().as_str() });
        let (_, answer) = other.send(&body).await;
        assert_eq!(answer["code"], "journal_rejected", "{answer}");
        let mut held = journal.held();
        held.steps = steps;
        held.statuses.push("awaiting_approval".to_owned());
    }
    assert!(world.backend_got("POST", "/tasks").await.is_empty());
    assert_eq!(resumed(&another(&world).await).await["response"], format!("Done: {EMAIL}."));
}

#[tokio::test]
async fn values_come_back_although_the_rules_are_gone_by_then() {
    let (world, journal) = waiting(&["provider", "journal"], "redact-restore").await;
    journal.decide("approved");
    world.write("agent-config.json", r#"{"agents": [{"role": "scout"}]}"#);
    let answer = resumed(&another(&world).await).await;
    assert_eq!(answer["response"], format!("Done: {EMAIL}."), "{answer}");
    let made: Value = world.backend_got("POST", "/tasks").await[0].body_json().unwrap();
    assert_eq!(made["title"], format!("Mail {EMAIL}"));
}

#[tokio::test]
async fn what_a_person_says_to_a_call_is_replaced_for_the_model() {
    let (world, journal) = waiting(&["provider"], "redact-restore").await;
    let id = journal.held().requests[0].1["id"].as_str().unwrap().to_owned();
    journal.decide_one(&id, "denied", json!({ "note": format!("ask {PHONE} first") }));
    let answer = resumed(&another(&world).await).await;
    assert_eq!(answer["steps"][0]["ok"], false, "{answer}");
    let got = model_texts(&world).await;
    assert_eq!(leaks(&got), [""; 0], "{got}");
    assert!(got.contains(&own(PHONE)), "{got}");
}

#[tokio::test]
async fn a_typed_output_has_the_values() {
    let world = World::new().await;
    configured(&world, &config(&["provider", "journal"], "redact-restore", json!({}))).await;
    let schema = json!({ "type": "object", "additionalProperties": false,
        "required": ["mail", "key"],
        "properties": { "mail": { "type": "string", "pattern": "^[a-z.]+@[a-z.]+$" }, "key": { "type": "string" } } });
    let secret = "-----BEGIN PRIVATE KEY-----\nAB\"C\n-----END PRIVATE KEY-----";
    let said = json!({ "mail": own(EMAIL), "key": own(secret) }).to_string();
    world.model(vec![says(r#"{"mail": "nobody", "key": ""}"#), says(&said)]).await;
    let body =
        message(json!({ "message": format!("{EMAIL}\n{secret}"), "output": { "schema": schema } }));
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["output"], json!({ "mail": EMAIL, "key": secret }));
    assert_eq!(leaks(&model_texts(&world).await), [""; 0]);
}

#[tokio::test]
async fn a_model_task_keeps_from_providers_what_any_role_does() {
    let world = World::new().await;
    configured(&world, &config(&["provider"], "redact", json!({}))).await;
    let own = |value: &str| placeholder("", value);
    world
        .model(vec![
            says(&format!("{} was told.", own(EMAIL))),
            says(&json!({ "to": own(CARD) }).to_string()),
        ])
        .await;
    let turns = json!([{ "role": "user", "content": format!("I am {EMAIL}") },
        { "role": "assistant", "content": "Good." }]);
    let body = json!({ "messages": turns, "keep_recent": 0 });
    let answer: Value =
        world.daemon.post("/compact", &body).send().await.unwrap().json().await.unwrap();
    let summary = answer["compacted_messages"][0]["content"].as_str().unwrap();
    assert!(summary.ends_with(&format!("{EMAIL} was told.")), "{answer}");
    let body = json!({ "prompt": "To whom?", "input": { "card": CARD, "mail": EMAIL },
        "schema": { "type": "object", "properties": { "to": { "type": "string" } } } });
    let answer: Value =
        world.daemon.post("/llm-task", &body).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["output"]["to"], CARD, "{answer}");
    assert_eq!(leaks(&model_texts(&world).await), [""; 0]);
}

#[tokio::test]
async fn a_bad_rule_is_told_with_its_place_and_nothing_runs() {
    let (backend, llm) = (wiremock::MockServer::start().await, wiremock::MockServer::start().await);
    let dir = tempfile::tempdir().unwrap();
    let bad = "{\"agents\": [{\"role\": \"scout\",\n \"redact\": {\"to\": [\"provider\"],\n \"patterns\": [\n  {\"name\": \"x\", \"regex\": \"(?<=a)b\"}]}}]}";
    std::fs::write(dir.path().join("agent-config.json"), bad).unwrap();
    let daemon = Daemon::start(&[], &backend.uri(), &llm.uri(), dir.path().into()).await;
    let (status, answer) = daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["code"]), (503, &json!("policy_invalid")), "{answer}");
    let said = answer["error"].as_str().unwrap();
    assert!(said.contains("redact.patterns[0].regex") && said.contains(":4"), "{said}");
    assert!(llm.received_requests().await.unwrap().is_empty());
}
