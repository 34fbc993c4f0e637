//! The runs of this instance that are in flight: admission, joining by key, cancellation, draining.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use llm::event::Usage;
use mc_client::idempotency::RunKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::RunAnswer;
use super::error::{RunError, RunErrorKind};
use super::handle::Stop;
use super::usage::UsageBook;

pub use super::handle::RunHandle;

/// How many cancelled keys are remembered in memory. A backend with a run journal remembers them all
/// and for good.
const CANCELLED_KEYS: usize = 10_000;

/// For how many cancelled runs an instance sees to it at once that they stop. The backend remembers the
/// others, and whoever takes one up cancels it.
const MAX_WATCHED: usize = 256;

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
    /// Runs that somebody here sees to that they stop.
    watched: HashSet<RunKey>,
}

/// A run that is watched until this is dropped; see [`Runs::watch_cancelled`].
#[derive(Debug)]
pub struct Watched {
    runs: Runs,
    key: RunKey,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.runs.table(|table| table.watched.remove(&self.key));
    }
}

#[derive(Debug, Clone)]
struct Keyed {
    /// `None` for a resumed run: its journal holds the request.
    fingerprint: Option<String>,
    outcome: watch::Receiver<Option<Outcome>>,
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
        let interrupted = self.inner.interrupted.clone();
        let handle = Arc::new(RunHandle::new(run_id.clone(), key, interrupted));
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
        let handle = Arc::new(above.below(run_id.clone(), key));
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

    /// Cancels a run, and says what came of it; `None` when no such run is in flight here.
    pub async fn cancel(&self, run_id: &str) -> Option<Stop> {
        let handle = self.table(|table| table.by_id.get(run_id).cloned())?;
        let stop = handle.stop().await;
        if let (Stop::Cancelled(_), Some(key)) = (&stop, &handle.key) {
            self.table(|table| {
                if table.cancelled.len() == CANCELLED_KEYS {
                    table.cancelled.pop_front();
                }
                table.cancelled.push_back(key.clone());
            });
        }
        Some(stop)
    }

    /// Cancels a run for a caller that does not wait.
    pub fn cancel_soon(&self, run_id: &str) {
        let (runs, run_id) = (self.clone(), run_id.to_owned());
        self.tracker().spawn(async move { runs.cancel(&run_id).await });
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

    /// Whether a run with this key is in flight here.
    pub fn has_key(&self, key: &RunKey) -> bool {
        self.table(|table| table.by_id.values().any(|handle| handle.key.as_ref() == Some(key)))
    }

    /// Begins to see to it that the run with this key stops; `None` where somebody here does, or where that
    /// is done for as many as may be.
    pub fn watch_cancelled(&self, key: &RunKey) -> Option<Watched> {
        let is_new = self
            .table(|table| table.watched.len() < MAX_WATCHED && table.watched.insert(key.clone()));
        is_new.then(|| Watched { runs: self.clone(), key: key.clone() })
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
