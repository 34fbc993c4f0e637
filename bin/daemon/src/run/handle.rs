//! A run in flight as seen from outside: what it uses, and how it is stopped. A run that stores its reply
//! is not stopped halfway: either it is cancelled and nothing stands in the thread, or it is completed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use llm::event::Usage;
use mc_client::idempotency::RunKey;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::error::{RunError, RunErrorKind};
use super::meter::Meter;
use super::tree::Tree;

/// How long whoever cancels waits to learn whether the reply is stored.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a run that stores its reply has of the time in which the daemon stops.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How far a run is with its reply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// It has none yet.
    #[default]
    Open,
    /// The reply is on its way.
    Storing,
    /// The reply stands.
    Stored,
}

/// A run in flight: its usage can be read, and it can be cancelled.
#[derive(Debug)]
pub struct RunHandle {
    /// The run's id.
    pub run_id: String,
    /// What it has used so far.
    pub meter: Arc<Meter>,
    /// What it shares with the runs above and below it.
    pub tree: Arc<Tree>,
    pub(super) key: Option<RunKey>,
    cancel: CancellationToken,
    interrupted: CancellationToken,
    stage: watch::Sender<Stage>,
    /// Whether a reply was ever on its way.
    has_begun: AtomicBool,
}

/// What came of a request to stop a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It is cancelled; what it used so far.
    Cancelled(Usage),
    /// Its reply stands: it is completed.
    Finished,
    /// Its reply is on its way, and nobody knows whether it arrives.
    Stopping,
}

/// A reply on its way; see [`RunHandle::storing`].
#[derive(Debug)]
pub struct Storing<'a> {
    handle: &'a RunHandle,
    then: Stage,
}

impl Storing<'_> {
    /// The reply stands.
    pub fn stored(mut self) {
        self.then = Stage::Stored;
    }
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        self.handle.stage.send_replace(self.then);
    }
}

impl RunHandle {
    /// A run that has just begun; `interrupted` is cancelled when the daemon stops.
    pub(super) fn new(run_id: String, key: Option<RunKey>, interrupted: CancellationToken) -> Self {
        let meter = Arc::new(Meter::default());
        let tree = Arc::new(Tree::new(meter.clone()));
        Self::of(run_id, key, meter, tree, CancellationToken::new(), interrupted)
    }

    /// A run below this one, which ends with it, and whose usage is a part of what this one uses.
    pub(super) fn below(&self, run_id: String, key: RunKey) -> Self {
        let meter = Arc::new(Meter::default());
        self.meter.adopt(meter.clone());
        let (cancel, interrupted) = (self.cancel.child_token(), self.interrupted.clone());
        Self::of(run_id, Some(key), meter, self.tree.clone(), cancel, interrupted)
    }

    fn of(
        run_id: String,
        key: Option<RunKey>,
        meter: Arc<Meter>,
        tree: Arc<Tree>,
        cancel: CancellationToken,
        interrupted: CancellationToken,
    ) -> Self {
        let (stage, has_begun) = (watch::Sender::default(), AtomicBool::new(false));
        Self { run_id, meter, tree, key, cancel, interrupted, stage, has_begun }
    }

    /// Stops the run, unless its reply stands or is about to.
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

    /// The reply is about to be stored: until the result is dropped, nothing stops the run.
    ///
    /// # Errors
    /// `Cancelled` when the run was cancelled before.
    pub fn storing(&self) -> Result<Storing<'_>, RunError> {
        let before = self.stage.send_replace(Stage::Storing);
        let storing = Storing { handle: self, then: before };
        // In this order, as `stop` does the reverse: one of the two sees the other.
        if self.cancel.is_cancelled() && before != Stage::Stored {
            return Err(RunError::new(RunErrorKind::Cancelled));
        }
        self.has_begun.store(true, Ordering::Relaxed);
        Ok(storing)
    }

    /// Whether a reply was on its way, so that it may stand whatever was heard of it.
    pub fn has_begun_to_answer(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// The run's reply is stored, by whomever: it cannot be cancelled any more.
    pub fn is_answered(&self) {
        self.stage.send_replace(Stage::Stored);
    }

    /// Whether its reply stands.
    pub fn has_answered(&self) -> bool {
        *self.stage.borrow() == Stage::Stored
    }

    /// Completes when the run has to stop, with the reason.
    pub async fn stopped(&self) -> RunErrorKind {
        tokio::select! {
            biased;
            () = self.cancelled() => RunErrorKind::Cancelled,
            () = self.interrupted.cancelled() => {
                if *self.stage.borrow() != Stage::Open {
                    sleep(LAST_WORDS).await;
                }
                RunErrorKind::Draining
            }
        }
    }

    async fn cancelled(&self) {
        self.cancel.cancelled().await;
        if self.settled().await == Stage::Stored {
            std::future::pending::<()>().await;
        }
    }

    /// The stage once no reply is on its way.
    async fn settled(&self) -> Stage {
        let mut stage = self.stage.subscribe();
        // The sender lives as long as this value.
        stage.wait_for(|stage| *stage != Stage::Storing).await.map_or(Stage::Open, |stage| *stage)
    }

    /// Cancels the run, and waits until it is known what that comes to.
    pub(super) async fn stop(&self) -> Stop {
        self.cancel();
        match timeout(PATIENCE, self.settled()).await {
            Ok(Stage::Stored) => Stop::Finished,
            Ok(Stage::Open | Stage::Storing) => {
                Stop::Cancelled(self.meter.read_with_estimate().usage)
            }
            Err(_) => Stop::Stopping,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> RunHandle {
        RunHandle::new("r".to_owned(), None, CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_stores_its_reply_is_not_stopped_and_one_that_was_stopped_stores_none() {
        let run = handle();
        let storing = run.storing().unwrap();
        run.cancel();
        assert!(timeout(Duration::from_secs(60), run.stopped()).await.is_err());
        assert_eq!(run.stop().await, Stop::Stopping);
        storing.stored();
        assert!(timeout(Duration::from_secs(60), run.stopped()).await.is_err());
        assert_eq!(run.stop().await, Stop::Finished);
        // The same reply once more, as a resumed run does.
        assert!(run.storing().is_ok() && run.has_answered());

        let run = handle();
        run.cancel();
        assert_eq!(run.storing().unwrap_err().kind, RunErrorKind::Cancelled);
        assert_eq!(run.stopped().await, RunErrorKind::Cancelled);

        let run = handle();
        let storing = run.storing().unwrap();
        run.cancel();
        drop(storing);
        assert_eq!(run.stopped().await, RunErrorKind::Cancelled);
        assert!(matches!(run.stop().await, Stop::Cancelled(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_stops_lets_a_reply_arrive_and_then_waits_no_longer() {
        let run = handle();
        let storing = run.storing().unwrap();
        run.interrupted.cancel();
        let soon = LAST_WORDS / 2;
        assert!(timeout(soon, run.stopped()).await.is_err());
        assert_eq!(run.stopped().await, RunErrorKind::Draining);
        drop(storing);
    }
}
