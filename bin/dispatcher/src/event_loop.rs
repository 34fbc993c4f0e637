//! The loop: lets the board decide, does what it says, and tells it what came of it.

mod handlers;
mod jobs;
mod polling;

use std::sync::Arc;
use std::time::Duration;

use mc_client::dispatch::Batch;
use mc_client::error::McError;
use retry::Backoff;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::daemon::Daemon;
use crate::error::DispatchError;
use crate::event_stream::{Announced, Heard, Listener};
use crate::log_dedup::Causes;
use crate::metrics::Metrics;
use crate::poll_schedule::Pace;
use crate::scheduler::{Board, Job, Limits, Outcome, Told as Answer};
use crate::settings::Settings;

/// More is not taken in: the backend keeps it as well as we do.
const MAX_WAITING: usize = 10_000;

/// How long acknowledgements that fail are tried again after the signal to stop.
const SETTLE_TIME: Duration = Duration::from_secs(10);

/// Between the beginnings of two polls, however much is told of.
const MIN_GAP: Duration = Duration::from_millis(5);

/// Calls with several acknowledgements at a time. While they are under way, the next ones gather.
const MAX_ACKNOWLEDGING: usize = 2;

/// How often in a row backend or daemon may be away before `--once` gives up: the next run of
/// cron tries again anyway.
const ONCE_FAILURES: u32 = 3;

/// What a task brings back.
#[derive(Debug)]
enum Done {
    Polled(Polled),
    Worked(Job, Outcome),
    Acknowledged(Vec<(Job, Answer)>),
}

/// A poll's answer, and what is known of the backend by then.
#[derive(Debug)]
struct Polled {
    answer: Result<Batch, McError>,
    batches: bool,
    leases: bool,
    /// To be listened to from now on.
    listener: Option<Listener>,
}

/// Counts at the last line of the log.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
struct Told {
    delivered: u64,
    failed: u64,
    dead: u64,
}

/// All that the loop holds.
pub(crate) struct Dispatcher {
    backend: Arc<Backend>,
    daemon: Arc<Daemon>,
    board: Board,
    pace: Pace,
    /// When the leases end that a dispatcher before this one may have left behind.
    orphans_at: Option<Instant>,
    polled_at: Option<Instant>,
    listener: Option<Listener>,
    /// Whether the stream of events is open.
    listening: bool,
    announced: Announced,
    /// Whether something was told of since the poll in progress began.
    woken: bool,
    /// Whether the backend takes several acknowledgements at once.
    batches: bool,
    to_acknowledge: Vec<Job>,
    acknowledging: usize,
    causes: Causes,
    metrics: Arc<Metrics>,
    tasks: JoinSet<Done>,
    poll: Option<AbortHandle>,
    poll_failures: u32,
    last_error: String,
    /// Whether the last poll brought something, so that there may be more.
    more: bool,
    /// Whether the last poll, begun with nothing to do, brought nothing.
    drained: bool,
    concurrency: usize,
    told: Told,
}

impl Dispatcher {
    /// A dispatcher with nothing to do yet, whose first poll is due at once.
    pub(crate) fn new(
        settings: &Settings,
        once: bool,
        backend: Backend,
        daemon: Daemon,
        metrics: Arc<Metrics>,
    ) -> Self {
        let now = Instant::now();
        let backoff = Backoff::new(settings.min_interval, settings.max_interval);
        let limits = Limits {
            concurrency: settings.concurrency,
            max_attempts: settings.max_attempts,
            backoff,
        };
        Self {
            backend: Arc::new(backend),
            daemon: Arc::new(daemon),
            board: Board::new(limits, now),
            pace: Pace::new(backoff, now),
            orphans_at: (!once).then(|| now + Duration::from_secs(settings.lease_seconds)),
            polled_at: None,
            listener: None,
            listening: false,
            announced: Announced::default(),
            woken: false,
            batches: false,
            to_acknowledge: Vec::new(),
            acknowledging: 0,
            causes: Causes::default(),
            metrics,
            tasks: JoinSet::new(),
            poll: None,
            poll_failures: 0,
            last_error: String::new(),
            more: false,
            drained: false,
            concurrency: settings.concurrency,
            told: Told::default(),
        }
    }

    /// Dispatches until `stop`, or with `once` until nothing waits.
    pub(crate) async fn run(
        mut self,
        once: bool,
        stop: CancellationToken,
    ) -> Result<(), DispatchError> {
        let mut stopping_since = None;
        let mut gave_up = None;
        loop {
            let now = Instant::now();
            let stopping = stopping_since.is_some();
            while let Some(job) = self.board.next(now, stopping) {
                self.work(job);
            }
            self.acknowledge();
            self.metrics.waiting.set(self.board.len());
            self.metrics.in_flight.set(self.board.in_flight());
            if let Some(since) = stopping_since {
                let settled = !self.board.is_settling() || now >= since + SETTLE_TIME;
                if self.tasks.is_empty() && settled {
                    break;
                }
            } else if once && self.is_hopeless() {
                gave_up = Some(self.last_error.clone());
                stopping_since = Some(now);
                self.stop_polling();
                continue;
            } else if once && self.poll.is_none() && self.drained && self.board.is_empty() {
                break;
            }
            let poll_at = if stopping { None } else { self.poll_at(now, once) };
            if poll_at.is_some_and(|at| at <= now) {
                self.start_poll(once);
                continue;
            }
            let settle_at = stopping_since.map(|since| since + SETTLE_TIME);
            let listener = self.listener.as_mut().filter(|_| !stopping);
            let wake = [poll_at, self.board.next_due(stopping), settle_at];
            let wake = wake.into_iter().flatten().filter(|at| *at > now).min();
            tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    tracing::info!(in_flight = self.board.in_flight(), "stopping");
                    stopping_since = Some(Instant::now());
                    self.stop_polling();
                }
                Some(done) = self.tasks.join_next() => match done {
                    Ok(Done::Polled(polled)) => self.polled(polled),
                    Ok(Done::Worked(job, outcome)) => self.worked(&job, outcome),
                    Ok(Done::Acknowledged(answers)) => self.acknowledged(answers),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => return Err(error.into()),
                },
                Some(heard) = next_of(listener) => self.heard(heard).await,
                () = sleep_until(wake) => {}
            }
        }
        self.tick(0, true);
        if self.board.is_settling() {
            tracing::warn!("not everything could be acknowledged; it will be delivered again");
        }
        gave_up.map_or(Ok(()), |error| Err(DispatchError::NotDrained(error)))
    }

    fn is_hopeless(&self) -> bool {
        self.poll_failures >= ONCE_FAILURES || self.board.outage_probes() >= ONCE_FAILURES
    }
}

/// For ever, when nobody listens.
async fn next_of(listener: Option<&mut Listener>) -> Option<Heard> {
    match listener {
        Some(listener) => listener.next().await,
        None => std::future::pending().await,
    }
}

/// For ever, when there is no time to wait for.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
