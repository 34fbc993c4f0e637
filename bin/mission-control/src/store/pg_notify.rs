//! Instances on one PostgreSQL database wake each other's event streams with `NOTIFY`. Where nobody can
//! `LISTEN`, because a pooler is between, they look at intervals.
//!
//! A `NOTIFY` carries no event: those are in the events table. So one `NOTIFY` covers all writes since
//! the last one, none is sent inside a write's transaction, and a lost one delays a stream by
//! [`POLL_INTERVAL`] at most.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use retry::Backoff;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Error, Executor as _};

use super::Store;
use super::database::{Address, Peers};

/// The channel of the schema `public`; those of others have a hash of the schema's name behind it, as
/// channels are a database's and their names are short.
const CHANNEL: &str = "wombat_mission_control";

/// What stands between an instance's id and the rows of runs that told something.
const TOLD: &str = " told ";

/// How many runs one `NOTIFY` names: its text has less than 8,000 bytes.
const RUNS_PER_NOTIFY: usize = 300;

/// How many polls without a notification until the connection is asked whether it still stands.
const POLLS_PER_CHECK: u32 = 15;

/// How long its answers may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

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
        let Some(peers) = &self.peers else { return std::future::pending().await };
        let channel = channel(&peers.schema);
        tokio::select! {
            never = self.notify_others(&channel) => never,
            never = self.tell_others(&channel) => never,
            never = self.follow_others(peers, &channel) => never,
        }
    }

    async fn notify_others(&self, channel: &str) -> Infallible {
        let mut written = self.written.subscribe();
        loop {
            // The store holds the sender, so that it is never gone.
            let _changed = written.changed().await;
            self.notify(channel, &self.instance).await;
            tokio::time::sleep(MIN_INTERVAL).await;
        }
    }

    /// Tells the other instances which runs told something.
    async fn tell_others(&self, channel: &str) -> Infallible {
        loop {
            let runs: Vec<_> = self.told.to_tell().await.iter().map(ToString::to_string).collect();
            for some in runs.chunks(RUNS_PER_NOTIFY) {
                let text = format!("{}{TOLD}{}", self.instance, some.join(" "));
                self.notify(channel, &text).await;
            }
            tokio::time::sleep(MIN_INTERVAL).await;
        }
    }

    async fn notify(&self, channel: &str, text: &str) {
        let sent = sqlx::query("SELECT 1 FROM pg_notify($1, $2)")
            .bind(channel)
            .bind(text)
            .execute(&self.reader)
            .await;
        if let Err(error) = sent {
            tracing::debug!(%error, "NOTIFY failed; other instances see the write when they poll");
        }
    }

    /// What another instance says: that it wrote, or which runs told something.
    fn hear(&self, text: &str) {
        match text.split_once(TOLD) {
            Some((instance, _)) if instance == &*self.instance => {}
            Some((_, runs)) => runs.split(' ').for_each(|run| self.told.tell(run)),
            None if text == &*self.instance => {}
            None => {
                self.changed.send_replace(());
            }
        }
    }

    async fn follow_others(&self, peers: &Peers, channel: &str) -> Infallible {
        let mut seen = 0;
        loop {
            let Err(error) = match &peers.listen {
                Some(address) => self.listen(address, channel, &mut seen).await,
                None => self.poll(&mut seen).await,
            };
            tracing::warn!(%error, "LISTEN connection failed; retrying");
            tokio::time::sleep(BACKOFF.delay(1)).await;
            self.changed.send_replace(());
        }
    }

    async fn listen(
        &self,
        address: &Address,
        channel: &str,
        seen: &mut i64,
    ) -> Result<Infallible, Error> {
        let moved = self.server.moved();
        let mut listener = connect(address).await?;
        in_time(listener.listen(channel)).await?;
        // Covers what was written before LISTEN.
        self.changed.send_replace(());
        let mut polls = 0;
        loop {
            tokio::select! {
                received = listener.try_recv() => match received? {
                    Some(notification) => self.hear(notification.payload()),
                    // The connection was lost and re-established.
                    None => { self.changed.send_replace(()); }
                },
                () = tokio::time::sleep(POLL_INTERVAL) => {
                    self.look(seen).await?;
                    polls += 1;
                    // What is said on the server from before is not what is written now.
                    if self.server.moved() != moved {
                        return Err(Error::Io(io::Error::other("the address leads to another server")));
                    }
                }
            }
            // A connection that nothing answers on any more looks like one on which nothing is said.
            if polls == POLLS_PER_CHECK {
                polls = 0;
                in_time(listener.execute("SELECT pg_listening_channels()")).await?;
            }
        }
    }

    /// Looks for events at intervals.
    async fn poll(&self, seen: &mut i64) -> Result<Infallible, Error> {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            self.look(seen).await?;
        }
    }

    /// Signals a write that nobody announced.
    async fn look(&self, seen: &mut i64) -> Result<(), Error> {
        let last: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM events")
            .fetch_one(&self.reader)
            .await?;
        if std::mem::replace(seen, last) != last {
            self.changed.send_replace(());
        }
        Ok(())
    }
}

/// Waits no longer for an answer than that.
async fn in_time<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let answered = tokio::time::timeout(CHECK_TIMEOUT, answer).await;
    answered.unwrap_or_else(|_| Err(Error::Io(io::ErrorKind::TimedOut.into())))
}

/// The channel of a schema's instances.
fn channel(schema: &str) -> String {
    match schema {
        "public" => CHANNEL.to_owned(),
        schema => {
            let hash = Sha256::digest(schema);
            let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("{CHANNEL}_{hash}")
        }
    }
}

/// A connection for `LISTEN`, which is kept for good.
async fn connect(address: &Address) -> Result<PgListener, Error> {
    let url = address.url().parse::<PgConnectOptions>()?;
    let options = url
        .application_name("wombat-mission-control")
        .options([("idle_session_timeout", "0"), ("statement_timeout", "30s")]);
    let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = pool.acquire_timeout(CHECK_TIMEOUT).connect_with(options).await?;
    PgListener::connect_with(&pool).await
}
