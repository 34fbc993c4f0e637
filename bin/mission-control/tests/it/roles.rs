//! An agent's token is for one role: what belongs to the user's other roles is out of its reach.

use serde_json::{Value, json};

use crate::harness::{Backend, Caller, column};

fn run_of(role: &str, task: &str) -> Value {
    json!({ "session_key": format!("user:ann:{role}"), "task_id": task, "status": "running" })
}

fn lease_of(role: &str, task: &str) -> Value {
    json!({ "session_key": format!("user:ann:{role}"), "task_id": task, "holder": "one", "ttl_secs": 60 })
}

fn request_of(role: &str, task: &str, run_key: &str, key: &str) -> Value {
    json!({
        "task_id": task, "run_key": run_key, "session_key": format!("user:ann:{role}"), "tool": "pay",
        "arguments": {}, "idempotency_key": key
    })
}

fn step(text: &str) -> Value {
    json!({ "kind": "llm", "payload": { "text": text } })
}

async fn both(backend: &Backend) -> (Caller, Caller, String) {
    let (scout, mole) = (backend.agent("ann", "scout"), backend.agent("ann", "mole"));
    let task = scout.task("Work").await;
    (scout, mole, task)
}

#[tokio::test]
async fn a_journal_is_its_roles_own() {
    let backend = Backend::start().await;
    let (scout, mole, task) = both(&backend).await;
    scout.put("/runs/r1", run_of("scout", &task)).await.ok();
    scout.put("/runs/r1/steps/0", step("real")).await.ok();

    mole.get("/runs/r1").await.fails(404, "not_found");
    mole.post("/runs/r1/cancel", json!({})).await.fails(404, "not_found");
    mole.put("/runs/r1", run_of("scout", &task)).await.fails(403, "role_mismatch");
    for session in ["user:ann:Scout", "user:ann:"] {
        let mut run = run_of("scout", &task);
        run["session_key"] = json!(session);
        let refused = mole.put("/runs/r2", run).await;
        assert!([400, 403].contains(&refused.status.as_u16()), "{session}: {}", refused.text);
    }
    mole.put("/runs/r1/steps/1", step("forged")).await.fails(404, "not_found");
    mole.get("/runs/r1").await.fails(404, "not_found");
    // Under the same key it may have a run of its own.
    mole.put("/runs/r1", run_of("mole", &task)).await.ok();
    mole.put("/runs/r1/steps/1", step("forged")).await.ok();
    mole.put("/runs/r1/steps/0", step("forged")).await.ok();
    mole.post("/runs/r1/cancel", json!({})).await.ok();
    let run = scout.get("/runs/r1").await;
    assert_eq!(run.ok()["steps"], json!([{ "index": 0, "kind": "llm", "payload": { "text": "real" } }]));
    assert_eq!((&run.body["status"], &run.body["cancel_requested"]), (&json!("running"), &json!(false)));

    mole.put("/runs/r3", run_of("mole", &task)).await.ok();
    mole.post("/runs/r3/cancel", json!({})).await.ok();
    mole.put("/runs/r3", json!({ "status": "cancelled" })).await.ok();
    assert_eq!(scout.put("/runs/r3", run_of("scout", &task)).await.ok()["status"], "running");
}

#[tokio::test]
async fn a_person_names_the_role_where_several_have_the_key() {
    let backend = Backend::start().await;
    let (scout, mole, task) = both(&backend).await;
    let ann = backend.person("ann");
    scout.put("/runs/r1", run_of("scout", &task)).await.ok();
    assert_eq!(ann.get("/runs/r1").await.ok()["session_key"], "user:ann:scout");
    mole.put("/runs/r1", run_of("mole", &task)).await.ok();

    for refused in [ann.get("/runs/r1").await, ann.post("/runs/r1/cancel", json!({})).await] {
        refused.fails(409, "run_ambiguous");
        assert_eq!(refused.body["details"]["roles"], json!(["scout", "mole"]));
    }
    assert_eq!(ann.get("/runs/r1?role=mole").await.ok()["session_key"], "user:ann:mole");
    ann.post("/runs/r1/cancel?role=scout", json!({})).await.ok();
    assert_eq!(scout.get("/runs/r1").await.ok()["cancel_requested"], true);
    assert_eq!(mole.get("/runs/r1").await.ok()["cancel_requested"], false);
    // An agent's own role is not a question of what it asks for.
    assert_eq!(mole.get("/runs/r1?role=scout").await.ok()["session_key"], "user:ann:mole");
}

#[tokio::test]
async fn a_lease_is_its_roles_own() {
    let backend = Backend::start().await;
    let (scout, mole, task) = both(&backend).await;
    mole.post("/sessions/lease", lease_of("scout", &task)).await.fails(403, "role_mismatch");
    let lease = scout.post("/sessions/lease", lease_of("scout", &task)).await;
    let path = format!("/sessions/lease/{}", lease.ok()["lease_id"].as_str().unwrap());
    mole.put(&path, json!({ "ttl_secs": 1 })).await.fails(404, "not_found");
    mole.delete(&path).await.fails(404, "not_found");
    let fence = format!("{}:1", lease.body["lease_id"].as_str().unwrap());
    let message = json!({ "task_id": task, "content": "x" });
    let fenced = mole.clone().with("x-session-fence", &fence);
    fenced.post("/messages", message.clone()).await.fails(409, "stale_fence");
    scout.put(&path, json!({ "ttl_secs": 60 })).await.ok();
    scout.clone().with("x-session-fence", &fence).post("/messages", message).await.ok();
    mole.post("/sessions/lease", lease_of("mole", &task)).await.ok();
}

#[tokio::test]
async fn a_heartbeat_is_its_roles_own() {
    let backend = Backend::start().await;
    let (scout, mole, _) = both(&backend).await;
    let beat = json!({ "user_id": "ann", "role": "scout", "slot": "2026-11-29T00:00:00Z" });
    mole.post("/heartbeat", beat.clone()).await.fails(403, "role_mismatch");
    assert_eq!(scout.post("/heartbeat", beat).await.ok()["claimed"], true);
    assert_eq!(mole.post("/heartbeat", json!({ "user_id": "ann" })).await.ok()["role"], "mole");
}

#[tokio::test]
async fn a_tool_request_is_its_roles_own() {
    let backend = Backend::start().await;
    let (scout, mole, task) = both(&backend).await;
    scout.put("/runs/r1", run_of("scout", &task)).await.ok();
    let forged = mole.post("/tool-requests", request_of("scout", &task, "r1", "k")).await;
    forged.fails(403, "role_mismatch");
    let forged = mole.post("/tool-requests", request_of("mole", &task, "r1", "k")).await;
    forged.fails(404, "not_found");
    let made = scout.post("/tool-requests", request_of("scout", &task, "r1", "k")).await;
    let path = format!("/tool-requests/{}", made.ok()["id"].as_str().unwrap());
    mole.get(&path).await.fails(404, "not_found");
    assert!(mole.get("/tool-requests").await.items().is_empty());
    assert!(mole.get("/tool-requests?run_key=r1").await.items().is_empty());
    assert_eq!(scout.get("/tool-requests").await.items().len(), 1);
    assert_eq!(backend.person("ann").get("/tool-requests").await.items().len(), 1);
    // The end of a run under the same key leaves the other role's requests alone.
    mole.put("/runs/r1", run_of("mole", &task)).await.ok();
    mole.put("/runs/r1", json!({ "status": "cancelled" })).await.ok();
    assert_eq!(scout.get(&path).await.ok()["status"], "pending");
}

#[tokio::test]
async fn no_role_takes_anothers_idempotency_key() {
    let backend = Backend::start().await;
    let (scout, mole, task) = both(&backend).await;
    let reply = |text: &str| json!({ "task_id": task, "content": text, "idempotency_key": "run:1:reply" });
    mole.post("/messages", reply("forged")).await.ok();
    let found = scout.get("/messages?idempotency_key=run:1:reply").await;
    assert!(found.items().is_empty(), "{}", found.text);
    let written = scout.post("/messages", reply("real")).await;
    assert_eq!(written.ok()["agent_role"], "scout");
    assert!(scout.post("/messages", reply("real")).await.replayed());
    let found = scout.get("/messages?idempotency_key=run:1:reply").await;
    assert_eq!(column(found.items(), "content"), ["real"]);
    // Roles share tasks, and so their keys.
    let task = json!({ "title": "One", "idempotency_key": "task:1" });
    let first = scout.post("/tasks", task.clone()).await;
    assert_eq!(mole.post("/tasks", task).await.ok()["id"], first.ok()["id"]);
}

#[tokio::test]
async fn a_lead_acts_on_the_sessions_of_its_user_and_of_no_other() {
    let backend = Backend::with_leads(&["boss"]).await;
    let (scout, mole, task) = both(&backend).await;
    let boss = backend.agent("ann", "boss");
    let lease = boss.post("/sessions/lease", lease_of("scout", &task)).await;
    let path = format!("/sessions/lease/{}", lease.ok()["lease_id"].as_str().unwrap());
    assert_eq!(scout.delete(&path).await.ok()["status"], "freed");
    for (role, caller) in [("mole", &mole), ("Boss", &backend.agent("ann", "Boss"))] {
        let refused = caller.post("/sessions/lease", lease_of("scout", &task)).await;
        assert_eq!(refused.status, 403, "{role}");
    }
    boss.put("/runs/r1", run_of("scout", &task)).await.ok();
    assert_eq!(scout.get("/runs/r1").await.ok()["status"], "running");
    scout.post("/tool-requests", request_of("scout", &task, "r1", "k")).await.ok();
    assert_eq!(boss.get("/tool-requests").await.items().len(), 1);
    let beat = json!({ "user_id": "ann", "role": "scout" });
    boss.post("/heartbeat", beat).await.ok();
    boss.post("/runs/r1/cancel?role=boss", json!({})).await.fails(404, "not_found");
    boss.post("/runs/r1/cancel", json!({})).await.ok();
    let mut others = run_of("scout", &task);
    others["session_key"] = json!("user:bob:scout");
    boss.put("/runs/r2", others).await.fails(400, "invalid_payload");
    backend.agent("bob", "boss").get("/runs/r1").await.fails(404, "not_found");
}

#[tokio::test]
async fn denied_calls_are_in_the_audit_log_and_do_not_fill_it() {
    let backend = Backend::start().await;
    let (_, mole, task) = both(&backend).await;
    for _ in 0..15 {
        mole.post("/sessions/lease", lease_of("scout", &task)).await.fails(403, "role_mismatch");
    }
    let denied = backend.internal().get("/audit?act=access.denied").await;
    assert_eq!(denied.items().len(), 10);
    // What it does otherwise, and what other roles do, is recorded all the same.
    let beat = json!({ "user_id": "ann", "role": "scout" });
    mole.post("/heartbeat", beat.clone()).await.fails(403, "role_mismatch");
    backend.agent("ann", "rat").post("/heartbeat", beat).await.fails(403, "role_mismatch");
    let denied = backend.internal().get("/audit?act=access.denied").await;
    assert_eq!(denied.items().len(), 12);
    let first = &denied.items()[0];
    assert_eq!(first["details"], json!({ "method": "POST", "path": "/api/mission-control/sessions/lease" }));
    assert_eq!((&first["actor"]["type"], &first["actor"]["role"]), (&json!("agent"), &json!("mole")));
    assert_eq!(first["user_id"], "ann");
}

#[tokio::test]
async fn an_agents_events_are_not_those_of_other_roles_runs() {
    let backend = Backend::start().await;
    let (scout, mole, task) = both(&backend).await;
    scout.put("/runs/r1", run_of("scout", &task)).await.ok();
    scout.put("/runs/r1/steps/0", step("secret")).await.ok();
    scout.post("/tool-requests", request_of("scout", &task, "r1", "k")).await.ok();
    mole.put("/runs/r2", run_of("mole", &task)).await.ok();
    mole.task("Last").await;
    for (caller, hears) in [(&scout, true), (&mole, false), (&backend.person("ann"), true)] {
        let heard = until_task(caller, "Last").await;
        for part in ["\"r1\"", "run.step", "tool_request.created"] {
            assert_eq!(heard.contains(part), hears, "{part}: {heard}");
        }
    }
    assert!(until_task(&mole, "Last").await.contains("\"r2\""));
}

/// All events from the first on, up to that of a task.
async fn until_task(caller: &Caller, title: &str) -> String {
    let path = "/api/mission-control/events";
    let request = caller.clone().with("last-event-id", "0").raw(reqwest::Method::GET, path);
    let mut stream = request.send().await.unwrap();
    let mut heard = String::new();
    while !heard.contains(title) {
        heard += &String::from_utf8_lossy(&stream.chunk().await.unwrap().expect("the stream stays open"));
    }
    heard
}

#[tokio::test]
async fn no_role_takes_a_leads_run_key() {
    let backend = Backend::with_leads(&["boss"]).await;
    let (_, mole, task) = both(&backend).await;
    let boss = backend.agent("ann", "boss");
    mole.put("/runs/r1", run_of("mole", &task)).await.ok();
    mole.put("/runs/r1/steps/0", step("forged")).await.ok();
    boss.get("/runs/r1?role=boss").await.fails(404, "not_found");
    assert_eq!(boss.get("/runs/r1").await.ok()["session_key"], "user:ann:mole");
    boss.put("/runs/r1", run_of("boss", &task)).await.ok();
    boss.put("/runs/r1/steps/0", step("real")).await.ok();
    boss.put("/runs/r1", json!({ "status": "completed" })).await.ok();
    let own = boss.get("/runs/r1").await;
    assert_eq!(own.ok()["steps"][0]["payload"], json!({ "text": "real" }));
    assert_eq!(mole.get("/runs/r1").await.ok()["status"], "running");
    // It reaches the others' by their role's name.
    assert_eq!(boss.get("/runs/r1?role=mole").await.ok()["session_key"], "user:ann:mole");
    boss.put("/runs/r1/steps/1?role=mole", step("led")).await.ok();
    boss.put("/runs/r1?role=mole", run_of("boss", &task)).await.fails(400, "invalid_payload");
    boss.put("/runs/r1?role=mole", json!({ "status": "failed" })).await.ok();
    let led = mole.get("/runs/r1").await;
    assert_eq!((&led.ok()["status"], led.body["steps"].as_array().unwrap().len()), (&json!("failed"), 2));
    assert_eq!(boss.get("/runs/r1").await.ok()["steps"].as_array().unwrap().len(), 1);
    // An agent that leads nobody reaches none.
    mole.get("/runs/r1?role=boss").await.ok();
    mole.put("/runs/r1/steps/2?role=boss", step("own")).await.ok();
    assert_eq!(boss.get("/runs/r1").await.ok()["steps"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn usage_is_booked_for_ones_own_role() {
    let backend = Backend::start().await;
    let (scout, mole, _) = both(&backend).await;
    let usage = json!({
        "run_id": "r", "role": "scout", "model": "m", "prompt_tokens": 1, "completion_tokens": 1,
        "cost_usd": 0.5, "estimated": false, "idempotency_key": "k"
    });
    mole.post("/usage", usage.clone()).await.fails(403, "role_mismatch");
    scout.post("/usage", usage).await.ok();
}

#[tokio::test]
async fn a_decision_is_heard_by_the_role_that_asked() {
    let backend = Backend::with_leads(&["boss"]).await;
    let (scout, mole, task) = both(&backend).await;
    scout.put("/runs/r1", run_of("scout", &task)).await.ok();
    let wish = scout.post("/tool-requests", request_of("scout", &task, "r1", "k")).await;
    let path = format!("/tool-requests/{}", wish.ok()["id"].as_str().unwrap());
    backend.person("ann").patch(&path, json!({ "status": "approved" })).await.ok();
    let common = json!({ "user_id": "ann", "session_key": "user:ann:scout", "content": "for all" });
    backend.internal().post("/notifications", common).await.ok();
    mole.task("Last").await;
    let boss = backend.agent("ann", "boss");
    for (caller, hears) in [(&scout, true), (&mole, false), (&boss, true), (&backend.person("ann"), true)] {
        let found = caller.get("/notifications").await;
        assert_eq!(found.items().len(), if hears { 2 } else { 1 }, "{}", found.text);
        assert_eq!(found.items().last().unwrap()["content"], "for all");
        let heard = until_task(caller, "Last").await;
        assert_eq!(heard.contains("\"r1\""), hears, "{heard}");
        assert!(heard.contains("for all"), "{heard}");
    }
}
