//! Deliveries that failed: attempts, dead letters, and the way back into the queue.

use chrono::Utc;
use mc_client::types::{DeadLetter, DeliveryFailure, Page};
use sqlx::{AnyConnection, Row};

use super::audit::Act;
use super::dispatch::delivery;
use super::error::{Conflict, StoreError};
use super::paging::{page, rows_for};
use super::sql::flag;
use super::{Scope, Store, audit, dead_letter_digests, notifications, stamp, time, urgency};

/// The state of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Waiting, or leased by a dispatcher.
    Queue,
    /// Acknowledged as delivered.
    Delivered,
    /// A dead letter.
    Dead,
}

async fn state_of(
    tx: &mut AnyConnection,
    id: &str,
    user_id: &str,
) -> Result<DeliveryState, StoreError> {
    let row = sqlx::query("SELECT delivered_at IS NOT NULL AS delivered, dead_at IS NOT NULL AS dead FROM notifications WHERE id = $1 AND user_id = $2")
        .bind(id)
        .bind(user_id)
        .fetch_optional(tx)
        .await?
        .ok_or_else(|| StoreError::NotFound("notification"))?;
    Ok(match (flag(&row, "delivered"), flag(&row, "dead")) {
        (true, _) => DeliveryState::Delivered,
        (false, true) => DeliveryState::Dead,
        (false, false) => DeliveryState::Queue,
    })
}

impl Store {
    /// Records a failed delivery. With `dead` the notification leaves the queue as a dead letter; one
    /// that was delivered meanwhile stays delivered.
    pub async fn fail(
        &self,
        id: &str,
        user_id: &str,
        failure: &DeliveryFailure,
    ) -> Result<DeliveryState, StoreError> {
        let mut tx = self.begin().await?;
        let state = state_of(&mut tx, id, user_id).await?;
        if state != DeliveryState::Delivered {
            let at = Utc::now();
            let row = sqlx::query(
                "UPDATE notifications SET error = $1, attempts = $2, \
                 dead_at = CASE WHEN $3 = 1 THEN coalesce(dead_at, $4) ELSE dead_at END, \
                 leased_until = CASE WHEN $3 = 1 THEN NULL ELSE leased_until END, \
                 parked = CASE WHEN $3 = 1 THEN 0 ELSE parked END WHERE id = $5 RETURNING session_key, priority, turn",
            )
            .bind(&failure.error)
            .bind(i64::from(failure.attempts))
            .bind(i64::from(failure.dead))
            .bind(stamp(at))
            .bind(id)
            .fetch_one(&mut *tx)
            .await?;
            if failure.dead && state == DeliveryState::Queue {
                if urgency::has_raised(&row) {
                    urgency::lower(&mut tx, &[row.get("session_key")]).await?;
                }
                dead_letter_digests::note(&mut tx, user_id, at).await?;
            }
        }
        tx.commit().await?;
        Ok(if failure.dead && state == DeliveryState::Queue { DeliveryState::Dead } else { state })
    }

    /// Puts a dead letter back into the queue with zero attempts. One that is in the queue keeps its
    /// lease: a dispatcher is working on it.
    pub async fn requeue(&self, scope: Scope<'_>, id: &str) -> Result<(), StoreError> {
        let user_id = scope.user_id;
        let mut tx = self.begin().await?;
        match state_of(&mut tx, id, user_id).await? {
            DeliveryState::Queue => {}
            DeliveryState::Delivered => {
                return Err(Conflict::AlreadyDelivered.into());
            }
            DeliveryState::Dead => {
                let row =
                    sqlx::query("SELECT session_key, priority FROM notifications WHERE id = $1")
                        .bind(id)
                        .fetch_one(&mut *tx)
                        .await?;
                let (session, own) = (row.get("session_key"), row.get("priority"));
                let turn = urgency::join(&mut tx, session, own).await?.turn;
                // Its text has been sent under its id: another one must not take its place.
                let row = sqlx::query(
                    "UPDATE notifications SET dead_at = NULL, error = NULL, attempts = 0, leased_until = NULL, \
                     turn = $1, parked = 0, collapse_key = NULL WHERE id = $2 RETURNING *",
                )
                .bind(turn)
                .bind(id)
                .fetch_one(&mut *tx)
                .await?;
                // Dispatchers that listen need not wait for their next poll.
                notifications::requeued(&mut tx, &row).await?;
                let act = Act::new(scope.by, "notification.requeued");
                audit::record(&mut tx, &act.of(user_id).about("notification", id)).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// The dead letters, newest first.
    pub async fn dead_letters(
        &self,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Page<DeadLetter>, StoreError> {
        let rows = sqlx::query("SELECT * FROM notifications WHERE dead_at IS NOT NULL AND seq < $1 ORDER BY seq DESC LIMIT $2")
            .bind(before.unwrap_or(i64::MAX))
            .bind(rows_for(limit))
            .fetch(&self.reader);
        page(rows, limit, |row| DeadLetter {
            delivery: delivery(row),
            error: row.get::<Option<String>, _>("error").unwrap_or_default(),
            failed_at: time(row.get("dead_at")),
        })
        .await
    }
}
