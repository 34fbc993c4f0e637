//! What runs tell while they work: kept in the database and in Redis, read, and heard.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::redis::Redis;
use test_support::wait_for;
use wombat_mission_control::deltas::{DeltasConfig, StreamUrl};

use crate::harness::{Answer, Backend, Caller, Home, Options};

/// How many ids each lease has.
const IDS: i64 = 1_000_000;

/// A run of `ann`'s scout under the lease of its session.
pub(crate) struct Run {
    pub(crate) agent: Caller,
    task: String,
    path: String,
    lease: String,
    fence: i64,
}

impl Run {
    pub(crate) async fn begin(backend: &Backend, key: &str) -> Self {
        let task = backend.agent("ann", "scout").task("Work").await;
        let run = json!({ "session_key": "user:ann:scout", "task_id": task, "status": "running", "detached": true });
        let begun = Self::take(backend, key, &task).await;
        begun.agent.put(&begun.path, run).await.ok();
        begun
    }

    /// Takes the lease for a run.
    async fn take(backend: &Backend, key: &str, task: &str) -> Self {
        let agent = backend.agent("ann", "scout");
        let wish = json!({ "session_key": "user:ann:scout", "task_id": task, "holder": "one", "ttl_secs": 600 });
        let lease = agent.post("/sessions/lease", wish).await;
        let (id, fence) = (lease.ok()["lease_id"].as_str().unwrap(), &lease.body["fence"]);
        let agent = agent.with("x-session-fence", &format!("{id}:{fence}"));
        let (lease, fence) = (id.to_owned(), fence.as_i64().unwrap());
        Self { agent, task: task.to_owned(), path: format!("/runs/{key}"), lease, fence }
    }

    pub(crate) fn id(&self, n: i64) -> i64 {
        self.fence * IDS + n
    }

    pub(crate) async fn tell(&self, n: i64, texts: &[&str]) -> Answer {
        let events: Vec<_> = texts.iter().map(|text| event(text)).collect();
        let body = json!({ "fence": self.fence, "seq": self.id(n), "events": events });
        self.agent.post(&format!("{}/deltas", self.path), body).await
    }

    pub(crate) async fn read(&self, query: &str) -> Answer {
        self.agent.get(&format!("{}/deltas{query}", self.path)).await
    }
}

fn event(text: &str) -> Value {
    json!({ "type": "chunk", "data": text, "step": 2, "more": [null, 1.5, 9_007_199_254_740_993_i64] })
}

/// An event as it is read.
pub(crate) fn told(id: i64, text: &str) -> Value {
    let mut event = event(text);
    event["id"] = json!(id);
    event
}

pub(crate) async fn keeping(deltas: DeltasConfig) -> Backend {
    Backend::start_in(Home::new(), Options { deltas, ..Options::default() }).await
}

/// A backend on each store, with its Redis.
pub(crate) async fn both(config: DeltasConfig) -> Vec<(Backend, Option<Redis>)> {
    let mut backends = vec![(keeping(config.clone()).await, None)];
    if let Some(redis) = Redis::start() {
        backends.push((keeping(by(&redis, config)).await, Some(redis)));
    }
    backends
}

pub(crate) fn by(redis: &Redis, config: DeltasConfig) -> DeltasConfig {
    DeltasConfig { streams: Some(StreamUrl::parse(&redis.url().into()).unwrap()), ..config }
}

#[tokio::test]
async fn what_a_run_tells_is_kept_once_each_and_in_order() {
    for (backend, _redis) in both(DeltasConfig::default()).await {
        let run = Run::begin(&backend, "k").await;
        let nothing = json!({ "events": [], "last_seq": 0, "expired": false });
        assert_eq!(run.read("").await.ok(), &nothing);
        let empty = run.tell(1, &[]).await;
        assert_eq!(empty.ok(), &json!({ "last_seq": 0, "cancel_requested": false }));
        let first = run.tell(1, &["a", "b"]).await;
        assert_eq!(first.ok(), &json!({ "last_seq": run.id(2), "cancel_requested": false }));
        // The same again, and a part of it with what follows.
        assert_eq!(run.tell(1, &["a", "b"]).await.ok()["last_seq"], run.id(2));
        assert_eq!(run.tell(2, &["b", "c", "d"]).await.ok()["last_seq"], run.id(4));
        let all: Vec<_> =
            (1..).zip(["a", "b", "c", "d"]).map(|(n, text)| told(run.id(n), text)).collect();
        let read = run.read("").await;
        assert_eq!(read.ok(), &json!({ "events": all, "last_seq": run.id(4), "expired": false }));
        let page = run.read(&format!("?after={}&limit=2", run.id(1))).await;
        assert_eq!(page.ok()["events"], json!(all[1..3]));
        for after in [run.id(4), run.id(5), i64::MAX >> 11] {
            assert_eq!(run.read(&format!("?after={after}")).await.ok()["events"], json!([]));
        }
        for wrong in ["?after=-1", "?after=x", "?after=1.5", "?limit=0", "?limit=x"] {
            run.read(wrong).await.fails(400, "invalid_payload");
        }
        // Of the next lease the ids are larger, and the old ones stay.
        run.agent.delete(&format!("/sessions/lease/{}", run.lease)).await.ok();
        let next = Run::take(&backend, "k", &run.task).await;
        assert_eq!(next.tell(1, &["e"]).await.ok()["last_seq"], 2 * IDS + 1);
        run.tell(5, &["late"]).await.fails(409, "stale_fence");
        assert_eq!(run.read("").await.ok()["events"].as_array().unwrap().len(), 5);
    }
}

#[tokio::test]
async fn another_event_takes_no_known_ones_place() {
    for (backend, _redis) in both(DeltasConfig::default()).await {
        let run = Run::begin(&backend, "k").await;
        run.tell(3, &["c", "d"]).await.ok();
        for (n, texts) in [(3, &["other"][..]), (4, &["other", "e"]), (1, &["a"]), (2, &["b", "c"])] {
            let refused = run.tell(n, texts).await;
            refused.fails(409, "seq_conflict");
            assert_eq!(refused.body["details"]["last_seq"], run.id(4));
        }
        let read = run.read("").await;
        assert_eq!(read.ok()["events"], json!([told(run.id(3), "c"), told(run.id(4), "d")]));
    }
}

#[tokio::test]
async fn only_who_runs_it_tells_and_only_its_user_reads() {
    let backend = Backend::start().await;
    let run = Run::begin(&backend, "k").await;
    run.tell(1, &["a"]).await.ok();
    let path = format!("{}/deltas", run.path);
    let body = json!({ "fence": run.fence, "seq": run.id(2), "events": [event("b")] });
    let fence = format!("{}:{}", run.lease, run.fence);
    backend.agent("ann", "scout").post(&path, body.clone()).await.fails(400, "invalid_payload");
    let person = backend.person("ann");
    person.clone().with("x-session-fence", &fence).post(&path, body.clone()).await.fails(403, "forbidden");
    assert_eq!(person.get(&path).await.ok()["last_seq"], run.id(1));
    backend.nobody().get(&path).await.fails(401, "unauthorized");
    for other in [backend.agent("ann", "mole"), backend.agent("bob", "scout")] {
        other.get(&path).await.fails(404, "not_found");
        let other = other.with("x-session-fence", &fence);
        other.post(&path, body.clone()).await.fails(404, "not_found");
    }
    backend.person("bob").get(&path).await.fails(404, "not_found");
    // The lease of another task of the same session.
    let other = Run::begin(&backend, "other").await;
    other.agent.post(&path, body.clone()).await.fails(409, "stale_fence");
    let mut named = body.clone();
    named["fence"] = json!(run.fence + 1);
    run.agent.post(&path, named).await.fails(409, "stale_fence");
    for (field, wrong) in [
        ("seq", json!(0)),
        ("seq", json!(-5)),
        ("seq", json!(i64::MAX)),
        ("seq", json!("1")),
        ("events", json!("x")),
        ("events", json!([1])),
        ("events", json!([{ "id": run.id(3), "type": "chunk" }])),
        ("fence", json!(null)),
    ] {
        let mut body = body.clone();
        body[field] = wrong.clone();
        run.agent.post(&path, body).await.fails(400, "invalid_payload");
    }
    for field in ["fence", "seq", "events"] {
        let mut body = body.clone();
        body.as_object_mut().unwrap().remove(field);
        run.agent.post(&path, body).await.fails(400, "invalid_payload");
    }
    let mut named = body;
    named["events"][0]["id"] = json!(run.id(2));
    assert_eq!(run.agent.post(&path, named).await.ok()["last_seq"], run.id(2));
}

#[tokio::test]
async fn a_run_that_is_over_or_has_failed_tells_nothing() {
    for (backend, _redis) in both(DeltasConfig::default()).await {
        for (key, status, tells) in
            [("c", "completed", false), ("x", "cancelled", false), ("f", "failed", false), ("i", "interrupted", true)]
        {
            let run = Run::begin(&backend, key).await;
            run.agent.put(&run.path, json!({ "status": status })).await.ok();
            let told = run.tell(1, &["a"]).await;
            match tells {
                true => assert_eq!(told.ok()["last_seq"], run.id(1)),
                false => told.fails(409, "run_finished"),
            }
        }
        let run = Run::begin(&backend, "asked").await;
        run.agent.post("/runs/asked/cancel", json!({})).await.ok();
        assert_eq!(run.tell(1, &[]).await.ok()["cancel_requested"], true);
    }
}

#[tokio::test]
async fn no_run_tells_more_than_is_kept_of_it() {
    let config = DeltasConfig { max_bytes: 1_024, ..DeltasConfig::default() };
    for (backend, _redis) in both(config).await {
        let run = Run::begin(&backend, "k").await;
        run.tell(1, &["a"]).await.ok();
        let long = "x".repeat(1_000);
        let full = run.tell(2, &[&long]).await;
        full.fails(413, "deltas_full");
        assert_eq!(full.body["details"]["max_bytes"], 1_024);
        for known in [&["a"][..], &[]] {
            assert_eq!(run.tell(1, known).await.ok()["last_seq"], run.id(1));
        }
        let many = vec!["x"; 257];
        run.tell(2, &many).await.fails(400, "invalid_payload");
        let huge = "x".repeat(1024 * 1024);
        run.tell(2, &[&huge]).await.fails(413, "payload_too_large");
        assert_eq!(run.read("").await.ok()["events"], json!([told(run.id(1), "a")]));
    }
}

#[tokio::test]
async fn a_run_that_tells_too_often_has_to_wait() {
    for (backend, _redis) in both(DeltasConfig::default()).await {
        let run = Run::begin(&backend, "k").await;
        let other = Run::begin(&backend, "other").await;
        let calls = (0..100).map(|_| run.tell(1, &["a"]));
        let answers = futures::future::join_all(calls).await;
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
        assert!(!refused.is_empty(), "100 calls at once are too many");
        for one in refused {
            one.fails(429, "too_many_deltas");
            assert_eq!(one.headers["retry-after"], "1");
        }
        other.tell(1, &["a"]).await.ok();
        assert_eq!(run.read("").await.ok()["events"].as_array().unwrap().len(), 1);
    }
}

/// The run's last write was long ago.
async fn long_ago(backend: &Backend) {
    let past = "2000-01-01T00:00:00.000000Z";
    let mut database = backend.database().await;
    for statement in ["UPDATE runs SET updated_at = $1", "UPDATE run_told SET written_at = $1"] {
        sqlx::query(statement).bind(past).execute(&mut database).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_run_told_expires_after_its_last_write() {
    let backend = Backend::start().await;
    let run = Run::begin(&backend, "k").await;
    run.tell(1, &["a", "b"]).await.ok();
    long_ago(&backend).await;
    let gone = json!({ "events": [], "last_seq": run.id(2), "expired": true });
    assert_eq!(run.read("").await.ok(), &gone);
    // Any write of the run keeps it, as long as nobody has deleted it.
    run.agent.put("/runs/k/steps/0", json!({ "kind": "k", "payload": 1 })).await.ok();
    assert_eq!(run.read("").await.ok()["expired"], false);
    long_ago(&backend).await;
    let last = run.tell(3, &["c"]).await;
    assert_eq!(last.ok()["last_seq"], run.id(3));
    let kept = json!({ "events": [told(run.id(3), "c")], "last_seq": run.id(3), "expired": true });
    assert_eq!(run.read("").await.ok(), &kept);
    run.tell(1, &["a"]).await.fails(409, "seq_conflict");
    // What expired is deleted, at the latest when the backend starts.
    long_ago(&backend).await;
    let backend = backend.restart().await;
    wait_for("old deltas are deleted", async || {
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM run_deltas")
            .fetch_one(&mut backend.database().await)
            .await
            .unwrap();
        (rows == 0).then_some(())
    })
    .await;
    let path = format!("{}/deltas", run.path);
    let gone = json!({ "events": [], "last_seq": run.id(3), "expired": true });
    assert_eq!(backend.agent("ann", "scout").get(&path).await.ok(), &gone);
}

#[tokio::test]
async fn redis_forgets_it_as_well() {
    let Some(redis) = Redis::start() else { return };
    let config = DeltasConfig { ttl: Duration::from_secs(1), ..DeltasConfig::default() };
    let backend = keeping(by(&redis, config)).await;
    let run = Run::begin(&backend, "k").await;
    run.tell(1, &["a"]).await.ok();
    let gone = json!({ "events": [], "last_seq": run.id(1), "expired": true });
    wait_for("it has expired", async || {
        (run.read("").await.ok() == &gone).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_redis_has_lost_is_known_to_have_been_told() {
    let Some(redis) = Redis::start() else { return };
    let backend = keeping(by(&redis, DeltasConfig::default())).await;
    let run = Run::begin(&backend, "k").await;
    run.tell(1, &["a"]).await.ok();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut link = client.get_multiplexed_async_connection().await.unwrap();
    let stream: Vec<String> = redis::cmd("KEYS").arg("*:told").query_async(&mut link).await.unwrap();
    let gone = json!({ "events": [], "last_seq": run.id(1), "expired": true });
    // Its stream only, then all.
    redis::cmd("DEL").arg(stream).query_async::<()>(&mut link).await.unwrap();
    assert_eq!(run.read("").await.ok(), &gone);
    redis::cmd("FLUSHALL").query_async::<()>(&mut link).await.unwrap();
    assert_eq!(run.read("").await.ok(), &gone);
    // Also when the next lease begins with its first id.
    run.agent.delete(&format!("/sessions/lease/{}", run.lease)).await.ok();
    let next = Run::take(&backend, "k", &run.task).await;
    next.tell(1, &[]).await.ok();
    next.tell(1, &["b"]).await.ok();
    let kept = json!({ "events": [told(next.id(1), "b")], "last_seq": next.id(1), "expired": true });
    assert_eq!(next.read("").await.ok(), &kept);
}

#[tokio::test]
async fn an_event_has_an_id_of_its_lease_and_a_call_names_its_events() {
    let backend = Backend::start().await;
    let run = Run::begin(&backend, "k").await;
    let whole = json!({ "fence": run.fence, "seq": run.id(1), "events": [event("a")] });
    let path = format!("{}/deltas", run.path);
    for wrong in [1, run.id(0), run.id(IDS + 1), 9_000_000_000_000_000] {
        let mut body = whole.clone();
        body["seq"] = json!(wrong);
        run.agent.post(&path, body).await.fails(400, "invalid_payload");
    }
    for missing in ["fence", "seq", "events"] {
        let mut body = whole.clone();
        body.as_object_mut().unwrap().remove(missing);
        run.agent.post(&path, body).await.fails(400, "invalid_payload");
    }
    run.agent.post(&path, whole).await.ok();
}

#[tokio::test]
async fn what_was_told_outlives_a_restart_of_the_backend() {
    let backend = Backend::start().await;
    let run = Run::begin(&backend, "k").await;
    run.tell(1, &["a"]).await.ok();
    let backend = backend.restart().await;
    let read = backend.agent("ann", "scout").get("/runs/k/deltas").await;
    assert_eq!(read.ok()["events"], json!([told(run.id(1), "a")]));
}
