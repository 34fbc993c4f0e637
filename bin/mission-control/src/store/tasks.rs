//! Tasks.

use mc_client::types::{CreateTask, Page, Task, TaskStatus, UpdateTask};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::paging::{page, rows_for};
use super::sql::Sql;
use super::{Scope, Store, events, json_of, new_id, now, time};

/// Which tasks to list.
#[derive(Debug, Default)]
pub struct TaskFilter {
    /// Only of this status.
    pub status: Option<String>,
    /// Only with exactly this title.
    pub title: Option<String>,
}

/// The most tasks of a kind in a standup.
const STANDUP: i64 = 500;

/// The tasks of a kind in a standup.
pub struct StandupTasks {
    /// How many there are.
    pub count: i64,
    /// The first of them: id, title, and status.
    pub first: Vec<(String, String, String)>,
}

fn task(row: &AnyRow) -> Task {
    Task {
        id: row.get("id"),
        title: row.get("title"),
        status: row.get("status"),
        description: row.get("description"),
        metadata: json_of(row.get("metadata")),
        created_at: time(row.get("created_at")),
        updated_at: time(row.get("updated_at")),
    }
}

/// Creates a task.
pub async fn insert(
    tx: &mut AnyConnection,
    user_id: &str,
    new: &CreateTask,
) -> Result<Task, StoreError> {
    let at = now();
    let status = new.status.unwrap_or(TaskStatus::Pending);
    let row = sqlx::query(
        "INSERT INTO tasks (id, user_id, title, description, status, metadata, created_at, updated_at, completed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *",
    )
    .bind(new_id())
    .bind(user_id)
    .bind(&new.title)
    .bind(&new.description)
    .bind(status.as_str())
    .bind(new.metadata.as_ref().map(|metadata| serde_json::Value::Object(metadata.clone()).to_string()))
    .bind(&at)
    .bind(&at)
    .bind((status == TaskStatus::Completed).then_some(&at))
    .fetch_one(&mut *tx)
    .await?;
    let made = task(&row);
    events::record(tx, user_id, "task.created", "task_id", &made).await?;
    Ok(made)
}

/// Checks that a task exists and is the user's.
pub async fn ensure_exists(
    tx: &mut AnyConnection,
    user_id: &str,
    id: &str,
) -> Result<(), StoreError> {
    let found = sqlx::query("SELECT 1 FROM tasks WHERE id = $1 AND user_id = $2")
        .bind(id)
        .bind(user_id)
        .fetch_optional(tx)
        .await?;
    found.map(drop).ok_or_else(|| StoreError::NotFound("task"))
}

impl Store {
    /// The user's tasks, oldest first.
    pub async fn tasks(
        &self,
        user_id: &str,
        filter: &TaskFilter,
        limit: u32,
        after: Option<i64>,
    ) -> Result<Page<Task>, StoreError> {
        // PostgreSQL finds a title by its beginning, SQLite by the whole.
        let rows = Sql::new("SELECT * FROM tasks WHERE user_id = ?", user_id)
            .and(" AND status = ?", filter.status.as_ref())
            .and(
                " AND substr(title, 1, 200) = substr(?, 1, 200) AND title = ?",
                filter.title.as_ref(),
            )
            .and(" AND seq > ?", after)
            .and(" ORDER BY seq LIMIT ?", Some(rows_for(limit)))
            .fetch(&self.reader);
        page(rows, limit, task).await
    }

    /// One task.
    pub async fn task(&self, user_id: &str, id: &str) -> Result<Task, StoreError> {
        let row = sqlx::query("SELECT * FROM tasks WHERE id = $1 AND user_id = $2")
            .bind(id)
            .bind(user_id)
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(task).ok_or_else(|| StoreError::NotFound("task"))
    }

    /// Changes the given fields.
    pub async fn update_task(
        &self,
        scope: Scope<'_>,
        id: &str,
        update: &UpdateTask,
    ) -> Result<Task, StoreError> {
        let mut tx = self.write(scope).await?;
        let at = now();
        let completed = update.status.map(|status| i64::from(status == TaskStatus::Completed));
        let row = sqlx::query(
            "UPDATE tasks SET title = coalesce($1, title), description = coalesce($2, description), \
             status = coalesce($3, status), metadata = coalesce($4, metadata), updated_at = $5, \
             completed_at = CASE WHEN $6 IS NULL THEN completed_at WHEN $7 = 1 THEN coalesce(completed_at, $8) ELSE NULL END \
             WHERE id = $9 AND user_id = $10 RETURNING *",
        )
        .bind(&update.title)
        .bind(&update.description)
        .bind(update.status.map(TaskStatus::as_str))
        .bind(update.metadata.as_ref().map(|metadata| serde_json::Value::Object(metadata.clone()).to_string()))
        .bind(&at)
        .bind(completed)
        .bind(completed)
        .bind(&at)
        .bind(id)
        .bind(scope.user_id)
        .fetch_optional(&mut *tx)
        .await?;
        let updated = row.as_ref().map(task).ok_or_else(|| StoreError::NotFound("task"))?;
        events::record(&mut tx, scope.user_id, "task.updated", "task_id", &updated).await?;
        tx.commit().await?;
        Ok(updated)
    }

    /// For a standup: the user's tasks completed between two times, those in progress, those blocked.
    pub async fn standup_tasks(
        &self,
        user_id: &str,
        from: &str,
        to: &str,
    ) -> Result<[StandupTasks; 3], StoreError> {
        let [done, active] = [
            "SELECT id, status, count(*) OVER () AS many, \
               CASE WHEN length(title) > 300 THEN substr(title, 1, 300) || '…' ELSE title END AS title \
             FROM tasks WHERE user_id = $1 AND completed_at >= $2 AND completed_at < $3 \
             ORDER BY completed_at LIMIT $4",
            "SELECT id, status, count(*) OVER () AS many, \
               CASE WHEN length(title) > 300 THEN substr(title, 1, 300) || '…' ELSE title END AS title \
             FROM tasks WHERE user_id = $1 AND status = $2 AND created_at < $3 ORDER BY seq LIMIT $4",
        ];
        let list = async |statement: &'static str, which: &str| {
            let rows = sqlx::query(statement)
                .bind(user_id)
                .bind(which)
                .bind(to)
                .bind(STANDUP)
                .fetch_all(&self.reader)
                .await?;
            let count = rows.first().map_or(0, |row| row.get("many"));
            let task = |row: &AnyRow| (row.get("id"), row.get("title"), row.get("status"));
            Ok::<_, StoreError>(StandupTasks { count, first: rows.iter().map(task).collect() })
        };
        Ok([
            list(done, from).await?,
            list(active, TaskStatus::InProgress.as_str()).await?,
            list(active, TaskStatus::Blocked.as_str()).await?,
        ])
    }
}
