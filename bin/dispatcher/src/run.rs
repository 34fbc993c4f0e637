//! The loop: lets the board decide, does what it says, and tells it what came of it.

use std::sync::Arc;
use std::time::Duration;

use mc_client::dispatch::Batch;
use mc_client::error::McError;
use reqwest::header::InvalidHeaderValue;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::board::{Board, Event, Job, Limits, Outcome, Step};
use crate::daemon::Daemon;
use crate::http;
use crate::metrics::Metrics;
use crate::pace::{Backoff, Pace};
use crate::settings::Settings;

/// More is not taken in: the backend keeps it as well as we do.
const MAX_WAITING: usize = 10_000;

/// How long acknowledgements that fail are tried again after the signal to stop.
const SETTLE_TIME: Duration = Duration::from_secs(10);

/// How often in a row backend or daemon may be away before `--once` gives up: the next run of
/// cron tries again anyway.
const ONCE_FAILURES: u32 = 3;

/// Why the dispatcher ended other than as it should.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// `--once` could not deliver everything.
    #[error("the queue is not drained: {0}")]
    NotDrained(String),
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// `AGENT_DAEMON_API_KEY` holds what a header cannot.
    #[error("AGENT_DAEMON_API_KEY cannot stand in a header")]
    DaemonKey(#[from] InvalidHeaderValue),
    /// No token for asking what the backend offers.
    #[error(transparent)]
    Backend(#[from] McError),
    /// A worker died. Its session would wait for ever, so a restart is better.
    #[error("a worker failed: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

/// Dispatches until `stop`, or with `once` until nothing waits. `listener` serves `/livez` and
/// `/metrics`.
pub async fn run(
    settings: &Settings,
    once: bool,
    listener: Option<TcpListener>,
    stop: CancellationToken,
) -> Result<(), DispatchError> {
    let http = service::http::client_builder().build()?;
    let metrics = Arc::new(Metrics::default());
    let served = CancellationToken::new();
    let _stop_serving = served.clone().drop_guard();
    if let Some(listener) = listener {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "serving /livez and /metrics");
        }
        tokio::spawn(http::serve(listener, Arc::clone(&metrics), served));
    }
    let now = Instant::now();
    let backoff = Backoff { min: settings.min_interval, max: settings.max_interval };
    let limits =
        Limits { concurrency: settings.concurrency, max_attempts: settings.max_attempts, backoff };
    let dispatcher = Dispatcher {
        backend: Arc::new(Backend::new(settings, http.clone())?),
        daemon: Arc::new(Daemon::new(settings, http)?),
        board: Board::new(limits, now),
        pace: Pace::new(backoff, now),
        metrics,
        tasks: JoinSet::new(),
        poll: None,
        poll_failures: 0,
        last_error: String::new(),
        more: false,
        drained: false,
        malformed: 0,
        told: Told::default(),
    };
    tracing::info!(
        backend = settings.backend_url,
        daemon = settings.daemon_url,
        concurrency = settings.concurrency,
        "dispatching"
    );
    dispatcher.run(once, stop).await
}

/// What a task brings back.
#[derive(Debug)]
enum Done {
    Polled(Result<Batch, McError>),
    Worked(Job, Outcome),
}

/// Counts at the last line of the log.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
struct Told {
    delivered: u64,
    failed: u64,
    dead: u64,
}

struct Dispatcher {
    backend: Arc<Backend>,
    daemon: Arc<Daemon>,
    board: Board,
    pace: Pace,
    metrics: Arc<Metrics>,
    tasks: JoinSet<Done>,
    poll: Option<AbortHandle>,
    poll_failures: u32,
    last_error: String,
    /// Whether the last poll brought something, so that there may be more.
    more: bool,
    /// Whether the last poll, begun with nothing to do, brought nothing.
    drained: bool,
    malformed: usize,
    told: Told,
}

impl Dispatcher {
    async fn run(mut self, once: bool, stop: CancellationToken) -> Result<(), DispatchError> {
        let mut stopping_since = None;
        let mut gave_up = None;
        loop {
            let now = Instant::now();
            let stopping = stopping_since.is_some();
            while let Some(job) = self.board.next(now, stopping) {
                self.work(job);
            }
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
            let poll_at = if stopping { None } else { self.poll_at(now) };
            if poll_at.is_some_and(|at| at <= now) {
                self.start_poll();
                continue;
            }
            let settle_at = stopping_since.map(|since| since + SETTLE_TIME);
            let wake = [poll_at, self.board.next_due(stopping), settle_at];
            let wake = wake.into_iter().flatten().filter(|at| *at > now).min();
            tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    tracing::info!(in_flight = self.board.in_flight(), "stopping");
                    stopping_since = Some(Instant::now());
                    self.stop_polling();
                }
                Some(done) = self.tasks.join_next() => match done {
                    Ok(Done::Polled(answer)) => self.polled(answer),
                    Ok(Done::Worked(job, outcome)) => self.worked(&job, outcome),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => return Err(error.into()),
                },
                () = sleep_until(wake) => {}
            }
        }
        self.tick(0, true);
        if self.board.is_settling() {
            tracing::warn!("not everything could be acknowledged; it will be delivered again");
        }
        gave_up.map_or(Ok(()), |error| Err(DispatchError::NotDrained(error)))
    }

    /// When to poll next; not while a poll is under way, nor when what it brought would only wait.
    fn poll_at(&self, now: Instant) -> Option<Instant> {
        let held = self.board.outage_probes() > 0 && !self.board.is_empty();
        if self.poll.is_some() || held || self.board.len() >= MAX_WAITING {
            return None;
        }
        Some(if self.more && self.board.is_hungry() { now } else { self.pace.next() })
    }

    fn start_poll(&mut self) {
        self.board.poll_begins();
        self.drained = self.board.is_empty();
        let backend = Arc::clone(&self.backend);
        self.poll = Some(self.tasks.spawn(async move { Done::Polled(backend.poll().await) }));
    }

    fn stop_polling(&mut self) {
        if let Some(poll) = self.poll.take() {
            poll.abort();
        }
    }

    fn work(&mut self, job: Job) {
        let (backend, daemon) = (Arc::clone(&self.backend), Arc::clone(&self.daemon));
        self.tasks.spawn(async move {
            let outcome = match &job.step {
                Step::Forward => Outcome::Forwarded(daemon.send(&job.delivery).await),
                Step::Acknowledge => Outcome::Told(backend.acknowledge(&job.delivery).await),
                Step::Bury(error) => {
                    Outcome::Told(backend.bury(&job.delivery, error, job.attempts).await)
                }
            };
            Done::Worked(job, outcome)
        });
    }

    fn polled(&mut self, answer: Result<Batch, McError>) {
        let now = Instant::now();
        self.poll = None;
        match answer {
            Ok(batch) => {
                self.metrics.polls.add(1);
                if self.poll_failures > 0 {
                    tracing::info!(failures = self.poll_failures, "the backend answers again");
                    self.poll_failures = 0;
                }
                if batch.malformed != self.malformed {
                    self.malformed = batch.malformed;
                    let count = batch.malformed;
                    tracing::warn!(count, "deliveries without id, user or session are left out");
                }
                let new = self.board.merge(batch.deliveries, now);
                self.metrics.received.add(new);
                self.more = new > 0;
                self.drained &= new == 0;
                self.pace.polled(new > 0 || !self.board.is_empty(), now);
                self.tick(new, false);
            }
            Err(error) => {
                self.metrics.polls_failed.add(1);
                self.more = false;
                self.drained = false;
                self.last_error = error.to_string();
                if self.poll_failures == 0 {
                    let hint = if error.is_auth() {
                        "check INTERNAL_API_TOKEN on both sides"
                    } else {
                        "check BACKEND_URL and the backend; polling goes on"
                    };
                    tracing::error!(%error, hint, "the backend cannot be polled");
                }
                self.poll_failures = self.poll_failures.saturating_add(1);
                self.pace.failed(error.retry_after(), now);
            }
        }
    }

    fn worked(&mut self, job: &Job, outcome: Outcome) {
        let notification = job.delivery.notification_id.as_str();
        let session = job.delivery.session_key.as_str();
        for event in self.board.finish(job, outcome, Instant::now()) {
            match event {
                Event::Delivered => {
                    self.metrics.delivered.add(1);
                    tracing::debug!(notification, session, "delivered");
                }
                Event::Failed(error) => {
                    self.metrics.failed.add(1);
                    let attempt = job.attempts.saturating_add(1);
                    tracing::warn!(notification, session, attempt, error, "trying again later");
                }
                Event::Busy => {
                    self.metrics.busy.add(1);
                    tracing::debug!(notification, session, "the session is busy");
                }
                Event::Dead { error, reported: true } => {
                    self.metrics.dead.add(1);
                    tracing::error!(notification, session, error, "given up: now a dead letter");
                }
                Event::Dead { error, reported: false } => {
                    self.metrics.dead.add(1);
                    tracing::error!(
                        notification,
                        session,
                        error,
                        "given up: skipped until restart"
                    );
                }
                Event::NotTold(error) => {
                    self.metrics.not_told.add(1);
                    tracing::warn!(notification, session, error, "the backend could not be told");
                }
                Event::NeverTold(error) => {
                    self.metrics.not_told.add(1);
                    tracing::error!(
                        notification,
                        session,
                        error,
                        "delivered, but the backend refuses the acknowledgement: skipped until restart"
                    );
                }
                Event::OutageBegan(error) => {
                    self.metrics.outages.add(1);
                    self.metrics.daemon_down.set(1);
                    tracing::error!(error, "the daemon does not take messages: everything waits");
                    self.last_error = error;
                }
                Event::OutageGoesOn => self.metrics.outages.add(1),
                Event::OutageOver => {
                    self.metrics.daemon_down.set(0);
                    tracing::info!("the daemon takes messages again");
                }
            }
        }
    }

    fn is_hopeless(&self) -> bool {
        self.poll_failures >= ONCE_FAILURES || self.board.outage_probes() >= ONCE_FAILURES
    }

    /// One line with what happened since the last one; at `debug` when nothing did.
    fn tick(&mut self, new: usize, last: bool) {
        let told = Told {
            delivered: self.metrics.delivered.get(),
            failed: self.metrics.failed.get(),
            dead: self.metrics.dead.get(),
        };
        let delivered = told.delivered - self.told.delivered;
        let failed = told.failed - self.told.failed;
        let dead = told.dead - self.told.dead;
        let (waiting, in_flight) = (self.board.len(), self.board.in_flight());
        if new > 0 || told != self.told || last {
            tracing::info!(new, delivered, failed, dead, waiting, in_flight, "tick");
        } else {
            tracing::debug!(waiting, in_flight, "tick");
        }
        self.told = told;
    }
}

/// For ever, when there is no time to wait for.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
