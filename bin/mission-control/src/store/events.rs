//! The log of events that the streams read, in order.

use serde::Serialize;
use serde::ser::Error as _;
use serde_json::{Map, Value, json};
use sqlx::{AnyConnection, Row};
use tokio::sync::watch;

use super::error::StoreError;
use super::sql::Sql;
use super::{Store, now};

/// The longest field of an event, in bytes of JSON. Longer fields are left out; a reader can get the
/// object itself.
const MAX_FIELD: usize = 4_000;

/// How many old events are deleted at a time, so that other writes do not wait long.
const DELETED_AT_A_TIME: i64 = 1_000;

/// An event.
#[derive(Debug)]
pub struct Event {
    /// Its number; grows.
    pub id: i64,
    /// Its kind, such as `task.created`.
    pub kind: String,
    /// The object that it is about: JSON on one line.
    pub data: String,
}

/// Records an event in the transaction that makes the change. `id_name` is the name of the object's
/// id in other objects, such as `task_id`.
pub async fn record(
    tx: &mut AnyConnection,
    user_id: &str,
    kind: &str,
    id_name: &str,
    object: &impl Serialize,
) -> Result<(), StoreError> {
    record_of(tx, user_id, None, kind, id_name, object).await
}

/// As [`record`], for what concerns one role of the user: agents of others do not hear of it.
pub(super) async fn record_of(
    tx: &mut AnyConnection,
    user_id: &str,
    role: Option<&str>,
    kind: &str,
    id_name: &str,
    object: &impl Serialize,
) -> Result<(), StoreError> {
    let Value::Object(object) = serde_json::to_value(object)? else {
        return Err(serde_json::Error::custom("an event must be about an object").into());
    };
    let short = |value: &Value| match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => text.len() <= MAX_FIELD,
        value @ (Value::Array(_) | Value::Object(_)) => value.to_string().len() <= MAX_FIELD,
    };
    let mut data: Map<_, _> = object.into_iter().filter(|(_, value)| short(value)).collect();
    if let Some(id) = data.get("id").cloned() {
        data.insert(id_name.to_owned(), id);
    }
    data.insert("type".to_owned(), json!(kind));
    data.insert("user_id".to_owned(), json!(user_id));
    sqlx::query(
        "INSERT INTO events (user_id, role, kind, data, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(user_id)
    .bind(role)
    .bind(kind)
    .bind(Value::Object(data).to_string())
    .bind(now())
    .execute(tx)
    .await?;
    Ok(())
}

impl Store {
    /// Signals every write.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The newest event's number; 0 before the first.
    pub(crate) async fn last_event(&self) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT coalesce(max(id), 0) AS last FROM events")
            .fetch_one(&self.reader)
            .await?;
        Ok(row.get("last"))
    }

    /// The events after a number, about a user's objects or everybody's; with a role without what
    /// concerns only others.
    pub(crate) async fn events_after(
        &self,
        user_id: Option<&str>,
        role: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let rows = Sql::new("SELECT id, kind, data FROM events WHERE id > ?", after)
            .and(" AND user_id = ?", user_id)
            .and(" AND (role IS NULL OR role = ?)", role)
            .and(" ORDER BY id LIMIT ?", Some(i64::from(limit)))
            .fetch_all(&self.reader)
            .await?;
        let event = |row: &sqlx::any::AnyRow| Event {
            id: row.get("id"),
            kind: row.get("kind"),
            data: row.get("data"),
        };
        Ok(rows.iter().map(event).collect())
    }

    /// Deletes events before a time. The newest one stays, so that numbers are never reused.
    pub(super) async fn delete_old_events(&self, before: &str) -> Result<(), sqlx::Error> {
        loop {
            let mut tx = self.begin().await?;
            let done = sqlx::query(
                "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT $1) AND created_at < $2 \
                 AND id < (SELECT max(id) FROM events)",
            )
            .bind(DELETED_AT_A_TIME)
            .bind(before)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            if done.rows_affected() < DELETED_AT_A_TIME.unsigned_abs() {
                return Ok(());
            }
        }
    }
}
