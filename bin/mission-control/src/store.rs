//! The database: SQLite, one writer, several readers.
//!
//! Every write goes through the one writing connection, so that no two writes ever wait for each
//! other's locks, and is on disk before it is acknowledged (WAL, `synchronous = FULL`).

pub mod board;
pub mod budgets;
pub mod dispatch;
pub mod documents;
pub mod events;
pub mod leases;
pub mod messages;
pub mod notifications;
pub mod runs;
pub mod shortlist;
pub mod tasks;
pub mod tool_requests;

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use mc_client::idempotency::canonical_json;
use serde::Serialize;
use serde_json::Value;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row, Sqlite, SqliteConnection, Transaction};
use tokio::sync::watch;

use crate::error::ApiError;
use crate::store::leases::Fence;

/// How long a write waits for its turn before the caller is told to come back.
const TURN: Duration = Duration::from_secs(10);

/// How long keys are kept: longer than the contract's 24 hours.
const KEPT: chrono::Duration = chrono::Duration::hours(48);

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
    /// Told of every write that was made.
    changed: watch::Sender<()>,
}

/// A write that is being made; nothing of it stays unless it is committed.
struct Write {
    tx: Transaction<'static, Sqlite>,
    changed: watch::Sender<()>,
}

impl Write {
    /// Makes it last, and wakes those who listen.
    async fn commit(self) -> Result<(), sqlx::Error> {
        self.tx.commit().await?;
        self.changed.send_replace(());
        Ok(())
    }
}

impl Deref for Write {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.tx
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
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
    /// Opens the file, making it and its tables where they are missing.
    pub async fn open(file: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::from_str("sqlite:")?
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        let pool = |size| SqlitePoolOptions::new().max_connections(size).acquire_timeout(TURN);
        let writer = pool(1).connect_with(options.clone()).await?;
        sqlx::migrate!().run(&writer).await?;
        let reader = pool(4).connect_with(options).await?;
        Ok(Self { writer, reader, changed: watch::Sender::new(()) })
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), ApiError> {
        sqlx::query("SELECT 1").execute(&self.reader).await?;
        Ok(())
    }

    /// Drops what is older than it is kept: idempotency keys, leases and
    /// reservations that ended, events.
    pub(crate) async fn forget(&self) -> Result<(), sqlx::Error> {
        let before = stamp(Utc::now() - KEPT);
        sqlx::query("DELETE FROM idempotency WHERE created_at < ?")
            .bind(&before)
            .execute(&self.writer)
            .await?;
        self.forget_old_leases(&before).await?;
        self.forget_old_reservations(&before).await?;
        self.forget_old_events(&before).await
    }

    /// Begins a write.
    async fn write(&self, scope: Scope<'_>) -> Result<Write, ApiError> {
        let mut tx = Write { tx: self.writer.begin().await?, changed: self.changed.clone() };
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
        make: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, ApiError>,
    ) -> Result<Created, ApiError> {
        let user_id = scope.user_id;
        let mut tx = self.write(scope).await?;
        let body = canonical_json(body);
        if let Some(key) = key {
            let known = sqlx::query("SELECT body, response FROM idempotency WHERE user_id = ? AND endpoint = ? AND key = ?")
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
                    Err(ApiError::conflict(response))
                };
            }
        }
        let made = make(&mut *tx).await?;
        let response = serde_json::to_value(&made).map_err(|_| ApiError::internal())?;
        if let Some(key) = key {
            sqlx::query("INSERT INTO idempotency (user_id, endpoint, key, body, response, created_at) VALUES (?, ?, ?, ?, ?, ?)")
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
