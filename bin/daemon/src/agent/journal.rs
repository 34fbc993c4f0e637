//! The run's journal in the backend (feature `run_journal`; docs/RUNS.md, "The journal"): the
//! request, each answer of the model, each tool's result, in order.
//!
//! A step is written before anything that depends on it happens. A resumed run reads its steps
//! instead of doing them again; a run that finds another instance's step in its place continues from
//! that step. Only steps that a daemon wrote for this very run are read ([`mc_client::journal_mac`]).

mod given_back;
mod steps;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::idempotency::RunKey;
use mc_client::journal_mac::{JournalChain, JournalFault, JournalKeys, JournalOwner};
use mc_client::runs::{PutRun, Run, RunNote, RunStatus, RunStep};
use mc_client::steps::{CALLING, ChildCall, LLM, LLM_REJECTED, REQUEST, THREAD, TOOL};
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;
use wombat_core::redact::Redactor;
use wombat_core::session::SessionKey;

use self::given_back::GivenBack;
pub(super) use self::steps::{
    CallingStep, ChildReport, LlmStep, ThreadStep, ToolStep, refused, report, rule,
};
pub(crate) use self::steps::{Detached, RecordedRequest};
use crate::run::error::{RunError, RunErrorKind};

/// The timeout of writing the final status of a run.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A run's journal; disabled where the backend has none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Option<Arc<Open>>);

#[derive(Debug)]
struct Open {
    client: AgentClient,
    key: RunKey,
    /// The run as it was found in the backend.
    earlier: Option<Run>,
    /// Its steps; none where they cannot be trusted.
    recorded: BTreeMap<u32, RunStep>,
    /// What further steps follow on.
    chain: Mutex<JournalChain>,
    /// Whether step 1, the thread, was written since.
    thread_written: AtomicBool,
    /// Why the steps that were found cannot be trusted.
    fault: Option<JournalFault>,
    /// What earlier attempts have replaced by placeholders, and what this one does.
    given_back: GivenBack,
}

impl Open {
    fn chain(&self) -> MutexGuard<'_, JournalChain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The journal of a run before its first step.
pub(crate) fn empty_chain(
    keys: &Arc<JournalKeys>,
    key: &RunKey,
    session: &SessionKey,
) -> JournalChain {
    let owner = JournalOwner {
        run_key: key.as_str().to_owned(),
        user_id: session.user().as_str().to_owned(),
        role: session.role().as_str().to_owned(),
    };
    JournalChain::new(keys.clone(), owner)
}

impl Journal {
    /// Opens the journal of a run, and reads and verifies its steps. `look` is false for a random key,
    /// which cannot have been used before. Steps that cannot be trusted are not there to be read; see
    /// [`Journal::check`].
    pub(super) async fn open(
        client: &AgentClient,
        mut chain: JournalChain,
        key: &RunKey,
        look: bool,
    ) -> Result<Self, RunError> {
        let earlier = if look { client.run(key.as_str()).await } else { Ok(None) };
        let mut earlier = earlier.map_err(|error| RunError::backend(&error))?;
        let steps = earlier.as_mut().map(|run| std::mem::take(&mut run.steps)).unwrap_or_default();
        let fault = chain.read(steps.iter()).err();
        let trusted = if fault.is_none() { steps } else { Vec::new() };
        let given_back = GivenBack::of(client, key, &trusted);
        Ok(Self(Some(Arc::new(Open {
            given_back,
            client: client.clone(),
            key: key.clone(),
            earlier,
            recorded: trusted.into_iter().map(|step| (step.index, step)).collect(),
            chain: Mutex::new(chain),
            thread_written: AtomicBool::new(false),
            fault,
        }))))
    }

    /// Fails if the steps that were found are not what a daemon wrote for this run.
    pub(super) fn check(&self) -> Result<(), RunError> {
        let fault = self.0.as_ref().and_then(|open| open.fault.as_ref());
        fault.map_or(Ok(()), |fault| Err(RunError::journal_rejected(fault)))
    }

    /// Whether the backend keeps a journal.
    pub(super) fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Whether earlier attempts of the run have replaced values that are to come back.
    pub(super) fn gives_back(&self) -> bool {
        self.0.as_ref().is_some_and(|open| open.given_back.has_any())
    }

    /// Values come back by this redactor, which learns those of earlier attempts.
    pub(super) fn give_back_by(&self, redactor: Option<&Arc<Redactor>>) {
        if let (Some(open), Some(redactor)) = (&self.0, redactor) {
            open.given_back.by(redactor);
        }
    }

    /// The run as an earlier attempt left it, without its steps.
    pub(super) fn earlier_run(&self) -> Option<&Run> {
        self.0.as_ref()?.earlier.as_ref()
    }

    /// Step 0, where an earlier attempt wrote it.
    pub(super) fn recorded_request(&self) -> Result<Option<RecordedRequest>, RunError> {
        self.recorded(0, REQUEST)
    }

    /// Marks the run as running and writes step 0. Returns step 0 as it stands in the journal: another
    /// instance's, where that one was first.
    pub(super) async fn start(
        &self,
        run: PutRun,
        recorded: RecordedRequest,
    ) -> Result<RecordedRequest, RunError> {
        let Some(open) = &self.0 else { return Ok(recorded) };
        let note = open.client.put_run(open.key.as_str(), &run).await;
        if let Err(error) = &note
            && error.is_not_found()
        {
            return Err(RunError::new(RunErrorKind::TaskNotFound).caused_by(error));
        }
        check_cancelled(note)?;
        match self.write(0, REQUEST, &recorded).await? {
            Some(theirs) => Ok(theirs),
            None => Ok(recorded),
        }
    }

    /// Step 1 of a run without a caller, where it is written.
    pub(super) fn thread(&self) -> Result<Option<ThreadStep>, RunError> {
        if self.kind_at(1) != Some(THREAD) {
            return Ok(None);
        }
        self.recorded(1, THREAD)
    }

    /// The same journal, written by another client: under a lease.
    pub(super) fn with_client(&self, client: AgentClient) -> Self {
        let Some(open) = &self.0 else { return Self::default() };
        Self(Some(Arc::new(Open {
            given_back: open.given_back.clone(),
            client,
            key: open.key.clone(),
            earlier: open.earlier.clone(),
            recorded: open.recorded.clone(),
            chain: Mutex::new(open.chain().clone()),
            thread_written: AtomicBool::new(open.thread_written.load(Ordering::Relaxed)),
            fault: open.fault.clone(),
        })))
    }

    /// Writes that the run is at work; fails if it was cancelled.
    pub(super) async fn begin(&self, run: &PutRun) -> Result<(), RunError> {
        check_cancelled(self.put(run).await)
    }

    /// Where the first turn of the model stands.
    pub(super) fn first_turn(&self) -> u32 {
        // Step 0 is the request.
        let is_after_thread = self.0.as_ref().is_some_and(|open| {
            self.kind_at(1) == Some(THREAD) || open.thread_written.load(Ordering::Relaxed)
        });
        if is_after_thread { 2 } else { 1 }
    }

    /// Writes step 1 of a run without a caller; returns the valid one.
    pub(super) async fn put_thread(&self, thread: ThreadStep) -> Result<ThreadStep, RunError> {
        let thread = self.write(1, THREAD, &thread).await?.unwrap_or(thread);
        if let Some(open) = &self.0 {
            open.thread_written.store(true, Ordering::Relaxed);
        }
        Ok(thread)
    }

    /// Whether an earlier attempt of the run has written any.
    pub(super) fn has_steps(&self) -> bool {
        self.0.as_ref().is_some_and(|open| !open.recorded.is_empty())
    }

    /// The steps as they were found.
    pub(super) fn steps(&self) -> Vec<RunStep> {
        let steps = self.0.as_ref().map(|open| open.recorded.values().cloned().collect());
        steps.unwrap_or_default()
    }

    /// Writes a status, or what goes with it. Returns the run's status then.
    pub(super) async fn put(&self, run: &PutRun) -> Result<RunNote, McError> {
        match &self.0 {
            Some(open) => open.client.put_run(open.key.as_str(), run).await,
            None => Ok(RunNote::default()),
        }
    }

    /// The model's answer recorded at this position.
    pub(super) fn llm(&self, at: u32) -> Result<Option<LlmStep>, RunError> {
        self.recorded(at, LLM)
    }

    /// An answer recorded at this position of which no use could be made; it was paid for.
    pub(super) fn rejected(&self, at: u32) -> Result<Option<LlmStep>, RunError> {
        if self.kind_at(at) != Some(LLM_REJECTED) {
            return Ok(None);
        }
        self.recorded(at, LLM_REJECTED)
    }

    /// The tool's result recorded at this position.
    pub(super) fn tool(&self, at: u32) -> Result<Option<ToolStep>, RunError> {
        self.recorded(at, TOOL)
    }

    /// The steps before calls of this turn, which begin at this position.
    pub(super) fn callings(&self, at: u32) -> Result<Vec<CallingStep>, RunError> {
        let is_calling = |at: &u32| self.kind_at(*at) == Some(CALLING);
        let steps = (at..).take_while(is_calling).map(|at| self.recorded(at, CALLING));
        steps.filter_map(Result::transpose).collect()
    }

    /// The children that it names, and how many roles its calls have notified.
    pub(super) fn handed_on(&self) -> (Vec<ChildCall>, usize) {
        let (mut children, mut mentions) = (Vec::new(), 0);
        for step in self.0.iter().flat_map(|open| open.recorded.values()) {
            match step.kind.as_str() {
                CALLING => {
                    let step = CallingStep::deserialize(&step.payload);
                    children.extend(step.into_iter().flat_map(|step| step.children));
                }
                TOOL => {
                    let step = ToolStep::deserialize(&step.payload);
                    mentions += step.map_or(0, |step| step.mentioned.len());
                }
                _ => {}
            }
        }
        (children, mentions)
    }

    /// Writes that calls are about to be made. Where another instance is making calls of the turn, the
    /// run has been taken over.
    pub(super) async fn put_calling(&self, at: u32, step: &CallingStep) -> Result<(), RunError> {
        match self.write(at, CALLING, step).await? {
            None => Ok(()),
            Some(_) => Err(RunError::new(RunErrorKind::SessionLost)),
        }
    }

    /// Writes an answer of the model; returns the valid one, and whether it is this one and not another
    /// instance's.
    pub(super) async fn put_llm(
        &self,
        at: u32,
        step: LlmStep,
        useful: bool,
    ) -> Result<(LlmStep, bool), RunError> {
        let kind = if useful { LLM } else { LLM_REJECTED };
        Ok(match self.write(at, kind, &step).await? {
            Some(theirs) => (theirs, false),
            None => (step, true),
        })
    }

    /// Writes a tool's result; returns the valid one, which may be another instance's.
    pub(super) async fn put_tool(&self, at: u32, step: ToolStep) -> Result<ToolStep, RunError> {
        Ok(self.write(at, TOOL, &step).await?.unwrap_or(step))
    }

    /// The kind of the step recorded at this position.
    fn kind_at(&self, at: u32) -> Option<&str> {
        self.0.as_ref()?.recorded.get(&at).map(|step| step.kind.as_str())
    }

    /// The step recorded at this position. One that cannot be continued from ends the run here, before
    /// anything is paid for that could not be recorded.
    fn recorded<T: DeserializeOwned>(&self, at: u32, kind: &str) -> Result<Option<T>, RunError> {
        self.check()?;
        match self.0.as_ref().and_then(|open| open.recorded.get(&at)) {
            Some(step) => read(&step.kind, &step.payload, kind).map(Some),
            None => Ok(None),
        }
    }

    /// Writes a step; returns another instance's step that already has its position.
    async fn write<T: Serialize + DeserializeOwned>(
        &self,
        at: u32,
        kind: &str,
        step: &T,
    ) -> Result<Option<T>, RunError> {
        let Some(open) = &self.0 else { return Ok(None) };
        self.check()?;
        let mut payload = serde_json::to_value(step).map_err(|error| {
            RunError::new(RunErrorKind::Internal)
                .caused_by(format!("step not serialisable: {error}"))
        })?;
        open.given_back.note(&open.client, (&open.key, at), &mut payload)?;
        let put = open.chain().seal(at, kind, payload);
        let error = match open.client.put_step(open.key.as_str(), at, &put).await {
            Ok(note) => {
                open.chain().written(at, &put);
                check_cancelled(Ok(note))?;
                return Ok(None);
            }
            Err(error) => error,
        };
        match error.existing_step() {
            Some(theirs) => {
                let theirs = RunStep { index: at, ..theirs };
                let theirs = open.client.opened_step(open.key.as_str(), theirs);
                let accepted = open.chain().accept(&theirs);
                accepted.map_err(|fault| RunError::journal_rejected(&fault))?;
                open.given_back.learn(&open.client, &open.key, &theirs);
                let step = read(&theirs.kind, &theirs.payload, kind)?;
                tracing::info!(
                    run_key = open.key.as_str(),
                    index = at,
                    kind,
                    "step already written by another instance; continuing from it"
                );
                Ok(Some(step))
            }
            None => Err(RunError::backend(&error)),
        }
    }

    /// Writes the final status. A failure is only logged: the reply is stored, or the key can be
    /// retried.
    pub(super) async fn end(&self, status: RunStatus, extra: Map<String, Value>) {
        let Some(open) = &self.0 else { return };
        let client = open.client.clone().with_deadline(Instant::now() + END_TIMEOUT);
        let run = PutRun { status: Some(status), extra, ..PutRun::default() };
        if let Err(error) = client.put_run(open.key.as_str(), &run).await {
            tracing::warn!(
                run_key = open.key.as_str(),
                status = status.as_str(),
                %error,
                "final status could not be written to the run journal"
            );
        }
    }
}

/// The payload of a step that has to be of this kind.
fn read<T: DeserializeOwned>(found: &str, payload: &Value, kind: &str) -> Result<T, RunError> {
    if found != kind {
        return Err(RunError::new(RunErrorKind::BackendRefused(format!(
            "the journal holds a step of kind {found:?} where {kind:?} is expected"
        ))));
    }
    T::deserialize(payload).map_err(|error| {
        let text = "the journal holds a step that cannot be parsed".to_owned();
        RunError::new(RunErrorKind::BackendRefused(text)).caused_by(error)
    })
}

/// Fails if the backend says that the run was cancelled.
fn check_cancelled(note: Result<RunNote, McError>) -> Result<(), RunError> {
    let note = note.map_err(|error| RunError::backend(&error))?;
    if note.cancel_requested || note.status == RunStatus::Cancelled.as_str() {
        return Err(RunError::new(RunErrorKind::Cancelled));
    }
    Ok(())
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
