//! Detached runs whose instance died: leased from the backend, and posted to the daemon, where any instance
//! takes them up. Those that the backend ends instead are looked at there once, so that an instance tells
//! whoever waits for their end.
//!
//! The backend counts how often it gives a run out without a new step. So a daemon that is away or busy is
//! asked again under the same lease, nothing is leased while it is known to be away, and what it did not
//! take is given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mc_client::error::McError;
use mc_client::orphans::{Orphan, Orphans as Found};
use retry::Backoff;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::{Backend, ORPHAN_LEASE};
use crate::classify::Verdict;
use crate::daemon::Daemon;
use crate::log_dedup::LogDedup;
use crate::metrics::Metrics;
use crate::poll_schedule::delay;
use crate::settings::Settings;

/// The most runs that are held at a time.
const LIMIT: u32 = 100;

/// How much of a lease is left when the daemon is asked for the last time.
const MARGIN: Duration = Duration::from_secs(5);

/// Between two attempts for one run.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(8));

/// Between two looks whether a daemon that is away is back: a run is to be taken up soon after.
const OUTAGE: Duration = Duration::from_secs(5);

/// What became of a run.
enum Resumed {
    /// The daemon has it.
    Yes,
    /// It does not want it, or this very run breaks it.
    No(String),
    /// It takes the run not at present.
    Later(String),
}

/// What the daemon is to do with a run.
#[derive(Clone, Copy)]
enum Errand {
    /// It takes it up.
    TakeUp,
    /// It learns that it has ended.
    Look,
}

/// A run and what the daemon is to do with it, until the time of the last attempt.
type Job = (Orphan, Errand, Instant);

/// What became of it.
type Done = (Orphan, Errand, Resumed);

/// The way to the daemon, and whether that is away.
struct Link {
    daemon: Arc<Daemon>,
    posts: Semaphore,
    is_away: AtomicBool,
    stop: CancellationToken,
}

/// Lets the daemon take up the runs that no instance works on.
pub(crate) struct Orphans {
    backend: Arc<Backend>,
    link: Arc<Link>,
    metrics: Arc<Metrics>,
    interval: Duration,
    log_dedup: LogDedup,
    /// What was leased and not taken.
    returned: Vec<Orphan>,
    /// What has ended, and no instance has looked at.
    ended: Vec<Orphan>,
}

impl Orphans {
    /// Ready to look for such runs until `stop`.
    pub(crate) fn new(
        settings: &Settings,
        backend: Arc<Backend>,
        daemon: Arc<Daemon>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Self {
        let posts = Semaphore::new(settings.concurrency);
        Self {
            backend,
            link: Arc::new(Link { daemon, posts, is_away: AtomicBool::new(false), stop }),
            metrics,
            interval: settings.orphans_interval,
            log_dedup: LogDedup::default(),
            returned: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Looks for such runs at intervals. One that has to wait holds up no other.
    pub(crate) async fn run(mut self) {
        let stop = self.link.stop.clone();
        let mut posts = JoinSet::new();
        let mut next = Instant::now() + self.interval;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(Ok(done)) = posts.join_next() => self.note(done),
                () = tokio::time::sleep_until(next) => {
                    for job in self.lease(posts.len()).await {
                        posts.spawn(post(Arc::clone(&self.link), job));
                    }
                    let is_away = self.link.is_away.load(Ordering::Relaxed);
                    let wait = if is_away { OUTAGE.max(self.interval) } else { self.interval };
                    next = Instant::now() + wait;
                }
            }
        }
        // What is being posted comes to its end.
        self.finish(posts).await;
    }

    /// Looks once, and waits for what becomes of what it finds.
    pub(crate) async fn once(&mut self) {
        let mut posts = JoinSet::new();
        for job in self.lease(0).await {
            posts.spawn(post(Arc::clone(&self.link), job));
        }
        self.finish(posts).await;
    }

    async fn finish(&mut self, mut posts: JoinSet<Done>) {
        while let Some(done) = posts.join_next().await {
            if let Ok(done) = done {
                self.note(done);
            }
        }
    }

    /// Runs to be posted; `held` are being posted already.
    async fn lease(&mut self, held: usize) -> Vec<Job> {
        let limit = LIMIT.saturating_sub(u32::try_from(held).unwrap_or(LIMIT));
        if limit == 0 || !self.backend.has_orphans().await {
            return Vec::new();
        }
        if self.link.is_away.load(Ordering::Relaxed)
            && let Err(error) = self.link.daemon.answers().await
        {
            tracing::debug!(%error, "the daemon is still unavailable; no run is leased");
            return Vec::new();
        }
        let last_try = Instant::now() + ORPHAN_LEASE.saturating_sub(MARGIN);
        // When the call fails, they just count as given out.
        let returned = std::mem::take(&mut self.returned);
        match self.backend.lease_orphans(limit, returned).await {
            Ok(Found { runs, ended }) => {
                self.log_dedup.reset("orphans");
                let ended = std::mem::take(&mut self.ended).into_iter().chain(ended);
                let ended = ended.map(|run| (run, Errand::Look, last_try));
                let runs = runs.into_iter().map(|run| (run, Errand::TakeUp, last_try));
                runs.chain(ended).collect()
            }
            Err(error) => {
                self.lease_failed(&error);
                Vec::new()
            }
        }
    }

    fn lease_failed(&mut self, error: &McError) {
        let text = error.to_string();
        if self.log_dedup.should_log("orphans", &text, Instant::now()) {
            tracing::warn!(%error, "the backend gives out no runs to take up; asking again");
        }
    }

    /// Notes what became of a run.
    fn note(&mut self, (run, errand, resumed): Done) {
        let (run_key, session) = (run.run_key.as_str(), run.session_key.as_str());
        if let Errand::Look = errand {
            match resumed {
                Resumed::Yes => tracing::info!(run_key, session, "the daemon knows how it ended"),
                Resumed::Later(_) if self.ended.len() < LIMIT as usize => self.ended.push(run),
                Resumed::No(error) | Resumed::Later(error) => {
                    tracing::warn!(
                        run_key,
                        session,
                        error,
                        "the daemon does not know how it ended"
                    );
                }
            }
            return;
        }
        match resumed {
            Resumed::Yes => {
                self.metrics.resumed.increment(1);
                tracing::info!(run_key, session, attempt = run.attempts, "run taken up again");
            }
            Resumed::No(error) => {
                let attempt = run.attempts;
                tracing::warn!(run_key, session, attempt, error, "run not taken up");
            }
            Resumed::Later(error) => {
                if self.log_dedup.should_log("resume", &error, Instant::now()) {
                    tracing::error!(run_key, session, error, "no daemon takes the run up");
                }
                self.returned.push(run);
            }
        }
    }
}

/// Posts a run to the daemon; again while that is away, busy or full, as long as the lease lasts.
async fn post(link: Arc<Link>, (run, errand, last_try): Job) -> Done {
    let resumed = try_until(&link, &run, errand, last_try).await;
    (run, errand, resumed)
}

async fn try_until(link: &Link, run: &Orphan, errand: Errand, last_try: Instant) -> Resumed {
    let mut failures = 0;
    loop {
        let verdict = {
            let _permit = link.posts.acquire().await;
            // Others may have taken all its time.
            if Instant::now() > last_try || link.stop.is_cancelled() {
                return Resumed::Later("the daemon is busy with others".to_owned());
            }
            match errand {
                Errand::TakeUp => link.daemon.resume(run).await,
                Errand::Look => link.daemon.look_at(run).await,
            }
        };
        let is_away = matches!(verdict, Verdict::Outage { .. });
        link.is_away.store(is_away, Ordering::Relaxed);
        let (error, retry_after) = match verdict {
            Verdict::Delivered => return Resumed::Yes,
            Verdict::Rejected(error) | Verdict::Failed { error, .. } => {
                return Resumed::No(error);
            }
            Verdict::Busy { retry_after } => ("its session is busy".to_owned(), retry_after),
            Verdict::Outage { error, retry_after } => (error, retry_after),
        };
        failures += 1;
        let again = Instant::now() + delay(RETRY, failures, retry_after);
        if again > last_try {
            return Resumed::Later(error);
        }
        tokio::select! {
            () = link.stop.cancelled() => return Resumed::Later(error),
            () = tokio::time::sleep_until(again) => {}
        }
    }
}
