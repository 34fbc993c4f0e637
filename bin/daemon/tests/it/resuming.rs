//! Runs that go on from a journal: those that cannot be continued, and the room that a run had found
//! for its prompt.

use serde_json::{Value, json};

use crate::harness::{World, says};
use crate::journaled::{Journal, own, request};
use crate::limits::thread;

/// A world whose backend has a journal of the run, with these steps behind its request.
async fn world(settings: &[(&str, &str)], history: Value, steps: &[(&str, Value)]) -> World {
    let steps: Vec<_> = [request(history)].into_iter().chain(steps.iter().cloned()).collect();
    Journal::world(settings, own(&steps)).await.0
}

/// An answer of the model as the journal holds it.
fn answer(
    text: &str,
    tool: Option<&str>,
    finish_reason: &str,
    prompt: Value,
) -> (&'static str, Value) {
    let calls: Vec<_> =
        tool.iter().map(|name| json!({ "id": "c1", "name": name, "arguments": {} })).collect();
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110,
        "cached_tokens": 0 });
    let completion = json!({ "message": { "text": text, "tool_calls": calls },
        "finish_reason": finish_reason, "usage": usage, "model": "gpt-4o-mini",
        "provider": "openai" });
    ("llm", json!({ "completion": completion, "cost": null, "prompt": prompt, "duration_ms": 1 }))
}

fn result() -> (&'static str, Value) {
    let step = json!({ "call_id": "c1", "name": "list_tasks", "arguments": {}, "nth": 1, "ok": true,
        "content": "none", "duration_ms": 1 });
    ("tool", step)
}

#[tokio::test]
async fn a_journal_that_cannot_be_continued_costs_nothing() {
    for (step, why) in [
        (("llm", json!({ "completion": "of another form" })), "cannot be parsed"),
        (result(), "kind \"tool\" where \"llm\" is expected"),
    ] {
        let world = world(&[], json!([]), &[step]).await;
        world.model(vec![says("again")]).await;
        let (status, answer) = world.send_keyed().await;
        assert_eq!(status, 502, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(why), "{answer}");
        assert!(world.model_got().await.is_empty());
    }
}

#[tokio::test]
async fn the_room_that_a_run_had_found_holds_when_it_is_resumed() {
    let settings = [("LLM_MODEL_DEFAULT", "some-model")];
    let history = || {
        let mut turns = thread(40, 1_000);
        for turn in turns.as_array_mut().unwrap().iter_mut().filter(|t| t["role"] == "assistant") {
            *turn = json!({ "role": "assistant", "text": turn["content"], "tool_calls": [] });
        }
        turns
    };
    let called = || answer("", Some("list_tasks"), "tool_calls", json!({ "room": 10_000 }));
    let unfinished = world(&settings, history(), &[called(), result()]).await;
    unfinished.model(vec![says("ok")]).await;
    let (status, said) = unfinished.send_keyed().await;
    assert_eq!(status, 200, "{said}");
    assert!(said["context_warning"].as_str().unwrap().contains("left out"), "{said}");
    let asked = unfinished.model_got().await;
    assert_eq!(asked.len(), 1);
    assert!(asked[0]["messages"].to_string().len() < 10_000 * 4 + 2_000);
    // The new answer's report has it, too.
    let reports: Vec<Value> = unfinished
        .backend
        .received_requests()
        .await
        .unwrap()
        .iter()
        .filter(|request| request.url.path().ends_with("/steps/3"))
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect();
    assert_eq!(reports[0]["payload"]["prompt"]["room"], 10_000, "{reports:?}");
    // Where only the reply is left to be stored, the warning is told.
    let last = answer("ok", None, "stop", json!({ "room": 10_000 }));
    let finished = world(&settings, history(), &[called(), result(), last]).await;
    finished.model(vec![says("again")]).await;
    let (_, said) = finished.send_keyed().await;
    assert!(said["context_warning"].as_str().unwrap().contains("left out"), "{said}");
    assert!(finished.model_got().await.is_empty());
}
