//! Runs that are cancelled, or whose instance dies, while their reply is stored: they are completed or they
//! are cancelled, and the thread has the reply or it has not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use test_support::gate::Side;
use test_support::program::Program;
use test_support::wait_for;
use tokio::time::{sleep, timeout};

use super::{PATIENCE, Reader, USER, World};
use crate::streams::PIECES;

/// The request that stores a reply, and the one that says how a run ended.
const STORE: &str = "POST /api/mission-control/messages?";
const END: &str = "PUT /api/mission-control/runs/*?";

/// A world in which one daemon has a backend that can be slow, and another has not.
struct Slow {
    world: World,
    daemon: Program,
    here: String,
}

impl Slow {
    async fn new() -> Self {
        let world = World::new(false, &[("WOMBAT_WEBHOOK_ALLOW_PRIVATE", "true")]).await;
        let mut options = world.options.clone();
        options.daemon.push(("BACKEND_URL", world.gate.to(&world.stack.backend_url).await));
        let (daemon, here) = world.stack.another_daemon(&options).await.unwrap();
        Self { world, daemon, here }
    }

    fn elsewhere(&self) -> &str {
        &self.world.stack.daemon_url
    }

    /// A run whose model has been asked and waits.
    async fn begin(&self, title: &str, more: &Value) -> Value {
        self.world.model.go.send_replace(false);
        let asked = *self.world.model.asked.borrow();
        let run = self.world.begin(&self.here, title, more).await;
        let mut now = self.world.model.asked.subscribe();
        timeout(PATIENCE, now.wait_for(|now| *now > asked)).await.unwrap().unwrap();
        run
    }

    async fn replies(&self, run: &Value) -> Vec<String> {
        let path = format!("/messages?task_id={}", run["task_id"].as_str().unwrap());
        let thread = self.world.stack.person(USER).list(&path).await.unwrap();
        let own = thread.iter().filter(|message| message["actor_type"] == "agent");
        own.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
    }

    /// What must hold once somebody has been told that a run is finished.
    async fn is_completed(&self, run: &Value, told: &(u16, Value)) {
        let (status, answer) = told;
        assert_eq!((*status, &answer["code"]), (409, &json!("run_finished")), "{answer}");
        assert_eq!(self.replies(run).await, [PIECES.concat()]);
        let report = wait_for("the run's end", async || {
            let report = self.world.report(self.elsewhere(), run).await;
            (report["status"] != "running").then_some(report)
        })
        .await;
        assert_eq!(report["status"], "completed", "{report}");
        assert_eq!(report["answer"]["response"], PIECES.concat());
        assert_eq!(report["answer"]["usage"]["total_tokens"], 15, "{report}");
        let path = run["stream"].as_str().unwrap();
        let mut reader = Reader::open(&self.world, self.elsewhere(), path, None).await;
        assert_eq!(reader.end().await.name, "done");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_comes_while_the_reply_is_stored_is_told_that_the_run_is_finished() {
    let slow = Slow::new().await;
    for (n, (kind, side)) in
        [(STORE, Side::Before), (STORE, Side::After), (END, Side::Before)].into_iter().enumerate()
    {
        for from in [slow.here.clone(), slow.elsewhere().to_owned()] {
            let run = slow.begin(&format!("{n} {from}"), &json!({})).await;
            slow.world.gate.hold(kind, side);
            slow.world.model.let_go().await;
            timeout(PATIENCE, slow.world.gate.reached()).await.unwrap();
            let (told, ()) = tokio::join!(slow.world.cancel(&from, &run), async {
                sleep(Duration::from_millis(300)).await;
                slow.world.gate.release();
            });
            slow.is_completed(&run, &told).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_by_run_id_does_not_undo_a_reply_either() {
    let slow = Slow::new().await;
    for detached in [true, false] {
        slow.world.model.go.send_replace(false);
        let more = json!({ "detached": detached, "idempotency_key": format!("k{detached}") });
        let body = super::body(&format!("d {detached}"), &more);
        let path = "/api/agents/stream";
        let streamed = reqwest::Client::new()
            .post(format!("{}{path}", slow.here))
            .header("x-agent-daemon-key", slow.world.stack.daemon_key())
            .json(&body);
        let mut response = streamed.send().await.unwrap();
        let mut text = String::new();
        while !text.contains("Hallo") {
            text += std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap();
        }
        let events = crate::streams::events(text.rsplit_once("\n\n").unwrap().0);
        let start = events[0].1.clone();
        slow.world.gate.hold(STORE, Side::After);
        slow.world.model.let_go().await;
        timeout(PATIENCE, slow.world.gate.reached()).await.unwrap();
        let by_id = json!({ "run_key": start["run_id"] });
        let ((status, told), ()) = tokio::join!(slow.world.cancel(&slow.here, &by_id), async {
            sleep(Duration::from_millis(300)).await;
            slow.world.gate.release();
        });
        assert_eq!((status, &told["code"]), (409, &json!("run_finished")), "{told}");
        text += &response.text().await.unwrap();
        assert!(text.contains("event: done"), "{text}");
        assert_eq!(slow.replies(&start).await, [PIECES.concat()]);
    }
}

/// A receiver of webhooks.
async fn receiver() -> (String, Arc<Mutex<Vec<Value>>>) {
    async fn got(State(all): State<Arc<Mutex<Vec<Value>>>>, Json(event): Json<Value>) {
        all.lock().unwrap().push(event);
    }
    let all = Arc::<Mutex<Vec<Value>>>::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let app = Router::new().route("/hook", post(got)).with_state(all.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_instance_died_after_its_reply_is_completed_by_whoever_cancels_it() {
    for asked_before in [false, true] {
        let mut slow = Slow::new().await;
        let (url, heard) = receiver().await;
        let run = slow.begin("killed", &json!({ "webhook": { "url": url } })).await;
        slow.world.gate.hold(STORE, Side::After);
        slow.world.model.let_go().await;
        timeout(PATIENCE, slow.world.gate.reached()).await.unwrap();
        if asked_before {
            let path = format!("/runs/{}/cancel", run["run_key"].as_str().unwrap());
            let person = slow.world.stack.person(USER);
            // Who asks the backend itself is told so there.
            assert!(person.post(&path, &json!({})).await.is_err());
        }
        slow.daemon.kill().await.unwrap();
        let told = slow.world.cancel(slow.elsewhere(), &run).await;
        slow.is_completed(&run, &told).await;
        assert_eq!(*slow.world.model.asked.borrow(), 1, "no model was asked again");
        let events = heard.lock().unwrap().clone();
        assert!(!events.is_empty(), "the webhook was told");
        for event in events {
            assert_eq!(event["event"], "agent.completed", "{event}");
            assert_eq!(event["response"], PIECES.concat());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_of_a_run_that_was_cancelled_while_it_waited() {
    let slow = Slow::new().await;
    let (url, heard) = receiver().await;
    let _first = slow.begin("t", &json!({})).await;
    let hook = json!({ "webhook": { "url": url } });
    let waiting = slow.world.begin(slow.elsewhere(), "t", &hook).await;
    assert_eq!(waiting["status"], "queued");
    let (status, told) = slow.world.cancel(&slow.here, &waiting).await;
    assert_eq!((status, &told["status"]), (200, &json!("cancelled")), "{told}");
    let event = wait_for("the webhook", async || heard.lock().unwrap().first().cloned()).await;
    assert_eq!((&event["event"], &event["code"]), (&json!("agent.error"), &json!("run_cancelled")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readers_of_a_run_elsewhere_share_one_stream_of_the_backend() {
    let slow = Slow::new().await;
    slow.world.gate.arm(None);
    let run = slow.world.begin(slow.elsewhere(), "t", &json!({})).await;
    let path = run["stream"].as_str().unwrap();
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut reader = Reader::open(&slow.world, &slow.here, path, None).await;
        assert!(reader.until(super::has_words).await, "{:?}", reader.told);
        readers.push(reader);
    }
    let streams = || {
        let passed = slow.world.gate.passed();
        let is_stream = |path: &str| path.contains("/events?") && path.contains("run_key=");
        passed.iter().filter(|passed| is_stream(&passed.path)).count()
    };
    wait_for("a stream", async || (streams() > 0).then_some(())).await;
    slow.world.model.let_go().await;
    for mut reader in readers {
        assert_eq!(reader.end().await.name, "done");
        assert_eq!(super::text(&reader.told), PIECES.concat());
    }
    assert_eq!(streams(), 1);
}
