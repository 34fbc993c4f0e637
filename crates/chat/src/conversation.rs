//! The conversation: its requests, its task, and what is remembered between questions.

use std::borrow::Cow;
use std::time::Duration;

use daemon_client::{
    AgentInfo, CallOptions, Compatibility, DaemonClient, DaemonError, ListedTool, RequestKind,
    RunAnswer, SendRequest, StreamEvent, Turn, TurnRole,
};
use wombat_core::session::UserId;

use super::error::ChatError;
use super::questions::{self, Asked};
use super::screen::{Screen, call_line};

/// A run may wait this long for its session's turn before it begins.
const OPTIONS: CallOptions<'static> =
    CallOptions { timeout: Duration::from_secs(600), traceparent: None };

/// The task that the answers are stored under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// A new task with this title, which only this chat writes to.
    Fresh(String),
    /// The task with this title, created if there is none.
    Titled(String),
    /// The task with this id.
    Id(String),
}

impl Task {
    /// A new task with a unique title.
    pub(super) fn fresh(role: &str) -> Self {
        let zone = zones::local().unwrap_or(zones::Zone::UTC);
        let now = chrono::Utc::now().with_timezone(&zone).format("%Y-%m-%d %H:%M:%S");
        let random = uuid::Uuid::new_v4().simple().to_string();
        Self::Fresh(format!("Chat with {role}, {now} ({})", &random[..6]))
    }

    /// The task of today's questions, which are one chat although each is a program of its own.
    pub(super) fn of_today(role: &str) -> Self {
        let zone = zones::local().unwrap_or(zones::Zone::UTC);
        let today = chrono::Utc::now().with_timezone(&zone).format("%Y-%m-%d");
        Self::Titled(format!("Chat with {role}, {today}"))
    }
}

/// The role that is asked for, or the daemon's only one.
pub(super) async fn role(
    client: &DaemonClient,
    asked: Option<String>,
) -> Result<String, ChatError> {
    if let Some(role) = asked {
        return Ok(role);
    }
    let agents = client.agents().await;
    let agents = agents.map_err(|error| ChatError::of_call(client.url(), error))?;
    let mut roles: Vec<_> = agents.into_iter().map(|agent| agent.role).collect();
    match roles.pop() {
        Some(only) if roles.is_empty() => Ok(only),
        Some(last) => {
            roles.push(last);
            Err(ChatError::NoRole { known: format!("the daemon has {}", roles.join(", ")) })
        }
        None => Err(ChatError::NoRole { known: "the workspace lists none, and serves any".into() }),
    }
}

/// One conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    client: DaemonClient,
    user: UserId,
    role: String,
    task: Task,
    /// The task's id, once a run has found or created it.
    task_id: Option<String>,
    /// Questions and answers so far. Some backends' threads hold only the answers.
    turns: Vec<Turn>,
    /// What the backend offers to the daemon; `None` while unknown.
    backend: Option<Compatibility>,
    /// The task whose page has been shown.
    shown: Option<String>,
    /// The key of the run that awaits approval.
    awaiting_approval: Option<String>,
    /// The questions that it waits for.
    questions: Vec<Asked>,
}

impl Conversation {
    /// Starts a conversation with a role.
    pub(super) async fn open(
        client: DaemonClient,
        user: UserId,
        role: &str,
        task: Option<Task>,
    ) -> Result<Self, ChatError> {
        let task = task.unwrap_or_else(|| Task::fresh(role));
        let mut conversation = Self {
            client,
            user,
            role: String::new(),
            task,
            task_id: None,
            turns: Vec::new(),
            backend: None,
            shown: None,
            awaiting_approval: None,
            questions: Vec::new(),
        };
        conversation.switch_role(role).await?;
        Ok(conversation)
    }

    /// The role that answers.
    pub(super) fn role(&self) -> &str {
        &self.role
    }

    /// The task, for display.
    pub(super) fn task(&self) -> String {
        match (&self.task, &self.task_id) {
            (Task::Fresh(title) | Task::Titled(title), Some(id)) => format!("{title} [{id}]"),
            (Task::Fresh(title) | Task::Titled(title), None) => title.clone(),
            (Task::Id(id), _) => id.clone(),
        }
    }

    /// Switches to another role, under the same task.
    pub(super) async fn switch_role(&mut self, role: &str) -> Result<AgentInfo, ChatError> {
        let agents = self.client.agents().await.map_err(|error| self.failed(error))?;
        // A workspace that lists no roles serves any role.
        if agents.is_empty() {
            role.clone_into(&mut self.role);
            return Ok(AgentInfo { role: role.to_owned(), ..AgentInfo::default() });
        }
        let known = agents.iter().map(|agent| agent.role.as_str()).collect::<Vec<_>>().join(", ");
        let found = agents.into_iter().find(|agent| agent.role == role);
        let agent = found.ok_or(ChatError::UnknownRole { role: role.to_owned(), known })?;
        role.clone_into(&mut self.role);
        Ok(agent)
    }

    /// Starts over, under the task with this title or a new one.
    pub(super) fn start_over(&mut self, title: Option<&str>) {
        self.task =
            title.map_or_else(|| Task::fresh(&self.role), |title| Task::Titled(title.into()));
        self.task_id = None;
        self.turns.clear();
        self.awaiting_approval = None;
        self.questions.clear();
    }

    /// Asks a question and prints the answer as it arrives. Dropping the future ends the run.
    pub(super) async fn ask(
        &mut self,
        question: &str,
        screen: &mut Screen<'_>,
    ) -> Result<(), ChatError> {
        screen.wait("thinking");
        let sends_turns = self.sends_turns().await?;
        let request = SendRequest {
            message: question.to_owned().into(),
            messages: sends_turns.then(|| self.turns.clone().into()),
            ..self.request()
        };
        let answer = self.run(&request, screen).await?;
        self.turns.push(Turn { role: TurnRole::User, content: question.to_owned() });
        self.remember(answer)
    }

    /// Resumes the run that waits for a person: once one has decided, or with the answer to its question.
    pub(super) async fn resume(
        &mut self,
        answer: Option<&str>,
        screen: &mut Screen<'_>,
    ) -> Result<(), ChatError> {
        let none = |what: &str| Err(ChatError::Local(format!("no run of this chat awaits {what}")));
        let Some(run_key) = &self.awaiting_approval else { return none("a person") };
        let answers = match (answer, self.questions.first()) {
            (None, _) => None,
            (Some(_), None) => return none("an answer"),
            (Some(answer), Some(asked)) => {
                Some([(asked.id.clone(), asked.read(answer))].into_iter().collect())
            }
        };
        let request =
            SendRequest { resume_run_key: Some(run_key.clone().into()), answers, ..self.request() };
        screen.wait("thinking");
        let answer = self.run(&request, screen).await?;
        self.remember(answer)?;
        self.awaiting_approval = None;
        self.questions.clear();
        Ok(())
    }

    /// Remembers the answer, or the run that waits for a person.
    fn remember(&mut self, answer: RunAnswer) -> Result<(), ChatError> {
        if answer.status.is_waiting() {
            let text = waiting_message(&answer);
            self.questions = questions::of(&answer);
            self.awaiting_approval = answer.run_key.map(Cow::into_owned);
            return Err(ChatError::AwaitingApproval(text));
        }
        if let Some(content) = answer.response.filter(|response| !response.is_empty()) {
            self.turns.push(Turn { role: TurnRole::Assistant, content: content.into_owned() });
        }
        Ok(())
    }

    /// Whether earlier turns are sent along. Under a task of its own, this chat knows every turn. A
    /// task that others write to has a thread, which the daemon loads where the backend offers it.
    async fn sends_turns(&mut self) -> Result<bool, ChatError> {
        if self.turns.is_empty() {
            return Ok(false);
        }
        match self.task {
            Task::Fresh(_) => return Ok(true),
            Task::Titled(_) | Task::Id(_) => {}
        }
        let backend = self.backend().await?;
        Ok(backend.is_some_and(|backend| !backend.has("messages_list")))
    }

    /// What the backend offers; `None` when that is not known now, as when it is unavailable.
    async fn backend(&mut self) -> Result<Option<&Compatibility>, ChatError> {
        if self.backend.is_none() {
            self.backend = match self.client.compatibility().await {
                Ok(backend) => Some(backend),
                Err(error) if error.status().is_some() => None,
                Err(error) => return Err(self.failed(error)),
            };
        }
        Ok(self.backend.as_ref())
    }

    /// The address of the task's page, where the backend names one; the first time only.
    pub(super) async fn page(&mut self) -> Option<String> {
        let id = self.task_id.clone().filter(|id| self.shown.as_ref() != Some(id))?;
        let template = self.backend().await.ok()??.pages.as_ref()?.task.clone()?;
        let page = page(&template, &id, self.user.as_str());
        self.shown = Some(id);
        Some(page)
    }

    /// The tools that there are, and which roles may call each; `None` where the daemon does not tell.
    pub(super) async fn tools(&self) -> Result<Option<Vec<ListedTool>>, ChatError> {
        match self.client.tools().await {
            Ok(tools) => Ok(Some(tools)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The beginning of a request: user, session and task.
    fn request(&self) -> SendRequest<'static> {
        let user = self.user.as_str();
        let request = SendRequest {
            user_id: user.to_owned().into(),
            session_key: format!("user:{user}:{}", self.role).into(),
            ..SendRequest::default()
        };
        match (&self.task_id, &self.task) {
            (Some(id), _) | (None, Task::Id(id)) => {
                SendRequest { task_id: Some(id.clone().into()), ..request }
            }
            (None, Task::Fresh(title) | Task::Titled(title)) => {
                SendRequest { task_title: Some(title.clone().into()), ..request }
            }
        }
    }

    /// Makes a run and prints what it streams.
    async fn run(
        &mut self,
        request: &SendRequest<'_>,
        screen: &mut Screen<'_>,
    ) -> Result<RunAnswer, ChatError> {
        let mut events = match self.client.stream(request, &OPTIONS).await {
            Ok(events) => events,
            Err(DaemonError::Timeout { after }) => {
                let cause = format!("timeout: the run did not begin within {} s", after.as_secs());
                return Err(ChatError::Broken(cause));
            }
            Err(error) => return Err(self.failed(error)),
        };
        while let Some(event) = events.next().await.map_err(|error| self.failed(error))? {
            match event {
                StreamEvent::Start { task_id, .. } => {
                    self.task_id = Some(task_id).filter(|id| !id.is_empty());
                }
                StreamEvent::Chunk { data, step } => screen.chunk(&data, step)?,
                StreamEvent::Restarted { step, from, .. } => screen.restarted(step, from)?,
                StreamEvent::ToolCall { id, name, arguments } => {
                    screen.call(id, &name, &arguments)?;
                }
                StreamEvent::ToolResult { id, name, ok, duration_ms, error } => {
                    let why = error.as_deref().unwrap_or_default();
                    let verdict = if ok { Ok(()) } else { Err(why) };
                    screen.result(&id, &name, verdict, duration_ms)?;
                }
                StreamEvent::Done(answer) => {
                    screen.done(&answer)?;
                    return Ok(*answer);
                }
                StreamEvent::Error(body) => return Err(ChatError::of_body(&body)),
                StreamEvent::Unknown => {}
            }
        }
        Err(ChatError::Broken("the stream ended early".to_owned()))
    }

    fn failed(&self, error: DaemonError) -> ChatError {
        ChatError::of_call(self.client.url(), error)
    }
}

/// The address of a task's page.
fn page(template: &str, task_id: &str, user: &str) -> String {
    template.replace("{task_id}", &encoded(task_id)).replace("{user_id}", &encoded(user))
}

/// A part of an address, percent-encoded (RFC 3986, section 2.3).
fn encoded(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let bytes = part.bytes();
    bytes
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What the run waits for, and where a person decides.
fn waiting_message(answer: &RunAnswer) -> String {
    let requests = answer.tool_requests.iter().flat_map(|requests| requests.iter());
    let (asked, calls): (Vec<_>, Vec<_>) =
        requests.partition(|request| request.kind == RequestKind::Question);
    let mut texts = Vec::new();
    if !calls.is_empty() {
        let calls: Vec<_> = calls
            .into_iter()
            .map(|call| format!("{} [{}]", call_line(&call.tool, &call.arguments), call.id))
            .collect();
        texts.push(format!(
            "waits for a person's decision: {}; decide in the backend (the reference backend's page shows \
             it under “Waiting for your decision”)",
            calls.join(", ")
        ));
    }
    texts.extend(asked.into_iter().map(questions::told));
    texts.join("\n")
}

#[cfg(test)]
mod tests;
