//! The database: a SQLite file, or a PostgreSQL server that several instances share.
//!
//! Both run the same statements over the same tables, in which times and JSON are text. Writes take
//! turns, each seeing all that was written before: on a file by its one writing connection, on a
//! server by a lock that ends with the transaction. So a rule that looks before it writes is the
//! same on both, and events have their numbers in the order in which they can be seen. A write is on
//! disk before it is acknowledged.

pub mod board;
pub mod budgets;
pub mod database;
pub mod dead_letters;
pub mod dispatch;
pub mod documents;
mod error;
pub mod events;
pub mod leases;
pub mod messages;
pub mod notifications;
pub mod paging;
mod pg_notify;
mod run_rows;
pub mod runs;
mod sql;
pub mod tasks;
pub mod tool_requests;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use mc_client::idempotency::canonical_json;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use sqlx::{Any, AnyConnection, AnyPool, Row, Transaction};
use tokio::sync::watch;

pub use self::error::{Conflict, StoreError};

use crate::store::database::Database;
use crate::store::leases::Fence;

/// How long keys are kept: longer than the contract's 24 hours.
const KEPT: chrono::Duration = chrono::Duration::hours(48);

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    writer: AnyPool,
    reader: AnyPool,
    /// Told of every write that was made, by whichever instance.
    changed: watch::Sender<()>,
    /// Told of every write that this instance made.
    written: watch::Sender<()>,
    /// The server, where other instances may be on it too.
    shared: Option<SecretString>,
    /// This instance among them.
    instance: Arc<str>,
}

/// A write that is being made; nothing of it stays unless it is committed.
struct Write {
    tx: Transaction<'static, Any>,
    changed: watch::Sender<()>,
    written: watch::Sender<()>,
}

impl Write {
    /// Makes it last, and wakes those who listen.
    async fn commit(self) -> Result<(), sqlx::Error> {
        self.tx.commit().await?;
        self.changed.send_replace(());
        self.written.send_replace(());
        Ok(())
    }
}

impl Deref for Write {
    type Target = AnyConnection;
    fn deref(&self) -> &AnyConnection {
        &self.tx
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.tx
    }
}

/// What a write may touch, and on what condition.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The user whose objects it is about.
    pub user_id: &'a str,
    /// The turn in a session that it belongs to: once that is another's, nothing is written.
    pub fence: Option<&'a Fence>,
}

impl<'a> Scope<'a> {
    /// All that is the user's, on no condition.
    pub fn of(user_id: &'a str) -> Self {
        Self { user_id, fence: None }
    }
}

/// What a create gave.
pub struct Created {
    /// The object.
    pub body: Value,
    /// Whether it had been created before under the same key.
    pub replayed: bool,
}

/// A time as the database has it; sorts as text.
pub fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The moment.
pub fn now() -> String {
    stamp(Utc::now())
}

/// A new id; sorts by time.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A stored time.
pub fn time(text: &str) -> Option<DateTime<Utc>> {
    text.parse().ok()
}

/// Stored JSON.
pub fn json_of<T: serde::de::DeserializeOwned>(text: Option<String>) -> Option<T> {
    serde_json::from_str(&text?).ok()
}

impl Store {
    /// Opens the database, making its tables where they are missing.
    pub async fn open(database: &Database) -> Result<Self, sqlx::Error> {
        let (writer, reader) = database.open().await?;
        let shared = match database {
            Database::File(_) => None,
            Database::Postgres(url) => Some(url.clone()),
        };
        Ok(Self {
            writer,
            reader,
            changed: watch::Sender::new(()),
            written: watch::Sender::new(()),
            shared,
            instance: new_id().into(),
        })
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Connections for reading, for the tables of applications beside the contract's.
    pub(crate) fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.reader).await?;
        Ok(())
    }

    /// Drops what is older than it is kept: idempotency keys, leases and
    /// reservations that ended, events.
    pub(crate) async fn forget(&self) -> Result<(), sqlx::Error> {
        let before = stamp(Utc::now() - KEPT);
        for statement in [
            "DELETE FROM idempotency WHERE created_at < $1",
            leases::OLD,
            budgets::OLD_RESERVATIONS,
        ] {
            let mut tx = self.begin().await?;
            sqlx::query(statement).bind(&before).execute(&mut *tx).await?;
            tx.commit().await?;
        }
        self.forget_old_events(&before).await
    }

    /// Begins a write, when it is its turn.
    async fn begin(&self) -> Result<Write, sqlx::Error> {
        let (changed, written) = (self.changed.clone(), self.written.clone());
        if self.shared.is_none() {
            // Never part of a transaction that is open already: that is an error.
            let tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
            return Ok(Write { tx, changed, written });
        }
        let mut tx = self.writer.begin().await?;
        // A statement of its own: what comes after it sees all that was committed before.
        sqlx::query("LOCK TABLE write_turn IN EXCLUSIVE MODE").execute(&mut *tx).await?;
        Ok(Write { tx, changed, written })
    }

    /// Begins a write, on its condition.
    async fn write(&self, scope: Scope<'_>) -> Result<Write, StoreError> {
        let mut tx = self.begin().await?;
        if let Some(fence) = scope.fence {
            leases::check(&mut tx, scope.user_id, fence).await?;
        }
        Ok(tx)
    }

    /// A create: made at most once for a key. `body` is what the caller sent, `make` does the work
    /// in the same transaction that remembers the key.
    pub async fn create<T: Serialize>(
        &self,
        scope: Scope<'_>,
        endpoint: &str,
        key: Option<&str>,
        body: &Value,
        make: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<Created, StoreError> {
        let user_id = scope.user_id;
        let mut tx = self.write(scope).await?;
        let body = canonical_json(body);
        if let Some(key) = key {
            let known = sqlx::query("SELECT body, response FROM idempotency WHERE user_id = $1 AND endpoint = $2 AND key = $3")
                .bind(user_id)
                .bind(endpoint)
                .bind(key)
                .fetch_optional(&mut *tx)
                .await?;
            if let Some(known) = known {
                let response = json_of(Some(known.get("response"))).unwrap_or(Value::Null);
                return if known.get::<String, _>("body") == body {
                    Ok(Created { body: response, replayed: true })
                } else {
                    Err(StoreError::KeyReused { original: response })
                };
            }
        }
        let made = make(&mut *tx).await?;
        let response = serde_json::to_value(&made)?;
        if let Some(key) = key {
            sqlx::query("INSERT INTO idempotency (user_id, endpoint, key, body, response, created_at) VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(user_id)
                .bind(endpoint)
                .bind(key)
                .bind(body)
                .bind(response.to_string())
                .bind(now())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(Created { body: response, replayed: false })
    }
}
