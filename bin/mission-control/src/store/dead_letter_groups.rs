//! A user's dead letters as people see them: by session and by what they died of.

use mc_client::delivery_options::{DeadLetterGroup, MAX_GROUP_IDS};
use mc_client::types::Page;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::paging::{PAGE_BYTES, cursor, json_size, rows_for};
use super::{Store, time};

/// The groups of what died after a moment, those of the newest notifications first.
const GROUPS: &str = "SELECT coalesce(error, '') AS cause, session_key, count(*) AS many, min(dead_at) AS first_at, \
    max(dead_at) AS last_at, max(seq) AS seq FROM notifications WHERE user_id = $1 AND dead_at IS NOT NULL \
    AND dead_at > $2 GROUP BY coalesce(error, ''), session_key HAVING max(seq) < $3 ORDER BY max(seq) DESC LIMIT $4";

fn group(row: &AnyRow) -> DeadLetterGroup {
    DeadLetterGroup {
        cause: row.get("cause"),
        session_key: row.get("session_key"),
        count: u64::try_from(row.get::<i64, _>("many")).unwrap_or_default(),
        first_at: row.get::<Option<&str>, _>("first_at").and_then(time),
        last_at: row.get::<Option<&str>, _>("last_at").and_then(time),
        ids: Vec::new(),
    }
}

/// The groups of what died after a moment, without its ids, and the cursor of each.
pub(super) async fn groups(
    connection: &mut AnyConnection,
    user_id: &str,
    since: &str,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<(DeadLetterGroup, i64)>, StoreError> {
    let rows = sqlx::query(GROUPS)
        .bind(user_id)
        .bind(since)
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(|row| (group(row), row.get("seq"))).collect())
}

impl Store {
    /// A user's dead letters by session and cause, those of the newest notifications first.
    pub async fn dead_letter_groups(
        &self,
        user_id: &str,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Page<DeadLetterGroup>, StoreError> {
        let mut connection = self.reader.acquire().await?;
        let found = groups(&mut connection, user_id, "", before, rows_for(limit)).await?;
        let (mut items, mut size, mut last) = (Vec::new(), 0_usize, 0);
        for (mut group, seq) in found {
            let rows = sqlx::query(
                "SELECT id FROM notifications WHERE user_id = $1 AND dead_at IS NOT NULL AND session_key = $2 \
                 AND coalesce(error, '') = $3 ORDER BY seq + 0 LIMIT $4",
            )
            .bind(user_id)
            .bind(&group.session_key)
            .bind(&group.cause)
            .bind(i64::from(MAX_GROUP_IDS))
            .fetch_all(&mut *connection)
            .await?;
            group.ids = rows.iter().map(|row| row.get("id")).collect();
            size = size.saturating_add(json_size(&group)?);
            if items.len() >= limit as usize || (size > PAGE_BYTES && !items.is_empty()) {
                return Ok(Page { items, next_cursor: Some(cursor(last)) });
            }
            last = seq;
            items.push(group);
        }
        Ok(Page { items, next_cursor: None })
    }
}
