//! How runs end that their instance does not end: they are cancelled, or nobody works on them. A run whose
//! reply stands is completed, whoever wants it cancelled: its instance, or the next one, writes so.

use mc_client::runs::{Run, RunNote, RunStatus};
use serde_json::{Map, Value};
use sqlx::{AnyConnection, Row};

use super::audit::{Act, Actor, By};
use super::error::{Conflict, StoreError};
use super::run_rows::{Found, find, note, run};
use super::runs::record;
use super::{Scope, Store, audit, children, leases, now, tool_requests};

/// Records in the audit log that somebody wants a run to end.
pub(super) async fn record_cancel(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    role: &str,
    run: &Run,
) -> Result<(), StoreError> {
    let act = Act::new(scope.by, "run.cancelled").of(scope.user_id).about("run", &run.run_key);
    audit::record(tx, &act.with("role", role).with("status", &*run.status)).await?;
    Ok(())
}

/// Ends a run that no instance works on. Its fields beside the contract's stay as they are, unless there are
/// others.
pub(super) async fn end(
    tx: &mut AnyConnection,
    user_id: &str,
    role: &str,
    seq: i64,
    status: RunStatus,
    extra: Option<Map<String, Value>>,
) -> Result<(), StoreError> {
    let row = sqlx::query(
        "UPDATE runs SET status = $1, extra = coalesce($2, extra), updated_at = $3, orphan_until = NULL, orphan_attempts = 0 \
         WHERE seq = $4 RETURNING *",
    )
    .bind(status.as_str())
    .bind(extra.map(|extra| Value::Object(extra).to_string()))
    .bind(now())
    .bind(seq)
    .fetch_one(&mut *tx)
    .await?;
    let ended = run(&row, Vec::new());
    record(tx, user_id, role, &ended.status, &ended).await?;
    if status == RunStatus::Cancelled {
        shut_out(tx, row.get("lease_id")).await?;
        let scope = Scope::of(user_id).by(By::new(Actor::System));
        tool_requests::cancel_pending(tx, scope, role, &ended.run_key).await?;
    }
    Ok(())
}

/// Whether a write of this status could make a run cancelled that has not ended.
pub(super) fn may_cancel(run: &Run, wanted: Option<RunStatus>) -> bool {
    let is_final = run.known_status().is_some_and(RunStatus::is_final);
    let wants = match wanted {
        Some(RunStatus::Cancelled) => true,
        Some(RunStatus::Running | RunStatus::Completed) | None => false,
        Some(
            RunStatus::Failed
            | RunStatus::Interrupted
            | RunStatus::AwaitingApproval
            | RunStatus::AwaitingAnswer,
        ) => run.cancel_requested,
    };
    wants && !is_final
}

/// Whether the reply of a run stands.
pub(super) async fn is_answered(
    tx: &mut AnyConnection,
    user_id: &str,
    role: &str,
    run_key: &str,
) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "SELECT 1 FROM messages WHERE user_id = $1 AND idempotency_key = $2 AND actor_type = 'agent' \
         AND ($3 = '' OR agent_role IS NULL OR agent_role = $3) LIMIT 1",
    )
    .bind(user_id)
    .bind(format!("run:{run_key}:reply"))
    .bind(role)
    .fetch_optional(tx)
    .await?;
    Ok(row.is_some())
}

/// An instance that sleeps writes no more for a run that was cancelled because its lease had run out.
async fn shut_out(tx: &mut AnyConnection, lease_id: Option<&str>) -> Result<(), StoreError> {
    let at = now();
    sqlx::query(
        "UPDATE session_leases SET freed_at = $1 WHERE id = $2 AND freed_at IS NULL AND expires_at <= $1",
    )
    .bind(&at)
    .bind(lease_id)
    .execute(tx)
    .await?;
    Ok(())
}

impl Store {
    /// Requests that a run is cancelled. One that is not running is cancelled at once.
    pub async fn cancel_run(&self, scope: Scope<'_>, run_key: &str) -> Result<RunNote, StoreError> {
        let mut tx = self.write(scope).await?;
        let user_id = scope.user_id;
        let found = find(&mut tx, scope, run_key).await?;
        let Found { seq, role, lease_id, run: known } =
            found.ok_or_else(|| StoreError::NotFound("run"))?;
        if may_cancel(&known, Some(RunStatus::Cancelled))
            && is_answered(&mut tx, user_id, &role, run_key).await?
        {
            let why = "the run's reply stands already";
            return Err(Conflict::RunFinished { why, status: known.status }.into());
        }
        let status = match known.known_status().unwrap_or(RunStatus::Running) {
            RunStatus::Completed => {
                let why = "the run is completed already";
                return Err(Conflict::RunFinished { why, status: known.status }.into());
            }
            // No instance works on it: there is nobody to learn of the request.
            RunStatus::Running
                if known.detached && !leases::is_held(&mut tx, user_id, &known).await? =>
            {
                RunStatus::Cancelled
            }
            // Whoever runs it learns of the request with its next write, and reports the end.
            RunStatus::Running => RunStatus::Running,
            RunStatus::Failed
            | RunStatus::Interrupted
            | RunStatus::AwaitingApproval
            | RunStatus::AwaitingAnswer
            | RunStatus::Cancelled => RunStatus::Cancelled,
        };
        let row = sqlx::query(
            "UPDATE runs SET cancel_requested = 1, status = $1, updated_at = $2 WHERE seq = $3 RETURNING *",
        )
        .bind(status.as_str())
        .bind(now())
        .bind(seq)
        .fetch_one(&mut *tx)
        .await?;
        let asked = run(&row, Vec::new());
        if !known.cancel_requested {
            record(&mut tx, user_id, &role, "cancel_requested", &asked).await?;
            if known.known_status() != Some(RunStatus::Cancelled) {
                record_cancel(&mut tx, scope, &role, &asked).await?;
            }
        }
        if asked.status != known.status {
            record(&mut tx, user_id, &role, &asked.status, &asked).await?;
        }
        if status == RunStatus::Cancelled {
            shut_out(&mut tx, lease_id.as_deref()).await?;
            tool_requests::cancel_pending(&mut tx, scope, &role, run_key).await?;
        }
        if asked.status != known.status && status == RunStatus::Cancelled {
            children::withdraw(&mut tx, scope, &role, &asked).await?;
        }
        children::follow(&mut tx, user_id, (&role, run_key), status, true).await?;
        tx.commit().await?;
        Ok(note(&asked))
    }
}
