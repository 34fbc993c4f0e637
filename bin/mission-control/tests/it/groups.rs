//! Writes that queue are committed together: each is answered once it is on disk, and none for another.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::AnyConnection;
use tokio::task::JoinHandle;

use crate::harness::{Answer, Backend, Caller, MC, column, on_postgres, send};
use crate::outages::{Load, start};

/// Long enough for a request to come to its turn, or to wait for it.
const MOMENT: Duration = Duration::from_millis(50);

/// Writers in the trials.
const WRITERS: usize = 32;

/// A database that somebody else writes to, so that all others wait.
struct Held(AnyConnection);

impl Held {
    async fn new(backend: &Backend) -> Self {
        let mut other = backend.database().await;
        let hold = match on_postgres() {
            true => "BEGIN; LOCK TABLE write_turn IN EXCLUSIVE MODE",
            false => "BEGIN IMMEDIATE",
        };
        sqlx::raw_sql(hold).execute(&mut other).await.unwrap();
        Self(other)
    }

    async fn let_go(mut self) {
        tokio::time::sleep(MOMENT).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut self.0).await.unwrap();
    }
}

/// Begins to create a task, and gives the request time to come.
async fn create(caller: &Caller, body: Value) -> JoinHandle<Answer> {
    let request = caller.raw(Method::POST, &format!("{MC}/tasks")).json(&body);
    let sent = tokio::spawn(send(request));
    tokio::time::sleep(MOMENT).await;
    sent
}

/// What happens to a new task, by its title.
async fn when_titled(backend: &Backend, title: &str, happens: &str) {
    let text = match on_postgres() {
        true => format!(
            "CREATE FUNCTION happens_{title}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {happens}; RETURN NEW; END $$; \
             CREATE TRIGGER {title} BEFORE INSERT ON tasks FOR EACH ROW WHEN (NEW.title = '{title}') \
             EXECUTE FUNCTION happens_{title}()"
        ),
        false => format!(
            "CREATE TRIGGER {title} BEFORE INSERT ON tasks WHEN NEW.title = '{title}' BEGIN {happens}; END"
        ),
    };
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut backend.database().await).await.unwrap();
}

/// The statement of such a task fails.
async fn broken_fails(backend: &Backend) {
    let happens = if on_postgres() { "RAISE EXCEPTION 'broken'" } else { "SELECT RAISE(ABORT, 'broken')" };
    when_titled(backend, "broken", happens).await;
}

/// The database ends the transaction, as SQLite does on a full disk, or the connection.
async fn fatal_ends_all(backend: &Backend) {
    let happens = match on_postgres() {
        true => "PERFORM pg_terminate_backend(pg_backend_pid())",
        false => "SELECT RAISE(ROLLBACK, 'full')",
    };
    when_titled(backend, "fatal", happens).await;
}

/// The titles of all tasks.
async fn titles(caller: &Caller) -> Vec<String> {
    let tasks = caller.get("/tasks?limit=200").await;
    column(tasks.items(), "title").into_iter().map(str::to_owned).collect()
}

/// How many transactions a file's log of writes holds: each ends with a frame that names the size of the
/// database (<https://www.sqlite.org/fileformat2.html>, section 4.1).
fn commits(url: &str) -> usize {
    let log = std::fs::read(format!("{}-wal", url.trim_start_matches("sqlite:"))).unwrap();
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let frame = 24 + number(8) as usize;
    let salt = number(16);
    let frames = (32..log.len()).step_by(frame).filter(|at| at + frame <= log.len());
    frames.filter(|at| number(at + 8) == salt && number(at + 4) > 0).count()
}

#[tokio::test]
async fn writes_that_queue_are_committed_together() {
    if on_postgres() {
        return;
    }
    let backend = Backend::start().await;
    let person = backend.person("ann");
    person.task("first").await;
    let held = Held::new(&backend).await;
    let before = commits(&backend.home.url());
    let mut sent = Vec::new();
    for n in 0..20 {
        sent.push(create(&person, json!({ "title": n.to_string() })).await);
    }
    held.let_go().await;
    for answer in sent {
        answer.await.unwrap().ok();
    }
    let many = commits(&backend.home.url()) - before;
    assert!((1..=10).contains(&many), "{many} commits for 20 writes");
    assert_eq!(titles(&person).await.len(), 21);
}

#[tokio::test]
async fn a_refused_neighbour_is_undone_alone() {
    let backend = Backend::start().await;
    broken_fails(&backend).await;
    let person = backend.person("ann");
    person.post("/tasks", json!({ "title": "known", "idempotency_key": "k" })).await.ok();
    let held = Held::new(&backend).await;
    let mut sent = Vec::new();
    for n in 0..12 {
        let body = match n % 4 {
            1 => json!({ "title": "broken", "idempotency_key": format!("broken {n}") }),
            2 => json!({ "title": "other", "idempotency_key": "k" }),
            _ => json!({ "title": n.to_string() }),
        };
        sent.push(create(&person, body).await);
    }
    held.let_go().await;
    for (n, answer) in sent.into_iter().enumerate() {
        let answer = answer.await.unwrap();
        match n % 4 {
            1 => answer.fails(500, "internal_error"),
            2 => answer.fails(409, "idempotency_conflict"),
            _ => assert_eq!(answer.ok()["title"], n.to_string()),
        }
    }
    assert_eq!(titles(&person).await, ["known", "0", "3", "4", "7", "8", "11"]);
    // A key of what was undone is free.
    let again = json!({ "title": "well", "idempotency_key": "broken 1" });
    assert!(!person.post("/tasks", again).await.replayed());
}

#[tokio::test]
async fn of_a_transaction_that_the_database_ends_nothing_is_acknowledged() {
    let backend = Backend::start().await;
    fatal_ends_all(&backend).await;
    let person = backend.person("ann");
    let held = Held::new(&backend).await;
    let mut sent = Vec::new();
    for n in 0..12 {
        let (title, key) = match n {
            // Answered as before, if what was before is kept.
            1 => ("0".to_owned(), "0".to_owned()),
            2 => ("fatal".to_owned(), "fatal".to_owned()),
            n => (n.to_string(), n.to_string()),
        };
        sent.push(create(&person, json!({ "title": title, "idempotency_key": key })).await);
    }
    held.let_go().await;
    let mut kept = HashMap::new();
    let mut refused = 0;
    for answer in sent {
        let answer = answer.await.unwrap();
        if answer.status == StatusCode::OK {
            let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
            kept.insert(text("id"), text("title"));
        } else {
            assert!(answer.status.is_server_error(), "{}", answer.text);
            refused += 1;
        }
    }
    let tasks = person.get("/tasks?limit=200").await;
    let ids = column(tasks.items(), "id").into_iter().map(str::to_owned);
    let there: HashMap<_, _> = ids.zip(titles(&person).await).collect();
    assert_eq!(there, kept);
    assert!(refused >= 3, "those before it were not in its transaction: {refused} refused");
    assert!(kept.len() >= 9, "those after it were refused: {kept:?}");
    // What was refused may be sent again.
    let again = person.post("/tasks", json!({ "title": "0", "idempotency_key": "0" })).await;
    assert!(!again.replayed(), "{}", again.text);
}

#[tokio::test]
async fn a_neighbour_that_goes_away_is_undone_alone() {
    let backend = Backend::start().await;
    let happens = match on_postgres() {
        true => "PERFORM pg_sleep(2)",
        false => "SELECT count(*) FROM many",
    };
    if !on_postgres() {
        let many = "CREATE VIEW many AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000000) \
            SELECT i FROM n";
        sqlx::raw_sql(many).execute(&mut backend.database().await).await.unwrap();
    }
    when_titled(&backend, "slow", happens).await;
    let person = backend.person("ann");
    let held = Held::new(&backend).await;
    let first = create(&person, json!({ "title": "first" })).await;
    let slow = create(&person, json!({ "title": "slow" })).await;
    let waits = create(&person, json!({ "title": "waits" })).await;
    let last = create(&person, json!({ "title": "last" })).await;
    waits.abort();
    held.let_go().await;
    tokio::time::sleep(4 * MOMENT).await;
    assert!(!slow.is_finished(), "it is too fast for this test");
    slow.abort();
    for answer in [first, last] {
        answer.await.unwrap().ok();
    }
    assert_eq!(titles(&person).await, ["first", "last"]);
}

#[tokio::test]
async fn what_waits_is_not_acknowledged_once_the_file_was_moved_away() {
    if on_postgres() {
        return;
    }
    let backend = Backend::start().await;
    let person = backend.person("ann");
    person.task("before").await;
    let held = Held::new(&backend).await;
    let mut sent = Vec::new();
    for n in 0..3 {
        sent.push(create(&person, json!({ "title": n.to_string() })).await);
    }
    let file = backend.home.url().trim_start_matches("sqlite:").to_owned();
    let away = format!("{file}-away");
    std::fs::rename(&file, &away).unwrap();
    held.let_go().await;
    for answer in sent {
        let answer = answer.await.unwrap();
        answer.fails(503, "unavailable");
        assert!(answer.text.contains("deleted or replaced"), "{}", answer.text);
    }
    std::fs::rename(&away, &file).unwrap();
    assert_eq!(titles(&person).await, ["before"]);
    person.task("after").await;
}

#[tokio::test]
async fn a_backend_that_is_killed_or_stopped_amid_a_group_loses_nothing_and_does_nothing_twice() {
    let (home, dir) = (crate::harness::Home::new(), tempfile::tempdir().unwrap());
    let mut backend = start(&home.url(), dir.path(), "0");
    let url = backend.url().await.unwrap();
    let port = url.rsplit(':').next().unwrap().to_owned();
    let load = Load::by(WRITERS, &url);
    for signal in [Signal::KILL, Signal::TERM, Signal::KILL, Signal::TERM, Signal::KILL] {
        load.go_on().await;
        backend.signal(signal);
        backend.wait().await.unwrap();
        backend = start(&home.url(), dir.path(), &port);
        backend.url().await.unwrap();
    }
    load.go_on().await;
    load.check(&url).await;
}
