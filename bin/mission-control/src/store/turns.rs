//! Turns to write. Writes run one after another, each seeing all before it; those that queue behind one
//! another share a transaction, and with it the one `fsync` after which all of them are answered.
//!
//! - Each write runs behind a savepoint. One that is given up, because it was refused or its caller went
//!   away, is rolled back to there, and its neighbours stand.
//! - What a transaction needs besides the statements of its writes runs in tasks of its own: a caller who
//!   goes away leaves nothing half done.
//! - Nobody waits for more writes to come: a transaction is committed as soon as none waits for its turn,
//!   or it is full.
//! - What was refused because of a write that is not committed yet is owed ([`super::owed`]).

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, Error, SqlSafeStr as _, SqlStr, Transaction,
};
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard, watch};

use super::file::OpenFile;
use super::outcome::{Outcome, undone, unknown};
use super::owed;
use super::postgres::health::Health;

/// The timeout of a turn; after it the caller is told to retry.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most writes of a transaction. PostgreSQL keeps track of 64 subtransactions at little cost.
const MOST: u32 = 64;

/// For how long writes may join a transaction: other instances wait for it, and who wrote first does.
const OPEN_FOR: Duration = Duration::from_millis(25);

const SAVE: &str = "SAVEPOINT one";

/// Keeps what a write did, and begins the next one.
const KEEP_AND_SAVE: &str = "RELEASE SAVEPOINT one; SAVEPOINT one";

/// Fails where the database has ended the transaction, or would roll it back instead of committing it.
const KEEP: &str = "RELEASE SAVEPOINT one";

/// Undoes what a write did; the next one may run behind the same savepoint.
const UNDO: &str = "ROLLBACK TO SAVEPOINT one";

/// Who writes when.
#[derive(Debug)]
pub(super) struct Turns {
    pool: AnyPool,
    /// What begins a transaction and its first write.
    begin: SqlStr,
    /// The transaction that writes share at present.
    lane: Arc<Mutex<Option<Group>>>,
    /// How many wait for their turn.
    waiting: AtomicUsize,
    told: Tellers,
}

/// Who is told how a transaction ended.
#[derive(Debug)]
pub(super) struct Tellers {
    /// Signals every write, by whichever instance.
    pub changed: watch::Sender<()>,
    /// Signals every write of this instance.
    pub written: watch::Sender<()>,
    /// The file, where the database is one.
    pub file: Option<Arc<OpenFile>>,
    /// Whether the server takes writes.
    pub server: Arc<Health>,
}

/// Writes that share a transaction.
#[derive(Debug)]
pub(super) struct Group {
    tx: Transaction<'static, Any>,
    begun: Instant,
    /// How many had their turn.
    writes: u32,
    /// How many of them wait for the commit.
    kept: u32,
    /// Whether the newest is one of these.
    is_kept: bool,
    /// Whether one of them made events.
    tells: bool,
    outcome: watch::Sender<Option<Outcome>>,
}

/// Who holds it writes.
type Lane = OwnedMutexGuard<Option<Group>>;

/// A time in which nobody writes.
pub(super) struct Alone(#[expect(dead_code, reason = "it is held, not read")] Lane);

/// A turn to write; what was written is undone unless it is kept.
pub(super) struct Turn {
    group: OwnedMappedMutexGuard<Option<Group>, Group>,
    is_kept: bool,
}

/// A place among those who wait.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Turns {
    /// Turns on a pool of one connection, in which `begin` begins a transaction that writes.
    pub(super) fn new(pool: AnyPool, begin: &SqlStr, told: Tellers) -> Self {
        let begin = AssertSqlSafe(format!("{}; {SAVE}", begin.as_str())).into_sql_str();
        Self { pool, begin, lane: Arc::default(), waiting: AtomicUsize::new(0), told }
    }

    /// Waits for the next turn.
    pub(super) async fn next(self: &Arc<Self>) -> Result<Turn, Error> {
        if let Some(file) = &self.told.file {
            file.check()?;
        }
        let lane = {
            let _waits = Waits::new(&self.waiting);
            let lane = Arc::clone(&self.lane).lock_owned();
            tokio::time::timeout(PATIENCE, lane).await.map_err(|_| Error::PoolTimedOut)?
        };
        if lane.is_none() {
            return self.turn(lane).await;
        }
        let ready = tokio::spawn(Arc::clone(self).ready(lane)).await;
        ready.unwrap_or_else(|_| Err(unknown()))
    }

    /// Ends what the write before has left. Not to be given up halfway.
    async fn ready(self: Arc<Self>, mut lane: Lane) -> Result<Turn, Error> {
        if lane.as_ref().is_some_and(Group::is_full) {
            self.end(lane.take()).await;
        }
        if let Some(group) = lane.as_mut()
            && let Err(error) = group.go_on().await
        {
            self.told.tell(lane.take(), Err(undone(error)));
        }
        self.turn(lane).await
    }

    /// Waits until nobody writes; nobody does until what this returns is dropped.
    pub(super) async fn alone(&self) -> Result<Alone, Error> {
        let lane = {
            let _waits = Waits::new(&self.waiting);
            let lane = Arc::clone(&self.lane).lock_owned();
            tokio::time::timeout(PATIENCE, lane).await.map_err(|_| Error::PoolTimedOut)?
        };
        let mut lane = lane;
        self.end(lane.take()).await;
        Ok(Alone(lane))
    }

    /// The turn; in a new transaction where there is none. One that nobody waits for any more is rolled back
    /// by the connection itself.
    async fn turn(self: &Arc<Self>, mut lane: Lane) -> Result<Turn, Error> {
        if lane.is_none() {
            let group = self.begin().await?;
            tokio::spawn(Arc::clone(self).end_soon(group.begun));
            *lane = Some(group);
        }
        let group = OwnedMutexGuard::try_map(lane, Option::as_mut).map_err(|_| unknown())?;
        Ok(Turn { group, is_kept: false })
    }

    async fn begin(&self) -> Result<Group, Error> {
        let begun = self.pool.begin_with(self.begin.clone()).await;
        if begun.is_err() {
            self.told.note(&begun);
            self.told.server.failed();
        }
        Ok(Group {
            tx: begun?,
            begun: Instant::now(),
            writes: 1,
            kept: 0,
            is_kept: false,
            tells: false,
            outcome: watch::Sender::new(None),
        })
    }

    /// Ends the transaction that began then once nobody waits for a turn in it.
    async fn end_soon(self: Arc<Self>, begun: Instant) {
        loop {
            // Those who wait by now come first.
            let mut lane = Arc::clone(&self.lane).lock_owned().await;
            let Some(group) = lane.as_ref().filter(|group| group.begun == begun) else { return };
            if group.is_full() || self.waiting.load(Ordering::SeqCst) == 0 {
                return self.end(lane.take()).await;
            }
        }
    }

    /// Commits what was kept, and tells how that went.
    async fn end(&self, group: Option<Group>) {
        let Some(mut group) = group else { return };
        if group.kept == 0 {
            // Nobody waits for it. A connection that cannot roll back is not used again.
            let _ended = group.tx.rollback().await;
            return;
        }
        let ended = match self.told.file.as_ref().map_or(Ok(()), |file| file.check()) {
            Ok(()) => group.settle(self.told.file.is_some()).await.map_err(undone),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            return self.told.tell(Some(group), Err(error));
        }
        let Group { tx, tells, outcome, .. } = group;
        self.told.tell_of(tells, &outcome, tx.commit().await);
    }
}

impl Tellers {
    fn note<T>(&self, outcome: &Result<T, Error>) {
        if let Some(file) = &self.file {
            file.note(outcome);
        }
    }

    /// Tells of a transaction that is given up with this error.
    fn tell(&self, group: Option<Group>, ended: Result<(), Error>) {
        let Some(Group { tx, kept, tells, outcome, .. }) = group else { return };
        drop(tx);
        if let (1.., Err(error)) = (kept, &ended) {
            tracing::warn!(%error, writes = kept, "a transaction was undone; its writes have to be sent again");
        }
        self.tell_of(tells, &outcome, ended);
    }

    fn tell_of(
        &self,
        tells: bool,
        outcome: &watch::Sender<Option<Outcome>>,
        ended: Result<(), Error>,
    ) {
        self.note(&ended);
        match ended {
            Ok(()) => {
                self.server.wrote();
                if tells {
                    self.changed.send_replace(());
                    self.written.send_replace(());
                }
                outcome.send_replace(Some(Outcome::Committed));
            }
            Err(error) => {
                self.server.failed();
                outcome.send_replace(Some(Outcome::of(error)));
            }
        }
    }
}

impl Group {
    fn is_full(&self) -> bool {
        self.writes >= MOST || self.begun.elapsed() >= OPEN_FOR
    }

    /// Lets the next write begin.
    async fn go_on(&mut self) -> Result<(), Error> {
        self.writes += 1;
        if !std::mem::take(&mut self.is_kept) {
            return self.undo().await;
        }
        sqlx::raw_sql(KEEP_AND_SAVE).execute(&mut *self.tx).await.map(drop)
    }

    /// Undoes what the last write did. Where its caller went away in the middle of a statement that the database
    /// refused, that error is still unread, and comes first.
    async fn undo(&mut self) -> Result<(), Error> {
        let done = match sqlx::raw_sql(UNDO).execute(&mut *self.tx).await {
            Err(Error::Database(_)) => sqlx::raw_sql(UNDO).execute(&mut *self.tx).await,
            done => done,
        };
        done.map(drop)
    }

    /// Ends the last write. SQLite itself tells with the commit that a transaction is no more.
    async fn settle(&mut self, is_file: bool) -> Result<(), Error> {
        match (self.is_kept, is_file) {
            (true, true) => Ok(()),
            (true, false) => sqlx::raw_sql(KEEP).execute(&mut *self.tx).await.map(drop),
            (false, _) => self.undo().await,
        }
    }
}

impl Turn {
    /// Keeps what was written, gives the turn on, and waits until it is committed. `tells`: whether it made
    /// events.
    pub(super) async fn keep(mut self, tells: bool) -> Result<(), Error> {
        self.is_kept = true;
        self.group.is_kept = true;
        self.group.kept += 1;
        self.group.tells |= tells;
        let outcome = self.group.outcome.subscribe();
        drop(self);
        Outcome::wait(outcome).await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_kept && self.group.kept > 0 {
            owed::note(self.group.outcome.subscribe());
        }
    }
}

impl Deref for Turn {
    type Target = AnyConnection;
    fn deref(&self) -> &AnyConnection {
        &self.group.tx
    }
}

impl DerefMut for Turn {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.group.tx
    }
}
