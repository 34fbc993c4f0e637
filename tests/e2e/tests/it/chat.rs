//! `wombat-daemon chat` as a person and a script use it, against the real programs.

mod terminal;

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::PATIENCE;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::program::Program;
use test_support::stack::{Stack, StackOptions, example};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::peers::free_port;

const QUESTION: &str = "find two primary schools near the beach";

/// A stack with a home folder for the person who chats.
struct World {
    stack: Stack,
    home: TempDir,
}

impl World {
    async fn offline() -> Self {
        Self::new(Vec::new(), example().as_path()).await
    }

    /// With a scripted model.
    async fn scripted(model: &ScriptedLlm, agent_config: &Value) -> Self {
        Self::scripted_with(model, agent_config, Vec::new()).await
    }

    /// The same, with more settings of the daemon.
    async fn scripted_with(
        model: &ScriptedLlm,
        agent_config: &Value,
        settings: Vec<(&'static str, String)>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("workspace/souls")).unwrap();
        std::fs::create_dir_all(dir.path().join("config")).unwrap();
        std::fs::write(dir.path().join("workspace/souls/scout.md"), "Be brief.").unwrap();
        let config = dir.path().join("config/agent-config.json");
        std::fs::write(config, agent_config.to_string()).unwrap();
        let daemon = vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("OPENAI_BASE_URL", model.base_url()),
            ("OPENAI_API_KEY", "sk-test".to_owned()),
        ];
        let daemon = [daemon, settings].concat();
        let world = Self::new(daemon, dir.path()).await;
        Self { home: dir, ..world }
    }

    async fn new(daemon: Vec<(&'static str, String)>, example: &Path) -> Self {
        let options =
            StackOptions { daemon, example: example.to_owned(), ..StackOptions::default() };
        let stack = Stack::start(&options).await.unwrap();
        Self { stack, home: tempfile::tempdir().unwrap() }
    }

    /// The chat with only what it needs: no secret of the backend, no key of a model.
    fn settings(&self) -> [(&'static str, String); 4] {
        [
            ("AGENT_DAEMON_URL", self.stack.daemon_url.clone()),
            ("AGENT_DAEMON_API_KEY", self.stack.daemon_key().to_owned()),
            ("HOME", self.home.path().display().to_string()),
            ("TERM", "xterm".to_owned()),
        ]
    }

    async fn chat(&self, arguments: &[&str], input: &str) -> Output {
        chat(self.home.path(), &self.settings(), arguments, input).await
    }
}

async fn chat(
    dir: &Path,
    settings: &[(&'static str, String)],
    arguments: &[&str],
    input: &str,
) -> Output {
    let mut child = Command::new(Program::path("wombat-daemon").unwrap())
        .arg("chat")
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A chat with its question as an argument reads none, and may be gone.
    let _gone = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    timeout(PATIENCE, child.wait_with_output()).await.expect("the chat ends").unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// The error line of a chat that fails.
fn problem(output: &Output) -> String {
    let (out, err) = texts(output);
    assert_eq!((output.status.code(), out.as_str()), (Some(1), ""), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    err.strip_prefix("wombat-daemon: ").expect("the program's name").trim_end().to_owned()
}

#[tokio::test]
async fn one_question_is_answered_on_standard_output_and_nothing_else_stands_there() {
    let mut world = World::offline().await;
    let output =
        world.chat(&["--role", "scout", "--user", "ann", "--task", "Schools", QUESTION], "").await;
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(
        out.starts_with("I found 6 primary schools near the beach")
            && out.ends_with("completed.\n"),
        "{out}"
    );
    assert!(!out.contains("tokens") && !out.contains("create_document"), "{out}");
    for part in ["· create_document {", "  ok, ", "offline · ", " tokens in, ", "task: Schools ["]
    {
        assert!(err.contains(part), "{part} is missing in {err}");
    }
    assert!(!err.contains('\u{1b}'), "{err:?}");
    // The answer is the backend's, under the task that was named.
    let person = world.stack.person("ann");
    let tasks = person.list("/tasks").await.unwrap();
    let task = tasks.iter().find(|task| task["title"] == "Schools").expect("the task");
    let path = format!("/messages?task_id={}", task["id"].as_str().unwrap());
    let messages = person.list(&path).await.unwrap();
    let said: Vec<_> = messages.iter().map(|said| said["actor_type"].as_str().unwrap()).collect();
    assert_eq!(said, ["user", "agent"]);
    assert_eq!(messages[0]["content"], QUESTION);
    assert_eq!(messages[1]["content"].as_str().unwrap().trim_end(), out.trim_end());
    // Where a person sees it.
    let page = err.lines().find_map(|line| line.strip_prefix("page: ")).expect("the page");
    assert_eq!(
        page,
        format!("{}/tasks/{}?user=ann", world.stack.backend_url, task["id"].as_str().unwrap())
    );
    let shown = reqwest::get(page).await.unwrap().text().await.unwrap();
    assert!(shown.contains(QUESTION), "{shown}");
    // The same over standard input, and under the task's id.
    let id = task["id"].as_str().unwrap();
    let again = world.chat(&["--role", "scout", "--user", "ann", "--task-id", id], QUESTION).await;
    assert_eq!(texts(&again).0, out);
    assert_eq!(person.list(&path).await.unwrap().len(), 4);
    world.stack.stop().await.unwrap();
}

/// Each question of a script is a chat of its own, so that two at once do not wait for each other either.
#[tokio::test]
async fn questions_of_a_script_do_not_see_each_other() {
    let answers = ["I am Scout.", "Who?", "Who?"].map(Reply::sse_text);
    let model = ScriptedLlm::start(answers).await;
    let mut world = World::scripted(&model, &json!({})).await;
    texts(&world.chat(&["--role", "scout", "I am Ann"], "").await);
    texts(&world.chat(&["--role", "scout", "who am I?"], "").await);
    texts(&world.chat(&["--role", "scout"], "who am I?").await);
    let asked = model.asked();
    let told: Vec<_> = asked.iter().map(|asked| asked["messages"].to_string()).collect();
    assert_eq!(told.len(), 3);
    assert!(told[1..].iter().all(|told| !told.contains("I am Ann")), "{told:?}");
    let tasks = world.stack.person("local").list("/tasks").await.unwrap();
    assert_eq!(tasks.len(), 3, "{tasks:?}");
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn what_goes_wrong_is_one_line_that_says_what_to_do() {
    let mut world = World::offline().await;
    let role = world.chat(&["--role", "nobody", "hi"], "").await;
    assert_eq!(problem(&role), "the daemon has no role \"nobody\"; it has analyst, jarvis, scout");
    let none = world.chat(&["hello"], "").await;
    let expected = "name the role with --role: the daemon has analyst, jarvis, scout";
    assert_eq!(problem(&none), expected);
    let task = world.chat(&["--role", "scout", "--task-id", "nowhere", "hi"], "").await;
    assert!(problem(&task).ends_with("(task_not_found)"));
    let nothing = world.chat(&["--role", "scout"], " \n").await;
    assert!(problem(&nothing).starts_with("there is no question"));
    let mut settings = world.settings();
    settings[1].1 = "another-key".to_owned();
    let key = chat(world.home.path(), &settings, &["--role", "scout", "hi"], "").await;
    let key = problem(&key);
    assert!(key.ends_with("set AGENT_DAEMON_API_KEY to the daemon's key"), "{key}");
    assert!(!key.contains("another-key"));
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let away = world.chat(&["--role", "scout", "--url", &nowhere, "hi"], "").await;
    let away = problem(&away);
    assert!(away.starts_with(&format!("no daemon answers at {nowhere} (")), "{away}");
    assert!(away.contains("start one with `wombat-daemon`"), "{away}");
    let backend = world.stack.backend_url.clone();
    let other = world.chat(&["--role", "scout", "--url", &backend, "hi"], "").await;
    assert!(problem(&other).starts_with(&format!("{backend} is no Wombat daemon")));
    let user = world.chat(&["--role", "scout", "--user", "a:b", "hi"], "").await;
    assert_eq!(user.status.code(), Some(78));
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_model_cannot_send_orders_to_the_terminal() {
    let attack = "\u{1b}]0;owned\u{7}safe\u{1b}[2J\u{9b}31m text";
    let call = json!({ "title": "\u{1b}[31mred\u{9b}2J" });
    let model =
        ScriptedLlm::start([Reply::call("create_task", &call), Reply::sse_text(attack)]).await;
    let mut world = World::scripted(&model, &json!({})).await;
    let (out, err) = texts(&world.chat(&["--role", "scout", "go"], "").await);
    assert_eq!(out, "safe text\n", "{err}");
    assert!(err.contains("· create_task"), "{err}");
    let orders = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    assert!(!orders(&out) && !orders(&err), "{out:?} {err:?}");
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_run_that_fails_or_waits_for_a_person_says_so() {
    let call = Reply::call("create_task", &json!({ "title": "Bigger" }));
    let refused = Reply::json(401, json!({ "error": { "message": "no such key" } }));
    let model = ScriptedLlm::start([call, refused]).await;
    let config =
        json!({ "agents": [{ "role": "scout", "tools": { "approval": ["create_task"] } }] });
    let mut world = World::scripted(&model, &config).await;
    let waits = world.chat(&["--role", "scout", "go"], "").await;
    let (out, err) = texts(&waits);
    assert_eq!((waits.status.code(), out.as_str()), (Some(1), ""), "{err}");
    let line = err.lines().last().unwrap();
    assert!(
        line.contains("waits for a person's decision: create_task {\"title\":\"Bigger\"} ["),
        "{err}"
    );
    assert!(line.contains("decide in the backend"), "{err}");
    let failed = problem(&world.chat(&["--role", "scout", "go"], "").await);
    assert!(failed.contains("OPENAI_API_KEY") && failed.ends_with("(llm_auth)"), "{failed}");
    world.stack.stop().await.unwrap();
}
