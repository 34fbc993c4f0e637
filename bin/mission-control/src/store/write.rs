//! Writes: one at a time, each on its condition, creates at most once for a key.

use std::ops::{Deref, DerefMut};

use mc_client::idempotency::canonical_json;
use serde::Serialize;
use serde_json::Value;
use sqlx::{Any, AnyConnection, Row, Transaction};
use tokio::sync::watch;

use super::error::StoreError;
use super::leases::Fence;
use super::{Store, json_of, leases, now};

/// A write that is being made; nothing of it stays unless it is committed.
pub(super) struct Write {
    tx: Transaction<'static, Any>,
    changed: watch::Sender<()>,
    written: watch::Sender<()>,
}

impl Write {
    /// Makes it last, and wakes those who listen.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
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

impl Store {
    /// Begins a write, when it is its turn.
    pub(super) async fn begin(&self) -> Result<Write, sqlx::Error> {
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
    pub(super) async fn write(&self, scope: Scope<'_>) -> Result<Write, StoreError> {
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
