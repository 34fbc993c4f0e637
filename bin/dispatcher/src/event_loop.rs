//! The event loop: asks the scheduler for the next jobs, starts them, and hands their results back.

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
use crate::event_stream::{Announced, BackendEvent, Listener};
use crate::log_dedup::LogDedup;
use crate::metrics::Metrics;
use crate::poll_schedule::PollSchedule;
use crate::scheduler::{AckResult, Job, Limits, Outcome, Scheduler};
use crate::settings::Settings;

/// The most notifications in the scheduler; the backend keeps the others just as well.
const MAX_WAITING: usize = 10_000;

/// How long failing acknowledgements are retried after the signal to stop.
const ACK_GRACE: Duration = Duration::from_secs(10);

/// The shortest time between the starts of two polls, however many events there are.
const MIN_POLL_GAP: Duration = Duration::from_millis(5);

/// The most batches of acknowledgements in flight. Meanwhile the next batch fills.
const MAX_ACK_CALLS: usize = 2;

/// Failures in a row of the backend or the daemon after which `--once` gives up: cron starts it
/// again anyway.
const MAX_ONCE_FAILURES: u32 = 3;

/// What a finished task returns.
#[derive(Debug)]
enum TaskResult {
    Polled(PollResult),
    JobDone(Job, Outcome),
    AcksDone(Vec<(Job, AckResult)>),
}

/// A poll's answer, and what is known of the backend by then.
#[derive(Debug)]
struct PollResult {
    answer: Result<Batch, McError>,
    /// Whether the backend takes batches of acknowledgements.
    batches: bool,
    /// Whether the backend leases.
    leases: bool,
    /// The event stream, where it was opened.
    listener: Option<Listener>,
}

/// What happened since the last summary.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
struct Counts {
    delivered: u64,
    failed: u64,
    dead: u64,
}

/// The state of the event loop.
pub(crate) struct Dispatcher {
    backend: Arc<Backend>,
    daemon: Arc<Daemon>,
    scheduler: Scheduler,
    schedule: PollSchedule,
    /// When the leases have ended that a crashed dispatcher may have left: polled then, as no event
    /// announces it.
    orphaned_leases_end: Option<Instant>,
    polled_at: Option<Instant>,
    listener: Option<Listener>,
    /// Whether the event stream is open.
    streaming: bool,
    announced: Announced,
    /// Whether an event announced something since the current poll began.
    notified: bool,
    /// Whether the backend takes batches of acknowledgements.
    batches: bool,
    /// Acknowledgements for the next batch.
    ack_queue: Vec<Job>,
    /// Batches in flight.
    ack_calls: usize,
    log_dedup: LogDedup,
    metrics: Arc<Metrics>,
    tasks: JoinSet<TaskResult>,
    poll: Option<AbortHandle>,
    poll_failures: u32,
    last_error: String,
    /// Whether the last poll found something, or an event announced something.
    may_have_more: bool,
    /// Whether the last poll began with an empty scheduler and found nothing.
    drained: bool,
    concurrency: usize,
    counts: Counts,
}

impl Dispatcher {
    /// A dispatcher with nothing to do yet, whose first poll is due at once.
    pub(crate) fn new(
        settings: &Settings,
        once: bool,
        backend: Arc<Backend>,
        daemon: Arc<Daemon>,
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
            backend,
            daemon,
            scheduler: Scheduler::new(limits, now),
            schedule: PollSchedule::new(backoff, now),
            orphaned_leases_end: (!once).then(|| now + Duration::from_secs(settings.lease_seconds)),
            polled_at: None,
            listener: None,
            streaming: false,
            announced: Announced::default(),
            notified: false,
            batches: false,
            ack_queue: Vec::new(),
            ack_calls: 0,
            log_dedup: LogDedup::default(),
            metrics,
            tasks: JoinSet::new(),
            poll: None,
            poll_failures: 0,
            last_error: String::new(),
            may_have_more: false,
            drained: false,
            concurrency: settings.concurrency,
            counts: Counts::default(),
        }
    }

    /// Dispatches until `stop`, or with `once` until everything is delivered.
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
            while let Some(job) = self.scheduler.next(now, stopping) {
                self.start_job(job);
            }
            self.start_ack_calls();
            self.metrics.set_queue(self.scheduler.len(), self.scheduler.in_flight());
            if let Some(since) = stopping_since {
                let acked = !self.scheduler.has_pending_acks() || now >= since + ACK_GRACE;
                if self.tasks.is_empty() && acked {
                    break;
                }
            } else if once && self.should_give_up() {
                gave_up = Some(self.last_error.clone());
                stopping_since = Some(now);
                self.stop_polling();
                continue;
            } else if once && self.poll.is_none() && self.drained && self.scheduler.is_empty() {
                break;
            }
            let poll_at = if stopping { None } else { self.poll_at(now, once) };
            if poll_at.is_some_and(|at| at <= now) {
                self.start_poll(once);
                continue;
            }
            let grace_ends = stopping_since.map(|since| since + ACK_GRACE);
            let listener = self.listener.as_mut().filter(|_| !stopping);
            let wake = [poll_at, self.scheduler.next_due(stopping), grace_ends];
            let wake = wake.into_iter().flatten().filter(|at| *at > now).min();
            tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    tracing::info!(in_flight = self.scheduler.in_flight(), "stopping");
                    stopping_since = Some(Instant::now());
                    self.stop_polling();
                }
                Some(result) = self.tasks.join_next() => match result {
                    Ok(TaskResult::Polled(result)) => self.handle_poll_result(result),
                    Ok(TaskResult::JobDone(job, outcome)) => self.handle_job_result(&job, outcome),
                    Ok(TaskResult::AcksDone(results)) => self.handle_ack_results(results),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => return Err(error.into()),
                },
                Some(event) = next_event(listener) => self.handle_backend_event(event).await,
                () = sleep_until(wake) => {}
            }
        }
        self.log_summary(0, true);
        if self.scheduler.has_pending_acks() {
            tracing::warn!(
                "stopped with deliveries that are not acknowledged; they will be delivered again"
            );
        }
        gave_up.map_or(Ok(()), |error| Err(DispatchError::NotDrained(error)))
    }

    /// Whether `--once` gives up.
    fn should_give_up(&self) -> bool {
        self.poll_failures >= MAX_ONCE_FAILURES
            || self.scheduler.outage_probes() >= MAX_ONCE_FAILURES
    }
}

/// The next event of the stream; never, without a stream.
async fn next_event(listener: Option<&mut Listener>) -> Option<BackendEvent> {
    match listener {
        Some(listener) => listener.next().await,
        None => std::future::pending().await,
    }
}

/// Waits until a time; for ever, without one.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
