//! The queue of notifications that wait for the dispatcher.

use chrono::Utc;
use mc_client::types::{DeadLetter, Delivery, DeliveryFailure, Page};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, now, stamp, time};
use crate::error::ApiError;
use crate::extract::cursor;

fn delivery(row: &SqliteRow) -> Delivery {
    Delivery {
        notification_id: row.get("id"),
        user_id: row.get("user_id"),
        session_key: row.get("session_key"),
        content: row.get("content"),
        task_id: row.get("task_id"),
        run_key: None,
        created_at: time(row.get("created_at")),
        attempts: u32::try_from(row.get::<i64, _>("attempts")).ok(),
        metadata: None,
    }
}

impl Store {
    /// What waits, oldest first. With a lease nobody else is given the same until it ends, and a
    /// session of which something is leased waits as a whole, so that its order holds.
    pub async fn undelivered(
        &self,
        users: u32,
        limit: u32,
        lease_seconds: Option<u32>,
    ) -> Result<Vec<Delivery>, ApiError> {
        let at = Utc::now();
        let mut tx = self.writer.begin().await?;
        let rows = sqlx::query(
            "SELECT n.* FROM notifications n WHERE n.delivered_at IS NULL AND n.dead_at IS NULL \
             AND (n.leased_until IS NULL OR n.leased_until <= ?1) \
             AND NOT EXISTS (SELECT 1 FROM notifications o WHERE o.session_key = n.session_key AND o.seq < n.seq \
               AND o.delivered_at IS NULL AND o.dead_at IS NULL AND o.leased_until > ?1) \
             AND n.user_id IN (SELECT user_id FROM notifications WHERE delivered_at IS NULL AND dead_at IS NULL \
               AND (leased_until IS NULL OR leased_until <= ?1) GROUP BY user_id ORDER BY min(seq) LIMIT ?2) \
             ORDER BY n.seq LIMIT ?3",
        )
        .bind(stamp(at))
        .bind(users)
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
        if let Some(seconds) = lease_seconds {
            let until = stamp(at + chrono::Duration::seconds(seconds.into()));
            for row in &rows {
                sqlx::query("UPDATE notifications SET leased_until = ? WHERE seq = ?")
                    .bind(&until)
                    .bind(row.get::<i64, _>("seq"))
                    .execute(&mut *tx)
                    .await?;
            }
        }
        tx.commit().await?;
        Ok(rows.iter().map(delivery).collect())
    }

    /// Marks a notification as delivered. Repeating it is harmless.
    pub async fn deliver(&self, id: &str, user_id: &str) -> Result<(), ApiError> {
        let done = sqlx::query("UPDATE notifications SET delivered_at = coalesce(delivered_at, ?), leased_until = NULL WHERE id = ? AND user_id = ?")
            .bind(now())
            .bind(id)
            .bind(user_id)
            .execute(&self.writer)
            .await?;
        found(done.rows_affected())
    }

    /// Notes a failure; a dead one leaves the queue.
    pub async fn fail(
        &self,
        id: &str,
        user_id: &str,
        failure: &DeliveryFailure,
    ) -> Result<(), ApiError> {
        let done = sqlx::query(
            "UPDATE notifications SET error = ?, attempts = ?, dead_at = CASE WHEN ? THEN coalesce(dead_at, ?) ELSE dead_at END, \
             leased_until = CASE WHEN ? THEN NULL ELSE leased_until END WHERE id = ? AND user_id = ? AND delivered_at IS NULL",
        )
        .bind(&failure.error)
        .bind(failure.attempts)
        .bind(failure.dead)
        .bind(now())
        .bind(failure.dead)
        .bind(id)
        .bind(user_id)
        .execute(&self.writer)
        .await?;
        found(done.rows_affected())
    }

    /// Puts a dead one back with its attempts at zero.
    pub async fn requeue(&self, id: &str, user_id: &str) -> Result<(), ApiError> {
        let done = sqlx::query(
            "UPDATE notifications SET dead_at = NULL, error = NULL, attempts = 0, leased_until = NULL \
             WHERE id = ? AND user_id = ? AND delivered_at IS NULL",
        )
        .bind(id)
        .bind(user_id)
        .execute(&self.writer)
        .await?;
        found(done.rows_affected())
    }

    /// What was given up, newest first.
    pub async fn dead(
        &self,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Page<DeadLetter>, ApiError> {
        let mut rows = sqlx::query("SELECT * FROM notifications WHERE dead_at IS NOT NULL AND seq < ? ORDER BY seq DESC LIMIT ?")
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.reader)
            .await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next_cursor = more.then(|| rows.last().map(|row| cursor(row.get("seq")))).flatten();
        let items = rows
            .iter()
            .map(|row| DeadLetter {
                delivery: delivery(row),
                error: row.get::<Option<String>, _>("error").unwrap_or_default(),
                failed_at: time(row.get("dead_at")),
            })
            .collect();
        Ok(Page { items, next_cursor })
    }
}

fn found(rows: u64) -> Result<(), ApiError> {
    if rows > 0 { Ok(()) } else { Err(ApiError::not_found("notification")) }
}
