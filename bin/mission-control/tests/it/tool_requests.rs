//! Tool calls that wait for a person.

use mc_client::tool_requests::{CreateToolRequest, Decision, ToolRequestQuery, ToolRequestStatus};
use serde_json::{Value, json};

use crate::harness::{Backend, Caller, column};

fn wish(task: &str, key: &str) -> Value {
    json!({
        "task_id": task, "run_key": "r1", "session_key": "user:ann:scout", "tool": "create_document",
        "arguments": { "title": "Plan", "n": [1, 2] }, "reason": "the user asked", "idempotency_key": key
    })
}

/// A request of `ann`'s scout: its id.
async fn ask(agent: &Caller, key: &str) -> String {
    let task = agent.task("Work").await;
    agent.post("/tool-requests", wish(&task, key)).await.ok()["id"].as_str().unwrap().to_owned()
}

async fn deliveries(backend: &Backend) -> Vec<Value> {
    let polled = backend.internal().post("/dispatch/undelivered", json!({})).await;
    polled.ok()["deliveries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_request_waits_until_a_person_decides_and_its_session_is_told_with_the_run() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let made = agent.post("/tool-requests", wish(&task, "k")).await;
    let mut request = made.ok().clone();
    let id = request["id"].as_str().unwrap().to_owned();
    assert!(request.as_object_mut().unwrap().remove("created_at").unwrap().is_string());
    assert_eq!(
        request,
        json!({
            "id": id, "kind": "approval", "status": "pending", "task_id": task, "run_key": "r1",
            "session_key": "user:ann:scout", "tool": "create_document",
            "arguments": { "title": "Plan", "n": [1, 2] }, "reason": "the user asked"
        })
    );
    assert!(deliveries(&backend).await.is_empty());

    let decision = json!({ "status": "approved", "note": "go ahead" });
    let decided = backend.person("ann").patch(&format!("/tool-requests/{id}"), decision).await;
    assert_eq!(decided.ok()["status"], "approved");
    assert_eq!(decided.ok()["note"], "go ahead");
    assert_eq!(decided.ok()["arguments"], json!({ "title": "Plan", "n": [1, 2] }));
    assert!(decided.ok()["decided_at"].is_string());
    assert_eq!(agent.get(&format!("/tool-requests/{id}")).await.ok(), decided.ok());

    let told = deliveries(&backend).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["run_key"], "r1");
    assert_eq!(told[0]["session_key"], "user:ann:scout");
    assert_eq!(told[0]["task_id"], task);
    assert_eq!(told[0]["content"], "The call of create_document was approved. go ahead");
    let metadata = json!({ "tool_request_id": id, "tool_request_status": "approved" });
    assert_eq!(told[0]["metadata"], metadata);
    assert_eq!(agent.get("/notifications").await.items()[0]["run_key"], "r1");
}

#[tokio::test]
async fn a_repeated_request_gives_the_same_one_as_it_stands_now() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let first = agent.post("/tool-requests", wish(&task, "k")).await;
    let id = first.ok()["id"].clone();
    let decide = format!("/tool-requests/{}", id.as_str().unwrap());
    backend.person("ann").patch(&decide, json!({ "status": "denied", "note": "no" })).await.ok();
    let again = agent.post("/tool-requests", wish(&task, "k")).await;
    assert!(again.replayed());
    assert_eq!((&again.ok()["id"], &again.ok()["status"]), (&id, &json!("denied")));
    let mut changed = wish(&task, "k");
    changed["arguments"]["title"] = json!("Another");
    let changed = agent.post("/tool-requests", changed).await;
    changed.fails(409, "idempotency_conflict");
    assert_eq!(changed.body["details"]["original"]["id"], id);
    assert_eq!(agent.get("/tool-requests").await.items().len(), 1);
}

#[tokio::test]
async fn only_its_own_person_decides_and_only_once() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let id = ask(&agent, "k").await;
    let path = format!("/tool-requests/{id}");
    let approve = json!({ "status": "approved" });
    agent.patch(&path, approve.clone()).await.fails(403, "forbidden");
    let named = agent.clone().with("x-on-behalf-of", "ann");
    named.patch(&path, approve.clone()).await.fails(403, "forbidden");
    backend.internal().patch(&path, approve.clone()).await.fails(401, "unauthorized");
    backend.person("bob").patch(&path, approve.clone()).await.fails(404, "not_found");
    assert_eq!(agent.get(&path).await.ok()["status"], "pending");
    assert!(deliveries(&backend).await.is_empty());

    let ann = backend.person("ann");
    ann.patch(&path, approve.clone()).await.ok();
    for second in [approve, json!({ "status": "denied" })] {
        let second = ann.patch(&path, second).await;
        second.fails(409, "already_decided");
        assert_eq!(second.body["details"]["status"], "approved");
    }
    assert_eq!(deliveries(&backend).await.len(), 1);
}

#[tokio::test]
async fn a_decision_under_a_key_may_be_repeated_and_tells_the_session_once() {
    let backend = Backend::start().await;
    let id = ask(&backend.agent("ann", "scout"), "k").await;
    let path = format!("/tool-requests/{id}");
    let ann = backend.person("ann").with("idempotency-key", "d1");
    for _ in 0..2 {
        assert_eq!(ann.patch(&path, json!({ "status": "denied" })).await.ok()["status"], "denied");
    }
    ann.patch(&path, json!({ "status": "approved" })).await.fails(409, "already_decided");
    let other = backend.person("ann").with("idempotency-key", "d2");
    other.patch(&path, json!({ "status": "denied" })).await.fails(409, "already_decided");
    assert_eq!(deliveries(&backend).await.len(), 1);
}

#[tokio::test]
async fn a_decision_cannot_change_what_was_asked_for() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let path = format!("/tool-requests/{}", ask(&agent, "k").await);
    let ann = backend.person("ann");
    let other = json!({ "status": "approved", "arguments": { "title": "Another" } });
    ann.patch(&path, other).await.fails(400, "invalid_payload");
    for wrong in [json!({}), json!({ "status": "pending" }), json!({ "status": "cancelled" })] {
        ann.patch(&path, wrong).await.fails(400, "invalid_payload");
    }
    assert_eq!(agent.get(&path).await.ok()["status"], "pending");
    let same = json!({ "status": "approved", "tool": "delete_all",
                       "arguments": { "n": [1, 2], "title": "Plan" } });
    let decided = ann.patch(&path, same).await;
    assert_eq!(decided.ok()["arguments"], json!({ "title": "Plan", "n": [1, 2] }));
    assert_eq!(decided.ok()["tool"], "create_document");
}

#[tokio::test]
async fn of_many_decisions_at_once_one_counts() {
    let backend = Backend::start().await;
    let path = format!("/tool-requests/{}", ask(&backend.agent("ann", "scout"), "k").await);
    let calls: Vec<_> = (0..16)
        .map(|n| {
            let (ann, path) = (backend.person("ann"), path.clone());
            let status = if n % 2 == 0 { "approved" } else { "denied" };
            tokio::spawn(async move { ann.patch(&path, json!({ "status": status })).await })
        })
        .collect();
    let mut won = Vec::new();
    for call in calls {
        let answer = call.await.unwrap();
        if answer.status == 200 {
            won.push(answer.body["status"].clone());
        } else {
            answer.fails(409, "already_decided");
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(deliveries(&backend).await[0]["metadata"]["tool_request_status"], won[0]);
}

#[tokio::test]
async fn requests_are_listed_by_status_and_run_over_pages_and_only_to_their_user() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(ask(&agent, &format!("k{n}")).await);
    }
    let decide = format!("/tool-requests/{}", ids[1]);
    backend.person("ann").patch(&decide, json!({ "status": "approved" })).await.ok();
    let waiting = agent.get("/tool-requests?status=pending").await;
    assert_eq!(column(waiting.items(), "id"), [ids[0].as_str(), ids[2].as_str()]);
    let first = agent.get("/tool-requests?limit=2").await;
    assert_eq!(column(first.items(), "id"), ids[..2]);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = agent.get(&format!("/tool-requests?limit=2&cursor={cursor}")).await;
    assert_eq!(column(rest.items(), "id"), ids[2..]);
    assert!(rest.body.get("next_cursor").is_none());
    assert_eq!(agent.get("/tool-requests?run_key=r1").await.items().len(), 3);
    assert!(agent.get("/tool-requests?run_key=r2").await.items().is_empty());
    for wrong in ["status=lost", "limit=0", "cursor=x"] {
        let answer = agent.get(&format!("/tool-requests?{wrong}")).await;
        answer.fails(400, "invalid_payload");
    }
    let bob = backend.agent("bob", "scout");
    assert!(bob.get("/tool-requests").await.items().is_empty());
    bob.get(&format!("/tool-requests/{}", ids[0])).await.fails(404, "not_found");
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    for field in ["task_id", "run_key", "session_key", "tool", "arguments", "idempotency_key"] {
        let mut body = wish(&task, "k");
        body.as_object_mut().unwrap().remove(field);
        let refused = agent.post("/tool-requests", body).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"][field].is_string(), "{}", refused.text);
    }
    for (field, value) in [
        ("arguments", json!([1])),
        ("session_key", json!("user:bob:scout")),
        ("run_key", json!(" ")),
        ("idempotency_key", json!("")),
        ("tool", json!("")),
    ] {
        let mut body = wish(&task, "k");
        body[field] = value;
        agent.post("/tool-requests", body).await.fails(400, "invalid_payload");
    }
    let bobs = backend.agent("bob", "scout");
    let bobs_task = bobs.task("Bob's").await;
    agent.post("/tool-requests", wish(&bobs_task, "k")).await.fails(404, "not_found");
    let jarvis = backend.agent("ann", "jarvis");
    jarvis.put("/runs/jarvis/steps/0", json!({ "kind": "k", "payload": 1 })).await.ok();
    let mut body = wish(&task, "k");
    body["run_key"] = json!("jarvis");
    agent.post("/tool-requests", body).await.fails(404, "not_found");
}

#[tokio::test]
async fn nobody_decides_about_a_cancelled_run() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let run =
        json!({ "session_key": "user:ann:scout", "task_id": task, "status": "awaiting_approval" });
    agent.put("/runs/r1", run).await.ok();
    let id = agent.post("/tool-requests", wish(&task, "k")).await.ok()["id"].clone();
    let path = format!("/tool-requests/{}", id.as_str().unwrap());
    agent.post("/runs/r1/cancel", json!({})).await.ok();
    assert_eq!(agent.get(&path).await.ok()["status"], "cancelled");
    let ann = backend.person("ann");
    ann.patch(&path, json!({ "status": "approved" })).await.fails(409, "already_decided");
    agent.post("/tool-requests", wish(&task, "k2")).await.fails(409, "run_cancelled");
    assert!(deliveries(&backend).await.is_empty());
}

#[tokio::test]
async fn the_client_asks_and_a_service_decides() {
    let backend = Backend::start().await;
    let client = backend.client("ann", "scout");
    let task = backend.agent("ann", "scout").task("Work").await;
    let new = CreateToolRequest {
        task_id: task,
        run_key: "r1".into(),
        session_key: "user:ann:scout".into(),
        tool: "t".into(),
        arguments: json!({ "a": 1 }).as_object().unwrap().clone(),
        reason: None,
        idempotency_key: "k".into(),
        ..CreateToolRequest::default()
    };
    let made = client.request_tool(&new).await.unwrap();
    assert_eq!(made.known_status(), Some(ToolRequestStatus::Pending));
    let waiting = ToolRequestQuery {
        status: Some(ToolRequestStatus::Pending),
        ..ToolRequestQuery::default()
    };
    let person = backend.service().on_behalf_of("ann");
    assert_eq!(person.tool_requests(&waiting).await.unwrap().items[0], made);
    let decision = Decision { status: ToolRequestStatus::Approved, note: None };
    for _ in 0..2 {
        person.decide_tool_request(&made.id, &decision, Some("d")).await.unwrap();
    }
    let second = person.decide_tool_request(&made.id, &decision, None).await.unwrap_err();
    assert_eq!(second.code(), Some("already_decided"));
    let again = client.request_tool(&new).await.unwrap();
    assert_eq!(again.known_status(), Some(ToolRequestStatus::Approved));
    assert_eq!(client.tool_request(&made.id).await.unwrap(), again);
    let all = ToolRequestQuery { run_key: Some("r1".into()), ..ToolRequestQuery::default() };
    assert_eq!(client.tool_requests(&all).await.unwrap().items, [again]);
}

#[tokio::test]
async fn what_goes_into_the_audit_log_is_short() {
    let backend = Backend::start().await;
    let (agent, person) = (backend.agent("ann", "scout"), backend.person("ann"));
    let task = agent.task("Work").await;
    let new = |tool: usize, reason: usize, key: &str| {
        json!({
            "task_id": task, "run_key": "r1", "session_key": "user:ann:scout", "tool": "ü".repeat(tool),
            "arguments": {}, "reason": "ü".repeat(reason), "idempotency_key": key
        })
    };
    for (tool, reason, field) in [(1_001, 1, "tool"), (1, 10_001, "reason"), (900_000, 1, "tool")] {
        let refused = agent.post("/tool-requests", new(tool, reason, "k1")).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"][field].is_string(), "{}", refused.text);
    }
    let made = agent.post("/tool-requests", new(1_000, 10_000, "k1")).await;
    let path = format!("/tool-requests/{}", made.ok()["id"].as_str().unwrap());
    let decision = |note: usize| json!({ "status": "denied", "note": "ü".repeat(note) });
    let refused = person.patch(&path, decision(10_001)).await;
    refused.fails(400, "invalid_payload");
    assert!(refused.body["details"]["fields"]["note"].is_string(), "{}", refused.text);
    person.patch(&path, decision(10_000)).await.ok();
}
