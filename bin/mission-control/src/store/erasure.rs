//! Erasing what there is of a user: begun in one transaction, which refuses the user's agents from then on, done in
//! small ones, so that nobody waits long, and ended in one that leaves nothing. One that is interrupted goes on later.

use chrono::Utc;
use mc_client::idempotency::RunKey;
use mc_client::owned_data::{Erasure, Messages};
use mc_client::runs::RunStatus;
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::audit::{Act, By};
use super::error::StoreError;
use super::owned_tables::{counted, delete_all, delete_some};
use super::{
    KEPT, Scope, Store, audit, erased, now, run_ends, run_rows, scrub, session_role, stamp,
    usage_sums,
};

/// For how long the runs are known of users whose data was erased.
pub(super) const DELETE_RUNS: &str = "DELETE FROM erased_runs WHERE erased_at < $1";

/// Reasons that a user gave, or that were given for acts that concern the user.
const DELETE_REASONS: &str = "DELETE FROM audit_reasons WHERE seq IN ( \
    SELECT a.seq FROM audit a JOIN audit_subjects s ON s.subject = a.subject WHERE s.user_id = $1 \
    UNION SELECT a.seq FROM audit a JOIN audit_subjects s ON s.subject = a.actor_subject WHERE s.user_id = $1)";

const DELETE_SUBJECT: &str = "DELETE FROM audit_subjects WHERE user_id = $1";

/// How many runs are noted at a time.
const RUNS_AT_A_TIME: usize = 200;

/// The name space of the keys of runs that notifications begin (docs/API.md).
const OF_NOTIFICATION: &str = "notification";

/// What an erasure has found.
pub(crate) struct Begun {
    /// What goes, and what stays.
    pub(crate) counted: Erasure,
    /// What becomes of tasks, messages and documents: one that goes on as it was begun may delete more than is asked
    /// for now. None where nothing was found that would have to go.
    pub(crate) messages: Option<Messages>,
}

/// Cancels what goes on.
async fn cancel_runs(tx: &mut AnyConnection, scope: Scope<'_>) -> Result<(), StoreError> {
    let open = "SELECT * FROM runs WHERE user_id = $1 AND status IN \
        ('running', 'interrupted', 'awaiting_approval', 'awaiting_answer') ORDER BY seq";
    let rows = sqlx::query(open).bind(scope.user_id).fetch_all(&mut *tx).await?;
    for row in &rows {
        let run_rows::Found { seq, role, mut run, .. } = run_rows::found(row);
        run_ends::end(tx, scope.user_id, &role, seq, RunStatus::Cancelled, None).await?;
        RunStatus::Cancelled.as_str().clone_into(&mut run.status);
        run_ends::record_cancel(tx, scope, &role, &run).await?;
    }
    Ok(())
}

/// Notes the runs that somebody may work on still, or send again: those that have gone on lately, and those that
/// notifications begin which were given out.
async fn note_runs(tx: &mut AnyConnection, user_id: &str) -> Result<(), StoreError> {
    let lately = "SELECT run_key FROM runs WHERE user_id = $1 AND updated_at >= $2 UNION SELECT run_key FROM runs WHERE user_id = $1 \
        AND status IN ('running', 'interrupted', 'awaiting_approval', 'awaiting_answer', 'failed')";
    let rows = sqlx::query(lately)
        .bind(user_id)
        .bind(stamp(Utc::now() - KEPT))
        .fetch_all(&mut *tx)
        .await?;
    let mut keys: Vec<String> = rows.iter().map(|row| row.get("run_key")).collect();
    let waiting = "SELECT id, session_key FROM notifications WHERE user_id = $1 AND delivered_at IS NULL AND dead_at IS NULL";
    for row in sqlx::query(waiting).bind(user_id).fetch_all(&mut *tx).await? {
        let Some(role) = session_role(user_id, row.get("session_key")) else { continue };
        let key = RunKey::derive_in(OF_NOTIFICATION, user_id, role, row.get("id"));
        keys.push(key.as_str().to_owned());
    }
    let at = now();
    for keys in keys.chunks(RUNS_AT_A_TIME) {
        // Hashes: nothing in them needs to be escaped.
        let rows = keys.iter().map(|key| format!("('{}', $1)", erased::run_of(user_id, key)));
        let text = format!(
            "INSERT INTO erased_runs (who, erased_at) VALUES {} ON CONFLICT (who) DO UPDATE SET erased_at = excluded.erased_at",
            rows.collect::<Vec<_>>().join(", ")
        );
        let query = sqlx::query(AssertSqlSafe(text)).persistent(false).bind(&at);
        query.execute(&mut *tx).await?;
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

/// Whether a user is kept in what tells what goes on here.
async fn is_known(tx: &mut AnyConnection, user_id: &str) -> Result<bool, StoreError> {
    let text = "SELECT 1 FROM erasures WHERE user_id = $1 UNION ALL SELECT 1 FROM audit_subjects WHERE user_id = $1";
    Ok(sqlx::query(text).bind(user_id).fetch_optional(tx).await?.is_some())
}

/// Notes that the user's tokens of until now are refused; the time. Bytes are `scrub::DUE` for being cleaned where
/// there was something.
async fn note_user(tx: &mut AnyConnection, who: &str, is_due: bool) -> Result<String, StoreError> {
    // Taken last: who has a token from before must not have got it while this waited.
    let at = now();
    let due = if is_due { ", is_scrubbed = excluded.is_scrubbed" } else { "" };
    let text = format!(
        "INSERT INTO erased_users (who, erased_at, is_scrubbed) VALUES ($1, $2, $3) ON CONFLICT (who) DO UPDATE \
         SET erased_at = excluded.erased_at{due}"
    );
    let is_scrubbed = if is_due { scrub::DUE } else { scrub::CLEAN };
    let query = sqlx::query(AssertSqlSafe(text)).bind(who).bind(&at).bind(is_scrubbed);
    query.execute(tx).await?;
    Ok(at)
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
    /// and the audit log does not know the user. Where there is nothing of the user, nothing is recorded.
    pub(crate) async fn begin_erasure(
        &self,
        user_id: &str,
        messages: Messages,
        by: By<'_>,
    ) -> Result<Begun, StoreError> {
        let scope = Scope::of(user_id).by(by);
        let who = erased::who(user_id);
        // Counted beside all writes: that may take long.
        let mut counted = self.count_owned(user_id, messages).await?;
        if self.erase_nobody(user_id, messages, &counted).await? {
            return Ok(Begun { counted, messages: None });
        }
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "INSERT INTO erasures (user_id, messages, begun_at) VALUES ($1, $2, $3) ON CONFLICT (user_id) DO UPDATE \
             SET messages = CASE WHEN excluded.messages = 'delete' THEN 'delete' ELSE erasures.messages END \
             RETURNING messages",
        )
        .bind(user_id)
        .bind(messages.as_str())
        .bind(now())
        .fetch_one(&mut *tx)
        .await?;
        // One that goes on may be asked for less than it was begun with.
        let begun = row.get::<&str, _>("messages").parse().unwrap_or(messages);
        if begun != messages {
            counted = self.count_owned(user_id, begun).await?;
        }
        note_runs(&mut tx, user_id).await?;
        cancel_runs(&mut tx, scope).await?;
        let of: Vec<_> = counted.counts.iter().filter(|(_, many)| **many > 0).collect();
        let of: serde_json::Map<_, _> =
            of.into_iter().map(|(kind, many)| (kind.clone(), json!(many))).collect();
        let act = Act::new(by, "data.erased").of(user_id).with("messages", begun.as_str());
        audit::record(&mut tx, &act.with("counts", Value::Object(of))).await?;
        forget_subject(&mut tx, user_id).await?;
        let at = note_user(&mut tx, &who, true).await?;
        // Those who write next, in the same transaction even, are refused already.
        self.erased.note(who, &at);
        tx.commit().await?;
        Ok(Begun { counted, messages: Some(begun) })
    }

    /// Refuses the tokens of a user of whom there is nothing; whether that is so. Nothing is left then that would have
    /// to be cleaned away.
    async fn erase_nobody(
        &self,
        user_id: &str,
        messages: Messages,
        counted: &Erasure,
    ) -> Result<bool, StoreError> {
        let has_some = counted.counts.values().any(|many| *many > 0);
        if has_some || counted.kept.get(super::owned_tables::AUDIT).is_some_and(|many| *many > 0) {
            return Ok(false);
        }
        if self.named(user_id).await?.is_anywhere() {
            return Ok(false);
        }
        let mut tx = self.begin().await?;
        if is_known(&mut tx, user_id).await? || delete_all(&mut tx, user_id, messages).await? > 0 {
            return Ok(false);
        }
        let who = erased::who(user_id);
        let at = note_user(&mut tx, &who, false).await?;
        self.erased.note(who, &at);
        tx.commit_untold().await?;
        Ok(true)
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
        let named = self.named(user_id).await?;
        let mut tx = self.begin().await?;
        while usage_sums::fold_some(&mut tx, user_id).await? > 0 {}
        delete_all(&mut tx, user_id, messages).await?;
        forget_subject(&mut tx, user_id).await?;
        named.forget(&mut tx, user_id).await?;
        let done = "DELETE FROM erasures WHERE user_id = $1";
        sqlx::query(done).bind(user_id).execute(&mut *tx).await?;
        // Whatever cleaned the file while this was interrupted has cleaned it of others only.
        let due = "UPDATE erased_users SET is_scrubbed = $1 WHERE who = $2";
        sqlx::query(due).bind(scrub::DUE).bind(erased::who(user_id)).execute(&mut *tx).await?;
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
}
