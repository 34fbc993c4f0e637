//! A server that takes no writes at present, and one whose notifications were interrupted.

use std::sync::Arc;

use mc_client::events::News;
use reqwest::Method;
use test_support::postgres::Postgres;
use test_support::{PATIENCE, wait_for};

use crate::harness::{Backend, Home, column, kept, on_postgres, send};

fn start() -> Option<Arc<Home>> {
    let server = on_postgres().then(|| Postgres::start(kept()))??;
    Some(Arc::new(Home::Server(server)))
}

fn of(home: &Home) -> &Postgres {
    match home {
        Home::Server(server) => server,
        Home::File(_) => panic!("a server"),
    }
}

async fn ready(backend: &Backend) -> crate::harness::Answer {
    send(backend.nobody().raw(Method::GET, "/readyz")).await
}

#[tokio::test]
async fn a_standby_is_refused_and_serves_once_it_is_promoted() {
    let Some(home) = start() else { return };
    let backend = Backend::reaching(&home, home.database()).await;
    backend.agent("ann", "scout").task("Before").await;
    let standby = Arc::new(Home::Server(of(&home).standby()));
    let why = Backend::refusal(standby.database()).await;
    assert!(why.contains("read-only standby") && why.contains("promote"), "{why}");
    of(&standby).say_in("postgres", "SELECT pg_promote()");
    let promoted = Backend::reaching(&standby, standby.database()).await;
    let agent = promoted.agent("ann", "scout");
    agent.task("After").await;
    assert_eq!(column(agent.get("/tasks").await.items(), "title"), ["Before", "After"]);
}

#[tokio::test]
async fn what_becomes_read_only_is_not_ready_until_it_is_not() {
    let Some(home) = start() else { return };
    let backend = Backend::reaching(&home, home.database()).await;
    let agent = backend.agent("ann", "scout");
    agent.task("Before").await;
    let set = |statement: &str| {
        of(&home).say_in("postgres", statement);
        of(&home).say_in("postgres", "SELECT pg_reload_conf()");
    };
    set("ALTER SYSTEM SET default_transaction_read_only = on");
    let not_ready = async || (ready(&backend).await.status == 503).then_some(());
    wait_for("the server is read-only", not_ready).await;
    // The probe has closed its connection: who wrote in it is told so, and the next one why. None is stored.
    let told = async || {
        let refused = agent.post("/tasks", serde_json::json!({ "title": "Meanwhile" })).await;
        refused.fails(503, "unavailable");
        assert!(refused.headers.contains_key("retry-after"));
        refused.text.contains("read-only").then_some(())
    };
    wait_for("a write is told that the server is read-only", told).await;
    let titles = agent.get("/tasks").await.ok()["items"].to_string();
    assert!(titles.contains("Before") && !titles.contains("Meanwhile"), "{titles}");
    let file = of(&home).data().join("postgresql.auto.conf");
    std::fs::write(file, "").unwrap();
    of(&home).say_in("postgres", "SELECT pg_reload_conf()");
    wait_for("it takes writes", async || (ready(&backend).await.status == 200).then_some(())).await;
    agent.task("After").await;
}

#[tokio::test]
async fn notifications_come_again_after_the_listening_connection_was_ended() {
    let Some(home) = start() else { return };
    let (one, other) =
        (Backend::reaching(&home, home.database()).await, Backend::reaching(&home, home.database()).await);
    let mut events = one.service().events(None);
    assert_eq!(tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap(), News::Connected);
    for n in 0..3 {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
        let listening = async || (of(&home).say_in("postgres", end) == "2").then_some(());
        wait_for("both listen, and are ended", listening).await;
        let title = n.to_string();
        other.agent("ann", "scout").task(&title).await;
        let news = tokio::time::timeout(PATIENCE, events.next()).await.expect("the event comes");
        match news.unwrap() {
            News::Event(event) => assert_eq!(event.data["title"], title.as_str()),
            other => panic!("{other:?}"),
        }
    }
}
