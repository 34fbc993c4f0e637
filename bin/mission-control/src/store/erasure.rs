//! Erasing what there is of a user: begun in one transaction, which refuses the user's agents from then on, done in
//! small ones, so that nobody waits long, and ended in one that leaves nothing. One that is interrupted goes on later.

use mc_client::owned_data::{Erasure, Messages};
use mc_client::runs::RunStatus;
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Executor as _, Row};
use std::time::Duration;

use super::audit::{Act, Actor, By};
use super::error::StoreError;
use super::owned_tables::{counted, delete_all, delete_some};
use super::{
    Scope, Store, audit, decisions, erased, now, run_ends, run_rows, schedules, usage_sums,
};

/// What stays of somebody who decided about the calls of others.
const SOMEBODY: &str = "{\"type\":\"person\"}";

/// For how long the runs are known that an erasure has cancelled.
pub(super) const DELETE_RUNS: &str = "DELETE FROM erased_runs WHERE erased_at < $1";

/// Reasons that a user gave, or that were given for acts that concern the user.
const DELETE_REASONS: &str = "DELETE FROM audit_reasons WHERE seq IN ( \
    SELECT a.seq FROM audit a JOIN audit_subjects s ON s.subject = a.subject WHERE s.user_id = $1 \
    UNION SELECT a.seq FROM audit a JOIN audit_subjects s ON s.subject = a.actor_subject WHERE s.user_id = $1)";

const DELETE_SUBJECT: &str = "DELETE FROM audit_subjects WHERE user_id = $1";

/// How often readers are waited for that keep the log from being emptied, and how long each time.
const SCRUB_ATTEMPTS: u32 = 100;
const SCRUB_PAUSE: Duration = Duration::from_millis(100);

/// For how long other instances may let in a token that is refused here: they look each second.
const UNHEARD: Duration = Duration::from_millis(2_500);

/// Cancels what goes on.
async fn cancel_runs(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    erased_at: &str,
) -> Result<(), StoreError> {
    let open = "SELECT * FROM runs WHERE user_id = $1 AND status IN \
        ('running', 'interrupted', 'awaiting_approval', 'awaiting_answer') ORDER BY seq";
    let rows = sqlx::query(open).bind(scope.user_id).fetch_all(&mut *tx).await?;
    for row in &rows {
        let run_rows::Found { seq, role, mut run, .. } = run_rows::found(row);
        sqlx::query("INSERT INTO erased_runs (who, erased_at) VALUES ($1, $2) ON CONFLICT (who) DO UPDATE SET erased_at = excluded.erased_at")
            .bind(erased::run_of(scope.user_id, &run.run_key))
            .bind(erased_at)
            .execute(&mut *tx)
            .await?;
        run_ends::end(tx, scope.user_id, &role, seq, RunStatus::Cancelled, None).await?;
        RunStatus::Cancelled.as_str().clone_into(&mut run.status);
        run_ends::record_cancel(tx, scope, &role, &run).await?;
    }
    Ok(())
}

/// Forgets who a subject of the audit log is, and what was written in words.
async fn forget_subject(tx: &mut AnyConnection, user_id: &str) -> Result<(), StoreError> {
    for statement in [DELETE_REASONS, DELETE_SUBJECT] {
        sqlx::query(statement).bind(user_id).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Takes a user's name from what is other users'.
async fn forget_name(tx: &mut AnyConnection, user_id: &str) -> Result<(), StoreError> {
    let decided = serde_json::to_string(&decisions::decided_by(Actor::Person(user_id)))?;
    let created = serde_json::to_string(&Some(schedules::creator(Actor::Person(user_id))))?;
    let at = now();
    let mut decides = 0;
    for (text, value) in [
        ("UPDATE tool_requests SET decided_by = $2 WHERE decided_by = $1", &decided),
        ("UPDATE approval_rules SET author = $2 WHERE author = $1", &decided),
        ("UPDATE schedules SET created_by = $2 WHERE created_by = $1", &created),
    ] {
        let done = sqlx::query(text).bind(value).bind(SOMEBODY).execute(&mut *tx).await?;
        decides += done.rows_affected();
    }
    // What they have allowed for others is void.
    let rules = "UPDATE approval_rules SET author_id = NULL, author_lost_at = coalesce(author_lost_at, $2) WHERE author_id = $1";
    sqlx::query(rules).bind(user_id).bind(at).execute(&mut *tx).await?;
    let memories =
        "UPDATE memories SET author_id = 'unnamed' WHERE author_type = 'person' AND author_id = $1";
    sqlx::query(memories).bind(user_id).execute(&mut *tx).await?;
    if decides > 0 {
        // What is kept for two days only, and tells of such a decision.
        for (table, column) in [("events", "data"), ("idempotency", "response")] {
            let text = format!(
                "UPDATE {table} SET {column} = replace({column}, $1, $2) WHERE replace({column}, $1, '') <> {column}"
            );
            for told in [&decided, &created] {
                let update = sqlx::query(AssertSqlSafe(text.clone())).bind(told).bind(SOMEBODY);
                update.execute(&mut *tx).await?;
            }
        }
    }
    Ok(())
}

impl Store {
    /// How much of each kind an erasure would delete, and how much would stay.
    pub async fn count_owned(
        &self,
        user_id: &str,
        messages: Messages,
    ) -> Result<Erasure, StoreError> {
        counted(&mut *self.reader.begin().await?, user_id, messages).await
    }

    /// Begins an erasure: from now on the user's agents are refused with the tokens that they have, no run goes on,
    /// and the audit log does not know the user. Answers what goes and what stays.
    pub(crate) async fn begin_erasure(
        &self,
        user_id: &str,
        messages: Messages,
        by: By<'_>,
    ) -> Result<Erasure, StoreError> {
        let scope = Scope::of(user_id).by(by);
        let (who, at) = (erased::who(user_id), now());
        let mut tx = self.begin().await?;
        let counted = counted(&mut tx, user_id, messages).await?;
        sqlx::query(
            "INSERT INTO erasures (user_id, messages, begun_at) VALUES ($1, $2, $3) ON CONFLICT (user_id) DO UPDATE \
             SET messages = CASE WHEN excluded.messages = 'delete' THEN 'delete' ELSE erasures.messages END",
        )
        .bind(user_id)
        .bind(messages.as_str())
        .bind(&at)
        .execute(&mut *tx)
        .await?;
        cancel_runs(&mut tx, scope, &at).await?;
        let of: Vec<_> = counted.counts.iter().filter(|(_, many)| **many > 0).collect();
        let of: serde_json::Map<_, _> =
            of.into_iter().map(|(kind, many)| (kind.clone(), json!(many))).collect();
        let act = Act::new(by, "data.erased").of(user_id).with("messages", messages.as_str());
        audit::record(&mut tx, &act.with("counts", Value::Object(of))).await?;
        forget_subject(&mut tx, user_id).await?;
        sqlx::query(
            "INSERT INTO erased_users (who, erased_at) VALUES ($1, $2) ON CONFLICT (who) DO UPDATE \
             SET erased_at = excluded.erased_at, is_scrubbed = 0",
        )
        .bind(&who)
        .bind(&at)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        self.erased.note(who, &at);
        Ok(counted)
    }

    /// Erasures that have begun and have not ended.
    pub(crate) async fn begun_erasures(&self) -> Result<Vec<(String, Messages)>, StoreError> {
        let rows = sqlx::query("SELECT user_id, messages FROM erasures ORDER BY begun_at")
            .fetch_all(&self.reader)
            .await?;
        let messages = |row: &sqlx::any::AnyRow| row.get::<&str, _>("messages").parse();
        let all =
            rows.iter().map(|row| (row.get("user_id"), messages(row).unwrap_or(Messages::Keep)));
        Ok(all.collect())
    }

    /// Deletes what there is of a user, and ends the erasure.
    pub(crate) async fn end_erasure(
        &self,
        user_id: &str,
        messages: Messages,
    ) -> Result<(), StoreError> {
        self.erase_some(user_id, messages).await?;
        if self.peers.is_some() {
            // Until then other instances may write for the user's agents.
            tokio::time::sleep(UNHEARD).await;
            self.erase_some(user_id, messages).await?;
        }
        let mut tx = self.begin().await?;
        while usage_sums::fold_some(&mut tx, user_id).await? > 0 {}
        delete_all(&mut tx, user_id, messages).await?;
        forget_subject(&mut tx, user_id).await?;
        forget_name(&mut tx, user_id).await?;
        let done = "DELETE FROM erasures WHERE user_id = $1";
        sqlx::query(done).bind(user_id).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    async fn erase_some(&self, user_id: &str, messages: Messages) -> Result<(), StoreError> {
        loop {
            let mut tx = self.begin().await?;
            let many = delete_some(&mut tx, user_id, messages).await?
                + usage_sums::fold_some(&mut tx, user_id).await?;
            tx.commit_untold().await?;
            if many == 0 {
                return Ok(());
            }
        }
    }

    /// Whether something that was erased may still be among the bytes of the file.
    pub(crate) async fn is_scrub_due(&self) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM erased_users WHERE is_scrubbed = 0 LIMIT 1")
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.is_some())
    }

    /// Leaves nothing of what was erased among the bytes of the file and of its log: it is written anew. Nobody writes
    /// meanwhile. A server does so by itself, when it likes to, or is told to.
    pub(crate) async fn scrub(&self) -> Result<(), StoreError> {
        let begun = now();
        if let Some(file) = &self.file {
            let _alone = self.turns.alone().await?;
            let mut connection = self.writer.acquire().await?;
            // The copy is made beside the file: a container may have no other place that can be written.
            let folder =
                file.path().parent().map(|folder| folder.to_string_lossy().replace('\'', "''"));
            let folder = format!("PRAGMA temp_store_directory = '{}'", folder.unwrap_or_default());
            connection.execute(AssertSqlSafe(folder)).await?;
            connection.execute("VACUUM").await?;
            let mut attempts = 0;
            loop {
                let log = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
                let is_busy = log.fetch_one(&mut *connection).await?.get::<i64, _>(0) != 0;
                if !is_busy {
                    break;
                }
                attempts += 1;
                if attempts == SCRUB_ATTEMPTS {
                    return Err(sqlx::Error::PoolTimedOut.into());
                }
                tokio::time::sleep(SCRUB_PAUSE).await;
            }
        }
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE erased_users SET is_scrubbed = 1 WHERE is_scrubbed = 0 AND erased_at <= $1",
        )
        .bind(begun)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit_untold().await?)
    }
}
