//! Detached runs whose instance died: leased from the backend, and posted to the daemon, where any instance
//! takes them up.
//!
//! The backend counts how often it gives a run out without a new step. So a daemon that is away or busy is
//! asked again under the same lease, and nothing is leased while it is known to be away.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use mc_client::error::McError;
use mc_client::orphans::Orphan;
use retry::Backoff;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::{Backend, ORPHAN_LEASE};
use crate::classify::Verdict;
use crate::daemon::Daemon;
use crate::log_dedup::LogDedup;
use crate::metrics::Metrics;
use crate::poll_schedule::delay;
use crate::settings::Settings;

/// The most runs of one lease.
const LIMIT: u32 = 100;

/// How much of a lease is left when the daemon is asked for the last time.
const MARGIN: Duration = Duration::from_secs(5);

/// Between two attempts for one run.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(8));

/// Between two leases while the daemon takes no runs up.
const OUTAGE: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(300));

/// What became of a run.
enum Resumed {
    /// The daemon has it.
    Yes,
    /// It does not want it, or this very run breaks it.
    No(String),
    /// It takes nothing at present.
    Unavailable(String),
}

/// Lets the daemon take up the runs that no instance works on.
pub(crate) struct Orphans {
    backend: Arc<Backend>,
    daemon: Arc<Daemon>,
    metrics: Arc<Metrics>,
    interval: Duration,
    concurrency: usize,
    log_dedup: LogDedup,
    /// Rounds in a row in which the daemon took nothing.
    outages: u32,
}

impl Orphans {
    pub(crate) fn new(
        settings: &Settings,
        backend: Arc<Backend>,
        daemon: Arc<Daemon>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            backend,
            daemon,
            metrics,
            interval: settings.orphans_interval,
            concurrency: settings.concurrency,
            log_dedup: LogDedup::default(),
            outages: 0,
        }
    }

    /// Looks for such runs until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let wait = match self.outages {
                0 => self.interval,
                outages => delay(OUTAGE, outages, None).max(self.interval),
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            self.round(&stop).await;
        }
    }

    /// Looks once, where the backend has such runs at all.
    pub(crate) async fn round(&mut self, stop: &CancellationToken) {
        if !self.backend.has_orphans().await {
            return;
        }
        if self.outages > 0
            && let Err(error) = self.daemon.answers().await
        {
            tracing::debug!(%error, "the daemon is still unavailable; no run is leased");
            self.outages = self.outages.saturating_add(1);
            return;
        }
        let last_try = Instant::now() + ORPHAN_LEASE.saturating_sub(MARGIN);
        let runs = match self.backend.lease_orphans(LIMIT).await {
            Ok(runs) => runs,
            Err(error) => return self.lease_failed(&error),
        };
        self.log_dedup.reset("orphans");
        let daemon = &self.daemon;
        let resumed = futures::stream::iter(runs).map(|run| async move {
            let resumed = resume(daemon, &run, last_try, stop).await;
            (run, resumed)
        });
        let resumed: Vec<_> = resumed.buffer_unordered(self.concurrency).collect().await;
        let mut is_away = false;
        for (run, resumed) in resumed {
            let (run_key, session) = (run.run_key.as_str(), run.session_key.as_str());
            match resumed {
                Resumed::Yes => {
                    self.metrics.resumed.increment(1);
                    tracing::info!(run_key, session, attempt = run.attempts, "run taken up again");
                }
                Resumed::No(error) => {
                    let attempt = run.attempts;
                    tracing::warn!(run_key, session, attempt, error, "run not taken up");
                }
                Resumed::Unavailable(error) => {
                    is_away = true;
                    if self.log_dedup.should_log("resume", &error, Instant::now()) {
                        tracing::error!(run_key, session, error, "no daemon takes the run up");
                    }
                }
            }
        }
        self.outages = if is_away { self.outages.saturating_add(1) } else { 0 };
    }

    fn lease_failed(&mut self, error: &McError) {
        let text = error.to_string();
        if self.log_dedup.should_log("orphans", &text, Instant::now()) {
            tracing::warn!(%error, "the backend gives out no runs to take up; asking again");
        }
    }
}

/// Posts a run to the daemon; again while that is away, busy or full, as long as the lease lasts.
async fn resume(
    daemon: &Daemon,
    run: &Orphan,
    last_try: Instant,
    stop: &CancellationToken,
) -> Resumed {
    let mut failures = 0;
    loop {
        let (error, retry_after) = match daemon.resume(run).await {
            Verdict::Delivered => return Resumed::Yes,
            Verdict::Rejected(error) | Verdict::Failed { error, .. } => return Resumed::No(error),
            Verdict::Busy { retry_after } => ("its session is busy".to_owned(), retry_after),
            Verdict::Outage { error, retry_after } => (error, retry_after),
        };
        failures += 1;
        let again = Instant::now() + delay(RETRY, failures, retry_after);
        if again > last_try {
            return Resumed::Unavailable(error);
        }
        tokio::select! {
            () = stop.cancelled() => return Resumed::Unavailable(error),
            () = tokio::time::sleep_until(again) => {}
        }
    }
}
