//! `wombat-daemon chat`: talks to a role of a running daemon from a terminal (docs/CLI.md).
//!
//! It is a client like any other: it uses the daemon's HTTP API, and none of the daemon's code.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod clean;
mod conversation;
mod error;
mod history;
mod prompt;
mod questions;
mod screen;
mod settings;

use std::io::{self, IsTerminal as _, Read as _};
use std::process::ExitCode;

use clap::{Args, ValueHint};
use daemon_client::{DaemonClient, key_header};
use service::exit;
use service::settings::Layers;
use tokio::runtime::Runtime;

use self::conversation::{Conversation, Task};
use self::error::ChatError;
use self::screen::{Answer, Screen};
use self::settings::ChatSettings;

/// The longest question that is read from standard input, bytes: more than any daemon accepts.
const MAX_QUESTION: u64 = 16 * 1024 * 1024;

/// Talk to a role of a running daemon.
///
/// With MESSAGE, or when standard input is not a terminal, one question is asked: from the arguments
/// or from standard input. Standard output then holds the answer and nothing else. Otherwise there is
/// a prompt; /help lists its commands. AGENT_DAEMON_API_KEY is needed if the daemon has a key, and no
/// other secret.
#[derive(Debug, Args)]
pub struct Chat {
    /// The role to talk to, one of the daemon's workspace [default: its only role].
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// The user who asks [default: USER_ID, else `local`].
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The daemon's address [default: AGENT_DAEMON_URL, else WOMBAT_HOST and WOMBAT_PORT].
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    url: Option<String>,
    /// The title of the task that the answers are stored under; it is created if there is none
    /// [default: a new task for each chat; questions as arguments share one a day where a person asks them,
    /// on a terminal].
    #[arg(long, value_name = "TITLE", conflicts_with = "task_id")]
    task: Option<String>,
    /// The same, by id.
    #[arg(long, value_name = "ID")]
    task_id: Option<String>,
    /// Begin a new task with this question, and do not go on from today's others.
    #[arg(long, conflicts_with_all = ["task", "task_id"])]
    new: bool,
    /// Keep no history of this chat, and read no earlier history.
    #[arg(long)]
    no_history: bool,
    /// The question.
    #[arg(value_name = "MESSAGE")]
    message: Vec<String>,
}

impl Chat {
    /// The flags, by the settings that they override.
    pub fn flags(&self) -> [(&'static str, Option<String>); 2] {
        [("AGENT_DAEMON_URL", self.url.clone()), ("USER_ID", self.user.clone())]
    }

    /// Runs the chat, and returns the exit code.
    pub fn run(self, program: &str, layers: &Layers) -> ExitCode {
        let settings = match ChatSettings::read(layers) {
            Ok(settings) => settings,
            Err(problems) => return exit::fail(exit::CONFIG, program, &problems),
        };
        match self.chat(settings) {
            Ok(()) => ExitCode::SUCCESS,
            // The reader of the pipe has closed it, as `head` does.
            Err(ChatError::Screen(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                ExitCode::from(exit::FAILURE)
            }
            Err(error) => exit::fail(exit::FAILURE, program, &error),
        }
    }

    fn chat(self, settings: ChatSettings) -> Result<(), ChatError> {
        let client = client(&settings)?;
        let question = self.question()?;
        let named = self.task.map(Task::Titled).or(self.task_id.map(Task::Id));
        // What comes from a file or another program, or goes to one, is a chat of its own.
        let is_person = io::stdin().is_terminal() && io::stdout().is_terminal();
        let goes_on = is_person && !self.message.is_empty() && !self.new && named.is_none();
        // One worker keeps connections alive and handles signals while the prompt waits for a line.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| ChatError::Local(error.to_string()))?;
        let interactive = question.is_none();
        let answer =
            if interactive || io::stdout().is_terminal() { Answer::Live } else { Answer::Whole };
        let mut screen = Screen::new(answer, io::stdout(), anstream::stderr());
        screen.wait("waiting for the daemon");
        let role = runtime.block_on(conversation::role(&client, self.role))?;
        let task = named.or_else(|| goes_on.then(|| Task::of_today(&role)));
        let opened = Conversation::open(client, settings.user, &role, task);
        let mut conversation = runtime.block_on(opened)?;
        screen.end()?;
        match question {
            Some(question) => {
                ask_once(&runtime, &mut conversation, &mut screen, &question, goes_on)
            }
            None => {
                let var = std::env::var_os;
                let history = (!self.no_history)
                    .then(|| history::file(var("XDG_STATE_HOME"), var("HOME")))
                    .flatten();
                prompt::run(&runtime, &mut conversation, &mut screen, history)
            }
        }
    }

    /// The one question; none when there is to be a prompt.
    fn question(&self) -> Result<Option<String>, ChatError> {
        let mut question = self.message.join(" ");
        if self.message.is_empty() {
            if io::stdin().is_terminal() {
                return Ok(None);
            }
            let read = io::stdin().take(MAX_QUESTION).read_to_string(&mut question);
            read.map_err(|error| ChatError::Local(format!("standard input: {error}")))?;
        }
        if question.trim().is_empty() {
            return Err(ChatError::Local(
                "there is no question, neither as an argument nor on standard input".to_owned(),
            ));
        }
        Ok(Some(question))
    }
}

fn client(settings: &ChatSettings) -> Result<DaemonClient, ChatError> {
    let key = settings.key.as_ref().map(key_header).transpose();
    let key = key.map_err(|error| ChatError::Local(format!("AGENT_DAEMON_API_KEY {error}")))?;
    let http = service::http::client_builder().build().map_err(|error| {
        let cause = service::http::explain(&error);
        ChatError::Local(format!("the HTTP client could not be set up: {cause}"))
    })?;
    Ok(DaemonClient::new(http, &settings.url, key))
}

fn ask_once(
    runtime: &Runtime,
    conversation: &mut Conversation,
    screen: &mut Screen<'_>,
    question: &str,
    goes_on: bool,
) -> Result<(), ChatError> {
    let mut asked = runtime.block_on(conversation.ask(question, screen));
    if goes_on && asked.as_ref().is_err_and(ChatError::is_busy) {
        // Nobody has named today's task, so another terminal's question is no reason to refuse this one.
        conversation.start_over(None);
        asked = runtime.block_on(conversation.ask(question, screen));
    }
    screen.end()?;
    if matches!(asked, Ok(()) | Err(ChatError::AwaitingApproval(_))) {
        screen.note(&format!("task: {}", conversation.task()))?;
        show_page(runtime, conversation, screen)?;
    }
    asked
}

/// Says where a person sees the task.
fn show_page(
    runtime: &Runtime,
    conversation: &mut Conversation,
    screen: &mut Screen<'_>,
) -> Result<(), ChatError> {
    match runtime.block_on(conversation.page()) {
        Some(page) => Ok(screen.note(&format!("page: {page}"))?),
        None => Ok(()),
    }
}
