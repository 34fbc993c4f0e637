//! Ends the journal and releases the session, however a run ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mc_client::runs::RunStatus;
use serde_json::{Map, Value, json};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use wombat_core::redact::Redactor;

use super::facts;
use super::journal::Journal;
use super::lease::SessionLease;
use crate::run::answer::{Ending, RunAnswer};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::failure::Failure;
use crate::run::registry::RunHandle;
use crate::run::written;
use crate::sessions::Turn;

/// Ends a journal that was started, and then gives back the session's turn, however the run ends: also
/// when it is dropped together with its caller.
#[derive(Debug)]
pub(super) struct RunFinalizer {
    journal: OnceLock<Journal>,
    held: Mutex<Option<HeldTurn>>,
    finished: AtomicBool,
    handle: Arc<RunHandle>,
    tracker: TaskTracker,
    /// Whether the end of the run is read from its journal, at any instance.
    is_detached: bool,
    /// What of the end is redacted.
    redactor: Mutex<Option<Arc<Redactor>>>,
}

/// The session's turn: in this instance, and (the lease) among all instances.
#[derive(Debug)]
struct HeldTurn {
    lease: Option<SessionLease>,
    turn: Turn,
}

impl HeldTurn {
    async fn release(self) {
        if let Some(lease) = self.lease {
            lease.release().await;
        }
        // After the lease, so that the next run of this instance finds it free.
        drop(self.turn);
    }
}

impl RunFinalizer {
    pub(super) fn new(handle: Arc<RunHandle>, tracker: TaskTracker) -> Self {
        Self::of(handle, tracker, false)
    }

    fn of(handle: Arc<RunHandle>, tracker: TaskTracker, is_detached: bool) -> Self {
        Self {
            journal: OnceLock::new(),
            held: Mutex::default(),
            finished: AtomicBool::new(false),
            handle,
            tracker,
            is_detached,
            redactor: Mutex::default(),
        }
    }

    /// The same with what is redacted.
    pub(super) fn redacting(self, redactor: Option<Arc<Redactor>>) -> Self {
        self.redact_by(redactor);
        self
    }

    /// From now on this is redacted.
    pub(super) fn redact_by(&self, redactor: Option<Arc<Redactor>>) {
        *self.redactor.lock().unwrap_or_else(PoisonError::into_inner) = redactor;
    }

    /// What is redacted.
    pub(super) fn redactor(&self) -> Option<Arc<Redactor>> {
        self.redactor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same for a run whose end is read from its journal.
    pub(super) fn detached(handle: Arc<RunHandle>, tracker: TaskTracker) -> Self {
        Self::of(handle, tracker, true)
    }

    /// What is written with the final status.
    pub(super) fn fields_of(&self, result: &Result<RunAnswer, RunError>) -> Map<String, Value> {
        let (_, mut extra) = Self::final_status(result);
        self.add_usage(&mut extra);
        let cost = self.handle.meter.read_with_estimate().cost;
        let facts = facts::at_end(result.as_ref(), &cost, self.redactor().as_ref());
        if let Value::Object(extra) = &mut extra {
            extra.extend(facts);
        }
        if self.is_detached {
            match result {
                Ok(answer) => extra[written::ANSWER] = json!(answer),
                Err(error) => extra[written::FAILURE] = json!(Failure::told(error)),
            }
        }
        fields(extra)
    }

    /// Gives the turn back; nothing is written.
    pub(super) fn give_back(&self) {
        self.finished.store(true, Ordering::SeqCst);
        if let Some(held) = self.take_held() {
            drop(self.tracker.spawn(held.release().in_current_span()));
        }
    }

    /// Registers a journal to end.
    pub(super) fn track_journal(&self, journal: &Journal) {
        let _only_once = self.journal.set(journal.clone());
    }

    /// Registers a turn to give back.
    pub(super) fn hold_turn(&self, lease: Option<SessionLease>, turn: Turn) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(HeldTurn { lease, turn });
    }

    fn take_held(&self) -> Option<HeldTurn> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Writes the final status, and gives the turn back.
    pub(super) async fn finish(&self, result: &Result<RunAnswer, RunError>) {
        if let Some(journal) = self.journal.get() {
            let (status, _) = Self::final_status(result);
            Box::pin(journal.end(status, self.fields_of(result))).await;
        }
        self.finished.store(true, Ordering::SeqCst);
        match self.take_held() {
            Some(held) if held.lease.is_some() => {
                drop(self.tracker.spawn(held.release().in_current_span()))
            }
            _ => {}
        }
    }

    /// The status to write, and what goes with it.
    pub(super) fn final_status(result: &Result<RunAnswer, RunError>) -> (RunStatus, Value) {
        match result {
            Ok(answer) => match &answer.ending {
                Ending::Waits { tool_requests } => {
                    let ids: Vec<_> = tool_requests.iter().map(|request| &request.id).collect();
                    let status = match answer.ending.status() {
                        daemon_api::RunStatus::AwaitingAnswer => RunStatus::AwaitingAnswer,
                        _ => RunStatus::AwaitingApproval,
                    };
                    (status, json!({ (written::TOOL_REQUESTS): ids }))
                }
                Ending::Replied(_) | Ending::Replayed(_) | Ending::Silent | Ending::HandedBack => {
                    (RunStatus::Completed, json!({ (written::MESSAGE_ID): answer.message_id() }))
                }
            },
            Err(error) => match error.kind {
                RunErrorKind::Cancelled => {
                    (RunStatus::Cancelled, json!({ (written::ESTIMATED): true }))
                }
                RunErrorKind::Draining => {
                    (RunStatus::Interrupted, json!({ (written::ESTIMATED): true }))
                }
                _ => (RunStatus::Failed, json!({ (written::ERROR): error.code() })),
            },
        }
    }

    fn add_usage(&self, extra: &mut Value) {
        extra[written::RUN_ID] = json!(self.handle.run_id);
        let tally = self.handle.meter.read_with_estimate();
        extra[written::USAGE] = json!(tally.usage);
        extra[written::COST] = json!(tally.cost);
    }
}

impl Drop for RunFinalizer {
    fn drop(&mut self) {
        if self.finished.load(Ordering::SeqCst) {
            return;
        }
        let (journal, held) = (self.journal.get().cloned(), self.take_held());
        if journal.is_none() && held.as_ref().is_none_or(|held| held.lease.is_none()) {
            return;
        }
        let mut extra = json!({ (written::ESTIMATED): true });
        self.add_usage(&mut extra);
        let mut extra = fields(extra);
        extra.extend(facts::at_leaving(&self.handle.meter.read_with_estimate().cost));
        // A run below another one is dropped with that.
        let is_cancelled = self.handle.is_cancelled();
        let status = if is_cancelled { RunStatus::Cancelled } else { RunStatus::Interrupted };
        let words = async move {
            if let Some(journal) = journal {
                journal.end(status, extra).await;
            }
            if let Some(held) = held {
                held.release().await;
            }
        };
        self.tracker.spawn(words.in_current_span());
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}
