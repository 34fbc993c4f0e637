//! Runs that are interrupted, taken up elsewhere, cancelled, and approved by a person.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::stack::{Person, Stack, StackOptions};
use test_support::wait_for;

const USER: &str = "ann";

/// A workspace whose scout needs a person to make documents.
fn workspace() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("workspace/AGENTS.md", "Be brief.");
    write(
        "config/agent-config.json",
        &json!({ "agents": [{ "role": "scout", "tools": { "approval": ["create_document"] } }] })
            .to_string(),
    );
    dir
}

struct World {
    stack: Stack,
    person: Person,
    llm: ScriptedLlm,
    options: StackOptions,
    task_id: String,
    _dir: TempDir,
}

impl World {
    async fn new(replies: Vec<Reply>) -> Self {
        let llm = ScriptedLlm::start(replies).await;
        let dir = workspace();
        let options = StackOptions {
            daemon: vec![
                ("LLM_PROVIDER", "openai".to_owned()),
                ("OPENAI_BASE_URL", llm.base_url()),
                ("WOMBAT_RETRY_ATTEMPTS", "1".to_owned()),
            ],
            example: Path::new(dir.path()).to_owned(),
            ..StackOptions::default()
        };
        let stack = Stack::start(&options).await.unwrap();
        let person = stack.person(USER);
        let task = person.post("/tasks", &json!({ "title": "Work" })).await.unwrap();
        let task_id = task["id"].as_str().unwrap().to_owned();
        Self { stack, person, llm, options, task_id, _dir: dir }
    }

    fn body(&self, key: &str) -> Value {
        json!({
            "user_id": USER, "session_key": format!("user:{USER}:scout"), "message": "Do it.",
            "task_id": self.task_id, "idempotency_key": key,
        })
    }

    async fn send(&self, daemon: &str, body: &Value) -> (u16, Value) {
        send(daemon, self.stack.daemon_key(), body).await
    }

    async fn replies(&self) -> Vec<Value> {
        let path = format!("/messages?task_id={}", self.task_id);
        let thread = self.person.list(&path).await.unwrap();
        thread.into_iter().filter(|message| message["actor_type"] == "agent").collect()
    }

    async fn titles(&self) -> Vec<String> {
        let tasks = self.person.list("/tasks").await.unwrap();
        let mut titles: Vec<_> =
            tasks.iter().map(|task| task["title"].as_str().unwrap().to_owned()).collect();
        titles.sort();
        titles
    }

    async fn run(&self, key: &str) -> Value {
        self.person.get(&format!("/runs/{}", run_key(key))).await.unwrap()
    }
}

async fn send(daemon: &str, key: &str, body: &Value) -> (u16, Value) {
    let call = reqwest::Client::new()
        .post(format!("{daemon}/api/agents/send"))
        .header("x-agent-daemon-key", key)
        .json(body);
    let answer = call.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn run_key(key: &str) -> String {
    mc_client::idempotency::RunKey::derive(USER, "scout", key).as_str().to_owned()
}

fn new_task(title: &str) -> (&'static str, Value) {
    ("create_task", json!({ "title": title }))
}

fn kinds(run: &Value) -> Vec<String> {
    let steps = run["steps"].as_array().unwrap();
    steps.iter().map(|step| step["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_journal_can_be_read_by_a_person_and_holds_no_secret() {
    let world = World::new(vec![
        Reply::calls(&[new_task("One"), new_task("Two")]),
        Reply::text("Both are there."),
    ])
    .await;
    let (status, answer) = world.send(&world.stack.daemon_url, &world.body("a")).await;
    assert_eq!(status, 200, "{answer}");
    let run = world.run("a").await;
    assert_eq!(run["status"], "completed");
    assert_eq!(run["message_id"], answer["message_id"]);
    assert_eq!(run["usage"]["prompt_tokens"], 200);
    assert_eq!(kinds(&run), ["request", "llm", "tool", "tool", "llm"]);
    let steps = &run["steps"];
    assert_eq!(steps[0]["payload"]["message"], "Do it.");
    assert_eq!(
        steps[1]["payload"]["completion"]["message"]["tool_calls"][0]["name"],
        "create_task"
    );
    assert_eq!(steps[2]["payload"]["arguments"]["title"], "One");
    assert!(steps[3]["payload"]["duration_ms"].is_u64());
    assert_eq!(steps[4]["payload"]["completion"]["message"]["text"], "Both are there.");
    let text = run.to_string();
    for secret in
        [world.stack.agent_secret(), world.stack.internal_token(), world.stack.daemon_key(), "eyJ"]
    {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn a_run_that_failed_goes_on_elsewhere_from_where_it_stopped() {
    let outage = Reply::json(503, json!({ "error": { "message": "down" } }));
    let world = World::new(vec![
        Reply::calls(&[new_task("One"), new_task("Two")]),
        outage,
        Reply::text("Done."),
    ])
    .await;
    let (status, answer) = world.send(&world.stack.daemon_url, &world.body("a")).await;
    assert_eq!((status, answer["code"].as_str()), (503, Some("llm_unavailable")), "{answer}");
    assert_eq!(world.run("a").await["status"], "failed");
    let (_other, url) = world.stack.another_daemon(&world.options).await.unwrap();
    let (status, answer) = world.send(&url, &world.body("a")).await;
    assert_eq!((status, answer["response"].as_str()), (200, Some("Done.")), "{answer}");
    // The first turn was paid once, and its tools ran once; the answer tells of both.
    assert_eq!(world.llm.asked().len(), 3);
    assert_eq!(world.titles().await, ["One", "Two", "Work"]);
    assert_eq!(answer["steps"].as_array().unwrap().len(), 2);
    assert_eq!(answer["usage"]["prompt_tokens"], 200);
    // And what the model is asked then is what it would have been asked.
    let asked = world.llm.asked();
    assert_eq!(asked[1], asked[2]);
    // Once more: the stored reply, and nobody is asked.
    let (status, again) = world.send(&world.stack.daemon_url, &world.body("a")).await;
    assert_eq!((status, &again["replayed"]), (200, &json!(true)), "{again}");
    assert_eq!(again["message_id"], answer["message_id"]);
    assert_eq!((world.llm.asked().len(), world.replies().await.len()), (3, 1));
    // The key belongs to this request.
    let mut other = world.body("a");
    other["message"] = json!("Do something else.");
    let (status, refused) = world.send(&url, &other).await;
    assert_eq!(
        (status, refused["code"].as_str()),
        (409, Some("idempotency_conflict")),
        "{refused}"
    );
}

#[tokio::test]
async fn a_daemon_that_is_killed_in_the_middle_is_taken_over() {
    let mut world =
        World::new(vec![Reply::calls(&[new_task("One")]), Reply::never(), Reply::text("Done.")])
            .await;
    let (url, key) = (world.stack.daemon_url.clone(), world.stack.daemon_key().to_owned());
    let body = world.body("a");
    let first = tokio::spawn({
        let body = body.clone();
        async move {
            let call = reqwest::Client::new()
                .post(format!("{url}/api/agents/send"))
                .header("x-agent-daemon-key", key)
                .json(&body);
            call.send().await.is_err()
        }
    });
    wait_for("the second turn", async || (world.llm.asked().len() == 2).then_some(())).await;
    world.stack.daemon.kill().await.unwrap();
    assert!(first.await.unwrap());
    assert_eq!(world.run("a").await["status"], "running");
    let (_other, url) = world.stack.another_daemon(&world.options).await.unwrap();
    let (status, answer) = world.send(&url, &body).await;
    assert_eq!((status, answer["response"].as_str()), (200, Some("Done.")), "{answer}");
    assert_eq!(world.llm.asked().len(), 3);
    assert_eq!(world.titles().await, ["One", "Work"]);
    assert_eq!(world.replies().await.len(), 1);
    assert_eq!(world.run("a").await["status"], "completed");
}

#[tokio::test]
async fn two_instances_with_one_key_are_one_run() {
    let world = World::new(vec![Reply::calls(&[new_task("One")]), Reply::text("Done.")]).await;
    let (_other, url) = world.stack.another_daemon(&world.options).await.unwrap();
    let body = world.body("a");
    let sends = (0..64).map(|n| {
        let daemon = if n % 2 == 0 { &url } else { &world.stack.daemon_url };
        world.send(daemon, &body)
    });
    let answers = futures::future::join_all(sends).await;
    for (status, answer) in &answers {
        assert_eq!((*status, answer["response"].as_str()), (200, Some("Done.")), "{answer}");
        assert_eq!(answer["message_id"], answers[0].1["message_id"]);
    }
    assert_eq!(world.llm.asked().len(), 2);
    assert_eq!((world.titles().await.len(), world.replies().await.len()), (2, 1));
}

#[tokio::test]
async fn a_run_that_the_backend_cancels_stops_and_stays_cancelled() {
    let world = World::new(vec![
        Reply::calls(&[new_task("One")]),
        Reply::never(),
        Reply::text("Never said."),
    ])
    .await;
    let (daemon, body) = (world.stack.daemon_url.clone(), world.body("a"));
    // A caller that waits learns of it at the next write of the journal, which here is its end.
    let mut limited = body.clone();
    limited["limits"] = json!({ "timeout_secs": 2 });
    let waits = world.send(&daemon, &limited);
    let cancels = async {
        wait_for("the second turn", async || (world.llm.asked().len() == 2).then_some(())).await;
        let path = format!("/runs/{}/cancel", run_key("a"));
        world.person.post(&path, &json!({})).await.unwrap()
    };
    let ((status, _), told) = tokio::join!(waits, cancels);
    assert!(matches!(status, 409 | 504), "{status}");
    assert_eq!(told["cancel_requested"], true, "{told}");
    let (status, answer) = world.send(&daemon, &body).await;
    assert_eq!((status, answer["code"].as_str()), (409, Some("run_cancelled")), "{answer}");
    assert_eq!((world.llm.asked().len(), world.replies().await.len()), (2, 0));
}

#[tokio::test]
async fn a_journaled_run_is_nobody_elses() {
    let world = World::new(vec![Reply::text("Done.")]).await;
    world.send(&world.stack.daemon_url, &world.body("a")).await;
    let resume = |user: &str, role: &str, key: &str| json!({ "user_id": user, "session_key": format!("user:{user}:{role}"), "resume_run_key": key });
    let daemon = &world.stack.daemon_url;
    for body in [
        resume("bob", "scout", &run_key("a")),
        resume(USER, "jarvis", &run_key("a")),
        resume(USER, "scout", &run_key("b")),
        resume(USER, "scout", "../../tasks"),
    ] {
        let (status, answer) = world.send(daemon, &body).await;
        assert_eq!((status, answer["code"].as_str()), (404, Some("run_not_found")), "{body}");
    }
    let (status, answer) = world.send(daemon, &resume(USER, "scout", &run_key("a"))).await;
    assert_eq!((status, &answer["replayed"]), (200, &json!(true)), "{answer}");
    assert_eq!(world.llm.asked().len(), 1);
}

/// Two calls that wait, beside one that does not.
fn wanting() -> Vec<Reply> {
    let document = |title: &str| ("create_document", json!({ "title": title, "content": "Text." }));
    vec![
        Reply::calls(&[document("A"), new_task("One"), document("B")]),
        Reply::text("As you wish."),
    ]
}

async fn decide(world: &World, title: &str, status: &str) {
    let all = world.person.list("/tool-requests").await.unwrap();
    let wanted = all.iter().find(|request| request["arguments"]["title"] == title).unwrap();
    let path = format!("/tool-requests/{}", wanted["id"].as_str().unwrap());
    world.person.patch(&path, &json!({ "status": status, "note": "because" })).await.unwrap();
}

#[tokio::test]
async fn tools_wait_for_a_person_and_then_do_what_was_approved() {
    let world = World::new(wanting()).await;
    let daemon = &world.stack.daemon_url;
    let (status, answer) = world.send(daemon, &world.body("a")).await;
    assert_eq!((status, answer["status"].as_str()), (200, Some("awaiting_approval")), "{answer}");
    assert_eq!(answer["run_key"], run_key("a"));
    let waiting = answer["tool_requests"].as_array().unwrap();
    assert_eq!(waiting.len(), 2, "{answer}");
    assert_eq!(waiting[0]["tool"], "create_document");
    assert_eq!(waiting[0]["arguments"]["title"], "A");
    assert_eq!(world.run("a").await["status"], "awaiting_approval");
    // What needs nobody has been done; what waits has not.
    assert_eq!(world.titles().await, ["One", "Work"]);
    assert!(world.person.list("/documents").await.unwrap().is_empty());
    assert!(world.replies().await.is_empty());
    // One decision of two: it goes on waiting. The dispatcher brings it back after each.
    decide(&world, "A", "approved").await;
    let (_, again) = world.send(daemon, &world.body("a")).await;
    assert_eq!(again["status"], "awaiting_approval", "{again}");
    decide(&world, "B", "denied").await;
    let reply = wait_for("the reply", async || world.replies().await.into_iter().next()).await;
    assert_eq!(reply["content"], "As you wish.");
    wait_for("the end", async || (world.run("a").await["status"] == "completed").then_some(()))
        .await;
    let documents = world.person.list("/documents").await.unwrap();
    let titles: Vec<_> = documents.iter().map(|document| &document["title"]).collect();
    assert_eq!(titles, ["A"]);
    assert_eq!(world.titles().await, ["One", "Work"]);
    assert_eq!(world.llm.asked().len(), 2);
    let told = world.llm.asked()[1].to_string();
    assert!(told.contains("a person denied it") && told.contains("because"), "{told}");
    let run = world.run("a").await;
    assert_eq!(kinds(&run), ["request", "llm", "tool", "tool", "tool", "llm"]);
}

#[tokio::test]
async fn an_agent_asks_for_a_call_of_its_own_accord_and_what_is_approved_is_made() {
    let ask = |tool: &str, title: &str| {
        let arguments = json!({ "title": title });
        ("request_tool", json!({ "tool": tool, "arguments": arguments, "reason": "It is yours." }))
    };
    let world = World::new(vec![
        Reply::calls(&[
            ask("create_task", "Asked"),
            new_task("Unasked"),
            ask("request_tool", "Never"),
            ask("no_such_tool", "Never"),
            ("request_tool", json!({ "tool": "create_task", "arguments": {}, "reason": "x" })),
            ask("create_task", "Not wanted"),
        ]),
        Reply::text("As you wish."),
    ])
    .await;
    let (status, answer) = world.send(&world.stack.daemon_url, &world.body("a")).await;
    assert_eq!((status, answer["status"].as_str()), (200, Some("awaiting_approval")), "{answer}");
    let waiting = answer["tool_requests"].as_array().unwrap();
    assert_eq!(waiting.len(), 2, "what is wrong bothers nobody: {answer}");
    // The person sees the call itself, and why.
    assert_eq!(waiting[0]["tool"], "create_task");
    assert_eq!(waiting[0]["arguments"], json!({ "title": "Asked" }));
    let asked = world.person.list("/tool-requests").await.unwrap();
    assert!(asked.iter().all(|request| request["reason"] == "It is yours."), "{asked:?}");
    assert_eq!(world.titles().await, ["Unasked", "Work"]);
    decide(&world, "Not wanted", "denied").await;
    decide(&world, "Asked", "approved").await;
    wait_for("the reply", async || world.replies().await.into_iter().next()).await;
    assert_eq!(world.titles().await, ["Asked", "Unasked", "Work"]);
    let told = world.llm.asked().last().unwrap()["messages"].to_string();
    assert!(told.contains("cannot be asked for") && told.contains("there is no tool"), "{told}");
    assert!(told.contains("title") && told.contains("a person denied it"), "{told}");
}

#[tokio::test]
async fn a_budget_that_is_spent_ends_a_run_with_what_it_has() {
    let world =
        World::new(vec![Reply::calls(&[new_task("One")]), Reply::text("Never said.")]).await;
    // Enough for the first call of this model, not for two.
    let first = 0.15e-6 * 200.0 + 0.6e-6 * 1000.0;
    let put = reqwest::Client::new()
        .put(format!("{}/api/mission-control/budget", world.stack.backend_url))
        .header("x-internal-token", world.stack.internal_token())
        .json(&json!({ "user_id": USER, "limit_usd": first * 1.3, "period": "day" }));
    assert!(put.send().await.unwrap().status().is_success());
    let mut body = world.body("a");
    let mut answers = Vec::new();
    for n in 0..64 {
        body["idempotency_key"] = json!(format!("k{n}"));
        let answer = world.send(&world.stack.daemon_url, &body).await;
        let spent = answer.0 == 402;
        answers.push(answer);
        if spent {
            break;
        }
    }
    let (status, last) = answers.last().unwrap();
    assert_eq!((*status, last["code"].as_str()), (402, Some("budget_exceeded")), "{last}");
    let budget = world.person.get("/budget").await.unwrap();
    let (spent, limit) =
        (budget["spent_usd"].as_f64().unwrap(), budget["limit_usd"].as_f64().unwrap());
    assert!(spent > 0.0 && spent <= limit, "{budget}");
    assert_eq!(budget["reserved_usd"], 0.0, "{budget}");
}

#[tokio::test]
async fn runs_at_the_same_time_cannot_spend_the_same_money() {
    let dear = json!({
        "choices": [{ "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": "Done." } }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 1000, "total_tokens": 1100 },
    });
    let world = World::new(vec![Reply::json(200, dear)]).await;
    let call = 0.15e-6 * 100.0 + 0.6e-6 * 1000.0;
    let limit = call * 3.5;
    let put = reqwest::Client::new()
        .put(format!("{}/api/mission-control/budget", world.stack.backend_url))
        .header("x-internal-token", world.stack.internal_token())
        .json(&json!({ "user_id": USER, "limit_usd": limit, "period": "day" }));
    assert!(put.send().await.unwrap().status().is_success());
    let sends = (0..24).map(async |n| {
        let task = world.person.post("/tasks", &json!({ "title": format!("T{n}") })).await.unwrap();
        let mut body = world.body(&format!("k{n}"));
        body["task_id"] = task["id"].clone();
        world.send(&world.stack.daemon_url, &body).await
    });
    let answers = futures::future::join_all(sends).await;
    let done = answers.iter().filter(|(status, _)| *status == 200).count();
    assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 402)), "{answers:?}");
    assert!((1..=3).contains(&done), "{done}");
    let budget = world.person.get("/budget").await.unwrap();
    assert!(budget["spent_usd"].as_f64().unwrap() <= limit, "{budget}");
    assert_eq!(world.llm.asked().len(), done);
}

#[tokio::test]
async fn a_stream_whose_reader_goes_is_interrupted_and_its_key_goes_on() {
    let world = World::new(vec![
        Reply::sse_calls(&[new_task("One")]),
        Reply::never(),
        Reply::text("Done."),
    ])
    .await;
    let call = reqwest::Client::new()
        .post(format!("{}/api/agents/stream", world.stack.daemon_url))
        .header("x-agent-daemon-key", world.stack.daemon_key())
        .json(&world.body("a"));
    let mut answer = call.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    wait_for("the second turn", async || (world.llm.asked().len() == 2).then_some(())).await;
    assert!(answer.chunk().await.unwrap().is_some());
    drop(answer);
    let run = wait_for("the last word", async || {
        let run = world.run("a").await;
        (run["status"] == "interrupted").then_some(run)
    })
    .await;
    assert_eq!(run["estimated"], true, "{run}");
    // What the dropped call read is counted by estimate, above what the first one used.
    assert!(run["usage"]["prompt_tokens"].as_u64().unwrap() > 100, "{run}");
    wait_for("the settlement", async || {
        let budget = world.person.get("/budget").await.unwrap();
        (budget["reserved_usd"] == 0.0).then_some(())
    })
    .await;
    let (status, answer) = world.send(&world.stack.daemon_url, &world.body("a")).await;
    assert_eq!((status, answer["response"].as_str()), (200, Some("Done.")), "{answer}");
    assert_eq!((world.llm.asked().len(), world.titles().await.len()), (3, 2));
}

#[tokio::test]
async fn a_run_that_an_instance_cancels_stays_cancelled_everywhere() {
    let world = World::new(vec![Reply::never()]).await;
    let (url, key) = (world.stack.daemon_url.clone(), world.stack.daemon_key().to_owned());
    let call = reqwest::Client::new()
        .post(format!("{url}/api/agents/stream"))
        .header("x-agent-daemon-key", &key)
        .json(&world.body("a"));
    let mut answer = call.send().await.unwrap();
    let first = String::from_utf8(answer.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let (_, data) = first.split_once("data: ").unwrap();
    let start: Value = serde_json::from_str(data.lines().next().unwrap()).unwrap();
    wait_for("the first turn", async || (world.llm.asked().len() == 1).then_some(())).await;
    let cancel = reqwest::Client::new()
        .delete(format!("{url}/api/agents/runs/{}", start["run_id"].as_str().unwrap()))
        .header("x-agent-daemon-key", &key);
    let receipt: Value = cancel.send().await.unwrap().json().await.unwrap();
    assert_eq!((&receipt["status"], &receipt["estimated"]), (&json!("cancelled"), &json!(true)));
    assert!(receipt["usage"]["prompt_tokens"].as_u64().unwrap() > 0, "{receipt}");
    let rest = answer.text().await.unwrap();
    assert!(rest.contains("run_cancelled"), "{rest}");
    assert_eq!(world.run("a").await["status"], "cancelled");
    let (_other, other) = world.stack.another_daemon(&world.options).await.unwrap();
    for daemon in [&url, &other] {
        let (status, answer) = world.send(daemon, &world.body("a")).await;
        assert_eq!((status, answer["code"].as_str()), (409, Some("run_cancelled")), "{answer}");
    }
    assert_eq!((world.llm.asked().len(), world.replies().await.len()), (1, 0));
}
