//! Stores what a detached run tells, and tells its readers here once it is stored. On the way it learns
//! whether somebody has cancelled the run.

use std::sync::Arc;
use std::time::Duration;

use mc_client::client::AgentClient;
use mc_client::deltas::{MAX_BYTES, MAX_EVENTS, PostDeltas};
use mc_client::error::McError;
use mc_client::idempotency::RunKey;
use mc_client::runs::{PutRun, RunStatus};
use tokio::time::{Instant, sleep, sleep_until};

use crate::run::feed::Feed;
use crate::run::recording::Recording;
use crate::run::registry::RunHandle;
use crate::run::told::Told;

/// The least time between two posts: a backend takes twenty a second.
const PACE: Duration = Duration::from_millis(50);
/// How long a store that was away is left alone.
const AWAY: Duration = Duration::from_secs(1);
/// The timeout of a post: words wait for it.
const POST_TIMEOUT: Duration = Duration::from_secs(3);
/// How much of a post its events may take, bytes.
const BATCH_BYTES: usize = MAX_BYTES / 2;

/// Everything that one lease's recorder needs.
pub(super) struct Recorder {
    pub(super) recording: Arc<Recording>,
    pub(super) feed: Arc<Feed>,
    /// Under the run's lease.
    pub(super) client: AgentClient,
    pub(super) key: RunKey,
    pub(super) fence: i64,
    /// Whether the backend keeps events (feature `run_stream`).
    pub(super) keeps_events: bool,
    /// Whether the backend finds out by itself that a run's instance is dead (feature `orphans`); else the
    /// run shows that it lives.
    pub(super) finds_orphans: bool,
    /// How often it asks whether it is cancelled while it tells nothing.
    pub(super) heartbeat: Duration,
    pub(super) handle: Arc<RunHandle>,
}

/// What came of an attempt to store.
enum Stored {
    Yes {
        is_cancelled: bool,
    },
    /// Not now.
    Away,
    /// No more, in this lease.
    Never,
    /// Too many in too short a time.
    Slower(Duration),
    /// Another instance has the run.
    Lost,
}

impl Recorder {
    /// Works until it is dropped.
    pub(super) async fn run(mut self) {
        let mut last_post = Instant::now() - PACE;
        let mut away_until = Instant::now();
        let mut next_heartbeat = Instant::now() + self.heartbeat;
        loop {
            tokio::select! {
                () = self.recording.filled(), if self.recording.has_news() || Instant::now() >= away_until => {}
                () = self.news_while_away(), if Instant::now() < away_until => {}
                () = sleep_until(next_heartbeat) => {
                    next_heartbeat = Instant::now() + self.heartbeat;
                    if !self.beat().await {
                        return self.lose();
                    }
                    continue;
                }
            }
            let is_away = self.keeps_events && Instant::now() < away_until;
            sleep_until(last_post + PACE).await;
            last_post = Instant::now();
            if is_away {
                self.tell(self.recording.store_is_away());
                continue;
            }
            let batch = self.recording.next_batch(MAX_EVENTS, BATCH_BYTES);
            if batch.is_empty() {
                continue;
            }
            match self.store(&batch).await {
                Stored::Yes { is_cancelled } => {
                    if self.finds_orphans && self.keeps_events {
                        next_heartbeat = Instant::now() + self.heartbeat;
                    }
                    self.tell(self.recording.stored());
                    self.recording.told_until(batch.last().map_or(0, |told| told.id));
                    if is_cancelled {
                        self.handle.cancel();
                    }
                }
                Stored::Away => {
                    away_until = Instant::now() + AWAY;
                    self.tell(self.recording.store_is_away());
                }
                Stored::Never => {
                    self.keeps_events = false;
                    self.tell(self.recording.stored());
                }
                Stored::Slower(wait) => sleep(wait.min(AWAY)).await,
                Stored::Lost => return self.lose(),
            }
        }
    }

    /// Nobody is told what could not be stored, and readers here turn to the backend. The run's next
    /// write ends it.
    fn lose(&self) {
        self.feed.close();
        self.recording.told_until(i64::MAX);
    }

    /// Waits for something that readers have not been told.
    async fn news_while_away(&self) {
        while !self.recording.has_news() {
            sleep(PACE).await;
        }
    }

    fn tell(&self, news: Vec<Told>) {
        if let Some(last) = news.last().map(|told| told.id) {
            self.feed.tell(news);
            self.recording.told_until(last);
        }
    }

    async fn store(&self, batch: &[Told]) -> Stored {
        let Some(first) = batch.first().filter(|_| self.keeps_events) else {
            return Stored::Yes { is_cancelled: false };
        };
        self.post(first.id, batch).await
    }

    async fn post(&self, seq: i64, batch: &[Told]) -> Stored {
        let events = batch.iter().map(Told::to_kept).collect();
        let deltas = PostDeltas { fence: self.fence, seq, events };
        let client = self.client.clone().without_retries();
        let client = client.with_deadline(Instant::now() + POST_TIMEOUT);
        match client.post_deltas(self.key.as_str(), &deltas).await {
            Ok(note) => Stored::Yes { is_cancelled: note.cancel_requested },
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &McError) -> Stored {
        // What another instance has taken up may have come to its end there.
        if error.is_stale_fence() || error.is_run_finished() {
            return Stored::Lost;
        }
        if error.is_user_erased() {
            return Stored::Yes { is_cancelled: true };
        }
        if error.status() == Some(429) {
            return Stored::Slower(error.retry_after().unwrap_or(PACE));
        }
        if error.is_retryable() || error.is_in_between() {
            tracing::warn!(%error, "what the run tells cannot be stored now; readers elsewhere get whole steps");
            return Stored::Away;
        }
        tracing::warn!(%error, "what the run tells is not stored any more; readers elsewhere get whole steps");
        Stored::Never
    }

    /// Asks whether the run is cancelled, and shows that it lives. False where another instance has it.
    async fn beat(&self) -> bool {
        let is_cancelled = if self.keeps_events && self.finds_orphans {
            match self.post(self.recording.next_id(), &[]).await {
                Stored::Yes { is_cancelled } => is_cancelled,
                Stored::Lost => return false,
                Stored::Away | Stored::Never | Stored::Slower(_) => self.is_cancelled().await,
            }
        } else {
            self.is_cancelled().await
        };
        if is_cancelled {
            self.handle.cancel();
        }
        true
    }

    async fn is_cancelled(&self) -> bool {
        let client = self.client.clone().without_retries();
        let client = client.with_deadline(Instant::now() + POST_TIMEOUT);
        let note = client.put_run(self.key.as_str(), &PutRun::default()).await;
        match note {
            Ok(note) => note.cancel_requested || note.status == RunStatus::Cancelled.as_str(),
            Err(error) => error.is_user_erased(),
        }
    }
}
