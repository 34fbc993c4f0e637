//! A schema of its own in somebody else's database.

use std::sync::Arc;

use mc_client::events::News;
use test_support::PATIENCE;
use test_support::postgres::Postgres;
use wombat_mission_control::store::database::{Address, Database, Server};

use crate::harness::{Backend, Home, column, kept, on_postgres};

fn start() -> Option<Arc<Home>> {
    let server = on_postgres().then(|| Postgres::start(kept()))??;
    Some(Arc::new(Home::Server(server)))
}

fn in_schema(home: &Home, schema: &str) -> Database {
    let server = Server::new(Address::parse(&home.url()).unwrap());
    Database::Postgres(Box::new(Server { schema: Some(schema.to_owned()), ..server }))
}

#[tokio::test]
async fn instances_of_different_schemas_do_not_disturb_each_other() {
    let Some(home) = start() else { return };
    let odd = "It's \"odd\" \\ é";
    let one = Backend::reaching(&home, in_schema(&home, "wombat")).await;
    let two = Backend::reaching(&home, in_schema(&home, odd)).await;
    let again = Backend::reaching(&home, in_schema(&home, "wombat")).await;
    let plain = Backend::reaching(&home, home.database()).await;
    let mut heard = Vec::new();
    for backend in [&again, &two] {
        let mut events = backend.service().events(None);
        assert_eq!(events.next().await.unwrap(), News::Connected);
        heard.push(events);
    }
    for (backend, title) in [(&one, "one"), (&two, "two"), (&plain, "plain")] {
        backend.agent("ann", "scout").task(title).await;
        let tasks = backend.agent("ann", "scout").get("/tasks").await;
        assert_eq!(column(tasks.items(), "title"), [title]);
    }
    for (mut events, title) in heard.into_iter().zip(["one", "two"]) {
        let news = tokio::time::timeout(PATIENCE, events.next()).await.expect("the event comes");
        match news.unwrap() {
            News::Event(event) => assert_eq!(event.data["title"], title),
            other => panic!("{other:?}"),
        }
    }
    let Home::Server(server) = &*home else { panic!("a server") };
    let made = "SELECT count(DISTINCT n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relname = 'write_turn'";
    assert_eq!(server.say_in("wombat", made), "3");
}

#[tokio::test]
async fn a_url_may_name_the_schema_as_libpq_and_others_do() {
    let Some(home) = start() else { return };
    let Home::Server(server) = &*home else { panic!("a server") };
    for (n, parameter) in [
        "search_path=s0",
        "options=-c%20search_path%3Ds1",
        "options=-csearch_path=s2,public+-c+work_mem=8MB",
        "options[search_path]=s3",
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("{}&{parameter}", home.url());
        let database = Database::of_url(&url.into()).unwrap();
        Backend::reaching(&home, database).await.agent("ann", "scout").task("There").await;
        let count = format!("SELECT count(*) FROM s{n}.tasks");
        assert_eq!(server.say_in("wombat", &count), "1", "{parameter}");
    }
}

#[tokio::test]
async fn several_instances_may_make_the_schema_at_the_same_moment() {
    let Some(home) = start() else { return };
    for n in 0..4 {
        let schema = format!("new{n}");
        let one = async || Backend::reaching(&home, in_schema(&home, &schema)).await;
        for backend in futures::future::join_all([one(), one(), one(), one()]).await {
            backend.agent("ann", "scout").task("There").await;
            backend.stop().await;
        }
    }
}
