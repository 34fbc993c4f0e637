//! What runs tell while they work.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::events::Stream;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::suite::Suite;
use crate::verdict::{NotPassed, ensure, failed};
use crate::world::World;

/// How many ids each lease has.
const IDS_PER_FENCE: i64 = 1_000_000;

/// A run under the lease of its session.
pub(super) struct Telling<'w> {
    pub(super) agent: Caller<'w>,
    pub(super) path: String,
    pub(super) key: String,
    lease: String,
    fence: i64,
}

impl<'w> Telling<'w> {
    /// Begins a detached run of a user, and takes its session's lease.
    pub(super) async fn begin(w: &'w World, user: &str, ttl_secs: u32) -> Result<Self, NotPassed> {
        let task = w.task(user, "telling").await?;
        let key = format!("conformance-{}", uuid::Uuid::new_v4());
        let path = format!("/runs/{key}");
        let wish = json!({ "session_key": w.session(user), "task_id": task, "holder": "conformance", "ttl_secs": ttl_secs });
        let lease = w.agent(user).post("/sessions/lease", wish).await?;
        lease.created()?;
        let id = lease.text_at("lease_id")?.to_owned();
        let Some(fence) = lease.body["fence"].as_i64() else {
            return failed(format!("expected a fence, got {}", lease.text));
        };
        let agent = w.agent(user).with("x-session-fence", format!("{id}:{fence}"));
        let run = json!({ "session_key": w.session(user), "task_id": task, "status": "running", "detached": true });
        agent.put(&path, run).await?.ok()?;
        Ok(Self { agent, path, key, lease: id, fence })
    }

    /// The id of the n-th event of the lease.
    fn id(&self, n: i64) -> i64 {
        self.fence * IDS_PER_FENCE + n
    }

    async fn tell(&self, seq: i64, events: Value) -> Result<Answer, NotPassed> {
        let body = json!({ "fence": self.fence, "seq": seq, "events": events });
        self.agent.post(&format!("{}/deltas", self.path), body).await
    }

    /// What it has told after an id: the ids and the texts.
    async fn told(&self, query: &str) -> Result<Vec<(i64, Value)>, NotPassed> {
        let answer = self.agent.get(&format!("{}/deltas{query}", self.path)).await?;
        let events = answer.ok()?["events"].as_array().cloned().unwrap_or_default();
        let of = |event: &Value| (event["id"].as_i64().unwrap_or_default(), event["data"].clone());
        Ok(events.iter().map(of).collect())
    }
}

fn chunk(text: &str) -> Value {
    json!({ "type": "chunk", "data": { "text": text, "ü": [1, null] } })
}

fn data(text: &str) -> Value {
    chunk(text)["data"].clone()
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    kept(suite).await;
    refused(suite).await;
    heard(suite).await;
}

async fn kept(suite: &mut Suite<'_>) {
    let sentence = "POST /runs/{run_key}/deltas {fence, seq, events} → {last_seq, cancel_requested}: kept in order under the ids seq, seq + 1, …; known ones change nothing";
    let features = ["run_stream", "run_journal", "session_leases"];
    suite
        .check("deltas", &features, sentence, async |w| {
            let run = Telling::begin(w, &w.one, 60).await?;
            let none = run.agent.get(&format!("{}/deltas", run.path)).await?;
            none.ok()?;
            none.has_fields(&[
                ("events", json!([])),
                ("last_seq", json!(0)),
                ("expired", json!(false)),
            ])?;
            let first = run.tell(run.id(1), json!([chunk("a"), chunk("b")])).await?;
            first.ok()?;
            first.has_fields(&[
                ("last_seq", json!(run.id(2))),
                ("cancel_requested", json!(false)),
            ])?;
            let more = run.tell(run.id(2), json!([chunk("b"), chunk("c")])).await?;
            more.ok()?;
            more.has_fields(&[("last_seq", json!(run.id(3)))])?;
            run.tell(run.id(4), json!([])).await?.has_fields(&[("last_seq", json!(run.id(3)))])?;
            let all: Vec<_> =
                (1..).zip(["a", "b", "c"]).map(|(n, text)| (run.id(n), data(text))).collect();
            let told = run.told("").await?;
            ensure(told == all, || format!("expected the three events once each, got {told:?}"))?;
            let told = run.told(&format!("?after={}&limit=1", run.id(1))).await?;
            ensure(told == all[1..2], || format!("expected the second event, got {told:?}"))?;
            Ok("three events, each once, in order".to_owned())
        })
        .await;
    let sentence =
        "POST /runs/{run_key}/deltas with no events says whether the run is to be cancelled";
    suite
        .check("deltas-cancel", &features, sentence, async |w| {
            let run = Telling::begin(w, &w.one, 60).await?;
            run.agent.post(&format!("{}/cancel", run.path), json!({})).await?.ok()?;
            let answer = run.tell(run.id(1), json!([])).await?;
            answer.ok()?;
            answer.has_fields(&[("cancel_requested", json!(true))])?;
            Ok("cancel_requested after the cancel".to_owned())
        })
        .await;
}

async fn refused(suite: &mut Suite<'_>) {
    let features = ["run_stream", "run_journal", "session_leases"];
    let sentence = "Another event under a known id: 409 seq_conflict; an older lease: 409 stale_fence; a run that is over: 409 run_finished";
    suite
        .check("deltas-refused", &features, sentence, async |w| {
            let run = Telling::begin(w, &w.one, 60).await?;
            run.tell(run.id(1), json!([chunk("a")])).await?.ok()?;
            run.tell(run.id(1), json!([chunk("other")])).await?.fails_with(409, "seq_conflict")?;
            let many: Vec<_> = (0..257).map(|n| chunk(&n.to_string())).collect();
            run.tell(run.id(2), json!(many)).await?.fails(400)?;
            let body = json!({ "fence": run.fence, "seq": run.id(2), "events": [chunk("b")] });
            let path = format!("{}/deltas", run.path);
            for missing in ["fence", "seq", "events"] {
                let mut without = body.clone();
                without.as_object_mut().and_then(|fields| fields.remove(missing));
                run.agent.post(&path, without).await?.fails(400)?;
            }
            w.agent(&w.one).post(&path, body.clone()).await?.fails(400)?;
            w.agent_as(&w.one, "conformance-other").get(&path).await?.fails(404)?;
            w.agent(&w.two).get(&path).await?.fails(404)?;
            if let Ok(person) = w.person(&w.one).await {
                person.get(&path).await?.ok()?;
                person.post(&path, body.clone()).await?.fails(403)?;
            }
            run.agent.put(&run.path, json!({ "status": "completed" })).await?.ok()?;
            run.tell(run.id(2), json!([chunk("b")])).await?.fails_with(409, "run_finished")?;
            let told = run.told("").await?;
            ensure(told == [(run.id(1), data("a"))], || {
                format!("expected the one event after all, got {told:?}")
            })?;
            let other = Telling::begin(w, &w.one, 60).await?;
            w.agent(&w.one).delete(&format!("/sessions/lease/{}", other.lease)).await?;
            other.tell(other.id(1), json!([])).await?.fails_with(409, "stale_fence")
        })
        .await;
    let sentence = "More than 20 calls a second for one run: 429 with Retry-After";
    suite
        .check("deltas-pace", &features, sentence, async |w| {
            // A second that a busy machine took for something else says nothing.
            for _ in 0..3 {
                if let Some(seen) = pace(w).await? {
                    return Ok(seen);
                }
            }
            let why = "the backend was too slow to get more than 20 calls a second";
            Err(NotPassed::Skipped(why.to_owned()))
        })
        .await;
}

/// Whether too many calls at once are refused; `None` where the backend was too slow to get so many.
async fn pace(w: &World) -> Result<Option<String>, NotPassed> {
    let run = Telling::begin(w, &w.one, 60).await?;
    let body = json!({ "fence": run.fence, "seq": run.id(1), "events": [] });
    let path = format!("{}/deltas", run.path);
    let begun = Instant::now();
    let calls = (0..120).map(|_| run.agent.once(Method::POST, &path, &body));
    let answers = futures::future::join_all(calls).await;
    for answer in answers {
        let answer = answer?;
        if answer.status == 429 {
            ensure(answer.retry_after().is_some(), || {
                "expected Retry-After with 429, got none".to_owned()
            })?;
            return Ok(Some("429 after too many calls".to_owned()));
        }
        answer.ok()?;
    }
    // Not so many were too many.
    if begun.elapsed() >= Duration::from_secs(4) {
        return Ok(None);
    }
    failed("expected 429 for some of 120 calls at once, got 200 for each")
}

async fn heard(suite: &mut Suite<'_>) {
    let sentence = "GET /events?run_key= adds run.delta {run_key, events}, without an id; without the query none comes";
    let features = ["run_stream", "events_sse", "run_journal", "session_leases"];
    suite
        .check("deltas-heard", &features, sentence, async |w| {
            let run = Telling::begin(w, &w.one, 60).await?;
            let nowhere = format!("/events?run_key=conformance-{}", uuid::Uuid::new_v4());
            w.agent(&w.one).get(&nowhere).await?.fails(404)?;
            let mut without = Stream::open(&w.agent(&w.one), None).await?;
            let query = format!("/events?run_key={}", run.key);
            let mut stream = Stream::open_at(&w.agent(&w.one), &query, None).await?;
            run.tell(run.id(1), json!([chunk("a")])).await?.ok()?;
            let event = stream.about("run.delta", &run.key).await?;
            ensure(event.id.is_empty(), || {
                format!("expected no id with run.delta, got {}", event.id)
            })?;
            let event = &event.data["events"][0];
            ensure(event["id"] == run.id(1) && event["data"] == data("a"), || {
                format!("expected the event with its id, got {event}")
            })?;
            let task = w.task(&w.one, "after a delta").await?;
            without.about_but("task.created", &task, "run.delta").await?;
            Ok("heard by who asked for it, and by nobody else".to_owned())
        })
        .await;
}
