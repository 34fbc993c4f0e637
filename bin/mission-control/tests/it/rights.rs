//! What a role, a database or a server lacks is said at start, with what helps.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::json;
use test_support::postgres::Postgres;
use test_support::{lacks, wait_for};
use wombat_mission_control::store::database::{Address, Database, Server};

use crate::harness::{Backend, Home, Options, kept, on_postgres};

fn start() -> Option<Arc<Home>> {
    let server = on_postgres().then(|| Postgres::start(kept()))??;
    Some(Arc::new(Home::Server(server)))
}

fn say(home: &Home, database: &str, statement: &str) {
    let Home::Server(server) = home else { panic!("a server") };
    server.say_in(database, statement);
}

/// The database of a role, with a schema of ours.
fn by(home: &Home, role: &str, database: &str, schema: Option<&str>) -> Database {
    let url = home.url().replace("postgres@", &format!("{role}@"));
    let url = url.replace("/wombat?", &format!("/{database}?"));
    let schema = schema.map(str::to_owned);
    Database::Postgres(Box::new(Server { schema, ..Server::new(Address::parse(&url).unwrap()) }))
}

#[tokio::test]
async fn a_missing_right_is_named_with_the_statement_that_grants_it() {
    let Some(home) = start() else { return };
    say(&home, "wombat", "CREATE ROLE \"my app\" LOGIN");
    say(&home, "wombat", "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let refusal = async |schema| Backend::refusal(by(&home, "my%20app", "wombat", schema)).await;
    let grant = |statement: &str| say(&home, "wombat", statement);

    let why = refusal(None).await;
    assert!(why.contains("GRANT CREATE ON SCHEMA public TO \"my app\""), "{why}");
    let statement = "CREATE SCHEMA \"Our Own\" AUTHORIZATION \"my app\"";
    let why = refusal(Some("Our Own")).await;
    assert!(why.contains(statement), "{why}");
    grant(statement);
    let backend = Backend::reaching(&home, by(&home, "my%20app", "wombat", Some("Our Own"))).await;
    backend.agent("ann", "scout").task("Mine").await;
    backend.stop().await;

    // Who may not make tables can use those that are there.
    grant("CREATE ROLE reader LOGIN");
    let refusal = async || Backend::refusal(by(&home, "reader", "wombat", Some("Our Own"))).await;
    let why = refusal().await;
    assert!(why.contains("GRANT USAGE, CREATE ON SCHEMA \"Our Own\" TO reader"), "{why}");
    grant("GRANT USAGE ON SCHEMA \"Our Own\" TO reader");
    let why = refusal().await;
    assert!(why.contains("role reader lacks SELECT on table \"Our Own\"._sqlx_migrations"), "{why}");
    grant("GRANT SELECT ON ALL TABLES IN SCHEMA \"Our Own\" TO reader");
    let why = refusal().await;
    let all = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"Our Own\" TO reader";
    assert!(why.contains("lacks INSERT") && why.contains(all), "{why}");
    grant(all);
    let backend = Backend::reaching(&home, by(&home, "reader", "wombat", Some("Our Own"))).await;
    backend.agent("ann", "scout").task("Theirs").await;
}

#[tokio::test]
async fn a_right_that_is_taken_away_and_a_text_that_cannot_be_stored_are_told_as_such() {
    let Some(home) = start() else { return };
    say(&home, "wombat", "CREATE ROLE app LOGIN");
    say(&home, "wombat", "CREATE SCHEMA app AUTHORIZATION app");
    let backend = Backend::reaching(&home, by(&home, "app", "wombat", Some("app"))).await;
    let agent = backend.agent("ann", "scout");
    let answer = agent.post("/tasks", json!({ "title": "a\u{0}b" })).await;
    answer.fails(400, "invalid_payload");
    assert!(answer.text.contains("U+0000"), "{}", answer.text);
    say(&home, "wombat", "ALTER TABLE app.tasks OWNER TO postgres");
    let answer = agent.post("/tasks", json!({ "title": "refused" })).await;
    answer.fails(503, "unavailable");
    assert!(answer.text.contains("denies a privilege"), "{}", answer.text);
}

#[tokio::test]
async fn tables_of_another_application_are_left_alone() {
    let Some(home) = start() else { return };
    say(&home, "wombat", "CREATE TABLE tasks (id int)");
    let why = Backend::refusal(home.database()).await;
    assert!(why.contains("MC_SCHEMA=wombat"), "{why}");
    let own = by(&home, "postgres", "wombat", Some("wombat"));
    Backend::reaching(&home, own).await.agent("ann", "scout").task("Apart").await;
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let Some(home) = start() else { return };
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = encoding.to_lowercase();
        let make = format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        say(&home, "postgres", &make);
        let why = Backend::refusal(by(&home, "postgres", &name, None)).await;
        let line = format!("createdb --template=template0 --encoding=UTF8 --locale=C {name}_utf8");
        assert!(why.contains(encoding) && why.contains(&line), "{why}");
    }
}

#[tokio::test]
async fn read_only_by_default_is_refused_with_the_statement_that_ends_it() {
    let Some(home) = start() else { return };
    say(&home, "postgres", "CREATE ROLE app LOGIN");
    for (whose, name) in [
        ("ROLE app", "ALTER ROLE app SET"),
        ("ROLE app IN DATABASE wombat", "ALTER ROLE app IN DATABASE wombat SET"),
        ("DATABASE wombat", "ALTER DATABASE wombat SET"),
    ] {
        say(&home, "postgres", &format!("ALTER {whose} SET default_transaction_read_only = on"));
        let why = Backend::refusal(by(&home, "app", "wombat", None)).await;
        assert!(why.contains(&format!("{name} default_transaction_read_only = off")), "{why}");
        say(&home, "postgres", &format!("ALTER {whose} RESET default_transaction_read_only"));
    }
}

/// PGlite's socket server, which ends with this.
struct Pglite(Child);

impl Drop for Pglite {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

#[tokio::test]
async fn pglite_is_refused_as_it_has_one_connection() {
    if !on_postgres() {
        return;
    }
    let Some(folder) = std::env::var_os("WOMBAT_TEST_PGLITE") else {
        return lacks("PGlite", "databases");
    };
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join(".s.PGSQL.5432");
    let script = "node_modules/@electric-sql/pglite-socket/dist/scripts/server.js";
    let mut node = Command::new("node");
    node.arg(script).arg("--db=memory://").arg(format!("--path={}", socket.display()));
    let node = node.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _pglite = Pglite(node.unwrap());
    wait_for("PGlite listens", async || socket.exists().then_some(())).await;
    let url = format!("postgres://postgres:x@localhost/postgres?host={}", dir.path().display());
    let why = Backend::refusal(Database::of_url(&url.into()).unwrap()).await;
    assert!(why.contains("PGlite") && why.contains("one connection"), "{why}");
}

#[tokio::test]
async fn a_log_that_shall_expire_needs_the_right_to_delete_from_it() {
    let Some(home) = start() else { return };
    Backend::reaching(&home, home.database()).await.stop().await;
    say(&home, "wombat", "CREATE ROLE keeper LOGIN");
    let all = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO keeper";
    say(&home, "wombat", all);
    say(&home, "wombat", "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO keeper");
    say(&home, "wombat", "REVOKE DELETE ON audit FROM keeper");
    let options = || Options { retention: "audit=30", ..Options::default() };
    let why = Backend::refusal_of(by(&home, "keeper", "wombat", None), options()).await;
    assert!(why.contains("GRANT DELETE ON public.audit TO keeper"), "{why}");
    // Nobody else needs it.
    let backend = Backend::reaching(&home, by(&home, "keeper", "wombat", None)).await;
    backend.agent("ann", "scout").task("Mine").await;
    backend.stop().await;
}
