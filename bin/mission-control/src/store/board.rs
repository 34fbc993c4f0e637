//! What the page shows, newest first.

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt as _;
use mc_client::runs::Run;
use mc_client::types::TaskStatus;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::error::StoreError;
use super::run_rows;
use super::sql::count;
use super::step_rows::{StepContent, StepRow};
use super::{Scope, Store, time};

/// The most rows of a list on the page.
const SHOWN: i64 = 50;

/// A task as the page lists it.
pub struct TaskRow {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// How many messages it has.
    pub messages: i64,
}

/// The tasks of one status.
pub struct TaskColumn {
    /// The status.
    pub status: TaskStatus,
    /// How many there are.
    pub count: i64,
    /// The newest.
    pub newest: Vec<TaskRow>,
}

/// The most tasks of a status on the page.
const COLUMN: i64 = 20;

/// The most tasks of a day on the page.
pub(crate) const SHOWN_DONE: usize = 20;

fn task_row(row: &AnyRow) -> TaskRow {
    TaskRow { id: row.get("id"), title: row.get("title"), messages: row.get("messages") }
}

/// A notification as the page lists it.
pub struct NotificationRow {
    /// Its id.
    pub id: String,
    /// Whether it is a dead letter.
    pub is_dead: bool,
    /// The session that it is for.
    pub session_key: String,
    /// Its text.
    pub content: String,
    /// `waiting`, `being delivered`, `delivered`, or `given up`.
    pub state: &'static str,
    /// Whether it has waited for a while and was never fetched.
    pub is_left: bool,
    /// When it was created.
    pub created_at: Option<DateTime<Utc>>,
    /// The error of the last failed delivery.
    pub error: Option<String>,
}

/// An agent as the page lists it.
pub struct AgentRow {
    /// Its role.
    pub role: String,
    /// When its last heartbeat was.
    pub last_at: Option<DateTime<Utc>>,
    /// How many heartbeats it had.
    pub count: i64,
    /// What it said last when it had nothing to report, and when.
    pub note: Option<(String, Option<DateTime<Utc>>)>,
}

/// A run as the page lists it.
pub struct RunRow {
    /// Its key.
    pub run_key: String,
    /// Its status.
    pub status: String,
    /// The session that it answers.
    pub session_key: Option<String>,
    /// How many steps its journal has.
    pub steps: i64,
    /// When it last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

/// The cost of a day.
pub struct DayRow {
    /// The day, `YYYY-MM-DD`, in UTC.
    pub day: String,
    /// What was spent, in US dollars.
    pub cost_usd: f64,
    /// Tokens, read and written.
    pub tokens: f64,
    /// How many models were called.
    pub calls: i64,
}

/// The most days of spending that are shown.
const DAYS: i64 = 14;

/// The most steps of a run that are shown.
const STEPS: i64 = 500;

/// How many bytes of steps are read whole; of later ones only the figures are kept.
const STEPS_BYTES: usize = 4 * 1024 * 1024;

fn state(row: &AnyRow) -> &'static str {
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

/// After how many seconds a notification should have been fetched: an event tells the dispatcher of it at once.
const FETCHED_SECS: i64 = 10;

fn is_left(row: &AnyRow) -> bool {
    let is_old = || {
        let created = time(row.get("created_at"));
        created.is_some_and(|at| Utc::now() - at > TimeDelta::seconds(FETCHED_SECS))
    };
    state(row) == "waiting" && row.get::<i64, _>("attempts") == 0 && is_old()
}

impl Store {
    /// The user's tasks of each status: how many, and the newest.
    pub async fn task_columns(&self, user_id: &str) -> Result<Vec<TaskColumn>, StoreError> {
        let counts = sqlx::query(
            "SELECT status, count(*) AS count FROM tasks WHERE user_id = $1 GROUP BY status",
        )
        .bind(user_id)
        .fetch_all(&self.reader)
        .await?;
        let mut columns = Vec::new();
        for status in TaskStatus::ALL {
            let named = |row: &&AnyRow| row.get::<&str, _>("status") == status.as_str();
            let count = counts.iter().find(named).map_or(0, |row| row.get("count"));
            let rows = sqlx::query(
                "SELECT id, substr(title, 1, 300) AS title, (SELECT count(*) FROM messages m WHERE m.task_id = t.id) AS messages \
                 FROM tasks t WHERE user_id = $1 AND status = $2 ORDER BY seq DESC LIMIT $3",
            )
            .bind(user_id)
            .bind(status.as_str())
            .bind(COLUMN)
            .fetch_all(&self.reader)
            .await?;
            columns.push(TaskColumn { status, count, newest: rows.iter().map(task_row).collect() });
        }
        Ok(columns)
    }

    /// The user's tasks that were completed since a time, the newest first.
    pub async fn done_since(&self, user_id: &str, since: &str) -> Result<Vec<TaskRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, substr(title, 1, 300) AS title, (SELECT count(*) FROM messages m WHERE m.task_id = t.id) AS messages FROM tasks t \
             WHERE user_id = $1 AND completed_at IS NOT NULL AND completed_at >= $2 ORDER BY completed_at DESC LIMIT $3",
        )
        .bind(user_id)
        .bind(since)
        .bind(i64::try_from(SHOWN_DONE).unwrap_or(i64::MAX))
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.iter().map(task_row).collect())
    }

    /// The user's newest notifications: all, or those of a task.
    pub async fn newest_notifications(
        &self,
        user_id: &str,
        task_id: Option<&str>,
    ) -> Result<Vec<NotificationRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, session_key, substr(content, 1, 2001) AS content, substr(error, 1, 2001) AS error, \
               delivered_at, dead_at, leased_until, created_at, attempts \
             FROM notifications WHERE user_id = $1 AND ($2 IS NULL OR task_id = $2) ORDER BY seq DESC LIMIT $3",
        )
        .bind(user_id)
        .bind(task_id)
        .bind(SHOWN)
        .fetch_all(&self.reader)
        .await?;
        let row = |row: &AnyRow| NotificationRow {
            id: row.get("id"),
            is_dead: row.get::<Option<String>, _>("dead_at").is_some(),
            session_key: row.get("session_key"),
            content: row.get("content"),
            state: state(row),
            is_left: is_left(row),
            created_at: time(row.get("created_at")),
            error: row.get("error"),
        };
        Ok(rows.iter().map(row).collect())
    }

    /// The user's agents that had a heartbeat.
    pub async fn agents(&self, user_id: &str) -> Result<Vec<AgentRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM wakes WHERE user_id = $1 ORDER BY role LIMIT $2")
            .bind(user_id)
            .bind(SHOWN)
            .fetch_all(&self.reader)
            .await?;
        let row = |row: &AnyRow| AgentRow {
            role: row.get("role"),
            last_at: time(row.get("last_at")),
            count: row.get("count"),
            note: row
                .get::<Option<String>, _>("note")
                .map(|note| (note, row.get::<Option<&str>, _>("note_at").and_then(time))),
        };
        Ok(rows.iter().map(row).collect())
    }

    /// The user's newest runs: all, or those of a task.
    pub async fn newest_runs(
        &self,
        user_id: &str,
        task_id: Option<&str>,
    ) -> Result<Vec<RunRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT run_key, status, session_key, updated_at, (SELECT count(*) FROM run_steps s WHERE s.run_seq = r.seq) AS steps FROM runs r \
             WHERE user_id = $1 AND ($2 IS NULL OR task_id = $2) ORDER BY seq DESC LIMIT $3",
        )
        .bind(user_id)
        .bind(task_id)
        .bind(SHOWN)
        .fetch_all(&self.reader)
        .await?;
        let row = |row: &AnyRow| RunRow {
            run_key: row.get("run_key"),
            status: row.get("status"),
            session_key: row.get("session_key"),
            steps: row.get("steps"),
            updated_at: time(row.get("updated_at")),
        };
        Ok(rows.iter().map(row).collect())
    }

    /// A run, and its first steps with their times.
    pub async fn timeline(
        &self,
        scope: Scope<'_>,
        run_key: &str,
    ) -> Result<(Run, Vec<StepRow>), StoreError> {
        let mut tx = self.reader.begin().await?;
        let found = run_rows::find(&mut tx, scope, run_key).await?;
        let found = found.ok_or_else(|| StoreError::NotFound("run"))?;
        let mut rows =
            sqlx::query("SELECT * FROM run_steps WHERE run_seq = $1 ORDER BY step_index LIMIT $2")
                .bind(found.seq)
                .bind(STEPS)
                .fetch(&mut *tx);
        let (mut steps, mut size) = (Vec::new(), 0_usize);
        while let Some(row) = rows.try_next().await? {
            let text: String = row.get("payload");
            size = size.saturating_add(text.len());
            let payload = serde_json::from_str(&text).unwrap_or_default();
            let kind: String = row.get("kind");
            let content = StepContent::read(&kind, &payload);
            let is_cut = size > STEPS_BYTES;
            steps.push(StepRow {
                index: count(&row, "step_index"),
                kind,
                content: if is_cut { content.cut() } else { content },
                raw: (!is_cut).then_some(payload),
                at: time(row.get("created_at")),
            });
        }
        Ok((found.run, steps))
    }

    /// What the user's agents spent on each of the last days on which they spent, newest first.
    pub async fn spending(&self, user_id: &str) -> Result<Vec<DayRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT substr(created_at, 1, 10) AS day, sum(CAST(cost_nanos AS DOUBLE PRECISION)) / 1e9 AS cost, \
               sum(CAST(prompt_tokens AS DOUBLE PRECISION) + CAST(completion_tokens AS DOUBLE PRECISION)) AS tokens, count(*) AS calls \
             FROM usage WHERE user_id = $1 GROUP BY day ORDER BY day DESC LIMIT $2",
        )
        .bind(user_id)
        .bind(DAYS)
        .fetch_all(&self.reader)
        .await?;
        let row = |row: &AnyRow| DayRow {
            day: row.get("day"),
            cost_usd: row.get("cost"),
            tokens: row.get("tokens"),
            calls: row.get("calls"),
        };
        Ok(rows.iter().map(row).collect())
    }
}
