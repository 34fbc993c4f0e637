//! The journal of runs: where each stands, and its steps.

use mc_client::idempotency::canonical_json;
use mc_client::runs::{PutRun, PutStep, Run, RunNote, RunStatus};
use serde_json::{Map, Value, json};
use sqlx::{AnyConnection, Row};

use super::error::{Conflict, StoreError};
use super::run_ends as ends;
use super::run_rows::{Found, find, find_of, is_known, note, run, step};
use super::{Scope, Store, children, events, now, run_facts, session_role, tasks, tool_requests};

/// The most bytes that the steps of a run have, which are read in one answer.
const MAX_JOURNAL: usize = 64 * 1024 * 1024;

/// The contract's fields of a run; an extra field of such a name is not stored.
const OWN_FIELDS: [&str; 13] = [
    "run_key",
    "status",
    "session_key",
    "task_id",
    "workspace_digest",
    "workspace",
    "profile_digest",
    "detached",
    "parent_run_key",
    "cancel_requested",
    "steps",
    "created_at",
    "updated_at",
];

/// Records an event about a run, without its steps.
pub(super) async fn record(
    tx: &mut AnyConnection,
    user_id: &str,
    role: &str,
    what: &str,
    run: &Run,
) -> Result<(), StoreError> {
    let data = json!({
        "run_key": run.run_key, "status": run.status, "session_key": run.session_key,
        "task_id": run.task_id, "cancel_requested": run.cancel_requested
    });
    let kind = format!("run.{what}");
    events::record_of(tx, user_id, Some(role), &kind, "run_key", &data).await
}

async fn begin(
    tx: &mut AnyConnection,
    user_id: &str,
    role: &str,
    run_key: &str,
) -> Result<Found, StoreError> {
    let at = now();
    let row = sqlx::query(
        "INSERT INTO runs (run_key, user_id, role, status, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING *",
    )
    .bind(run_key)
    .bind(user_id)
    .bind(role)
    .bind(RunStatus::Running.as_str())
    .bind(&at)
    .bind(&at)
    .fetch_one(tx)
    .await?;
    let (seq, run) = (row.get("seq"), run(&row, Vec::new()));
    Ok(Found { seq, role: role.to_owned(), lease_id: None, run })
}

/// What is answered about a run that an erasure has cancelled: nothing of it is stored any more.
fn erased(run_key: &str) -> RunNote {
    let status = RunStatus::Cancelled.as_str().to_owned();
    RunNote { run_key: run_key.to_owned(), status, cancel_requested: true }
}

/// The status of a run after a caller asks for `wanted`. `is_answered`: its reply stands, so that it is never
/// cancelled.
fn next_status(
    run: &Run,
    wanted: Option<RunStatus>,
    is_answered: bool,
) -> Result<RunStatus, StoreError> {
    let known = run.known_status().unwrap_or(RunStatus::Running);
    match (known, wanted) {
        // The answer tells whoever runs it that it was cancelled; that is final.
        (RunStatus::Cancelled, _) => Ok(RunStatus::Cancelled),
        (RunStatus::Completed, Some(wanted)) if wanted != RunStatus::Completed => {
            let (why, status) = (
                "the run is completed; its status cannot change any more",
                known.as_str().to_owned(),
            );
            Err(Conflict::RunFinished { why, status }.into())
        }
        // It has stopped, and must not be resumed.
        (
            _,
            Some(
                RunStatus::Failed
                | RunStatus::Interrupted
                | RunStatus::AwaitingApproval
                | RunStatus::AwaitingAnswer,
            ),
        ) if run.cancel_requested && !is_answered => Ok(RunStatus::Cancelled),
        (_, Some(RunStatus::Cancelled)) if is_answered => {
            let why = "the run's reply stands; write that it is completed";
            Err(Conflict::RunFinished { why, status: known.as_str().to_owned() }.into())
        }
        (known, wanted) => Ok(wanted.unwrap_or(known)),
    }
}

impl Store {
    /// A run without its journal.
    pub async fn run_state(&self, scope: Scope<'_>, run_key: &str) -> Result<Run, StoreError> {
        let mut connection = self.reader.acquire().await?;
        let found = find(&mut connection, scope, run_key).await?;
        Ok(found.ok_or_else(|| StoreError::NotFound("run"))?.run)
    }

    /// A run with its journal.
    pub async fn run(&self, scope: Scope<'_>, run_key: &str) -> Result<Run, StoreError> {
        // Both reads see the same state.
        let mut tx = self.reader.begin().await?;
        let found = find(&mut tx, scope, run_key).await?;
        let mut found = found.ok_or_else(|| StoreError::NotFound("run"))?;
        let steps = sqlx::query("SELECT * FROM run_steps WHERE run_seq = $1 ORDER BY step_index")
            .bind(found.seq)
            .fetch_all(&mut *tx)
            .await?;
        found.run.steps = steps.iter().map(step).collect();
        Ok(found.run)
    }

    /// Sets a run's session, task and status; creates the run if there is none.
    pub async fn put_run(
        &self,
        scope: Scope<'_>,
        run_key: &str,
        put: &PutRun,
    ) -> Result<RunNote, StoreError> {
        let parent = put.parent_run_key.as_deref();
        let mut tx = self.write_of_run(scope, run_key, parent).await?;
        let user_id = scope.user_id;
        let session = put.session_key.as_deref();
        let role = scope.role.or_else(|| session_role(user_id, session?)).or(scope.own_role());
        let found = match (scope.role, role) {
            (None, Some(role)) => find_of(&mut tx, user_id, role, run_key).await?,
            (Some(_) | None, _) => find(&mut tx, scope, run_key).await?,
        };
        let is_new = found.is_none();
        if is_new && self.is_erased_run(&mut tx, user_id, run_key).await? {
            return Ok(erased(run_key));
        }
        let Found { seq, role: known_role, lease_id, run: known } = match found {
            Some(found) => found,
            None => begin(&mut tx, user_id, role.unwrap_or_default(), run_key).await?,
        };
        let role = if known_role.is_empty() { role.unwrap_or_default() } else { &known_role };
        let session_key =
            set_once("session_key", known.session_key.as_ref(), put.session_key.as_ref(), is_new)?;
        let task_id = set_once("task_id", known.task_id.as_ref(), put.task_id.as_ref(), is_new)?;
        if let (None, Some(task_id)) = (&known.task_id, task_id) {
            tasks::ensure_exists(&mut tx, user_id, task_id).await?;
        }
        let is_answered = ends::may_cancel(&known, put.status)
            && ends::is_answered(&mut tx, user_id, role, run_key).await?;
        let status = next_status(&known, put.status, is_answered)?;
        let mut extra: Map<String, Value> = known.extra.clone();
        extra.extend(put.extra.clone());
        extra.retain(|name, _| {
            !OWN_FIELDS.contains(&name.as_str()) && !run_facts::TEXTS.contains(&name.as_str())
        });
        // Whoever was to take it up has done so once it is written under another lease.
        let lease = scope.fence.map(|fence| &*fence.lease_id);
        let is_taken_up = lease.is_some() && lease != lease_id.as_deref();
        let row = sqlx::query(
            "UPDATE runs SET session_key = $1, task_id = $2, status = $3, workspace_digest = coalesce($4, workspace_digest), \
             extra = $5, updated_at = $6, role = $7, detached = coalesce($8, detached), \
             parent_run_key = coalesce($9, parent_run_key), lease_id = $10, \
             orphan_until = CASE WHEN $11 = 1 THEN NULL ELSE orphan_until END, \
             workspace = coalesce($13, workspace), profile_digest = coalesce($14, profile_digest) \
             WHERE seq = $12 RETURNING *",
        )
        .bind(session_key)
        .bind(task_id)
        .bind(status.as_str())
        .bind(&put.workspace_digest)
        .bind(Value::Object(extra).to_string())
        .bind(now())
        .bind(role)
        .bind(put.detached.map(i64::from))
        .bind(&put.parent_run_key)
        .bind(lease.or(lease_id.as_deref()))
        .bind(i64::from(is_taken_up))
        .bind(seq)
        .bind(&put.workspace)
        .bind(&put.profile_digest)
        .fetch_one(&mut *tx)
        .await?;
        let sent = put;
        let put = run(&row, Vec::new());
        run_facts::keep(&mut tx, seq, user_id, sent, &put).await?;
        if is_new || put.status != known.status {
            record(&mut tx, user_id, role, &put.status, &put).await?;
        }
        if status == RunStatus::Cancelled {
            if !known.cancel_requested && put.status != known.status {
                ends::record_cancel(&mut tx, scope, role, &put).await?;
            }
            tool_requests::cancel_pending(&mut tx, scope, role, run_key).await?;
        }
        if put.status != known.status {
            if status == RunStatus::Cancelled {
                children::withdraw(&mut tx, scope, role, &put).await?;
            }
            children::follow(&mut tx, user_id, (role, run_key), status, false).await?;
        }
        tx.commit().await?;
        Ok(note(&put))
    }

    /// Writes a step; creates the run if no role of the user has one with this key. The same step again changes nothing, another
    /// one with its index is [`Conflict::StepExists`].
    pub async fn put_step(
        &self,
        scope: Scope<'_>,
        run_key: &str,
        index: u32,
        put: &PutStep,
    ) -> Result<RunNote, StoreError> {
        let mut tx = self.write(scope).await?;
        let user_id = scope.user_id;
        let Found { seq, role, run: known, .. } = match find(&mut tx, scope, run_key).await? {
            Some(known) => known,
            // Whoever writes to a run without having begun one means the run of the other role.
            None if is_known(&mut tx, user_id, run_key).await? => {
                return Err(StoreError::NotFound("run"));
            }
            None if self.is_erased_run(&mut tx, user_id, run_key).await? => {
                return Ok(erased(run_key));
            }
            None => {
                let role = scope.role.or(scope.own_role()).unwrap_or_default();
                let new = begin(&mut tx, user_id, role, run_key).await?;
                record(&mut tx, user_id, role, &new.run.status, &new.run).await?;
                new
            }
        };
        let there = sqlx::query("SELECT * FROM run_steps WHERE run_seq = $1 AND step_index = $2")
            .bind(seq)
            .bind(i64::from(index))
            .fetch_optional(&mut *tx)
            .await?;
        let payload = canonical_json(&put.payload);
        if let Some(there) = there {
            if there.get::<String, _>("kind") == put.kind
                && there.get::<String, _>("payload") == payload
            {
                return Ok(note(&known));
            }
            return Err(Conflict::StepExists(Box::new(step(&there))).into());
        }
        let row = sqlx::query(
            "SELECT coalesce(CAST(sum(octet_length(payload)) AS BIGINT), 0) AS size FROM run_steps WHERE run_seq = $1",
        )
        .bind(seq)
        .fetch_one(&mut *tx)
        .await?;
        let size = usize::try_from(row.get::<i64, _>("size")).unwrap_or(usize::MAX);
        if size.saturating_add(payload.len()) > MAX_JOURNAL {
            let why = "does not fit: the steps of a run have 64 MiB at most";
            return Err(StoreError::Invalid { field: "payload", why });
        }
        let at = now();
        sqlx::query(
            "INSERT INTO run_steps (run_seq, step_index, kind, payload, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(seq)
        .bind(i64::from(index))
        .bind(&put.kind)
        .bind(payload)
        .bind(&at)
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE runs SET updated_at = $1, step_count = step_count + 1, lease_id = coalesce($2, lease_id), \
               orphan_until = CASE WHEN $2 <> coalesce(lease_id, '') THEN NULL ELSE orphan_until END WHERE seq = $3")
            .bind(&at)
            .bind(scope.fence.map(|fence| &*fence.lease_id))
            .bind(seq)
            .execute(&mut *tx)
            .await?;
        let data = json!({ "run_key": run_key, "index": index, "kind": put.kind });
        events::record_of(&mut tx, user_id, Some(&role), "run.step", "run_key", &data).await?;
        tx.commit().await?;
        Ok(note(&known))
    }
}

/// A field that is set once: required when the run is created, and the same ever after. A run that
/// a step created may get it later.
fn set_once<'a>(
    field: &'static str,
    known: Option<&'a String>,
    given: Option<&'a String>,
    is_new: bool,
) -> Result<Option<&'a str>, StoreError> {
    match (known, given) {
        (None, None) if is_new => {
            Err(StoreError::Invalid { field, why: "is required when the run is created" })
        }
        (Some(known), Some(given)) if known != given => {
            Err(Conflict::RunConflict { field, known: known.clone() }.into())
        }
        (known, given) => Ok(known.or(given).map(String::as_str)),
    }
}
