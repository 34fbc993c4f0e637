//! Agents that ask other agents: children with their own rights, one tree, kills included.

mod limits;
mod mentions;
mod model;
mod waiting;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::gate::{Gate, Side};
use test_support::program::Program;
use test_support::stack::{Person, Stack, StackOptions};
use test_support::wait_for;

use self::model::{Model, Turn};

const USER: &str = "ann";
const SESSION: &str = "session_key=user:ann:scout";

/// Roles that hand on: the scout may ask and notify, the writer writes documents and may ask, the clerk
/// only lists.
const AGENTS: &str = r#"{"agents": [
    {"role": "scout", "tools": {"enable": ["ask_agent", "mention"], "deny": ["create_document"]}},
    {"role": "writer", "tools": {"enable": ["ask_agent", "mention"]}},
    {"role": "clerk", "tools": {"enable": ["ask_agent"], "approval": ["create_document"]}}
]}"#;

struct World {
    stack: Stack,
    person: Person,
    model: Model,
    gate: Gate,
    options: StackOptions,
    http: reqwest::Client,
    _dir: TempDir,
}

impl World {
    async fn new(settings: &[(&'static str, &str)]) -> Self {
        let (model, model_url) = Model::start().await;
        let gate = Gate::new();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("workspace")).unwrap();
        std::fs::create_dir_all(dir.path().join("config")).unwrap();
        std::fs::write(dir.path().join("workspace/AGENTS.md"), "Be brief.").unwrap();
        std::fs::write(dir.path().join("config/agent-config.json"), AGENTS).unwrap();
        let mut daemon = vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("LLM_MODEL", "gpt-4o-mini".to_owned()),
            ("OPENAI_API_KEY", "sk-test".to_owned()),
            ("OPENAI_BASE_URL", format!("{}/v1", gate.to(&model_url).await)),
        ];
        daemon.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let mut options =
            StackOptions { daemon, example: dir.path().to_owned(), ..StackOptions::default() };
        let stack = Stack::start(&options).await.unwrap();
        options.daemon.push(("BACKEND_URL", gate.to(&stack.backend_url).await));
        let person = stack.person(USER);
        Self { stack, person, model, gate, options, http: reqwest::Client::new(), _dir: dir }
    }

    async fn another(&self) -> (Program, String) {
        self.stack.another_daemon(&self.options).await.unwrap()
    }

    async fn task(&self, title: &str) -> String {
        let task = self.person.post("/tasks", &json!({ "title": title })).await.unwrap();
        task["id"].as_str().unwrap().to_owned()
    }

    fn ask(&self, method: Method, daemon: &str, path: &str) -> reqwest::RequestBuilder {
        let call = self.http.request(method, format!("{daemon}{path}"));
        call.header("x-agent-daemon-key", self.stack.daemon_key()).timeout(Duration::from_secs(60))
    }

    /// Sends a body to an endpoint of the daemon; the status and the answer.
    async fn post(&self, daemon: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.ask(Method::POST, daemon, path).json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Has the scout play a part.
    async fn send(&self, daemon: &str, task: &str, part: &str, more: Value) -> (u16, Value) {
        self.post(daemon, "/api/agents/send", &body(task, part, more)).await
    }

    /// The report of a run of a role.
    async fn report(&self, run_key: &str, role: &str) -> Value {
        let path = format!("/api/agents/runs/{run_key}?session_key=user:{USER}:{role}");
        let answer = self.ask(Method::GET, &self.stack.daemon_url, &path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{run_key} {role}");
        answer.json().await.unwrap()
    }

    /// What agents have written into a thread.
    async fn replies(&self, task: &str) -> Vec<Value> {
        let thread =
            self.person.list(&format!("/messages?task_id={task}&limit=200")).await.unwrap();
        thread.into_iter().filter(|message| message["actor_type"] == "agent").collect()
    }

    async fn documents(&self, title: &str) -> usize {
        let all = self.person.list("/documents?limit=200").await.unwrap();
        all.iter().filter(|document| document["title"] == title).count()
    }
}

fn body(task: &str, part: &str, more: Value) -> Value {
    let mut body = json!({
        "user_id": USER, "session_key": "user:ann:scout", "task_id": task,
        "message": format!("play {part}"), "idempotency_key": format!("{task} {part}")
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn ask(role: &str, part: &str) -> (&'static str, Value) {
    ("ask_agent", json!({ "role": role, "message": format!("play {part}") }))
}

fn document(title: &str) -> (&'static str, Value) {
    ("create_document", json!({ "title": title, "content": "x" }))
}

#[tokio::test]
async fn another_role_does_its_part_with_its_own_rights_and_tells_nobody_else() {
    let world = World::new(&[]).await;
    let (model, daemon) = (&world.model, &world.stack.daemon_url);
    model.plays("lead", vec![Turn::Calls(vec![ask("writer", "draft")]), Turn::Says("All done.")]);
    model.plays(
        "draft",
        vec![Turn::Calls(vec![document("Draft"), ask("clerk", "check")]), Turn::Says("The draft.")],
    );
    model.plays("check", vec![Turn::Says("Checked.")]);
    let task = world.task("Work").await;
    let (status, answer) = world.send(daemon, &task, "lead", json!({})).await;
    assert_eq!((status, &answer["response"]), (200, &json!("All done.")), "{answer}");

    // The child sees the message, its own prompt and its own tools, and nothing else.
    let draft = &model.asked("draft")[0].body;
    let messages = draft["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0]["content"].as_str().unwrap().contains("The agent scout asks you"));
    assert!(draft["tools"].to_string().contains("create_document"));
    assert!(!model.asked("lead")[0].body["tools"].to_string().contains("create_document"));
    let told = model.told("lead");
    assert!(told[0].contains("The draft.") && told[0].contains("ask_agent"), "{told:?}");
    assert!(told[0].lines().count() > 2, "it is fenced: {told:?}");
    // One message, one document, one trace.
    let replies = world.replies(&task).await;
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(world.documents("Draft").await, 1);
    let traces: Vec<_> = ["lead", "draft", "check"]
        .iter()
        .flat_map(|part| model.asked(part))
        .map(|asked| asked.traceparent.split('-').nth(1).unwrap_or_default().to_owned())
        .collect();
    assert!(traces.iter().all(|trace| trace.len() == 32 && *trace == traces[0]), "{traces:?}");
    // What all of them used is the root's: two turns, two turns, one turn.
    assert_eq!(answer["usage"]["total_tokens"], 5 * 1_100, "{answer}");
    let cost = answer["cost"]["totalCost"].as_f64().unwrap();
    assert!((cost - 5.0 * (1_000.0 * 0.15e-6 + 100.0 * 0.6e-6)).abs() < 1e-9, "{cost}");

    let key = answer["run_key"].as_str().unwrap();
    let report = world.report(key, "scout").await;
    let child = &report["children"][0];
    assert_eq!((&child["role"], &child["status"]), (&json!("writer"), &json!("completed")));
    assert_eq!(child["usage"]["total_tokens"], 3 * 1_100, "{report}");
    assert_eq!(child["children"][0]["role"], "clerk", "{report}");
    assert_eq!(answer["steps"][0]["child"]["run_key"], child["run_key"], "{answer}");
    let of_child = world.report(child["run_key"].as_str().unwrap(), "writer").await;
    assert_eq!(of_child["parent_run_key"], key);
    assert_eq!(of_child["answer"]["response"], "The draft.", "{of_child}");
    assert_eq!(of_child["answer"]["message_id"], Value::Null);
    // It goes on with the run above, and with nothing else.
    let resume = json!({ "user_id": USER, "session_key": "user:ann:writer", "resume_run_key": child["run_key"] });
    for path in ["/api/agents/send", "/api/agents/runs"] {
        let (status, refused) = world.post(daemon, path, &resume).await;
        assert_eq!((status, &refused["code"]), (409, &json!("child_run")), "{refused}");
        assert_eq!(refused["details"]["root_run_key"], key);
    }
    // Another role's key is nobody's.
    let path = format!("/api/agents/runs/{}?{SESSION}", child["run_key"].as_str().unwrap());
    assert_eq!(world.ask(Method::GET, daemon, &path).send().await.unwrap().status(), 404);
    // The same again: no model is asked.
    let (_, again) = world.send(daemon, &task, "lead", json!({})).await;
    assert_eq!((&again["replayed"], &again["response"]), (&json!(true), &json!("All done.")));
    assert_eq!(model.asked("draft").len(), 2);
    // The console shows who has asked whom.
    let page = format!("{}/runs/{key}?user={USER}&role=scout", world.stack.backend_url);
    let page = world.http.get(page).send().await.unwrap().text().await.unwrap();
    assert!(
        page.contains("Handed on") && page.contains("writer") && page.contains("clerk"),
        "{page}"
    );
}

#[tokio::test]
async fn a_tree_of_runs_survives_its_daemons_death_at_every_request_and_does_nothing_twice() {
    let world = World::new(&[]).await;
    let every = std::env::var("WOMBAT_TEST_EVERY").ok().and_then(|n| n.parse().ok());
    let every: usize = every.unwrap_or(23);
    let plays = |run: &str| {
        let of = |part: &str| format!("{part}-{run}");
        let asks = vec![ask("writer", &of("draft")), ask("clerk", &of("check"))];
        let (lead, draft, check) = (of("lead"), of("draft"), of("check"));
        world.model.plays(&lead, vec![Turn::Calls(asks), Turn::Says("All done.")]);
        let made = Box::leak(format!("Draft {run}").into_boxed_str());
        world.model.plays(&draft, vec![Turn::Calls(vec![document(made)]), Turn::Says("Drafted.")]);
        world.model.plays(&check, vec![Turn::Says("Checked.")]);
    };
    let (mut daemon, mut url) = world.another().await;
    world.gate.arm(None);
    plays("whole");
    let task = world.task("whole").await;
    world.gate.arm(None);
    let (status, answer) = world.send(&url, &task, "lead-whole", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let whole = world.gate.passed().len();
    assert!(whole >= 20, "{whole}");
    let mut stopped = 0;
    for at in (0..whole).step_by(every) {
        for side in [Side::Before, Side::After] {
            let run = format!("{at}-{side:?}").to_lowercase();
            plays(&run);
            let task = world.task(&run).await;
            let lead = format!("lead-{run}");
            world.gate.arm(Some((at, side)));
            {
                let first = world
                    .ask(Method::POST, &url, "/api/agents/send")
                    .json(&body(&task, &lead, json!({})))
                    .send();
                tokio::pin!(first);
                tokio::select! {
                    answer = &mut first => {
                        assert!(at >= 20, "run {run} was not stopped: {answer:?}");
                        continue;
                    }
                    () = world.gate.reached() => stopped += 1,
                }
                daemon.kill().await.unwrap();
                assert!(first.await.is_err());
            }
            world.gate.arm(None);
            (daemon, url) = world.another().await;
            world.gate.arm(None);
            let (status, answer) = world.send(&url, &task, &lead, json!({})).await;
            assert_eq!(
                (status, &answer["response"]),
                (200, &json!("All done.")),
                "{run}: {answer}"
            );
            let replies = world.replies(&task).await;
            assert_eq!(replies.len(), 1, "{run}: {replies:?}");
            assert_eq!(world.documents(&format!("Draft {run}")).await, 1, "{run}");
            // An answer that had arrived and was not written down may be bought again: of each run one.
            for (part, turns) in [("lead", 2), ("draft", 2), ("check", 1)] {
                let part = format!("{part}-{run}");
                let bought: Vec<_> =
                    (0..turns).map(|turn| world.model.bought(&part, turn)).collect();
                let twice = bought.iter().filter(|bought| **bought == 2).count();
                assert!(
                    twice <= 1 && bought.iter().all(|n| (1..=2).contains(n)),
                    "{part}: {bought:?}"
                );
            }
            let report = world.report(answer["run_key"].as_str().unwrap(), "scout").await;
            let children = report["children"].as_array().unwrap();
            assert_eq!(children.len(), 2, "{run}: {report}");
            assert!(children.iter().all(|child| child["status"] == "completed"), "{run}: {report}");
            assert!(
                answer["usage"]["total_tokens"].as_u64().unwrap() >= 5 * 1_100,
                "{run}: {answer}"
            );
        }
    }
    eprintln!("killed at {stopped} points of {whole} requests, every {every}th");
    assert!(stopped >= whole / every * 2, "{stopped}");
}

#[tokio::test]
async fn a_detached_tree_goes_on_at_another_instance_by_itself() {
    let world = World::new(&[]).await;
    let model = &world.model;
    model.plays("lead", vec![Turn::Calls(vec![ask("writer", "draft")]), Turn::Says("All done.")]);
    model.plays("draft", vec![Turn::Calls(vec![document("Draft")]), Turn::Says("Drafted.")]);
    model.held.send_replace("draft".to_owned());
    let task = world.task("Work").await;
    let (mut daemon, url) = world.another().await;
    let (status, run) = world.post(&url, "/api/agents/runs", &body(&task, "lead", json!({}))).await;
    assert_eq!(status, 202, "{run}");
    let key = run["run_key"].as_str().unwrap();
    wait_for("the child to ask its model", async || (model.bought("draft", 0) == 1).then_some(()))
        .await;
    let report = world.report(key, "scout").await;
    assert_eq!(report["children"][0]["status"], "running", "{report}");
    daemon.kill().await.unwrap();
    model.held.send_replace(String::new());
    let done = wait_for("the run to go on", async || {
        let report = world.report(key, "scout").await;
        (report["status"] == "completed").then_some(report)
    })
    .await;
    assert_eq!(done["answer"]["response"], "All done.", "{done}");
    assert_eq!(world.documents("Draft").await, 1);
    assert_eq!(world.replies(&task).await.len(), 1);
    assert_eq!(model.bought("lead", 0), 1);
    // Its stream tells of the call and of its result.
    let path = format!("/api/agents/runs/{key}/stream?{SESSION}");
    let told = world.ask(Method::GET, &world.stack.daemon_url, &path).send().await.unwrap();
    let told = told.text().await.unwrap();
    let count = |text: &str| told.matches(text).count();
    assert_eq!((count("event: tool_call"), count("event: tool_result")), (1, 1), "{told}");
    assert!(told.contains("ask_agent") && told.contains("All done."), "{told}");
}

#[tokio::test]
async fn a_run_that_is_cancelled_takes_its_children_with_it_and_a_child_alone_takes_nobody() {
    let world = World::new(&[]).await;
    let (model, daemon) = (&world.model, &world.stack.daemon_url);
    model.plays("lead", vec![Turn::Calls(vec![ask("writer", "draft")]), Turn::Says("So be it.")]);
    model.plays("draft", vec![Turn::Calls(vec![ask("clerk", "check")]), Turn::Says("Drafted.")]);
    model.plays("check", vec![Turn::Says("Checked.")]);
    for alone in [false, true] {
        model.held.send_replace("check".to_owned());
        let before = model.bought("check", 0);
        let task = world.task("Work").await;
        let started = world.post(daemon, "/api/agents/runs", &body(&task, "lead", json!({}))).await;
        let key = started.1["run_key"].as_str().unwrap().to_owned();
        wait_for("the grandchild", async || (model.bought("check", 0) > before).then_some(()))
            .await;
        let report = world.report(&key, "scout").await;
        let child = report["children"][0]["run_key"].as_str().unwrap().to_owned();
        let (cancelled, role) = if alone { (&child, "writer") } else { (&key, "scout") };
        let path = format!("/api/agents/runs/{cancelled}?session_key=user:ann:{role}");
        // Also at an instance that does not run it.
        let (_other, other) = world.another().await;
        let answer = world.ask(Method::DELETE, &other, &path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        let report = wait_for("the end of all", async || {
            let report = world.report(&key, "scout").await;
            let child = &report["children"][0];
            let ended =
                child["status"] == "cancelled" && child["children"][0]["status"] == "cancelled";
            (ended && report["status"] != "running").then_some(report)
        })
        .await;
        model.held.send_replace(String::new());
        if alone {
            assert_eq!(report["status"], "completed", "{report}");
            assert_eq!(report["answer"]["response"], "So be it.");
            assert!(model.told("lead")[0].contains("agent_cancelled"), "{:?}", model.told("lead"));
        } else {
            assert_eq!(report["status"], "cancelled", "{report}");
            assert!(world.replies(&task).await.is_empty());
        }
    }
}
