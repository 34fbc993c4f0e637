//! Whether the server takes writes. Anybody may ask: many questions are one of the connection that
//! writes.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{AnyConnection, AnyPool, Error};

use super::session::takes_no_writes;
use crate::store::error::{RETRY_AFTER, StoreError};

/// How long an answer, or a write, is taken for true.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// How long the connection that writes is waited for, and then the server's answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whoever holds the connection that writes is taken to write, if a write was committed so lately.
const LATELY: Duration = Duration::from_secs(10);

/// The default of new transactions, whatever somebody set in a session that a pooler shares.
const TAKES_NONE: &str = "SELECT pg_is_in_recovery() OR \
    (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_read_only') = 'on'";

/// When the server was started: no two have it in common.
const STARTED: &str = "SELECT extract(epoch FROM pg_postmaster_start_time())::text";

/// What is known of the server.
#[derive(Debug, Default)]
pub(in crate::store) struct Health {
    known: Mutex<Known>,
    /// Held while asking, so that many callers ask once.
    asking: tokio::sync::Mutex<()>,
    place: Mutex<Place>,
}

/// Which server the connection that writes leads to.
#[derive(Debug, Default)]
struct Place {
    /// The time at which it was started.
    started: Option<String>,
    /// When it was first another one than before.
    moved: Option<Instant>,
}

#[derive(Debug, Default)]
struct Known {
    /// The last committed write.
    wrote: Option<Instant>,
    answered: Option<(Instant, Answer)>,
}

#[derive(Debug, Clone)]
enum Answer {
    Writes,
    ReadOnly,
    Failed(String),
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        match takes_no_writes(&error) {
            true => Self::ReadOnly,
            false => Self::Failed(error.to_string()),
        }
    }
}

impl Answer {
    fn outcome(self) -> Result<(), StoreError> {
        match self {
            Self::Writes => Ok(()),
            Self::ReadOnly => Err(StoreError::ReadOnly { retry_after: RETRY_AFTER }),
            Self::Failed(why) => Err(Error::Io(io::Error::other(why)).into()),
        }
    }
}

impl Health {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a write was committed.
    pub(in crate::store) fn wrote(&self) {
        self.known().wrote = Some(Instant::now());
    }

    /// Forgets what was known: a write could not begin, or not be committed.
    pub(in crate::store) fn failed(&self) {
        *self.known() = Known::default();
    }

    fn wrote_within(&self, time: Duration) -> bool {
        self.known().wrote.is_some_and(|at| at.elapsed() < time)
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers to which server a new connection that writes leads; one that breaks at once is of no
    /// interest.
    pub(super) async fn note_server(&self, connection: &mut AnyConnection) {
        let asked = sqlx::query_scalar(STARTED).persistent(false).fetch_one(connection).await;
        let Ok(started) = asked else { return };
        let mut place = self.place();
        if place.started.as_ref().is_some_and(|before| *before != started) {
            place.moved = Some(Instant::now());
        }
        place.started = Some(started);
    }

    /// When the connection that writes first led to another server than before.
    pub(in crate::store) fn moved(&self) -> Option<Instant> {
        self.place().moved
    }

    /// Whether a connection of that age may lead to an earlier server.
    pub(super) fn is_outdated(&self, age: Duration) -> bool {
        self.moved().is_some_and(|moved| moved.elapsed() <= age)
    }

    /// Fails when the server takes no writes: it became a standby, or read-only by default, or does not
    /// answer.
    pub(in crate::store) async fn ask(&self, writer: &AnyPool) -> Result<(), StoreError> {
        let _one = self.asking.lock().await;
        let answered = self.known().answered.clone();
        if let Some((_, answer)) = answered.filter(|(at, _)| at.elapsed() < KNOWN_FOR) {
            return answer.outcome();
        }
        let answer = self.probe(writer).await;
        self.known().answered = Some((Instant::now(), answer.clone()));
        answer.outcome()
    }

    async fn probe(&self, writer: &AnyPool) -> Answer {
        let mut connection = match tokio::time::timeout(PATIENCE, writer.acquire()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return error.into(),
            Err(_) if self.wrote_within(LATELY) => return Answer::Writes,
            Err(_) => {
                let why =
                    "no connection that writes could be had, and no write was committed lately";
                return Answer::Failed(why.to_owned());
            }
        };
        let asked = sqlx::query_scalar(TAKES_NONE).fetch_one(&mut *connection);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(true)) => {
                // By now the address may lead to another server.
                connection.close_on_drop();
                Answer::ReadOnly
            }
            Ok(Ok(false)) => Answer::Writes,
            Ok(Err(error)) => error.into(),
            Err(_) => Answer::Failed("the server did not answer in time".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::install_drivers_once;

    /// A pool of one connection.
    fn pool() -> AnyPool {
        install_drivers_once();
        let pool = sqlx::any::AnyPoolOptions::new().max_connections(1);
        pool.connect_lazy("sqlite::memory:").unwrap()
    }

    #[tokio::test]
    async fn who_holds_the_connection_is_taken_to_write_only_if_a_write_was_committed() {
        let pool = pool();
        let _writes = pool.acquire().await.unwrap();
        let held = Health::default();
        let (first, second) = tokio::join!(held.ask(&pool), held.ask(&pool));
        for answer in [first, second] {
            assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
        }
        let busy = Health::default();
        busy.wrote();
        assert!(busy.ask(&pool).await.is_ok());
        busy.failed();
        assert!(busy.ask(&pool).await.is_err());
    }

    #[test]
    fn connections_from_before_a_move_are_outdated() {
        let health = Health::default();
        let minute = Duration::from_secs(60);
        assert!(!health.is_outdated(minute));
        health.place().moved = Some(Instant::now());
        assert!(health.is_outdated(minute) && !health.is_outdated(Duration::ZERO));
    }

    #[tokio::test]
    async fn many_ask_once() {
        let health = Health::default();
        health.known().answered = Some((Instant::now(), Answer::ReadOnly));
        let answer = health.ask(&pool()).await;
        assert!(matches!(answer, Err(StoreError::ReadOnly { .. })), "{answer:?}");
    }
}
