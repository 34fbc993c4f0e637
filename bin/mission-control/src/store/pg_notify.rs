//! Instances on one PostgreSQL server wake each other's event streams with `NOTIFY`.
//!
//! A `NOTIFY` carries no event: those are in the events table. So one `NOTIFY` covers all writes since
//! the last one, none is sent inside a write's transaction, and a lost one delays a stream by
//! [`POLL_INTERVAL`] at most.

use std::convert::Infallible;
use std::time::Duration;

use retry::Backoff;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgListener;

use super::Store;

/// The channel.
const CHANNEL: &str = "wombat_mission_control";

/// The least time between two `NOTIFY`s of an instance.
const MIN_INTERVAL: Duration = Duration::from_millis(5);

/// How often an instance looks for events that no `NOTIFY` announced.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Between two attempts to listen again.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));

impl Store {
    /// Notifies the other instances of writes and listens for theirs, as long as it is polled. On a
    /// file there are no others.
    pub(crate) async fn sync_instances(&self) -> Infallible {
        let Some(url) = &self.shared else { return std::future::pending().await };
        tokio::select! {
            never = self.notify_others() => never,
            never = self.follow_others(url) => never,
        }
    }

    async fn notify_others(&self) -> Infallible {
        let mut written = self.written.subscribe();
        loop {
            // The store holds the sender, so that it is never gone.
            let _changed = written.changed().await;
            let sent = sqlx::query("SELECT 1 FROM pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(&*self.instance)
                .execute(&self.reader)
                .await;
            if let Err(error) = sent {
                tracing::debug!(%error, "NOTIFY failed; other instances see the write when they poll");
            }
            tokio::time::sleep(MIN_INTERVAL).await;
        }
    }

    async fn follow_others(&self, url: &SecretString) -> Infallible {
        loop {
            let Err(error) = self.listen(url).await;
            tracing::warn!(%error, "LISTEN connection failed; retrying");
            tokio::time::sleep(BACKOFF.delay(1)).await;
            self.changed.send_replace(());
        }
    }

    async fn listen(&self, url: &SecretString) -> Result<Infallible, sqlx::Error> {
        let mut listener = PgListener::connect(url.expose_secret()).await?;
        listener.listen(CHANNEL).await?;
        // Covers what was written before LISTEN.
        self.changed.send_replace(());
        let mut seen = 0;
        loop {
            tokio::select! {
                received = listener.try_recv() => match received? {
                    Some(notification) if notification.payload() == &*self.instance => {}
                    // `None`: the connection was lost and re-established.
                    Some(_) | None => { self.changed.send_replace(()); }
                },
                () = tokio::time::sleep(POLL_INTERVAL) => {
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
