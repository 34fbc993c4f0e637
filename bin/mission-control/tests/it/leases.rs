//! Whose turn it is in a session, and writes of those whose turn is over.

use std::time::Duration;

use mc_client::leases::LeaseRequest;
use mc_client::types::CreateTask;
use serde_json::{Value, json};

use crate::harness::{Backend, Caller};

fn wish(session: &str, task: &str) -> Value {
    json!({ "session_key": session, "task_id": task, "holder": "one", "ttl_secs": 600 })
}

async fn lease(agent: &Caller, task: &str) -> (String, i64) {
    let given = agent.post("/sessions/lease", wish("user:ann:scout", task)).await;
    let given = given.ok();
    (given["lease_id"].as_str().unwrap().to_owned(), given["fence"].as_i64().unwrap())
}

/// The lease runs out now.
async fn run_out(backend: &Backend, id: &str) {
    sqlx::query(
        "UPDATE session_leases SET expires_at = '2000-01-01T00:00:00.000000Z' WHERE id = $1",
    )
    .bind(id)
    .execute(&mut backend.database().await)
    .await
    .unwrap();
}

fn under(agent: &Caller, id: &str, fence: i64) -> Caller {
    agent.clone().with("x-session-fence", &format!("{id}:{fence}"))
}

#[tokio::test]
async fn a_turn_is_one_holders_until_it_is_freed_or_runs_out_and_the_fence_grows() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let (first, fence) = lease(&agent, &task).await;
    assert_eq!(fence, 1);
    let busy = agent.post("/sessions/lease", wish("user:ann:scout", &task)).await;
    busy.fails(409, "session_busy");
    let wait: u64 = busy.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(wait >= 1);
    assert_eq!(busy.body["details"]["holder"], "one");

    // Another session and another task have turns of their own.
    let other = agent.task("Other").await;
    assert_eq!(lease(&agent, &other).await.1, 1);
    let jarvis = backend.agent("ann", "jarvis");
    let jarvis = jarvis.post("/sessions/lease", wish("user:ann:jarvis", &task)).await;
    assert_eq!(jarvis.ok()["fence"], 1);

    for _ in 0..2 {
        assert_eq!(agent.delete(&format!("/sessions/lease/{first}")).await.ok()["status"], "freed");
    }
    let (second, fence) = lease(&agent, &task).await;
    assert_eq!(fence, 2);
    // A late free of the first does not end the second.
    agent.delete(&format!("/sessions/lease/{first}")).await.ok();
    let busy = agent.post("/sessions/lease", wish("user:ann:scout", &task)).await;
    busy.fails(409, "session_busy");
    run_out(&backend, &second).await;
    assert_eq!(lease(&agent, &task).await.1, 3);
}

#[tokio::test]
async fn a_turn_may_be_renewed_until_it_is_another_s() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let (id, _) = lease(&agent, &task).await;
    let path = format!("/sessions/lease/{id}");
    let renewed = agent.put(&path, json!({})).await;
    assert_eq!((&renewed.ok()["lease_id"], &renewed.ok()["fence"]), (&json!(id), &json!(1)));
    // It ran out, but nobody has taken it.
    run_out(&backend, &id).await;
    agent.put(&path, json!({ "ttl_secs": 60 })).await.ok();
    let busy = agent.post("/sessions/lease", wish("user:ann:scout", &task)).await;
    busy.fails(409, "session_busy");
    run_out(&backend, &id).await;
    let (second, _) = lease(&agent, &task).await;
    agent.put(&path, json!({})).await.fails(409, "stale_fence");
    agent.delete(&format!("/sessions/lease/{second}")).await.ok();
    agent.put(&format!("/sessions/lease/{second}"), json!({})).await.fails(404, "not_found");
}

#[tokio::test]
async fn every_write_of_one_whose_turn_is_over_is_refused() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let (first, fence) = lease(&agent, &task).await;
    let old = under(&agent, &first, fence);
    let message = json!({ "task_id": task, "content": "in time", "idempotency_key": "k" });
    old.post("/messages", message.clone()).await.ok();
    old.put("/runs/r1/steps/0", json!({ "kind": "k", "payload": 1 })).await.ok();
    run_out(&backend, &first).await;
    old.patch(&format!("/tasks/{task}"), json!({ "status": "in_progress" })).await.ok();

    let (second, newer) = lease(&agent, &task).await;
    let wish = json!({
        "task_id": task, "run_key": "r1", "session_key": "user:ann:scout", "tool": "t",
        "arguments": {}, "idempotency_key": "k"
    });
    for (method, path, body) in [
        ("POST", "/tasks", json!({ "title": "late" })),
        ("POST", "/messages", json!({ "task_id": task, "content": "late" })),
        ("POST", "/messages", message),
        ("POST", "/documents", json!({ "title": "late", "content": "x" })),
        ("PATCH", &format!("/tasks/{task}"), json!({ "status": "blocked" })),
        ("PUT", "/runs/r1", json!({ "session_key": "user:ann:scout", "task_id": task })),
        ("PUT", "/runs/r1/steps/0", json!({ "kind": "k", "payload": 1 })),
        ("PUT", "/runs/r1/steps/1", json!({ "kind": "k", "payload": 1 })),
        ("POST", "/tool-requests", wish),
    ] {
        let request = old.raw(method.parse().unwrap(), &format!("{}{path}", crate::harness::MC));
        let answer = crate::harness::send(request.json(&body)).await;
        assert_eq!(answer.status, 409, "{method} {path} {}", answer.text);
        answer.fails(409, "stale_fence");
    }
    assert_eq!(agent.get("/tasks").await.items().len(), 1);
    assert_eq!(agent.get(&format!("/tasks/{task}")).await.ok()["status"], "in_progress");
    assert_eq!(agent.get(&format!("/messages?task_id={task}")).await.items().len(), 1);
    assert_eq!(agent.get("/runs/r1").await.ok()["steps"].as_array().unwrap().len(), 1);
    // Reading harms nobody, and whoever has the turn writes.
    old.get("/tasks").await.ok();
    let new = under(&agent, &second, newer);
    new.post("/documents", json!({ "title": "in time", "content": "x" })).await.ok();
}

#[tokio::test]
async fn a_fence_that_is_no_current_one_of_the_user_is_refused() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let (id, fence) = lease(&agent, &task).await;
    let new = json!({ "title": "x" });
    for (lease, fence) in [(id.as_str(), fence + 1), (&id, 0), ("unknown", 1)] {
        under(&agent, lease, fence).post("/tasks", new.clone()).await.fails(409, "stale_fence");
    }
    let bob = under(&backend.agent("bob", "scout"), &id, fence);
    bob.post("/tasks", new.clone()).await.fails(409, "stale_fence");
    for wrong in ["", "nonsense", &format!("{id}:x"), &id] {
        let wrong = agent.clone().with("x-session-fence", wrong);
        wrong.post("/tasks", new.clone()).await.fails(400, "invalid_payload");
    }
    agent.delete(&format!("/sessions/lease/{id}")).await.ok();
    under(&agent, &id, fence).post("/tasks", new).await.fails(409, "stale_fence");
}

#[tokio::test]
async fn of_many_at_once_one_gets_the_turn() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let asked: Vec<_> = (0..16)
        .map(|_| {
            let (agent, wish) = (agent.clone(), wish("user:ann:scout", &task));
            tokio::spawn(async move { agent.post("/sessions/lease", wish).await })
        })
        .collect();
    let mut given = 0;
    for answer in asked {
        let answer = answer.await.unwrap();
        if answer.status == 200 {
            given += 1;
        } else {
            answer.fails(409, "session_busy");
        }
    }
    assert_eq!(given, 1);
}

#[tokio::test]
async fn what_is_no_lease_is_refused_and_another_users_does_not_exist() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    for (field, value) in [
        ("session_key", json!("user:bob:scout")),
        ("session_key", json!(null)),
        ("holder", json!("")),
        ("ttl_secs", json!(0)),
        ("ttl_secs", json!(3_601)),
        ("ttl_secs", json!("long")),
        ("ttl_secs", json!(-1)),
        ("task_id", json!("")),
    ] {
        let mut body = wish("user:ann:scout", &task);
        body[field] = value;
        let refused = agent.post("/sessions/lease", body).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"][field].is_string(), "{}", refused.text);
    }
    let nowhere = wish("user:ann:scout", "nowhere");
    agent.post("/sessions/lease", nowhere).await.fails(404, "not_found");
    let (id, _) = lease(&agent, &task).await;
    let bob = backend.agent("bob", "scout");
    bob.post("/sessions/lease", wish("user:bob:scout", &task)).await.fails(404, "not_found");
    bob.put(&format!("/sessions/lease/{id}"), json!({})).await.fails(404, "not_found");
    bob.delete(&format!("/sessions/lease/{id}")).await.fails(404, "not_found");
    agent
        .put(&format!("/sessions/lease/{id}"), json!({ "ttl_secs": 0 }))
        .await
        .fails(400, "invalid_payload");
    agent.put(&format!("/sessions/lease/{id}"), json!({})).await.ok();
    agent.get(&format!("/sessions/lease/{id}")).await.fails(405, "method_not_allowed");
}

#[tokio::test]
async fn a_lease_under_a_key_is_given_once() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let mut body = wish("user:ann:scout", &agent.task("Work").await);
    body["idempotency_key"] = json!("k");
    let first = agent.post("/sessions/lease", body.clone()).await;
    let again = agent.post("/sessions/lease", body.clone()).await;
    assert!(again.replayed());
    assert_eq!(first.ok(), again.ok());
    body["holder"] = json!("another");
    agent.post("/sessions/lease", body).await.fails(409, "idempotency_conflict");
}

#[tokio::test]
async fn the_client_takes_a_turn_and_learns_that_it_has_lost_it() {
    let backend = Backend::start().await;
    let client = backend.client("ann", "scout");
    let new = CreateTask { title: "Under the lease".into(), ..CreateTask::default() };
    let task = client.create_task(&new).await.unwrap();
    let request = LeaseRequest {
        session_key: "user:ann:scout".into(),
        task_id: task.id,
        holder: "one".into(),
        ttl_secs: 600,
        idempotency_key: None,
    };
    let lease = client.lease_session(&request).await.unwrap();
    assert!(lease.expires_at.is_some());
    let busy = client.lease_session(&request).await.unwrap_err();
    assert!(busy.is_session_busy() && busy.retry_after().is_some());
    let ttl = Some(Duration::from_millis(1_500));
    assert_eq!(client.renew_lease(&lease.lease_id, ttl).await.unwrap().fence, 1);
    let fenced = client.clone().with_fence(&lease);
    fenced.create_task(&new).await.unwrap();
    client.free_lease(&lease.lease_id).await.unwrap();
    let second = client.lease_session(&request).await.unwrap();
    assert_eq!(second.fence, 2);
    assert!(fenced.create_task(&new).await.unwrap_err().is_stale_fence());
    assert_eq!(fenced.find_task("Under the lease").await.unwrap().unwrap().status, "pending");
    client.with_fence(&second).create_task(&new).await.unwrap();
}
