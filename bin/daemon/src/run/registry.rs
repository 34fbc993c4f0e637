//! The runs that are going on in this instance: how they are found, joined, cancelled and counted.

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
use super::usage::UsageBook;

/// How many cancelled keys are remembered. Where the backend journals runs, the journal remembers
/// them all; this covers the instance's own lifetime.
const CANCELLED_KEYS: usize = 10_000;

/// How a run ended.
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
    /// No new runs are taken.
    draining: CancellationToken,
    /// The runs still going on are dropped.
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
    /// `None` where the journal knows what it was asked.
    fingerprint: Option<String>,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// One run, as others can see and stop it.
#[derive(Debug)]
pub struct RunHandle {
    /// The run's id.
    pub run_id: String,
    /// What it has used.
    pub meter: Meter,
    cancel: CancellationToken,
    interrupted: CancellationToken,
    key: Option<RunKey>,
}

impl RunHandle {
    /// Waits until the run is to be dropped, and says why.
    pub async fn stopped(&self) -> RunErrorKind {
        tokio::select! {
            () = self.cancel.cancelled() => RunErrorKind::Cancelled,
            () = self.interrupted.cancelled() => RunErrorKind::Draining,
        }
    }
}

/// A run's place in the table. Dropping it takes the run out and books what it used.
#[derive(Debug)]
pub struct Registration {
    /// The run.
    pub handle: Arc<RunHandle>,
    runs: Runs,
    /// Whether the usage was booked by a run that came to its end.
    settled: bool,
    _slot: OwnedSemaphorePermit,
}

/// What a request with a key finds.
pub enum Joined {
    /// Nobody runs it: this one does, and tells the others.
    First(watch::Sender<Option<Outcome>>),
    /// It is already going on.
    Other(watch::Receiver<Option<Outcome>>),
}

impl Runs {
    /// Room for this many runs at once.
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

    /// Takes a run in, or says why not.
    pub fn register(&self, run_id: String, key: Option<RunKey>) -> Result<Registration, RunError> {
        let slot = self.inner.slots.clone().try_acquire_owned().map_err(|_| {
            let retry_after = Some(std::time::Duration::from_secs(1));
            RunError { retry_after, ..RunError::new(RunErrorKind::Overloaded) }
        })?;
        let handle = Arc::new(RunHandle {
            run_id: run_id.clone(),
            meter: Meter::default(),
            cancel: CancellationToken::new(),
            interrupted: self.inner.interrupted.clone(),
            key,
        });
        // Under the lock, so that whoever counts the runs after draining has begun counts them all.
        self.table(|table| {
            if self.is_draining() {
                return Err(RunError::new(RunErrorKind::Draining));
            }
            table.by_id.insert(run_id, handle.clone());
            Ok(())
        })?;
        Ok(Registration { handle, runs: self.clone(), settled: false, _slot: slot })
    }

    /// Joins the run with this key, or becomes it. The same key with another request is a
    /// conflict; a key that was cancelled stays cancelled.
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

    /// The run with this key has ended; the next request with it starts anew.
    pub fn leave(&self, key: &RunKey) {
        self.table(|table| table.by_key.remove(key));
    }

    /// Cancels a run on purpose. Returns what it used so far, or `None` when no such run is here.
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
        Some(handle.meter.receipt())
    }

    /// How many runs are going on.
    pub fn in_flight(&self) -> usize {
        self.table(|table| table.by_id.len())
    }

    /// Whether new runs are refused.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.is_cancelled()
    }

    /// From now on no new runs.
    pub fn start_draining(&self) {
        self.table(|_| self.inner.draining.cancel());
    }

    /// Drops the runs that are still going on; whoever waits for one gets `draining`.
    pub fn interrupt(&self) {
        self.inner.interrupted.cancel();
    }

    /// Runs that go on without their caller, and everything else that must end before the program.
    pub fn tracker(&self) -> &TaskTracker {
        &self.inner.tracker
    }

    fn table<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        work(&mut self.inner.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Registration {
    /// The run came to its end: what it used is exact.
    pub fn settle(&mut self) {
        self.settled = true;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.runs.table(|table| table.by_id.remove(&self.handle.run_id));
        let unfinished = self.handle.meter.read().in_flight;
        if let (false, Some(prompt_tokens)) = (self.settled, unfinished) {
            // The provider may charge for a call that was dropped; the estimate is booked so that
            // the total is not too low.
            self.runs.inner.book.add_estimate(prompt_tokens, 0);
            tracing::info!(
                run_id = self.handle.run_id,
                prompt_tokens,
                "run dropped in the middle of a model call; its prompt is booked by estimate"
            );
        }
    }
}
