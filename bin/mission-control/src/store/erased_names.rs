//! A user's name in what is other users': what they decided, wrote and made for them stays, and names nobody.

use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::audit::Actor;
use super::error::StoreError;
use super::{Store, decisions, now, schedules};

/// What stays of somebody who decided about the calls of others.
const SOMEBODY: &str = "{\"type\":\"person\"}";

/// What is kept for two days only, and may tell of a decision.
const TOLD: [(&str, &str); 2] = [("events", "data"), ("idempotency", "response")];

/// Where a user's name stands in what is others'.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// What names the user as who decides, and as who makes something.
    decided: String,
    created: String,
    /// Whether a row of one of the others' tables does.
    is_in_rows: bool,
    /// What is kept for a short time and tells of it.
    told: Vec<(&'static str, &'static str)>,
}

impl Named {
    /// Whether the user is named anywhere.
    pub(super) fn is_anywhere(&self) -> bool {
        self.is_in_rows || !self.told.is_empty()
    }

    /// Takes the name away.
    pub(super) async fn forget(
        &self,
        tx: &mut AnyConnection,
        user_id: &str,
    ) -> Result<(), StoreError> {
        for (text, value) in [
            ("UPDATE tool_requests SET decided_by = $2 WHERE decided_by = $1", &self.decided),
            ("UPDATE approval_rules SET author = $2 WHERE author = $1", &self.decided),
            ("UPDATE schedules SET created_by = $2 WHERE created_by = $1", &self.created),
        ] {
            sqlx::query(text).bind(value).bind(SOMEBODY).execute(&mut *tx).await?;
        }
        // What they have allowed for others is void.
        let rules = "UPDATE approval_rules SET author_id = NULL, author_lost_at = coalesce(author_lost_at, $2) WHERE author_id = $1";
        sqlx::query(rules).bind(user_id).bind(now()).execute(&mut *tx).await?;
        let memories = "UPDATE memories SET author_id = 'unnamed' WHERE author_type = 'person' AND author_id = $1";
        sqlx::query(memories).bind(user_id).execute(&mut *tx).await?;
        for (table, column) in &self.told {
            let text = format!(
                "UPDATE {table} SET {column} = replace({column}, $1, $2) WHERE replace({column}, $1, '') <> {column}"
            );
            for told in [&self.decided, &self.created] {
                let update = sqlx::query(AssertSqlSafe(text.clone())).bind(told).bind(SOMEBODY);
                update.execute(&mut *tx).await?;
            }
        }
        Ok(())
    }
}

impl Store {
    /// Looks for a user's name in what is others', beside all writes: what it takes long to look through is not
    /// looked through while others wait.
    pub(super) async fn named(&self, user_id: &str) -> Result<Named, StoreError> {
        let mut named = Named {
            decided: serde_json::to_string(&decisions::decided_by(Actor::Person(user_id)))?,
            created: serde_json::to_string(&Some(schedules::creator(Actor::Person(user_id))))?,
            ..Named::default()
        };
        let mut reader = self.reader.acquire().await?;
        let rows = "SELECT CASE WHEN EXISTS (SELECT 1 FROM tool_requests WHERE decided_by = $1) \
            OR EXISTS (SELECT 1 FROM approval_rules WHERE author = $1) \
            OR EXISTS (SELECT 1 FROM schedules WHERE created_by = $2) \
            OR EXISTS (SELECT 1 FROM approval_rules WHERE author_id = $3) \
            OR EXISTS (SELECT 1 FROM memories WHERE author_type = 'person' AND author_id = $3) \
            THEN 1 ELSE 0 END AS is_named";
        let row = sqlx::query(rows).bind(&named.decided).bind(&named.created).bind(user_id);
        let is_named: i64 = row.fetch_one(&mut *reader).await?.try_get("is_named")?;
        named.is_in_rows = is_named != 0;
        for (table, column) in TOLD {
            let text = format!(
                "SELECT 1 FROM {table} WHERE replace({column}, $1, '') <> {column} OR replace({column}, $2, '') <> {column} LIMIT 1"
            );
            let query = sqlx::query(AssertSqlSafe(text)).bind(&named.decided).bind(&named.created);
            if query.fetch_optional(&mut *reader).await?.is_some() {
                named.told.push((table, column));
            }
        }
        Ok(named)
    }
}
