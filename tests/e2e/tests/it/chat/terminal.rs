//! `wombat-daemon chat` on a terminal.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use test_support::PATIENCE;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::program::Program;
use test_support::wait_for;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use super::{QUESTION, World};
use crate::peers::installed;

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
        // In place of the shell, which Ctrl-C would end; and it hears of a closed terminal, also where the
        // tests were started with nohup.
        let chat = format!("'{}' chat {arguments}", daemon.display());
        let command = format!("exec env --default-signal=HUP {chat}");
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

/// A chat of two programs is one chat where a person asks.
#[tokio::test]
async fn questions_share_the_task_of_the_day_and_the_agent_knows_the_earlier_ones() {
    let answers = ["I am Scout.", "You are Ann.", "Who?"].map(Reply::sse_text);
    let model = ScriptedLlm::start(answers).await;
    let mut world = World::scripted(&model, &json!({})).await;
    for question in ["'I am Ann'", "'who am I?'", "--new 'who am I?'"] {
        let arguments = format!("--role scout {question}");
        let Some(mut terminal) = Terminal::start(&world, &arguments) else { return };
        terminal.expect("task: Chat with scout, 20").await;
        terminal.end().await;
    }
    let told = |n: usize| model.asked()[n]["messages"].to_string();
    assert!(told(1).contains("I am Ann") && told(1).contains("I am Scout."), "{}", told(1));
    assert_eq!(told(1).matches("who am I?").count(), 1, "{}", told(1));
    assert!(!told(2).contains("I am Ann"), "{}", told(2));
    // Nobody was named: it is whom the page shows.
    let tasks = world.stack.person("local").list("/tasks").await.unwrap();
    assert_eq!(tasks.len(), 2, "{tasks:?}");
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

/// Two terminals at once are not refused for the task that nobody has named.
#[tokio::test]
async fn a_question_beside_another_one_has_a_task_of_its_own_where_sessions_reject() {
    let model = ScriptedLlm::start([Reply::never(), Reply::sse_text("Here I am.")]).await;
    let settings = vec![("WOMBAT_SESSION_POLICY", "reject".to_owned())];
    let mut world = World::scripted_with(&model, &json!({}), settings).await;
    let Some(first) = Terminal::start(&world, "--role scout one") else { return };
    wait_for("the model to be asked", async || (!model.asked().is_empty()).then_some(())).await;
    let mut second = Terminal::start(&world, "--role scout two").unwrap();
    second.expect("Here I am.").await;
    second.end().await;
    drop(first);
    world.stack.stop().await.unwrap();
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
