//! Writes: one at a time, fenced by the session's lease where they name one, and creates that happen
//! at most once for an idempotency key.

use std::ops::{Deref, DerefMut};

use mc_client::idempotency::canonical_json;
use serde::Serialize;
use serde_json::Value;
use sqlx::{AnyConnection, Row};

use super::audit::{Actor, By};
use super::error::StoreError;
use super::leases::Fence;
use super::turns::Turn;
use super::{Store, json_of, leases, now};

/// A write; undone unless it is committed.
pub(super) struct Write(Turn);

impl Write {
    /// Commits, and wakes the event streams. Returns once it is on disk.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.0.keep(true).await
    }

    /// Commits what made no event.
    pub(super) async fn commit_untold(self) -> Result<(), sqlx::Error> {
        self.0.keep(false).await
    }
}

impl Deref for Write {
    type Target = AnyConnection;
    fn deref(&self) -> &AnyConnection {
        &self.0
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.0
    }
}

/// Whose objects a call may touch, under which lease, and who makes it.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The user whose objects it may touch.
    pub user_id: &'a str,
    /// The one role whose sessions, runs, leases and tool requests it may touch; those of all the
    /// user's roles if absent.
    pub role: Option<&'a str>,
    /// Who makes it, for the audit log.
    pub by: By<'a>,
    /// The session lease that it belongs to; the write is refused once somebody else holds the lease.
    pub fence: Option<&'a Fence>,
    /// When the token of the agent that makes it was issued, in milliseconds since 1970.
    pub issued_at: Option<u64>,
}

impl<'a> Scope<'a> {
    /// All of a user's objects, for that person, without a lease.
    pub fn of(user_id: &'a str) -> Self {
        let by = By::new(Actor::Person(user_id));
        Self { user_id, role: None, by, fence: None, issued_at: None }
    }

    /// The role of the agent that makes the call, lead or not.
    pub(crate) fn own_role(&self) -> Option<&'a str> {
        match self.by.actor {
            Actor::Agent { role, .. } => Some(role),
            Actor::Person(_) | Actor::Unnamed | Actor::Service | Actor::System => None,
        }
    }

    /// The same, made by somebody else.
    #[must_use]
    pub fn by(self, by: By<'a>) -> Self {
        Self { by, ..self }
    }
}

/// The outcome of a create.
pub struct Created {
    /// The object.
    pub body: Value,
    /// Whether it was created earlier under the same idempotency key.
    pub replayed: bool,
}

impl Store {
    /// Begins a write; waits for the one that is going on.
    pub(super) async fn begin(&self) -> Result<Write, sqlx::Error> {
        Ok(Write(self.turns.next().await?))
    }

    /// Begins a write and checks its lease.
    pub(super) async fn write(&self, scope: Scope<'_>) -> Result<Write, StoreError> {
        let mut tx = self.begin().await?;
        self.check_erased(&mut tx, scope).await?;
        if let Some(fence) = scope.fence {
            leases::check(&mut tx, scope, fence).await?;
        }
        Ok(tx)
    }

    /// Creates an object, at most once for an idempotency key. `body` is what the caller sent;
    /// `make` does the work in the transaction that stores the key. A repetition with the same body
    /// gets the stored answer, one with another body [`StoreError::KeyReused`]. An agent's keys are
    /// its role's own, so that no role takes another one's; those of tasks, which roles share, are
    /// the user's.
    pub async fn create<T: Serialize>(
        &self,
        scope: Scope<'_>,
        endpoint: &str,
        key: Option<&str>,
        body: &Value,
        make: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<Created, StoreError> {
        let user_id = scope.user_id;
        let role = scope.own_role().filter(|_| endpoint != "tasks").unwrap_or_default();
        let body = canonical_json(body);
        let mut tx = self.write(scope).await?;
        if let Some(key) = key {
            // No role's are a person's keys, and those from before roles had their own.
            let known = sqlx::query(
                "SELECT body, response FROM idempotency WHERE user_id = $1 AND endpoint = $2 AND key = $3 \
                 AND role IN ($4, '') ORDER BY role DESC LIMIT 1",
            )
                .bind(user_id)
                .bind(endpoint)
                .bind(key)
                .bind(role)
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
            sqlx::query("INSERT INTO idempotency (user_id, endpoint, key, role, body, response, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)")
                .bind(user_id)
                .bind(endpoint)
                .bind(key)
                .bind(role)
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
