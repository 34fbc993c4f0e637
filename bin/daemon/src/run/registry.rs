//! The runs of this instance that are in flight: admission, joining by key, cancellation, draining.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use llm::event::Usage;
use mc_client::idempotency::RunKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::RunAnswer;
use super::error::{RunError, RunErrorKind};
use super::meter::Meter;
use super::tree::Tree;
use super::usage::UsageBook;

/// How many cancelled keys are remembered in memory. A backend with a run journal remembers them all
/// and for good.
const CANCELLED_KEYS: usize = 10_000;

/// How a run ended: shared, since several requests with one key may wait for it.
pub type Outcome = Result<Arc<RunAnswer>, RunError>;

/// All runs of this instance.
#[derive(Debug, Clone)]
pub struct Runs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    table: Mutex<Table>,
    slots: Arc<Semaphore>,
    /// Cancelled once no new runs are admitted.
    draining: CancellationToken,
    /// Cancelled once the runs still in flight are to be dropped.
    interrupted: CancellationToken,
    tracker: TaskTracker,
    book: Arc<UsageBook>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<String, Arc<RunHandle>>,
    by_key: HashMap<RunKey, Keyed>,
    cancelled: VecDeque<RunKey>,
}

#[derive(Debug, Clone)]
struct Keyed {
    /// `None` for a resumed run: its journal holds the request.
    fingerprint: Option<String>,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// A run in flight as seen from outside: its usage can be read, and it can be cancelled.
#[derive(Debug)]
pub struct RunHandle {
    /// The run's id.
    pub run_id: String,
    /// What it has used so far.
    pub meter: Arc<Meter>,
    /// What it shares with the runs above and below it.
    pub tree: Arc<Tree>,
    cancel: CancellationToken,
    interrupted: CancellationToken,
    key: Option<RunKey>,
}

impl RunHandle {
    /// Stops the run: its backend says that it is cancelled.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Whether somebody has cancelled it.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Whether it has to stop.
    pub fn is_stopped(&self) -> bool {
        self.cancel.is_cancelled() || self.interrupted.is_cancelled()
    }

    /// Completes when the run has to stop, with the reason.
    pub async fn stopped(&self) -> RunErrorKind {
        tokio::select! {
            () = self.cancel.cancelled() => RunErrorKind::Cancelled,
            () = self.interrupted.cancelled() => RunErrorKind::Draining,
        }
    }
}

/// An admitted run: holds its slot and its entry in the table until it is dropped. When the run did
/// not come to its end, the model call in flight is then booked by estimate.
#[derive(Debug)]
pub struct Registration {
    /// The run.
    pub handle: Arc<RunHandle>,
    runs: Runs,
    /// Whether the run came to its end, so that its usage is booked exactly.
    settled: bool,
    _slot: OwnedSemaphorePermit,
}

/// A run below another one: it takes no slot, ends with the run above, and what it uses is a part of what
/// that one uses. In the table of runs until it is dropped.
#[derive(Debug)]
pub struct ChildRegistration {
    /// The run.
    pub handle: Arc<RunHandle>,
    runs: Runs,
}

/// The result of [`Runs::join`].
pub enum Joined {
    /// No run with this key is in flight: the caller runs it and sends the outcome to the others.
    First(watch::Sender<Option<Outcome>>),
    /// A run with this key is in flight; its outcome comes here.
    Other(watch::Receiver<Option<Outcome>>),
}

impl Runs {
    /// A table that admits `max_concurrent` runs at once.
    pub fn new(max_concurrent: usize, book: Arc<UsageBook>) -> Self {
        Self {
            inner: Arc::new(Inner {
                table: Mutex::default(),
                slots: Arc::new(Semaphore::new(max_concurrent.min(Semaphore::MAX_PERMITS))),
                draining: CancellationToken::new(),
                interrupted: CancellationToken::new(),
                tracker: TaskTracker::new(),
                book,
            }),
        }
    }

    /// Admits a run.
    ///
    /// # Errors
    /// `Overloaded` when all slots are taken, `Draining` when the daemon is stopping.
    pub fn register(&self, run_id: String, key: Option<RunKey>) -> Result<Registration, RunError> {
        let slot = self.inner.slots.clone().try_acquire_owned().map_err(|_| {
            let retry_after = Some(std::time::Duration::from_secs(1));
            RunError { retry_after, ..RunError::new(RunErrorKind::Overloaded) }
        })?;
        let meter = Arc::new(Meter::default());
        let handle = Arc::new(RunHandle {
            run_id: run_id.clone(),
            tree: Arc::new(Tree::new(meter.clone())),
            meter,
            cancel: CancellationToken::new(),
            interrupted: self.inner.interrupted.clone(),
            key,
        });
        // Checked under the lock: a run is either refused or counted by the drain.
        self.table(|table| {
            if self.is_draining() {
                return Err(RunError::new(RunErrorKind::Draining));
            }
            table.by_id.insert(run_id, handle.clone());
            Ok(())
        })?;
        Ok(Registration { handle, runs: self.clone(), settled: false, _slot: slot })
    }

    /// Registers a run below another one.
    pub fn register_child(
        &self,
        run_id: String,
        key: RunKey,
        above: &RunHandle,
    ) -> ChildRegistration {
        let meter = Arc::new(Meter::default());
        above.meter.adopt(meter.clone());
        let handle = Arc::new(RunHandle {
            run_id: run_id.clone(),
            meter,
            tree: above.tree.clone(),
            cancel: above.cancel.child_token(),
            interrupted: above.interrupted.clone(),
            key: Some(key),
        });
        self.table(|table| table.by_id.insert(run_id, handle.clone()));
        ChildRegistration { handle, runs: self.clone() }
    }

    /// Joins the run with this key, or becomes it.
    ///
    /// # Errors
    /// `KeyConflict` when the key belongs to another request, `Cancelled` when its run was cancelled.
    pub fn join(&self, key: &RunKey, fingerprint: Option<&str>) -> Result<Joined, RunError> {
        self.table(|table| {
            if table.cancelled.contains(key) {
                return Err(RunError::new(RunErrorKind::Cancelled));
            }
            if let Some(keyed) = table.by_key.get(key) {
                return match (keyed.fingerprint.as_deref(), fingerprint) {
                    (Some(there), Some(here)) if there != here => {
                        Err(RunError::new(RunErrorKind::KeyConflict))
                    }
                    (_, _) => Ok(Joined::Other(keyed.outcome.clone())),
                };
            }
            let (sender, outcome) = watch::channel(None);
            let fingerprint = fingerprint.map(str::to_owned);
            table.by_key.insert(key.clone(), Keyed { fingerprint, outcome });
            Ok(Joined::First(sender))
        })
    }

    /// The outcome of the run with this key, where it is in flight here.
    pub fn outcome_of(&self, key: &RunKey) -> Option<watch::Receiver<Option<Outcome>>> {
        self.table(|table| table.by_key.get(key).map(|keyed| keyed.outcome.clone()))
    }

    /// Frees the key of a run that has ended; the next request with it starts anew.
    pub fn release_key(&self, key: &RunKey) {
        self.table(|table| table.by_key.remove(key));
    }

    /// Cancels a run. Returns what it used so far, or `None` when no such run is in flight here.
    pub fn cancel(&self, run_id: &str) -> Option<Usage> {
        let handle = self.table(|table| {
            let handle = table.by_id.get(run_id)?.clone();
            if let Some(key) = &handle.key {
                if table.cancelled.len() == CANCELLED_KEYS {
                    table.cancelled.pop_front();
                }
                table.cancelled.push_back(key.clone());
            }
            Some(handle)
        })?;
        handle.cancel.cancel();
        Some(handle.meter.read_with_estimate().usage)
    }

    /// Cancels the run with this key, whose journal remembers that. Returns whether one is in flight here.
    pub fn cancel_key(&self, key: &RunKey) -> bool {
        let handle = self.table(|table| {
            let mut handles = table.by_id.values();
            handles.find(|handle| handle.key.as_ref() == Some(key)).cloned()
        });
        if let Some(handle) = &handle {
            handle.cancel();
        }
        handle.is_some()
    }

    /// Completes when the daemon drains.
    pub async fn draining(&self) {
        self.inner.draining.cancelled().await;
    }

    /// How many runs are in flight.
    pub fn in_flight(&self) -> usize {
        self.table(|table| table.by_id.len())
    }

    /// Whether the daemon is draining: new runs are refused.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.is_cancelled()
    }

    /// Stops admitting new runs.
    pub fn start_draining(&self) {
        self.table(|_| self.inner.draining.cancel());
    }

    /// Drops the runs still in flight; their callers get the error `draining`.
    pub fn interrupt(&self) {
        self.inner.interrupted.cancel();
    }

    /// Background tasks that must end before the program does.
    pub fn tracker(&self) -> &TaskTracker {
        &self.inner.tracker
    }

    fn table<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        work(&mut self.inner.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Registration {
    /// The run came to its end: its usage is exact, and nothing is booked by estimate.
    pub fn settle(&mut self) {
        self.settled = true;
    }
}

impl Drop for ChildRegistration {
    fn drop(&mut self) {
        self.runs.table(|table| table.by_id.remove(&self.handle.run_id));
        if let Some(call) = self.handle.meter.read().in_flight {
            self.runs.inner.book.add_estimates(&call.used());
            // It is a part of what the run above has used.
            self.handle.meter.call_failed();
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.runs.table(|table| table.by_id.remove(&self.handle.run_id));
        let unfinished = self.handle.meter.read().in_flight;
        if let (false, Some(call)) = (self.settled, unfinished) {
            // The provider may charge for the dropped call; without the estimate the total would be
            // too low.
            let used = call.used();
            self.runs.inner.book.add_estimates(&used);
            let mut usage = Usage::default();
            used.iter().for_each(|estimate| usage += estimate.usage);
            tracing::info!(
                run_id = self.handle.run_id,
                prompt_tokens = usage.prompt_tokens,
                completion_tokens = usage.completion_tokens,
                "run dropped during a model call; its usage is estimated"
            );
        }
    }
}
