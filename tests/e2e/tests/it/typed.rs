//! Typed results through failures: a schema is kept when the provider fails and another one with another
//! protocol answers, and when the daemon is killed and the run is resumed. Random numbers with a seed
//! choose what fails; the records of backend and models tell what happened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use daemon_client::{DaemonError, Output, RunAnswer, SendRequest};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::gate::{Gate, Side};
use test_support::program::Program;
use test_support::stack::{Person, Stack, StackOptions};
use test_support::strict::{self, Call, Profile};

use crate::kills::{OPTIONS, USER, client};

const GOOD: &str = r#"{"sum":7}"#;
const BAD: &str = r#"{"sum":"seven"}"#;

fn schema() -> Value {
    json!({ "type": "object", "properties": { "sum": { "type": "integer" } }, "required": ["sum"],
        "additionalProperties": false })
}

/// What models were asked, by run: how often each turn was answered, and what was wrong with a request.
#[derive(Debug, Default)]
struct Seen {
    answered: HashMap<(String, usize), usize>,
    providers: HashMap<String, Vec<Profile>>,
    wrong: Vec<String>,
}

type Models = Arc<Mutex<Seen>>;

/// What a run's message says: its name, how many final texts do not fit, and in which turns the first
/// provider is down (a bit for each).
fn plan(body: &str) -> (String, usize, usize) {
    let rest = body.split("bill-run ").nth(1).unwrap();
    let mut words = rest.split(|c: char| c.is_whitespace() || c == '"' || c == '\\').take(3);
    let name = words.next().unwrap().to_owned();
    let number = |word: Option<&str>| word.unwrap().parse().unwrap();
    (name, number(words.next()), number(words.next()))
}

/// How a body holds the model to the schema.
fn form_of(body: &Value) -> &'static str {
    let native = ["/output_config/format", "/response_format"];
    if native.iter().any(|place| body.pointer(place).is_some()) {
        "native"
    } else if body["tools"].to_string().contains("final_answer") {
        "tool"
    } else {
        "none"
    }
}

/// A stateless model behind the first provider, which has Anthropic's protocol, or the second one.
async fn turn(
    State((profile, models)): State<(Profile, Models)>,
    uri: Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let text = body.to_string();
    let (run, bad, down) = plan(&text);
    let sent_back = text.matches("That does not fit the schema").count();
    let used_tool = text.contains("tool_result")
        || text.contains(r#""role":"tool""#)
        || text.contains("[called create_task");
    let turn = usize::from(used_tool) + sent_back;
    if profile == Profile::Anthropic && down >> turn & 1 == 1 {
        let error = json!({ "type": "error",
            "error": { "type": "overloaded_error", "message": "Overloaded" } });
        return (StatusCode::from_u16(529).unwrap(), Json(error)).into_response();
    }
    let call = Call {
        profile,
        path: uri.path(),
        headers: &headers,
        body: &body,
        needs_key: false,
        sent: &[],
    };
    let mut seen = models.lock().unwrap();
    if let Err(refusal) = strict::check(&call) {
        seen.wrong.push(format!("{run}: {}", refusal.message));
    }
    // Repairs are made without tools; beside tools Ollama has no form of its own.
    let wanted = if profile == Profile::Ollama && sent_back == 0 { "tool" } else { "native" };
    if form_of(&body) != wanted || (sent_back > 0 && body["tool_choice"]["type"] == "auto") {
        seen.wrong.push(format!("{run}: {wanted} expected: {body}"));
    }
    *seen.answered.entry((run.clone(), turn)).or_default() += 1;
    seen.providers.entry(run.clone()).or_default().push(profile);
    let reply = if sent_back < bad { BAD } else { GOOD };
    let said: Value = serde_json::from_str(reply).unwrap();
    let (content, called) = match (used_tool, wanted) {
        (false, _) => (None, Some(("create_task", json!({ "title": format!("made by {run}") })))),
        (true, "tool") => (None, Some(("final_answer", said))),
        (true, _) => (Some(reply), None),
    };
    Json(answer(profile, content, called)).into_response()
}

fn answer(profile: Profile, text: Option<&str>, called: Option<(&str, Value)>) -> Value {
    let reason = called.is_some();
    if profile == Profile::Anthropic {
        let text = text.map(|text| json!({ "type": "text", "text": text }));
        let called = called.map(|(name, input)| {
            json!({ "type": "tool_use", "id": "toolu_1", "name": name, "input": input })
        });
        let content: Vec<_> = text.into_iter().chain(called).collect();
        return json!({ "id": "m", "type": "message", "role": "assistant", "model": "m",
            "content": content, "stop_reason": if reason { "tool_use" } else { "end_turn" },
            "usage": { "input_tokens": 10, "output_tokens": 1 } });
    }
    let calls: Vec<_> = called
        .map(|(name, arguments)| {
            json!({ "id": "c1", "type": "function",
                "function": { "name": name, "arguments": arguments.to_string() } })
        })
        .into_iter()
        .collect();
    let mut message = json!({ "role": "assistant", "content": text });
    if !calls.is_empty() {
        message["tool_calls"] = Value::Array(calls);
    }
    let reason = if reason { "tool_calls" } else { "stop" };
    json!({ "id": "c", "object": "chat.completion", "model": "m",
        "choices": [{ "index": 0, "finish_reason": reason, "message": message }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11 } })
}

async fn serve(profile: Profile, models: &Models) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(turn).with_state((profile, models.clone()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

struct World {
    stack: Stack,
    person: Person,
    gate: Gate,
    models: Models,
    options: StackOptions,
    _dir: TempDir,
}

impl World {
    async fn new() -> Self {
        let models = Models::default();
        let gate = Gate::new();
        let (first, second) =
            (serve(Profile::Anthropic, &models).await, serve(Profile::Ollama, &models).await);
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("workspace")).unwrap();
        std::fs::create_dir_all(dir.path().join("config")).unwrap();
        let agents = r#"{"agents": [{"role": "scout"}]}"#;
        std::fs::write(dir.path().join("config/agent-config.json"), agents).unwrap();
        let setting = |name, value: &str| (name, value.to_owned());
        let mut options = StackOptions {
            daemon: vec![
                setting("LLM_PROVIDER", "anthropic"),
                setting("ANTHROPIC_API_KEY", "sk-ant"),
                setting("ANTHROPIC_BASE_URL", &gate.to(&first).await),
                setting("LLM_MODEL_DEFAULT", "claude-sonnet-4-5"),
                setting("LLM_MODEL_FALLBACK", "ollama/qwen3"),
                setting("OLLAMA_BASE_URL", &format!("{}/v1", gate.to(&second).await)),
                setting("WOMBAT_RETRY_ATTEMPTS", "1"),
                // Nobody waits for the lease of a daemon that was killed.
                setting("WOMBAT_SESSION_POLICY", "parallel"),
            ],
            example: dir.path().to_owned(),
            ..StackOptions::default()
        };
        let stack = Stack::start(&options).await.unwrap();
        options.daemon.push(("BACKEND_URL", gate.to(&stack.backend_url).await));
        let person = stack.person(USER);
        Self { stack, person, gate, models, options, _dir: dir }
    }

    async fn daemon(&self) -> (Program, String) {
        self.stack.another_daemon(&self.options).await.unwrap()
    }

    async fn send(
        &self,
        daemon: &str,
        task_id: &str,
        (run, bad, down): (&str, usize, usize),
    ) -> Result<RunAnswer, DaemonError> {
        let request = SendRequest {
            user_id: USER.into(),
            session_key: format!("user:{USER}:scout").into(),
            task_id: Some(task_id.into()),
            message: format!("How much? This is bill-run {run} {bad} {down} ").into(),
            idempotency_key: Some(run.into()),
            output: Some(Output { schema: schema(), ..Output::default() }),
            ..SendRequest::default()
        };
        client(daemon, self.stack.daemon_key()).send(&request, &OPTIONS).await
    }

    /// What must hold for a run, whatever happened to it. `is_killed`: one answer may have been lost.
    async fn check(
        &self,
        task_id: &str,
        (run, bad, down): (&str, usize, usize),
        answer: &Result<RunAnswer, DaemonError>,
        is_killed: bool,
    ) {
        let context = format!("run {run}, {bad} bad, down {down:b}: {answer:?}");
        let mut thread = self.person.list(&format!("/messages?task_id={task_id}")).await.unwrap();
        // The question stays, whatever comes of it.
        thread.retain(|message| message["actor_type"] == "agent");
        if bad <= 2 {
            let answer = answer.as_ref().unwrap_or_else(|_| panic!("{context}"));
            assert_eq!(answer.output.as_deref(), Some(&json!({ "sum": 7 })), "{context}");
            assert_eq!(thread.len(), 1, "{context}");
            assert_eq!(thread[0]["content"], GOOD, "{context}");
            assert_eq!(thread[0]["data"], json!({ "sum": 7 }), "{context}");
        } else {
            let error = answer.as_ref().expect_err(&context);
            assert_eq!(error.status(), Some(422), "{context}");
            assert_eq!(error.code(), Some("schema_mismatch"), "{context}");
            assert!(thread.is_empty(), "{context}");
        }
        let seen = self.models.lock().unwrap();
        assert!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
        // A tool's turn, the final text, and each correction: all asked once, none too many.
        let turns = 2 + bad.min(2);
        let counts: Vec<_> = (0..=turns)
            .map(|turn| seen.answered.get(&(run.to_owned(), turn)).copied().unwrap_or_default())
            .collect();
        assert_eq!(counts[turns], 0, "{counts:?} {context}");
        let lost: usize = counts[..turns].iter().map(|count| count.saturating_sub(1)).sum();
        assert!(lost <= usize::from(is_killed), "{counts:?} {context}");
        assert!(counts[..turns].iter().all(|count| *count > 0), "{counts:?} {context}");
        for (turn, provider) in seen.providers[run].iter().enumerate().filter(|_| lost == 0) {
            let fell_back = down >> turn & 1 == 1;
            let wanted = if fell_back { Profile::Ollama } else { Profile::Anthropic };
            assert_eq!(*provider, wanted, "turn {turn}: {context}");
        }
    }
}

#[tokio::test]
async fn a_schema_is_kept_through_failover_and_through_kill_and_resume() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
    };
    let (trials, seed) = (number("WOMBAT_TEST_TRIALS", 16), number("WOMBAT_TEST_SEED", 20_261_129));
    eprintln!("WOMBAT_TEST_SEED={seed} WOMBAT_TEST_TRIALS={trials}");
    let world = World::new().await;
    let (mut daemon, mut url) = world.daemon().await;
    let (mut random, mut killed) = (seed | 1, 0);
    for trial in 0..trials {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let pick = |shift: u32, of: u64| usize::try_from((random >> shift) % of).unwrap();
        let (bad, down, at) = (pick(3, 4), pick(11, 16), pick(23, 26));
        let side = if pick(41, 2) == 0 { Side::Before } else { Side::After };
        let name = format!("t{trial}");
        let run = (name.as_str(), bad, down);
        let task = world.person.post("/tasks", &json!({ "title": name })).await.unwrap();
        let task_id = task["id"].as_str().unwrap();
        world.gate.arm(Some((at, side)));
        let finished = {
            let first = world.send(&url, task_id, run);
            tokio::pin!(first);
            tokio::select! {
                answer = &mut first => Some(answer),
                () = world.gate.reached() => {
                    daemon.kill().await.unwrap();
                    first.await.unwrap_err();
                    None
                }
            }
        };
        world.gate.arm(None);
        if let Some(answer) = finished {
            world.check(task_id, run, &answer, false).await;
        } else {
            killed += 1;
            (daemon, url) = world.daemon().await;
        }
        let is_killed = killed > 0;
        let answer = world.send(&url, task_id, run).await;
        world.check(task_id, run, &answer, is_killed).await;
        // And once more: the same, and no model is asked.
        let before = world.models.lock().unwrap().answered.clone();
        let again = world.send(&url, task_id, run).await;
        world.check(task_id, run, &again, is_killed).await;
        assert_eq!(world.models.lock().unwrap().answered, before, "{run:?}");
    }
    eprintln!("{killed} of {trials} runs were killed");
    assert!(killed > 5 || trials < 16, "{killed}");
}
