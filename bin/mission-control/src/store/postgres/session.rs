//! Connections to PostgreSQL, as a driver below sqlx's `Any`.
//!
//! With a server itself a session has its settings from the start-up message, and statements stay
//! prepared. A pooler such as PgBouncer hands each transaction to another connection of the server,
//! which other applications use, too. Such a session is stateless: it sets nothing beyond a
//! transaction, prepares nothing by name, and runs each single statement in a transaction of its own.
//! Whichever it is, no wait for the server is without an end: an address that swallows packets costs a
//! connection, not the program.

mod options;
mod unused;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Once;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use futures::{FutureExt as _, TryStreamExt as _};
use sqlx::any::{AnyArguments, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{Connection as _, Either, Error, Executor as _, PgConnection, SqlStr};
use sqlx_core::any::AnyConnectionBackend;
use sqlx_core::any::driver::{AnyDriver, install_drivers};

use self::options::SessionOptions;
pub(super) use self::options::{any_options, of_primary, with_limit};
use crate::store::outcome;

/// The timeout of an answer to a ping, a `BEGIN` or a `ROLLBACK`; longer than a lock is waited for.
const SHORT: Duration = Duration::from_secs(8);

/// The timeout of a statement's next row; longer than the server's own.
const LONG: Duration = Duration::from_secs(35);

/// Lets `Any` connect by this driver, besides SQLite's and sqlx's own. Must be called before any
/// connection is made.
///
/// # Panics
/// When other drivers were installed.
#[expect(clippy::expect_used, reason = "a program that installs other drivers is wrongly written")]
pub fn install_drivers_once() {
    static ONCE: Once = Once::new();
    static DRIVERS: [AnyDriver; 3] = [
        sqlx::sqlite::any::DRIVER,
        sqlx::postgres::any::DRIVER,
        AnyDriver::without_migrate::<unused::Sessions>(),
    ];
    ONCE.call_once(|| install_drivers(&DRIVERS).expect("the first to install drivers"));
}

/// One connection.
pub(super) struct Session {
    inner: PgConnection,
    /// What begins the transaction of a single statement; such a session is stateless.
    alone: Option<SqlStr>,
    /// The timeout of a statement's next row.
    limit: Duration,
    use_of: Use,
    /// Whether a transaction is being begun; stays so when the caller goes away meanwhile.
    is_halfway: bool,
}

/// Whether a connection is of use; the pool closes it when not.
#[derive(Debug, Default)]
struct Use {
    /// The protocol's state is unknown.
    is_broken: bool,
    /// The server takes no writes: by now the same address may lead to one that does.
    is_left: bool,
}

impl Use {
    fn note<T>(&mut self, done: &Result<T, Error>) {
        self.is_broken |= done.as_ref().is_err_and(breaks);
        self.is_left |= done.as_ref().is_err_and(takes_no_writes);
    }
}

/// A server that only replays what another one writes.
#[derive(Debug, thiserror::Error)]
#[error("the server is a read-only standby")]
struct Standby;

/// A server that has said that it takes no writes.
#[derive(Debug, thiserror::Error)]
#[error("the server takes no writes; the connection to it is closed")]
struct Left;

/// Whether an error says that the server takes no writes: it became a standby, or read-only by default.
pub(in crate::store) fn takes_no_writes(error: &Error) -> bool {
    match error {
        Error::Io(error) => {
            outcome::within(error).is_some_and(|error| error.is::<Standby>() || error.is::<Left>())
        }
        // read_only_sql_transaction, and what a standby says of a lock.
        Error::Database(error) => matches!(error.code().as_deref(), Some("25006" | "55000")),
        _ => false,
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("is_stateless", &self.alone.is_some())
            .finish_non_exhaustive()
    }
}

/// Waits no longer than that.
async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(timed_out()))
}

fn timed_out() -> Error {
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time"))
}

/// Whether the connection is of no more use after that error.
fn breaks(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::Tls(_) | Error::Protocol(_))
}

type Rows<'c> = BoxStream<'c, Result<Either<AnyQueryResult, AnyRow>, Error>>;

/// A transaction of one statement, which is rolled back unless it was ended.
struct Single<'c>(&'c mut Session);

impl Drop for Single<'_> {
    fn drop(&mut self) {
        AnyConnectionBackend::start_rollback(&mut self.0.inner);
    }
}

impl Session {
    /// Fails when the connection is broken, or a caller went away while a transaction began: the
    /// server may stand in one that nobody knows of.
    fn check(&mut self) -> Result<(), Error> {
        self.use_of.is_broken |= self.is_halfway;
        match (self.use_of.is_broken, self.use_of.is_left) {
            (true, _) => Err(Error::Io(io::ErrorKind::BrokenPipe.into())),
            // Whoever meets it is told why it is of no use.
            (false, true) => Err(Error::Io(io::Error::other(Left))),
            (false, false) => Ok(()),
        }
    }

    /// Does something with the connection; a failure of it marks the connection as broken.
    async fn guarded<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.check()?;
        let done = within(limit, work(&mut self.inner)).await;
        self.use_of.note(&done);
        done
    }

    /// Begins a transaction by several statements at once. When one of them fails the server stands in
    /// a transaction that the connection does not know of.
    async fn begin_by(&mut self, statement: Option<SqlStr>) -> Result<(), Error> {
        self.check()?;
        self.is_halfway = true;
        let begin = AnyConnectionBackend::begin(&mut self.inner, statement);
        let begun = within(SHORT, begin).await;
        self.use_of.note(&begun);
        if begun.is_err() && !self.use_of.is_broken && self.get_transaction_depth() == 0 {
            self.use_of.is_broken |= within(SHORT, self.inner.execute("ROLLBACK")).await.is_err();
        }
        self.is_halfway = false;
        begun
    }

    /// Whether statements outside of a transaction need one.
    fn alone(&self) -> Option<SqlStr> {
        self.alone.clone().filter(|_| self.get_transaction_depth() == 0)
    }

    /// The rows of a statement in a transaction of its own, which ends with the last row.
    fn rows_alone(
        &mut self,
        begin: SqlStr,
        query: SqlStr,
        arguments: Option<AnyArguments>,
    ) -> Rows<'_> {
        sqlx_core::try_stream! {
            self.begin_by(Some(begin)).await?;
            let single = Single(self);
            {
                let mut rows = single.0.rows(query, false, arguments);
                while let Some(next) = rows.try_next().await? {
                    r#yield!(next);
                }
            }
            single.0.end(true).await
        }
        .boxed()
    }

    /// The rows of a statement.
    fn rows(
        &mut self,
        query: SqlStr,
        persistent: bool,
        arguments: Option<AnyArguments>,
    ) -> Rows<'_> {
        if let Err(error) = self.check() {
            return stream::once(std::future::ready(Err(error))).boxed();
        }
        let limit = self.limit;
        let Self { inner, use_of, .. } = self;
        let rows = AnyConnectionBackend::fetch_many(inner, query, persistent, arguments);
        stream::unfold((rows, use_of), move |(mut rows, use_of)| async move {
            let next = match tokio::time::timeout(limit, rows.next()).await {
                Ok(next) => next?,
                Err(_) => Err(timed_out()),
            };
            use_of.note(&next);
            Some((next, (rows, use_of)))
        })
        .take_while({
            // What follows a failure of the connection is not waited for.
            let mut has_failed = false;
            move |next| {
                let goes_on = !has_failed;
                has_failed |= next.is_err();
                std::future::ready(goes_on)
            }
        })
        .boxed()
    }

    async fn end(&mut self, commits: bool) -> Result<(), Error> {
        let end = async |inner: &mut PgConnection| match commits {
            true => AnyConnectionBackend::commit(inner).await,
            false => AnyConnectionBackend::rollback(inner).await,
        };
        self.guarded(self.limit, end).await
    }
}

impl AnyConnectionBackend for Session {
    fn name(&self) -> &str {
        "PostgreSQL"
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), Error>> {
        match self.use_of.is_broken || self.is_halfway {
            true => self.inner.close_hard().boxed(),
            false => within(SHORT, self.inner.close()).boxed(),
        }
    }

    fn close_hard(self: Box<Self>) -> BoxFuture<'static, Result<(), Error>> {
        match self.use_of.is_left {
            // Nothing is wrong with the connection itself.
            true => self.close(),
            false => within(SHORT, self.inner.close_hard()).boxed(),
        }
    }

    fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.guarded(SHORT, async |inner: &mut PgConnection| {
            AnyConnectionBackend::ping(inner).await
        })
        .boxed()
    }

    fn begin(&mut self, statement: Option<SqlStr>) -> BoxFuture<'_, Result<(), Error>> {
        let statement = statement.or_else(|| self.alone());
        self.begin_by(statement).boxed()
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.end(true).boxed()
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.end(false).boxed()
    }

    fn start_rollback(&mut self) {
        AnyConnectionBackend::start_rollback(&mut self.inner);
    }

    fn get_transaction_depth(&self) -> usize {
        AnyConnectionBackend::get_transaction_depth(&self.inner)
    }

    fn shrink_buffers(&mut self) {
        AnyConnectionBackend::shrink_buffers(&mut self.inner);
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.guarded(SHORT, async |inner: &mut PgConnection| {
            AnyConnectionBackend::flush(inner).await
        })
        .boxed()
    }

    fn should_flush(&self) -> bool {
        AnyConnectionBackend::should_flush(&self.inner)
    }

    fn fetch_many(
        &mut self,
        query: SqlStr,
        persistent: bool,
        arguments: Option<AnyArguments>,
    ) -> Rows<'_> {
        if let Some(begin) = self.alone() {
            return self.rows_alone(begin, query, arguments);
        }
        let persistent = persistent && self.alone.is_none();
        self.rows(query, persistent, arguments)
    }

    fn fetch_optional(
        &mut self,
        query: SqlStr,
        persistent: bool,
        arguments: Option<AnyArguments>,
    ) -> BoxFuture<'_, Result<Option<AnyRow>, Error>> {
        if let Some(begin) = self.alone() {
            // To the end, where the transaction is committed.
            let first = async |first: Option<AnyRow>, next: Either<_, AnyRow>| {
                Ok(first.or_else(|| next.right()))
            };
            return self.rows_alone(begin, query, arguments).try_fold(None, first).boxed();
        }
        let persistent = persistent && self.alone.is_none();
        self.guarded(self.limit, async move |inner: &mut PgConnection| {
            AnyConnectionBackend::fetch_optional(inner, query, persistent, arguments).await
        })
        .boxed()
    }

    fn prepare_with<'c, 'q: 'c>(
        &'c mut self,
        sql: SqlStr,
        parameters: &[AnyTypeInfo],
    ) -> BoxFuture<'c, Result<AnyStatement, Error>> {
        AnyConnectionBackend::prepare_with(&mut self.inner, sql, parameters)
    }
}
