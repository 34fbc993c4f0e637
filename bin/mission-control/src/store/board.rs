//! What the page shows, newest first.

use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, time};
use crate::error::ApiError;

/// The most rows of a list on the page.
const SHOWN: u32 = 50;

/// A task as the page lists it.
pub struct TaskRow {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Where it stands.
    pub status: String,
    /// How many messages it has.
    pub messages: i64,
}

/// A notification as the page lists it.
pub struct NotificationRow {
    /// Whom it is for.
    pub session_key: String,
    /// What it says.
    pub content: String,
    /// `waiting`, `being delivered`, `delivered`, or `given up`.
    pub state: &'static str,
    /// Why it was given up, or failed last.
    pub error: Option<String>,
}

/// An agent as the page lists it.
pub struct WakeRow {
    /// Its role.
    pub role: String,
    /// When it last woke.
    pub last_at: Option<DateTime<Utc>>,
    /// How often it woke.
    pub count: i64,
}

fn state(row: &SqliteRow) -> &'static str {
    let is_set = |name: &str| row.get::<Option<String>, _>(name).is_some();
    let time_of = |name: &str| time(&row.get::<Option<String>, _>(name)?);
    if is_set("delivered_at") {
        "delivered"
    } else if is_set("dead_at") {
        "given up"
    } else if time_of("leased_until").is_some_and(|until| until > Utc::now()) {
        "being delivered"
    } else {
        "waiting"
    }
}

impl Store {
    /// The user's newest tasks.
    pub async fn newest_tasks(&self, user_id: &str) -> Result<Vec<TaskRow>, ApiError> {
        let rows = sqlx::query(
            "SELECT id, title, status, (SELECT count(*) FROM messages m WHERE m.task_id = t.id) AS messages \
             FROM tasks t WHERE user_id = ? ORDER BY seq DESC LIMIT ?",
        )
        .bind(user_id)
        .bind(SHOWN)
        .fetch_all(&self.reader)
        .await?;
        let row = |row: &SqliteRow| TaskRow {
            id: row.get("id"),
            title: row.get("title"),
            status: row.get("status"),
            messages: row.get("messages"),
        };
        Ok(rows.iter().map(row).collect())
    }

    /// The user's newest notifications: all, or those of a task.
    pub async fn newest_notifications(
        &self,
        user_id: &str,
        task_id: Option<&str>,
    ) -> Result<Vec<NotificationRow>, ApiError> {
        let rows = sqlx::query(
            "SELECT * FROM notifications WHERE user_id = ?1 AND (?2 IS NULL OR task_id = ?2) ORDER BY seq DESC LIMIT ?3",
        )
        .bind(user_id)
        .bind(task_id)
        .bind(SHOWN)
        .fetch_all(&self.reader)
        .await?;
        let row = |row: &SqliteRow| NotificationRow {
            session_key: row.get("session_key"),
            content: row.get("content"),
            state: state(row),
            error: row.get("error"),
        };
        Ok(rows.iter().map(row).collect())
    }

    /// The user's agents that have woken.
    pub async fn wakes(&self, user_id: &str) -> Result<Vec<WakeRow>, ApiError> {
        let rows = sqlx::query("SELECT * FROM wakes WHERE user_id = ? ORDER BY role LIMIT ?")
            .bind(user_id)
            .bind(SHOWN)
            .fetch_all(&self.reader)
            .await?;
        let row = |row: &SqliteRow| WakeRow {
            role: row.get("role"),
            last_at: time(row.get("last_at")),
            count: row.get("count"),
        };
        Ok(rows.iter().map(row).collect())
    }
}
