//! Detached runs: who takes up those that no instance works on, and what ends them.

use serde_json::{Value, json};

use crate::harness::{Answer, Backend, Caller, Home, Options};

const PAST: &str = "2000-01-01T00:00:00.000000Z";

/// Begins a run of `ann`'s scout and gives its task.
async fn begin(agent: &Caller, key: &str, task: &str, status: &str) {
    let run = json!({ "session_key": "user:ann:scout", "task_id": task, "status": status, "detached": true });
    agent.put(&format!("/runs/{key}"), run).await.ok();
}

/// The lease of the session on a task: its id, and who writes under it.
async fn lease(agent: &Caller, task: &str) -> (String, Caller) {
    let wish = json!({ "session_key": "user:ann:scout", "task_id": task, "holder": "one", "ttl_secs": 600 });
    let lease = agent.post("/sessions/lease", wish).await;
    let id = lease.ok()["lease_id"].as_str().unwrap().to_owned();
    let fence = format!("{id}:{}", lease.body["fence"]);
    (id, agent.clone().with("x-session-fence", &fence))
}

async fn set(backend: &Backend, statement: &'static str, value: &str) {
    sqlx::query(statement).bind(value).execute(&mut backend.database().await).await.unwrap();
}

/// Everything was last written long ago, and every lease has run out.
async fn long_ago(backend: &Backend) {
    set(backend, "UPDATE runs SET updated_at = $1", PAST).await;
    set(backend, "UPDATE session_leases SET expires_at = $1", PAST).await;
}

/// Nobody has what was given out any more.
async fn given_back(backend: &Backend) {
    set(backend, "UPDATE runs SET orphan_until = $1", PAST).await;
}

async fn ask(backend: &Backend) -> Answer {
    backend.internal().post("/dispatch/orphans", json!({ "lease_seconds": 600, "limit": 100 })).await
}

async fn keys(backend: &Backend) -> Vec<String> {
    let answer = ask(backend).await;
    let runs = answer.ok()["runs"].as_array().unwrap();
    runs.iter().map(|run| run["run_key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_interrupted_run_is_given_out_once_and_the_oldest_of_its_session_first() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let (task, other) = (agent.task("Work").await, agent.task("Other").await);
    assert_eq!(keys(&backend).await, Vec::<String>::new());
    for (key, task) in [("first", &task), ("second", &task), ("third", &other)] {
        begin(&agent, key, task, "interrupted").await;
    }
    let one = json!({ "lease_seconds": 600, "limit": 1 });
    let given = backend.internal().post("/dispatch/orphans", one).await;
    let first = json!({ "run_key": "first", "user_id": "ann", "session_key": "user:ann:scout", "task_id": task, "attempts": 1 });
    assert_eq!(given.ok(), &json!({ "runs": [first] }));
    assert_eq!(keys(&backend).await, ["third"]);
    assert_eq!(keys(&backend).await, Vec::<String>::new());
    given_back(&backend).await;
    let again = ask(&backend).await;
    assert_eq!(again.ok()["runs"][0]["attempts"], 2);
    agent.put("/runs/first", json!({ "status": "completed" })).await.ok();
    assert_eq!(keys(&backend).await, ["second"]);
}

#[tokio::test]
async fn one_whose_instance_died_before_its_first_step_keeps_no_other_waiting() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    for key in ["empty", "begun"] {
        begin(&agent, key, &task, "interrupted").await;
    }
    agent.put("/runs/begun/steps/0", json!({ "kind": "request", "payload": 1 })).await.ok();
    assert_eq!(keys(&backend).await, ["begun"]);
}

#[tokio::test]
async fn what_is_returned_is_given_out_again_at_once_and_not_counted() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    begin(&agent, "k", &task, "interrupted").await;
    let returning = async |runs: &Value| {
        let body = json!({ "lease_seconds": 600, "limit": 100, "returned": runs });
        backend.internal().post("/dispatch/orphans", body).await.ok()["runs"].clone()
    };
    let first = returning(&json!([])).await;
    for _ in 0..20 {
        assert_eq!(returning(&first).await, first);
    }
    // Whoever got it later keeps it.
    given_back(&backend).await;
    assert_eq!(ask(&backend).await.ok()["runs"][0]["attempts"], 2);
    let mut others = first.clone();
    others[0]["user_id"] = json!("bob");
    for stale in [&first, &others] {
        assert_eq!(returning(stale).await, json!([]));
    }
}

#[tokio::test]
async fn only_detached_runs_without_a_parent_that_may_go_on_are_given_out() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for status in ["running", "completed", "failed", "cancelled", "awaiting_approval", "awaiting_answer"] {
        let task = agent.task("Work").await;
        begin(&agent, status, &task, status).await;
    }
    let task = agent.task("Work").await;
    let whole = |more: Value| {
        let mut run = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "interrupted" });
        run.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        run
    };
    agent.put("/runs/attached", whole(json!({}))).await.ok();
    agent.put("/runs/no", whole(json!({ "detached": false }))).await.ok();
    let child = whole(json!({ "detached": true, "parent_run_key": "running" }));
    agent.put("/runs/child", child).await.ok();
    assert_eq!(agent.get("/runs/child").await.ok()["parent_run_key"], "running");
    assert_eq!(keys(&backend).await, Vec::<String>::new());
    long_ago(&backend).await;
    assert_eq!(keys(&backend).await, ["running"]);
}

#[tokio::test]
async fn a_running_run_is_left_alone_until_its_session_was_quiet_for_a_while() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let (id, own) = lease(&agent, &task).await;
    begin(&own, "k", &task, "running").await;
    set(&backend, "UPDATE runs SET updated_at = $1", PAST).await;
    assert_eq!(keys(&backend).await, Vec::<String>::new(), "its lease is held");
    agent.delete(&format!("/sessions/lease/{id}")).await.ok();
    assert_eq!(keys(&backend).await, Vec::<String>::new(), "its lease was held a moment ago");
    set(&backend, "UPDATE session_leases SET freed_at = $1", PAST).await;
    // A write counts, too.
    own.get("/runs/k").await.ok();
    agent.put("/runs/k", json!({})).await.ok();
    assert_eq!(keys(&backend).await, Vec::<String>::new(), "it was written a moment ago");
    set(&backend, "UPDATE runs SET updated_at = $1", PAST).await;
    assert_eq!(keys(&backend).await, ["k"]);
}

#[tokio::test]
async fn a_run_that_was_taken_up_is_given_out_again_when_that_instance_dies_too() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let (_, first) = lease(&agent, &task).await;
    begin(&first, "k", &task, "running").await;
    long_ago(&backend).await;
    assert_eq!(keys(&backend).await, ["k"]);
    long_ago(&backend).await;
    assert_eq!(keys(&backend).await, Vec::<String>::new(), "somebody is about to take it up");
    let (_, second) = lease(&agent, &task).await;
    second.put("/runs/k/steps/1", json!({ "kind": "thread", "payload": [] })).await.ok();
    long_ago(&backend).await;
    let again = ask(&backend).await;
    assert_eq!(again.ok()["runs"][0]["attempts"], 1, "it got a step further");
}

#[tokio::test]
async fn an_interrupted_run_waits_while_another_has_the_session() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    begin(&agent, "waits", &task, "interrupted").await;
    let (_, own) = lease(&agent, &task).await;
    begin(&own, "works", &task, "running").await;
    assert_eq!(keys(&backend).await, Vec::<String>::new());
    own.put("/runs/works", json!({ "status": "completed" })).await.ok();
    assert_eq!(keys(&backend).await, ["waits"]);
}

#[tokio::test]
async fn a_run_that_nobody_gets_further_is_given_up() {
    let backend = Backend::start_in(Home::new(), Options { orphan_max_attempts: 2, ..Options::default() }).await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    for key in ["k", "next"] {
        begin(&agent, key, &task, "interrupted").await;
    }
    for attempt in [1, 2] {
        assert_eq!(ask(&backend).await.ok()["runs"][0]["attempts"], attempt);
        given_back(&backend).await;
    }
    agent.put("/runs/k/steps/0", json!({ "kind": "llm", "payload": 1 })).await.ok();
    for attempt in [1, 2] {
        assert_eq!(ask(&backend).await.ok()["runs"][0]["attempts"], attempt);
        given_back(&backend).await;
    }
    let last = ask(&backend).await;
    assert_eq!(last.ok()["runs"][0]["run_key"], "next");
    let given_up = json!({ "run_key": "k", "user_id": "ann", "session_key": "user:ann:scout", "task_id": task, "attempts": 2 });
    assert_eq!(last.body["ended"], json!([given_up]), "who waits for its end has to be told");
    assert_eq!(ask(&backend).await.ok(), &json!({ "runs": [] }));
    let run = agent.get("/runs/k").await;
    assert_eq!(run.ok()["status"], "failed");
    assert_eq!(run.body["error"], "run_abandoned");
    assert_eq!(run.body["failure"]["code"], "run_abandoned");
    assert_eq!(run.body["failure"]["details"], json!({ "attempts": 2 }));
    // Its key may be sent again.
    agent.put("/runs/k", json!({ "status": "interrupted" })).await.ok();
    agent.put("/runs/next", json!({ "status": "completed" })).await.ok();
    assert_eq!(ask(&backend).await.ok()["runs"][0]["attempts"], 1);
}

#[tokio::test]
async fn one_that_is_to_be_cancelled_is_not_given_out() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let (_, own) = lease(&agent, &task).await;
    begin(&own, "k", &task, "running").await;
    let asked = agent.post("/runs/k/cancel", json!({})).await;
    assert_eq!(asked.ok()["status"], "running", "its instance stops it");
    long_ago(&backend).await;
    let answer = ask(&backend).await;
    assert_eq!((&answer.ok()["runs"], &answer.body["ended"][0]["run_key"]), (&json!([]), &json!("k")));
    assert_eq!(agent.get("/runs/k").await.ok()["status"], "cancelled");
}

#[tokio::test]
async fn a_detached_run_that_nobody_works_on_is_cancelled_at_once() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let attached = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "running" });
    agent.put("/runs/attached", attached).await.ok();
    begin(&agent, "detached", &task, "running").await;
    for (key, status) in [("attached", "running"), ("detached", "cancelled"), ("detached", "cancelled")] {
        let asked = agent.post(&format!("/runs/{key}/cancel"), json!({})).await;
        let note = json!({ "run_key": key, "status": status, "cancel_requested": true });
        assert_eq!(asked.ok(), &note);
    }
    let (_, own) = lease(&agent, &task).await;
    begin(&own, "working", &task, "running").await;
    let asked = agent.post("/runs/working/cancel", json!({})).await;
    assert_eq!(asked.ok()["status"], "running");
    let ended = own.put("/runs/working", json!({ "status": "interrupted" })).await;
    assert_eq!(ended.ok()["status"], "cancelled");
    backend.agent("ann", "mole").post("/runs/working/cancel", json!({})).await.fails(404, "not_found");
    backend.person("bob").post("/runs/working/cancel", json!({})).await.fails(404, "not_found");
}

#[tokio::test]
async fn a_run_with_a_caller_whose_lease_is_over_is_cancelled_at_once() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let (id, own) = lease(&agent, &task).await;
    let run = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "running" });
    for key in ["dead", "freed"] {
        own.put(&format!("/runs/{key}"), run.clone()).await.ok();
    }
    let asked = agent.post("/runs/dead/cancel", json!({})).await;
    assert_eq!(asked.ok()["status"], "running", "its instance stops it");
    long_ago(&backend).await;
    // Another run of the session is at work by now.
    let (_, other) = lease(&agent, &task).await;
    other.put("/runs/other", run.clone()).await.ok();
    for (key, status) in [("dead", "cancelled"), ("freed", "cancelled"), ("other", "running")] {
        let asked = agent.post(&format!("/runs/{key}/cancel"), json!({})).await;
        assert_eq!(asked.ok()["status"], status, "{key} {id}");
    }
    own.put("/runs/dead", json!({ "status": "completed" })).await.fails(409, "stale_fence");
}

#[tokio::test]
async fn a_run_says_whether_it_is_detached_and_where_it_stands_without_its_journal() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    begin(&agent, "k", &task, "running").await;
    agent.put("/runs/k/steps/0", json!({ "kind": "request", "payload": 1 })).await.ok();
    agent.put("/runs/k", json!({ "usage": 7 })).await.ok();
    let whole = agent.get("/runs/k").await;
    assert_eq!((&whole.ok()["detached"], &whole.body["usage"]), (&json!(true), &json!(7)));
    let mut state = agent.get("/runs/k?steps=false").await.ok().clone();
    assert_eq!(state["steps"], json!([]));
    state["steps"] = whole.body["steps"].clone();
    assert_eq!(&state, &whole.body);
    agent.get("/runs/k?steps=0").await.fails(400, "invalid_payload");
    let large = json!({ "outcome": "x".repeat(4 * 1024 * 1024) });
    agent.put("/runs/k", large).await.ok();
}

#[tokio::test]
async fn a_decision_about_a_detached_run_says_so() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    begin(&agent, "detached", &task, "awaiting_approval").await;
    let attached = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "awaiting_approval" });
    agent.put("/runs/attached", attached).await.ok();
    for key in ["detached", "attached"] {
        let new = json!({
            "task_id": task, "run_key": key, "session_key": "user:ann:scout", "tool": "send_mail",
            "arguments": {}, "idempotency_key": key
        });
        let made = agent.post("/tool-requests", new).await;
        let path = format!("/tool-requests/{}", made.ok()["id"].as_str().unwrap());
        backend.person("ann").patch(&path, json!({ "status": "approved" })).await.ok();
    }
    let queue = backend.internal().post("/dispatch/undelivered", json!({})).await;
    let of = |key: &str| {
        let all = queue.body["deliveries"].as_array().unwrap();
        all.iter().find(|one| one["run_key"] == key).unwrap()["metadata"].clone()
    };
    assert_eq!(of("detached")["detached"], true);
    assert_eq!(of("detached")["tool_request_status"], "approved");
    assert_eq!(of("attached").get("detached"), None);
}

#[tokio::test]
async fn only_a_service_asks_for_them() {
    let backend = Backend::start().await;
    let body = json!({ "lease_seconds": 1, "limit": 1 });
    backend.agent("ann", "scout").post("/dispatch/orphans", body.clone()).await.fails(403, "forbidden");
    backend.nobody().post("/dispatch/orphans", body.clone()).await.fails(401, "unauthorized");
    for (field, wrong) in [
        ("lease_seconds", json!(0)),
        ("lease_seconds", json!(3_601)),
        ("lease_seconds", json!(null)),
        ("limit", json!(0)),
        ("limit", json!("1")),
    ] {
        let mut body = body.clone();
        body[field] = wrong;
        backend.internal().post("/dispatch/orphans", body).await.fails(400, "invalid_payload");
    }
}
