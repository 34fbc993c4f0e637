//! The journal of runs.

use mc_client::runs::{PutRun, PutStep, RunStatus};
use serde_json::{Value, json};

use crate::harness::{Backend, Caller};

/// Begins a run of `ann`'s scout and gives its task.
async fn begin(agent: &Caller, run_key: &str) -> String {
    let task = agent.task("Work").await;
    let run = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "running" });
    agent.put(&format!("/runs/{run_key}"), run).await.ok();
    task
}

fn step(kind: &str, text: &str) -> Value {
    json!({ "kind": kind, "payload": { "text": text, "n": [1, 2.5, null] } })
}

#[tokio::test]
async fn a_journal_gives_back_what_was_written_in_its_order() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    agent.get("/runs/r1").await.fails(404, "not_found");
    let task = agent.task("Work").await;
    let first = agent.put("/runs/r1/steps/0", step("request", "hello")).await;
    assert_eq!(
        first.ok(),
        &json!({ "run_key": "r1", "status": "running", "cancel_requested": false })
    );
    agent.put("/runs/r1/steps/10", step("tool_result", "late")).await.ok();
    agent.put("/runs/r1/steps/2", step("model", "answer")).await.ok();
    let run = json!({
        "session_key": "user:ann:scout", "task_id": task, "status": "completed",
        "workspace_digest": "d1", "usage": { "total_tokens": 7 }, "run_key": "another"
    });
    assert_eq!(agent.put("/runs/r1", run).await.ok()["status"], "completed");
    let mut found = agent.get("/runs/r1").await.ok().clone();
    for time in ["created_at", "updated_at"] {
        assert!(found.as_object_mut().unwrap().remove(time).is_some_and(|at| at.is_string()));
    }
    let steps: Vec<Value> =
        [(0, "request", "hello"), (2, "model", "answer"), (10, "tool_result", "late")]
            .map(|(index, kind, text)| {
                let mut step = step(kind, text);
                step["index"] = json!(index);
                step
            })
            .into();
    assert_eq!(
        found,
        json!({
            "run_key": "r1", "status": "completed", "session_key": "user:ann:scout",
            "task_id": task, "workspace_digest": "d1", "cancel_requested": false,
            "usage": { "total_tokens": 7 }, "steps": steps
        })
    );
}

#[tokio::test]
async fn a_step_may_be_put_again_and_no_other_takes_its_place() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let first =
        agent.put("/runs/r1/steps/0", json!({ "kind": "k", "payload": { "a": 1, "b": 2 } }));
    first.await.ok();
    let again = json!({ "payload": { "b": 2, "a": 1 }, "kind": "k" });
    agent.put("/runs/r1/steps/0", again).await.ok();
    for other in [
        json!({ "kind": "other", "payload": { "a": 1, "b": 2 } }),
        json!({ "kind": "k", "payload": { "a": 1 } }),
        json!({ "kind": "k", "payload": null }),
    ] {
        let refused = agent.put("/runs/r1/steps/0", other).await;
        refused.fails(409, "step_exists");
        let there = json!({ "index": 0, "kind": "k", "payload": { "a": 1, "b": 2 } });
        assert_eq!(refused.body["details"], json!({ "step": there }));
    }
    assert_eq!(agent.get("/runs/r1").await.ok()["steps"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn of_two_writers_of_one_step_one_wins_and_the_other_sees_it() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let puts = (0..16).map(|n| {
        let agent = agent.clone();
        tokio::spawn(async move { agent.put("/runs/r1/steps/0", step("k", &n.to_string())).await })
    });
    let puts: Vec<_> = puts.collect();
    let (mut won, mut lost) = (0, Vec::new());
    for put in puts {
        let answer = put.await.unwrap();
        if answer.status == 200 {
            won += 1;
        } else {
            answer.fails(409, "step_exists");
            lost.push(answer.body["details"]["step"].clone());
        }
    }
    assert_eq!((won, lost.len()), (1, 15));
    let there = agent.get("/runs/r1").await.ok()["steps"][0].clone();
    assert!(lost.iter().all(|step| *step == there));
}

#[tokio::test]
async fn each_put_after_a_cancel_tells_of_it_and_the_run_stays_cancelled() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    begin(&agent, "r1").await;
    let cancel = backend.person("ann").post("/runs/r1/cancel", json!({})).await;
    assert_eq!(
        cancel.ok(),
        &json!({ "run_key": "r1", "status": "running", "cancel_requested": true })
    );
    for (path, body, status) in [
        ("/runs/r1/steps/0", step("k", "x"), "running"),
        ("/runs/r1/steps/0", step("k", "x"), "running"),
        ("/runs/r1", json!({ "status": "running" }), "running"),
        ("/runs/r1", json!({ "status": "cancelled" }), "cancelled"),
        ("/runs/r1", json!({ "status": "running" }), "cancelled"),
        ("/runs/r1", json!({ "status": "completed" }), "cancelled"),
        ("/runs/r1/steps/1", step("k", "late"), "cancelled"),
    ] {
        let answer = agent.put(path, body).await;
        assert_eq!(answer.ok()["cancel_requested"], true, "{path}");
        assert_eq!(answer.ok()["status"], status, "{path}");
    }
    assert_eq!(agent.post("/runs/r1/cancel", json!({})).await.ok()["status"], "cancelled");
    assert_eq!(agent.get("/runs/r1").await.ok()["cancel_requested"], true);
    agent.post("/runs/nowhere/cancel", json!({})).await.fails(404, "not_found");
}

#[tokio::test]
async fn a_run_that_nobody_is_on_is_cancelled_at_once_and_a_completed_one_not_at_all() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for status in ["failed", "interrupted", "awaiting_approval"] {
        begin(&agent, status).await;
        agent.put(&format!("/runs/{status}"), json!({ "status": status })).await.ok();
        let cancelled = agent.post(&format!("/runs/{status}/cancel"), json!({})).await;
        assert_eq!(cancelled.ok()["status"], "cancelled", "{status}");
        // Asked for while somebody was on it, it is cancelled once it is left.
        let left = format!("left-{status}");
        begin(&agent, &left).await;
        agent.post(&format!("/runs/{left}/cancel"), json!({})).await.ok();
        let put = agent.put(&format!("/runs/{left}"), json!({ "status": status })).await;
        assert_eq!(put.ok()["status"], "cancelled", "{status}");
    }
    begin(&agent, "done").await;
    agent.put("/runs/done", json!({ "status": "completed" })).await.ok();
    agent.post("/runs/done/cancel", json!({})).await.fails(409, "run_finished");
    for late in ["running", "failed", "interrupted", "cancelled", "awaiting_approval"] {
        agent.put("/runs/done", json!({ "status": late })).await.fails(409, "run_finished");
    }
    let again = agent.put("/runs/done", json!({ "status": "completed" })).await;
    assert_eq!(again.ok()["cancel_requested"], false);
}

#[tokio::test]
async fn a_run_that_failed_or_waited_is_taken_up_again() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    begin(&agent, "r1").await;
    for status in ["failed", "running", "interrupted", "running", "awaiting_approval", "running"] {
        let put = agent.put("/runs/r1", json!({ "status": status })).await;
        assert_eq!(put.ok()["status"], status);
    }
}

#[tokio::test]
async fn session_and_task_are_given_at_first_and_stay() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let other = agent.task("Other").await;
    for (body, field) in [
        (json!({ "status": "running" }), "session_key"),
        (json!({ "session_key": "user:ann:scout" }), "task_id"),
        (json!({ "session_key": "user:bob:scout", "task_id": task }), "session_key"),
        (json!({ "session_key": "ann", "task_id": task }), "session_key"),
        (json!({ "session_key": "user:ann:scout", "task_id": task, "status": "lost" }), "status"),
    ] {
        let refused = agent.put("/runs/r1", body.clone()).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"][field].is_string(), "{body} {}", refused.text);
    }
    let nowhere = json!({ "session_key": "user:ann:scout", "task_id": "nowhere" });
    agent.put("/runs/r1", nowhere).await.fails(404, "not_found");
    agent.get("/runs/r1").await.fails(404, "not_found");

    agent.put("/runs/r1", json!({ "session_key": "user:ann:scout", "task_id": task })).await.ok();
    agent.put("/runs/r1", json!({ "task_id": task, "status": "failed" })).await.ok();
    agent.put("/runs/r1", json!({ "task_id": other })).await.fails(409, "run_conflict");
    let session = json!({ "session_key": "user:ann:jarvis" });
    agent.put("/runs/r1", session).await.fails(403, "role_mismatch");

    // A run that a step began gets them when they are said.
    agent.put("/runs/r2/steps/0", step("request", "x")).await.ok();
    agent.post("/runs/r2/cancel", json!({})).await.ok();
    let put = agent.put("/runs/r2", json!({ "status": "running" })).await;
    assert_eq!(put.ok()["cancel_requested"], true);
    agent.put("/runs/r2", json!({ "task_id": "nowhere" })).await.fails(404, "not_found");
    agent.put("/runs/r2", json!({ "session_key": "user:ann:scout", "task_id": task })).await.ok();
    agent.put("/runs/r2", json!({ "task_id": other })).await.fails(409, "run_conflict");
}

#[tokio::test]
async fn what_is_no_step_is_refused() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for (path, body) in [
        ("/runs/r1/steps/-1", step("k", "x")),
        ("/runs/r1/steps/x", step("k", "x")),
        ("/runs/r1/steps/+1", step("k", "x")),
        ("/runs/r1/steps/99999999999", step("k", "x")),
        ("/runs/r1/steps/0", json!({ "payload": {} })),
        ("/runs/r1/steps/0", json!({ "kind": "k" })),
        ("/runs/r1/steps/0", json!({ "kind": " ", "payload": {} })),
        ("/runs/r1/steps/0", json!({ "kind": 1, "payload": {} })),
        ("/runs/%20/steps/0", step("k", "x")),
    ] {
        agent.put(path, body).await.fails(400, "invalid_payload");
    }
    agent.get("/runs/r1").await.fails(404, "not_found");
    agent.post("/runs/r1/steps/0", step("k", "x")).await.fails(405, "method_not_allowed");
    agent.delete("/runs/r1").await.fails(405, "method_not_allowed");
    // A request with a long thread is larger than any other body may be.
    let long = "x".repeat(3 * 1024 * 1024);
    agent.put("/runs/r1/steps/0", step("request", &long)).await.ok();
    let longer = "x".repeat(9 * 1024 * 1024);
    agent.put("/runs/r1/steps/1", step("request", &longer)).await.fails(413, "payload_too_large");
}

#[tokio::test]
async fn another_users_run_does_not_exist_and_its_key_is_free() {
    let backend = Backend::start().await;
    let ann = backend.agent("ann", "scout");
    begin(&ann, "r1").await;
    ann.put("/runs/r1/steps/0", step("k", "secret")).await.ok();
    let task = backend.agent("bob", "scout").task("Bob's").await;
    let person = backend.person("bob");
    let bob = backend.agent("bob", "scout");
    for bob in [&bob, &person] {
        bob.get("/runs/r1").await.fails(404, "not_found");
        bob.post("/runs/r1/cancel", json!({})).await.fails(404, "not_found");
    }
    bob.put("/runs/r1/steps/0", step("k", "bob's")).await.ok();
    let run = json!({ "session_key": "user:bob:scout", "task_id": task, "status": "failed" });
    assert_eq!(bob.put("/runs/r1", run).await.ok()["status"], "failed");
    person.post("/runs/r1/cancel", json!({})).await.ok();
    assert_eq!(bob.get("/runs/r1").await.ok()["status"], "cancelled");
    let unchanged = ann.get("/runs/r1").await;
    assert_eq!(unchanged.ok()["status"], "running");
    assert_eq!(unchanged.ok()["cancel_requested"], false);
    assert_eq!(unchanged.ok()["steps"].as_array().unwrap().len(), 1);
    assert_eq!(unchanged.ok()["steps"][0]["payload"]["text"], "secret");
}

#[tokio::test]
async fn the_client_writes_and_reads_a_journal() {
    let backend = Backend::start().await;
    let client = backend.client("ann", "scout");
    assert!(client.capabilities().await.unwrap().has("run_journal"));
    assert!(backend.service().capabilities().await.unwrap().has("run_journal"));
    let task = backend.agent("ann", "scout").task("Work").await;
    assert!(client.run("r1").await.unwrap().is_none());
    let run = PutRun {
        session_key: Some("user:ann:scout".into()),
        task_id: Some(task),
        status: Some(RunStatus::Running),
        extra: json!({ "run_id": "7" }).as_object().unwrap().clone(),
        ..PutRun::default()
    };
    assert!(!client.put_run("r1", &run).await.unwrap().cancel_requested);
    let step = PutStep { kind: "request".into(), payload: json!({ "message": "hi" }) };
    for _ in 0..2 {
        assert_eq!(client.put_step("r1", 0, &step).await.unwrap().status, "running");
    }
    let other = PutStep { kind: "request".into(), payload: json!({}) };
    let refused = client.put_step("r1", 0, &other).await.unwrap_err();
    let there = refused.existing_step().unwrap();
    assert_eq!((there.index, there.kind, there.payload), (0, step.kind, step.payload));
    let person = backend.service().on_behalf_of("ann");
    assert!(person.cancel_run("r1").await.unwrap().cancel_requested);
    let found = client.run("r1").await.unwrap().unwrap();
    assert_eq!(found.known_status(), Some(RunStatus::Running));
    assert!(found.cancel_requested);
    assert_eq!(found.extra["run_id"], "7");
    assert!(client.cancel_run("r2").await.unwrap_err().is_not_found());
}
