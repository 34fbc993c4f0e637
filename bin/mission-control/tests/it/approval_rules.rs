//! Standing rules: written by people, used by agents right before a call, taken back.

use chrono::{Duration, Utc};
use serde_json::{Value, json};

use crate::harness::{Backend, Caller, Home, Options, column};

fn in_days(days: i64) -> Value {
    json!(Utc::now() + Duration::days(days))
}

fn rule() -> Value {
    json!({ "role": "scout", "tool": "refund", "when": { "amount": { "lte": 50 } }, "expires_at": in_days(30) })
}

async fn write(person: &Caller, body: Value) -> String {
    let made = person.post("/approval-rules", body).await;
    made.ok()["id"].as_str().unwrap().to_owned()
}

fn use_of(amount: Value, key: &str) -> Value {
    json!({ "run_key": "r1", "arguments": { "order": "o1", "amount": amount }, "idempotency_key": key })
}

fn uses(id: &str) -> String {
    format!("/approval-rules/{id}/uses")
}

#[tokio::test]
async fn a_rule_is_written_listed_used_and_taken_back() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    let mut body = rule();
    body["idempotency_key"] = json!("k");
    let made = ann.post("/approval-rules", body.clone()).await;
    let made_rule = made.ok().clone();
    assert_eq!(made_rule["author"], json!({ "type": "person", "id": "ann" }));
    assert_eq!(made_rule["when"], json!({ "amount": { "lte": 50 } }));
    assert!(ann.post("/approval-rules", body).await.replayed());
    let id = made_rule["id"].as_str().unwrap();
    for caller in [&agent, &ann] {
        let listed = caller.get("/approval-rules?role=scout&tool=refund").await;
        assert_eq!(column(listed.items(), "id"), [id]);
        assert!(caller.get("/approval-rules?tool=other").await.items().is_empty());
    }
    assert!(backend.agent("ann", "other").get("/approval-rules").await.items().is_empty());
    backend.agent("ann", "other").get("/approval-rules?role=scout").await.fails(403, "role_mismatch");
    assert!(backend.person("bob").get("/approval-rules").await.items().is_empty());

    let used = agent.post(&uses(id), use_of(json!(50), "u1")).await;
    assert_eq!(used.ok(), &json!({ "rule_id": id, "uses": 1 }));
    let audited = backend.internal().get("/audit?act=approval_rule.used").await;
    assert_eq!(audited.items()[0]["details"]["run_key"], "r1");

    let path = format!("/approval-rules/{id}");
    agent.delete(&path).await.fails(403, "forbidden");
    backend.person("bob").delete(&path).await.fails(404, "not_found");
    for _ in 0..2 {
        assert_eq!(ann.delete(&path).await.status, 204);
    }
    assert!(agent.get("/approval-rules").await.items().is_empty());
    let void = agent.post(&uses(id), use_of(json!(1), "u2")).await;
    void.fails(409, "rule_void");
    assert_eq!(void.body["details"]["reason"], "revoked");
    // The use before counts, and its repeat is answered as it was.
    let again = agent.post(&uses(id), use_of(json!(50), "u1")).await;
    assert!(again.replayed());
    assert_eq!(again.ok(), used.ok());
    agent.post(&uses(id), use_of(json!(2), "u1")).await.fails(409, "idempotency_conflict");
}

#[tokio::test]
async fn a_call_that_does_not_fit_is_no_use() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    let id = write(&ann, rule()).await;
    for amount in [json!(51), json!("5"), json!(null)] {
        let refused = agent.post(&uses(&id), use_of(amount, "u")).await;
        refused.fails(400, "arguments_mismatch");
        let why = refused.body["details"]["errors"][0].as_str().unwrap().to_owned();
        assert!(why.starts_with("amount: "), "{why}");
    }
    let without = json!({ "run_key": "r1", "arguments": {}, "idempotency_key": "u" });
    agent.post(&uses(&id), without).await.fails(400, "arguments_mismatch");
    assert_eq!(agent.get("/approval-rules").await.items()[0]["uses"], 0);
    backend.agent("ann", "other").post(&uses(&id), use_of(json!(1), "u")).await.fails(404, "not_found");
    backend.agent("bob", "scout").post(&uses(&id), use_of(json!(1), "u")).await.fails(404, "not_found");
    ann.post(&uses(&id), use_of(json!(1), "u")).await.fails(403, "forbidden");
    for field in ["run_key", "arguments", "idempotency_key"] {
        let mut body = use_of(json!(1), "u");
        body.as_object_mut().unwrap().remove(field);
        agent.post(&uses(&id), body).await.fails(400, "invalid_payload");
    }
}

#[tokio::test]
async fn a_rule_is_used_so_often_and_no_more_by_however_many_at_once() {
    let backend = Backend::start().await;
    let ann = backend.person("ann");
    let mut body = rule();
    body["max_uses"] = json!(5);
    let id = write(&ann, body).await;
    let calls: Vec<_> = (0..20)
        .map(|n| {
            let (agent, path) = (backend.agent("ann", "scout"), uses(&id));
            // Each is sent twice.
            let key = format!("u{}", n / 2);
            tokio::spawn(async move { (key.clone(), agent.post(&path, use_of(json!(1), &key)).await) })
        })
        .collect();
    let mut made = std::collections::BTreeSet::new();
    for call in calls {
        let (key, answer) = call.await.unwrap();
        if answer.status == 200 {
            made.insert(key);
        } else {
            answer.fails(409, "rule_void");
            assert_eq!(answer.body["details"]["reason"], "used_up");
        }
    }
    assert_eq!(made.len(), 5);
    assert!(ann.get("/approval-rules").await.items().is_empty());
}

#[tokio::test]
async fn a_rule_holds_until_its_time_and_no_longer() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    let mut body = rule();
    body["expires_at"] = json!(Utc::now() + Duration::milliseconds(5_000));
    let id = write(&ann, body).await;
    agent.post(&uses(&id), use_of(json!(1), "u1")).await.ok();
    tokio::time::sleep(std::time::Duration::from_millis(5_100)).await;
    let void = agent.post(&uses(&id), use_of(json!(1), "u2")).await;
    void.fails(409, "rule_void");
    assert_eq!(void.body["details"]["reason"], "expired");
    assert!(agent.post(&uses(&id), use_of(json!(1), "u1")).await.replayed());
    assert!(agent.get("/approval-rules").await.items().is_empty());
}

#[tokio::test]
async fn what_is_no_rule_is_refused() {
    let backend = Backend::start().await;
    let ann = backend.person("ann");
    for (field, value) in [
        ("role", json!("")),
        ("role", json!("a b")),
        ("tool", json!(" ")),
        ("when", json!({ "amount": { "gtt": 1 } })),
        ("when", json!({ "amount": 5 })),
        ("when", json!([])),
        ("expires_at", json!("2020-01-01T00:00:00Z")),
        ("expires_at", in_days(367)),
        ("expires_at", json!("tomorrow")),
        ("max_uses", json!(0)),
        ("parameters_sha256", json!("x")),
    ] {
        let mut body = rule();
        body[field] = value.clone();
        let refused = ann.post("/approval-rules", body).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"][field].is_string(), "{field} {value}: {}", refused.text);
    }
    for field in ["role", "tool", "expires_at"] {
        let mut body = rule();
        body.as_object_mut().unwrap().remove(field);
        ann.post("/approval-rules", body).await.fails(400, "invalid_payload");
    }
    backend.agent("ann", "scout").post("/approval-rules", rule()).await.fails(403, "forbidden");
    assert!(ann.get("/approval-rules").await.items().is_empty());
    let mut year = rule();
    year["expires_at"] = in_days(365);
    write(&ann, year).await;
}

#[tokio::test]
async fn a_user_has_only_so_many_rules_in_force() {
    let options = Options { rules_per_user: 2, ..Options::default() };
    let backend = Backend::start_in(Home::new(), options).await;
    let ann = backend.person("ann");
    let first = write(&ann, rule()).await;
    write(&ann, rule()).await;
    ann.post("/approval-rules", rule()).await.fails(409, "too_many_rules");
    write(&backend.person("bob"), rule()).await;
    assert_eq!(ann.delete(&format!("/approval-rules/{first}")).await.status, 204);
    write(&ann, rule()).await;
}

#[tokio::test]
async fn the_client_sees_all_rules_however_many_pages_they_are() {
    let options = Options { rules_per_user: 1_000, ..Options::default() };
    let backend = Backend::start_in(Home::new(), options).await;
    let ann = backend.person("ann");
    for _ in 0..201 {
        write(&ann, rule()).await;
    }
    let client = backend.client("ann", "scout");
    assert_eq!(client.approval_rules("scout", "refund").await.unwrap().len(), 201);
    assert!(client.approval_rules("scout", "other").await.unwrap().is_empty());
}

/// The run `r1` of a role hands on to a child of another role.
async fn hand_on(lead: &Caller, helper: &Caller, task: &str, (child, role, of): (&str, &str, &str)) {
    let run = |role: &str, parent: Option<&str>| {
        json!({ "session_key": format!("user:ann:{role}"), "task_id": task, "status": "running", "parent_run_key": parent })
    };
    lead.put("/runs/r1", run(role, None)).await.ok();
    let children = json!([{ "at": 2, "run_key": child, "role": of }]);
    let step = json!({ "kind": "calling", "payload": { "calls": [], "run_id": "r", "children": children } });
    lead.put("/runs/r1/steps/3", step).await.ok();
    helper.put(&format!("/runs/{child}"), run(of, Some("r1"))).await.ok();
}

#[tokio::test]
async fn a_decision_about_a_run_below_makes_a_rule_of_its_role() {
    let backend = Backend::start().await;
    let (lead, ann) = (backend.agent("ann", "lead"), backend.person("ann"));
    let helper = backend.agent("ann", "help_er");
    let task = lead.task("Work").await;
    let child = "c".repeat(64);
    let parameters = json!({ "type": "object", "properties": { "amount": { "type": "number" } } });
    let ask = async |key: &str, asker: &str| {
        let call = json!({
            "task_id": task, "run_key": "r1", "session_key": "user:ann:lead", "tool": "refund",
            "arguments": { "amount": 40 }, "idempotency_key": key, "parameters": parameters,
            "asked_by": { "run_key": asker, "role": "help_er" }
        });
        let asked = lead.post("/tool-requests", call).await;
        format!("/tool-requests/{}/decision", asked.ok()["id"].as_str().unwrap())
    };
    let run = json!({ "session_key": "user:ann:help_er", "task_id": task, "status": "running" });
    let stranger = "e".repeat(64);
    helper.put(&format!("/runs/{stranger}"), run).await.ok();
    hand_on(&lead, &helper, &task, (&child, "lead", "help_er")).await;
    let decision = json!({ "status": "approved", "rule": { "expires_at": in_days(1) } });
    // A run of that role that is not below the one that waits.
    ann.post(&ask("k0", &stranger).await, decision.clone()).await.fails(400, "invalid_payload");
    let of_nobody = ask("k1", &"d".repeat(64)).await;
    ann.post(&of_nobody, decision.clone()).await.fails(400, "invalid_payload");
    ann.post(&ask("k2", &child).await, decision).await.ok();
    assert!(lead.get("/approval-rules?role=lead").await.items().is_empty());
    let listed = helper.get("/approval-rules?role=help_er&tool=refund").await;
    let made = &listed.items()[0];
    assert_eq!((listed.items().len(), &made["role"]), (1, &json!("help_er")));
    assert!(made["parameters_sha256"].is_string(), "{made}");
    // One that is written later is bound to what was seen of that role.
    let later = json!({ "role": "help_er", "tool": "refund", "expires_at": in_days(1) });
    let later = ann.post("/approval-rules", later).await;
    assert_eq!(later.ok()["parameters_sha256"], made["parameters_sha256"]);
    let of_lead = json!({ "role": "lead", "tool": "refund", "expires_at": in_days(1) });
    let of_lead = ann.post("/approval-rules", of_lead).await;
    assert!(of_lead.ok().get("parameters_sha256").is_none_or(Value::is_null));
}

#[tokio::test]
async fn a_decision_makes_a_rule_that_is_bound_to_the_tool_as_it_was_seen() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    let task = agent.task("Work").await;
    let call = json!({
        "task_id": task, "run_key": "r1", "session_key": "user:ann:scout", "tool": "refund",
        "arguments": { "amount": 40 }, "idempotency_key": "k",
        "parameters": { "type": "object", "properties": { "amount": { "type": "number" } } }
    });
    let asked = agent.post("/tool-requests", call).await;
    let path = format!("/tool-requests/{}", asked.ok()["id"].as_str().unwrap());
    let decision = format!("{path}/decision");
    for wrong in [
        json!({ "tool": "other", "expires_at": in_days(1) }),
        json!({ "role": "other", "expires_at": in_days(1) }),
        json!({ "expires_at": in_days(400) }),
        json!({ "expires_at": in_days(1), "when": { "amount": { "x": 1 } } }),
        json!({}),
    ] {
        let body = json!({ "status": "approved", "rule": wrong });
        ann.post(&decision, body).await.fails(400, "invalid_payload");
    }
    assert_eq!(agent.get(&path).await.ok()["status"], "pending");
    let with = json!({ "when": { "amount": { "lte": 50 } }, "expires_at": in_days(1), "max_uses": 3 });
    let by_key = ann.clone().with("idempotency-key", "d");
    let decided = by_key.post(&decision, json!({ "status": "approved", "rule": with })).await;
    assert_eq!(decided.ok()["status"], "approved");
    assert_eq!(by_key.post(&decision, json!({ "status": "approved", "rule": with })).await.ok(), decided.ok());
    let listed = agent.get("/approval-rules?role=scout&tool=refund").await;
    assert_eq!(listed.items().len(), 1);
    let made = &listed.items()[0];
    assert_eq!(made["id"], decided.ok()["rule_id"]);
    assert_eq!(made["tool_request_id"], decided.ok()["id"]);
    // echo -n '{"properties":{"amount":{"type":"number"}},"type":"object"}' | sha256sum
    let hash = "11c7cccdfb932bd814ea51aaf1fe11c39b2e0eb2b11921b7e1bb5bfa055eaad0";
    assert_eq!(made["parameters_sha256"], hash);
    let id = made["id"].as_str().unwrap();
    let mut other = use_of(json!(1), "u1");
    other["parameters_sha256"] = json!("0".repeat(64));
    let void = agent.post(&uses(id), other).await;
    void.fails(409, "rule_void");
    assert_eq!(void.body["details"]["reason"], "schema");
    let mut same = use_of(json!(1), "u1");
    same["parameters_sha256"] = json!(hash);
    agent.post(&uses(id), same).await.ok();
    // One that is written later is bound to what was seen last; one for a tool that was never seen, by its first use.
    let later = ann.post("/approval-rules", rule()).await;
    assert_eq!(later.ok()["parameters_sha256"], hash);
    let mut unseen = rule();
    unseen["tool"] = json!("unseen");
    let id = write(&ann, unseen).await;
    let mut first = use_of(json!(1), "u1");
    first["parameters_sha256"] = json!("1".repeat(64));
    agent.post(&uses(&id), first).await.ok();
    let mut second = use_of(json!(1), "u2");
    second["parameters_sha256"] = json!("2".repeat(64));
    agent.post(&uses(&id), second).await.fails(409, "rule_void");
}

#[tokio::test]
async fn a_rule_that_is_made_for_a_run_below_another_one_is_its_own_role_s() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    let task = agent.task("Work").await;
    let call = json!({
        "task_id": task, "run_key": "r1", "session_key": "user:ann:scout", "tool": "refund",
        "arguments": { "amount": 40 }, "idempotency_key": "k", "parameters": { "type": "object" },
        "asked_by": { "run_key": "c1", "role": "writer" }
    });
    let asked = agent.post("/tool-requests", call).await;
    let decision = format!("/tool-requests/{}/decision", asked.ok()["id"].as_str().unwrap());
    hand_on(&agent, &backend.agent("ann", "writer"), &task, ("c1", "scout", "writer")).await;
    let rule = |role: &str| json!({ "status": "approved", "rule": { "role": role, "expires_at": in_days(1) } });
    ann.post(&decision, rule("scout")).await.fails(400, "invalid_payload");
    ann.post(&decision, rule("writer")).await.ok();
    assert!(agent.get("/approval-rules").await.items().is_empty());
    let listed = backend.agent("ann", "writer").get("/approval-rules?role=writer&tool=refund").await;
    assert_eq!(listed.items().len(), 1);
    assert!(listed.items()[0]["parameters_sha256"].is_string());
}

#[tokio::test]
async fn a_decision_binds_its_rule_to_what_is_known_of_the_tool() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    let task = agent.task("Work").await;
    let ask = async |key: &str, more: Value| {
        let mut call = json!({
            "task_id": task, "run_key": "r1", "session_key": "user:ann:scout", "tool": "refund",
            "arguments": {}, "idempotency_key": key
        });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let asked = agent.post("/tool-requests", call).await;
        format!("/tool-requests/{}/decision", asked.ok()["id"].as_str().unwrap())
    };
    let decision = json!({ "status": "approved", "rule": { "expires_at": in_days(1) } });
    // Nothing is said of this tool with the call, and something with another one.
    let untold = ask("k1", json!({})).await;
    ask("k2", json!({ "parameters": { "type": "object" } })).await;
    ann.post(&untold, decision).await.ok();
    let listed = agent.get("/approval-rules").await;
    assert!(listed.items()[0]["parameters_sha256"].is_string(), "{}", listed.text);
}

#[tokio::test]
async fn a_cancelled_run_uses_no_rule() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    let task = agent.task("Work").await;
    let id = write(&ann, rule()).await;
    let run = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "running" });
    agent.put("/runs/r1", run).await.ok();
    agent.post("/runs/r1/cancel", json!({})).await.ok();
    agent.put("/runs/r1", json!({ "status": "interrupted" })).await.ok();
    agent.post(&uses(&id), use_of(json!(1), "u")).await.fails(409, "run_cancelled");
}
