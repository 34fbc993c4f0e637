//! What tells a user's people of dead letters: one event at once, and once an hour at most. What dies meanwhile is told
//! when the hour is over.

use chrono::{DateTime, TimeDelta, Utc};
use mc_client::delivery_options::DEAD_LETTERS_DIGEST;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::{Store, dead_letter_groups, events, stamp, time};

/// How long after one the next may come.
const PACE: TimeDelta = TimeDelta::hours(1);

/// The most groups that an event tells of; `GET /dead-letters` has all.
const MAX_TOLD: usize = 5;

/// The most characters of a cause that an event tells.
const MAX_CAUSE: usize = 200;

/// How many users are told in one transaction.
const USERS_AT_A_TIME: i64 = 100;

/// Nobody's role: agents do not hear of it.
const NO_ROLE: &str = "";

/// Tells a user's people what died since they were last told.
async fn tell(
    tx: &mut AnyConnection,
    user_id: &str,
    since: &str,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT count(*) AS many FROM notifications WHERE user_id = $1 AND dead_at IS NOT NULL AND dead_at > $2",
    )
    .bind(user_id)
    .bind(since)
    .fetch_one(&mut *tx)
    .await?;
    let many = row.get::<i64, _>("many");
    // They may have been put back, or delivered after all.
    if many > 0 {
        let limit = i64::try_from(MAX_TOLD).unwrap_or(i64::MAX);
        let groups = dead_letter_groups::groups(tx, user_id, since, None, limit).await?;
        let told = groups.into_iter().map(|(group, _)| {
            let cause: String = group.cause.chars().take(MAX_CAUSE).collect();
            json!({
                "cause": cause, "session_key": group.session_key, "count": group.count,
                "first_at": group.first_at, "last_at": group.last_at
            })
        });
        let data = json!({
            "count": many, "since": time(since), "items": told.collect::<Vec<Value>>()
        });
        events::record_of(tx, user_id, Some(NO_ROLE), DEAD_LETTERS_DIGEST, "id", &data).await?;
    }
    sqlx::query(
        "INSERT INTO dead_letter_digests (user_id, sent_at, due_at) VALUES ($1, $2, NULL) \
         ON CONFLICT (user_id) DO UPDATE SET sent_at = excluded.sent_at, due_at = NULL",
    )
    .bind(user_id)
    .bind(stamp(at))
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that something of a user's has died, just before `at`: it is told at once, or when the hour is over.
pub(super) async fn note(
    tx: &mut AnyConnection,
    user_id: &str,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT sent_at, due_at FROM dead_letter_digests WHERE user_id = $1")
        .bind(user_id)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return tell(tx, user_id, "", at).await };
    let sent: &str = row.get("sent_at");
    let due = time(sent).map_or(at, |sent| sent + PACE);
    if due <= at {
        return tell(tx, user_id, sent, at).await;
    }
    if row.get::<Option<&str>, _>("due_at").is_none() {
        sqlx::query("UPDATE dead_letter_digests SET due_at = $1 WHERE user_id = $2")
            .bind(stamp(due))
            .bind(user_id)
            .execute(tx)
            .await?;
    }
    Ok(())
}

impl Store {
    /// Tells what is due.
    pub(crate) async fn tell_dead_letters(&self, at: DateTime<Utc>) -> Result<(), StoreError> {
        const DUE: &str = "SELECT user_id, sent_at FROM dead_letter_digests WHERE due_at <= $1 ORDER BY due_at LIMIT $2";
        let is_due = sqlx::query(DUE).bind(stamp(at)).bind(1_i64).fetch_optional(&self.reader);
        if is_due.await?.is_none() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let due = sqlx::query(DUE).bind(stamp(at)).bind(USERS_AT_A_TIME).fetch_all(&mut *tx);
        for row in due.await? {
            tell(&mut tx, row.get("user_id"), row.get("sent_at"), at).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
