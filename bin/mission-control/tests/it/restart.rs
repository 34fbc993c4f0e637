//! What was acknowledged is kept.

use serde_json::json;

use sqlx::AnyConnection;
use sqlx::migrate::Migrator;

use crate::harness::{Backend, Home, column, on_postgres};

#[tokio::test]
async fn a_restart_keeps_objects_keys_and_the_queue() {
    let backend = Backend::start().await;
    let person = backend.person("ann");
    let new = json!({ "title": "Kept", "idempotency_key": "k" });
    let task = person.post("/tasks", new.clone()).await;
    let id = task.ok()["id"].as_str().unwrap();
    person.post("/messages", json!({ "task_id": id, "content": "@scout go" })).await.ok();
    person.post("/documents", json!({ "title": "D", "content": "text" })).await.ok();

    let backend = backend.restart().await;
    let person = backend.person("ann");
    let again = person.post("/tasks", new).await;
    assert!(again.replayed());
    assert_eq!(again.ok(), task.ok());
    let thread = person.get(&format!("/messages?task_id={id}")).await;
    assert_eq!(column(thread.items(), "content"), ["@scout go"]);
    assert_eq!(column(person.get("/documents").await.items(), "title"), ["D"]);
    let waiting = backend.internal().post("/dispatch/undelivered", json!({})).await;
    let waiting = waiting.ok()["deliveries"].as_array().unwrap();
    assert_eq!(column(waiting, "session_key"), ["user:ann:scout"]);
    // New rows come after the old ones.
    person.task("Later").await;
    assert_eq!(column(person.get("/tasks").await.items(), "title"), ["Kept", "Later"]);
}

/// A database as the first version made it, with something of everything in it.
async fn fill_old(database: &mut AnyConnection) {
    let at = "2026-01-01T00:00:00.000000Z";
    for statement in [
        "INSERT INTO tasks (id, user_id, title, status, created_at, updated_at) VALUES ('t', 'ann', 'Old', 'pending', $1, $1)",
        "INSERT INTO messages (id, user_id, task_id, content, actor_type, created_at) VALUES ('m', 'ann', 't', 'old words', 'user', $1)",
        "INSERT INTO documents (id, user_id, title, content, created_at) VALUES ('d', 'ann', 'Old', 'x', $1)",
        "INSERT INTO notifications (id, user_id, session_key, content, created_at) VALUES ('n', 'ann', 'user:ann:scout', 'old', $1)",
        "INSERT INTO wakes (user_id, role, last_at, count) VALUES ('ann', 'scout', $1, 1)",
    ] {
        sqlx::query(statement).bind(at).execute(&mut *database).await.unwrap();
    }
}

#[tokio::test]
async fn a_database_of_the_first_version_is_taken_on() {
    let (home, old) = (Home::new(), tempfile::tempdir().unwrap());
    let of = if on_postgres() { "migrations/postgres" } else { "migrations/sqlite" };
    let migrations = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(of);
    for name in ["0001_start.sql", "0002_wakes.sql", "0003_leased.sql"] {
        std::fs::copy(migrations.join(name), old.path().join(name)).unwrap();
    }
    let mut database = home.connect().await;
    Migrator::new(old.path()).await.unwrap().run(&mut database).await.unwrap();
    fill_old(&mut database).await;
    sqlx::Connection::close(database).await.unwrap();

    let backend = Backend::start_on(home).await;
    let agent = backend.agent("ann", "scout");
    assert_eq!(column(agent.get("/tasks").await.items(), "title"), ["Old"]);
    assert_eq!(column(agent.get("/messages?task_id=t").await.items(), "content"), ["old words"]);
    assert_eq!(column(agent.get("/documents").await.items(), "title"), ["Old"]);
    let waiting = backend.internal().post("/dispatch/undelivered", json!({})).await;
    let waiting = waiting.ok()["deliveries"].as_array().unwrap();
    assert_eq!(column(waiting, "content"), ["old"]);
    assert!(waiting[0].get("run_key").is_none());
    // What is new works on what is old.
    let run = json!({ "session_key": "user:ann:scout", "task_id": "t" });
    agent.put("/runs/r1", run).await.ok();
    agent.patch("/tasks/t", json!({ "status": "completed" })).await.ok();
}

#[tokio::test]
async fn runs_and_keys_from_before_roles_had_their_own_are_taken_on() {
    let (home, old) = (Home::new(), tempfile::tempdir().unwrap());
    let of = if on_postgres() { "migrations/postgres" } else { "migrations/sqlite" };
    let migrations = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(of);
    for file in std::fs::read_dir(migrations).unwrap() {
        let file = file.unwrap();
        if *file.file_name() < *"0012" {
            std::fs::copy(file.path(), old.path().join(file.file_name())).unwrap();
        }
    }
    let mut database = home.connect().await;
    Migrator::new(old.path()).await.unwrap().run(&mut database).await.unwrap();
    let body = r#"{"content":"x","idempotency_key":"k","task_id":"t"}"#;
    for statement in [
        "INSERT INTO tasks (id, user_id, title, status, created_at, updated_at) VALUES ('t', 'ann', 'Old', 'pending', $1, $1)",
        "INSERT INTO runs (seq, run_key, user_id, status, session_key, task_id, created_at, updated_at) \
           VALUES (7, 'r1', 'ann', 'running', 'user:ann:scout', 't', $1, $1), (8, 'r2', 'ann', 'running', NULL, NULL, $1, $1)",
        "INSERT INTO run_steps (run_key, step_index, kind, payload, created_at) \
           VALUES ('r1', 0, 'request', '{\"n\":0}', $1), ('r1', 1, 'llm', '{\"n\":1}', $1), ('r2', 0, 'request', '{}', $1)",
        "INSERT INTO idempotency (user_id, endpoint, key, body, response, created_at) VALUES ('ann', 'messages', 'k', $2, '{\"id\":\"m\"}', $1)",
    ] {
        let at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let query = sqlx::query(statement).bind(at);
        let query = if statement.contains("$2") { query.bind(body) } else { query };
        query.execute(&mut database).await.unwrap();
    }
    sqlx::Connection::close(database).await.unwrap();

    let backend = Backend::start_on(home).await;
    let (scout, mole) = (backend.agent("ann", "scout"), backend.agent("ann", "mole"));
    let run = scout.get("/runs/r1").await;
    assert_eq!(run.ok()["steps"][1]["payload"], json!({ "n": 1 }));
    scout.put("/runs/r1/steps/2", json!({ "kind": "tool", "payload": {} })).await.ok();
    mole.get("/runs/r1").await.fails(404, "not_found");
    backend.person("ann").get("/runs/r2").await.ok();
    let repeated = scout.post("/messages", serde_json::from_str(body).unwrap()).await;
    assert!(repeated.replayed(), "{}", repeated.text);
    // Numbers go on after the old ones.
    scout.put("/runs/r3", json!({ "session_key": "user:ann:scout", "task_id": "t" })).await.ok();
}
