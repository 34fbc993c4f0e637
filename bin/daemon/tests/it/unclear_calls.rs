//! One approval is one execution: calls whose outcome is unknown, and tools that change while a call
//! waits.

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{World, calls, says};
use crate::journaled::{Journal, own, request, run_key};

const SKILL: &str = "---\nname: shop\ndescription: The shop.\n---\n```http\nPOST /app/pay\n\
                     PUT /app/pay\nGET /app/pay\nDELETE /app/pay\n```\n";

/// A world whose skill declares the shop's endpoints, some of which need approval. The shop answers
/// with these, the last one again and again.
async fn world(
    approval: &str,
    steps: Vec<Value>,
    answers: Vec<ResponseTemplate>,
) -> (World, Journal) {
    let (world, journal) = Journal::world(&[("WOMBAT_RETRY_ATTEMPTS", "1")], steps).await;
    world.write("skills/shop/SKILL.md", SKILL);
    let agents =
        format!(r#"{{"agents": [{{"role": "scout", "tools": {{"approval": [{approval}]}}}}]}}"#);
    world.write("agent-config.json", &agents);
    world.daemon.reloaded("/app/pay").await;
    let last = answers.len() - 1;
    for (n, answer) in answers.into_iter().enumerate() {
        let mock = Mock::given(path("/app/pay")).respond_with(answer);
        let mock = mock.with_priority(u8::try_from(n).unwrap() + 1);
        let mock = if n < last { mock.up_to_n_times(1) } else { mock };
        mock.mount(&world.backend).await;
    }
    (world, journal)
}

fn answers(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({ "error": "so" }))
}

fn call(verb: &str) -> (&'static str, Value) {
    ("call_backend", json!({ "method": verb, "path": "/app/pay", "body": { "amount": 5 } }))
}

/// The idempotency keys of the calls of the shop.
async fn paid(world: &World) -> Vec<String> {
    let requests = world.backend.received_requests().await.unwrap();
    let shop = requests.iter().filter(|request| request.url.path() == "/app/pay");
    let key = |request: &wiremock::Request| {
        request.headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned())
    };
    shop.map(|request| key(request).unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_call_with_an_unknown_outcome_is_repeated_only_when_a_person_says_so() {
    for status in [500, 501, 502, 503, 504, 520, 408, 303] {
        let (world, journal) = world("", Vec::new(), vec![answers(status), answers(200)]).await;
        let again = json!({ "body": { "amount": 5.0 }, "path": "/app/%70ay", "method": "POST" });
        let again = calls(&[("call_backend", again)]);
        world.model(vec![calls(&[call("POST")]), again, says("Paid.")]).await;
        let (_, answer) = world.send_keyed().await;
        assert_eq!(answer["status"], "awaiting_approval", "{status}: {answer}");
        assert_eq!(paid(&world).await.len(), 1, "{status}");
        let reason = journal.held().requests[0].1["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("unknown whether it took effect"), "{reason}");
        assert_eq!(journal.decide("approved"), 1);
        let (_, answer) = world.resume().await;
        assert_eq!(answer["response"], "Paid.", "{status}: {answer}");
        // Under the same key, for servers that honour it.
        let keys = paid(&world).await;
        assert_eq!((keys.len(), &keys[0]), (2, &keys[1]), "{status}: {keys:?}");
        let kinds = ["request", "llm", "tool", "llm", "tool", "calling", "llm"];
        assert_eq!(journal.kinds(), kinds, "{status}");
    }
}

#[tokio::test]
async fn one_approval_is_one_execution() {
    for (first, requests) in [(500, 2), (400, 2), (200, 2)] {
        let shop = vec![answers(first), answers(200)];
        let (world, journal) = world(r#""POST /app/pay""#, Vec::new(), shop).await;
        let pays = || calls(&[call("POST")]);
        world.model(vec![pays(), pays(), says("Paid.")]).await;
        world.send_keyed().await;
        assert_eq!((journal.decide("approved"), paid(&world).await.len()), (1, 0));
        let (_, answer) = world.resume().await;
        assert_eq!(answer["status"], "awaiting_approval", "{first}: {answer}");
        assert_eq!(paid(&world).await.len(), 1, "{first}");
        // Asked once more, it still waits.
        let (_, answer) = world.resume().await;
        assert_eq!(answer["status"], "awaiting_approval", "{first}: {answer}");
        assert_eq!(journal.decide("denied"), 1, "{first}");
        let (_, answer) = world.resume().await;
        assert_eq!(answer["response"], "Paid.", "{first}: {answer}");
        assert_eq!((paid(&world).await.len(), journal.held().requests.len()), (1, requests));
    }
}

#[tokio::test]
async fn arguments_that_make_a_call_an_unclear_one_are_asked_for_again() {
    let shop = vec![answers(500), answers(200)];
    let (world, journal) = world(r#""POST /app/pay""#, Vec::new(), shop).await;
    let (tool, mut other) = call("POST");
    other["body"]["amount"] = json!(7);
    world.model(vec![calls(&[call("POST")]), calls(&[(tool, other)]), says("Paid.")]).await;
    world.send_keyed().await;
    assert_eq!(journal.decide("approved"), 1);
    world.resume().await;
    assert_eq!(paid(&world).await.len(), 1);
    let edited = json!({ "edited": { "arguments": call("POST").1 } });
    journal.decide_one("r2", "approved", edited);
    let (_, answer) = world.resume().await;
    assert_eq!(answer["status"], "awaiting_approval", "{answer}");
    assert_eq!(paid(&world).await.len(), 1);
    let third = journal.held().requests[2].1.clone();
    assert_eq!(third["arguments"], call("POST").1);
    let reason = third["reason"].as_str().unwrap();
    assert!(reason.contains("unknown whether it took effect"), "{reason}");
    journal.decide_one("r3", "approved", json!({}));
    let (_, answer) = world.resume().await;
    assert_eq!(answer["response"], "Paid.", "{answer}");
    let keys = paid(&world).await;
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]), "{keys:?}");
}

#[tokio::test]
async fn clear_outcomes_and_idempotent_calls_are_repeated_without_a_person() {
    for (verb, first) in [
        ("POST", 400),
        ("POST", 404),
        ("POST", 409),
        ("POST", 422),
        ("POST", 429),
        ("POST", 200),
        ("GET", 500),
        ("PUT", 500),
        ("DELETE", 503),
    ] {
        let (world, _) = world("", Vec::new(), vec![answers(first), answers(200)]).await;
        world.model(vec![calls(&[call(verb)]), calls(&[call(verb)]), says("Done.")]).await;
        let (_, answer) = world.send_keyed().await;
        assert_eq!(answer["response"], "Done.", "{verb} {first}: {answer}");
        assert_eq!(paid(&world).await.len(), 2, "{verb} {first}");
    }
}

#[tokio::test]
async fn what_is_named_idempotent_is_repeated_under_the_same_key() {
    for (named, expected) in [("POST /app/pay", 2), ("call_*", 2), ("POST /app/{any}/x", 1)] {
        let (world, _) = world("", Vec::new(), vec![answers(500), answers(200)]).await;
        let agents = format!(
            r#"{{"agents": [{{"role": "scout", "tools": {{"idempotent": ["{named}"]}}}}]}}"#
        );
        world.write("agent-config.json", &agents);
        world.write("AGENTS.md", "The rules are new.");
        world.daemon.reloaded("The rules are new.").await;
        world.model(vec![calls(&[call("POST")]), calls(&[call("POST")]), says("Done.")]).await;
        let (_, answer) = world.send_keyed().await;
        let keys = paid(&world).await;
        assert_eq!(keys.len(), expected, "{named}: {answer}");
        assert!(keys.iter().all(|key| *key == keys[0]), "{named}: {keys:?}");
    }
}

#[tokio::test]
async fn what_the_contract_keys_is_repeated_under_the_same_key() {
    let (world, _) = world("", Vec::new(), vec![answers(200)]).await;
    world.backend_says_once("POST", "/tasks", 500).await;
    let create = || calls(&[("create_task", json!({ "title": "Buy milk" }))]);
    world.model(vec![create(), create(), create(), says("Done.")]).await;
    let (_, answer) = world.send_keyed().await;
    assert_eq!(answer["response"], "Done.", "{answer}");
    let sent = world.backend_got("POST", "/tasks").await;
    let keys: Vec<_> = sent
        .iter()
        .map(|r| serde_json::from_slice::<Value>(&r.body).unwrap()["idempotency_key"].clone())
        .collect();
    assert_eq!((keys.len(), &keys[0]), (3, &keys[1]));
    assert_ne!(keys[2], keys[1]);
}

#[tokio::test]
async fn without_a_person_to_ask_the_model_is_told() {
    let world = World::with(&[("WOMBAT_RETRY_ATTEMPTS", "1")], json!({})).await;
    world.write("skills/shop/SKILL.md", SKILL);
    world.daemon.reloaded("/app/pay").await;
    let shop = Mock::given(path("/app/pay")).respond_with(answers(500));
    shop.mount(&world.backend).await;
    world.model(vec![calls(&[call("POST")]), calls(&[call("POST")]), says("Done.")]).await;
    let (_, answer) = world.send_keyed().await;
    assert_eq!(answer["response"], "Done.", "{answer}");
    assert_eq!(paid(&world).await.len(), 1);
    let told = world.model_got().await[2]["messages"].to_string();
    assert!(told.contains("may have taken effect already"), "{told}");
}

/// An answer of the model with a call of the shop, as the journal has it.
fn asked(verb: &str) -> (&'static str, Value) {
    let (name, arguments) = call(verb);
    let call = json!({ "id": "c1", "name": name, "arguments": arguments });
    let completion = json!({ "message": { "text": "", "tool_calls": [call] },
        "finish_reason": "tool_calls", "model": "gpt-4o-mini", "provider": "openai",
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2,
            "cached_tokens": 0 } });
    ("llm", json!({ "completion": completion, "cost": null, "prompt": {}, "duration_ms": 1 }))
}

#[tokio::test]
async fn a_call_that_an_interrupted_run_may_have_made_needs_a_decision() {
    for (verb, waits) in [("POST", true), ("GET", false), ("PUT", false)] {
        let steps = own(&[request(json!([])), asked(verb)]);
        let (world, journal) = world("", steps, vec![answers(200)]).await;
        world.model(vec![says("Done.")]).await;
        let (_, answer) = world.resume().await;
        assert_eq!(answer["status"] == "awaiting_approval", waits, "{verb}: {answer}");
        assert_eq!(paid(&world).await.len(), usize::from(!waits), "{verb}");
        if waits {
            journal.decide("approved");
            let (_, answer) = world.resume().await;
            assert_eq!((&answer["response"], paid(&world).await.len()), (&json!("Done."), 1));
        }
    }
}

#[tokio::test]
async fn an_approved_call_that_was_about_to_be_made_needs_a_new_decision() {
    let calling = ("calling", json!({ "calls": [2], "run_id": "another" }));
    for steps in [own(&[request(json!([])), asked("POST")]), Vec::new()] {
        let is_crashed = steps.is_empty();
        let steps = match is_crashed {
            false => steps,
            true => {
                let mut steps = own(&[request(json!([])), asked("POST"), calling.clone()]);
                // Behind the place of the result.
                steps[2] = own_at(3, &steps[..2], &calling);
                steps
            }
        };
        let (world, journal) = world(r#""POST /app/pay""#, steps, vec![answers(200)]).await;
        world.model(vec![says("Done.")]).await;
        // The request that the first run made, and that is approved.
        let (name, arguments) = call("POST");
        let key = run_key().tool_key(name, &arguments, 1);
        let first =
            json!({ "id": "r0", "status": "approved", "tool": name, "arguments": arguments });
        journal.held().requests.push((format!("{key}:approval"), first));
        let (_, answer) = world.resume().await;
        assert_eq!(answer["status"] == "awaiting_approval", is_crashed, "{answer}");
        assert_eq!(paid(&world).await.len(), usize::from(!is_crashed), "{answer}");
        if is_crashed {
            let reason = journal.held().requests[1].1["reason"].as_str().unwrap().to_owned();
            assert!(reason.contains("interrupted"), "{reason}");
            assert_eq!(journal.decide("approved"), 1);
            let (_, answer) = world.resume().await;
            assert_eq!((&answer["response"], paid(&world).await.len()), (&json!("Done."), 1));
            let kinds = ["request", "llm", "tool", "calling", "calling", "llm"];
            assert_eq!(journal.kinds(), kinds);
        }
    }
}

/// A step at this place, after these.
pub(crate) fn own_at(index: u32, before: &[Value], (kind, payload): &(&str, Value)) -> Value {
    use mc_client::journal_mac::{JournalChain, JournalKeys, JournalOwner};
    let keys = JournalKeys::new(&crate::harness::SECRET.into(), None);
    let owner = JournalOwner {
        run_key: run_key().as_str().into(),
        user_id: "u1".into(),
        role: "scout".into(),
    };
    let mut chain = JournalChain::new(std::sync::Arc::new(keys), owner);
    for step in before {
        chain.accept(&serde_json::from_value(step.clone()).unwrap()).unwrap();
    }
    let put = chain.seal(index, kind, payload.clone());
    json!({ "index": index, "kind": put.kind, "payload": put.payload })
}

#[tokio::test]
async fn of_two_instances_one_makes_an_approved_call() {
    let steps = own(&[request(json!([])), asked("POST")]);
    let (world, journal) = world(r#""POST /app/pay""#, steps, vec![answers(200)]).await;
    world.model(vec![says("Done.")]).await;
    world.resume().await;
    journal.decide("approved");
    // The other one has announced it since this one read the journal.
    let before: Vec<_> = journal.held().steps.values().cloned().collect();
    let calling = ("calling", json!({ "calls": [2], "run_id": "another" }));
    journal.held().steps.insert(3, own_at(3, &before, &calling));
    let hidden = json!({ "run_key": "k", "status": "running", "session_key": "user:u1:scout",
        "steps": before });
    Mock::given(method("GET"))
        .and(wiremock::matchers::path_regex("/runs/"))
        .respond_with(ResponseTemplate::new(200).set_body_json(hidden))
        .with_priority(5)
        .mount(&world.backend)
        .await;
    let (status, answer) = world.resume().await;
    assert_eq!((status, &answer["code"]), (409, &json!("session_busy")), "{answer}");
    assert!(paid(&world).await.is_empty());
}

#[tokio::test]
async fn a_tool_that_changed_while_its_call_waited_is_asked_for_again() {
    let tools = |schema: Value| json!({ "tools": [{ "name": "wire", "description": "x", "parameters": schema }] });
    let one = json!({ "type": "object", "properties": { "a": { "type": "integer" }, "b": {} } });
    // Another order is the same definition.
    let same = json!({ "properties": { "b": {}, "a": { "type": "integer" } }, "type": "object" });
    let other = json!({ "type": "object", "properties": { "a": { "type": "number" }, "b": {} } });
    for (now, is_changed) in [(same, false), (other, true)] {
        let (mut world, journal) = world(r#""wire""#, Vec::new(), vec![answers(200)]).await;
        let features = json!({ "run_journal": true, "tool_requests": true, "tools": true });
        let capabilities = json!({ "contract_version": "v1", "features": features });
        let serve = async |world: &World, at: &str, body: Value, priority| {
            Mock::given(method("GET"))
                .and(path(at.to_owned()))
                .respond_with(ResponseTemplate::new(200).set_body_json(body))
                .with_priority(priority)
                .mount(&world.backend)
                .await;
        };
        serve(&world, "/api/mission-control/capabilities", capabilities, 3).await;
        serve(&world, "/api/tools", tools(one.clone()), 9).await;
        let wire = Mock::given(path("/api/tools/wire")).respond_with(answers(200));
        wire.with_priority(3).mount(&world.backend).await;
        world.restart(&[]).await;
        world.model(vec![calls(&[("wire", json!({ "a": 1 }))]), says("Wired.")]).await;
        let (_, answer) = world.send_keyed().await;
        assert_eq!(answer["status"], "awaiting_approval", "{answer}");
        journal.decide("approved");
        serve(&world, "/api/tools", tools(now), 8).await;
        world.restart(&[]).await;
        let (_, answer) = world.resume().await;
        assert_eq!(answer["status"] == "awaiting_approval", is_changed, "{answer}");
        if is_changed {
            let reason = journal.held().requests[1].1["reason"].as_str().unwrap().to_owned();
            assert!(reason.contains("definition has changed"), "{reason}");
            assert_eq!(journal.decide("approved"), 1);
            let (_, answer) = world.resume().await;
            assert_eq!(answer["response"], "Wired.", "{answer}");
        }
    }
}
