//! Daemons that are killed: before and after each request that a run makes, and at random moments.
//! The result is checked in the records of the backend and of the model.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use daemon_client::{CallOptions, DaemonClient, DaemonError, RunAnswer, SendRequest, key_header};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::gate::{Gate, Passed, Side};
use test_support::program::Program;
use test_support::stack::{Person, Stack, StackOptions};
use test_support::wait_for;
use tokio::sync::watch;

pub(crate) const USER: &str = "ann";

/// Runs are waited for as long as a test may take.
pub(crate) const OPTIONS: CallOptions<'static> =
    CallOptions { timeout: Duration::from_secs(120), traceparent: None };

/// A client with connections of its own.
pub(crate) fn client(daemon: &str, key: &str) -> DaemonClient {
    let key = key_header(&key.to_owned().into()).unwrap();
    DaemonClient::new(reqwest::Client::new(), daemon, Some(key))
}

/// A stateless model: it creates a task and a document, and then reports that. It counts how often
/// each turn of each run was paid for.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    bought: Arc<Mutex<HashMap<(String, usize), usize>>>,
    /// The tools of the latest request.
    pub(crate) offered: Arc<Mutex<Vec<String>>>,
    /// While false, second turns wait.
    open: watch::Sender<bool>,
}

impl Model {
    async fn start() -> (Self, String) {
        let model = Self {
            bought: Arc::default(),
            offered: Arc::default(),
            open: watch::Sender::new(true),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/v1/chat/completions", post(turn)).with_state(model.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (model, url)
    }

    pub(crate) fn bought(&self, run: &str, turn: usize) -> usize {
        self.bought.lock().unwrap().get(&(run.to_owned(), turn)).copied().unwrap_or_default()
    }
}

async fn turn(State(model): State<Model>, Json(body): Json<Value>) -> Json<Value> {
    let messages = body["messages"].as_array().unwrap();
    let user = messages.iter().rfind(|message| message["role"] == "user").unwrap();
    let text = user["content"].as_str().unwrap();
    let run = text.rsplit_once("run ").unwrap().1.to_owned();
    let turn = usize::from(messages.iter().any(|message| message["role"] == "tool"));
    *model.bought.lock().unwrap().entry((run.clone(), turn)).or_default() += 1;
    let tools = body["tools"].as_array().cloned().unwrap_or_default();
    let names = tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned());
    *model.offered.lock().unwrap() = names.collect();
    let call = |n: usize, name: &str, arguments: &Value| {
        json!({ "id": format!("c{n}"), "type": "function",
            "function": { "name": name, "arguments": arguments.to_string() } })
    };
    let message = if turn == 0 {
        json!({ "role": "assistant", "content": null, "tool_calls": [
            call(1, "create_task", &json!({ "title": format!("made by {run}") })),
            call(2, "create_document", &json!({ "title": format!("of {run}"), "content": "x" })),
        ]})
    } else {
        let mut open = model.open.subscribe();
        let _never_closed = open.wait_for(|open| *open).await;
        json!({ "role": "assistant", "content": format!("Done: {run}") })
    };
    let reason = if turn == 0 { "tool_calls" } else { "stop" };
    Json(json!({
        "id": "c", "object": "chat.completion", "model": "m",
        "choices": [{ "index": 0, "finish_reason": reason, "message": message }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11 },
    }))
}

pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) person: Person,
    pub(crate) model: Model,
    pub(crate) gate: Gate,
    options: StackOptions,
    _dir: TempDir,
}

/// A workspace of one role.
const SCOUT: &str = r#"{"agents": [{"role": "scout"}]}"#;

impl World {
    /// The daemons reach backend and model through the gate.
    pub(crate) async fn new(policy: &str, agents: &str) -> Self {
        let (model, model_url) = Model::start().await;
        let gate = Gate::new();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("workspace")).unwrap();
        std::fs::create_dir_all(dir.path().join("config")).unwrap();
        std::fs::write(dir.path().join("workspace/AGENTS.md"), "Be brief.").unwrap();
        std::fs::write(dir.path().join("config/agent-config.json"), agents).unwrap();
        let mut options = StackOptions {
            daemon: vec![
                ("LLM_PROVIDER", "openai".to_owned()),
                ("OPENAI_BASE_URL", format!("{}/v1", gate.to(&model_url).await)),
                ("WOMBAT_SESSION_POLICY", policy.to_owned()),
            ],
            example: dir.path().to_owned(),
            ..StackOptions::default()
        };
        let stack = Stack::start(&options).await.unwrap();
        options.daemon.push(("BACKEND_URL", gate.to(&stack.backend_url).await));
        let person = stack.person(USER);
        Self { stack, person, model, gate, options, _dir: dir }
    }

    pub(crate) async fn daemon(&self) -> (Program, String) {
        self.stack.another_daemon(&self.options).await.unwrap()
    }

    pub(crate) async fn task(&self, title: &str) -> String {
        let task = self.person.post("/tasks", &json!({ "title": title })).await.unwrap();
        task["id"].as_str().unwrap().to_owned()
    }

    /// Sends a message, once.
    pub(crate) async fn send(
        &self,
        daemon: &str,
        task_id: &str,
        run: &str,
    ) -> Result<RunAnswer, DaemonError> {
        let request = SendRequest {
            user_id: USER.into(),
            session_key: format!("user:{USER}:scout").into(),
            task_id: Some(task_id.into()),
            message: format!("This is run {run}").into(),
            idempotency_key: Some(run.into()),
            ..SendRequest::default()
        };
        client(daemon, self.stack.daemon_key()).send(&request, &OPTIONS).await
    }

    /// Checks what must hold for a run, whatever happened to it.
    async fn check(&self, task_id: &str, run: &str, answer: &RunAnswer, doubt: Option<usize>) {
        let context = format!("run {run}: {answer:?}");
        let path = format!("/messages?task_id={task_id}");
        let thread = self.person.list(&path).await.unwrap();
        let replies: Vec<_> = thread.iter().filter(|m| m["actor_type"] == "agent").collect();
        assert_eq!(replies.len(), 1, "{context}");
        assert_eq!(replies[0]["content"], format!("Done: {run}"), "{context}");
        let titled = async |path: &str, title: String| {
            let mut found = 0;
            let mut cursor = String::new();
            loop {
                let page = self.person.get(&format!("{path}?limit=200{cursor}")).await.unwrap();
                let items = page["items"].as_array().unwrap();
                found += items.iter().filter(|item| item["title"] == title).count();
                let Some(next) = page["next_cursor"].as_str() else { return found };
                cursor = format!("&cursor={next}");
            }
        };
        assert_eq!(titled("/tasks", format!("made by {run}")).await, 1, "{context}");
        assert_eq!(titled("/documents", format!("of {run}")).await, 1, "{context}");
        for turn in 0..2 {
            // An answer that arrived and was not yet written down cannot be known to anybody.
            let most = 1 + usize::from(doubt == Some(turn));
            let bought = self.model.bought(run, turn);
            assert!(
                (1..=most).contains(&bought),
                "turn {turn} was bought {bought} times; {context}"
            );
        }
    }
}

/// The turn whose answer may be lost when the daemon is killed here: it has arrived, and its journal
/// step (written together with the settlement of its budget) may not have been stored.
fn doubt(passed: &[Passed], side: Side) -> Option<usize> {
    let is_ask = |passed: &Passed| passed.path.contains("completions");
    let last = passed.len() - 1;
    let at = (last.saturating_sub(2)..=last).rev().find(|n| is_ask(&passed[*n]))?;
    let is_whole = at < last || side == Side::After;
    is_whole.then(|| passed[..at].iter().filter(|passed| is_ask(passed)).count())
}

#[tokio::test]
async fn a_run_survives_its_daemons_death_at_every_request_it_makes() {
    let world = World::new("parallel", SCOUT).await;
    let (mut daemon, mut url) = world.daemon().await;
    // What a run asks for, in order.
    world.gate.arm(None);
    let task_id = world.task("whole").await;
    world.gate.arm(None);
    let answer = world.send(&url, &task_id, "whole").await.unwrap();
    world.check(&task_id, "whole", &answer, None).await;
    let whole = world.gate.passed();
    assert!(whole.len() >= 12, "{whole:?}");
    // (What a daemon has learned for good it asks only once, so that a run can have fewer.)
    let mut stopped = 0;
    for at in 0..whole.len() {
        for side in [Side::Before, Side::After] {
            let run = format!("{at}-{side:?}");
            let task_id = world.task(&run).await;
            world.gate.arm(Some((at, side)));
            let doubt = {
                let first = world.send(&url, &task_id, &run);
                tokio::pin!(first);
                tokio::select! {
                    answer = &mut first => {
                        assert!(at >= 12, "run {run} was not stopped: {answer:?}");
                        continue;
                    }
                    () = world.gate.reached() => stopped += 1,
                }
                let doubt = doubt(&world.gate.passed(), side);
                daemon.kill().await.unwrap();
                let error = first.await.unwrap_err();
                assert_eq!(error.status(), None, "{error}");
                doubt
            };
            world.gate.arm(None);
            (daemon, url) = world.daemon().await;
            world.gate.arm(None);
            let answer = world.send(&url, &task_id, &run).await.expect(&run);
            world.check(&task_id, &run, &answer, doubt).await;
        }
    }
    eprintln!("killed at {stopped} points of {} requests", whole.len());
    assert!(stopped >= 24, "{stopped}");
}

#[tokio::test]
async fn a_run_survives_its_daemons_death_at_any_moment() {
    let trials = std::env::var("WOMBAT_TEST_TRIALS").ok().and_then(|n| n.parse().ok());
    let trials: u64 = trials.unwrap_or(20);
    let seed = std::env::var("WOMBAT_TEST_SEED").ok().and_then(|n| n.parse().ok());
    let seed: u64 = seed.unwrap_or(20_261_124);
    eprintln!("WOMBAT_TEST_SEED={seed} WOMBAT_TEST_TRIALS={trials}");
    let world = World::new("parallel", SCOUT).await;
    let (mut daemon, mut url) = world.daemon().await;
    let mut random = seed | 1;
    let mut finished = 0;
    for trial in 0..trials {
        let run = format!("any-{trial}");
        let task_id = world.task(&run).await;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = Duration::from_micros(random % 90_000);
        let first = {
            let first = world.send(&url, &task_id, &run);
            let kill = async {
                tokio::time::sleep(moment).await;
                daemon.kill().await.unwrap();
            };
            tokio::join!(first, kill).0
        };
        finished += u32::from(first.is_ok());
        (daemon, url) = world.daemon().await;
        let answer = world.send(&url, &task_id, &run).await;
        let answer = answer.unwrap_or_else(|e| panic!("{run} (killed after {moment:?}): {e}"));
        // Where it was killed nobody knows: each turn may be the one whose answer was lost.
        let doubt = (0..2).find(|turn| world.model.bought(&run, *turn) > 1);
        world.check(&task_id, &run, &answer, doubt).await;
    }
    eprintln!("{finished} of {trials} were done before their daemon died");
}

#[tokio::test]
async fn an_instance_that_slept_past_its_lease_cannot_write() {
    let world = World::new("queue", SCOUT).await;
    let ((first, first_url), (_second, second_url)) = (world.daemon().await, world.daemon().await);
    let task_id = world.task("shared").await;
    world.model.open.send_replace(false);
    let sleeper = world.send(&first_url, &task_id, "sleeper");
    let other = async {
        wait_for("the second turn", async || (world.model.bought("sleeper", 1) == 1).then_some(()))
            .await;
        first.signal(Signal::STOP);
        world.model.open.send_replace(true);
        // Waits for the lease of the one that sleeps, and no longer.
        let answer = world.send(&second_url, &task_id, "other").await.unwrap();
        first.signal(Signal::CONT);
        answer
    };
    let (sleeper, other) = tokio::join!(sleeper, other);
    assert_eq!(other.response.as_deref(), Some("Done: other"), "{other:?}");
    let error = sleeper.unwrap_err();
    assert!(error.is_session_busy(), "{error}");
    // A run's last line may still be on its way when its answer has arrived.
    let lost = "the session's lease was lost to another instance during the run";
    let said = async || first.log().contains(lost).then(|| first.log());
    let log = wait_for("the end of the run that slept", said).await;
    assert_eq!(log.matches(lost).count(), 1, "{log}");
    assert_eq!(log.matches("session lease lost").count(), 1, "{log}");
    let path = format!("/messages?task_id={task_id}");
    let replies = async || {
        let thread = world.person.list(&path).await.unwrap();
        thread.iter().filter(|message| message["actor_type"] == "agent").count()
    };
    assert_eq!(replies().await, 1);
    // Sent again, it finds its turns in the journal.
    let answer = world.send(&second_url, &task_id, "sleeper").await.unwrap();
    assert_eq!(answer.response.as_deref(), Some("Done: sleeper"), "{answer:?}");
    assert_eq!(world.model.bought("sleeper", 0), 1);
    assert_eq!(replies().await, 2);
}
