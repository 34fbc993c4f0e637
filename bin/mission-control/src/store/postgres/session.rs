//! Connections to PostgreSQL, as a driver below sqlx's `Any`.
//!
//! With a server itself a session has its settings from the start-up message, and statements stay
//! prepared. A pooler such as PgBouncer hands each transaction to another connection of the server,
//! which other applications use, too. Such a session is stateless: it sets nothing beyond a
//! transaction, prepares nothing by name, and runs each single statement in a transaction of its own.
//! Whichever it is, no wait for the server is without an end: an address that swallows packets costs a
//! connection, not the program.

mod unused;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Once;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use futures::{FutureExt as _, TryFutureExt as _, TryStreamExt as _};
use sqlx::any::{
    AnyArguments, AnyConnectOptions, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Either, Error, Executor as _,
    PgConnection, SqlSafeStr as _, SqlStr,
};
use sqlx_core::any::AnyConnectionBackend;
use sqlx_core::any::driver::{AnyDriver, install_drivers};
use url::Url;

use super::address::Address;

/// The scheme of the URLs that lead to this driver.
const SCHEME: &str = "wombat-postgres";

/// The parameter that holds what begins a transaction of a stateless session.
const ALONE: &str = "wombat.alone";

/// The timeout of a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Options of a session for [`sqlx::any`]. `settings` are for the session's whole life, in the
/// start-up message; `alone` begins the transaction of a single statement in a stateless session.
pub(super) fn any_options(
    address: &Address,
    settings: &[(&str, String)],
    alone: Option<&str>,
) -> Result<AnyConnectOptions, Error> {
    let mut url = Url::parse(address.url()).map_err(|error| Error::Configuration(error.into()))?;
    // Between schemes without rules of their own nothing is in the way.
    let _changed = url.set_scheme(SCHEME);
    {
        let mut pairs = url.query_pairs_mut();
        for (name, value) in settings {
            // The server splits at spaces that no backslash precedes.
            let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
            pairs.append_pair("options", &format!("-c {name}={value}"));
        }
        if let Some(alone) = alone {
            pairs.append_pair(ALONE, alone);
        }
    }
    AnyConnectOptions::from_url(&url)
}

/// Options of one session.
#[derive(Debug, Clone)]
pub(super) struct SessionOptions {
    postgres: PgConnectOptions,
    alone: Option<SqlStr>,
}

impl SessionOptions {
    fn of_url(url: &Url) -> Result<Self, Error> {
        let mut url = url.clone();
        let _changed = url.set_scheme("postgres");
        let mut alone = None;
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        url.query_pairs_mut().clear();
        for (name, value) in pairs {
            match name == ALONE {
                true => alone = Some(AssertSqlSafe(value).into_sql_str()),
                false => {
                    url.query_pairs_mut().append_pair(&name, &value);
                }
            }
        }
        // PgBouncer refuses the parameter, and no number here has digits after the point.
        let mut postgres = PgConnectOptions::from_url(&url)?.extra_float_digits(None);
        if postgres.get_application_name().is_none() {
            postgres = postgres.application_name("wombat-mission-control");
        }
        if alone.is_some() {
            postgres = postgres.statement_cache_capacity(0);
        }
        Ok(Self { postgres, alone })
    }

    async fn connect(&self) -> Result<Session, Error> {
        let connected = within(CONNECT_TIMEOUT, self.postgres.connect()).await;
        if let Err(error) = &connected {
            tracing::debug!(%error, "no connection to PostgreSQL");
        }
        Ok(Session { inner: connected?, alone: self.alone.clone(), is_broken: false })
    }
}

impl TryFrom<&AnyConnectOptions> for SessionOptions {
    type Error = Error;

    fn try_from(options: &AnyConnectOptions) -> Result<Self, Error> {
        let mut own = Self::of_url(&options.database_url)?;
        let log = &options.log_settings;
        own.postgres = own
            .postgres
            .log_statements(log.statements_level)
            .log_slow_statements(log.slow_statements_level, log.slow_statements_duration);
        Ok(own)
    }
}

/// One connection.
pub(super) struct Session {
    inner: PgConnection,
    /// What begins the transaction of a single statement; such a session is stateless.
    alone: Option<SqlStr>,
    /// Whether the protocol's state is unknown: the pool closes it.
    is_broken: bool,
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

impl Session {
    /// Does something with the connection; a failure of it marks the connection as broken.
    async fn guarded<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.is_broken {
            return Err(Error::Io(io::ErrorKind::BrokenPipe.into()));
        }
        let done = within(limit, work(&mut self.inner)).await;
        self.is_broken |= done.as_ref().is_err_and(breaks);
        done
    }

    /// Begins a transaction by several statements at once. When one of them fails the server stands in
    /// a transaction that the connection does not know of.
    async fn begin_by(&mut self, statement: Option<SqlStr>) -> Result<(), Error> {
        let begun =
            async |inner: &mut PgConnection| AnyConnectionBackend::begin(inner, statement).await;
        let begun = self.guarded(SHORT, begun).await;
        if begun.is_err() && !self.is_broken && self.get_transaction_depth() == 0 {
            let end = async |inner: &mut PgConnection| inner.execute("ROLLBACK").await;
            self.is_broken |= self.guarded(SHORT, end).await.is_err();
        }
        begun
    }

    /// Whether statements outside of a transaction need one.
    fn alone(&self) -> Option<SqlStr> {
        self.alone.clone().filter(|_| self.get_transaction_depth() == 0)
    }

    /// The rows of a statement in a transaction of its own.
    async fn rows_alone(
        &mut self,
        begin: SqlStr,
        query: SqlStr,
        arguments: Option<AnyArguments>,
    ) -> Result<Vec<Either<AnyQueryResult, AnyRow>>, Error> {
        self.begin_by(Some(begin)).await?;
        let all = async |inner: &mut PgConnection| {
            AnyConnectionBackend::fetch_many(inner, query, false, arguments).try_collect().await
        };
        match self.guarded(LONG, all).await {
            Ok(rows) => self.end(true).await.map(|()| rows),
            Err(error) => {
                self.is_broken |= self.end(false).await.is_err();
                Err(error)
            }
        }
    }

    async fn end(&mut self, commits: bool) -> Result<(), Error> {
        let end = async |inner: &mut PgConnection| match commits {
            true => AnyConnectionBackend::commit(inner).await,
            false => AnyConnectionBackend::rollback(inner).await,
        };
        self.guarded(LONG, end).await
    }
}

impl AnyConnectionBackend for Session {
    fn name(&self) -> &str {
        "PostgreSQL"
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), Error>> {
        match self.is_broken {
            true => self.inner.close_hard().boxed(),
            false => within(SHORT, self.inner.close()).boxed(),
        }
    }

    fn close_hard(self: Box<Self>) -> BoxFuture<'static, Result<(), Error>> {
        within(SHORT, self.inner.close_hard()).boxed()
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
            let rows = self.rows_alone(begin, query, arguments);
            return rows.map_ok(|rows| stream::iter(rows).map(Ok)).try_flatten_stream().boxed();
        }
        if self.is_broken {
            return stream::once(async { Err(Error::Io(io::ErrorKind::BrokenPipe.into())) })
                .boxed();
        }
        let persistent = persistent && self.alone.is_none();
        let Self { inner, is_broken, .. } = self;
        let rows = AnyConnectionBackend::fetch_many(inner, query, persistent, arguments);
        stream::unfold((rows, is_broken), |(mut rows, is_broken)| async move {
            let next = match tokio::time::timeout(LONG, rows.next()).await {
                Ok(next) => next?,
                Err(_) => Err(timed_out()),
            };
            *is_broken |= next.as_ref().is_err_and(breaks);
            Some((next, (rows, is_broken)))
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

    fn fetch_optional(
        &mut self,
        query: SqlStr,
        persistent: bool,
        arguments: Option<AnyArguments>,
    ) -> BoxFuture<'_, Result<Option<AnyRow>, Error>> {
        if let Some(begin) = self.alone() {
            return self
                .rows_alone(begin, query, arguments)
                .map_ok(|rows| rows.into_iter().find_map(Either::right))
                .boxed();
        }
        let persistent = persistent && self.alone.is_none();
        self.guarded(LONG, async move |inner: &mut PgConnection| {
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
