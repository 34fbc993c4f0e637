//! The chat at a terminal: line by line, until the person leaves.

use std::future::Future;
use std::path::PathBuf;

use daemon_client::AgentInfo;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio::runtime::Runtime;

use super::conversation::Conversation;
use super::error::ChatError;
use super::screen::Screen;

/// What can be done besides asking.
const HELP: &str = "\
/help         this list
/role NAME    go on with another role
/new [TITLE]  begin anew, under a new task or the one of this title
/tools        what the role may call
/resume       take up the run that waits for a person's decision
/quit         leave; so does Ctrl-D
Ctrl-C stops an answer. A line that begins with // is sent with one slash.";

/// The most lines that are kept.
const MAX_LINES: usize = 1_000;

/// What the person wants.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    Nothing,
    Ask(String),
    Help,
    Role(String),
    New(Option<String>),
    Tools,
    Resume,
    Quit,
    Unknown(String),
}

impl Order {
    fn parse(line: &str) -> Self {
        let line = line.trim();
        let Some(order) = line.strip_prefix('/') else {
            return if line.is_empty() { Self::Nothing } else { Self::Ask(line.to_owned()) };
        };
        if order.starts_with('/') {
            return Self::Ask(order.to_owned());
        }
        let (word, rest) = order.split_once(char::is_whitespace).unwrap_or((order, ""));
        match (word, rest.trim()) {
            ("help" | "?", "") => Self::Help,
            ("role", role) if !role.is_empty() => Self::Role(role.to_owned()),
            ("new", "") => Self::New(None),
            ("new", title) => Self::New(Some(title.to_owned())),
            ("tools", "") => Self::Tools,
            ("resume", "") => Self::Resume,
            ("quit" | "exit", "") => Self::Quit,
            (_, _) => Self::Unknown(line.to_owned()),
        }
    }
}

/// Talks until the person leaves. `history` is where lines are kept, if anywhere.
pub(super) fn talk(
    runtime: &Runtime,
    conversation: &mut Conversation,
    screen: &mut Screen<'_>,
    history: Option<PathBuf>,
) -> Result<(), ChatError> {
    let own =
        |error: ReadlineError| ChatError::Local(format!("the terminal cannot be read: {error}"));
    let config = Config::builder().max_history_size(MAX_LINES).map_err(own)?;
    let config = config.auto_add_history(true).build();
    let mut editor = Editor::<(), FileHistory>::with_config(config).map_err(own)?;
    let history = history.filter(|file| match super::history::prepare(file) {
        Ok(()) => editor.load_history(file).is_ok() || std::fs::metadata(file).is_ok(),
        Err(_) => false,
    });
    screen.note(&format!("Task: {}. /help lists what else can be done.", conversation.task()))?;
    loop {
        let prompt = format!("{}> ", conversation.role());
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                screen.note("Ctrl-D or /quit leaves.")?;
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(own(error)),
        };
        if let Some(file) = &history {
            // The chat goes on where lines cannot be kept, as on a full disk.
            let _not_kept = editor.append_history(file);
        }
        match follow(runtime, Order::parse(&line), conversation, screen) {
            Ok(true) => {}
            Ok(false) => break,
            Err(ChatError::Screen(error)) => return Err(error.into()),
            Err(error) => {
                screen.end()?;
                screen.error(&error.to_string())?;
                if matches!(error, ChatError::AwaitingApproval(_)) {
                    screen.note("Once that is decided, /resume shows the answer.")?;
                }
            }
        }
    }
    Ok(())
}

/// Does what the person wants; `false` when they want to leave.
fn follow(
    runtime: &Runtime,
    order: Order,
    chat: &mut Conversation,
    screen: &mut Screen<'_>,
) -> Result<bool, ChatError> {
    match order {
        Order::Nothing => {}
        Order::Ask(question) => {
            let asked = until_interrupt(runtime, chat.ask(&question, screen));
            stopped(asked, screen)?;
        }
        Order::Resume => {
            let resumed = until_interrupt(runtime, chat.resume(screen));
            stopped(resumed, screen)?;
        }
        Order::Help => screen.note(HELP)?,
        Order::Role(role) => {
            stopped(until_interrupt(runtime, chat.talk_to(&role)).map(|r| r.map(drop)), screen)?;
        }
        Order::New(title) => {
            chat.renew(title.as_deref());
            screen.note(&format!("Task: {}", chat.task()))?;
        }
        Order::Tools => {
            let role = chat.role().to_owned();
            match until_interrupt(runtime, chat.talk_to(&role)) {
                Some(agent) => screen.note(&tools(&agent?))?,
                None => stopped(None, screen)?,
            }
        }
        Order::Quit => return Ok(false),
        Order::Unknown(line) => {
            screen.error(&format!("{line}: no such command; /help lists them"))?;
        }
    }
    Ok(true)
}

/// Waits for something, or for Ctrl-C, which gives it up.
fn until_interrupt<T>(runtime: &Runtime, what: impl Future<Output = T>) -> Option<T> {
    runtime.block_on(async {
        tokio::select! {
            done = what => Some(done),
            // Where no signal can be waited for, Ctrl-C ends the program as it always did.
            Ok(()) = tokio::signal::ctrl_c() => None,
        }
    })
}

fn stopped(done: Option<Result<(), ChatError>>, screen: &mut Screen<'_>) -> Result<(), ChatError> {
    done.unwrap_or_else(|| {
        screen.end()?;
        Ok(screen.note("Stopped.")?)
    })
}

/// What a role may call, as its agent-config says.
fn tools(agent: &AgentInfo) -> String {
    let list = |names: &[String], none: &str| {
        if names.is_empty() { none.to_owned() } else { names.join(", ") }
    };
    format!(
        "{} (model tier: {})\nmay call: {}\nnever: {}\nafter a person has agreed: {}",
        agent.role,
        agent.model_tier,
        list(&agent.tools.allow, "all tools"),
        list(&agent.tools.deny, "-"),
        list(&agent.tools.approval, "-"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_questions_unless_they_begin_with_a_slash() {
        let text = str::to_owned;
        for (line, order) in [
            ("  ", Order::Nothing),
            (" hello /new ", Order::Ask(text("hello /new"))),
            ("//etc", Order::Ask(text("/etc"))),
            ("/help", Order::Help),
            ("/role  analyst ", Order::Role(text("analyst"))),
            ("/role", Order::Unknown(text("/role"))),
            ("/new", Order::New(None)),
            ("/new Trip to Rome", Order::New(Some(text("Trip to Rome")))),
            ("/tools", Order::Tools),
            ("/resume", Order::Resume),
            ("/quit", Order::Quit),
            ("/quit now", Order::Unknown(text("/quit now"))),
        ] {
            assert_eq!(Order::parse(line), order, "{line:?}");
        }
    }
}
