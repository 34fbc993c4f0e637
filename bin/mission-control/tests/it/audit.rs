//! The audit log: who did what, in a chain that nobody changes.

use mc_client::audit::{AuditEntry, AuditObject, FIRST_PREV, RecordAct, hash_of};
use serde_json::{Value, json};
use wombat_mission_control::audit::{AuditError, export, verify, verify_file};

use crate::harness::{Backend, Caller, column, on_postgres};

/// Something of everything that is recorded; the id of an approved tool request.
async fn act(backend: &Backend) -> String {
    let scout = backend.agent("ann", "scout");
    let task = scout.task("Work").await;
    let mut ids = Vec::new();
    for key in ["1", "2", "3"] {
        let run = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "awaiting_approval" });
        scout.put(&format!("/runs/r{key}"), run).await.ok();
        let request = json!({
            "task_id": task, "run_key": format!("r{key}"), "session_key": "user:ann:scout", "tool": "pay",
            "arguments": { "to": "eve" }, "reason": "ann wants it", "idempotency_key": key
        });
        let made = scout.post("/tool-requests", request).await;
        ids.push(made.ok()["id"].as_str().unwrap().to_owned());
    }
    let ann = backend.person("ann").with("x-trace-id", "trace-1");
    for (id, status) in [(&ids[0], "approved"), (&ids[1], "denied")] {
        let decision = json!({ "status": status, "note": "says ann" });
        ann.patch(&format!("/tool-requests/{id}"), decision).await.ok();
    }
    scout.post("/runs/r3/cancel", json!({})).await.ok();
    scout.post("/runs/r3/cancel", json!({})).await.ok();
    let internal = backend.internal();
    internal.put("/budget", json!({ "user_id": "bob", "limit_usd": 5.5, "period": "day" })).await.ok();
    let note = json!({ "user_id": "bob", "session_key": "user:bob:scout", "content": "x" });
    let note = internal.post("/notifications", note).await.ok()["id"].as_str().unwrap().to_owned();
    let path = |verb: &str| format!("/dispatch/notifications/{note}/{verb}?user_id=bob");
    let dead = json!({ "error": "e", "attempts": 1, "dead": true });
    internal.post(&path("fail"), dead).await.ok();
    internal.post(&path("requeue"), json!({})).await.ok();
    internal.post(&path("requeue"), json!({})).await.ok();
    ids.swap_remove(0)
}

async fn entries(caller: &Caller, query: &str) -> Vec<Value> {
    caller.get(&format!("/audit?limit=200{query}")).await.items().to_vec()
}

#[tokio::test]
async fn each_act_is_recorded_once_in_a_chain() {
    let backend = Backend::start().await;
    let request = act(&backend).await;
    let all = entries(&backend.internal(), "").await;
    assert_eq!(
        column(&all, "act"),
        [
            "backend.started",
            "tool_request.created",
            "tool_request.created",
            "tool_request.created",
            "tool_request.approved",
            "tool_request.denied",
            "run.cancelled",
            "tool_request.cancelled",
            "budget.set",
            "notification.requeued",
        ]
    );
    let mut prev = FIRST_PREV.to_owned();
    for (place, entry) in all.iter().enumerate() {
        assert_eq!(entry["seq"], place + 1);
        assert_eq!(entry["prev"], prev);
        prev = hash_of(&prev, entry).unwrap();
        assert_eq!(entry["hash"], prev);
    }
    let approved = &all[4];
    assert_eq!(approved["object"], json!({ "type": "tool_request", "id": request }));
    assert_eq!(approved["details"], json!({ "role": "scout", "run_key": "r1", "tool": "pay" }));
    assert_eq!((&approved["user_id"], &approved["reason"]), (&json!("ann"), &json!("says ann")));
    assert_eq!((&approved["actor"]["type"], &approved["trace_id"]), (&json!("person"), &json!("trace-1")));
    assert_eq!(approved["actor"]["subject"], approved["subject"]);
    assert!(approved.get("actor_user_id").is_none());
    assert_eq!(all[1]["actor"]["role"], "scout");
    assert_eq!(all[8]["details"], json!({ "limit_usd": 5.5, "period": "day" }));
    assert_eq!((&all[8]["actor"]["type"], &all[8]["user_id"]), (&json!("service"), &json!("bob")));
    assert_ne!(all[8]["subject"], approved["subject"]);
}

#[tokio::test]
async fn what_is_hashed_names_no_user_and_says_no_words_of_theirs() {
    let backend = Backend::start().await;
    act(&backend).await;
    for mut entry in entries(&backend.internal(), "").await {
        for name in ["user_id", "actor_user_id", "reason"] {
            entry.as_object_mut().unwrap().remove(name);
        }
        let text = entry.to_string();
        assert!(!text.contains("ann") && !text.contains("bob"), "{text}");
    }
}

#[tokio::test]
async fn a_refused_act_leaves_no_entry() {
    let backend = Backend::start().await;
    let request = act(&backend).await;
    let before = entries(&backend.internal(), "").await.len();
    let ann = backend.person("ann");
    let path = format!("/tool-requests/{request}");
    ann.patch(&path, json!({ "status": "denied" })).await.fails(409, "already_decided");
    backend.person("bob").patch(&path, json!({ "status": "denied" })).await.fails(404, "not_found");
    ann.post("/runs/r9/cancel", json!({})).await.fails(404, "not_found");
    assert_eq!(entries(&backend.internal(), "").await.len(), before);
}

#[tokio::test]
async fn the_log_is_filtered_and_paged_oldest_first() {
    let backend = Backend::start().await;
    act(&backend).await;
    let internal = backend.internal();
    assert_eq!(entries(&internal, "&act=tool_request.created").await.len(), 3);
    assert_eq!(entries(&internal, "&act=tool_request.*").await.len(), 6);
    assert!(entries(&internal, "&act=tool_request").await.is_empty());
    assert_eq!(entries(&internal, "&user_id=bob").await.len(), 2);
    assert_eq!(entries(&internal, "&actor_user_id=ann").await.len(), 7);
    assert!(entries(&internal, "&user_id=nobody").await.is_empty());
    let all = entries(&internal, "").await;
    let third = all[2]["at"].as_str().unwrap();
    assert_eq!(entries(&internal, &format!("&from={third}")).await[0]["seq"], 3);
    assert_eq!(entries(&internal, &format!("&to={third}")).await.len(), 2);
    internal.get("/audit?from=yesterday").await.fails(400, "invalid_payload");
    internal.get("/audit?user_id=a:b").await.fails(400, "invalid_payload");
    let page = internal.get("/audit?limit=4").await;
    assert_eq!(page.items(), &all[..4]);
    let next = page.body["next_cursor"].as_str().unwrap();
    assert_eq!(internal.get(&format!("/audit?limit=200&cursor={next}")).await.items(), &all[4..]);
}

#[tokio::test]
async fn a_person_reads_what_concerns_them_and_an_agent_nothing() {
    let backend = Backend::start().await;
    act(&backend).await;
    let bob = backend.person("bob");
    assert_eq!(column(&entries(&bob, "").await, "act"), ["budget.set", "notification.requeued"]);
    bob.get("/audit?user_id=ann").await.fails(404, "not_found");
    assert!(entries(&bob, "&actor_user_id=ann").await.is_empty());
    backend.agent("ann", "scout").get("/audit").await.fails(403, "forbidden");
    backend.nobody().get("/audit").await.fails(401, "unauthorized");
}

#[tokio::test]
async fn a_daemon_records_its_own_acts_only() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let new = |act: &str| json!({ "act": act, "details": { "settings_digest": "ab" } });
    let made = agent.post("/audit", new("daemon.started")).await;
    assert_eq!((&made.ok()["act"], &made.ok()["user_id"]), (&json!("daemon.started"), &json!("ann")));
    for act in ["daemon", "daemon.", "Daemon.started", "daemon.Started", "daemon.a.b", "login.succeeded"] {
        agent.post("/audit", new(act)).await.fails(400, "invalid_payload");
    }
    for caller in [backend.person("ann"), backend.internal()] {
        caller.post("/audit", new("daemon.started")).await.fails(403, "forbidden");
    }
    for details in [json!({ "n": 9_007_199_254_740_993_u64 }), json!({ "t": "x".repeat(8_200) })] {
        let refused = agent.post("/audit", json!({ "act": "daemon.started", "details": details })).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"]["details"].is_string(), "{}", refused.text);
    }
    let keyed = json!({ "act": "daemon.journal_rejected", "idempotency_key": "k" });
    agent.post("/audit", keyed.clone()).await.ok();
    assert!(agent.post("/audit", keyed).await.replayed());
    for method in ["PUT", "PATCH", "DELETE"] {
        let changed = backend.internal().raw(method.parse().unwrap(), "/api/mission-control/audit");
        crate::harness::send(changed).await.fails(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn the_client_records_an_act() {
    let backend = Backend::start().await;
    let client = backend.client("ann", "scout");
    let act = RecordAct {
        act: "daemon.journal_rejected".into(),
        object: Some(AuditObject { kind: "run".into(), id: "r1".into() }),
        details: json!({ "step": 1, "why": "mac" }).as_object().unwrap().clone(),
        reason: Some("a step does not verify".into()),
        ..RecordAct::default()
    };
    let entry = client.record_act(&act).await.unwrap();
    assert_eq!(entry.hashed().unwrap(), entry.hash);
    let found: AuditEntry =
        serde_json::from_value(entries(&backend.internal(), "&act=daemon.*").await[0].clone()).unwrap();
    assert_eq!(found, entry);
}

#[tokio::test]
async fn a_role_has_sixty_acts_of_its_daemon_an_hour_and_silences_none_of_others() {
    let backend = Backend::start().await;
    let new = |act: &str| json!({ "act": act, "details": {} });
    let mole = backend.agent("ann", "mole");
    for place in 0..60 {
        mole.post("/audit", new(&format!("daemon.noise_{place}"))).await.ok();
    }
    let refused = mole.post("/audit", new("daemon.noise")).await;
    refused.fails(429, "audit_limit");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=3_601).contains(&wait), "{wait}");
    mole.post("/audit", new("daemon.noise")).await.fails(429, "audit_limit");
    let limited = entries(&backend.internal(), "&act=audit.limited").await;
    assert_eq!(limited.len(), 1, "{limited:?}");
    assert_eq!((&limited[0]["actor"]["role"], &limited[0]["user_id"]), (&json!("mole"), &json!("ann")));
    // What daemons record has a limit of its own, and so has each role.
    mole.post("/audit", new("daemon.journal_rejected")).await.ok();
    backend.agent("ann", "scout").post("/audit", new("daemon.noise")).await.ok();
    backend.agent("bob", "mole").post("/audit", new("daemon.noise")).await.ok();
}

#[tokio::test]
async fn the_database_refuses_to_change_the_log() {
    let backend = Backend::start().await;
    act(&backend).await;
    let mut database = backend.database().await;
    let mut statements = vec![
        "UPDATE audit SET act = 'x'",
        "UPDATE audit SET seq = 99 WHERE seq = 10",
        "DELETE FROM audit WHERE seq = 10",
        "UPDATE audit_subjects SET user_id = 'eve'",
        "DELETE FROM audit_subjects",
        "UPDATE audit_reasons SET reason = 'x'",
        "DELETE FROM audit_reasons",
    ];
    match on_postgres() {
        true => statements.extend(["TRUNCATE audit CASCADE", "TRUNCATE audit_subjects"]),
        false => statements.extend([
            "INSERT OR REPLACE INTO audit SELECT seq, '2020', actor_type, actor_subject, actor_role, act, subject, \
               object_type, object_id, details, trace_id, prev, hash FROM audit WHERE seq = 10",
            "INSERT OR REPLACE INTO audit_subjects SELECT 'eve', subject FROM audit_subjects",
        ]),
    }
    for statement in statements {
        let error = sqlx::query(statement).execute(&mut database).await.unwrap_err().to_string();
        assert!(error.contains("the audit log is append-only"), "{statement}: {error}");
    }
    verify(&backend.home.database(), None).await.unwrap();
}

#[tokio::test]
async fn the_chain_goes_on_after_a_restart_and_with_several_instances() {
    let backend = Backend::start().await;
    act(&backend).await;
    let backend = backend.restart().await;
    let agent = backend.agent("ann", "scout");
    if on_postgres() {
        let another = backend.another().await;
        let other = another.agent("bob", "scout");
        let new = || json!({ "act": "daemon.started", "details": {} });
        let (one, two) = (agent.clone(), other.clone());
        let writes = (0..20).map(|place| {
            let caller = if place % 2 == 0 { one.clone() } else { two.clone() };
            async move { caller.post("/audit", new()).await.ok().clone() }
        });
        futures_join(writes).await;
        another.stop().await;
    }
    let all = entries(&backend.internal(), "&act=backend.started").await;
    assert!(all.len() >= 2);
    verify(&backend.home.database(), None).await.unwrap();
}

async fn futures_join(writes: impl Iterator<Item = impl Future<Output = Value> + Send + 'static>) {
    let tasks: Vec<_> = writes.map(tokio::spawn).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// The exported lines of a backend, and a folder for files.
async fn exported(backend: &Backend) -> (Vec<String>, tempfile::TempDir) {
    let mut out = Vec::new();
    export(&backend.home.database(), &mut out).await.unwrap();
    let lines = String::from_utf8(out).unwrap().lines().map(str::to_owned).collect();
    (lines, tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn an_export_verifies_and_every_change_to_it_is_found() {
    let backend = Backend::start().await;
    act(&backend).await;
    let (lines, dir) = exported(&backend).await;
    let file = dir.path().join("audit.ndjson");
    let check = |lines: &[String], head: Option<&str>| {
        std::fs::write(&file, lines.join("\n")).unwrap();
        verify_file(&file, head)
    };
    let whole = check(&lines, None).unwrap();
    assert_eq!(whole, verify(&backend.home.database(), Some(&whole.head)).await.unwrap());
    assert_eq!(whole.last, 10);
    assert!(matches!(check(&lines, Some(FIRST_PREV)), Err(AuditError::OtherHead { .. })));
    assert!(matches!(check(&lines[..9], Some(&whole.head)), Err(AuditError::OtherHead { .. })));
    assert!(matches!(check(&[], None), Err(AuditError::Empty(_))));
    // A head that was kept: the log has grown since.
    let kept = check(&lines[..9], None).unwrap().head;
    for kept in [kept.to_ascii_uppercase(), kept] {
        assert_eq!(check(&lines, Some(&kept)).unwrap(), whole);
        assert!(matches!(check(&lines[..8], Some(&kept)), Err(AuditError::OtherHead { .. })));
    }

    let edit = |place: usize, edit: &dyn Fn(&mut Value)| {
        let mut entry: Value = serde_json::from_str(&lines[place]).unwrap();
        edit(&mut entry);
        let mut changed = lines.clone();
        changed[place] = entry.to_string();
        changed
    };
    let mut twice = lines.clone();
    twice[4] = lines[4].replacen('{', "{\"act\":\"tool_request.denied\",", 1);
    for (changed, seq) in [
        (edit(3, &|entry| entry["act"] = json!("login.succeeded")), 4),
        (edit(0, &|entry| entry["at"] = json!("2020-01-01T00:00:00Z")), 1),
        (edit(4, &|entry| entry["details"]["tool"] = json!("look")), 5),
        (edit(4, &|entry| entry["extra"] = json!(1)), 5),
        (edit(4, &|entry| entry["prev"] = json!(FIRST_PREV)), 5),
        (edit(4, &|entry| entry["seq"] = json!(6)), 5),
        (edit(4, &|entry| drop(entry.as_object_mut().unwrap().remove("actor"))), 5),
        // Made anew with the right hash: then the next one does not follow.
        (
            edit(4, &|entry| {
                entry["act"] = json!("tool_request.denied");
                entry["hash"] = json!(hash_of(entry["prev"].as_str().unwrap(), entry).unwrap());
            }),
            6,
        ),
        (twice, 5),
        ([&lines[..4], &lines[5..]].concat(), 5),
        ([&lines[..5], &lines[4..]].concat(), 6),
        (lines[1..].to_vec(), 1),
        ([&lines[..3], &["no json".to_owned()], &lines[4..]].concat(), 4),
    ] {
        match check(&changed, None) {
            Err(AuditError::Broken { seq: found, .. }) => assert_eq!(found, seq, "{changed:#?}"),
            other => panic!("{other:?}: {changed:#?}"),
        }
    }
    // What is kept beside the chain can be erased from it.
    let erased = edit(4, &|entry| {
        entry.as_object_mut().unwrap().retain(|name, _| name != "user_id" && name != "reason");
    });
    assert_eq!(check(&erased, Some(&whole.head)).unwrap(), whole);
}

#[tokio::test]
async fn a_log_written_anew_cannot_claim_a_head_that_was_kept() {
    let backend = Backend::start().await;
    act(&backend).await;
    let (lines, dir) = exported(&backend).await;
    let file = dir.path().join("audit.ndjson");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let whole = verify_file(&file, None).unwrap();
    let forged = |first: usize, through: i64| {
        let mut prev = FIRST_PREV.to_owned();
        let mut written = Vec::new();
        for (place, line) in lines.iter().enumerate().skip(first) {
            let mut entry: Value = serde_json::from_str(line).unwrap();
            if place == first + 1 {
                entry["act"] = json!("data.expired");
                entry["actor"]["type"] = json!("system");
                entry["details"] = json!({ "through": through, "hash": whole.head });
            }
            if place == first && first > 0 {
                prev.clone_from(&whole.head);
            }
            entry["prev"] = json!(prev);
            prev = hash_of(&prev, &entry).unwrap();
            entry["hash"] = json!(prev);
            written.push(entry.to_string());
        }
        std::fs::write(&file, written.join("\n")).unwrap();
        verify_file(&file, Some(&whole.head))
    };
    // All entries are there, and one says that an entry with the head has expired.
    for through in [0, 5, 10, 99] {
        let told = forged(0, through);
        assert!(matches!(told, Err(AuditError::OtherHead { expired: 0, .. })), "{through}: {told:?}");
    }
    // The log begins later, after an entry that is said to have the head.
    assert!(matches!(forged(4, 4), Err(AuditError::HeadExpired { first: 5, seq: 10, .. })));
    for through in [3, 5] {
        assert!(matches!(forged(4, through), Err(AuditError::Broken { seq: 1, .. })));
    }
}

#[tokio::test]
async fn a_row_that_was_changed_in_the_database_is_found() {
    let backend = Backend::start().await;
    act(&backend).await;
    let mut database = backend.database().await;
    let undo = match on_postgres() {
        true => "ALTER TABLE audit DISABLE TRIGGER ALL",
        false => "DROP TRIGGER audit_no_update",
    };
    for statement in [undo, "UPDATE audit SET details = '{\"limit_usd\":9,\"period\":\"day\"}' WHERE seq = 9"] {
        sqlx::query(statement).execute(&mut database).await.unwrap();
    }
    let broken = verify(&backend.home.database(), None).await.unwrap_err();
    assert!(matches!(broken, AuditError::Broken { seq: 9, .. }), "{broken}");
    assert!(broken.to_string().starts_with("the audit log is broken at seq 9: "), "{broken}");
}
