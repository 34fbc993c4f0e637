//! The demo: one full round trip, printed as it happens, with the objects read back at the end.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_support::local_model::{INSTALL, LocalModel};
use test_support::program::ProgramError;
use test_support::stack::{Person, Stack, StackOptions, example};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::Model;
use crate::provider::Choice;

/// The user who writes.
const USER: &str = "local";

/// The message.
const MESSAGE: &str = "@scout find two primary schools near the beach";

/// The ports named in the documentation; free ones are used when these are taken.
const BACKEND_PORT: u16 = 8000;
const DAEMON_PORT: u16 = 8081;

/// How long the demo waits for a model. A small one on a busy machine needs minutes for a prompt.
const PATIENCE: Duration = Duration::from_secs(600);

/// The tool that the first turn of the small model is held to: a model that small calls none by itself.
const FORCED_TOOL: &str = "create_task";

/// Shows the round trip; then, unless `exit`, leaves the page open until Ctrl-C.
pub(crate) async fn run(exit: bool, model: Option<Model>) -> Result<(), ProgramError> {
    let mut interrupt = handler(SignalKind::interrupt())?;
    let mut terminate = handler(SignalKind::terminate())?;
    let mut hangup = handler(SignalKind::hangup())?;
    // Ends with this function, after the programs.
    let mut small = None;
    let mut stack = None;
    let shown = async {
        let choice = match model {
            Some(Model::Local) => Choice::local(&small.insert(local().await?).url),
            None => Choice::of(|name| std::env::var(name).ok()),
        };
        play(&choice, exit, &mut stack).await
    };
    let result = tokio::select! {
        result = shown => result,
        _ = interrupt.recv() => say(""),
        _ = terminate.recv() => say(""),
        _ = hangup.recv() => Ok(()),
    };
    // However it ended, nothing is left running.
    if let Some(mut stack) = stack {
        stack.stop().await?;
        say("All programs have stopped.")?;
    }
    result
}

async fn local() -> Result<LocalModel, ProgramError> {
    say("Starting the small model …")?;
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    let threads = threads.to_string();
    let arguments = ["--force-tool", FORCED_TOOL, "--answer", "80", "--threads", &threads];
    let started = LocalModel::start(&arguments).await?;
    started.ok_or_else(|| {
        ProgramError(format!(
            "MODEL=local needs a small real model, which is not installed. It is about 100 MB:\n\n{INSTALL}\n\n\
             Then run `make demo MODEL=local` again. More about it and other models: docs/REAL_MODELS.md"
        ))
    })
}

fn handler(kind: SignalKind) -> Result<tokio::signal::unix::Signal, ProgramError> {
    signal(kind).map_err(|error| ProgramError(error.to_string()))
}

fn say(text: &str) -> Result<(), ProgramError> {
    // A terminal that has gone away is no reason to stop before the programs are stopped.
    let _ = writeln!(std::io::stdout(), "{text}");
    Ok(())
}

async fn play(
    choice: &Choice,
    exit: bool,
    running: &mut Option<Stack>,
) -> Result<(), ProgramError> {
    let options = StackOptions {
        everywhere: choice.everywhere.clone(),
        daemon: choice.settings.clone(),
        example: example(),
        backend_port: free(BACKEND_PORT),
        daemon_port: free(DAEMON_PORT),
    };
    say("Starting backend, daemon and dispatcher …")?;
    let stack = running.insert(Stack::start(&options).await?);
    say(&format!(
        "  backend     {}\n  daemon      {}\n  model       {}\n",
        stack.backend_url,
        stack.daemon_url,
        choice.told(),
    ))?;
    let result = round(stack, choice).await;
    if let Err(error) = result {
        let logs = [&stack.daemon, &stack.dispatcher].map(|program| {
            let log = program.log();
            let lines: Vec<_> = log.lines().rev().take(8).collect();
            let last: Vec<_> = lines.into_iter().rev().collect();
            format!("\nThe last lines of {}:\n{}", program.name(), last.join("\n"))
        });
        return Err(ProgramError(format!("{error}\n{}", logs.concat())));
    }
    if exit {
        return Ok(());
    }
    say(&format!(
        "The page shows it all: {}/\nWrite to an agent there, or stop everything with Ctrl-C.",
        stack.backend_url
    ))?;
    std::future::pending().await
}

/// The port, if it is free.
fn free(port: u16) -> Option<u16> {
    TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
}

async fn round(stack: &Stack, choice: &Choice) -> Result<(), ProgramError> {
    let person = stack.person(USER);
    let task = person.post("/tasks", &json!({ "title": "Find a school" })).await?;
    let task_id = text(&task, "id");
    let begun = Instant::now();
    let message = json!({ "task_id": task_id, "content": MESSAGE });
    let message = person.post("/messages", &message).await?;
    say(&format!(
        "1. {USER} writes in the task “{}”:\n     {MESSAGE}\n     stored as message {}\n",
        text(&task, "title"),
        text(&message, "id")
    ))?;
    let notification = until("the mention creates a notification", async || {
        Ok(person.list("/notifications").await?.pop())
    });
    let notification = notification.await?;
    say(&format!(
        "2. The mention creates a notification for the session {}:\n     {}\n",
        text(&notification, "session_key"),
        text(&notification, "id")
    ))?;
    say(
        "3. The dispatcher delivers it; the daemon runs the agent, which works in the backend as the user.",
    )?;
    let reply = until("the agent replies", async || reply(&person, &task_id).await).await?;
    for line in tool_lines(&stack.daemon.log()) {
        say(&format!("     {line}"))?;
    }
    let took = begun.elapsed().as_secs_f64();
    say(&format!(
        "\n4. {took:.1} s after the message, {} has replied:\n{}     stored as message {}\n",
        text(&reply, "agent_role"),
        indented(&text(&reply, "content")),
        text(&reply, "id")
    ))?;
    until("the notification is acknowledged", async || {
        let known = person.list("/notifications").await?;
        Ok(known.into_iter().find(|known| known["delivered"] == true))
    })
    .await?;
    read_back(&person, &task_id, choice).await
}

/// Reads everything back from the backend, the only place where it is stored.
async fn read_back(person: &Person, task_id: &str, choice: &Choice) -> Result<(), ProgramError> {
    let (tasks, documents) = (person.list("/tasks").await?, person.list("/documents").await?);
    let thread = person.list(&format!("/messages?task_id={task_id}")).await?;
    let notifications = person.list("/notifications").await?;
    let mut told = String::from("5. Read back from the backend:\n");
    for (kind, items, field) in [
        ("task", &tasks, "title"),
        ("message", &thread, "content"),
        ("document", &documents, "title"),
        ("notification", &notifications, "session_key"),
    ] {
        for item in items {
            let what: String =
                text(item, field).lines().next().unwrap_or_default().chars().take(60).collect();
            let delivered = if item["delivered"] == true { " (delivered)" } else { "" };
            let _ = writeln!(told, "     {kind:<13}{}  {what}{delivered}", text(item, "id"));
        }
    }
    if let Some(document) = documents.first() {
        let whole = person.get(&format!("/documents/{}", text(document, "id"))).await?;
        let _ = write!(told, "\n   The document:\n{}", indented(&text(&whole, "content")));
    }
    say(&told)?;
    let counts = (tasks.len(), thread.len(), documents.len(), notifications.len());
    if choice.is_scripted() && counts != (1, 2, 1, 1) {
        return Err(ProgramError(format!(
            "expected 1 task, 2 messages, 1 document and 1 notification, found {counts:?}"
        )));
    }
    let day = person.post("/standup", &json!({ "timezone": "UTC", "user_id": USER })).await?;
    say(&format!("   The standup says: {}\n", text(&day, "summary")))
}

async fn reply(person: &Person, task_id: &str) -> Result<Option<Value>, ProgramError> {
    let thread = person.list(&format!("/messages?task_id={task_id}")).await?;
    Ok(thread.into_iter().find(|message| message["actor_type"] == "agent"))
}

async fn until(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<Option<Value>, ProgramError>,
) -> Result<Value, ProgramError> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err(ProgramError(format!("timed out after {} s waiting until {what}", PATIENCE.as_secs())))
}

/// The tool calls, from the daemon's log.
fn tool_lines(log: &str) -> Vec<String> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == "tool called")
        .map(|line| {
            let how = if line["ok"] == true { "ok" } else { "refused" };
            format!("{:<18}{how}, {} ms", text(&line, "tool"), line["duration_ms"])
        })
        .collect()
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "     | {line}");
        out
    })
}
