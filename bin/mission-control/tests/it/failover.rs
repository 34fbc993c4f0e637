//! The server's address leads to another server, or to none: what a failover, a changed DNS entry or
//! a firewall does.

use std::sync::Arc;
use std::time::Duration;

use mc_client::events::{Events, News};
use reqwest::Method;
use serde_json::json;
use test_support::postgres::Postgres;
use test_support::program::Program;
use test_support::wire::Wire;
use test_support::{wait_for, wait_within};
use wombat_mission_control::store::database::Database;

use crate::harness::{Answer, Backend, Caller, Home, MC, column, kept, on_postgres, send};
use crate::outages::{Load, start};

/// The timeout of a statement in a connection that hangs, and some time.
const HANGS: Duration = Duration::from_secs(90);

/// Who listens says so, and asks for it now and then.
const LISTENS: &str = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
    AND (query LIKE 'LISTEN%' OR query LIKE '%pg_listening_channels%')";

/// A server, its standby, and the address that leads to the first of them.
async fn pair() -> Option<(Arc<Home>, Postgres, Wire)> {
    let primary = on_postgres().then(|| Postgres::start(kept())).flatten()?;
    let wire = Wire::to(&primary).await;
    let standby = primary.standby();
    Some((Arc::new(Home::Server(primary)), standby, wire))
}

fn of(home: &Home) -> &Postgres {
    match home {
        Home::Server(server) => server,
        Home::File(_) => panic!("a server"),
    }
}

fn by(wire: &Wire) -> Database {
    Database::of_url(&wire.url().into()).unwrap()
}

async fn ready(backend: &Caller) -> Answer {
    send(backend.raw(Method::GET, "/readyz")).await
}

async fn until_ready(backend: &Caller, status: u16) -> Answer {
    let asked = async || Some(ready(backend).await).filter(|answer| answer.status == status);
    wait_within(HANGS, &format!("/readyz answers {status}"), asked).await
}

/// What is acknowledged by a server is also on its standby.
fn replicates(primary: &Postgres) {
    primary.say_in("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.say_in("postgres", "SELECT pg_reload_conf()");
}

fn promote(standby: &Postgres) {
    standby.say_in("postgres", "SELECT pg_promote()");
}

/// Waits until so many backends listen there.
async fn until_listening(server: &Postgres, backends: &str) {
    let listening = async || (server.say_in("postgres", LISTENS) == backends).then_some(());
    wait_within(HANGS, "LISTEN is said again", listening).await;
}

/// A backend as a process under load, while its address is moved by `moves`; nothing acknowledged is
/// lost.
async fn moved_under_load(moves: impl AsyncFnOnce(&mut Option<Home>, &Postgres, &Wire, &Caller)) {
    let Some((home, standby, wire)) = pair().await else { return };
    replicates(of(&home));
    let dir = tempfile::tempdir().unwrap();
    let mut backend: Program = start(&wire.url(), dir.path(), "0");
    let url = backend.url().await.unwrap();
    let caller = Caller::of(&url);
    let load = Load::on(&url);
    load.go_on().await;
    let mut home = Arc::into_inner(home);
    moves(&mut home, &standby, &wire, &caller).await;
    until_ready(&caller, 200).await;
    load.go_on_within(HANGS).await;
    until_listening(&standby, "1").await;
    load.check(&url).await;
    let count = standby.say_in("wombat", "SELECT count(*) > 50 FROM tasks");
    assert_eq!(count, "t");
    assert!(send(caller.raw(Method::GET, "/livez")).await.text.contains("ok"));
}

#[tokio::test]
async fn an_address_that_moves_after_its_server_died_loses_nothing() {
    moved_under_load(async |primary, standby, wire, caller| {
        // The server is killed.
        drop(primary.take());
        let answer = until_ready(caller, 503).await;
        answer.fails(503, "unavailable");
        wire.leads_to(standby);
        // It is not promoted yet.
        let read_only = async || ready(caller).await.text.contains("read-only").then_some(());
        wait_for("a standby is told", read_only).await;
        promote(standby);
    })
    .await;
}

#[tokio::test]
async fn an_address_that_moves_while_connections_hang_loses_nothing() {
    moved_under_load(async |_, standby, wire, caller| {
        wire.swallow(true);
        wire.hang_all();
        until_ready(caller, 503).await;
        promote(standby);
        wire.leads_to(standby);
        wire.swallow(false);
    })
    .await;
}

/// The next event of a backend, whose stream may break meanwhile.
async fn event(events: &mut Events) -> String {
    let next = async {
        loop {
            if let Ok(News::Event(event)) = events.next().await {
                return event.data["title"].as_str().unwrap().to_owned();
            }
        }
    };
    tokio::time::timeout(HANGS, next).await.expect("an event comes")
}

#[tokio::test]
async fn connections_to_a_server_that_takes_no_writes_any_more_are_given_up() {
    let Some((home, standby, wire)) = pair().await else { return };
    let backend = Backend::reaching(&home, by(&wire)).await;
    let agent = backend.agent("ann", "scout");
    agent.task("Before").await;
    let written = of(&home).say_in("postgres", "SELECT pg_current_wal_lsn()");
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
    let arrived = async || (standby.say_in("postgres", &replayed) == "t").then_some(());
    wait_for("the standby has it", arrived).await;
    // The address leads elsewhere, and the old server, fenced off, keeps its connections.
    promote(&standby);
    wire.leads_to(&standby);
    of(&home).say_in("postgres", "ALTER SYSTEM SET default_transaction_read_only = on");
    of(&home).say_in("postgres", "SELECT pg_reload_conf()");
    let written = async || {
        let answer = agent.post("/tasks", json!({ "title": "After" })).await;
        (answer.status == 200).then_some(())
    };
    wait_for("writes land on the new server", written).await;
    // No read is answered by the old one.
    for _ in 0..20 {
        assert_eq!(column(agent.get("/tasks").await.items(), "title"), ["Before", "After"]);
    }
    until_ready(&backend.nobody(), 200).await;
    until_listening(&standby, "1").await;
}

#[tokio::test]
async fn a_standby_answers_no_read_in_the_primarys_place() {
    let Some((home, standby, wire)) = pair().await else { return };
    let backend = Backend::reaching(&home, by(&wire)).await;
    let agent = backend.agent("ann", "scout");
    agent.task("Before").await;
    wire.leads_to(&standby);
    wire.end_all();
    for _ in 0..5 {
        let refused = agent.get("/tasks").await;
        refused.fails(503, "unavailable");
        assert!(refused.text.contains("read-only"), "{}", refused.text);
    }
    promote(&standby);
    let read = async || (agent.get("/tasks").await.status == 200).then_some(());
    wait_for("it is promoted", read).await;
}

#[tokio::test]
async fn what_is_swallowed_ends_in_time_with_a_reason_and_all_is_well_afterwards() {
    let Some(primary) = on_postgres().then(|| Postgres::start(kept())).flatten() else { return };
    let wire = Wire::to(&primary).await;
    let home = Arc::new(Home::Server(primary));
    let backend = Backend::reaching(&home, by(&wire)).await;
    let other = Backend::reaching(&home, home.database()).await;
    let mut events = backend.service().events(None);
    let agent = backend.agent("ann", "scout");
    let connected = tokio::time::timeout(HANGS, events.next()).await.unwrap().unwrap();
    assert_eq!(connected, News::Connected);
    agent.task("Before").await;
    assert_eq!(event(&mut events).await, "Before");
    wire.swallow(true);
    let page = backend.nobody();
    let new = json!({ "title": "Meanwhile", "idempotency_key": "once" });
    // At the same time, as they share the connections.
    for _ in 0..3 {
        let streams = backend.internal();
        let calls = async {
            tokio::join!(
                agent.get("/tasks"),
                agent.post("/tasks", new.clone()),
                send(streams.raw(Method::GET, &format!("{MC}/events"))),
                until_ready(&page, 503),
            )
        };
        let (read, written, streamed, not_ready) =
            tokio::time::timeout(HANGS, calls).await.expect("all of them are answered");
        for answer in [read, written, streamed, not_ready] {
            answer.fails(503, "unavailable");
            assert!(answer.text.contains("does not answer"), "{}", answer.text);
            assert!(answer.headers.contains_key("retry-after"));
        }
        let alive = send(page.raw(Method::GET, "/livez")).await;
        assert_eq!((alive.status.as_u16(), alive.text.as_str()), (200, "ok"));
    }
    wire.swallow(false);
    until_ready(&page, 200).await;
    agent.post("/tasks", new.clone()).await.ok();
    agent.get("/tasks").await.ok();
    // Both listen again, and events go from one to the other.
    until_listening(of(&home), "2").await;
    other.agent("ann", "scout").task("After").await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "After") {
        seen.push(event(&mut events).await);
    }
    assert_eq!(seen, ["Meanwhile", "After"]);
    assert_eq!(agent.get("/tasks").await.items().len(), 3);
}

#[tokio::test]
async fn a_connection_that_hangs_as_it_begins_to_listen_is_given_up() {
    let Some(primary) = on_postgres().then(|| Postgres::start(kept())).flatten() else { return };
    let wire = Wire::to(&primary).await;
    let home = Arc::new(Home::Server(primary));
    wire.hang_who_says(Some("LISTEN"));
    let backend = Backend::reaching(&home, by(&wire)).await;
    wait_for("it hangs", async || (wire.hanging() > 0).then_some(())).await;
    wire.hang_who_says(None);
    until_listening(of(&home), "1").await;
    backend.agent("ann", "scout").task("After").await;
}
