//! The database: a SQLite file, or a PostgreSQL server that several instances share.
//!
//! Both run the same statements over the same tables, in which times and JSON are text. Writes take
//! turns, each seeing all that was written before: on a file by its one writing connection, on a
//! server by a lock that ends with the transaction. So a rule that looks before it writes is the
//! same on both, and events have their numbers in the order in which they can be seen. A write is on
//! disk before it is acknowledged; those that queue get there together (`turns.rs`).

pub mod answering;
pub mod approval_rules;
pub mod artifacts;
pub mod audit;
mod audit_expiry;
pub mod audit_limits;
pub mod board;
mod budget_scopes;
pub mod budgets;
pub mod children;
pub mod database;
mod dead_letter_digests;
mod dead_letter_groups;
pub mod dead_letters;
pub mod decisions;
pub mod deltas;
pub mod dispatch;
mod dispatch_order;
pub mod documents;
mod erased;
mod erased_names;
mod erasure;
mod error;
pub mod events;
pub mod feedback;
mod file;
pub mod file_uploads;
pub mod files;
pub mod leases;
pub mod memories;
mod memory_words;
pub mod messages;
mod migrations;
pub mod notifications;
mod open;
mod orphans;
mod outcome;
pub(crate) mod owed;
mod owned_tables;
pub mod paging;
mod people;
pub(crate) mod person_data;
mod pg_notify;
mod postgres;
pub mod profiles;
pub mod quiet_hours;
pub mod retention;
mod run_ends;
mod run_facts;
pub mod run_filter;
pub mod run_lists;
mod run_rows;
pub mod runs;
mod schedule_edits;
mod schedule_rows;
mod schedule_slots;
pub mod schedule_times;
pub mod schedules;
mod scrub;
mod sql;
pub mod step_rows;
pub mod tasks;
mod tenants;
pub(crate) mod told;
pub mod tool_requests;
mod turns;
mod urgency;
mod usage_sums;
mod values;
pub mod waiting;
mod write;

use std::sync::Arc;

use chrono::Utc;
use sqlx::{AnyPool, SqlSafeStr as _, SqlStr};
use tokio::sync::watch;

use self::erased::Erased;
pub use self::error::{Conflict, Misfit, StoreError};
use self::file::OpenFile;
pub use self::open::OpenError;
use self::postgres::health::Health;
use self::told::Told;
use self::turns::{Tellers, Turns};
use self::values::session_of;
pub use self::values::{json_of, new_id, now, session_role, stamp, time};
pub use self::write::{Created, Scope};

use self::database::{Database, Opened, Peers, merge_log};

/// How long idempotency keys are kept: longer than the contract's 24 hours.
const KEPT: chrono::Duration = chrono::Duration::hours(48);

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    writer: AnyPool,
    reader: AnyPool,
    /// Signals every write, by whichever instance.
    changed: watch::Sender<()>,
    /// Signals every write of this instance.
    written: watch::Sender<()>,
    /// Who writes when.
    turns: Arc<Turns>,
    /// Other instances on the same database, where there may be some.
    peers: Option<Peers>,
    /// The file, where the database is one.
    file: Option<Arc<OpenFile>>,
    /// Who waits for what runs tell.
    told: Told,
    /// Whose data was erased.
    erased: Arc<Erased>,
    /// Whether the server takes writes.
    server: Arc<Health>,
    /// This instance's id among them.
    instance: Arc<str>,
}

impl Store {
    /// Opens the database and migrates its schema.
    pub async fn open(database: &Database) -> Result<Self, OpenError> {
        let opened = database.open().await?;
        let file = match database {
            Database::File(file) => Some(Arc::new(OpenFile::new(file))),
            Database::Postgres(_) => None,
        };
        let Opened { writer, reader, begin, peers, health } = opened;
        let store = Self::over(writer, reader, &begin, peers, file, health);
        store.read_erased("").await?;
        Ok(store)
    }

    /// Opens a database that is there already, for reading only: nothing is made or migrated.
    pub async fn open_to_read(database: &Database) -> Result<Self, OpenError> {
        let reader = database.open_to_read().await?;
        let begin = "BEGIN".into_sql_str();
        Ok(Self::over(reader.clone(), reader, &begin, None, None, Arc::default()))
    }

    fn over(
        writer: AnyPool,
        reader: AnyPool,
        begin: &SqlStr,
        peers: Option<Peers>,
        file: Option<Arc<OpenFile>>,
        server: Arc<Health>,
    ) -> Self {
        let (changed, written) = (watch::Sender::new(()), watch::Sender::new(()));
        let tellers = Tellers {
            changed: changed.clone(),
            written: written.clone(),
            file: file.clone(),
            server: Arc::clone(&server),
        };
        let turns = Arc::new(Turns::new(writer.clone(), begin, tellers));
        let (told, instance) = (Told::default(), new_id().into());
        let erased = Arc::default();
        Self {
            writer,
            reader,
            changed,
            written,
            turns,
            peers,
            file,
            told,
            erased,
            server,
            instance,
        }
    }

    /// Closes all connections, and leaves a file without its log.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
        // One that was put in its place is nobody's to touch.
        if let Some(file) = &self.file
            && file.check().is_ok()
        {
            merge_log(file.path()).await;
        }
    }

    /// Connections for reading, for the tables of applications beside the contract's.
    pub(crate) fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// Who waits for what runs tell.
    pub(crate) fn told(&self) -> &Told {
        &self.told
    }

    /// Whether the database answers, and takes writes.
    pub async fn ping(&self) -> Result<(), StoreError> {
        if self.peers.is_some() {
            return self.server.ask(&self.writer).await;
        }
        sqlx::query("SELECT 1").execute(&self.reader).await?;
        match &self.file {
            Some(file) => file.ask(&self.writer).await.map_err(StoreError::File),
            None => Ok(()),
        }
    }

    /// What keeps the database from being written, as far as that is known without asking it.
    pub async fn trouble(&self) -> Option<String> {
        self.file.as_ref()?.trouble().await
    }

    /// Why the database cannot be used, where that is why a write failed.
    pub(crate) fn cause_of(&self, error: StoreError) -> Result<OpenError, StoreError> {
        let Some(file) = &self.file else { return Err(error) };
        match error {
            StoreError::Unwritable { source, .. }
            | StoreError::Unavailable { source, .. }
            | StoreError::Database(source) => Ok(file.explain(source)),
            error => Err(error),
        }
    }

    /// Deletes what has expired: idempotency keys, leases, reservations, events.
    pub(crate) async fn delete_expired(&self) -> Result<(), sqlx::Error> {
        let before = stamp(Utc::now() - KEPT);
        for statement in [
            "DELETE FROM idempotency WHERE created_at < $1",
            leases::DELETE_EXPIRED,
            budgets::DELETE_EXPIRED,
            budget_scopes::DELETE_WARNED,
            schedules::DELETE_SLOTS,
            erasure::DELETE_RUNS,
        ] {
            let mut tx = self.begin().await?;
            sqlx::query(statement).bind(&before).execute(&mut *tx).await?;
            tx.commit().await?;
        }
        let mut tx = self.begin().await?;
        sqlx::query(memories::DELETE_EXPIRED).bind(now()).execute(&mut *tx).await?;
        tx.commit().await?;
        let before_rules = stamp(Utc::now() - approval_rules::KEPT);
        for statement in [approval_rules::DELETE_USES, approval_rules::DELETE_RULES] {
            let mut tx = self.begin().await?;
            sqlx::query(statement).bind(&before_rules).execute(&mut *tx).await?;
            tx.commit().await?;
        }
        self.delete_old_events(&before).await
    }
}
