//! Connections that somebody left halfway, that others left behind, or that are not to be had yet.

use std::process::Command;
use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use test_support::pooler::{Pooler, Version};
use test_support::postgres::Postgres;
use test_support::wait_for;
use wombat_mission_control::store::Store;
use wombat_mission_control::store::database::{Address, Database, Server};

use crate::harness::{Backend, Home, MC, kept, on_postgres, send};

fn server(url: &str) -> Server {
    Server::new(Address::parse(url).unwrap())
}

fn by(pooler: &Pooler) -> Database {
    Database::Postgres(Box::new(server(&pooler.url())))
}

fn of(home: &Home) -> &Postgres {
    match home {
        Home::Server(server) => server,
        Home::File(_) => panic!("a server"),
    }
}

/// A server and a pooler before it; `None` where one of them is not installed.
fn pooled(settings: &str) -> Option<(Arc<Home>, Pooler)> {
    let server = on_postgres().then(|| Postgres::start(kept()))??;
    let pooler = Pooler::start(&server, Version::Installed, "transaction", settings)?;
    Some((Arc::new(Home::Server(server)), pooler))
}

/// Calls a backend while a table is locked, and goes away before it answers; returns the process of
/// the server that waited.
async fn gone_meanwhile(backend: &Backend, table: &str, method: Method) -> String {
    backend.agent("ann", "scout").task("Before").await;
    let mut locks = backend.home.connect().await;
    let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut locks).await.unwrap();
    let call = backend.agent("ann", "scout").raw(method, &format!("{MC}/tasks"));
    let call = tokio::spawn(call.json(&json!({ "title": "Gone" })).send());
    let server = of(&backend.home);
    let waits = "SELECT min(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let waiting = async || Some(server.say_in("wombat", waits)).filter(|pid| !pid.is_empty());
    let pid = wait_for("the call waits for the lock", waiting).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    // Until the backend knows of it.
    send(backend.nobody().raw(Method::GET, "/livez")).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut locks).await.unwrap();
    pid
}

#[tokio::test]
async fn who_goes_away_while_a_write_begins_leaves_no_transaction() {
    if !on_postgres() {
        return;
    }
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    // The backend may notice late that nobody waits, and write; or its own cleaning up waited.
    for _ in 0..20 {
        let pid = gone_meanwhile(&backend, "write_turn", Method::POST).await;
        agent.task("After").await;
        let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
        for _ in 0..20 {
            if of(&backend.home).say_in("wombat", &there) == "0" {
                agent.task("Later").await;
                return;
            }
        }
    }
    panic!("the connection in an unknown state is not closed");
}

#[tokio::test]
async fn who_goes_away_while_a_pooled_read_waits_leaves_no_transaction() {
    let Some((home, pooler)) = pooled("") else { return };
    let backend = Backend::reaching(&home, by(&pooler)).await;
    gone_meanwhile(&backend, "tasks", Method::GET).await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    let ended = async || (of(&home).say_in("wombat", open) == "0").then_some(());
    wait_for("no transaction is left open", ended).await;
    assert_eq!(backend.agent("ann", "scout").get("/tasks").await.items().len(), 1);
}

#[tokio::test]
async fn a_pooled_list_that_has_more_is_read_as_far_as_needed() {
    let Some((home, pooler)) = pooled("") else { return };
    let backend = Backend::reaching(&home, by(&pooler)).await;
    let agent = backend.agent("ann", "scout");
    for n in 0..6 {
        agent.post("/tasks", json!({ "title": n.to_string(), "description": "x".repeat(200_000) })).await.ok();
    }
    for _ in 0..10 {
        let page = agent.get("/tasks?limit=3").await;
        assert_eq!(page.items().len(), 3);
        let cursor = page.body["next_cursor"].as_str().unwrap();
        assert_eq!(agent.get(&format!("/tasks?limit=3&cursor={cursor}")).await.items().len(), 3);
    }
}

#[tokio::test]
async fn what_others_set_in_a_pooled_connection_does_not_stop_writes() {
    let Some((home, pooler)) = pooled("default_pool_size = 1") else { return };
    let backend = Backend::reaching(&home, by(&pooler)).await;
    let set = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";
    of(&home).say_at(pooler.folder(), pooler.port(), "wombat", set);
    backend.agent("ann", "scout").task("Anyway").await;
    let ready = send(backend.nobody().raw(Method::GET, "/readyz")).await;
    assert_eq!(ready.status, 200, "{}", ready.text);
}

#[tokio::test]
async fn a_pooler_is_found_out_whatever_a_role_has_set() {
    let drops = "ignore_startup_parameters = extra_float_digits,options";
    let Some((home, pooler)) = pooled(drops) else { return };
    of(&home).say_in("wombat", "ALTER ROLE postgres SET lock_timeout = '5s'");
    let listen = Some(Address::parse(&pooler.url()).unwrap());
    let server = Server { listen, ..server(&home.url()) };
    let why = Backend::refusal(Database::Postgres(Box::new(server))).await;
    assert!(why.contains("MC_LISTEN_URL leads to a connection pooler"), "{why}");
}

#[tokio::test]
async fn a_server_that_starts_behind_a_pooler_is_waited_for() {
    let Some(mut server) = on_postgres().then(|| Postgres::start(kept())).flatten() else { return };
    server.stop();
    let settings = "server_login_retry = 1\nquery_wait_timeout = 1";
    let Some(pooler) = Pooler::start(&server, Version::Installed, "transaction", settings) else { return };
    // Whose failure the pooler remembers.
    let mut asks = Command::new("psql");
    let asks = asks.args(["-X", "-U", "postgres", "-d", "wombat", "-c", "SELECT 1", "-h"]);
    let asked = asks.arg(pooler.folder()).args(["-p", &pooler.port().to_string()]).output().unwrap();
    assert!(!asked.status.success());
    let database = by(&pooler);
    let opened = tokio::spawn(async move { Store::open(&database).await });
    // Its first attempt fails meanwhile.
    tokio::task::yield_now().await;
    let up = tokio::task::spawn_blocking(move || {
        server.up();
        server
    });
    let _server = up.await.unwrap();
    opened.await.unwrap().unwrap().close().await;
}
