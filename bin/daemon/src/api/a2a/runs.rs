//! The newest run of a task, found by any instance: its key stands in the task's metadata, the rest in
//! the journal.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures::{Stream, stream};
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::runs::Run;
use mc_client::tool_requests::ToolRequest;
use mc_client::types::{Capabilities, Message, Task, UpdateTask};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::super::detached_report::outcome;
use super::super::detached_stream::too_many;
use super::fault::{Fault, Kind};
use super::file_parts;
use super::methods::{Caller, backend};
use super::open_tasks::{CANCELED, COMPLETED, FAILED, INPUT_REQUIRED, OpenTask, WORKING};
use super::{contexts, push};
use crate::agent::follow::{Follower, Item};
use crate::protocols::A2A_RUNS;
use crate::run::standing::Standing;
use crate::run::written;
use crate::state::App;
use crate::webhook::push::{End, PushTarget};

/// How much waits for a slow subscriber.
const BUFFER: usize = 64;

/// How long to wait before looking again whether a run still waits for a person: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a subscriber waits for a person, at most. Each keeps others from a reader's place.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// The newest run of a task, without its journal.
pub(super) struct Found {
    pub(super) key: RunKey,
    /// The task's context.
    context: String,
    pub(super) run: Run,
}

/// Notes which run is the task's newest, and whom to tell of its end. Where the first cannot be kept, other
/// instances do not find the run.
pub(super) async fn remember(
    caller: &Caller,
    task_id: &str,
    run_key: &str,
    push: Option<PushTarget>,
) -> Result<(), Fault> {
    let noted = async {
        let capabilities = caller.capabilities().await?;
        let keeps = ["tasks_get", "tasks_update", "run_journal"];
        let missing = keeps.into_iter().find(|feature| !capabilities.has(feature));
        if let Some(missing) = missing.filter(|missing| push.is_none() || *missing != "run_journal")
        {
            let why = format!("the backend lacks the feature {missing}");
            return Err(Fault::new(Kind::Unsupported, why));
        }
        let task = caller.client.get_task(task_id).await.map_err(|error| backend(&error))?;
        let of = push::targets_of(caller, &task.id);
        let mut all = of.read(task.metadata.as_ref());
        let is_noted = push.as_ref().is_none_or(|push| all.contains(push));
        let newest = match noted_key(&task, &caller.role) {
            Some(noted) if noted != run_key && is_older(caller, run_key, noted).await => noted,
            _ => run_key,
        };
        if noted_key(&task, &caller.role) == Some(newest) && is_noted {
            return Ok(());
        }
        let newest = newest.to_owned();
        let mut metadata = task.metadata.unwrap_or_default();
        let runs = metadata.entry(A2A_RUNS).or_insert_with(|| json!({}));
        if !runs.is_object() {
            *runs = json!({});
        }
        runs[&caller.role] = json!(newest);
        if let Some(push) = &push {
            push::add(&mut all, push.clone())?;
            of.write(&mut metadata, &all);
        }
        let update = UpdateTask { metadata: Some(metadata), ..UpdateTask::default() };
        let updated = caller.client.update_task(task_id, &update, None).await;
        updated.map(drop).map_err(|error| backend(&error))
    };
    match (noted.await, push) {
        (Ok(()), Some(push)) => {
            tell_if_over(caller, task_id, run_key, push).await;
            Ok(())
        }
        (Err(fault), Some(_)) => Err(fault),
        (Ok(()), None) => Ok(()),
        (Err(_), None) => {
            tracing::warn!(task_id, "other instances will not find the run of this A2A task");
            Ok(())
        }
    }
}

/// Whether a run is over, and older than the one that is noted: its message has come again.
async fn is_older(caller: &Caller, run_key: &str, noted: &str) -> bool {
    let state = async |key: &str| caller.client.run_state(key).await.ok().flatten();
    let own = state(run_key).await.filter(|run| Standing::of(run).is_over());
    let Some(own) = own else { return false };
    let noted = state(noted).await.filter(|noted| noted.task_id == own.task_id);
    noted.is_some_and(|noted| noted.created_at > own.created_at)
}

/// Tells a client that asked for it just before the end of a run, which nobody else may have told it of.
pub(super) async fn tell_if_over(caller: &Caller, task_id: &str, run_key: &str, push: PushTarget) {
    let Some(key) = RunKey::parse(run_key) else { return };
    let state = match caller.client.run_state(run_key).await {
        Ok(state) => state,
        Err(error) => {
            return tracing::warn!(%error, run_key, "no push notification, if the run is over by now");
        }
    };
    if !state.is_some_and(|run| Standing::of(&run).is_over()) {
        return;
    }
    let (app, client, task_id) = (caller.app.clone(), caller.client.clone(), task_id.to_owned());
    let telling = async move {
        let run = match client.run(key.as_str()).await {
            Ok(Some(run)) => run,
            Ok(None) => {
                return tracing::warn!(
                    run_key = key.as_str(),
                    "no push notification: the run is gone"
                );
            }
            Err(error) => {
                return tracing::warn!(%error, run_key = key.as_str(), "no push notification of a run's end");
            }
        };
        let context = match client.get_task(&task_id).await {
            Ok(task) => contexts::of(&task).to_owned(),
            Err(error) => {
                tracing::warn!(%error, task_id, "a push notification has the task as its context");
                task_id.clone()
            }
        };
        let at = run.updated_at.unwrap_or_else(Utc::now);
        let task = OpenTask::new((&task_id, &context), written::run_id(&run), key.as_str(), at);
        task.over(outcome(&client, &key, &run).await, Vec::new(), None);
        let task = task.snapshot();
        let state = task["status"]["state"].as_str().unwrap_or_default().to_owned();
        let end = End { run_key: key.as_str().to_owned(), state, task };
        app.webhooks.push(&[push], end).await;
    };
    caller.app.runs.tracker().spawn_on(telling, &service::cores::least_busy());
}

fn noted_key<'a>(task: &'a Task, role: &str) -> Option<&'a str> {
    task.metadata.as_ref()?.get(A2A_RUNS)?.get(role)?.as_str()
}

/// The newest run of a task.
pub(super) async fn newest(
    caller: &Caller,
    capabilities: &Capabilities,
    task: &Task,
) -> Result<Option<Found>, Fault> {
    let key = noted_key(task, &caller.role).and_then(RunKey::parse);
    let Some(key) = key.filter(|_| capabilities.has("run_journal")) else { return Ok(None) };
    let run = caller.client.run_state(key.as_str()).await.map_err(|error| backend(&error))?;
    // The metadata are the user's to write.
    let run = run.filter(|run| run.task_id.as_deref() == Some(&*task.id));
    Ok(run.map(|run| Found { key, context: contexts::of(task).to_owned(), run }))
}

/// The state of a task by its newest run; `None` where something else has happened in it since.
pub(super) fn state(
    run: &Run,
    waiting: &[&ToolRequest],
    last: Option<&Message>,
) -> Option<&'static str> {
    let is_newer = |last: &Message| {
        last.actor_type.as_deref() == Some("agent") && last.created_at > run.updated_at
    };
    let standing = Standing::of(run);
    match standing {
        Standing::Queued | Standing::Running | Standing::Interrupted => Some(WORKING),
        Standing::AwaitingApproval | Standing::AwaitingAnswer => {
            let waits = waiting.iter().any(|asked| asked.run_key == run.run_key);
            Some(if waits { INPUT_REQUIRED } else { WORKING })
        }
        Standing::Completed | Standing::Failed | Standing::Cancelled
            if last.is_some_and(is_newer) || !waiting.is_empty() =>
        {
            None
        }
        Standing::Completed => Some(COMPLETED),
        Standing::Failed => Some(FAILED),
        Standing::Cancelled => Some(CANCELED),
    }
}

/// What the task's subscribers get of a run that is at work, or waits, at whichever instance.
pub(super) async fn follow(
    caller: &Caller,
    task_id: &str,
    found: Found,
) -> Result<impl Stream<Item = Value> + Send + 'static, Fault> {
    let app = &caller.app;
    let capabilities = caller.capabilities().await?;
    let most = app.settings.background.max_readers;
    let place = app.feeds.read(&found.key, most).ok_or_else(|| too_many(most))?;
    let (out, told) = mpsc::channel(BUFFER);
    let at = found.run.created_at.or(found.run.updated_at).unwrap_or_default();
    let task = OpenTask::new(
        (task_id, &found.context),
        written::run_id(&found.run),
        found.key.as_str(),
        at,
    );
    let mut first = task.snapshot();
    if Standing::of(&found.run).is_waiting() {
        first["status"]["state"] = json!(INPUT_REQUIRED);
    }
    let teller = Teller {
        app: app.clone(),
        client: caller.client.clone(),
        key: found.key,
        capabilities,
        task,
        out,
    };
    // It ends with its request, on whose thread it stays.
    let teller = AbortOnDropHandle::new(tokio::spawn(Box::pin(teller.run(first))));
    let all = (told, (place, teller));
    Ok(stream::unfold(all, |(mut told, held)| async move {
        let event = told.recv().await?;
        Some((event, (told, held)))
    }))
}

/// Tells one subscriber of a run, until it is over.
struct Teller {
    app: App,
    client: AgentClient,
    key: RunKey,
    capabilities: Arc<Capabilities>,
    task: OpenTask,
    out: mpsc::Sender<Value>,
}

impl Teller {
    /// Tells what happens, after the task as it is.
    async fn run(self, first: Value) {
        let mut seen = None;
        let mut ready = vec![json!({ "task": first })];
        loop {
            let (out, mut items) = mpsc::channel(BUFFER);
            let (app, client, key) = (self.app.clone(), self.client.clone(), self.key.clone());
            let follower = Follower::new(app, client, key, self.capabilities.clone(), seen, out);
            let _follower = AbortOnDropHandle::new(tokio::spawn(follower.run()));
            let over = loop {
                for event in ready.drain(..) {
                    if self.out.send(event).await.is_err() {
                        return;
                    }
                }
                match items.recv().await {
                    Some(Item::Line(line)) => {
                        seen = line.id.or(seen);
                        ready = self.task.happened(&line.event);
                    }
                    Some(Item::Over(run)) => break run,
                    // Nobody knows how it goes on.
                    Some(Item::Stalled) | None => return,
                }
            };
            let outcome = outcome(&self.client, &self.key, &over).await;
            let files = match &outcome {
                Ok(answer) => file_parts::of_answer(&self.client, answer).await,
                Err(_) => Vec::new(),
            };
            for event in self.task.over(outcome, files, over.updated_at) {
                if self.out.send(event).await.is_err() {
                    return;
                }
            }
            if !Standing::of(&over).is_waiting() {
                return;
            }
            let Some(goes_on) = self.waits().await else { return };
            ready = vec![self.task.goes_on(goes_on.updated_at)];
        }
    }

    /// Waits until a run that waits for a person does so no more; `None` where nobody will know, where it takes too
    /// long, and when the subscriber is gone or this instance stops.
    async fn waits(&self) -> Option<Run> {
        tokio::select! {
            goes_on = timeout(LONGEST_WAIT, self.goes_on()) => goes_on.ok().flatten(),
            () = self.out.closed() => None,
            () = self.app.runs.draining() => None,
        }
    }

    async fn goes_on(&self) -> Option<Run> {
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            match self.client.run_state(self.key.as_str()).await {
                Ok(Some(run)) if Standing::of(&run).is_waiting() => {}
                Ok(Some(run)) => return Some(run),
                Ok(None) => return None,
                // The backend may be there again later.
                Err(error) if error.is_retryable() || error.is_in_between() => {}
                Err(error) => {
                    let key = self.key.as_str();
                    tracing::warn!(%error, run_key = key, "a subscriber of an A2A task is left");
                    return None;
                }
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
