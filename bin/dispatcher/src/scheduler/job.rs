//! What goes into the board and comes out of it.

use std::sync::Arc;
use std::time::Duration;

use mc_client::types::Delivery;
use retry::Backoff;
use tokio::time::Instant;

use crate::classify::Verdict;

/// What the settings say about patience.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Sessions that are worked on at a time.
    pub(crate) concurrency: usize,
    /// Counted failures until a notification is dead.
    pub(crate) max_attempts: u32,
    /// The waits after failures.
    pub(crate) backoff: Backoff,
}

/// The next thing to do for a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send it to the daemon.
    Forward,
    /// Tell the backend that it was delivered.
    Acknowledge,
    /// Tell the backend that it is dead, and why.
    Bury(String),
}

/// A step that a worker is to take.
#[derive(Debug)]
pub(crate) struct Job {
    /// The notification.
    pub(crate) delivery: Arc<Delivery>,
    /// What to do.
    pub(crate) step: Step,
    /// Counted failures so far.
    pub(crate) attempts: u32,
    pub(super) started: Instant,
    pub(super) probe: bool,
}

/// What the backend said to an acknowledgement or a report.
#[derive(Debug)]
pub(crate) enum Told {
    /// It knows.
    Done,
    /// It could not be told now.
    Later {
        /// Why.
        error: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// It will not be told this.
    Never(String),
}

/// How a job ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Of a forward.
    Forwarded(Verdict),
    /// Of an acknowledgement or a report.
    Told(Told),
}

/// What happened that somebody may want to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Delivered and acknowledged.
    Delivered,
    /// A forward failed and will be tried again.
    Failed(String),
    /// A session is busy; tried again.
    Busy,
    /// Given up. `reported` says whether the backend took it out of its queue.
    Dead { error: String, reported: bool },
    /// The backend could not be told; tried again.
    NotTold(String),
    /// Delivered, but the backend refuses to hear of it.
    NeverTold(String),
    /// The daemon is away.
    OutageBegan(String),
    /// Still away.
    OutageGoesOn,
    /// The daemon answers again.
    OutageOver,
}
