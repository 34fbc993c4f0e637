//! Who is there: users and roles, as the page offers them.

use sqlx::Row;

use super::Store;
use super::error::StoreError;

/// How many of the newest runs are looked at for their roles.
const RUNS: i64 = 500;

impl Store {
    /// Some of those who have a task.
    pub async fn some_users(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT DISTINCT user_id FROM tasks ORDER BY user_id LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await?;
        Ok(rows.iter().map(|row| row.get("user_id")).collect())
    }

    /// Everybody who has a task.
    pub async fn users(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT DISTINCT user_id FROM tasks ORDER BY user_id")
            .fetch_all(&self.reader)
            .await?;
        Ok(rows.iter().map(|row| row.get("user_id")).collect())
    }

    /// The user of the newest task, message or run.
    pub async fn newest_user(&self) -> Result<Option<String>, StoreError> {
        let row = sqlx::query(
            "SELECT user_id FROM ( \
               SELECT * FROM (SELECT user_id, created_at FROM tasks ORDER BY seq DESC LIMIT 1) t \
               UNION ALL \
               SELECT * FROM (SELECT user_id, created_at FROM messages ORDER BY seq DESC LIMIT 1) m \
               UNION ALL \
               SELECT * FROM (SELECT user_id, created_at FROM runs ORDER BY seq DESC LIMIT 1) r \
             ) newest ORDER BY created_at DESC LIMIT 1",
        )
        .fetch_optional(&self.reader)
        .await?;
        Ok(row.map(|row| row.get("user_id")))
    }

    /// The roles of a user's newest runs and of the user's heartbeats, or of everybody's; the one that
    /// ran last is the first.
    pub async fn roles(&self, user_id: Option<&str>) -> Result<Vec<String>, StoreError> {
        let (of_runs, of_wakes) = match user_id {
            Some(_) => (
                "SELECT role FROM runs WHERE user_id = $2 ORDER BY seq DESC LIMIT $1",
                "SELECT DISTINCT role FROM wakes WHERE user_id = $2 ORDER BY role LIMIT $1",
            ),
            None => (
                "SELECT role FROM runs ORDER BY seq DESC LIMIT $1",
                "SELECT DISTINCT role FROM wakes ORDER BY role LIMIT $1",
            ),
        };
        let mut roles: Vec<String> = Vec::new();
        for text in [of_runs, of_wakes] {
            let query = sqlx::query(text).bind(RUNS);
            let query = match user_id {
                Some(user_id) => query.bind(user_id),
                None => query,
            };
            for row in query.fetch_all(&self.reader).await? {
                let role: String = row.get("role");
                if !role.is_empty() && !roles.contains(&role) {
                    roles.push(role);
                }
            }
        }
        Ok(roles)
    }
}
