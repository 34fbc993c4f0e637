//! Runs that outlive their callers, with the reference backend, two daemons and the dispatcher.

mod elsewhere;
mod ends;
mod page;
mod redacted;
mod speaker;
mod trials;

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{PIECES, USER, World};

/// A timeout that is long enough for a busy machine: a dead instance's lease alone takes ten seconds.
const PATIENCE: Duration = Duration::from_secs(90);

const SESSION: &str = "session_key=user%3Aann%3Ascout";

/// An event of a stream.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    id: Option<i64>,
    name: String,
    data: Value,
}

/// A stream that is read event by event.
struct Reader {
    response: Response,
    buffer: Vec<u8>,
    told: Vec<Told>,
}

impl Reader {
    async fn open(world: &World, daemon: &str, path: &str, last: Option<i64>) -> Self {
        let request = reqwest::Client::new()
            .get(format!("{daemon}{path}"))
            .header("x-agent-daemon-key", world.stack.daemon_key());
        let request = match last {
            Some(last) => request.header("last-event-id", last.to_string()),
            None => request,
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, buffer: Vec::new(), told: Vec::new() }
    }

    /// Reads until an event is as wanted, or the stream ends.
    async fn until(&mut self, is_so: impl Fn(&Told) -> bool) -> bool {
        let read = async {
            loop {
                while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                    let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                    let block = String::from_utf8(block).unwrap();
                    let field = |name: &str| {
                        block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned))
                    };
                    let Some(data) = field("data: ") else { continue };
                    let id = field("id: ").map(|id| id.parse().unwrap());
                    let name = field("event: ").unwrap();
                    let told = Told { id, name, data: serde_json::from_str(&data).unwrap() };
                    self.told.push(told.clone());
                    if is_so(&told) {
                        return true;
                    }
                }
                match self.response.chunk().await {
                    Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                    Ok(None) | Err(_) => return false,
                }
            }
        };
        timeout(PATIENCE, read).await.expect("the stream goes on")
    }

    async fn end(&mut self) -> &Told {
        assert!(
            self.until(|told| matches!(&*told.name, "done" | "error")).await,
            "{:?}",
            self.told
        );
        self.told.last().unwrap()
    }

    fn last_id(&self) -> i64 {
        self.told.iter().filter_map(|told| told.id).next_back().unwrap()
    }
}

/// The text of a run that has one turn.
fn text<'a>(told: impl IntoIterator<Item = &'a Told>) -> String {
    let mut text = String::new();
    for told in told {
        match &*told.name {
            "chunk" => text.push_str(told.data["data"].as_str().unwrap()),
            "restarted" => {
                let from = told.data["from"].as_u64().unwrap();
                text = text.chars().take(usize::try_from(from).unwrap()).collect();
            }
            _ => {}
        }
    }
    text
}

fn body(title: &str, more: &Value) -> Value {
    let mut body = json!({ "user_id": USER, "session_key": format!("user:{USER}:scout"),
        "task_title": title, "message": "hello" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

impl World {
    async fn ask(
        &self,
        method: reqwest::Method,
        daemon: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let request = reqwest::Client::new()
            .request(method, format!("{daemon}{path}"))
            .header("x-agent-daemon-key", self.stack.daemon_key());
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn begin(&self, daemon: &str, title: &str, more: &Value) -> Value {
        let body = body(title, more);
        let (status, run) =
            self.ask(reqwest::Method::POST, daemon, "/api/agents/runs", Some(&body)).await;
        assert_eq!(status, 202, "{run}");
        run
    }

    async fn report(&self, daemon: &str, run: &Value) -> Value {
        let path = format!("/api/agents/runs/{}?{SESSION}", run["run_key"].as_str().unwrap());
        self.ask(reqwest::Method::GET, daemon, &path, None).await.1
    }

    async fn cancel(&self, daemon: &str, run: &Value) -> (u16, Value) {
        let path = format!("/api/agents/runs/{}?{SESSION}", run["run_key"].as_str().unwrap());
        self.ask(reqwest::Method::DELETE, daemon, &path, None).await
    }
}

fn has_words(told: &Told) -> bool {
    told.name == "chunk"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_instance_is_killed_goes_on_without_a_repeated_or_missing_word() {
    let world = World::new(false, &[]).await;
    let other = &world.stack.daemon_url;
    let (mut victim, url) = world.stack.another_daemon(&world.options).await.unwrap();
    let run = world.begin(&url, "killed", &json!({ "idempotency_key": "k" })).await;
    let path = run["stream"].as_str().unwrap();
    let mut elsewhere = Reader::open(&world, other, path, None).await;
    let mut here = Reader::open(&world, &url, path, None).await;
    assert!(elsewhere.until(has_words).await && here.until(has_words).await);
    assert_eq!(world.report(other, &run).await["status"], "running");
    victim.kill().await.unwrap();
    world.model.let_go().await;
    assert_eq!(elsewhere.end().await.name, "done");
    assert_eq!(text(&elsewhere.told), PIECES.concat());
    let ids: Vec<_> = elsewhere.told.iter().filter_map(|told| told.id).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    assert!(elsewhere.told.iter().all(|told| told.name != "restarted"), "{:?}", elsewhere.told);
    // Who had lost the connection comes back where the run is over by now.
    let mut back = Reader::open(&world, other, path, Some(here.last_id())).await;
    back.end().await;
    assert_eq!(text(here.told.iter().chain(&back.told)), PIECES.concat());
    let report = world.report(other, &run).await;
    assert_eq!(report["status"], "completed", "{report}");
    assert_eq!(report["answer"]["response"], PIECES.concat());
    assert_eq!(elsewhere.told.last().unwrap().data["message_id"], report["answer"]["message_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_followed_and_cancelled_at_any_instance() {
    let world = World::new(false, &[]).await;
    let here = &world.stack.daemon_url;
    let (_other, other) = world.stack.another_daemon(&world.options).await.unwrap();
    let run = world.begin(here, "t", &json!({ "idempotency_key": "one" })).await;
    let path = run["stream"].as_str().unwrap();
    let mut reader = Reader::open(&world, &other, path, None).await;
    assert!(reader.until(has_words).await);
    let waiting = world.begin(here, "t", &json!({ "idempotency_key": "two" })).await;
    assert_eq!(waiting["status"], "queued");
    let (status, cancelled) = world.cancel(&other, &waiting).await;
    assert_eq!((status, &cancelled["status"]), (200, &json!("cancelled")), "{cancelled}");
    for _ in 0..2 {
        let (status, cancelled) = world.cancel(&other, &run).await;
        assert_eq!((status, &cancelled["status"]), (200, &json!("cancelled")), "{cancelled}");
        assert_eq!(cancelled["estimated"], true);
    }
    assert_eq!(reader.end().await.data["code"], "run_cancelled");
    let again = body("t", &json!({ "idempotency_key": "one" }));
    for daemon in [here, &other] {
        let path = "/api/agents/runs";
        let (status, refused) = world.ask(reqwest::Method::POST, daemon, path, Some(&again)).await;
        assert_eq!((status, &refused["code"]), (409, &json!("run_cancelled")));
        assert_eq!(world.report(daemon, &run).await["error"]["status"], 409);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_readers_hear_the_same_and_a_key_names_one_run() {
    let world = World::new(true, &[]).await;
    let here = &world.stack.daemon_url;
    let (_other, other) = world.stack.another_daemon(&world.options).await.unwrap();
    let more = json!({ "idempotency_key": "k", "message": "do it with tools" });
    let run = world.begin(here, "t", &more).await;
    let path = run["stream"].as_str().unwrap();
    let mut readers = Vec::new();
    for daemon in [here, &other] {
        let mut reader = Reader::open(&world, daemon, path, None).await;
        assert_eq!(reader.end().await.name, "done");
        readers.push(reader.told);
    }
    assert_eq!(readers[0], readers[1]);
    let names: Vec<_> = readers[0].iter().map(|told| told.name.as_str()).collect();
    for name in ["start", "chunk", "tool_call", "tool_result", "done"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert_eq!(readers[0][0].id, Some(0));
    let middle = readers[0][2].id;
    let mut rest = Reader::open(&world, &other, path, middle).await;
    rest.end().await;
    assert_eq!(rest.told, readers[0][3..]);
    let mut future = Reader::open(&world, here, path, Some(99_000_000)).await;
    future.end().await;
    let first = &future.told[0];
    assert_eq!(
        (first.id, &*first.name, &first.data["reason"]),
        (None, "restarted", &json!("lost"))
    );
    assert_eq!(world.report(here, &run).await, world.report(&other, &run).await);
    let again = world.begin(&other, "t", &more).await;
    assert_eq!((&again["replayed"], &again["status"]), (&json!(true), &json!("completed")));
    let changed = body("t", &json!({ "idempotency_key": "k" }));
    let conflict =
        world.ask(reqwest::Method::POST, &other, "/api/agents/runs", Some(&changed)).await;
    assert_eq!((conflict.0, &conflict.1["code"]), (409, &json!("idempotency_conflict")));
    let (status, finished) = world.cancel(&other, &run).await;
    assert_eq!((status, &finished["code"]), (409, &json!("run_finished")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_asked_for_again_and_told_once() {
    let world = World::new(true, &[]).await;
    let here = &world.stack.daemon_url;
    let run = world.begin(here, "t", &json!({ "message": "break off once" })).await;
    let mut reader = Reader::open(&world, here, run["stream"].as_str().unwrap(), None).await;
    assert_eq!(reader.end().await.name, "done");
    assert_eq!(text(&reader.told), PIECES.concat());
    assert!(reader.told.iter().all(|told| told.name != "restarted"), "{:?}", reader.told);
    assert_eq!(*world.model.asked.borrow(), 2);
}
