//! Which database it is, and how connections to it are made.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::MigrateError;
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _, SqlSafeStr as _, SqlStr};

use super::open::OpenError;
use super::postgres::health::Health;
use super::{file, migrations, postgres};

pub use super::postgres::address::Address;
pub use super::postgres::session::install_drivers_once;
pub use super::postgres::{CONNECTIONS, MIN_CONNECTIONS, Server};

/// What `DATABASE_URL` can be.
const ALLOWED: &str = "allowed: sqlite:FILE or postgres://USER:PASSWORD@HOST:PORT/DATABASE; leave it unset for a file in MC_DATA_DIR";

/// The timeout of a request for a connection; after it the caller is told to retry.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Characters to percent-encode in a URL's path.
const PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'\\');

/// For how long a connection to a file waits for another program.
pub(super) const BUSY_TIMEOUT: &str = "PRAGMA busy_timeout = 5000";

/// Settings of each connection to a file: every write is on disk before it is acknowledged, and
/// readers never wait for a writer.
const FILE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON";

/// The timeout of merging the log at the end: another program may have the file open, and then keeps it.
const MERGE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the log is looked for meanwhile.
const MERGE_INTERVAL: Duration = Duration::from_millis(10);

/// Which database to use.
#[derive(Debug, Clone)]
pub enum Database {
    /// A SQLite file; created if it does not exist.
    File(PathBuf),
    /// A database on a PostgreSQL server.
    Postgres(Box<Server>),
}

/// What an opened database is to the store.
#[derive(Debug)]
pub(super) struct Opened {
    pub writer: AnyPool,
    pub reader: AnyPool,
    /// What begins a write.
    pub begin: SqlStr,
    /// How other instances are heard of; `None` on a file, which has one only.
    pub peers: Option<Peers>,
    /// What is known of a server.
    pub health: Arc<Health>,
}

/// Other instances on the same database.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    /// The schema that is shared.
    pub schema: String,
    /// Where to listen to them; they are only polled when absent.
    pub listen: Option<Address>,
}

impl Database {
    /// Parses `DATABASE_URL`. The error says what is wrong and what is allowed, without the password.
    pub fn of_url(url: &SecretString) -> Result<Self, String> {
        let text = url.expose_secret().trim();
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        match scheme.to_ascii_lowercase().as_str() {
            "sqlite" => file_of(rest).map(Self::File),
            "postgres" | "postgresql" | "postgis" => {
                Ok(Self::Postgres(Box::new(Server::new(Address::parse(text)?))))
            }
            // The same URL is SQLAlchemy's, with the name of a driver behind a plus.
            other if other.starts_with("postgresql+") || other.starts_with("postgres+") => {
                Ok(Self::Postgres(Box::new(Server::new(Address::parse(text)?))))
            }
            // Java's names of drivers, and PHP's of the database.
            other if other.starts_with("sqlite+") => {
                Err(format!("write sqlite:FILE instead of {other}:"))
            }
            "jdbc" => {
                Err("write postgresql://USER:PASSWORD@HOST/DATABASE, without jdbc:".to_owned())
            }
            "psql" | "pgsql" => Err("write postgresql://USER:PASSWORD@HOST/DATABASE".to_owned()),
            _ => Err(ALLOWED.to_owned()),
        }
    }

    /// The database without secrets, for messages: the file, or the name and the server.
    pub fn place(&self) -> String {
        match self {
            Self::File(file) => file.display().to_string(),
            Self::Postgres(server) => server.address.place(),
        }
    }

    /// Opens one connection for writing and several for reading, and migrates the schema.
    pub(super) async fn open(&self) -> Result<Opened, OpenError> {
        install_drivers_once();
        match self {
            Self::File(file) => {
                file::check(file)?;
                let options = file_options(file)?;
                let failed = |error| file::explain(file, error);
                let writer = file_pool(1, FILE_SETTINGS).connect_with(options.clone());
                let writer = writer.await.map_err(failed)?;
                let migrated = migrate_file(&writer).await;
                migrated.map_err(|error| file::explain_migration(file, error))?;
                let reader = file_pool(4, FILE_SETTINGS).connect_with(options);
                let reader = reader.await.map_err(failed)?;
                // Inside an open transaction this is an error instead of a nested one.
                let begin = "BEGIN IMMEDIATE".into_sql_str();
                Ok(Opened { writer, reader, begin, peers: None, health: Arc::default() })
            }
            Self::Postgres(server) => {
                let opened = postgres::open(server, pool).await?;
                let peers = Peers { schema: opened.schema, listen: opened.listen };
                let (writer, reader, begin) = (opened.writer, opened.reader, opened.begin);
                Ok(Opened { writer, reader, begin, peers: Some(peers), health: opened.health })
            }
        }
    }

    /// Opens a database that is there already, for reading only.
    pub(super) async fn open_to_read(&self) -> Result<AnyPool, OpenError> {
        install_drivers_once();
        match self {
            Self::File(file) => {
                // A mistyped name must not make a file.
                std::fs::metadata(file).map_err(sqlx::Error::Io)?;
                let settings = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON";
                Ok(file_pool(1, settings).connect_with(file_options(file)?).await?)
            }
            Self::Postgres(server) => postgres::open_to_read(server, pool).await,
        }
    }

    /// The folder of a file; `None` for a server.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::File(file) => file.parent(),
            Self::Postgres(_) => None,
        }
    }
}

/// The file of a URL, as SQLite's users and sqlx write it, without `sqlite:`.
fn file_of(rest: &str) -> Result<PathBuf, String> {
    let (file, options) = rest.split_once('?').unwrap_or((rest, ""));
    let file = file.strip_prefix("//").unwrap_or(file);
    // A database in memory is one per connection.
    if file.is_empty() || file.contains(':') {
        return Err("allowed: sqlite:FILE, a file on disk".to_owned());
    }
    let file = written(file);
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option {
            "mode=rwc" => {}
            "mode=rw" if file.exists() => {}
            "mode=rw" => {
                return Err(format!(
                    "{} does not exist, and mode=rw makes no file; allowed: mode=rwc",
                    file.display()
                ));
            }
            _ => {
                let name = option.split('=').next().unwrap_or_default();
                return Err(format!(
                    "{name}: of the options of SQLite only mode=rw and mode=rwc are allowed"
                ));
            }
        }
    }
    Ok(file)
}

/// The path that a URL's text names: as it stands where there is such a file, else with its percent signs
/// decoded, as sqlx does. SQLAlchemy writes an absolute path with two slashes.
fn written(text: &str) -> PathBuf {
    let rest = text.trim_start_matches('/');
    let text =
        if text.len() - rest.len() > 1 { &text[text.len() - rest.len() - 1..] } else { text };
    let plain = PathBuf::from(text);
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) if !plain.exists() => PathBuf::from(decoded.into_owned()),
        Ok(_) | Err(_) => plain,
    }
}

fn file_options(file: &Path) -> Result<AnyConnectOptions, sqlx::Error> {
    let file = std::path::absolute(file)?;
    let file = file.to_string_lossy();
    let path = utf8_percent_encode(&file, PATH);
    AnyConnectOptions::from_str(&format!("sqlite:{path}?mode=rwc"))
}

/// Leaves the file whole, without its log, after all pools are closed, so that who copies or gives away the
/// file of a stopped backend has everything. SQLite does that with the last connection that is closed; one
/// that was given up while it was being opened is closed by a thread that no pool waits for, maybe later
/// than all others, maybe only half when the program ends.
pub(super) async fn merge_log(file: &Path) {
    let Ok(options) = file_options(file) else { return };
    let log = file::log_of(file);
    let merged = async {
        while log.exists() {
            // A lock is waited for; all else is told at the next start.
            if let Ok(mut connection) = AnyConnection::connect_with(&options).await {
                // Opens the log, which a mere connection does not.
                let _read = connection.execute("SELECT 1 FROM sqlite_master").await;
                let _closed = connection.close().await;
            }
            tokio::time::sleep(MERGE_INTERVAL).await;
        }
    };
    if tokio::time::timeout(MERGE_TIMEOUT, merged).await.is_err() {
        tracing::info!(
            "another program has {} open: what was written last stays in {} beside it until that program ends",
            file.display(),
            log.display()
        );
    }
}

fn pool(size: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // What was opened at start is kept: another one may not be had later.
        .idle_timeout(None)
        .max_lifetime(None)
        // A full disk makes SQLite end the transaction on its own; the rollback that follows then
        // fails, and the connection would take all later writes for parts of a transaction that
        // nobody commits. Such a connection is thrown away.
        .before_acquire(|connection, _| {
            Box::pin(async move { Ok(!connection.is_in_transaction()) })
        })
}

/// All migrations in one transaction: a program that is killed or fails meanwhile leaves the database as it
/// was, and a new file is synced once instead of once for each.
async fn migrate_file(writer: &AnyPool) -> Result<(), MigrateError> {
    let migrations = migrations::sqlite();
    let made = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM _sqlx_migrations");
    // A new file has no such table; what else is wrong is told below.
    let made = made.fetch_one(writer).await.unwrap_or_default();
    if usize::try_from(made).is_ok_and(|made| made >= migrations.iter().count()) {
        // Only looked at: a file that is up to date is opened also while another program writes to it.
        return migrations.run(writer).await;
    }
    // Waits for its turn; a transaction that begins by reading would fail where it has to wait.
    let mut all = writer.begin_with("BEGIN IMMEDIATE").await?;
    // What `run` does with its connection; it takes no borrowed one in a future that is sent to threads.
    migrations.run_direct(None, &mut *all, false).await?;
    Ok(all.commit().await?)
}

fn file_pool(size: u32, settings: &'static str) -> AnyPoolOptions {
    pool(size).after_connect(move |connection, _| {
        Box::pin(async move { connection.execute(settings).await.map(|_| ()) })
    })
}
