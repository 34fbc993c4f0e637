//! A person's word about a call: with other arguments, once, by its own person.

use serde_json::{Value, json};

use crate::harness::{Backend, Caller, MC, send};

/// A call that waits on a task; its schema allows up to 100.
fn call(task: &str, key: &str) -> Value {
    json!({
        "task_id": task, "run_key": "r1", "session_key": "user:ann:scout", "tool": "refund",
        "arguments": { "order": "o1", "amount": 40 }, "idempotency_key": key,
        "parameters": { "type": "object", "required": ["order", "amount"], "additionalProperties": false,
            "properties": { "order": { "type": "string" }, "amount": { "type": "number", "maximum": 100 } } }
    })
}

async fn wait(backend: &Backend, key: &str) -> String {
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let made = agent.post("/tool-requests", call(&task, key)).await;
    assert_eq!(made.ok()["kind"], "approval");
    format!("/tool-requests/{}", made.body["id"].as_str().unwrap())
}

fn decision(path: &str) -> String {
    format!("{path}/decision")
}

async fn deliveries(backend: &Backend) -> Vec<Value> {
    let polled = backend.internal().post("/dispatch/undelivered", json!({})).await;
    polled.ok()["deliveries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_call_is_approved_with_the_arguments_that_a_person_gives_it() {
    let backend = Backend::start().await;
    let path = wait(&backend, "k").await;
    let ann = backend.person("ann");
    let edited = json!({ "status": "approved", "note": "half", "edited": { "arguments": { "order": "o1", "amount": 20 } } });
    let decided = ann.post(&decision(&path), edited).await;
    assert_eq!(decided.ok()["status"], "approved");
    assert_eq!(decided.ok()["arguments"], json!({ "order": "o1", "amount": 40 }));
    assert_eq!(decided.ok()["edited"], json!({ "arguments": { "order": "o1", "amount": 20 } }));
    assert_eq!(decided.ok()["decided_by"], json!({ "type": "person", "id": "ann" }));
    assert_eq!(backend.agent("ann", "scout").get(&path).await.ok(), decided.ok());
    let told = deliveries(&backend).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["run_key"], "r1");
    let audited = backend.internal().get("/audit?act=tool_request.approved").await;
    let entry = &audited.items()[0];
    assert_eq!(entry["actor"]["type"], "person");
    assert_eq!(entry["details"]["edited_sha256"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_the_call_goes_on_waiting() {
    let backend = Backend::start().await;
    let path = wait(&backend, "k").await;
    let ann = backend.person("ann");
    let with = |arguments: Value| json!({ "status": "approved", "edited": { "arguments": arguments } });
    for (body, code) in [
        (with(json!({ "order": "o1", "amount": 500 })), "arguments_mismatch"),
        (with(json!({ "order": "o1" })), "arguments_mismatch"),
        (with(json!({ "order": "o1", "amount": 1, "to": "me" })), "arguments_mismatch"),
        (with(json!([1])), "invalid_payload"),
        (json!({ "answer": "yes" }), "answer_mismatch"),
        (json!({}), "invalid_payload"),
        (json!({ "status": "answered" }), "invalid_payload"),
        (json!({ "status": "pending" }), "invalid_payload"),
        (json!({ "status": "denied", "edited": { "arguments": {} } }), "invalid_payload"),
        (json!({ "status": "denied", "rule": { "expires_at": "2099-01-01T00:00:00Z" } }), "invalid_payload"),
    ] {
        let refused = ann.post(&decision(&path), body.clone()).await;
        refused.fails(400, code);
        if code == "arguments_mismatch" {
            assert!(refused.body["details"]["errors"][0].is_string(), "{}", refused.text);
        }
    }
    let precise = r#"{"status":"approved","edited":{"arguments":{"order":"o1","amount":40.00000000000000000001}}}"#;
    let sent = ann.raw(reqwest::Method::POST, &format!("{MC}{}", decision(&path)));
    let sent = sent.header("content-type", "application/json").body(precise);
    send(sent).await.fails(400, "arguments_mismatch");
    let twice = r#"{"status":"approved","edited":{"arguments":{"order":"o1","amount":1,"amount":99}}}"#;
    let sent = ann.raw(reqwest::Method::POST, &format!("{MC}{}", decision(&path)));
    let sent = sent.header("content-type", "application/json").body(twice);
    let refused = send(sent).await;
    refused.fails(400, "arguments_mismatch");
    assert_eq!(ann.get(&path).await.ok()["status"], "pending");
    assert!(deliveries(&backend).await.is_empty());
}

#[tokio::test]
async fn a_decision_is_made_once_and_repeated_only_as_it_was_made() {
    let backend = Backend::start().await;
    let path = wait(&backend, "k").await;
    let ann = backend.person("ann").with("idempotency-key", "d1");
    let approve = json!({ "status": "approved", "note": "yes", "answer": null, "edited": null });
    let first = ann.post(&decision(&path), approve.clone()).await;
    let again = ann.post(&decision(&path), json!({ "edited": null, "answer": null, "note": "yes", "status": "approved" })).await;
    assert_eq!(first.ok(), again.ok());
    for (caller, body) in [
        (ann.clone(), json!({ "status": "approved" })),
        (ann.clone(), json!({ "status": "denied" })),
        (backend.person("ann"), approve.clone()),
        (backend.person("ann").with("idempotency-key", "d2"), approve.clone()),
    ] {
        let refused = caller.post(&decision(&path), body).await;
        refused.fails(409, "already_decided");
        assert_eq!(refused.body["details"]["status"], "approved");
    }
    backend.person("ann").patch(&path, json!({ "status": "denied" })).await.fails(409, "already_decided");
    assert_eq!(deliveries(&backend).await.len(), 1);
}

#[tokio::test]
async fn nobody_else_decides() {
    let backend = Backend::start().await;
    let path = wait(&backend, "k").await;
    let approve = json!({ "status": "approved" });
    let agent = backend.agent("ann", "scout");
    agent.post(&decision(&path), approve.clone()).await.fails(403, "forbidden");
    agent.post(&decision(&path), json!({ "answer": "yes" })).await.fails(403, "forbidden");
    backend.agent("ann", "other").post(&decision(&path), approve.clone()).await.fails(404, "not_found");
    backend.person("bob").post(&decision(&path), approve.clone()).await.fails(404, "not_found");
    backend.internal().post(&decision(&path), approve.clone()).await.fails(401, "unauthorized");
    backend.nobody().post(&decision(&path), approve).await.fails(401, "unauthorized");
    assert_eq!(agent.get(&path).await.ok()["status"], "pending");
}

#[tokio::test]
async fn of_many_decisions_at_once_one_counts() {
    let backend = Backend::start().await;
    let path = wait(&backend, "k").await;
    let calls: Vec<_> = (0..16)
        .map(|n| {
            let (ann, path) = (backend.person("ann"), decision(&path));
            let body = match n % 3 {
                0 => json!({ "status": "approved" }),
                1 => json!({ "status": "denied" }),
                _ => json!({ "status": "approved", "edited": { "arguments": { "order": "o2", "amount": n } } }),
            };
            tokio::spawn(async move { ann.post(&path, body).await })
        })
        .collect();
    let mut won = Vec::new();
    for call in calls {
        let answer = call.await.unwrap();
        if answer.status == 200 {
            won.push(answer.body.clone());
        } else {
            answer.fails(409, "already_decided");
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(backend.person("ann").get(&path).await.ok(), &won[0]);
    assert_eq!(deliveries(&backend).await.len(), 1);
}

#[tokio::test]
async fn a_tool_whose_schema_is_not_known_takes_any_object() {
    let backend = Backend::start().await;
    let agent: Caller = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let mut body = call(&task, "k");
    body.as_object_mut().unwrap().remove("parameters");
    let made = agent.post("/tool-requests", body).await;
    let path = format!("/tool-requests/{}", made.ok()["id"].as_str().unwrap());
    let edited = json!({ "status": "approved", "edited": { "arguments": { "any": 12345678901234567890_u64 } } });
    let decided = backend.person("ann").post(&decision(&path), edited).await;
    assert_eq!(decided.ok()["edited"]["arguments"]["any"], json!(12345678901234567890_u64));
    // What is the same is no change.
    let path = wait(&backend, "k2").await;
    let same = json!({ "status": "approved", "edited": { "arguments": { "amount": 40, "order": "o1" } } });
    let decided = backend.person("ann").post(&decision(&path), same).await;
    assert!(decided.ok().get("edited").is_none(), "{}", decided.text);
}
