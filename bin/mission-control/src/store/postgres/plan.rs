//! What each session and each transaction sets, so that neither the server's defaults nor what others
//! left behind in a pooled connection change what this program does.

use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::{AssertSqlSafe, Error, SqlSafeStr as _, SqlStr};

use super::address::Address;
use super::session::{any_options, with_limit};

/// Takes the turn to write; ends with the transaction.
const TAKE_TURN: &str = "LOCK TABLE write_turn IN EXCLUSIVE MODE";

/// From this version on there is a timeout of whole transactions.
const HAS_TRANSACTION_TIMEOUT: i64 = 17_00_00;

/// Writes see what was committed before each statement.
const WRITES: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The same in a connection that others use, too, and may have left read-only.
const WRITES_POOLED: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// All reads of a transaction see the same state.
const READS: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The timeout of a migration.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// A `lock_timeout` that nobody else sets.
pub(super) const PROBE: &str = "5003ms";

/// Defaults of a session, which a transaction says in its `BEGIN`, or has no use for.
const OF_SESSIONS: [&str; 3] =
    ["default_transaction_isolation", "default_transaction_read_only", "idle_session_timeout"];

/// How this program talks to the server.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The schema of its tables.
    pub schema: String,
    /// Whether there is a pooler between, so that nothing may be set beyond a transaction.
    pub is_pooled: bool,
    /// The server's version, such as 170002.
    pub version: i64,
    /// How a commit is made safe; never `off`.
    pub synchronous_commit: String,
}

impl Plan {
    /// Options of the session that writes: an instance that hangs in a write blocks the others for
    /// five seconds at most.
    pub(super) fn writer(&self, address: &Address) -> Result<AnyConnectOptions, Error> {
        self.session(address, WRITES_POOLED, &self.writer_settings())
    }

    /// Options of the session that migrates, however long that takes.
    pub(super) fn migrator(&self, address: &Address) -> Result<AnyConnectOptions, Error> {
        Ok(with_limit(self.writer(address)?, MIGRATION_TIMEOUT))
    }

    /// Options of a session that shows whether settings of the start-up reach the server.
    pub(super) fn probe(&self, address: &Address) -> Result<AnyConnectOptions, Error> {
        let mut settings = self.writer_settings();
        settings.retain(|(name, _)| *name != "lock_timeout");
        settings.push(("lock_timeout", PROBE.to_owned()));
        any_options(address, &settings, None)
    }

    /// Options of the sessions that read.
    pub(super) fn reader(&self, address: &Address) -> Result<AnyConnectOptions, Error> {
        let settings = self.settings(&[
            ("default_transaction_read_only", "on"),
            ("default_transaction_isolation", "repeatable read"),
            ("statement_timeout", "30s"),
            ("lock_timeout", "0"),
            ("idle_in_transaction_session_timeout", "60s"),
        ]);
        self.session(address, READS, &settings)
    }

    /// What begins a write.
    pub(super) fn begin_write(&self) -> SqlStr {
        let begin = match self.is_pooled {
            true => transaction(WRITES_POOLED, &self.writer_settings()),
            false => WRITES.to_owned(),
        };
        AssertSqlSafe(format!("{begin}; {TAKE_TURN}")).into_sql_str()
    }

    fn writer_settings(&self) -> Vec<(&'static str, String)> {
        self.settings(&[
            ("synchronous_commit", &self.synchronous_commit),
            ("default_transaction_isolation", "read committed"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "5s"),
            ("statement_timeout", "30s"),
        ])
    }

    fn settings(&self, own: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("search_path", identifier(&self.schema)),
            ("idle_session_timeout", "0".to_owned()),
        ];
        if self.version >= HAS_TRANSACTION_TIMEOUT {
            all.push(("transaction_timeout", "0".to_owned()));
        }
        all.extend(own.iter().map(|(name, value)| (*name, (*value).to_owned())));
        all
    }

    fn session(
        &self,
        address: &Address,
        begin: &str,
        settings: &[(&str, String)],
    ) -> Result<AnyConnectOptions, Error> {
        match self.is_pooled {
            true => any_options(address, &[], Some(&transaction(begin, settings))),
            false => any_options(address, settings, None),
        }
    }
}

/// What begins a transaction that sets all that it needs.
fn transaction(begin: &str, settings: &[(&str, String)]) -> String {
    let settings = settings.iter().filter(|(name, _)| !OF_SESSIONS.contains(name));
    settings.fold(begin.to_owned(), |text, (name, value)| match *name {
        // A list of identifiers.
        "search_path" => format!("{text}; SET LOCAL search_path = {value}"),
        _ => format!("{text}; SET LOCAL {name} = '{value}'"),
    })
}

/// A name as SQL needs it in any case.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name as a person would write it: in quotes only where SQL needs them.
pub(super) fn shown(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    // Reserved words that name roles or schemas now and then.
    let reserved = [
        "user",
        "all",
        "default",
        "public",
        "table",
        "order",
        "group",
        "current_user",
        "session_user",
    ];
    match plain && (name == "public" || !reserved.contains(&name)) {
        true => name.to_owned(),
        false => identifier(name),
    }
}
