//! Notifications as their user sees them, and heartbeats.

use mc_client::events::{NOTIFICATION_CREATED, NOTIFICATION_REQUEUED};
use mc_client::types::{CreateNotification, Notification, Page, Pending};
use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::paging::{page, rows_for};
use super::sql::Sql;
use super::{Scope, Store, events, new_id, now, session_of, session_role, tasks, time, urgency};

fn notification(row: &AnyRow) -> Notification {
    Notification {
        id: row.get("id"),
        user_id: row.get("user_id"),
        session_key: row.get("session_key"),
        content: row.get("content"),
        task_id: row.get("task_id"),
        run_key: row.get("run_key"),
        read: row.get::<Option<String>, _>("read_at").is_some(),
        delivered: row.get::<Option<String>, _>("delivered_at").is_some(),
        created_at: time(row.get("created_at")),
        collapse_key: row.get("collapse_key"),
        priority: Some(urgency::priority(row)),
        collapsed: u64::try_from(row.get::<i64, _>("collapsed")).ok().filter(|many| *many > 0),
    }
}

/// Puts a new notification's text in the place of what waits under its key, where something does that nobody was
/// given yet.
async fn collapse(
    tx: &mut AnyConnection,
    new: &CreateNotification,
    own: i64,
) -> Result<Option<Notification>, StoreError> {
    let row = sqlx::query(
        "UPDATE notifications SET content = $1, task_id = $2, read_at = NULL, collapsed = collapsed + 1, \
         priority = CASE WHEN priority < $3 THEN priority ELSE $3 END WHERE seq = (SELECT max(seq) FROM notifications \
         WHERE session_key = $4 AND collapse_key = $5 AND delivered_at IS NULL AND dead_at IS NULL \
         AND leased_until IS NULL) RETURNING *",
    )
    .bind(&new.content)
    .bind(&new.task_id)
    .bind(own)
    .bind(&new.session_key)
    .bind(&new.collapse_key)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if own < row.get::<i64, _>("turn") {
        urgency::raise(tx, &new.session_key, own).await?;
    }
    let made = notification(&row);
    // Whoever waits for what is new hears of it as of any other.
    events::record(tx, &new.user_id, NOTIFICATION_CREATED, "notification_id", &made).await?;
    Ok(Some(made))
}

/// What the backend itself adds to a notification.
#[derive(Debug, Default)]
pub struct Extras<'a> {
    /// The journaled run that the session resumes with it.
    pub run_key: Option<&'a str>,
    /// Passed on with the delivery.
    pub metadata: Option<Map<String, Value>>,
}

/// Creates a notification, or collapses it into one that waits.
pub async fn insert(
    tx: &mut AnyConnection,
    new: &CreateNotification,
    extras: Extras<'_>,
) -> Result<Notification, StoreError> {
    if let Some(task_id) = &new.task_id {
        tasks::ensure_exists(tx, &new.user_id, task_id).await?;
    }
    let own = urgency::number(new.priority.unwrap_or_default());
    if new.collapse_key.is_some()
        && let Some(made) = collapse(tx, new, own).await?
    {
        return Ok(made);
    }
    let joined = urgency::join(tx, &new.session_key, own).await?;
    // Clocks of instances differ; in a session the newer one is never the older one.
    let at = joined.newest.into_iter().fold(now(), std::cmp::max);
    let row = sqlx::query(
        "INSERT INTO notifications (id, user_id, session_key, content, task_id, run_key, metadata, created_at, \
         collapse_key, priority, turn) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING *",
    )
    .bind(new_id())
    .bind(&new.user_id)
    .bind(&new.session_key)
    .bind(&new.content)
    .bind(&new.task_id)
    .bind(extras.run_key)
    .bind(extras.metadata.map(|metadata| Value::Object(metadata).to_string()))
    .bind(at)
    .bind(&new.collapse_key)
    .bind(own)
    .bind(joined.turn)
    .fetch_one(&mut *tx)
    .await?;
    let made = notification(&row);
    // About a run only its role hears.
    let role = extras.run_key.and_then(|_| session_role(&new.user_id, &new.session_key));
    events::record_of(tx, &new.user_id, role, NOTIFICATION_CREATED, "notification_id", &made)
        .await?;
    Ok(made)
}

/// Tells that a dead letter is in the queue again.
pub(super) async fn requeued(tx: &mut AnyConnection, row: &AnyRow) -> Result<(), StoreError> {
    let again = notification(row);
    // About a run only its role hears.
    let role =
        again.run_key.as_ref().and_then(|_| session_role(&again.user_id, &again.session_key));
    events::record_of(tx, &again.user_id, role, NOTIFICATION_REQUEUED, "notification_id", &again)
        .await
}

impl Store {
    /// The user's notifications, oldest first: without those about other roles' runs.
    pub async fn notifications(
        &self,
        scope: Scope<'_>,
        unread: bool,
        limit: u32,
        after: Option<i64>,
    ) -> Result<Page<Notification>, StoreError> {
        let piece = match unread {
            true => "SELECT * FROM notifications WHERE read_at IS NULL AND user_id = ?",
            false => "SELECT * FROM notifications WHERE user_id = ?",
        };
        let own = scope.role.map(|role| session_of(scope.user_id, role));
        let rows = Sql::new(piece, scope.user_id)
            .and(" AND (run_key IS NULL OR session_key = ?)", own)
            .and(" AND seq > ?", after)
            .and(" ORDER BY seq LIMIT ?", Some(rows_for(limit)))
            .fetch(&self.reader);
        page(rows, limit, notification).await
    }

    /// Marks a notification as read. Repeating it is harmless.
    pub async fn read_notification(
        &self,
        user_id: &str,
        id: &str,
    ) -> Result<Notification, StoreError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query("UPDATE notifications SET read_at = coalesce(read_at, $1) WHERE id = $2 AND user_id = $3 RETURNING *")
            .bind(now())
            .bind(id)
            .bind(user_id)
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit_untold().await?;
        row.as_ref().map(notification).ok_or_else(|| StoreError::NotFound("notification"))
    }

    /// Records a heartbeat of an agent, and claims the time slot if one is named: `false` if it was
    /// claimed before.
    pub async fn record_heartbeat(
        &self,
        scope: Scope<'_>,
        role: &str,
        slot: Option<&str>,
    ) -> Result<bool, StoreError> {
        let (at, user_id) = (now(), scope.user_id);
        let mut tx = self.write(scope).await?;
        sqlx::query(
            "INSERT INTO wakes (user_id, role, last_at, count) VALUES ($1, $2, $3, 1) \
             ON CONFLICT (user_id, role) DO UPDATE SET last_at = excluded.last_at, count = wakes.count + 1",
        )
        .bind(user_id)
        .bind(role)
        .bind(&at)
        .execute(&mut *tx)
        .await?;
        let claimed = match slot {
            None => true,
            Some(slot) => {
                let done = sqlx::query("INSERT INTO heartbeats (user_id, role, slot, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
                    .bind(user_id)
                    .bind(role)
                    .bind(slot)
                    .bind(&at)
                    .execute(&mut *tx)
                    .await?;
                done.rows_affected() == 1
            }
        };
        tx.commit().await?;
        Ok(claimed)
    }

    /// Keeps what an agent said with its last heartbeat, in place of an earlier note.
    pub async fn note_heartbeat(
        &self,
        scope: Scope<'_>,
        role: &str,
        note: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope).await?;
        sqlx::query(
            "INSERT INTO wakes (user_id, role, last_at, count, note, note_at) VALUES ($1, $2, $3, 1, $4, $3) \
             ON CONFLICT (user_id, role) DO UPDATE SET note = excluded.note, note_at = excluded.note_at",
        )
        .bind(scope.user_id)
        .bind(role)
        .bind(now())
        .bind(note)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// How many unread notifications and open tasks a user has.
    pub async fn pending(&self, user_id: &str) -> Result<Pending, StoreError> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM notifications WHERE user_id = $1 AND read_at IS NULL AND delivered_at IS NULL) AS notifications, \
             (SELECT count(*) FROM tasks WHERE user_id = $1 AND status IN ('pending', 'in_progress', 'blocked')) AS tasks",
        )
        .bind(user_id)
        .fetch_one(&self.reader)
        .await?;
        let count = |name: &str| u64::try_from(row.get::<i64, _>(name)).unwrap_or_default();
        Ok(Pending { notifications: count("notifications"), tasks: count("tasks") })
    }
}
