//! The run's journal in the backend (feature `run_journal`; docs/RUNS.md, "The journal"): what was
//! asked, each answer of the model, each tool's result, in the order of the run's own making.
//!
//! A step is written before anything that rests on it happens. A run that is taken up again reads
//! its steps instead of doing them; whoever finds another's step in its place goes on from that.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use llm::Cost;
use llm::event::Completion;
use llm::request::Message;
use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::idempotency::RunKey;
use mc_client::runs::{PutRun, PutStep, Run, RunNote, RunStatus, RunStep};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::lease::SessionLease;
use crate::run::answer::{RunAnswer, ToolRequestReport};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::registry::RunHandle;
use crate::sessions::Turn;

/// How long the last word about a run may take to be written.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Kinds of steps.
const REQUEST: &str = "request";
const LLM: &str = "llm";
const LLM_REJECTED: &str = "llm_rejected";
const TOOL: &str = "tool";

/// Step 0: what the run was asked, enough to take it up anywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// What the person said.
    pub(crate) message: String,
    /// Earlier turns, as the model sees them.
    pub(crate) history: Vec<Message>,
    /// The newest turn, as the model sees it: with the time, and fenced where it is data.
    pub(crate) newest: String,
    /// `metadata` as it came.
    pub(crate) metadata: Map<String, Value>,
    /// `limits` as they hold.
    pub(crate) limits: Value,
    /// The workspace that the run began with.
    pub(crate) workspace_digest: String,
    /// What two requests with one key must have in common.
    pub(crate) fingerprint: String,
    /// The task as the caller named it.
    pub(crate) task: Value,
}

/// An answer of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LlmStep {
    /// The answer, with its usage.
    pub(super) completion: Completion,
    /// Its price, where that is known.
    pub(super) cost: Option<Cost>,
    /// How many messages the model was given, and about how many tokens they have.
    pub(super) prompt: Value,
    /// How long it took, milliseconds.
    pub(super) duration_ms: u64,
}

/// A tool's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ToolStep {
    /// The id of the call within the answer.
    pub(super) call_id: String,
    /// The tool.
    pub(super) name: String,
    /// What it was called with.
    pub(super) arguments: Value,
    /// The place among equal calls of the run, from 1.
    pub(super) nth: u32,
    /// Whether it did what was asked.
    pub(super) ok: bool,
    /// Whether it may have taken effect all the same.
    #[serde(default)]
    pub(super) unclear: bool,
    /// What the model was told.
    pub(super) content: String,
    /// How long it took, milliseconds.
    pub(super) duration_ms: u64,
    /// The request that a person decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tool_request_id: Option<String>,
}

/// A run's journal, or none where the backend has none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Option<Arc<Open>>);

#[derive(Debug)]
struct Open {
    client: AgentClient,
    key: RunKey,
    /// The run as it was found.
    past: Option<Run>,
    recorded: BTreeMap<u32, RunStep>,
}

impl Journal {
    /// Looks up what is known of a run. A key that nobody can have used before needs no look.
    pub(super) async fn open(
        client: &AgentClient,
        key: &RunKey,
        look: bool,
    ) -> Result<Self, RunError> {
        let past = if look { client.run(key.as_str()).await } else { Ok(None) };
        let mut past = past.map_err(|error| RunError::backend(&error))?;
        let steps = past.as_mut().map(|run| std::mem::take(&mut run.steps)).unwrap_or_default();
        let recorded = steps.into_iter().map(|step| (step.index, step)).collect();
        Ok(Self(Some(Arc::new(Open { client: client.clone(), key: key.clone(), past, recorded }))))
    }

    /// Whether there is one.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The run as it was found, without its steps.
    pub(super) fn past(&self) -> Option<&Run> {
        self.0.as_ref()?.past.as_ref()
    }

    /// Step 0, when it is there.
    pub(super) fn begun(&self) -> Option<Begun> {
        self.recorded(0, REQUEST)
    }

    /// Says that somebody is on the run, and what it was asked; gives that as it stands in the
    /// journal, which is another's word where another was first.
    pub(super) async fn begin(&self, run: PutRun, begun: Begun) -> Result<Begun, RunError> {
        let Some(open) = &self.0 else { return Ok(begun) };
        let note = open.client.put_run(open.key.as_str(), &run).await;
        if let Err(error) = &note
            && error.is_not_found()
        {
            return Err(RunError::new(RunErrorKind::TaskNotFound).caused_by(error));
        }
        heed(note)?;
        match self.write(0, REQUEST, &begun).await? {
            Some(theirs) => Ok(theirs),
            None => Ok(begun),
        }
    }

    /// An answer of the model that stands at this place.
    pub(super) fn llm(&self, at: u32) -> Option<LlmStep> {
        self.recorded(at, LLM)
    }

    /// An answer that was of no use; it has its place, and was paid for.
    pub(super) fn rejected(&self, at: u32) -> Option<LlmStep> {
        self.recorded(at, LLM_REJECTED)
    }

    /// A tool's result that stands at this place.
    pub(super) fn tool(&self, at: u32) -> Option<ToolStep> {
        self.recorded(at, TOOL)
    }

    /// Writes an answer of the model; gives the one that holds.
    pub(super) async fn put_llm(
        &self,
        at: u32,
        step: LlmStep,
        useful: bool,
    ) -> Result<LlmStep, RunError> {
        let kind = if useful { LLM } else { LLM_REJECTED };
        Ok(self.write(at, kind, &step).await?.unwrap_or(step))
    }

    /// Writes a tool's result; gives the one that holds.
    pub(super) async fn put_tool(&self, at: u32, step: ToolStep) -> Result<ToolStep, RunError> {
        Ok(self.write(at, TOOL, &step).await?.unwrap_or(step))
    }

    fn recorded<T: DeserializeOwned>(&self, at: u32, kind: &str) -> Option<T> {
        let step = self.0.as_ref()?.recorded.get(&at).filter(|step| step.kind == kind)?;
        // A step that this version cannot read is done again.
        T::deserialize(&step.payload).ok()
    }

    /// Writes a step, or gives another's that stands in its place.
    async fn write<T: Serialize + DeserializeOwned>(
        &self,
        at: u32,
        kind: &str,
        step: &T,
    ) -> Result<Option<T>, RunError> {
        let Some(open) = &self.0 else { return Ok(None) };
        let payload = serde_json::to_value(step).map_err(|error| {
            RunError::new(RunErrorKind::Internal).caused_by(format!("a step as JSON: {error}"))
        })?;
        let put = PutStep { kind: kind.to_owned(), payload };
        let error = match open.client.put_step(open.key.as_str(), at, &put).await {
            Ok(note) => {
                heed(Ok(note))?;
                return Ok(None);
            }
            Err(error) => error,
        };
        match error.existing_step() {
            Some(theirs) if theirs.kind == kind => {
                tracing::info!(
                    run_key = open.key.as_str(),
                    index = at,
                    kind,
                    "another instance has written this step; the run goes on from there"
                );
                T::deserialize(&theirs.payload).map(Some).map_err(|error| {
                    RunError::new(RunErrorKind::BackendRefused(
                        "the journal holds a step that cannot be read".to_owned(),
                    ))
                    .caused_by(error)
                })
            }
            Some(theirs) => Err(RunError::new(RunErrorKind::BackendRefused(format!(
                "the journal holds a step of kind {:?} where {kind:?} belongs",
                theirs.kind
            )))),
            None => Err(RunError::backend(&error)),
        }
    }

    /// Says how the run ended. Whatever goes wrong here is only logged: the reply is stored, or the
    /// key can be sent again.
    async fn end(&self, status: RunStatus, extra: Map<String, Value>) {
        let Some(open) = &self.0 else { return };
        let client = open.client.clone().with_deadline(Instant::now() + LAST_WORD);
        let run = PutRun { status: Some(status), extra, ..PutRun::default() };
        if let Err(error) = client.put_run(open.key.as_str(), &run).await {
            tracing::warn!(
                run_key = open.key.as_str(),
                status = status.as_str(),
                %error,
                "the journal could not be told how the run ended"
            );
        }
    }
}

/// Takes a backend's word that somebody wants the run to stop.
fn heed(note: Result<RunNote, McError>) -> Result<(), RunError> {
    let note = note.map_err(|error| RunError::backend(&error))?;
    if note.cancel_requested || note.status == RunStatus::Cancelled.as_str() {
        return Err(RunError::new(RunErrorKind::Cancelled));
    }
    Ok(())
}

/// Sees to it that a journal that was begun is also ended, and that the session's turn is given back
/// after that, however the run ends: also when it is dropped with its caller.
#[derive(Debug)]
pub(super) struct LastWord {
    journal: OnceLock<Journal>,
    held: Mutex<Option<Held>>,
    said: AtomicBool,
    handle: Arc<RunHandle>,
    tracker: TaskTracker,
}

/// The session's turn, here and among all instances.
#[derive(Debug)]
struct Held {
    lease: Option<SessionLease>,
    turn: Turn,
}

impl Held {
    async fn free(self) {
        if let Some(lease) = self.lease {
            lease.free().await;
        }
        // Only now may the next one here ask for the lease.
        drop(self.turn);
    }
}

impl LastWord {
    pub(super) fn new(handle: Arc<RunHandle>, tracker: TaskTracker) -> Self {
        Self {
            journal: OnceLock::new(),
            held: Mutex::default(),
            said: AtomicBool::new(false),
            handle,
            tracker,
        }
    }

    /// From now on there is a journal to end.
    pub(super) fn owe(&self, journal: &Journal) {
        let _only_once = self.journal.set(journal.clone());
    }

    /// From now on there is a turn to give back.
    pub(super) fn hold(&self, lease: Option<SessionLease>, turn: Turn) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held { lease, turn });
    }

    fn take_held(&self) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Says how the run ended, and gives the turn back.
    pub(super) async fn say(&self, result: &Result<RunAnswer, RunError>) {
        if let Some(journal) = self.journal.get() {
            let (status, mut extra) = Self::ending(result);
            self.used(&mut extra);
            Box::pin(journal.end(status, fields(extra))).await;
        }
        self.said.store(true, Ordering::SeqCst);
        match self.take_held() {
            Some(held) if held.lease.is_some() => {
                drop(self.tracker.spawn(held.free().in_current_span()))
            }
            _ => {}
        }
    }

    fn ending(result: &Result<RunAnswer, RunError>) -> (RunStatus, Value) {
        match result {
            Ok(answer) => {
                let status = match &answer.tool_requests {
                    Some(_) => RunStatus::AwaitingApproval,
                    None => RunStatus::Completed,
                };
                let waiting = answer.tool_requests.as_deref().map(ids);
                (status, json!({ "message_id": answer.message_id, "tool_requests": waiting }))
            }
            Err(error) => match error.kind {
                RunErrorKind::Cancelled => (RunStatus::Cancelled, json!({ "estimated": true })),
                RunErrorKind::Draining => (RunStatus::Interrupted, json!({ "estimated": true })),
                _ => (RunStatus::Failed, json!({ "error": error.code() })),
            },
        }
    }

    fn used(&self, extra: &mut Value) {
        extra["run_id"] = json!(self.handle.run_id);
        extra["usage"] = json!(self.handle.meter.receipt());
        extra["cost"] = json!(self.handle.meter.read().cost);
    }
}

impl Drop for LastWord {
    fn drop(&mut self) {
        if self.said.load(Ordering::SeqCst) {
            return;
        }
        let (journal, held) = (self.journal.get().cloned(), self.take_held());
        if journal.is_none() && held.as_ref().is_none_or(|held| held.lease.is_none()) {
            return;
        }
        let mut extra = json!({ "estimated": true });
        self.used(&mut extra);
        let words = async move {
            if let Some(journal) = journal {
                journal.end(RunStatus::Interrupted, fields(extra)).await;
            }
            if let Some(held) = held {
                held.free().await;
            }
        };
        self.tracker.spawn(words.in_current_span());
    }
}

fn ids(requests: &[ToolRequestReport]) -> Vec<&str> {
    requests.iter().map(|request| request.id.as_str()).collect()
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}
