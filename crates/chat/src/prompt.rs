//! The prompt: reads a line, executes it, until the person leaves.

use std::future::Future;
use std::path::PathBuf;

use daemon_client::{AgentInfo, ListedTool, MayCall, ToolVerdict};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio::runtime::Runtime;

use super::conversation::Conversation;
use super::error::ChatError;
use super::screen::Screen;

/// The commands of the prompt.
const HELP: &str = "\
/help         list the commands
/role NAME    switch to another role
/new [TITLE]  start over, under a new task or the one with this title
/tools        list the tools and which roles may call them
/answer TEXT  answer the agent's question
/resume       resume the run that awaits approval
/quit         leave; so does Ctrl-D
Ctrl-C stops an answer. A line that begins with // is sent with one slash.";

/// The most lines in the history.
const MAX_LINES: usize = 1_000;

/// One line of the prompt, parsed.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Nothing,
    Ask(String),
    Help,
    Role(String),
    New(Option<String>),
    Tools,
    /// With the answer to the agent's question, if it waits for one.
    Resume(Option<String>),
    Quit,
    Unknown(String),
}

impl Command {
    fn parse(line: &str) -> Self {
        let line = line.trim();
        let Some(command) = line.strip_prefix('/') else {
            return if line.is_empty() { Self::Nothing } else { Self::Ask(line.to_owned()) };
        };
        if command.starts_with('/') {
            return Self::Ask(command.to_owned());
        }
        let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match (word, rest.trim()) {
            ("help" | "?", "") => Self::Help,
            ("role", role) if !role.is_empty() => Self::Role(role.to_owned()),
            ("new", "") => Self::New(None),
            ("new", title) => Self::New(Some(title.to_owned())),
            ("tools", "") => Self::Tools,
            ("resume", "") => Self::Resume(None),
            ("answer", answer) if !answer.is_empty() => Self::Resume(Some(answer.to_owned())),
            ("quit" | "exit", "") => Self::Quit,
            (_, _) => Self::Unknown(line.to_owned()),
        }
    }
}

/// Runs the prompt until the person leaves. `history` is the history's file, if there is to be one.
pub(super) fn run(
    runtime: &Runtime,
    conversation: &mut Conversation,
    screen: &mut Screen<'_>,
    history: Option<PathBuf>,
) -> Result<(), ChatError> {
    let own =
        |error: ReadlineError| ChatError::Local(format!("the terminal could not be read: {error}"));
    let config = Config::builder().max_history_size(MAX_LINES).map_err(own)?;
    let config = config.auto_add_history(true).build();
    let mut editor = Editor::<(), FileHistory>::with_config(config).map_err(own)?;
    let history = history.filter(|file| match super::history::prepare(file) {
        Ok(()) => editor.load_history(file).is_ok() || std::fs::metadata(file).is_ok(),
        Err(_) => false,
    });
    screen.note(&format!("Task: {}. /help lists the commands.", conversation.task()))?;
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
            // The chat works without a history, as on a full disk.
            let _not_saved = editor.append_history(file);
        }
        match execute(runtime, Command::parse(&line), conversation, screen) {
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

/// Executes a command; `false` when the person leaves.
fn execute(
    runtime: &Runtime,
    command: Command,
    chat: &mut Conversation,
    screen: &mut Screen<'_>,
) -> Result<bool, ChatError> {
    match command {
        Command::Nothing => {}
        Command::Ask(question) => {
            let asked = until_interrupt(runtime, chat.ask(&question, screen));
            if matches!(asked, Some(Ok(()) | Err(ChatError::AwaitingApproval(_)))) {
                super::show_page(runtime, chat, screen)?;
            }
            stopped(asked, screen)?;
        }
        Command::Resume(answer) => {
            let resumed = until_interrupt(runtime, chat.resume(answer.as_deref(), screen));
            stopped(resumed, screen)?;
        }
        Command::Help => screen.note(HELP)?,
        Command::Role(role) => {
            stopped(
                until_interrupt(runtime, chat.switch_role(&role)).map(|r| r.map(drop)),
                screen,
            )?;
        }
        Command::New(title) => {
            chat.start_over(title.as_deref());
            screen.note(&format!("Task: {}", chat.task()))?;
        }
        Command::Tools => {
            let role = chat.role().to_owned();
            let listed = async {
                let agent = chat.switch_role(&role).await?;
                Ok::<_, ChatError>(match chat.tools().await? {
                    Some(tools) => listing(&agent, &tools),
                    None => lists(&agent),
                })
            };
            match until_interrupt(runtime, listed) {
                Some(text) => screen.note(&text?)?,
                None => stopped(None, screen)?,
            }
        }
        Command::Quit => return Ok(false),
        Command::Unknown(line) => {
            screen.error(&format!("{line}: no such command; /help lists them"))?;
        }
    }
    Ok(true)
}

/// Waits for a future; `None` when Ctrl-C comes first.
fn until_interrupt<T>(runtime: &Runtime, what: impl Future<Output = T>) -> Option<T> {
    runtime.block_on(async {
        tokio::select! {
            done = what => Some(done),
            // Where signals cannot be handled, Ctrl-C ends the program as usual.
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

/// The tools that there are, each with who may call it.
fn listing(agent: &AgentInfo, tools: &[ListedTool]) -> String {
    let width = tools.iter().map(|tool| tool.name.chars().count()).max().unwrap_or_default();
    let mut text = format!("{} (model tier: {})", agent.role, agent.model_tier);
    if tools.is_empty() {
        text.push_str("\nThere are no tools.");
    }
    for tool in tools {
        // Who asks comes first.
        let (own, others): (Vec<_>, Vec<_>) =
            tool.roles.iter().partition(|verdict| verdict.role == agent.role);
        let told: Vec<_> = own.into_iter().chain(others).map(told).collect();
        text.push_str(&format!("\n{:width$}  {}", tool.name, told.join(", ")));
    }
    text
}

/// What a role may do with a tool.
fn told(verdict: &ToolVerdict) -> String {
    let ToolVerdict { role, may_call, why, deferred } = verdict;
    let why = why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
    let found = if *deferred { " by find_tools" } else { "" };
    match may_call {
        MayCall::Yes => format!("{role}{found}"),
        MayCall::WithApproval => format!("{role} with approval{why}{found}"),
        MayCall::No => format!("not {role}{why}"),
    }
}

/// The rules of a role, where the daemon does not tell the tools.
fn lists(agent: &AgentInfo) -> String {
    let list = |names: &[String], none: &str| {
        if names.is_empty() { none.to_owned() } else { names.join(", ") }
    };
    format!(
        "{} (model tier: {})\nallowed: {}\ndenied: {}\nwith approval: {}",
        agent.role,
        agent.model_tier,
        list(&agent.tools.allow, if agent.allows_nothing { "nothing" } else { "all tools" }),
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
        for (line, command) in [
            ("  ", Command::Nothing),
            (" hello /new ", Command::Ask(text("hello /new"))),
            ("//etc", Command::Ask(text("/etc"))),
            ("/help", Command::Help),
            ("/role  analyst ", Command::Role(text("analyst"))),
            ("/role", Command::Unknown(text("/role"))),
            ("/new", Command::New(None)),
            ("/new Trip to Rome", Command::New(Some(text("Trip to Rome")))),
            ("/tools", Command::Tools),
            ("/resume", Command::Resume(None)),
            ("/answer two of them", Command::Resume(Some("two of them".to_owned()))),
            ("/quit", Command::Quit),
            ("/quit now", Command::Unknown(text("/quit now"))),
        ] {
            assert_eq!(Command::parse(line), command, "{line:?}");
        }
    }

    #[test]
    fn each_tool_is_listed_with_who_may_call_it_and_by_which_rule() {
        let verdict = |role: &str, may_call, why: Option<&str>| ToolVerdict {
            role: role.to_owned(),
            may_call,
            why: why.map(str::to_owned),
            deferred: role == "scout" && may_call == MayCall::Yes,
        };
        let agent =
            AgentInfo { role: "scout".into(), model_tier: "cheap".into(), ..AgentInfo::default() };
        let rule = "denied by \"pay\" in agent-config.json";
        let tools = [
            ListedTool {
                name: "create_task".into(),
                roles: vec![
                    verdict("boss", MayCall::Yes, None),
                    verdict("scout", MayCall::Yes, None),
                ],
            },
            ListedTool {
                name: "pay".into(),
                roles: vec![
                    verdict("boss", MayCall::WithApproval, Some("\"pay\" in agent-config.json")),
                    verdict("scout", MayCall::No, Some(rule)),
                ],
            },
        ];
        assert_eq!(
            listing(&agent, &tools),
            "scout (model tier: cheap)\n\
             create_task  scout by find_tools, boss\n\
             pay          not scout (denied by \"pay\" in agent-config.json), \
             boss with approval (\"pay\" in agent-config.json)"
        );
        assert!(listing(&agent, &[]).ends_with("\nThere are no tools."));
    }
}
