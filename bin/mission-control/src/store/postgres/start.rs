//! The checks at start: what a server, a database, a role or a pooler cannot do is said then, with
//! what helps, and not by the first write.

use std::time::{Duration, Instant};

use retry::Backoff;
use sqlx::any::{AnyConnectOptions, AnyRow};
use sqlx::{AnyConnection, Connection as _, Error, Row as _};

use super::address::Address;
use super::plan::{PROBE, Plan, shown};
use super::session::any_options;
use crate::store::open::{OpenError, is_tls};

/// The timeout for a database that is starting up beside us.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two attempts to connect to it.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_millis(250));

/// The oldest version of the server that tests know of.
const OLDEST: i64 = 14_00_00;

/// A transaction that changes nothing, and that no default of the server ends. Which timeouts there
/// are is not known yet.
const LOOK: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = '30s'; \
    SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = '60s'; \
    SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout'";

const FACTS: &str = "SELECT current_setting('server_version_num')::bigint AS version, version() AS program, \
    current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS is_standby, \
    current_user::text AS role, current_database()::text AS database, current_schema()::text AS schema, \
    (SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
      WHERE c.oid = to_regclass('write_turn')) AS home, \
    (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit') AS synchronous_commit, \
    (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_read_only') AS read_only, \
    (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only') AS read_only_by";

/// What the server says about itself and about us.
#[derive(Debug)]
pub(super) struct Facts {
    pub version: i64,
    program: String,
    encoding: String,
    is_standby: bool,
    pub role: String,
    pub database: String,
    /// The first schema of the search path that exists.
    schema: Option<String>,
    /// Where our tables are, if the search path leads to them.
    home: Option<String>,
    pub synchronous_commit: String,
    read_only_by: Option<String>,
}

impl Facts {
    /// Asks the server, once it accepts connections.
    pub(super) async fn ask(address: &Address) -> Result<Self, OpenError> {
        let options = any_options(address, &[], Some(LOOK))?;
        let row = reach(&options).await.map_err(|error| {
            if is_statement_pooling(&error) {
                return OpenError::Refused(
                    "the pooler runs in statement pooling, which knows no transactions; set pool_mode = transaction (or session) for this database, \
                     or give the server's own address in DATABASE_URL".to_owned(),
                );
            }
            match has_options(&error) && address.has_options() {
                true => OpenError::Refused("options in DATABASE_URL are refused by the pooler; leave them out, and name the schema with MC_SCHEMA".to_owned()),
                false => error.into(),
            }
        })?;
        let is_read_only = row.get::<String, _>("read_only") == "on";
        Ok(Self {
            version: row.get("version"),
            program: row.get("program"),
            encoding: row.get("encoding"),
            is_standby: row.get("is_standby"),
            role: row.get("role"),
            database: row.get("database"),
            schema: row.get("schema"),
            home: row.get("home"),
            synchronous_commit: row.get("synchronous_commit"),
            read_only_by: is_read_only.then(|| row.get("read_only_by")),
        })
    }

    /// Whether this program can work with it, and may write to it.
    pub(super) fn check(&self, writes: bool) -> Result<(), OpenError> {
        let refused = |why: String| Err(OpenError::Refused(why));
        let program = self.program.to_lowercase();
        if ["emscripten", "wasm", "pglite"].iter().any(|name| program.contains(name)) {
            return refused(
                "this is PGlite, which serves one connection only; use a PostgreSQL server, or a file (DATABASE_URL=sqlite:FILE)".to_owned(),
            );
        }
        if self.version < OLDEST {
            let major = self.version / 10_000;
            return refused(format!(
                "the server is PostgreSQL {major}; version {} or newer is needed",
                OLDEST / 10_000
            ));
        }
        if self.encoding != "UTF8" {
            let database = shell_word(&format!("{}_utf8", self.database));
            return refused(format!(
                "its encoding is {}, which cannot hold every text; make one in UTF8: createdb --template=template0 --encoding=UTF8 --locale=C {database}",
                self.encoding
            ));
        }
        if !writes {
            return Ok(());
        }
        if self.is_standby {
            return refused("the server is a read-only standby; give the address of the primary, or promote this one".to_owned());
        }
        match &self.read_only_by {
            Some(by) => refused(format!(
                "transactions are read-only by default there: {}",
                self.writable(by)
            )),
            None => Ok(()),
        }
    }

    /// How to let this role write again.
    fn writable(&self, by: &str) -> String {
        let (role, database) = (shown(&self.role), shown(&self.database));
        let off = "default_transaction_read_only = off";
        match by {
            "user" => format!("ALTER ROLE {role} SET {off}"),
            "database" => format!("ALTER DATABASE {database} SET {off}"),
            "database user" => format!("ALTER ROLE {role} IN DATABASE {database} SET {off}"),
            "client" => {
                "take default_transaction_read_only out of DATABASE_URL and PGOPTIONS".to_owned()
            }
            _ => format!("ALTER SYSTEM SET {off}, then SELECT pg_reload_conf()"),
        }
    }

    /// The schema of our tables, where none is named.
    pub(super) fn own_schema(&self) -> Result<String, OpenError> {
        self.home.clone().or_else(|| self.schema.clone()).ok_or_else(|| {
            let role = shown(&self.role);
            OpenError::Refused(format!(
                "the search_path of role {role} leads to no schema; name one with MC_SCHEMA"
            ))
        })
    }

    /// How to commit: as the server does, but never before what was written is on disk.
    pub(super) fn commit(&self) -> String {
        match self.synchronous_commit.as_str() {
            safe @ ("on" | "local" | "remote_write" | "remote_apply") => safe.to_owned(),
            _ => "on".to_owned(),
        }
    }
}

/// Whether a pooler is between us and the server: it refuses settings of a session in the start-up
/// message, or drops them.
pub(super) async fn is_pooled(address: &Address, plan: &Plan) -> Result<bool, OpenError> {
    let options = plan.probe(address)?;
    let mut connection = match AnyConnection::connect_with(&options).await {
        Ok(connection) => connection,
        Err(error) if has_options(&error) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let timeout: String = sqlx::query_scalar("SELECT current_setting('lock_timeout')")
        .persistent(false)
        .fetch_one(&mut connection)
        .await?;
    let _closed = connection.close().await;
    Ok(timeout != PROBE)
}

/// Whether an error of the start-up says that its `options` are not taken: PgBouncer has the class
/// of protocol violations, Amazon's proxy says "not supported".
fn has_options(error: &Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let code = error.code();
    matches!(code.as_deref(), Some("08P01" | "0A000")) && error.message().contains("option")
}

fn is_statement_pooling(error: &Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    error.code().as_deref() == Some("08P01") && error.message().contains("transaction")
}

/// A name as a POSIX shell reads it.
fn shell_word(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    match name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', "'\\''")),
    }
}

/// Asks for the facts; retries while a server is starting up, also behind a pooler, and fails with its
/// own error after [`STARTUP_TIMEOUT`], and at once when it refuses us.
async fn reach(options: &AnyConnectOptions) -> Result<AnyRow, Error> {
    let until = Instant::now() + STARTUP_TIMEOUT;
    let mut failures = 0;
    loop {
        let error = match facts(options).await {
            Ok(row) => return Ok(row),
            Err(error) => error,
        };
        if !is_starting(&error) || Instant::now() > until {
            return Err(error);
        }
        failures += 1;
        if failures == 1 {
            tracing::info!(%error, "database unavailable; retrying until it accepts connections");
        }
        tokio::time::sleep(BACKOFF.delay(failures)).await;
    }
}

async fn facts(options: &AnyConnectOptions) -> Result<AnyRow, Error> {
    let mut connection = AnyConnection::connect_with(options).await?;
    let row = sqlx::query(FACTS).persistent(false).fetch_one(&mut connection).await?;
    let _closed = connection.close().await;
    Ok(row)
}

/// Whether an error is one of a server that will accept connections in a moment.
fn is_starting(error: &Error) -> bool {
    let is_down = matches!(error, Error::Io(_)) && !is_tls(error);
    let Some(error) = error.as_database_error() else { return is_down };
    match error.code().as_deref() {
        Some("57P03") => true,
        // PgBouncer has this class for all that it says itself.
        Some("08P01") => {
            let waits =
                ["server login has been failing", "query_wait_timeout", "server_login_retry"];
            waits.iter().any(|wait| error.message().contains(wait))
        }
        _ => false,
    }
}
