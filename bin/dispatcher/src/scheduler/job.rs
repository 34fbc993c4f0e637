//! What goes into the scheduler and comes out of it.

use std::sync::Arc;
use std::time::Duration;

use mc_client::types::Delivery;
use retry::Backoff;
use tokio::time::Instant;

use crate::classify::Verdict;

/// The settings that limit the scheduler.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most forwards in flight, each of another session.
    pub(crate) concurrency: usize,
    /// Failed attempts until a notification is a dead letter.
    pub(crate) max_attempts: u32,
    /// The delays between attempts.
    pub(crate) backoff: Backoff,
}

/// The next thing to do with a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Forward it to the daemon.
    Forward,
    /// Acknowledge it to the backend.
    Acknowledge,
    /// Make it a dead letter in the backend, with this error.
    DeadLetter(String),
}

/// A step for a worker.
#[derive(Debug)]
pub(crate) struct Job {
    /// The notification.
    pub(crate) delivery: Arc<Delivery>,
    /// What to do with it.
    pub(crate) step: Step,
    /// Failed attempts so far.
    pub(crate) attempts: u32,
    pub(super) started: Instant,
    /// Whether this is the one forward that probes a daemon that was unavailable.
    pub(super) probe: bool,
}

/// The backend's answer to an acknowledgement or a dead letter.
#[derive(Debug)]
pub(crate) enum AckResult {
    /// Accepted.
    Accepted,
    /// Failed; to be retried.
    Retry {
        /// The reason.
        error: String,
        /// The wait that the backend asks for.
        retry_after: Option<Duration>,
    },
    /// Rejected for good, for this reason.
    Rejected(String),
}

/// The outcome of a job.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Of a forward.
    Forwarded(Verdict),
    /// Of an acknowledgement or a dead letter.
    Acked(AckResult),
}

/// What a finished job changed, for logs and metrics.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Delivered and acknowledged.
    Delivered,
    /// A forward failed; it will be retried.
    ForwardFailed(String),
    /// The session is busy; the forward will be retried.
    SessionBusy,
    /// Out of attempts, or rejected by the daemon. `reported` says whether the backend took it out
    /// of its queue.
    DeadLetter { error: String, reported: bool },
    /// An acknowledgement or dead letter failed; it will be retried.
    AckFailed(String),
    /// Delivered, but the backend rejects the acknowledgement.
    AckRejected(String),
    /// The daemon became unavailable.
    OutageBegan(String),
    /// The daemon is still unavailable.
    OutageContinues,
    /// The daemon is available again.
    OutageEnded,
}
