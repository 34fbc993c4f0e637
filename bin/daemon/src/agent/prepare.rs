//! What is looked up before the model is called: the task, the thread, a reply that is already stored.

use llm::Media;
use llm::request::Message as Turn;
use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::idempotency::task_key;
use mc_client::types::{Capabilities, CreateTask, FileMeta, Message, Task};
use service::otel::Span;
use wombat_core::session::{Role, SessionKey};

use super::driver::RunDriver;
use super::refusals::stored_reply;
use crate::run::attachments::{KnownFile, known};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::request::{RunRequest, TaskTarget};
use crate::sessions::{Busy, SessionPolicy, Sessions, Turn as SessionTurn};

/// What a model reads before the files that it has made in earlier turns.
const OWN_FILES: &str = "[the files of your message above]";

/// How many messages are looked through for the one that is to be answered.
const RECENT: u32 = 10;

/// The task's id, and the session's turn on it.
pub(super) struct TaskTurn {
    pub(super) task_id: String,
    pub(super) turn: SessionTurn,
}

/// Finds or creates the task and waits for the session's turn on it. Messages for the same title are
/// resolved one after the other, so that they queue in the order of their arrival. Before a task is
/// created, `task_before` may refuse the run, or know the task.
pub(super) async fn acquire_turn(
    client: &AgentClient,
    sessions: &Sessions,
    policy: SessionPolicy,
    request: &RunRequest,
    span: &Span,
    task_before: impl AsyncFnOnce() -> Result<Option<String>, RunError>,
) -> Result<TaskTurn, RunError> {
    let session = &request.session;
    let (task_id, resolving) = find_task(client, sessions, policy, request, task_before).await?;
    span.set_conversation(&task_id);
    let mut enter = Box::pin(sessions.enter(lane(session, &task_id), policy));
    // The first poll puts this run into the queue; after that the next message may resolve.
    let turn = tokio::select! {
        biased;
        turn = &mut enter => turn,
        () = std::future::ready(()) => {
            drop(resolving);
            enter.await
        }
    };
    Ok(TaskTurn { task_id, turn: turn.map_err(busy)? })
}

pub(super) fn busy(_: Busy) -> RunError {
    RunError {
        retry_after: Some(std::time::Duration::from_secs(1)),
        ..RunError::new(RunErrorKind::SessionBusy)
    }
}

/// The lane of a session's runs on a task.
pub(super) fn lane(session: &SessionKey, task_id: &str) -> String {
    format!("task\n{session}\n{task_id}")
}

/// Finds or creates the task. What comes with its id is held until the run is in the session's queue.
pub(super) async fn find_task(
    client: &AgentClient,
    sessions: &Sessions,
    policy: SessionPolicy,
    request: &RunRequest,
    task_before: impl AsyncFnOnce() -> Result<Option<String>, RunError>,
) -> Result<(String, Option<SessionTurn>), RunError> {
    let session = &request.session;
    let resolving = match &request.task {
        TaskTarget::Id(_) => None,
        TaskTarget::Title { title, .. } => {
            let lane = format!("title\n{session}\n{title}");
            // Resolving is short, so it always queues; only the run itself may fail as busy.
            let wait =
                if policy == SessionPolicy::Parallel { policy } else { SessionPolicy::Queue };
            Some(Box::pin(sessions.enter(lane, wait)).await.map_err(busy)?)
        }
    };
    let task_id = match &request.task {
        TaskTarget::Id(id) => id.clone(),
        target @ TaskTarget::Title { .. } => {
            Box::pin(resolve(client, session, target, task_before)).await?
        }
    };
    Ok((task_id, resolving))
}

async fn resolve(
    client: &AgentClient,
    session: &SessionKey,
    target: &TaskTarget,
    task_before: impl AsyncFnOnce() -> Result<Option<String>, RunError>,
) -> Result<String, RunError> {
    let backend = |error: McError| RunError::backend(&error);
    let (title, description, metadata) = match target {
        TaskTarget::Id(id) => return Ok(id.clone()),
        TaskTarget::Title { title, description, metadata } => (title, description, metadata),
    };
    if let Some(task) = client.find_task(title).await.map_err(backend)? {
        return Ok(task.id);
    }
    if let Some(id) = Box::pin(task_before()).await? {
        return Ok(id);
    }
    let mut new = CreateTask {
        title: title.clone(),
        description: description.clone(),
        status: None,
        metadata: metadata.clone(),
        idempotency_key: Some(task_key(session.user().as_str(), title)),
    };
    let task = create(client, &new).await.map_err(backend)?;
    if task.title == *title {
        return Ok(task.id);
    }
    // The key belongs to a task that has been renamed since; create another one.
    new.idempotency_key = Some(task_key(session.user().as_str(), &format!("{title}\n{}", task.id)));
    Ok(create(client, &new).await.map_err(backend)?.id)
}

/// Creates a task, or returns the one that a concurrent request created under the same key.
async fn create(client: &AgentClient, new: &CreateTask) -> Result<Task, McError> {
    match client.create_task(new).await {
        Err(error) => error.conflicting_original().ok_or(error),
        task => task,
    }
}

/// What the backend knows about this run before it starts.
pub(super) struct LookupResult {
    /// Earlier turns that the caller gave.
    given: Option<Vec<Turn>>,
    /// The thread, or as much of it as tells whether the message is in it.
    thread: Vec<Message>,
    /// The reply that an earlier run with the same key stored.
    pub(super) stored: Option<Message>,
    /// Whether the thread has all that people say; else its newest message tells, and no older one.
    is_complete: bool,
}

impl LookupResult {
    /// Whether the thread has the message of a request, as where the backend stores what a person says.
    pub(super) fn has(&self, request: &RunRequest) -> bool {
        newest(&self.thread, &request.message, &hashes(request)).is_some()
    }

    /// The earlier turns as the model sees them, without the message that is to be answered: `told` is its
    /// id, where the daemon has stored it.
    pub(super) fn history(mut self, request: &RunRequest, told: Option<&str>) -> Earlier {
        let own = match told {
            Some(told) => self.thread.iter().position(|message| message.id == told),
            None if self.is_complete => newest(&self.thread, &request.message, &hashes(request)),
            None => last(&self.thread, &request.message, &hashes(request)),
        };
        let own = own.map(|at| self.thread.remove(at));
        let files_of = |message: &Message| message.files().map(known).collect();
        let own: Vec<KnownFile> = own.as_ref().map(files_of).unwrap_or_default();
        // Files that come with the request are those of its message.
        let attachments = if request.attachments.is_empty() { own } else { Vec::new() };
        if let Some(turns) = self.given {
            return Earlier { turns, files: Vec::new(), attachments };
        }
        let files = self.thread.iter().flat_map(Message::files).map(known).collect();
        Earlier { turns: turns(self.thread, request.session.role()), files, attachments }
    }
}

/// What came before the message that is to be answered.
#[derive(Default)]
pub(super) struct Earlier {
    /// The turns as the model sees them, with the hashes of their files.
    pub(super) turns: Vec<Turn>,
    /// The files of the turns.
    pub(super) files: Vec<KnownFile>,
    /// The files that the message in the thread has, where the request brings none.
    pub(super) attachments: Vec<KnownFile>,
}

fn is_agents(message: &Message) -> bool {
    message.actor_type.as_deref() == Some("agent")
}

/// The hashes of the files that a request brings.
fn hashes(request: &RunRequest) -> Vec<&str> {
    let files = request.attachments.iter().map(|attached| attached.file.sha256.as_str());
    let mut hashes: Vec<_> = files.collect();
    hashes.sort_unstable();
    hashes
}

/// Where the message is, if it is the last of the thread.
fn last(thread: &[Message], message: &str, files: &[&str]) -> Option<usize> {
    let at = thread.len().checked_sub(1)?;
    (newest(thread, message, files)? == at).then_some(at)
}

/// Where the message is among what people have written since an agent last did. `files` are the hashes of
/// what came with it, in order.
fn newest(thread: &[Message], message: &str, files: &[&str]) -> Option<usize> {
    let unanswered = thread.iter().rev().take_while(|message| !is_agents(message)).count();
    let begin = thread.len() - unanswered;
    let is_it = |one: &Message| one.content.trim() == message.trim() && may_have(one, files);
    let found = thread[begin..].iter().rposition(is_it);
    found.map(|at| begin + at)
}

/// Whether a message of the thread may be one that came with these files: it has them, or whoever stored
/// it did not store them with it.
fn may_have(message: &Message, files: &[&str]) -> bool {
    let mut theirs: Vec<_> = message.files().map(|file| file.sha256.as_str()).collect();
    theirs.sort_unstable();
    files.is_empty() || theirs.is_empty() || theirs == files
}

/// Loads the thread, looks for a stored reply and checks that the task exists, all concurrently.
pub(super) async fn look_up(
    client: &AgentClient,
    capabilities: &Capabilities,
    run: &RunDriver<'_>,
    task_id: &str,
) -> Result<LookupResult, RunError> {
    let (request, mut limit) = (run.request, run.app.settings.history_limit);
    let loads = request.history.is_none() && limit > 0;
    // Whoever gives the earlier turns may have stored the message, too.
    let looks = !loads && run.stores_message(capabilities);
    if looks {
        limit = RECENT;
    }
    let wants_thread = (loads || looks) && capabilities.has("messages_list");
    let named = matches!(request.task, TaskTarget::Id(_));
    // The thread of an unknown task is a 404 too, so one of the two requests is enough.
    let wants_task = named && !wants_thread;
    let thread = async {
        if !wants_thread {
            return Ok(Vec::new());
        }
        client.list_messages(task_id, limit, None).await.map(|page| page.items)
    };
    let stored = stored_reply(client, capabilities, run);
    let exists = async {
        if !wants_task {
            return Ok(());
        }
        if capabilities.has("tasks_get") {
            return client.get_task(task_id).await.map(drop);
        }
        if capabilities.has("messages_list") {
            return client.list_messages(task_id, 1, None).await.map(drop);
        }
        Ok(())
    };
    let (thread, stored, ()) = tokio::try_join!(thread, stored, exists).map_err(|error| {
        if error.is_not_found() {
            RunError::new(RunErrorKind::TaskNotFound).caused_by(error)
        } else {
            RunError::backend(&error)
        }
    })?;
    // No turn is loaded where none is wanted.
    let given = request.history.clone().or_else(|| looks.then(Vec::new));
    let is_complete = capabilities.has("user_messages");
    Ok(LookupResult { given, thread, stored, is_complete })
}

/// A thread as the model sees it.
fn turns(thread: Vec<Message>, role: &Role) -> Vec<Turn> {
    let mut turns = Vec::with_capacity(thread.len());
    for message in thread {
        let media: Vec<Media> = message.files().map(placeholder).collect();
        if message.content.trim().is_empty() && media.is_empty() {
            continue;
        }
        match (is_agents(&message), message.agent_role.as_deref()) {
            (true, Some(author)) if author != role.as_str() => {
                let said = format!("[from the agent {author}]\n{}", message.content);
                turns.push(Turn::user_with(said, media));
            }
            (true, _) => {
                if !message.content.trim().is_empty() {
                    turns.push(Turn::assistant(message.content));
                }
                // A model's own turn has no files at any provider.
                if !media.is_empty() {
                    turns.push(Turn::user_with(OWN_FILES, media));
                }
            }
            (false, _) => turns.push(Turn::user_with(message.content, media)),
        }
    }
    turns
}

/// A file of an earlier turn, whose bytes are fetched when the model is to get them.
fn placeholder(file: &FileMeta) -> Media {
    let KnownFile { name, media_type, size, sha256, .. } = known(file);
    Media::gone(name, media_type, size, sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content: &str, actor: Option<&str>, role: Option<&str>) -> Message {
        Message {
            id: String::new(),
            task_id: String::new(),
            content: content.to_owned(),
            actor_type: actor.map(str::to_owned),
            agent_role: role.map(str::to_owned),
            actor_id: None,
            attachments: Vec::new(),
            data: None,
            tool_request_id: None,
            created_at: None,
        }
    }

    #[test]
    fn a_thread_becomes_turns() {
        let role = Role::parse("scout").unwrap();
        let thread = vec![
            message("hello", Some("user"), None),
            message("hi", Some("agent"), Some("scout")),
            message("I looked", Some("agent"), Some("jarvis")),
            message("  ", None, None),
        ];
        let expected = [
            Turn::user("hello"),
            Turn::assistant("hi"),
            Turn::user("[from the agent jarvis]\nI looked"),
        ];
        assert_eq!(turns(thread, &role), expected);
    }

    #[test]
    fn the_message_is_found_among_what_no_agent_has_answered() {
        let user = |text: &str| message(text, Some("user"), None);
        let thread = [
            user("find it"),
            message("done", Some("agent"), Some("scout")),
            user("again"),
            user(" find it\n"),
            user("and that"),
        ];
        assert_eq!(newest(&thread, "find it", &[]), Some(3));
        assert_eq!(newest(&thread[..3], "find it", &[]), None);
        assert_eq!(newest(&thread[..1], "find it", &[]), Some(0));
        assert_eq!((newest(&thread, "done", &[]), newest(&[], "x", &[])), (None, None));
        assert_eq!(
            (last(&thread, "find it", &[]), last(&thread, "and that", &[])),
            (None, Some(4))
        );
        assert_eq!((last(&thread[..2], "done", &[]), last(&[], "x", &[])), (None, None));
    }
}
