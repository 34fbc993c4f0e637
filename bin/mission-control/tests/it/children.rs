//! Runs that other runs have asked for: whose lease they write under, and that they end with the run above.

use serde_json::{Value, json};

use crate::harness::{Backend, Caller};

/// A run of ann's scout that works under its session's lease.
struct Tree {
    task: String,
    scout: Caller,
    fence: String,
}

async fn tree(backend: &Backend, top: &str) -> Tree {
    let scout = backend.agent("ann", "scout");
    let task = scout.task("Work").await;
    let wish = json!({ "session_key": "user:ann:scout", "task_id": task, "holder": "one", "ttl_secs": 600 });
    let lease = scout.post("/sessions/lease", wish).await;
    let fence = format!("{}:{}", lease.ok()["lease_id"].as_str().unwrap(), lease.ok()["fence"]);
    let scout = scout.with("x-session-fence", &fence);
    let run = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "running" });
    scout.put(&format!("/runs/{top}"), run).await.ok();
    Tree { task, scout, fence }
}

impl Tree {
    /// The journal of a run names a child.
    async fn names(&self, by: &Caller, parent: &str, child: &str, role: &str) {
        let children = json!([{ "at": 2, "run_key": child, "role": role }]);
        let step = json!({ "kind": "calling", "payload": { "calls": [], "run_id": "r", "children": children } });
        by.put(&format!("/runs/{parent}/steps/3"), step).await.ok();
    }

    fn role(&self, backend: &Backend, role: &str) -> Caller {
        backend.agent("ann", role).with("x-session-fence", &self.fence)
    }

    fn child(&self, role: &str, parent: &str) -> Value {
        json!({ "session_key": format!("user:ann:{role}"), "task_id": self.task, "status": "running",
            "parent_run_key": parent })
    }
}

async fn status(by: &Caller, key: &str) -> Value {
    by.get(&format!("/runs/{key}")).await.ok()["status"].clone()
}

#[tokio::test]
async fn a_child_writes_under_its_parents_lease_once_the_parents_journal_names_it() {
    let backend = Backend::start().await;
    let tree = tree(&backend, "top").await;
    let writer = tree.role(&backend, "writer");
    let message = json!({ "task_id": tree.task, "content": "hello" });
    writer.put("/runs/child", tree.child("writer", "top")).await.fails(409, "stale_fence");
    writer.post("/messages", message.clone()).await.fails(409, "stale_fence");
    tree.names(&tree.scout, "top", "child", "writer").await;
    // Neither another key, nor another role, nor another parent.
    writer.put("/runs/other", tree.child("writer", "top")).await.fails(409, "stale_fence");
    writer.put("/runs/child", tree.child("writer", "unknown")).await.fails(409, "stale_fence");
    let clerk = tree.role(&backend, "clerk");
    clerk.put("/runs/child", tree.child("clerk", "top")).await.fails(409, "stale_fence");
    let bob = backend.agent("bob", "writer").with("x-session-fence", &tree.fence);
    bob.put("/runs/child", tree.child("writer", "top")).await.fails(400, "invalid_payload");

    writer.put("/runs/child", tree.child("writer", "top")).await.ok();
    writer.put("/runs/child/steps/0", json!({ "kind": "request", "payload": {} })).await.ok();
    writer.post("/messages", message.clone()).await.ok();
    // A grandchild, too, whom its own parent names.
    clerk.put("/runs/grandchild", tree.child("clerk", "child")).await.fails(409, "stale_fence");
    tree.names(&writer, "child", "grandchild", "clerk").await;
    clerk.put("/runs/grandchild", tree.child("clerk", "child")).await.ok();
    clerk.put("/runs/grandchild", json!({ "status": "completed" })).await.ok();
    // With the end of its run it has no part in the lease any more.
    clerk.post("/messages", message.clone()).await.fails(409, "stale_fence");
    // Nor has anybody once the lease is another one's.
    let id = tree.fence.split(':').next().unwrap();
    backend.agent("ann", "scout").delete(&format!("/sessions/lease/{id}")).await.ok();
    writer.post("/messages", message).await.fails(409, "stale_fence");
    writer.put("/runs/child", tree.child("writer", "top")).await.fails(409, "stale_fence");
}

#[tokio::test]
async fn all_runs_below_end_with_a_run_that_is_cancelled_or_interrupted() {
    let backend = Backend::start().await;
    for (how, below) in [("cancelled", "cancelled"), ("interrupted", "interrupted"), ("failed", "interrupted")] {
        let top = format!("top-{how}");
        let tree = tree(&backend, &top).await;
        let (writer, clerk) = (tree.role(&backend, "writer"), tree.role(&backend, "clerk"));
        let (child, deep, done) = (format!("c-{how}"), format!("g-{how}"), format!("d-{how}"));
        tree.names(&tree.scout, &top, &child, "writer").await;
        writer.put(&format!("/runs/{child}"), tree.child("writer", &top)).await.ok();
        tree.names(&writer, &child, &deep, "clerk").await;
        clerk.put(&format!("/runs/{deep}"), tree.child("clerk", &child)).await.ok();
        let over = json!({ "session_key": "user:ann:clerk", "task_id": tree.task, "status": "completed", "parent_run_key": child });
        backend.agent("ann", "clerk").put(&format!("/runs/{done}"), over).await.ok();
        let put = json!({ "status": how });
        tree.scout.put(&format!("/runs/{top}"), put).await.ok();
        assert_eq!(status(&writer, &child).await, below, "{how}");
        assert_eq!(status(&clerk, &deep).await, below, "{how}");
        assert_eq!(status(&clerk, &done).await, "completed", "{how}");
    }
}

#[tokio::test]
async fn a_run_that_ends_with_the_one_above_keeps_what_is_known_of_it() {
    let backend = Backend::start().await;
    let tree = tree(&backend, "top").await;
    let writer = tree.role(&backend, "writer");
    tree.names(&tree.scout, "top", "child", "writer").await;
    let mut child = tree.child("writer", "top");
    child["workspace_digest"] = json!("d1");
    child["cost"] = json!({ "usd": 1 });
    writer.put("/runs/child", child).await.ok();
    tree.scout.put("/runs/top", json!({ "status": "cancelled" })).await.ok();
    let ended = writer.get("/runs/child").await.ok().clone();
    assert_eq!((&ended["status"], &ended["workspace_digest"]), (&json!("cancelled"), &json!("d1")));
    assert_eq!(ended["cost"], json!({ "usd": 1 }));
    for wrong in [" ".to_owned(), "x".repeat(201)] {
        let refused = writer.put("/runs/other", tree.child("writer", &wrong)).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"]["parent_run_key"].is_string(), "{}", refused.text);
    }
}

#[tokio::test]
async fn a_request_to_cancel_reaches_the_runs_below_at_once() {
    let backend = Backend::start().await;
    let tree = tree(&backend, "top").await;
    let writer = tree.role(&backend, "writer");
    tree.names(&tree.scout, "top", "child", "writer").await;
    writer.put("/runs/child", tree.child("writer", "top")).await.ok();
    backend.person("ann").post("/runs/top/cancel?role=scout", json!({})).await.ok();
    let note = writer.put("/runs/child", json!({})).await;
    assert_eq!(note.ok()["cancel_requested"], true, "{:?}", note.body);
}

#[tokio::test]
async fn another_roles_run_with_the_same_key_is_nobodys_parent() {
    let backend = Backend::start().await;
    let tree = tree(&backend, "top").await;
    let writer = tree.role(&backend, "writer");
    tree.names(&tree.scout, "top", "child", "writer").await;
    writer.put("/runs/child", tree.child("writer", "top")).await.ok();
    let call = json!({
        "task_id": tree.task, "run_key": "top", "session_key": "user:ann:scout", "tool": "refund",
        "arguments": {}, "idempotency_key": "k", "asked_by": { "run_key": "child", "role": "writer" }
    });
    let asked = tree.scout.post("/tool-requests", call).await;
    let request = format!("/tool-requests/{}", asked.ok()["id"].as_str().unwrap());
    // A clerk has runs with these keys, says that they are children, and names the writer's as its own.
    let clerk = backend.agent("ann", "clerk");
    for (key, parent) in [("top", "above"), ("child", "top")] {
        clerk.put(&format!("/runs/{key}"), tree.child("clerk", parent)).await.ok();
    }
    tree.names(&clerk, "top", "child", "writer").await;
    let above = json!({ "session_key": "user:ann:clerk", "task_id": tree.task, "status": "running" });
    clerk.put("/runs/above", above).await.ok();
    let children = json!([{ "at": 2, "run_key": "top", "role": "clerk" }]);
    let step = json!({ "kind": "calling", "payload": { "calls": [], "run_id": "r", "children": children } });
    clerk.put("/runs/above/steps/3", step).await.ok();
    for key in ["child", "top"] {
        clerk.put(&format!("/runs/{key}"), json!({ "status": "cancelled" })).await.ok();
        assert_eq!(status(&clerk, key).await, "cancelled");
        assert_eq!(status(&writer, "child").await, "running", "{key}");
        assert_eq!(status(&tree.scout, "top").await, "running", "{key}");
        assert_eq!(tree.scout.get(&request).await.ok()["status"], "pending", "{key}");
    }
    // The writer's own end withdraws it.
    writer.put("/runs/child", json!({ "status": "cancelled" })).await.ok();
    assert_eq!(tree.scout.get(&request).await.ok()["status"], "cancelled");
}

#[tokio::test]
async fn exactly_the_roles_that_an_agent_names_are_notified_and_get_the_chain() {
    let backend = Backend::start().await;
    let scout = backend.agent("ann", "scout");
    let task = scout.task("Work").await;
    let chain = json!({ "root_run_key": "k", "roles": ["jarvis", "scout"] });
    let message = json!({ "task_id": task, "content": "@analyst and @writer", "mentions": ["writer", "clerk", "writer"],
        "chain": chain, "idempotency_key": "m1" });
    for _ in 0..2 {
        scout.post("/messages", message.clone()).await.ok();
    }
    scout.post("/messages", json!({ "task_id": task, "content": "@analyst" })).await.ok();
    let polled = backend.internal().post("/dispatch/undelivered?lease_seconds=60", json!({})).await;
    let deliveries = polled.ok()["deliveries"].as_array().unwrap().clone();
    let sessions: Vec<_> = deliveries.iter().map(|one| one["session_key"].as_str().unwrap()).collect();
    assert_eq!(sessions, ["user:ann:writer", "user:ann:clerk"], "{deliveries:?}");
    for delivery in &deliveries {
        assert_eq!(delivery["metadata"]["chain"], chain, "{delivery}");
        assert_eq!(delivery["task_id"], task);
        assert_eq!(delivery["content"], "@analyst and @writer");
    }
    for (wrong, field) in [
        (json!({ "mentions": ["no role"] }), "mentions"),
        (json!({ "mentions": vec!["a"; 51] }), "mentions"),
        (json!({ "chain": { "root_run_key": " ", "roles": [] } }), "chain.root_run_key"),
        (json!({ "chain": { "root_run_key": "k", "roles": ["../x"] } }), "chain.roles"),
    ] {
        let mut body = json!({ "task_id": task, "content": "x" });
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let refused = scout.post("/messages", body).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["error"].as_str().unwrap().contains(field), "{:?}", refused.body);
    }
    let person = backend.person("ann");
    let body = json!({ "task_id": task, "content": "x", "mentions": ["writer"] });
    person.post("/messages", body).await.fails(400, "invalid_payload");
}
