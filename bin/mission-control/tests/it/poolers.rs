//! PostgreSQL behind a real PgBouncer, which other applications use, too.

use std::sync::Arc;

use serde_json::json;
use test_support::pooler::{Pooler, Version};
use test_support::postgres::Postgres;
use wombat_mission_control::store::database::{Address, Database, Server};

use crate::files;
use crate::harness::{Backend, Home, column, kept, on_postgres};

/// What a session has unless somebody set it.
const SETTINGS: [(&str, &str); 8] = [
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read committed"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("search_path", "\"$user\", public"),
    ("synchronous_commit", "on"),
    ("application_name", "psql"),
];

fn server(url: &str) -> Server {
    Server::new(Address::parse(url).unwrap())
}

fn database(server: Server) -> Database {
    Database::Postgres(Box::new(server))
}

/// A server and a pooler before it; `None` where one of them is not installed.
fn pooled(version: Version, mode: &str, settings: &str) -> Option<(Arc<Home>, Pooler)> {
    if !on_postgres() {
        return None;
    }
    let server = Postgres::start(kept())?;
    let pooler = Pooler::start(&server, version, mode, settings)?;
    Some((Arc::new(Home::Server(server)), pooler))
}

fn of(home: &Home) -> &Postgres {
    match home {
        Home::Server(server) => server,
        Home::File(_) => panic!("a server"),
    }
}

/// Writes and reads, several at once, and looks at what another application finds in the pool.
async fn works_and_leaves_nothing(home: &Arc<Home>, pooler: &Pooler) {
    let backend = Backend::reaching(home, database(server(&pooler.url()))).await;
    let agent = backend.agent("ann", "scout");
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..40 {
        let agent = agent.clone();
        calls.spawn(async move {
            let new = json!({ "title": format!("{n}"), "idempotency_key": format!("{n}") });
            agent.post("/tasks", new).await.ok();
            agent.get("/tasks").await.ok();
        });
    }
    calls.join_all().await;
    assert_eq!(agent.get("/tasks?limit=200").await.items().len(), 40);
    let again = agent.post("/tasks", json!({ "title": "7", "idempotency_key": "7" })).await;
    assert!(again.replayed());
    let bytes = vec![7; 2 * 1024 * 1024 + 1];
    let file = files::put(&agent, "a", "application/x-sevens", &bytes).await;
    assert!(files::bytes_of(&agent, files::id(&file)).await == bytes, "{}", file.text);
    // More than one connection, as each statement may come to another one.
    for _ in 0..4 {
        let say = |statement: &str| {
            of(home).say_at(pooler.folder(), pooler.port(), "wombat", statement)
        };
        for (name, value) in SETTINGS {
            assert_eq!(say(&format!("SHOW {name}")), value, "{name}");
        }
        assert_eq!(say("SELECT count(*) FROM pg_prepared_statements"), "0");
        assert_eq!(say("SELECT count(*) FROM pg_listening_channels()"), "0");
        assert_eq!(say("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
    }
    backend.stop().await;
}

#[tokio::test]
async fn transaction_pooling_works_and_others_notice_nothing() {
    for (version, settings) in [
        (Version::Installed, ""),
        (Version::Installed, "ignore_startup_parameters = extra_float_digits"),
        (Version::Other, "max_prepared_statements = 0\ndefault_pool_size = 3"),
        (Version::Other, "ignore_startup_parameters = extra_float_digits,options\nserver_round_robin = 1"),
    ] {
        let Some((home, pooler)) = pooled(version, "transaction", settings) else { return };
        works_and_leaves_nothing(&home, &pooler).await;
    }
}

#[tokio::test]
async fn statement_pooling_is_refused_with_what_helps() {
    for version in [Version::Installed, Version::Other] {
        let Some((_home, pooler)) = pooled(version, "statement", "") else { return };
        let why = Backend::refusal(database(server(&pooler.url()))).await;
        assert!(why.contains("statement pooling") && why.contains("pool_mode = transaction"), "{why}");
    }
}

#[tokio::test]
async fn a_pool_that_is_too_small_is_told_at_start() {
    let Some((home, pooler)) = pooled(Version::Installed, "session", "default_pool_size = 3") else {
        return;
    };
    let why = Backend::refusal(database(server(&pooler.url()))).await;
    assert!(why.contains("only 3 could be opened") && why.contains("MC_DB_CONNECTIONS is 5"), "{why}");
    let three = Server { connections: 3, ..server(&pooler.url()) };
    Backend::reaching(&home, database(three)).await.agent("ann", "scout").task("fits").await;
}

#[tokio::test]
async fn a_role_without_enough_connections_is_told_at_start() {
    let Some((home, _pooler)) = pooled(Version::Installed, "session", "") else { return };
    of(&home).say_in("wombat", "CREATE ROLE app LOGIN CONNECTION LIMIT 2; GRANT CREATE ON SCHEMA public TO app");
    let why = Backend::refusal(database(server(&home.url().replace("postgres@", "app@")))).await;
    assert!(why.contains("too many connections for role") && why.contains("MC_DB_CONNECTIONS"), "{why}");
}

#[tokio::test]
async fn others_are_heard_of_by_the_servers_own_address_or_by_looking() {
    let Some((home, pooler)) = pooled(Version::Installed, "transaction", "") else { return };
    let listen = Some(Address::parse(&home.url()).unwrap());
    let direct = Backend::reaching(&home, home.database()).await;
    let polls = Backend::reaching(&home, database(server(&pooler.url()))).await;
    let hears = Server { listen, ..server(&pooler.url()) };
    let hears = Backend::reaching(&home, database(hears)).await;
    for (told, writes) in [(&direct, &polls), (&polls, &hears), (&hears, &direct)] {
        let mut events = told.service().events(None);
        assert_eq!(events.next().await.unwrap(), mc_client::events::News::Connected);
        let id = writes.agent("ann", "scout").task("News").await;
        let news = tokio::time::timeout(test_support::PATIENCE, events.next()).await;
        match news.expect("the event comes").unwrap() {
            mc_client::events::News::Event(event) => assert_eq!(event.data["id"], id.as_str()),
            other => panic!("{other:?}"),
        }
    }
    // LISTEN on a pooled connection would be somebody else's, too.
    let listen = Some(Address::parse(&pooler.url()).unwrap());
    let why = Backend::refusal(database(Server { listen, ..server(&pooler.url()) })).await;
    assert!(why.contains("MC_LISTEN_URL leads to a connection pooler"), "{why}");
}

/// Defaults that would change what the backend does, or end it.
const HOSTILE: &str = "ALTER DATABASE wombat SET default_transaction_isolation = 'serializable'; \
    ALTER DATABASE wombat SET statement_timeout = '5ms'; ALTER DATABASE wombat SET lock_timeout = '1ms'; \
    ALTER DATABASE wombat SET idle_in_transaction_session_timeout = '1ms'; \
    ALTER DATABASE wombat SET idle_session_timeout = '100ms'; ALTER DATABASE wombat SET synchronous_commit = off; \
    ALTER DATABASE wombat SET standard_conforming_strings = off; ALTER DATABASE wombat SET bytea_output = 'escape'; \
    ALTER DATABASE wombat SET datestyle = 'German'; ALTER DATABASE wombat SET timezone = 'Asia/Kathmandu'";

#[tokio::test]
async fn defaults_of_the_server_change_nothing() {
    let Some((home, pooler)) = pooled(Version::Installed, "transaction", "") else { return };
    for statement in HOSTILE.split(';') {
        of(&home).say_in("postgres", statement);
    }
    for url in [home.url(), pooler.url()] {
        if url == pooler.url() {
            // This one would end the pooler's idle connections.
            of(&home).say_in("postgres", "ALTER DATABASE wombat RESET idle_session_timeout");
        }
        let backend = Backend::reaching(&home, database(server(&url))).await;
        let agent = backend.agent("ann", "scout");
        for n in 0..10 {
            agent.task(&format!("{n} €")).await;
            agent.get("/tasks").await.ok();
        }
        backend.stop().await;
    }
    assert_eq!(of(&home).say_in("wombat", "SHOW synchronous_commit"), "off");
}

#[tokio::test]
async fn another_version_of_the_server_works_as_well() {
    if !on_postgres() {
        return;
    }
    let Some(other) = Postgres::start_other(kept()) else { return };
    let version = other.say_in("wombat", "SHOW server_version_num");
    assert!(version.parse::<u32>().unwrap() >= 180_000, "{version}");
    // New since 17: the whole transaction has a timeout.
    other.say_in("postgres", "ALTER DATABASE wombat SET transaction_timeout = '2s'");
    let home = Arc::new(Home::Server(other));
    let backend = Backend::reaching(&home, home.database()).await;
    backend.agent("ann", "scout").task("New").await;
    backend.stop().await;
    let Some(pooler) = Pooler::start(of(&home), Version::Other, "transaction", "") else { return };
    let backend = Backend::reaching(&home, database(server(&pooler.url()))).await;
    let agent = backend.agent("ann", "scout");
    agent.task("Newer").await;
    assert_eq!(column(agent.get("/tasks").await.items(), "title"), ["New", "Newer"]);
}
