//! What people think of runs.

use mc_client::memories::{AuthorKind, MemoryAuthor};
use mc_client::run_lists::{CreateFeedback, Feedback};
use mc_client::types::Page;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::audit::Act;
use super::error::{Conflict, StoreError};
use super::memories::author;
use super::paging::{page, rows_for};
use super::sql::{Sql, execute};
use super::{Scope, Store, audit, json_of, now, time};

/// What is answered of a feedback, with its run.
const SELECT: &str = "SELECT f.*, r.run_key, r.role FROM feedback f JOIN runs r ON r.seq = f.run_seq WHERE f.seq > ?";

/// Whose runs are meant, and which.
#[derive(Debug, Clone, Copy, Default)]
pub struct OfRun<'a> {
    /// Only of this user.
    pub user_id: Option<&'a str>,
    /// The run.
    pub run_key: Option<&'a str>,
    /// Its role.
    pub role: Option<&'a str>,
    /// Its reply.
    pub message_id: Option<&'a str>,
}

fn feedback(row: &AnyRow) -> Feedback {
    Feedback {
        run_key: row.get("run_key"),
        user_id: row.get("user_id"),
        role: row.get("role"),
        message_id: row.get("message_id"),
        rating: row.get::<Option<&str>, _>("rating").and_then(|rating| rating.parse().ok()),
        labels: json_of(row.get("labels")).unwrap_or_default(),
        comment: row.get("comment"),
        author: MemoryAuthor {
            kind: row.get::<&str, _>("author_type").parse().unwrap_or(AuthorKind::Service),
            id: row.get("author_id"),
        },
        created_at: time(row.get("created_at")),
        updated_at: time(row.get("updated_at")),
    }
}

/// The run that is meant: its row, and its user.
async fn run_of(
    tx: &mut AnyConnection,
    of: OfRun<'_>,
) -> Result<(i64, String, Option<String>), StoreError> {
    let rows = Sql::new("SELECT seq, user_id, role, message_id FROM runs WHERE seq > ?", 0_i64)
        .and(" AND user_id = ?", of.user_id)
        .and(" AND run_key = ?", of.run_key)
        .and(" AND role = ?", of.role)
        .and(" AND message_id = ?", of.message_id)
        .and(" ORDER BY seq DESC LIMIT ?", Some(20_i64))
        .fetch_all(&mut *tx)
        .await?;
    match rows.as_slice() {
        [] => {
            Err(StoreError::NotFound(if of.run_key.is_some() { "run" } else { "message of a run" }))
        }
        [row] => Ok((row.get("seq"), row.get("user_id"), row.get("message_id"))),
        rows => {
            let roles = rows.iter().map(|row| row.get("role")).collect();
            Err(Conflict::RunAmbiguous { roles }.into())
        }
    }
}

/// Keeps what somebody thinks of a run, in place of what they thought before.
pub async fn put(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    of: OfRun<'_>,
    new: &CreateFeedback,
) -> Result<Feedback, StoreError> {
    let (seq, user_id, message_id) = run_of(tx, of).await?;
    let (at, author) = (now(), author(scope.by.actor));
    let mut labels: Vec<&str> = new.labels.iter().flatten().map(|label| label.trim()).collect();
    labels.sort_unstable();
    labels.dedup();
    sqlx::query(
        "INSERT INTO feedback (run_seq, user_id, author_type, author_id, message_id, rating, labels, comment, \
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (run_seq, author_type, author_id) DO UPDATE SET message_id = excluded.message_id, \
         rating = excluded.rating, labels = excluded.labels, comment = excluded.comment, updated_at = excluded.updated_at",
    )
    .bind(seq)
    .bind(&user_id)
    .bind(author.kind.as_str())
    .bind(&author.id)
    .bind(new.message_id.as_ref().or(message_id.as_ref()))
    .bind(new.rating.map(mc_client::run_lists::Rating::as_str))
    .bind(serde_json::to_string(&labels)?)
    .bind(&new.comment)
    .bind(&at)
    .bind(&at)
    .execute(&mut *tx)
    .await?;
    count(tx, seq).await?;
    let row = Sql::new(SELECT, 0_i64)
        .and(" AND f.run_seq = ?", Some(seq))
        .and(" AND f.author_type = ?", Some(author.kind.as_str()))
        .and(" AND f.author_id = ?", Some(&author.id))
        .fetch_all(&mut *tx)
        .await?;
    let kept = row.first().map(feedback).ok_or(StoreError::NotFound("run"))?;
    let act = Act::new(scope.by, "feedback.set").of(&user_id).about("run", &kept.run_key);
    let act = act.with("rating", serde_json::to_value(kept.rating)?).with("role", &*kept.role);
    audit::record(tx, &act).await?;
    Ok(kept)
}

/// Counts the ratings and the labels of a run anew.
async fn count(tx: &mut AnyConnection, seq: i64) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT rating, labels FROM feedback WHERE run_seq = $1")
        .bind(seq)
        .fetch_all(&mut *tx)
        .await?;
    let of = |wanted: &str| {
        let rated = rows.iter().filter(|row| row.get::<Option<&str>, _>("rating") == Some(wanted));
        i64::try_from(rated.count()).unwrap_or(i64::MAX)
    };
    let labels = rows.iter().filter_map(|row| json_of::<Vec<String>>(row.get("labels")));
    let mut labels: Vec<String> = labels.flatten().collect();
    labels.sort();
    labels.dedup();
    sqlx::query("UPDATE runs SET up_count = $1, down_count = $2, labels = $3 WHERE seq = $4")
        .bind(of("up"))
        .bind(of("down"))
        .bind(serde_json::to_string(&labels)?)
        .bind(seq)
        .execute(&mut *tx)
        .await?;
    sqlx::query("DELETE FROM run_labels WHERE run_seq = $1").bind(seq).execute(&mut *tx).await?;
    for label in labels {
        let text = "INSERT INTO run_labels (label, run_seq, user_id) \
            SELECT $1, r.seq, r.user_id FROM runs r WHERE r.seq = $2";
        sqlx::query(text).bind(label).bind(seq).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Deletes some, by their row numbers, and counts what is left.
pub(super) async fn forget(tx: &mut AnyConnection, rows: &str) -> Result<(), StoreError> {
    let text = format!("SELECT DISTINCT run_seq FROM feedback WHERE seq IN ({rows})");
    let runs = sqlx::query(AssertSqlSafe(text)).persistent(false).fetch_all(&mut *tx).await?;
    execute(tx, format!("DELETE FROM feedback WHERE seq IN ({rows})")).await?;
    for run in runs {
        count(tx, run.get("run_seq")).await?;
    }
    Ok(())
}

impl Store {
    /// What people think of runs, oldest first.
    pub async fn feedback(
        &self,
        of: OfRun<'_>,
        limit: u32,
        after: Option<i64>,
    ) -> Result<Page<Feedback>, StoreError> {
        let rows = Sql::new(SELECT, after.unwrap_or_default())
            .and(" AND f.user_id = ?", of.user_id)
            .and(" AND r.run_key = ?", of.run_key)
            .and(" AND r.role = ?", of.role)
            .and(" ORDER BY f.seq LIMIT ?", Some(rows_for(limit)))
            .fetch(&self.reader);
        page(rows, limit, feedback).await
    }

    /// Refuses a run that is not there, or not this user's.
    pub async fn check_run(&self, of: OfRun<'_>) -> Result<(), StoreError> {
        let mut connection = self.reader.acquire().await?;
        match run_of(&mut connection, of).await {
            // All of them are meant.
            Err(StoreError::Conflict(Conflict::RunAmbiguous { .. })) => Ok(()),
            found => found.map(drop),
        }
    }
}
