//! The demo application's table: the schools on a user's shortlist.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::store::{Store, StoreError, now, time};

/// A school on a user's list.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    /// The school.
    school_id: String,
    /// Why it is there.
    note: Option<String>,
    /// Since when.
    added_at: Option<DateTime<Utc>>,
}

fn entry(row: &AnyRow) -> Entry {
    Entry {
        school_id: row.get("school_id"),
        note: row.get("note"),
        added_at: time(row.get("added_at")),
    }
}

/// Puts a school on the list; one that is there gets the new note.
pub(super) async fn put(
    tx: &mut AnyConnection,
    user_id: &str,
    school_id: &str,
    note: Option<&str>,
) -> Result<Entry, StoreError> {
    let row = sqlx::query(
        "INSERT INTO shortlist (user_id, school_id, note, added_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (user_id, school_id) DO UPDATE SET note = coalesce(excluded.note, shortlist.note) RETURNING *",
    )
    .bind(user_id)
    .bind(school_id)
    .bind(note)
    .bind(now())
    .fetch_one(tx)
    .await?;
    Ok(entry(&row))
}

/// The user's shortlist, in the order in which schools were added.
pub(super) async fn of(store: &Store, user_id: &str) -> Result<Vec<Entry>, StoreError> {
    let rows = sqlx::query("SELECT * FROM shortlist WHERE user_id = $1 ORDER BY added_at")
        .bind(user_id)
        .fetch_all(store.reader())
        .await?;
    Ok(rows.iter().map(entry).collect())
}
