//! Which database it is, and how connections to it are made.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use retry::Backoff;
use secrecy::{ExposeSecret, SecretString};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AnyConnection, AnyPool, Connection, Executor};

use super::migrations;

/// The timeout of a request for a connection; after it the caller is told to retry.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout for a database that is starting up beside us.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two attempts to connect to it.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_millis(250));

/// Characters to percent-encode in a URL's path.
const PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'\\');

/// Settings of each connection to a file: every write is on disk before it is acknowledged, and
/// readers never wait for a writer.
const FILE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON";

/// Settings of each connection that writes: what is acknowledged is on disk whatever the server's
/// default, and an instance that hangs in a write blocks the others for five seconds at most.
const WRITER_SETTINGS: &str = "SET application_name = 'wombat-mission-control'; SET synchronous_commit = on; \
    SET default_transaction_isolation = 'read committed'; SET lock_timeout = '5s'; \
    SET idle_in_transaction_session_timeout = '5s'; SET statement_timeout = '30s'";

/// Settings of each connection that reads: all reads of a transaction see the same state.
const READER_SETTINGS: &str = "SET application_name = 'wombat-mission-control'; \
    SET default_transaction_read_only = on; SET default_transaction_isolation = 'repeatable read'; \
    SET statement_timeout = '30s'";

/// Which database to use.
#[derive(Debug, Clone)]
pub enum Database {
    /// A SQLite file; created if it does not exist.
    File(PathBuf),
    /// A database on a PostgreSQL server, by its URL, which holds a password.
    Postgres(SecretString),
}

impl Database {
    /// Parses `DATABASE_URL`. The error says what is wrong and what is allowed, without the password.
    pub fn of_url(url: &SecretString) -> Result<Self, String> {
        let text = url.expose_secret();
        if let Some(file) = text.strip_prefix("sqlite:") {
            let file = file.strip_prefix("//").unwrap_or(file);
            // A database in memory is one per connection, and options are ours to choose.
            return match file.is_empty() || file.contains(['?', ':']) {
                true => Err("allowed: sqlite:FILE, without options".to_owned()),
                false => Ok(Self::File(PathBuf::from(file))),
            };
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            let allowed = "allowed: sqlite:FILE or postgres://USER:PASSWORD@HOST:PORT/DATABASE; leave it unset for a file in MC_DATA_DIR";
            return Err(allowed.to_owned());
        }
        match PgConnectOptions::from_str(text) {
            Ok(_) => Ok(Self::Postgres(url.clone())),
            // The parser's words name what is wrong, and never what stands there.
            Err(sqlx::Error::Configuration(why)) => Err(format!(
                "is no URL of a database ({why}); allowed: postgres://USER:PASSWORD@HOST:PORT/DATABASE, special characters of the password percent-encoded"
            )),
            Err(_) => Err("is no URL of a database".to_owned()),
        }
    }

    /// The database without secrets, for messages: the file, or the name and the server.
    pub fn place(&self) -> String {
        match self {
            Self::File(file) => file.display().to_string(),
            Self::Postgres(url) => match PgConnectOptions::from_str(url.expose_secret()) {
                Ok(options) => {
                    let name = options.get_database().unwrap_or_else(|| options.get_username());
                    match options.get_socket() {
                        Some(socket) => format!("{name} at {}", socket.display()),
                        None => format!("{name} at {}:{}", options.get_host(), options.get_port()),
                    }
                }
                Err(_) => "a PostgreSQL server".to_owned(),
            },
        }
    }

    /// What an operator can do when opening failed with this error.
    pub fn advice(&self, error: &sqlx::Error) -> &'static str {
        let code = error.as_database_error().and_then(|error| error.code());
        match (self, code.as_deref()) {
            (Self::File(_), _) => "MC_DATA_DIR or DATABASE_URL names the file",
            (_, Some("28P01" | "28000")) => "correct the user and the password in DATABASE_URL",
            (_, Some("3D000")) => "make it with createdb, or correct its name in DATABASE_URL",
            (_, Some("42501")) => "the user of DATABASE_URL must be allowed to create tables there",
            (_, _) => "start PostgreSQL, or correct the address in DATABASE_URL",
        }
    }

    fn options(&self) -> Result<AnyConnectOptions, sqlx::Error> {
        match self {
            Self::File(file) => {
                let file = std::path::absolute(file)?;
                let file = file.to_string_lossy();
                let path = utf8_percent_encode(&file, PATH);
                AnyConnectOptions::from_str(&format!("sqlite:{path}?mode=rwc"))
            }
            Self::Postgres(url) => AnyConnectOptions::from_str(url.expose_secret()),
        }
    }

    /// Opens one connection for writing and several for reading, and migrates the schema.
    pub(super) async fn open(&self) -> Result<(AnyPool, AnyPool), sqlx::Error> {
        sqlx::any::install_default_drivers();
        let options = self.options()?;
        let (writes, reads, readers) = match self {
            Self::File(_) => (FILE_SETTINGS, FILE_SETTINGS, 4),
            Self::Postgres(_) => {
                reach(&options).await?;
                (WRITER_SETTINGS, READER_SETTINGS, 8)
            }
        };
        let writer = pool(1, writes).connect_with(options.clone()).await?;
        match self {
            Self::File(_) => migrations::sqlite().run(&writer).await?,
            Self::Postgres(_) => migrations::postgres().run(&writer).await?,
        }
        let reader = pool(readers, reads).connect_with(options).await?;
        Ok((writer, reader))
    }

    /// Opens a database that is there already, for reading only.
    pub(super) async fn open_to_read(&self) -> Result<AnyPool, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let settings = match self {
            Self::File(file) => {
                // A mistyped name must not make a file.
                std::fs::metadata(file)?;
                "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON"
            }
            Self::Postgres(_) => READER_SETTINGS,
        };
        pool(1, settings).connect_with(self.options()?).await
    }

    /// The folder of a file; `None` for a server.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::File(file) => file.parent(),
            Self::Postgres(_) => None,
        }
    }
}

fn pool(size: u32, settings: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(settings).await.map(|_| ()) })
        })
        // A full disk makes SQLite end the transaction on its own; the rollback that follows then
        // fails, and the connection would take all later writes for parts of a transaction that
        // nobody commits. Such a connection is thrown away.
        .before_acquire(|connection, _| {
            Box::pin(async move { Ok(!connection.is_in_transaction()) })
        })
}

/// Retries until a server that is starting up accepts a connection; fails with the server's own
/// error after [`STARTUP_TIMEOUT`], and at once when it refuses us.
async fn reach(options: &AnyConnectOptions) -> Result<(), sqlx::Error> {
    let until = Instant::now() + STARTUP_TIMEOUT;
    let mut failures = 0;
    loop {
        let tried =
            tokio::time::timeout(STARTUP_TIMEOUT, AnyConnection::connect_with(options)).await;
        let error = match tried {
            Ok(Ok(connection)) => return connection.close().await,
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        let code = error.as_database_error().and_then(|error| error.code());
        let is_starting = matches!(&error, sqlx::Error::Io(_)) || code.as_deref() == Some("57P03");
        if !is_starting || Instant::now() > until {
            return Err(error);
        }
        failures += 1;
        if failures == 1 {
            tracing::info!(%error, "database unavailable; retrying until it accepts connections");
        }
        tokio::time::sleep(BACKOFF.delay(failures)).await;
    }
}
