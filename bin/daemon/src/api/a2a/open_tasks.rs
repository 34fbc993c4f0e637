//! The tasks with a run in flight in this instance: their state, and the subscribers to its changes.
//!
//! A run continues when its client disconnects; clients come back with `SubscribeToTask`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use futures::{Stream, StreamExt as _, stream};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::super::error::ApiError;
use super::super::run_stream::{RunStream, RunUpdate};
use super::fault::Fault;
use super::file_parts::{self, meta};
use crate::run::answer::waiting_text;
use crate::run::events::RunEvent;
use crate::state::App;

pub(super) const WORKING: &str = "TASK_STATE_WORKING";
pub(super) const COMPLETED: &str = "TASK_STATE_COMPLETED";
pub(super) const INPUT_REQUIRED: &str = "TASK_STATE_INPUT_REQUIRED";
pub(super) const CANCELED: &str = "TASK_STATE_CANCELED";
pub(super) const FAILED: &str = "TASK_STATE_FAILED";

/// How many events are buffered for a slow subscriber; one that falls behind gets the whole task
/// instead.
const EVENT_BUFFER: usize = 256;

/// The id of the one artifact that a task has: the agent's reply.
pub(super) const REPLY: &str = "reply";

/// User, role, and the task's id.
pub(super) type TaskKey = (String, String, String);

/// All open tasks of this instance, bounded by the number of concurrent runs.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenTasks(Arc<Mutex<HashMap<TaskKey, Arc<OpenTask>>>>);

/// A task with a run in flight, or one that has just ended.
#[derive(Debug)]
pub(super) struct OpenTask {
    pub(super) id: String,
    /// Its context.
    context: String,
    pub(super) run_id: String,
    pub(super) run_key: String,
    view: Mutex<View>,
}

/// The state that clients see.
#[derive(Debug)]
struct View {
    state: &'static str,
    /// Since when it is so: the same for all who listen.
    at: DateTime<Utc>,
    text: String,
    /// The turn of the model that speaks, and where its text begins.
    turn: (Option<u32>, usize),
    /// The reply as data, where it is a typed result.
    data: Option<Value>,
    /// The parts of the files that come with the reply.
    files: Vec<Value>,
    /// A description of the state for a person.
    note: String,
    metadata: Map<String, Value>,
    /// `None` once the run has ended.
    events: Option<broadcast::Sender<Value>>,
}

impl View {
    /// What there is of the reply.
    fn reply(&self) -> Option<Value> {
        let is_empty = self.text.is_empty() && self.files.is_empty();
        (!is_empty).then(|| artifact(&self.text, self.data.as_ref(), &self.files))
    }

    /// Removes what a turn said beyond its first characters.
    fn take_back(&mut self, step: u32, from: u64) {
        let (Some(turn), begin) = self.turn else { return };
        if turn != step {
            return;
        }
        let said = self.text.get(begin..).unwrap_or_default();
        let kept = usize::try_from(from).ok().and_then(|from| said.char_indices().nth(from));
        if let Some((kept, _)) = kept {
            self.text.truncate(begin + kept);
        }
    }
}

/// A text as the protocol's message of the agent.
pub(super) fn message((task_id, context): (&str, &str), message_id: &str, text: &str) -> Value {
    json!({ "messageId": message_id, "taskId": task_id, "contextId": context,
        "role": "ROLE_AGENT", "parts": [{ "text": text }] })
}

/// The reply as the protocol's artifact: its text, the same as data where it is a typed result, and the parts
/// of its files.
pub(super) fn artifact(text: &str, data: Option<&Value>, files: &[Value]) -> Value {
    let mut parts = parts(text, data);
    parts.extend_from_slice(files);
    json!({ "artifactId": REPLY, "name": REPLY, "parts": parts })
}

/// A text, and the same as data where it is a typed result.
pub(super) fn parts(text: &str, data: Option<&Value>) -> Vec<Value> {
    let mut parts = vec![json!({ "text": text })];
    parts.extend(data.map(|data| json!({ "data": data, "mediaType": "application/json" })));
    parts
}

impl OpenTask {
    /// A task with a run of which nothing has been heard since this time.
    pub(super) fn new(
        (id, context): (&str, &str),
        run_id: &str,
        run_key: &str,
        at: DateTime<Utc>,
    ) -> Self {
        let metadata = [("run_id", run_id), ("run_key", run_key)];
        let metadata = metadata.map(|(name, text)| (name.to_owned(), json!(text)));
        let view = View {
            state: WORKING,
            at,
            text: String::new(),
            turn: (None, 0),
            data: None,
            files: Vec::new(),
            note: String::new(),
            metadata: metadata.into_iter().collect(),
            events: Some(broadcast::Sender::new(EVENT_BUFFER)),
        };
        Self {
            id: id.to_owned(),
            context: context.to_owned(),
            run_id: run_id.to_owned(),
            run_key: run_key.to_owned(),
            view: Mutex::new(view),
        }
    }

    fn view<T>(&self, work: impl FnOnce(&mut View) -> T) -> T {
        work(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The protocol's task.
    pub(super) fn snapshot(&self) -> Value {
        self.view(|view| self.task(view))
    }

    fn task(&self, view: &View) -> Value {
        let artifacts: Vec<_> = view.reply().into_iter().collect();
        json!({ "id": self.id, "contextId": self.context, "status": self.status(view),
            "artifacts": artifacts, "metadata": view.metadata })
    }

    fn status(&self, view: &View) -> Value {
        let at = view.at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut status = json!({ "state": view.state, "timestamp": at });
        if !view.note.is_empty() {
            let id = format!("{}:status", self.run_id);
            status["message"] = message((&self.id, &self.context), &id, &view.note);
        }
        status
    }

    fn status_update(&self, view: &View) -> Value {
        json!({ "statusUpdate": { "taskId": self.id, "contextId": self.context,
            "status": self.status(view), "metadata": view.metadata } })
    }

    fn artifact_update(&self, artifact: &Value, append: bool, last: bool) -> Value {
        json!({ "artifactUpdate": { "taskId": self.id, "contextId": self.context,
            "artifact": artifact, "append": append, "lastChunk": last } })
    }

    /// Applies an update of the run, and publishes it to the subscribers. `files` are the parts of those that
    /// come with the reply.
    fn apply(&self, update: &RunUpdate, files: Vec<Value>) {
        self.view(|view| {
            view.at = Utc::now();
            let events = match update {
                RunUpdate::Event(event) => self.event(view, event),
                RunUpdate::Done(answer) => self.done(view, &json!(**answer), files),
                RunUpdate::Failed(error) => self.failed(view, error),
            };
            if let Some(listeners) = &view.events {
                for event in events {
                    // There may be no subscriber.
                    let _ = listeners.send(event);
                }
            }
        });
    }

    /// Applies an event of the run, and returns what it is to a subscriber.
    pub(super) fn happened(&self, event: &RunEvent) -> Vec<Value> {
        self.view(|view| self.event(view, event))
    }

    /// The run goes on, after it waited.
    pub(super) fn goes_on(&self, at: Option<DateTime<Utc>>) -> Value {
        self.view(|view| {
            view.at = at.unwrap_or(view.at);
            view.state = WORKING;
            view.note.clear();
            self.status_update(view)
        })
    }

    /// The end of the run, or that it waits, at this time. `files` are the parts of those that come with the
    /// reply.
    pub(super) fn over(
        &self,
        outcome: Result<Value, ApiError>,
        files: Vec<Value>,
        at: Option<DateTime<Utc>>,
    ) -> Vec<Value> {
        self.view(|view| {
            view.at = at.unwrap_or(view.at);
            match &outcome {
                Ok(answer) => self.done(view, answer, files),
                Err(error) => self.failed(view, error),
            }
        })
    }

    fn event(&self, view: &mut View, event: &RunEvent) -> Vec<Value> {
        match event {
            RunEvent::Start { .. } => Vec::new(),
            RunEvent::Chunk { data, step } => {
                let append = !view.text.is_empty();
                if view.turn.0 != *step {
                    view.turn = (*step, view.text.len());
                }
                view.text.push_str(data);
                vec![self.artifact_update(&artifact(data, None, &[]), append, false)]
            }
            RunEvent::Restarted { step, from, .. } => {
                view.take_back(*step, *from);
                vec![self.artifact_update(&artifact(&view.text, None, &[]), false, false)]
            }
            RunEvent::ToolCall { name, .. } => {
                view.note = format!("calls {name}");
                vec![self.status_update(view)]
            }
            RunEvent::ToolResult { name, ok, .. } => {
                view.note = format!("{name} {}", if *ok { "is done" } else { "has failed" });
                vec![self.status_update(view)]
            }
        }
    }

    /// The end of a run with the body that `send` answers with.
    fn done(&self, view: &mut View, answer: &Value, files: Vec<Value>) -> Vec<Value> {
        let all = answer.as_object().into_iter().flatten();
        let all = all.filter(|(name, _)| *name != "response");
        view.metadata = all.map(|(name, value)| (name.clone(), value.clone())).collect();
        let asked = answer["tool_requests"].as_array();
        if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
            let waiting = asked
                .iter()
                .filter_map(|asked| Some((asked["tool"].as_str()?, asked["question"].as_str())));
            view.state = INPUT_REQUIRED;
            view.note = waiting_text(&waiting.collect::<Vec<_>>());
            return vec![self.status_update(view)];
        }
        view.state = COMPLETED;
        answer["response"].as_str().unwrap_or_default().clone_into(&mut view.text);
        let is_data = answer.get("output").is_some() && answer.get("output_errors").is_none();
        view.data = is_data.then(|| answer["output"].clone());
        view.files = files;
        // The reply is the artifact, and no message about the state besides.
        view.note.clear();
        let mut events = Vec::new();
        if let Some(reply) = view.reply() {
            // It replaces its chunks, which may include text between tool calls.
            events.push(self.artifact_update(&reply, false, true));
        }
        events.push(self.status_update(view));
        events
    }

    fn failed(&self, view: &mut View, error: &ApiError) -> Vec<Value> {
        let is_cancelled = error.body.code == "run_cancelled";
        if error.body.code == "schema_mismatch" {
            view.metadata.insert("details".to_owned(), error.body.details.clone());
        }
        view.state = if is_cancelled { CANCELED } else { FAILED };
        view.note.clone_from(&error.body.error);
        view.metadata.insert("code".to_owned(), json!(error.body.code));
        vec![self.status_update(view)]
    }

    /// The task as it is now, followed by all further events.
    pub(super) fn follow(self: &Arc<Self>) -> impl Stream<Item = Value> + Send + 'static {
        let (first, news) = self.subscribe();
        let task = Arc::clone(self);
        let rest = stream::unfold((task, news), |(task, news)| async move {
            let mut news = news?;
            match news.recv().await {
                Ok(event) => Some((event, (task, Some(news)))),
                Err(RecvError::Lagged(_)) => {
                    let (now, news) = task.subscribe();
                    Some((now, (task, news)))
                }
                Err(RecvError::Closed) => None,
            }
        });
        stream::once(std::future::ready(first)).chain(rest)
    }

    /// The task and a subscription from the same moment, so that no event is lost or doubled.
    fn subscribe(&self) -> (Value, Option<broadcast::Receiver<Value>>) {
        self.view(|view| {
            let news = view.events.as_ref().map(broadcast::Sender::subscribe);
            (json!({ "task": self.task(view) }), news)
        })
    }

    /// Waits until the run has ended.
    pub(super) async fn ended(&self) {
        let (_, news) = self.subscribe();
        let Some(mut news) = news else { return };
        while !matches!(news.recv().await, Err(RecvError::Closed)) {}
    }
}

impl OpenTasks {
    /// Registers a run that has started, and applies its updates until it ends.
    pub(super) async fn begin(
        &self,
        app: &App,
        (user, role): (String, String),
        context: Option<String>,
        mut updates: RunStream,
    ) -> Result<Arc<OpenTask>, Fault> {
        let (run_id, id, run_key) = match updates.next().await {
            Some(RunUpdate::Event(RunEvent::Start { run_id, task_id, run_key, .. })) => {
                (run_id, task_id, run_key)
            }
            Some(RunUpdate::Failed(error)) => return Err(error.into()),
            Some(RunUpdate::Event(_) | RunUpdate::Done(_)) | None => {
                return Err(ApiError::internal().into());
            }
        };
        let task = Arc::new(OpenTask::new(
            (&id, context.as_deref().unwrap_or(&id)),
            &run_id,
            &run_key,
            Utc::now(),
        ));
        let client = app.backend.agent(&user, &role);
        let entry =
            Entry { open_tasks: self.clone(), key: (user, role, id), task: Arc::clone(&task) };
        self.table(|table| table.insert(entry.key.clone(), Arc::clone(&task)));
        let following = async move {
            while let Some(update) = updates.next().await {
                let files = match (&update, &client) {
                    (RunUpdate::Done(answer), Ok(client)) => {
                        let files = answer.files.iter().cloned().map(meta).collect();
                        file_parts::of(client, files).await
                    }
                    _ => Vec::new(),
                };
                entry.task.apply(&update, files);
            }
        };
        app.runs.tracker().spawn_on(following, &service::cores::least_busy());
        Ok(task)
    }

    /// An open task of this instance.
    pub(super) fn find(&self, key: &TaskKey) -> Option<Arc<OpenTask>> {
        self.table(|table| table.get(key).cloned())
    }

    fn table<T>(&self, work: impl FnOnce(&mut HashMap<TaskKey, Arc<OpenTask>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A task's entry in the table; dropping it removes the entry and closes the subscriptions.
struct Entry {
    open_tasks: OpenTasks,
    key: TaskKey,
    task: Arc<OpenTask>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.open_tasks.table(|table| {
            // Another run may have replaced the entry.
            if table.get(&self.key).is_some_and(|there| Arc::ptr_eq(there, &self.task)) {
                table.remove(&self.key);
            }
        });
        self.task.view(|view| view.events = None);
    }
}
