//! Runs that go on from a journal: those of earlier versions, those that cannot be continued, and the
//! room that a run had found for its prompt.

use serde_json::{Value, json};
use wiremock::matchers::{method, path_regex};
use wiremock::{Mock, Request, ResponseTemplate};

use crate::harness::{World, message, says};
use crate::limits::thread;

const RUN: &str = "^/api/mission-control/runs/[^/]+$";
const STEP: &str = "^/api/mission-control/runs/[^/]+/steps/[0-9]+$";

/// A world whose backend has a journal of the run, with these steps behind its request.
async fn world(settings: &[(&str, &str)], steps: &[(&str, Value)]) -> World {
    let world = World::with(settings, json!({ "run_journal": true })).await;
    let steps: Vec<Value> = (1..)
        .zip(steps)
        .map(|(index, (kind, payload)): (u32, _)| {
            json!({ "index": index, "kind": kind, "payload": payload })
        })
        .collect();
    let note = json!({ "run_key": "k", "status": "running", "cancel_requested": false });
    let mut run = note.clone();
    run["steps"] = json!(steps);
    let run = ResponseTemplate::new(200).set_body_json(run);
    let get = Mock::given(method("GET")).and(path_regex(RUN)).respond_with(run);
    get.with_priority(10).mount(&world.backend).await;
    let put = ResponseTemplate::new(200).set_body_json(note.clone());
    let put = Mock::given(method("PUT")).and(path_regex(RUN)).respond_with(put);
    put.with_priority(10).mount(&world.backend).await;
    let put_step =
        Mock::given(method("PUT")).and(path_regex(STEP)).respond_with(move |request: &Request| {
            let index: u64 = request.url.path().rsplit('/').next().unwrap().parse().unwrap();
            match steps.iter().find(|step| step["index"] == index) {
                Some(step) => ResponseTemplate::new(409).set_body_json(json!({
                    "error": "there is a step", "code": "step_exists", "details": { "step": step },
                })),
                None => ResponseTemplate::new(200).set_body_json(note.clone()),
            }
        });
    put_step.with_priority(10).mount(&world.backend).await;
    world
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

/// The answer to the message whose key the journal has.
async fn resume(world: &World, more: Value) -> (u16, Value) {
    let mut body = message(json!({ "idempotency_key": "k" }));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.daemon.send(&body).await
}

#[tokio::test]
async fn an_answer_that_an_earlier_version_recorded_as_other_is_the_reply() {
    let world = world(&[], &[answer("Done.", None, "other", json!({}))]).await;
    world.model(vec![says("again")]).await;
    let (status, answer) = resume(&world, json!({})).await;
    assert_eq!((status, &answer["response"]), (200, &json!("Done.")), "{answer}");
    assert!(world.model_got().await.is_empty());
}

#[tokio::test]
async fn calls_of_a_cut_answer_that_an_earlier_version_made_are_not_made_again() {
    let cut = answer("", Some("list_tasks"), "length", json!({}));
    let world = world(&[], &[cut, result()]).await;
    world.model(vec![says("No tasks.")]).await;
    let (status, answer) = resume(&world, json!({})).await;
    assert_eq!((status, &answer["response"]), (200, &json!("No tasks.")), "{answer}");
    assert_eq!(answer["steps"][0]["name"], "list_tasks");
    assert!(world.backend_got("GET", "/tasks").await.is_empty());
    assert_eq!(world.model_got().await.len(), 1);
}

#[tokio::test]
async fn a_journal_that_cannot_be_continued_costs_nothing() {
    for (step, why) in [
        (("llm", json!({ "completion": "of another form" })), "cannot be parsed"),
        (result(), "kind \"tool\" where \"llm\" is expected"),
    ] {
        let world = world(&[], &[step]).await;
        world.model(vec![says("again")]).await;
        let (status, answer) = resume(&world, json!({})).await;
        assert_eq!(status, 502, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(why), "{answer}");
        assert!(world.model_got().await.is_empty());
    }
}

#[tokio::test]
async fn the_room_that_a_run_had_found_holds_when_it_is_resumed() {
    let settings = [("LLM_MODEL_DEFAULT", "some-model")];
    let more = || json!({ "messages": thread(40, 1_000) });
    let called = || answer("", Some("list_tasks"), "tool_calls", json!({ "room": 10_000 }));
    let unfinished = world(&settings, &[called(), result()]).await;
    unfinished.model(vec![says("ok")]).await;
    let (status, said) = resume(&unfinished, more()).await;
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
    let finished = world(&settings, &[called(), result(), last]).await;
    finished.model(vec![says("again")]).await;
    let (_, said) = resume(&finished, more()).await;
    assert!(said["context_warning"].as_str().unwrap().contains("left out"), "{said}");
    assert!(finished.model_got().await.is_empty());
}
