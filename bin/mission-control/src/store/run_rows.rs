//! Runs as they are stored.

use mc_client::runs::{Run, RunNote, RunStatus, RunStep};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::{Conflict, StoreError};
use super::sql::{count, flag};
use super::{Scope, json_of, time};

/// A run without its steps unless they are given.
pub(super) fn run(row: &AnyRow, steps: Vec<RunStep>) -> Run {
    Run {
        run_key: row.get("run_key"),
        status: row.get("status"),
        session_key: row.get("session_key"),
        task_id: row.get("task_id"),
        workspace_digest: row.get("workspace_digest"),
        workspace: row.get("workspace"),
        profile_digest: row.get("profile_digest"),
        detached: flag(row, "detached"),
        parent_run_key: row.get("parent_run_key"),
        cancel_requested: flag(row, "cancel_requested"),
        steps,
        created_at: time(row.get("created_at")),
        updated_at: time(row.get("updated_at")),
        extra: json_of(row.get("extra")).unwrap_or_default(),
    }
}

/// What is answered to a write about a run.
pub(super) fn note(run: &Run) -> RunNote {
    RunNote {
        run_key: run.run_key.clone(),
        status: run.status.clone(),
        cancel_requested: run.cancel_requested || run.known_status() == Some(RunStatus::Cancelled),
    }
}

/// A step of a run.
pub(super) fn step(row: &AnyRow) -> RunStep {
    RunStep {
        index: count(row, "step_index"),
        kind: row.get("kind"),
        payload: json_of(row.get("payload")).unwrap_or_default(),
    }
}

/// A run, and where it is stored.
pub(super) struct Found {
    /// Its row.
    pub(super) seq: i64,
    /// Whose it is: a role of the user; none as long as nobody has named its session.
    pub(super) role: String,
    /// The newest session lease under which it was written.
    pub(super) lease_id: Option<String>,
    /// The run without its steps.
    pub(super) run: Run,
}

/// The runs of a user with this key: one of each role that has one.
async fn all(
    tx: &mut AnyConnection,
    user_id: &str,
    run_key: &str,
) -> Result<Vec<Found>, StoreError> {
    let rows = sqlx::query("SELECT * FROM runs WHERE user_id = $1 AND run_key = $2 ORDER BY seq")
        .bind(user_id)
        .bind(run_key)
        .fetch_all(tx)
        .await?;
    Ok(rows.iter().map(found).collect())
}

/// A row as it was found.
pub(super) fn found(row: &AnyRow) -> Found {
    Found {
        seq: row.get("seq"),
        role: row.get("role"),
        lease_id: row.get("lease_id"),
        run: run(row, Vec::new()),
    }
}

/// The run of this key, if there is one. Another user's or another role's does not exist. A lead that names
/// no role means its own, and another role's where it has none. Of several roles' with this key none is
/// taken for the one that is meant.
pub(super) async fn find(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    run_key: &str,
) -> Result<Option<Found>, StoreError> {
    let mut found = all(tx, scope.user_id, run_key).await?;
    if let Some(role) = scope.role {
        return Ok(found.into_iter().find(|found| found.role == role));
    }
    if let Some(own) = found.iter().position(|found| scope.own_role() == Some(&*found.role)) {
        return Ok(Some(found.swap_remove(own)));
    }
    if found.len() > 1 {
        let roles = found.into_iter().map(|found| found.role).collect();
        return Err(Conflict::RunAmbiguous { roles }.into());
    }
    Ok(found.pop())
}

/// Whether any role of the user has a run with this key.
pub(super) async fn is_known(
    tx: &mut AnyConnection,
    user_id: &str,
    run_key: &str,
) -> Result<bool, StoreError> {
    Ok(!all(tx, user_id, run_key).await?.is_empty())
}

/// As [`find`], for a write that names the role: also a run that has none yet.
pub(super) async fn find_of(
    tx: &mut AnyConnection,
    user_id: &str,
    role: &str,
    run_key: &str,
) -> Result<Option<Found>, StoreError> {
    let mut found = all(tx, user_id, run_key).await?;
    found.retain(|found| found.role == role || found.role.is_empty());
    found.sort_by(|one, other| other.role.cmp(&one.role));
    Ok(found.into_iter().next())
}

/// Refuses a tool request about a run that was cancelled, or that only other roles have.
pub(super) async fn check_waits(
    tx: &mut AnyConnection,
    user_id: &str,
    role: &str,
    run_key: &str,
) -> Result<(), StoreError> {
    let found = all(tx, user_id, run_key).await?;
    let own = found.iter().find(|found| [role, ""].contains(&&*found.role));
    match own.map(|found| found.run.known_status()) {
        Some(Some(RunStatus::Cancelled)) => Err(Conflict::RunCancelled.into()),
        None if !found.is_empty() => Err(StoreError::NotFound("run")),
        Some(_) | None => Ok(()),
    }
}
