//! Journals that no daemon wrote, or not so: no run goes on from them.

use mc_client::idempotency::RunKey;
use serde_json::{Value, json};

use crate::harness::{MC, World, calls, says};
use crate::journaled::{Journal, own, request, run_key, sealed};

const SKILL: &str = "---\nname: shop\ndescription: The shop.\n---\n```http\nPOST /api/pay\n```\n";

/// An answer of the model that pays.
fn pays() -> (&'static str, Value) {
    let arguments = json!({ "method": "POST", "path": "/api/pay", "body": { "to": "mallory" } });
    let call = json!({ "id": "c1", "name": "call_backend", "arguments": arguments });
    let completion = json!({ "message": { "text": "I pay.", "tool_calls": [call] },
        "finish_reason": "tool_calls", "model": "gpt-4o-mini", "provider": "openai",
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2,
            "cached_tokens": 0 } });
    ("llm", json!({ "completion": completion, "cost": null, "prompt": {}, "duration_ms": 1 }))
}

async fn world(steps: Vec<Value>) -> (World, Journal) {
    let (world, journal) = Journal::world(&[], steps).await;
    world.write("skills/shop/SKILL.md", SKILL);
    world.daemon.reloaded("POST /api/pay").await;
    world.model(vec![says("again")]).await;
    (world, journal)
}

/// No model was asked and nothing called; the run has failed, and the audit log has it.
async fn is_rejected(world: &World, journal: &Journal, (status, answer): (u16, Value), what: &str) {
    assert_eq!((status, &answer["code"]), (409, &json!("journal_rejected")), "{what}: {answer}");
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("step ") && error.contains("WOMBAT_JOURNAL_KEY_PREVIOUS"), "{error}");
    assert!(world.model_got().await.is_empty(), "{what}");
    let requests = world.backend.received_requests().await.unwrap();
    assert!(requests.iter().all(|r| r.url.path() != "/api/pay"), "{what}");
    let held = journal.held();
    assert_eq!(held.statuses.last().map(String::as_str), Some("failed"), "{what}");
    let act = held.acts.last().unwrap_or_else(|| panic!("{what}: no act"));
    assert_eq!(act["act"], "daemon.journal_rejected");
    assert_eq!(act["object"], json!({ "type": "run", "id": run_key().as_str() }));
    // Details are part of what is hashed, and must not hold who the user is.
    let names: Vec<_> = act["details"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((names, &act["details"]["role"]), (vec!["role", "why"], &json!("scout")));
}

#[tokio::test]
async fn a_journal_that_no_daemon_wrote_for_this_run_is_not_executed() {
    let steps = [request(json!([])), pays()];
    let plain = (0..).zip(&steps).map(
        |(index, (kind, payload)): (u32, _)| json!({ "index": index, "kind": kind, "payload": payload }),
    );
    let mut changed = own(&steps);
    changed[1]["payload"]["completion"]["message"]["text"] = json!("I pay more.");
    let other = RunKey::derive("u1", "scout", "other");
    let kinds = [
        ("without MACs", plain.collect()),
        ("changed", changed),
        ("of another run", sealed(crate::harness::SECRET, &other, &steps)),
        ("of another key", sealed("another secret of 32 bytes or more!!", &run_key(), &steps)),
        ("without step 0", own(&steps)[1..].to_vec()),
    ];
    for (what, steps) in kinds {
        let (world, journal) = world(steps).await;
        is_rejected(&world, &journal, world.resume().await, what).await;
        is_rejected(&world, &journal, world.send_keyed().await, what).await;
        let acts = journal.held().acts.clone();
        assert_eq!(acts.len(), 2, "{acts:?}");
        assert_ne!(acts[0]["idempotency_key"], acts[1]["idempotency_key"]);
    }
}

#[tokio::test]
async fn a_stored_reply_is_returned_whatever_the_journal_of_its_run_holds() {
    // As an earlier version wrote it: without MACs.
    let plain = |(index, (kind, payload)): (u32, (&str, Value))| json!({ "index": index, "kind": kind, "payload": payload });
    let steps = || (0..).zip([request(json!([])), pays()]).map(plain).collect::<Vec<_>>();
    for (status, stored, expected) in [
        ("completed", true, 200),
        // It could go on.
        ("failed", true, 409),
        ("running", true, 409),
        ("completed", false, 409),
    ] {
        let (mut world, journal) = world(steps()).await;
        journal.held().statuses.push(status.to_owned());
        let features =
            json!({ "run_journal": true, "tool_requests": true, "message_lookup": true });
        let reply =
            json!({ "id": "m7", "task_id": "t1", "content": "Paid.", "actor_type": "agent" });
        let items = if stored { json!([reply]) } else { json!([]) };
        for (at, body) in [
            ("capabilities", json!({ "contract_version": "v1", "features": features })),
            ("messages", json!({ "items": items })),
        ] {
            wiremock::Mock::given(wiremock::matchers::method("GET"))
                .and(wiremock::matchers::path(format!("{MC}/{at}")))
                .respond_with(wiremock::ResponseTemplate::new(200).set_body_json(body))
                .with_priority(3)
                .mount(&world.backend)
                .await;
        }
        world.restart(&[]).await;
        let (code, answer) = world.send_keyed().await;
        assert_eq!(code, expected, "{status} {stored}: {answer}");
        if expected == 200 {
            assert_eq!((&answer["response"], &answer["replayed"]), (&json!("Paid."), &json!(true)));
        }
        assert!(world.model_got().await.is_empty());
    }
}

#[tokio::test]
async fn a_step_that_another_writes_in_between_is_not_executed() {
    let (world, journal) = world(Vec::new()).await;
    // A step in the place of the next answer, which the daemon finds when it writes its own.
    let forged = json!({ "index": 1, "kind": "llm", "payload": pays().1 });
    journal.held().steps.insert(1, forged.clone());
    journal.held().steps.remove(&0);
    let hidden = wiremock::Mock::given(wiremock::matchers::method("GET"))
        .and(wiremock::matchers::path_regex("/runs/"))
        .respond_with(wiremock::ResponseTemplate::new(404))
        .with_priority(5);
    hidden.mount(&world.backend).await;
    let (status, answer) = world.send_keyed().await;
    assert_eq!((status, &answer["code"]), (409, &json!("journal_rejected")), "{answer}");
    let requests = world.backend.received_requests().await.unwrap();
    assert!(requests.iter().all(|r| r.url.path() != "/api/pay"));
    assert_eq!(journal.held().acts.len(), 1);
}

#[tokio::test]
async fn a_run_is_resumed_under_a_new_key_while_the_old_one_is_the_previous() {
    const NEW: (&str, &str) = ("WOMBAT_JOURNAL_KEY", "the journal's own key of 32 bytes or more");
    let old = crate::harness::SECRET;
    let steps = || own(&[request(json!([]))]);
    for (settings, expected) in [
        (vec![], 200),
        (vec![NEW, ("WOMBAT_JOURNAL_KEY_PREVIOUS", old)], 200),
        (vec![NEW], 409),
        // With a key of its own, the journal does not rest on the agents' secrets.
        (vec![NEW, ("AGENT_JWT_SECRET_PREVIOUS", old)], 409),
        (vec![("AGENT_JWT_SECRET", "a secret that came after the other")], 409),
        (
            vec![
                ("AGENT_JWT_SECRET", "a secret that came after the other"),
                ("AGENT_JWT_SECRET_PREVIOUS", old),
            ],
            200,
        ),
    ] {
        let (world, _) = Journal::world(&settings, steps()).await;
        world.model(vec![says("Done."), calls(&[])]).await;
        let (status, answer) = world.resume().await;
        assert_eq!(status, expected, "{settings:?}: {answer}");
    }
}

#[tokio::test]
async fn a_resumed_run_works_on_the_task_that_it_was_started_for() {
    let (world, journal) = Journal::world(&[], own(&[request(json!([]))])).await;
    world.model(vec![says("Done.")]).await;
    let moved = json!({ "run_key": "k", "status": "running", "task_id": "t-other",
        "session_key": "user:u1:scout", "steps": journal.held().steps.values().collect::<Vec<_>>() });
    wiremock::Mock::given(wiremock::matchers::method("GET"))
        .and(wiremock::matchers::path_regex("/runs/"))
        .respond_with(wiremock::ResponseTemplate::new(200).set_body_json(moved))
        .with_priority(5)
        .mount(&world.backend)
        .await;
    let (status, answer) = world.resume().await;
    assert_eq!((status, &answer["task_id"]), (200, &json!("t1")), "{answer}");
}

#[test]
fn a_key_that_can_be_guessed_is_refused_at_start() {
    for name in ["WOMBAT_JOURNAL_KEY", "WOMBAT_JOURNAL_KEY_PREVIOUS"] {
        let pairs = [("AGENT_JWT_SECRET", crate::harness::SECRET), (name, "too-short")];
        let layers = service::settings::Layers::from_pairs(pairs);
        let problems = wombat_daemon::settings::Settings::read(&layers).unwrap_err().to_string();
        assert!(problems.contains(&format!("{name} is shorter than 32 bytes")), "{problems}");
        assert!(!problems.contains("too-short"), "{problems}");
    }
}
