//! Instances on one PostgreSQL wake each other's listeners.
//!
//! A notification of the database is only a nudge: what happened is in the table of events. So one
//! nudge stands for all that was written meanwhile, none is made in a write's own transaction, and
//! one that is lost costs a listener no more than [`LOOK`].

use std::convert::Infallible;
use std::time::Duration;

use retry::Backoff;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgListener;

use super::Store;

/// The channel of nudges.
const CHANNEL: &str = "wombat_mission_control";

/// The least time between two nudges of an instance.
const COALESCED: Duration = Duration::from_millis(5);

/// How often an instance looks for events that nobody nudged it about.
const LOOK: Duration = Duration::from_secs(2);

/// Between two attempts to listen again, spread so that instances do not come back at the same
/// moment.
const BACKOFF: Backoff =
    Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).with_jitter(0.2);

impl Store {
    /// Nudges the other instances and is nudged by them, as long as it is polled. There are no
    /// others on a file.
    pub(crate) async fn sync_instances(&self) -> Infallible {
        let Some(url) = &self.shared else { return std::future::pending().await };
        tokio::select! {
            never = self.nudge() => never,
            never = self.be_nudged(url) => never,
        }
    }

    async fn nudge(&self) -> Infallible {
        let mut written = self.written.subscribe();
        loop {
            // The store holds the sender, so that it is never gone.
            let _changed = written.changed().await;
            let told = sqlx::query("SELECT 1 FROM pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(&*self.instance)
                .execute(&self.reader)
                .await;
            if let Err(error) = told {
                tracing::debug!(%error, "other instances could not be told of a write");
            }
            tokio::time::sleep(COALESCED).await;
        }
    }

    async fn be_nudged(&self, url: &SecretString) -> Infallible {
        loop {
            let Err(error) = self.listen(url).await;
            tracing::warn!(%error, "the database tells of no events for a moment");
            tokio::time::sleep(BACKOFF.delay(1)).await;
            self.changed.send_replace(());
        }
    }

    async fn listen(&self, url: &SecretString) -> Result<Infallible, sqlx::Error> {
        let mut listener = PgListener::connect(url.expose_secret()).await?;
        listener.listen(CHANNEL).await?;
        // What was written before we listened.
        self.changed.send_replace(());
        let mut seen = 0;
        loop {
            tokio::select! {
                nudge = listener.try_recv() => match nudge? {
                    Some(nudge) if nudge.payload() == &*self.instance => {}
                    // Without one the connection was lost and made anew.
                    Some(_) | None => { self.changed.send_replace(()); }
                },
                () = tokio::time::sleep(LOOK) => {
                    let last: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM events")
                        .fetch_one(&self.reader)
                        .await?;
                    if std::mem::replace(&mut seen, last) != last {
                        self.changed.send_replace(());
                    }
                }
            }
        }
    }
}
