//! Runs as they are stored.

use mc_client::runs::{Run, RunNote, RunStatus, RunStep};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::sql::{count, flag};
use super::{json_of, time};

/// A run without its steps unless they are given.
pub(super) fn run(row: &AnyRow, steps: Vec<RunStep>) -> Run {
    Run {
        run_key: row.get("run_key"),
        status: row.get("status"),
        session_key: row.get("session_key"),
        task_id: row.get("task_id"),
        workspace_digest: row.get("workspace_digest"),
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

/// The run of this key without its steps, if there is one. Another user's does not exist.
pub(super) async fn find(
    tx: &mut AnyConnection,
    user_id: &str,
    run_key: &str,
) -> Result<Option<Run>, StoreError> {
    let row = sqlx::query("SELECT * FROM runs WHERE run_key = $1")
        .bind(run_key)
        .fetch_optional(tx)
        .await?;
    match row {
        Some(row) if row.get::<String, _>("user_id") == user_id => Ok(Some(run(&row, Vec::new()))),
        Some(_) => Err(StoreError::NotFound("run")),
        None => Ok(None),
    }
}

/// Where a run stands, if there is one of this key. Another user's does not exist.
pub(super) async fn status(
    tx: &mut AnyConnection,
    user_id: &str,
    run_key: &str,
) -> Result<Option<RunStatus>, StoreError> {
    Ok(find(tx, user_id, run_key).await?.and_then(|run| run.known_status()))
}
