//! What is older than MC_RETENTION says goes, and nothing else does.

use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Executor as _, Row as _};
use wombat_mission_control::audit::{AuditError, export, verify, verify_file};
use wombat_mission_control::person_export::expire;

use crate::erasing::use_it;
use crate::harness::{Backend, Options, column};

const ALL: &str = "runs=30,tasks=30,messages=30,documents=30,notifications=30,files=30,memories=30,\
    feedback=30,usage=40,schedules=30,audit=30";

const OLD: &str = "2020-01-01T00:00:00.000000Z";

async fn run(database: &mut AnyConnection, sql: &str) {
    database.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn count(database: &mut AnyConnection, table: &str) -> i64 {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    sqlx::query(sql).fetch_one(database).await.unwrap().get(0)
}

/// Makes all that is there as old as can be.
async fn age(database: &mut AnyConnection) {
    for (table, columns) in [
        ("runs", "created_at updated_at"),
        ("tasks", "created_at updated_at"),
        ("messages", "created_at"),
        ("documents", "created_at"),
        ("notifications", "created_at"),
        ("files", "put_at"),
        ("memories", "created_at updated_at"),
        ("feedback", "created_at updated_at"),
        ("usage", "created_at"),
        ("schedules", "created_at updated_at"),
    ] {
        let set: Vec<_> = columns.split(' ').map(|column| format!("{column} = '{OLD}'")).collect();
        run(database, &format!("UPDATE {table} SET {}", set.join(", "))).await;
    }
}

/// Ends what goes on.
async fn finish(database: &mut AnyConnection) {
    run(database, "UPDATE runs SET status = 'completed'").await;
    run(database, "UPDATE tasks SET status = 'completed'").await;
    run(database, "UPDATE schedules SET status = 'ended'").await;
    run(database, &format!("UPDATE notifications SET delivered_at = '{OLD}'")).await;
}

async fn started(retention: &'static str) -> Backend {
    let options = Options { retention, ..Options::default() };
    Backend::start_in(crate::harness::Home::new(), options).await
}

async fn expired(backend: &Backend) -> Value {
    backend.internal().get("/retention").await.ok().clone()
}

#[tokio::test]
async fn what_is_old_and_over_goes_and_is_counted_before() {
    let backend = started(ALL).await;
    use_it(&backend, "ann", "word").await;
    let mut database = backend.database().await;
    let none = expired(&backend).await;
    assert!(none["counts"].as_object().unwrap().values().all(|many| *many == 0), "{none}");
    assert_eq!(none["days"]["usage"], 40);
    age(&mut database).await;
    let before = expired(&backend).await;
    // One run is open, and so are its task, the schedule and the notifications.
    let some = [("runs", 1), ("tasks", 0), ("schedules", 0), ("notifications", 0), ("memories", 1), ("messages", 0)];
    for (kind, many) in some {
        assert_eq!(before["counts"][kind], many, "{kind}: {before}");
    }
    finish(&mut database).await;
    let before = expired(&backend).await;
    let tables = ["runs", "tasks", "messages", "documents", "files", "memories", "feedback", "usage", "schedules"];
    for kind in tables {
        let many = count(&mut database, kind).await;
        assert!(many > 0 && before["counts"][kind] == many, "{kind}: {many}, {before}");
    }
    let dry = expire(&backend.home.database(), &ALL.parse().unwrap(), true).await.unwrap();
    assert_eq!(json!(dry), before["counts"]);
    let backend = restarted(backend).await;
    test_support::wait_for("it is gone", async || {
        let left = expired(&backend).await;
        left["counts"].as_object().unwrap().values().all(|many| *many == 0).then_some(())
    })
    .await;
    for table in tables.into_iter().chain(["run_steps", "run_texts", "file_parts", "schedule_slots", "notifications"]) {
        assert_eq!(count(&mut database, table).await, 0, "{table}");
    }
    let acts = backend.internal().get("/audit?act=data.expired&limit=200").await;
    let of = |kind: &str| acts.items().iter().find(|act| act["details"]["kind"] == kind).unwrap().clone();
    assert_eq!(of("runs")["details"]["count"], 2);
    assert_eq!(of("runs")["actor"]["type"], "system");
    verify(&backend.home.database(), None).await.unwrap();
}

async fn restarted(backend: Backend) -> Backend {
    let home = backend.stop().await;
    Backend::beside(home, Options { retention: ALL, ..Options::default() }).await
}

#[tokio::test]
async fn what_is_not_named_stays_and_what_a_kept_kind_needs() {
    let backend = started("").await;
    use_it(&backend, "ann", "word").await;
    let mut database = backend.database().await;
    age(&mut database).await;
    finish(&mut database).await;
    assert_eq!(expired(&backend).await, json!({ "days": {}, "counts": {} }));
    let place = backend.home.database();
    let all = |text: &str| text.parse().unwrap();
    // A young message keeps its task, and its document goes alone.
    run(&mut database, "UPDATE messages SET created_at = '2999-01-01T00:00:00.000000Z'").await;
    let gone = expire(&place, &all("tasks=1,documents=1"), false).await.unwrap();
    assert_eq!((gone["tasks"], gone["documents"]), (0, 1));
    assert_eq!(count(&mut database, "tasks").await, 1);
    // What is kept for longer by itself keeps it, too.
    let weeks = "UPDATE messages SET created_at = '2021-01-01T00:00:00.000000Z'";
    run(&mut database, weeks).await;
    let gone = expire(&place, &all("tasks=1,messages=36500"), false).await.unwrap();
    assert_eq!((gone["tasks"], gone["messages"]), (0, 0));
    let gone = expire(&place, &all("tasks=1"), false).await.unwrap();
    assert_eq!(gone["tasks"], 1);
    // It has taken along what belongs to it; the runs are their own kind.
    for (table, many) in [("messages", 0), ("tool_requests", 0), ("runs", 2), ("memories", 1), ("usage", 1)] {
        assert_eq!(count(&mut database, table).await, many, "{table}");
    }
    let runs = backend.person("ann").get("/runs").await;
    assert!(runs.items().iter().all(|run| run.get("task_id").is_none()), "{}", runs.text);
    // A run whose feedback goes counts none.
    expire(&place, &all("feedback=1"), false).await.unwrap();
    let runs = backend.person("ann").get("/runs?rating=up").await;
    assert!(runs.items().is_empty(), "{}", runs.text);
}

#[tokio::test]
async fn the_oldest_entries_of_the_log_go_and_the_rest_still_verifies() {
    let backend = started("").await;
    use_it(&backend, "ann", "word").await;
    let mut database = backend.database().await;
    let place = backend.home.database();
    let all = backend.internal().get("/audit?limit=200").await.items().to_vec();
    let cut = 5;
    // The clock of the log cannot be turned back; what is cut is found by its time.
    let from = all[cut]["at"].as_str().unwrap();
    let undo = match crate::harness::on_postgres() {
        true => "ALTER TABLE audit DISABLE TRIGGER USER",
        false => "DROP TRIGGER audit_no_update",
    };
    run(&mut database, undo).await;
    run(&mut database, &format!("UPDATE audit SET at = '{OLD}' WHERE at < '{from}'")).await;
    if crate::harness::on_postgres() {
        run(&mut database, "ALTER TABLE audit ENABLE TRIGGER USER").await;
    }
    let gone = expire(&place, &"audit=30".parse().unwrap(), false).await.unwrap();
    assert_eq!(gone["audit"], cut as u64);
    let whole = verify(&place, None).await.unwrap();
    let mut out = Vec::new();
    export(&place, &mut out).await.unwrap();
    let lines: Vec<String> = String::from_utf8(out).unwrap().lines().map(str::to_owned).collect();
    let first: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&first["seq"], &first["prev"]), (&json!(cut + 1), &all[cut]["prev"]));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.ndjson");
    std::fs::write(&file, lines.join("\n")).unwrap();
    assert_eq!(verify_file(&file, None).unwrap(), whole);
    // A head that was kept and has expired by now is told of, which proves nothing; an older one is not known.
    let hash = |at: usize| all[at]["hash"].as_str();
    assert!(matches!(verify_file(&file, hash(cut - 1)), Err(AuditError::HeadExpired { first: 6, .. })));
    assert_eq!(verify_file(&file, hash(cut)).unwrap(), whole);
    let older = verify_file(&file, hash(cut - 2)).unwrap_err();
    assert!(older.to_string().contains("those up to seq 5 have expired"), "{older}");
    // Who takes away more than has expired is found.
    for left in [&lines[1..], &lines[..lines.len() - 1]] {
        std::fs::write(&file, left.join("\n")).unwrap();
        let found = verify_file(&file, None);
        assert!(matches!(found, Err(AuditError::Broken { seq: 1, .. })), "{found:?}");
    }
    let acts = backend.internal().get("/audit?act=data.expired").await;
    assert_eq!(column(acts.items(), "act"), ["data.expired"]);
    assert_eq!(acts.items()[0]["details"]["through"], cut);
    for sql in ["DELETE FROM audit WHERE seq = 7", "DELETE FROM audit_subjects"] {
        let error = sqlx::query(sql).execute(&mut database).await.unwrap_err().to_string();
        assert!(error.contains("the audit log is append-only"), "{error}");
    }
}

#[tokio::test]
async fn what_is_to_be_taken_up_keeps_its_task_and_young_feedback_its_run() {
    let backend = started("").await;
    use_it(&backend, "ann", "word").await;
    let mut database = backend.database().await;
    age(&mut database).await;
    finish(&mut database).await;
    let place = backend.home.database();
    let all = |text: &str| text.parse().unwrap();
    run(&mut database, "UPDATE runs SET status = 'interrupted', detached = 1 WHERE run_key = 'open'").await;
    let gone = expire(&place, &all("runs=1,messages=1,tasks=1,feedback=36500"), false).await.unwrap();
    // The other run has feedback that is kept.
    assert_eq!((gone["runs"], gone["messages"], gone["tasks"], gone["feedback"]), (0, 0, 0, 0));
    run(&mut database, "UPDATE runs SET detached = 0").await;
    let gone = expire(&place, &all("runs=1,messages=1,feedback=36500"), false).await.unwrap();
    assert_eq!((gone["runs"], gone["messages"]), (1, 1));
    let gone = expire(&place, &all("runs=1"), false).await.unwrap();
    assert_eq!((gone["runs"], count(&mut database, "feedback").await), (1, 0));
}
