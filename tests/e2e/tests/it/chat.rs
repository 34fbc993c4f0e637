//! `wombat-daemon chat` as a person and a script use it, against the real programs.

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::PATIENCE;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::program::Program;
use test_support::stack::{Stack, StackOptions, example};
use test_support::wait_for;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::peers::{free_port, installed};

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

/// A chat of two programs is one chat; a script's questions are not.
#[tokio::test]
async fn questions_share_the_task_of_the_day_and_the_agent_knows_the_earlier_ones() {
    let answers = ["I am Scout.", "You are Ann.", "Hm.", "Who?"].map(Reply::sse_text);
    let model = ScriptedLlm::start(answers).await;
    let mut world = World::scripted(&model, &json!({})).await;
    for question in ["I am Ann", "who am I?"] {
        let (_, err) = texts(&world.chat(&["--role", "scout", question], "").await);
        assert!(err.contains("task: Chat with scout, 20"), "{err}");
    }
    let told = |n: usize| model.asked()[n]["messages"].to_string();
    assert!(told(1).contains("I am Ann") && told(1).contains("I am Scout."), "{}", told(1));
    assert_eq!(told(1).matches("who am I?").count(), 1, "{}", told(1));
    texts(&world.chat(&["--role", "scout"], "who am I?").await);
    texts(&world.chat(&["--role", "scout", "--new", "who am I?"], "").await);
    assert!(!told(2).contains("I am Ann") && !told(3).contains("I am Ann"));
    // Nobody was named: it is whom the page shows.
    let person = world.stack.person("local");
    let tasks = person.list("/tasks").await.unwrap();
    assert_eq!(tasks.len(), 3, "{tasks:?}");
    let page = reqwest::get(&world.stack.backend_url).await.unwrap().text().await.unwrap();
    assert!(
        page.contains("name=\"user\" value=\"local\"") && page.contains("Chat with scout"),
        "{page}"
    );
    assert!(
        page.contains("<datalist id=\"roles\"><option value=\"scout\"></option></datalist>"),
        "{page}"
    );
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn what_goes_wrong_is_one_line_that_says_what_to_do() {
    let mut world = World::offline().await;
    let role = world.chat(&["--role", "nobody", "hi"], "").await;
    assert_eq!(problem(&role), "the daemon has no role \"nobody\"; it has analyst, jarvis, scout");
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

/// A chat on a terminal, which `script` of util-linux provides.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<String>>,
    seen: usize,
}

impl Terminal {
    fn start(world: &World, arguments: &str) -> Option<Self> {
        let script = installed("script")?;
        let daemon = Program::path("wombat-daemon").unwrap();
        // In place of the shell, which Ctrl-C would end.
        let command = format!("exec '{}' chat {arguments}", daemon.display());
        let mut child = Command::new(script)
            .args(["-qefc", &command, "/dev/null"])
            .current_dir(world.home.path())
            .env_clear()
            .envs(world.settings())
            .env("PATH", "/usr/bin:/bin")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (keys, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&screen);
        tokio::spawn(async move {
            let mut all = Vec::new();
            while stdout.read_buf(&mut all).await.is_ok_and(|read| read > 0) {
                // A character of which only the first half came is shown with the next piece.
                let whole = all.utf8_chunks().next().map_or("", |chunk| chunk.valid());
                whole.clone_into(&mut shown.lock().unwrap());
            }
        });
        Some(Self { child, keys, screen, seen: 0 })
    }

    /// Waits for a text after all that was awaited before, and returns what came before it.
    async fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen.lock().unwrap().clone();
            if let Some(at) = screen[self.seen..].find(text) {
                let found = screen[self.seen..][..at].to_owned();
                self.seen += at + text.len();
                return found;
            }
            assert!(Instant::now() < deadline, "no {text:?} in:\n{}", &screen[self.seen..]);
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    async fn end(mut self) {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("the chat ends").unwrap();
        assert!(status.success(), "{status}: {}", self.screen.lock().unwrap());
    }
}

#[tokio::test]
async fn a_person_talks_begins_anew_and_leaves() {
    let mut world = World::offline().await;
    let Some(mut terminal) = Terminal::start(&world, "--role scout --user ann") else { return };
    terminal.expect("Task: Chat with scout, ").await;
    terminal.expect("scout> ").await;
    terminal.press(&format!("{QUESTION}\r")).await;
    let answer = terminal.expect(" tokens in").await;
    assert!(answer.contains("\u{1b}[2m· create_document {"), "{answer:?}");
    assert!(answer.contains("I found 6 primary schools near the beach"), "{answer}");
    terminal.expect("scout> ").await;
    terminal.press("what a day\r").await;
    terminal.expect("You wrote: what a day").await;
    terminal.expect("scout> ").await;
    // Two lines at once, as they are pasted: both count.
    terminal.press("/new Another\r/role nobody\r").await;
    terminal.expect("Task: Another").await;
    terminal.expect("the daemon has no role \"nobody\"").await;
    terminal.expect("scout> ").await;
    terminal.press("/role analyst\r").await;
    terminal.expect("analyst> ").await;
    terminal.press("/tools\r").await;
    terminal.expect("create_document ").await;
    terminal.expect("analyst, ").await;
    terminal.expect("not analyst (").await;
    terminal.expect("in agent-config.json)").await;
    terminal.expect("analyst> ").await;
    terminal.press("bye now\r").await;
    terminal.expect(" tokens in").await;
    terminal.expect("analyst> ").await;
    terminal.press("\u{4}").await;
    terminal.end().await;
    let person = world.stack.person("ann");
    let tasks = person.list("/tasks").await.unwrap();
    let chats: Vec<_> = tasks
        .iter()
        .filter_map(|task| task["title"].as_str())
        .filter(|title| title.starts_with("Chat with scout, ") || *title == "Another")
        .collect();
    assert_eq!(chats.len(), 2, "{tasks:?}");
    let history = world.home.path().join(".local/state/wombat/chat-history");
    let kept = std::fs::read_to_string(&history).unwrap();
    assert!(kept.contains(QUESTION) && kept.contains("bye now"), "{kept}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn ctrl_c_stops_the_answer_and_not_the_chat_and_the_model_is_told_what_was_said() {
    let answers = ["My name is Scout.", "You are Ann."].map(Reply::sse_text);
    let replies = [Reply::never()].into_iter().chain(answers);
    let model = ScriptedLlm::start(replies).await;
    let mut world = World::scripted(&model, &json!({})).await;
    let Some(mut terminal) = Terminal::start(&world, "--role scout --no-history") else { return };
    terminal.expect("scout> ").await;
    terminal.press("never answered\r").await;
    wait_for("the model to be asked", async || (!model.asked().is_empty()).then_some(())).await;
    terminal.press("\u{3}").await;
    terminal.expect("Stopped.").await;
    terminal.expect("scout> ").await;
    // Were the first run still going on, this one of the same session would wait for it.
    terminal.press("I am Ann\r").await;
    terminal.expect("My name is Scout.").await;
    terminal.expect("scout> ").await;
    terminal.press("who am I?\r").await;
    terminal.expect("You are Ann.").await;
    terminal.expect("scout> ").await;
    terminal.press("/quit\r").await;
    terminal.end().await;
    let asked = model.asked();
    let told: Vec<_> = asked.last().unwrap()["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|message| message["role"] != "system")
        .map(|message| message["content"].to_string())
        .collect();
    assert_eq!(told.len(), 3, "{told:?}");
    for (told, said) in told.iter().zip(["I am Ann", "My name is Scout.", "who am I?"]) {
        assert!(told.contains(said), "{told} is not {said}");
    }
    assert!(!world.home.path().join(".local").exists());
    world.stack.stop().await.unwrap();
}
