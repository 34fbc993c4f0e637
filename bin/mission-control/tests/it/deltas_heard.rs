//! What runs tell while they work, as their readers hear it: at this instance, at another, and while Redis is
//! away.

use std::sync::Arc;
use std::time::Duration;

use mc_client::events::{Event, Events, News};
use reqwest::Method;
use serde_json::json;
use test_support::redis::Redis;
use test_support::wait_for;
use wombat_mission_control::deltas::DeltasConfig;

use crate::deltas::{Run, both, by, keeping, told};
use crate::harness::{Backend, MC, Options, on_postgres};

async fn connected(mut events: Events) -> Events {
    assert_eq!(within(events.next()).await.unwrap(), News::Connected);
    events
}

async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it happens in time")
}

async fn next(events: &mut Events) -> Event {
    match within(events.next()).await.unwrap() {
        News::Event(event) => event,
        News::Connected | News::Broken(_) => panic!("the connection broke"),
    }
}

#[tokio::test]
async fn who_asks_for_a_run_hears_it_and_nobody_else_does() {
    for (backend, _redis) in both(DeltasConfig::default()).await {
        let run = Run::begin(&backend, "k").await;
        run.tell(1, &["before"]).await.ok();
        let client = backend.client("ann", "scout");
        let mut heard = connected(client.events_of_run("k", None)).await;
        let mut others = connected(client.events(None)).await;
        run.tell(2, &["a", "b"]).await.ok();
        let delta = next(&mut heard).await;
        assert_eq!((delta.kind.as_str(), &delta.id), ("run.delta", &None));
        assert_eq!(delta.data["run_key"], "k");
        assert_eq!(delta.data["events"], json!([told(run.id(2), "a"), told(run.id(3), "b")]));
        // Saved events come as ever.
        run.agent.task("Another").await;
        for events in [&mut heard, &mut others] {
            let event = next(events).await;
            assert_eq!(event.kind, "task.created");
            assert!(event.id.is_some());
        }
        let of = |query: &str| format!("{MC}/events?{query}");
        for (caller, query, status, code) in [
            (backend.agent("ann", "scout"), "run_key=none", 404, "not_found"),
            (backend.agent("ann", "mole"), "run_key=k", 404, "not_found"),
            (backend.agent("bob", "scout"), "run_key=k", 404, "not_found"),
            (backend.internal(), "run_key=k", 400, "invalid_payload"),
        ] {
            let answer = crate::harness::send(caller.raw(Method::GET, &of(query))).await;
            answer.fails(status, code);
        }
        let person = backend.person("ann").raw(Method::GET, &of("run_key=k"));
        assert_eq!(person.send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn another_instance_tells_it_too() {
    let Some(redis) = Redis::start() else { return };
    let config = by(&redis, DeltasConfig::default());
    let one = keeping(config.clone()).await;
    if !on_postgres() {
        return;
    }
    let in_database = (Backend::start().await, DeltasConfig::default());
    for (one, config) in [(one, config), in_database] {
        let other = Backend::beside(Arc::clone(&one.home), Options { deltas: config, ..Options::default() }).await;
        let run = Run::begin(&one, "k").await;
        let mut heard = connected(other.client("ann", "scout").events_of_run("k", None)).await;
        for n in 1..=3 {
            run.tell(n, &["a"]).await.ok();
            let delta = next(&mut heard).await;
            assert_eq!(delta.data["events"], json!([told(run.id(n), "a")]));
        }
    }
}

#[tokio::test]
async fn while_redis_is_away_nothing_else_waits_for_it() {
    let Some(mut redis) = Redis::start() else { return };
    let backend = keeping(by(&redis, DeltasConfig::default())).await;
    let run = Run::begin(&backend, "k").await;
    run.tell(1, &["a"]).await.ok();
    let client = backend.client("ann", "scout");
    let mut heard = connected(client.events_of_run("k", None)).await;
    redis.stop();
    for answer in [run.tell(2, &["b"]).await, run.read("").await] {
        answer.fails(503, "deltas_unavailable");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    // Whole steps are told as ever, also to who joins now.
    let mut joined = connected(client.events_of_run("k", None)).await;
    run.agent.put("/runs/k/steps/0", json!({ "kind": "k", "payload": 1 })).await.ok();
    for events in [&mut heard, &mut joined] {
        assert_eq!(next(events).await.kind, "run.step");
    }
    run.agent.get("/runs/k").await.ok();
    redis.resume();
    let told_again = wait_for("Redis answers again", async || {
        let answer = run.tell(2, &["b"]).await;
        (answer.status != 503).then_some(answer)
    });
    assert_eq!(told_again.await.ok()["last_seq"], run.id(2));
    assert_eq!(next(&mut heard).await.data["events"], json!([told(run.id(2), "b")]));
    // What it held is gone, and that is said.
    let read = run.read("").await;
    let kept = json!({ "events": [told(run.id(2), "b")], "last_seq": run.id(2), "expired": true });
    assert_eq!(read.ok(), &kept);
}
