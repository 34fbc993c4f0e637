//! Detached runs that no instance works on: leased to whoever lets another instance take them up.

use std::collections::HashSet;

use chrono::{Duration, Utc};
use mc_client::orphans::{Orphan, RUN_ABANDONED};
use mc_client::runs::{Run, RunStatus};
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::run_ends::is_answered;
use super::run_rows::run;
use super::sql::count;
use super::{Store, children, run_ends, stamp};

/// For how long a run and the lease of its session must have been quiet.
const QUIET: Duration = Duration::seconds(5);

/// How many runs one call looks at, so that other writes do not wait long.
const LOOKED_AT: i64 = 2_000;

/// Detached runs that nobody works on, oldest first: of an interrupted one that is known; a running one has
/// been quiet for a while, and so has the lease of its session and task. An interrupted one waits while
/// another run has the session.
const ORPHANS: &str = "SELECT r.*, (SELECT count(*) FROM run_steps s WHERE s.run_seq = r.seq) AS steps FROM runs r \
    WHERE r.detached = 1 AND r.status IN ('running', 'interrupted') AND r.parent_run_key IS NULL \
      AND r.session_key IS NOT NULL AND r.task_id IS NOT NULL \
      AND ((r.status = 'running' AND r.updated_at <= $1 AND NOT EXISTS (SELECT 1 FROM session_leases l \
            WHERE l.session_key = r.session_key AND l.task_id = r.task_id AND l.expires_at > $1 \
              AND coalesce(l.freed_at, l.expires_at) > $1)) \
        OR (r.status = 'interrupted' AND NOT EXISTS (SELECT 1 FROM runs o \
            JOIN session_leases l ON l.id = o.lease_id \
            WHERE o.session_key = r.session_key AND o.task_id = r.task_id AND o.status = 'running' AND o.seq <> r.seq \
              AND l.session_key = r.session_key AND l.task_id = r.task_id \
              AND l.freed_at IS NULL AND l.expires_at > $2))) \
    ORDER BY r.seq LIMIT $3";

impl Store {
    /// Runs that no instance works on: of each session and task the oldest, which nobody else gets for
    /// `lease_seconds`; one without a step, whose instance died before it answered, only where none of the
    /// others has one. What is `returned` counts as never given out. One that was given out `max_attempts` times without a new step has failed; one
    /// that is to be cancelled is.
    pub(crate) async fn lease_orphans(
        &self,
        lease_seconds: u32,
        limit: u32,
        max_attempts: u32,
        returned: &[Orphan],
    ) -> Result<Vec<Orphan>, StoreError> {
        let at = Utc::now();
        // What nobody waits for needs no write, and most of the time nobody does.
        if orphans(&mut *self.reader.acquire().await?, at, 1).await?.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin().await?;
        for run in returned {
            give_back(&mut tx, run).await?;
        }
        let (mut leased, mut sessions) = (Vec::new(), HashSet::new());
        let mut rows = orphans(&mut tx, at, LOOKED_AT).await?;
        rows.sort_by_key(|row| row.get::<i64, _>("steps") == 0);
        for row in rows {
            let known = run(&row, Vec::new());
            let session = (known.session_key.clone(), known.task_id.clone());
            if leased.len() >= limit as usize || sessions.contains(&session) {
                continue;
            }
            if known.cancel_requested
                && !is_answered(&mut tx, row.get("user_id"), row.get("role"), &known.run_key)
                    .await?
            {
                end(&mut tx, &row, known, RunStatus::Cancelled).await?;
                continue;
            }
            let until: Option<&str> = row.get("orphan_until");
            if until.is_some_and(|until| until > &*stamp(at)) {
                sessions.insert(session);
                continue;
            }
            let attempts = match row.get::<i64, _>("orphan_steps") == row.get::<i64, _>("steps") {
                true => count(&row, "orphan_attempts") + 1,
                false => 1,
            };
            if attempts > max_attempts {
                end(&mut tx, &row, known, RunStatus::Failed).await?;
                continue;
            }
            lease(&mut tx, &row, &stamp(at + Duration::seconds(lease_seconds.into())), attempts)
                .await?;
            sessions.insert(session);
            leased.push(Orphan {
                run_key: known.run_key,
                user_id: row.get("user_id"),
                session_key: known.session_key.unwrap_or_default(),
                task_id: known.task_id.unwrap_or_default(),
                attempts,
            });
        }
        tx.commit().await?;
        Ok(leased)
    }
}

async fn orphans(
    tx: &mut AnyConnection,
    at: chrono::DateTime<Utc>,
    limit: i64,
) -> Result<Vec<AnyRow>, StoreError> {
    Ok(sqlx::query(ORPHANS)
        .bind(stamp(at - QUIET))
        .bind(stamp(at))
        .bind(limit)
        .fetch_all(tx)
        .await?)
}

/// Ends a lease of a run that no instance took, unless it has run out and somebody else has it.
async fn give_back(tx: &mut AnyConnection, run: &Orphan) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE runs SET orphan_until = NULL, orphan_attempts = orphan_attempts - 1 \
         WHERE user_id = $1 AND run_key = $2 AND session_key = $3 AND task_id = $4 \
           AND orphan_attempts = $5 AND orphan_attempts > 0 AND orphan_until IS NOT NULL",
    )
    .bind(&run.user_id)
    .bind(&run.run_key)
    .bind(&run.session_key)
    .bind(&run.task_id)
    .bind(i64::from(run.attempts))
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives a run out.
async fn lease(
    tx: &mut AnyConnection,
    row: &AnyRow,
    until: &str,
    attempts: u32,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE runs SET orphan_until = $1, orphan_attempts = $2, orphan_steps = $3 WHERE seq = $4",
    )
    .bind(until)
    .bind(i64::from(attempts))
    .bind(row.get::<i64, _>("steps"))
    .bind(row.get::<i64, _>("seq"))
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends a run that nobody works on.
async fn end(
    tx: &mut AnyConnection,
    row: &AnyRow,
    known: Run,
    status: RunStatus,
) -> Result<(), StoreError> {
    let attempts = count(row, "orphan_attempts");
    let mut extra = known.extra;
    if status == RunStatus::Failed {
        let error = format!(
            "the run was given up: {attempts} instances of the daemon took it up, and none got a step further; \
             look at the daemons' logs, then send its key again"
        );
        extra.insert("error".to_owned(), json!(RUN_ABANDONED));
        extra.insert(
            "failure".to_owned(),
            json!({
                "status": 500, "error": error, "code": RUN_ABANDONED,
                "details": { "attempts": attempts }
            }),
        );
    }
    let (user_id, role): (&str, &str) = (row.get("user_id"), row.get("role"));
    run_ends::end(tx, user_id, role, row.get("seq"), status, Some(extra)).await?;
    children::follow(tx, user_id, (role, &known.run_key), status, false).await
}
