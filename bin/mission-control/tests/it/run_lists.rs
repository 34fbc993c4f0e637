//! Lists of runs, what they come to together, and what people think of them.

use serde_json::{Value, json};

use crate::harness::{Backend, Caller, column};

/// A run of a role; what it said at its end.
async fn ran(agent: &Caller, key: &str, (user, role): (&str, &str), end: Value) {
    let task = agent.task(key).await;
    let begun = json!({
        "session_key": format!("user:{user}:{role}"), "task_id": task, "status": "running",
        "workspace_digest": "d1", "model": "m1", "provider": "offline", "asked": format!("please do {key}")
    });
    agent.put(&format!("/runs/{key}"), begun).await.ok();
    let step = json!({ "kind": "llm", "payload": { "n": 1 } });
    for _ in 0..2 {
        agent.put(&format!("/runs/{key}/steps/0"), step.clone()).await.ok();
    }
    agent.put(&format!("/runs/{key}"), end).await.ok();
}

fn completed(reply: &str) -> Value {
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2 });
    json!({ "status": "completed", "message_id": format!("m-{reply}"), "reply": reply, "usage": usage, "cost_usd": 0.5 })
}

async fn keys(caller: &Caller, query: &str) -> Vec<String> {
    let list = caller.get(&format!("/runs?{query}")).await;
    column(list.items(), "run_key").into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_list_shows_what_the_daemon_has_told() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    ran(&agent, "r1", ("ann", "scout"), completed(&"ü".repeat(300))).await;
    let failed = json!({ "status": "failed", "error": "timeout", "model": "m2", "workspace": "beta", "profile_digest": "p1" });
    ran(&agent, "r2", ("ann", "scout"), failed).await;
    let list = agent.get("/runs").await;
    let (second, first) = (&list.items()[0], &list.items()[1]);
    assert_eq!(first["run_key"], "r1");
    for (name, value) in [
        ("status", json!("completed")),
        ("user_id", json!("ann")),
        ("role", json!("scout")),
        ("model", json!("m1")),
        ("provider", json!("offline")),
        ("workspace_digest", json!("d1")),
        ("step_count", json!(1)),
        ("usage", json!({ "prompt_tokens": 3, "completion_tokens": 2 })),
        ("cost_usd", json!(0.5)),
        ("asked", json!("please do r1")),
        ("reply", json!("ü".repeat(200))),
        ("ratings", json!({ "up": 0, "down": 0 })),
        ("labels", json!([])),
    ] {
        assert_eq!(first[name], value, "{name}");
    }
    assert!(first["started_at"].as_str() <= first["ended_at"].as_str() && first.get("error_code").is_none());
    let of_second = ["error_code", "model", "workspace", "profile_digest"].map(|name| second[name].clone());
    assert_eq!(of_second, ["timeout", "m2", "beta", "p1"].map(|text| json!(text)));
    // A second attempt that goes well has no error, and is not over while it runs.
    agent.put("/runs/r2", json!({ "status": "running" })).await.ok();
    let again = agent.get("/runs?limit=1").await;
    let again = &again.items()[0];
    assert!(again.get("error_code").is_none() && again.get("ended_at").is_none(), "{again}");
    // What is listed is not in the run's further data.
    let run = agent.get("/runs/r1?steps=false").await;
    assert!(run.ok().get("reply").is_none() && run.body.get("asked").is_none(), "{}", run.text);
    assert_eq!(run.body["usage"]["prompt_tokens"], 3);
}

#[tokio::test]
async fn runs_are_found_by_each_of_their_properties() {
    let backend = Backend::with_leads(&["lead"]).await;
    let scout = backend.agent("ann", "scout");
    ran(&scout, "r1", ("ann", "scout"), completed("Paid the bill of Zürich")).await;
    ran(&backend.agent("ann", "lead"), "r2", ("ann", "lead"), json!({ "status": "failed" })).await;
    ran(&backend.agent("bob", "scout"), "r3", ("bob", "scout"), completed("nothing")).await;
    let ann = backend.person("ann");
    for (query, expected) in [
        ("", vec!["r2", "r1"]),
        ("role=scout", vec!["r1"]),
        ("status=failed", vec!["r2"]),
        ("model=m1&digest=d1", vec!["r2", "r1"]),
        ("digest=other", vec![]),
        ("from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00%2B02:00", vec!["r2", "r1"]),
        ("from=2100-01-01T00:00:00Z", vec![]),
        ("q=bill%20ZURICH%20please", vec!["r1"]),
        ("q=bill%20paris", vec![]),
        ("q=%22%3B", vec![]),
        ("q=do", vec!["r2", "r1"]),
        ("rating=none&limit=1", vec!["r2"]),
    ] {
        assert_eq!(keys(&ann, query).await, expected, "{query}");
    }
    let page = ann.get("/runs?limit=1").await;
    let cursor = page.body["next_cursor"].as_str().unwrap();
    assert_eq!(keys(&ann, &format!("cursor={cursor}")).await, ["r1"]);
    assert_eq!(keys(&scout, "").await, ["r1"]);
    assert_eq!(keys(&backend.agent("ann", "lead"), "").await, ["r2", "r1"]);
    scout.get("/runs?role=lead").await.fails(403, "role_mismatch");
    assert_eq!(keys(&backend.internal(), "").await, ["r3", "r2", "r1"]);
    assert_eq!(keys(&backend.internal(), "user_id=bob").await, ["r3"]);
    assert_eq!(keys(&backend.internal(), "q=please").await, ["r3", "r2", "r1"]);
    ann.get("/runs?user_id=bob").await.fails(404, "not_found");
    for wrong in ["status=odd", "rating=good", "from=yesterday", "role=a%20b", "limit=0"] {
        ann.get(&format!("/runs?{wrong}")).await.fails(400, "invalid_payload");
    }
    backend.nobody().get("/runs").await.fails(401, "unauthorized");
}

#[tokio::test]
async fn each_filter_has_pages_of_its_own_whatever_clocks_say() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for n in 0..6 {
        ran(&agent, &format!("r{n}"), ("ann", "scout"), completed("done")).await;
        let label = json!({ "run_key": format!("r{n}"), "rating": "up", "labels": ["odd"] });
        if n % 2 == 1 {
            backend.person("ann").post("/feedback", label).await.ok();
        }
    }
    ran(&backend.agent("bob", "scout"), "r9", ("bob", "scout"), completed("done")).await;
    let mut database = backend.database().await;
    // Three by the clock of an instance that is days behind, in the order of their numbers; and one by both digests.
    for (key, at) in [("r1", "2026-03-04T10:59"), ("r2", "2026-03-01T09:10"), ("r4", "2026-03-04T10:01")] {
        let text = "UPDATE runs SET created_at = $1, profile_digest = 'd1' WHERE run_key = $2";
        sqlx::query(text).bind(format!("{at}:00.000000Z")).bind(key).execute(&mut database).await.unwrap();
    }
    // As when they were made so.
    sqlx::query("DELETE FROM run_hours").execute(&mut database).await.unwrap();
    let hours = "INSERT INTO run_hours (hour, first_seq, last_seq) SELECT substr(created_at, 1, 13), min(seq), max(seq) FROM runs GROUP BY substr(created_at, 1, 13)";
    sqlx::query(hours).execute(&mut database).await.unwrap();
    let (ann, service) = (backend.person("ann"), backend.internal());
    for (query, expected) in [
        ("digest=d1", vec!["r5", "r4", "r3", "r2", "r1", "r0"]),
        ("digest=d1&rating=none", vec!["r4", "r2", "r0"]),
        ("label=odd", vec!["r5", "r3", "r1"]),
        ("label=odd&digest=d1&q=done", vec!["r5", "r3", "r1"]),
        ("rating=up&to=2026-03-05T00:00:00Z", vec!["r1"]),
        ("q=done&to=2026-03-04T10:30:00Z", vec!["r4", "r2"]),
        ("to=2026-03-04T10:30:00Z", vec!["r4", "r2"]),
        ("from=2026-03-04T10:00:00Z&to=2026-03-04T11:00:00Z", vec!["r4", "r1"]),
        ("from=2026-03-04T10:02:00Z&label=odd&to=2026-03-04T10:59:00.000001Z", vec!["r1"]),
        ("from=2026-03-02T00:00:00Z&digest=d1&to=2026-03-05T00:00:00Z", vec!["r4", "r1"]),
        ("to=2026-03-01T09:10:00Z", vec![]),
        ("run_key=r3", vec!["r3"]),
        ("run_key=r9", vec![]),
    ] {
        for caller in [&ann, &service] {
            if query == "run_key=r9" && std::ptr::eq(caller, &service) {
                assert_eq!(keys(caller, query).await, ["r9"]);
                continue;
            }
            let user = if std::ptr::eq(caller, &service) { "&user_id=ann" } else { "" };
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = caller.get(&format!("/runs?{query}{user}&limit=1{cursor}")).await;
                found.extend(column(page.items(), "run_key").into_iter().map(str::to_owned));
                let Some(next) = page.body["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(found, expected, "{query}");
        }
    }
    let failed = ann.get("/runs/summary?by=role&from=2026-03-04T10:00:00Z&to=2026-03-04T11:00:00Z").await;
    assert_eq!(failed.items()[0]["runs"], 2);
}

#[tokio::test]
async fn a_label_without_a_user_is_that_of_the_run() {
    let backend = Backend::start().await;
    ran(&backend.agent("ann", "scout"), "r1", ("ann", "scout"), completed("done")).await;
    let mut database = backend.database().await;
    // As the version before writes it.
    let label = "INSERT INTO run_labels (label, run_seq) SELECT 'odd', seq FROM runs";
    sqlx::query(label).execute(&mut database).await.unwrap();
    assert_eq!(keys(&backend.person("ann"), "label=odd").await, ["r1"]);
    assert!(keys(&backend.person("bob"), "label=odd").await.is_empty());
}

/// A run by its SQL, in a transaction that has not ended.
async fn begun(database: &mut sqlx::AnyConnection, key: &str) {
    let sql = format!(
        "INSERT INTO runs (run_key, user_id, role, status, created_at, updated_at) \
         VALUES ('{key}', 'ann', 'scout', 'completed', '2026-03-04T10:00:00.000000Z', '2026-03-04T10:00:00.000000Z')"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(database).await.unwrap();
}

#[tokio::test]
async fn runs_of_one_hour_do_not_wait_for_each_other() {
    if !crate::harness::on_postgres() {
        return;
    }
    let backend = Backend::start().await;
    let (mut one, mut other) = (backend.database().await, backend.database().await);
    for database in [&mut one, &mut other] {
        for text in ["SET lock_timeout = '5s'", "BEGIN"] {
            sqlx::query(text).execute(&mut *database).await.unwrap();
        }
    }
    begun(&mut one, "r1").await;
    begun(&mut other, "r2").await;
    begun(&mut one, "r3").await;
    for database in [&mut one, &mut other] {
        sqlx::query("COMMIT").execute(database).await.unwrap();
    }
    let hour = "from=2026-03-04T10:00:00Z&to=2026-03-04T10:00:01Z";
    assert_eq!(keys(&backend.person("ann"), hour).await, ["r3", "r2", "r1"]);
}

#[tokio::test]
async fn words_are_found_far_behind_the_newest_runs() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    ran(&agent, "r1", ("ann", "scout"), completed("a needle here")).await;
    ran(&agent, "r2", ("ann", "scout"), json!({ "status": "failed", "reply": "another needle" })).await;
    ran(&backend.agent("bob", "scout"), "r3", ("bob", "scout"), completed("straw")).await;
    let mut database = backend.database().await;
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4100) \
        INSERT INTO runs (run_key, user_id, role, status, created_at, updated_at) \
        SELECT 'f' || i, 'bob', 'scout', 'completed', '2200-01-01T00:00:00.000000Z', '2200-01-01T00:00:00.000000Z' FROM n";
    sqlx::query(many).execute(&mut database).await.unwrap();
    let (ann, bob, service) = (backend.person("ann"), backend.person("bob"), backend.internal());
    for (query, expected) in [
        ("q=needle", vec!["r2", "r1"]),
        ("q=needle%20HERE", vec!["r1"]),
        ("q=needle%20straw", vec![]),
        ("q=needle&status=failed", vec!["r2"]),
        ("q=needle&digest=d1&rating=none&to=2199-01-01T00:00:00Z", vec!["r2", "r1"]),
        ("q=needle&to=2020-01-01T00:00:00Z", vec![]),
    ] {
        assert_eq!(keys(&service, query).await, expected, "{query}");
        assert_eq!(keys(&ann, query).await, expected, "{query}");
    }
    assert!(keys(&bob, "q=needle").await.is_empty());
    assert_eq!(keys(&bob, "q=straw").await, ["r3"]);
    let page = service.get("/runs?q=needle&limit=1").await;
    assert_eq!(column(page.items(), "run_key"), ["r2"]);
    let cursor = page.body["next_cursor"].as_str().unwrap();
    assert_eq!(keys(&service, &format!("q=needle&limit=1&cursor={cursor}")).await, ["r1"]);
}

#[tokio::test]
async fn totals_are_of_what_runs_have_in_common() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for n in 0..20 {
        ran(&agent, &format!("r{n}"), ("ann", "scout"), completed("done")).await;
    }
    ran(&agent, "r20", ("ann", "scout"), json!({ "status": "failed", "model": "m2" })).await;
    let mut database = backend.database().await;
    for n in 0..20_i64 {
        let took = sqlx::query("UPDATE runs SET duration_ms = $1 WHERE run_key = $2");
        took.bind(n * 100 + 100).bind(format!("r{n}")).execute(&mut database).await.unwrap();
    }
    backend.person("ann").post("/feedback", json!({ "run_key": "r0", "rating": "up" })).await.ok();
    let totals = agent.get("/runs/summary?by=model").await;
    let (one, two) = (&totals.items()[0], &totals.items()[1]);
    let known = json!({ "key": "m1", "model": "m1", "runs": 20, "failed": 0, "up": 1, "down": 0, "cost_usd": 10.0, "p95_ms": 1900 });
    assert_eq!(one, &known);
    assert_eq!((&two["key"], &two["failed"], &two["cost_usd"]), (&json!("m2"), &json!(1), &json!(0.0)));
    let by_role = agent.get("/runs/summary?by=role&status=failed").await;
    assert_eq!((&by_role.items()[0]["role"], &by_role.items()[0]["runs"]), (&json!("scout"), &json!(1)));
    let by_digest = backend.internal().get("/runs/summary?by=digest&user_id=ann").await;
    assert_eq!((&by_digest.items()[0]["digest"], &by_digest.items()[0]["runs"]), (&json!("d1"), &json!(21)));
    let by_workspace = agent.get("/runs/summary?by=workspace").await;
    assert_eq!(by_workspace.items()[0]["key"], Value::Null);
    assert!(backend.person("bob").get("/runs/summary?by=model").await.items().is_empty());
    for wrong in ["", "?by=colour"] {
        agent.get(&format!("/runs/summary{wrong}")).await.fails(400, "invalid_payload");
    }
}

#[tokio::test]
async fn the_newest_feedback_of_an_author_holds() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    ran(&agent, "r1", ("ann", "scout"), completed("done")).await;
    let (ann, service) = (backend.person("ann"), backend.internal());
    let first = json!({ "message_id": "m-done", "rating": "down", "labels": ["slow", "wrong"], "comment": "Why?", "idempotency_key": "k" });
    let said = ann.post("/feedback", first.clone()).await;
    assert_eq!(said.ok()["run_key"], "r1");
    assert_eq!(said.body["author"], json!({ "type": "person", "id": "ann" }));
    assert!(ann.post("/feedback", first).await.replayed());
    assert_eq!(keys(&ann, "rating=down").await, ["r1"]);
    assert_eq!(keys(&ann, "label=slow").await, ["r1"]);
    ann.post("/feedback", json!({ "run_key": "r1", "rating": "up", "labels": ["right"] })).await.ok();
    service.post("/feedback", json!({ "run_key": "r1", "labels": ["checked"] })).await.ok();
    let all = ann.get("/feedback?run_key=r1").await;
    assert_eq!(all.items().len(), 2);
    assert_eq!((&all.items()[0]["rating"], all.items()[0].get("comment")), (&json!("up"), None));
    assert_eq!(all.items()[1]["author"]["type"], "service");
    let run = ann.get("/runs").await.items()[0].clone();
    assert_eq!((&run["ratings"], &run["labels"]), (&json!({ "up": 1, "down": 0 }), &json!(["checked", "right"])));
    assert!(keys(&ann, "rating=down").await.is_empty() && keys(&ann, "label=slow").await.is_empty());
    let acts = service.get("/audit?act=feedback.set").await;
    assert_eq!(acts.items().len(), 3);
    assert!(!acts.text.contains("Why?"), "{}", acts.text);

    agent.post("/feedback", json!({ "run_key": "r1", "rating": "up" })).await.fails(403, "forbidden");
    agent.get("/feedback?run_key=r1").await.fails(403, "forbidden");
    let bob = backend.person("bob");
    for of in [json!({ "run_key": "r1", "rating": "up" }), json!({ "message_id": "m-done", "rating": "up" })] {
        bob.post("/feedback", of).await.fails(404, "not_found");
    }
    bob.get("/feedback?run_key=r1").await.fails(404, "not_found");
    let many: Vec<_> = (0..11).map(|n| n.to_string()).collect();
    for wrong in [
        json!({ "rating": "up" }),
        json!({ "run_key": "r1" }),
        json!({ "run_key": "r1", "rating": "good" }),
        json!({ "run_key": "r1", "labels": many }),
        json!({ "run_key": "r1", "labels": [" "] }),
        json!({ "run_key": "r1", "labels": ["x".repeat(101)] }),
        json!({ "run_key": "r1", "comment": "x".repeat(2_001) }),
    ] {
        ann.post("/feedback", wrong).await.fails(400, "invalid_payload");
    }
    ann.get("/feedback").await.fails(400, "invalid_payload");
}

#[tokio::test]
async fn what_a_run_leaves_goes_with_it() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    ran(&agent, "r1", ("ann", "scout"), completed("done")).await;
    backend.person("ann").post("/feedback", json!({ "run_key": "r1", "labels": ["a"] })).await.ok();
    let mut database = backend.database().await;
    for statement in [
        "PRAGMA foreign_keys = ON",
        "DELETE FROM run_steps",
        "DELETE FROM runs",
    ] {
        if statement.starts_with("PRAGMA") && crate::harness::on_postgres() {
            continue;
        }
        sqlx::query(statement).execute(&mut database).await.unwrap();
    }
    for table in ["run_texts", "feedback", "run_labels"] {
        let text = sqlx::AssertSqlSafe(format!("SELECT 1 FROM {table}"));
        let left = sqlx::query(text).fetch_all(&mut database).await.unwrap();
        assert!(left.is_empty(), "{table}");
    }
}
