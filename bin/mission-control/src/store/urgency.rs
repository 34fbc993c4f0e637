//! Whose turn it is in the queue: a session goes by the most urgent of what waits there. All that waits of a session has
//! the same `turn`, so that the queue is read by one index; it changes when something more urgent comes, and when the
//! last of that is gone.

use mc_client::types::Priority;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{AnyConnection, Arguments, AssertSqlSafe, Row};

use super::error::StoreError;
use super::sql::places;

/// The turn of what can wait.
const LAST: i64 = 2;

/// How many sessions one statement covers.
const SESSIONS_PER_STATEMENT: usize = 500;

/// A priority as it is stored: the lowest number comes first.
pub(super) fn number(priority: Priority) -> i64 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => LAST,
    }
}

/// A stored priority.
pub(super) fn priority(row: &AnyRow) -> Priority {
    match row.get::<i64, _>("priority") {
        0 => Priority::High,
        LAST => Priority::Low,
        _ => Priority::Normal,
    }
}

/// What a notification finds in the session that it joins.
pub(super) struct Joined {
    /// Its turn there.
    pub(super) turn: i64,
    /// When the newest was made that waits there.
    pub(super) newest: Option<String>,
}

/// Lets a notification of this priority join what waits of its session, all of which takes its turn where that comes
/// first.
pub(super) async fn join(
    tx: &mut AnyConnection,
    session_key: &str,
    own: i64,
) -> Result<Joined, StoreError> {
    let row = sqlx::query(
        "SELECT turn, created_at FROM notifications WHERE session_key = $1 AND delivered_at IS NULL \
         AND dead_at IS NULL AND turn >= 0 ORDER BY seq DESC LIMIT 1",
    )
    .bind(session_key)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(Joined { turn: own, newest: None }) };
    let turn = row.get::<i64, _>("turn");
    if own < turn {
        raise(tx, session_key, own).await?;
    }
    Ok(Joined { turn: own.min(turn), newest: Some(row.get("created_at")) })
}

/// Gives all that waits of a session an earlier turn. What is urgent waits for no quiet hours.
pub(super) async fn raise(
    tx: &mut AnyConnection,
    session_key: &str,
    turn: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE notifications SET turn = $1, parked = CASE WHEN $1 = 0 THEN 0 ELSE parked END \
         WHERE session_key = $2 AND delivered_at IS NULL AND dead_at IS NULL AND turn >= 0 AND turn > $1",
    )
    .bind(turn)
    .bind(session_key)
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether others may have had their turn because of this row, which leaves the queue.
pub(super) fn has_raised(row: &AnyRow) -> bool {
    let (own, turn) = (row.get::<i64, _>("priority"), row.get::<i64, _>("turn"));
    own <= turn && turn < LAST
}

/// Gives what is left of sessions its own turn again, where what raised it has gone.
pub(super) async fn lower(tx: &mut AnyConnection, sessions: &[String]) -> Result<(), StoreError> {
    // Mostly nothing was raised anywhere.
    let any = sqlx::query(
        "SELECT 1 AS one FROM notifications WHERE delivered_at IS NULL AND dead_at IS NULL AND turn < priority LIMIT 1",
    )
    .fetch_optional(&mut *tx)
    .await?;
    if any.is_none() {
        return Ok(());
    }
    for some in sessions.chunks(SESSIONS_PER_STATEMENT) {
        let mut keys = AnyArguments::default();
        for one in some {
            // A text can always be bound.
            let _bound = keys.add(one);
        }
        let text = format!(
            "SELECT DISTINCT session_key FROM notifications WHERE delivered_at IS NULL AND dead_at IS NULL \
             AND turn < priority AND session_key IN ({})",
            places(1, some.len())
        );
        let raised = sqlx::query_with(AssertSqlSafe(text), keys).persistent(false);
        for row in raised.fetch_all(&mut *tx).await? {
            lower_one(tx, row.get("session_key")).await?;
        }
    }
    Ok(())
}

async fn lower_one(tx: &mut AnyConnection, session_key: &str) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT min(priority) AS first FROM notifications WHERE session_key = $1 AND delivered_at IS NULL \
         AND dead_at IS NULL AND turn >= 0",
    )
    .bind(session_key)
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query(
        "UPDATE notifications SET turn = $1 WHERE session_key = $2 AND delivered_at IS NULL AND dead_at IS NULL \
         AND turn >= 0 AND turn < priority AND turn < $1",
    )
    .bind(row.get::<Option<i64>, _>("first").unwrap_or(1))
    .bind(session_key)
    .execute(tx)
    .await?;
    Ok(())
}
