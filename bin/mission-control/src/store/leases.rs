//! Session leases: who may run a session on a task, with fencing tokens for its writes.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mc_client::leases::{Lease, LeaseRequest};
use mc_client::runs::Run;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::{Conflict, StoreError};
use super::sql::{count, flag};
use super::{Scope, Store, new_id, now, session_of, stamp, tasks, time};

/// The longest `Retry-After` in seconds: the lease may be released early.
const MAX_RETRY_AFTER_SECS: i64 = 5;

/// A lease under which a write is made, as `X-Session-Fence` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The lease.
    pub lease_id: String,
    /// Its fencing token: grows by one with each lease of the session and task.
    pub fence: i64,
}

fn lease(row: &AnyRow) -> Lease {
    Lease {
        lease_id: row.get("id"),
        fence: row.get("fence"),
        expires_at: time(row.get("expires_at")),
    }
}

fn until(from: DateTime<Utc>, ttl_secs: u32) -> String {
    stamp(from + TimeDelta::seconds(ttl_secs.into()))
}

/// Deletes leases that expired before a time, except the newest of each session and task.
pub(super) const DELETE_EXPIRED: &str = "DELETE FROM session_leases WHERE expires_at < $1 AND EXISTS (SELECT 1 FROM session_leases n \
    WHERE n.session_key = session_leases.session_key AND n.task_id = session_leases.task_id \
      AND n.fence > session_leases.fence)";

/// The newest lease of the session and task of a row.
const NEWEST: &str = "SELECT * FROM session_leases WHERE session_key = $1 AND task_id = $2 ORDER BY fence DESC LIMIT 1";

/// The session whose leases a call may touch; empty for all of the user's.
fn session(scope: Scope<'_>) -> String {
    scope.role.map(|role| session_of(scope.user_id, role)).unwrap_or_default()
}

/// Refuses a write under a lease that was released or followed by another one, or another role's. A lease that has only
/// expired still counts: nobody has written since.
pub(super) async fn check(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    fence: &Fence,
) -> Result<(), StoreError> {
    held(tx, scope, fence).await.map(drop)
}

/// As [`check`], for a write of a run: the lease must be that of the run's session and task.
pub(super) async fn check_of_run(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    fence: &Fence,
    run: &Run,
) -> Result<(), StoreError> {
    let row = held(tx, scope, fence).await?;
    let (session, task): (String, String) = (row.get("session_key"), row.get("task_id"));
    let is_own = run.session_key.as_ref().is_none_or(|own| *own == session)
        && run.task_id.as_ref().is_none_or(|own| *own == task);
    if is_own { Ok(()) } else { Err(Conflict::StaleFence.into()) }
}

/// Whether anybody holds the lease of a run's session and task at present.
pub(super) async fn is_held(
    tx: &mut AnyConnection,
    user_id: &str,
    run: &Run,
) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "SELECT 1 FROM session_leases WHERE user_id = $1 AND session_key = $2 AND task_id = $3 \
         AND freed_at IS NULL AND expires_at > $4 LIMIT 1",
    )
    .bind(user_id)
    .bind(&run.session_key)
    .bind(&run.task_id)
    .bind(now())
    .fetch_optional(tx)
    .await?;
    Ok(row.is_some())
}

/// The lease that a write names, where it still counts. It may be another role's where a run of this role
/// works for one that holds it ([`super::children`]).
async fn held(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    fence: &Fence,
) -> Result<AnyRow, StoreError> {
    let row = sqlx::query(
        "SELECT l.fence, l.session_key, l.task_id, l.freed_at IS NOT NULL AS freed, \
           (SELECT max(n.fence) FROM session_leases n WHERE n.session_key = l.session_key AND n.task_id = l.task_id) AS newest \
         FROM session_leases l WHERE l.id = $1 AND l.user_id = $2 AND ($3 IN ('', l.session_key) \
           OR EXISTS (SELECT 1 FROM runs r WHERE r.session_key = $3 AND r.task_id = l.task_id AND r.status = 'running' \
             AND r.user_id = l.user_id AND r.lease_id = l.id AND r.parent_run_key IS NOT NULL))",
    )
    .bind(&fence.lease_id)
    .bind(scope.user_id)
    .bind(session(scope))
    .fetch_optional(tx)
    .await?
    .ok_or(Conflict::StaleFence)?;
    let own: i64 = row.get("fence");
    let holds = own == fence.fence && own == row.get::<i64, _>("newest");
    if holds && !flag(&row, "freed") { Ok(row) } else { Err(Conflict::StaleFence.into()) }
}

/// Grants the lease, unless somebody else holds it.
pub async fn insert(
    tx: &mut AnyConnection,
    user_id: &str,
    request: &LeaseRequest,
) -> Result<Lease, StoreError> {
    tasks::ensure_exists(tx, user_id, &request.task_id).await?;
    let at = Utc::now();
    let newest = sqlx::query(NEWEST)
        .bind(&request.session_key)
        .bind(&request.task_id)
        .fetch_optional(&mut *tx)
        .await?;
    let mut fence = 1;
    if let Some(newest) = newest {
        let ends = time(newest.get("expires_at")).filter(|ends| *ends > at);
        let freed = newest.get::<Option<String>, _>("freed_at").is_some();
        if let (Some(ends), false) = (ends, freed) {
            let wait = ((ends - at).num_seconds() + 1).clamp(1, MAX_RETRY_AFTER_SECS);
            let retry_after = Duration::from_secs(wait.unsigned_abs());
            return Err(Conflict::SessionBusy { holder: newest.get("holder"), retry_after }.into());
        }
        fence = newest.get::<i64, _>("fence") + 1;
    }
    let row = sqlx::query(
        "INSERT INTO session_leases (id, user_id, session_key, task_id, fence, holder, ttl_secs, expires_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *",
    )
    .bind(new_id())
    .bind(user_id)
    .bind(&request.session_key)
    .bind(&request.task_id)
    .bind(fence)
    .bind(&request.holder)
    .bind(i64::from(request.ttl_secs))
    .bind(until(at, request.ttl_secs))
    .bind(stamp(at))
    .fetch_one(tx)
    .await?;
    Ok(lease(&row))
}

impl Store {
    /// Renews a lease, also one that has expired, as long as nobody else got it since.
    pub async fn renew_lease(
        &self,
        scope: Scope<'_>,
        id: &str,
        ttl_secs: Option<u32>,
    ) -> Result<Lease, StoreError> {
        let mut tx = self.write(scope).await?;
        let row = sqlx::query(
            "SELECT * FROM session_leases WHERE id = $1 AND user_id = $2 AND $3 IN ('', session_key) AND freed_at IS NULL",
        )
        .bind(id)
        .bind(scope.user_id)
        .bind(session(scope))
        .fetch_optional(&mut *tx)
        .await?;
        let row = row.ok_or_else(|| StoreError::NotFound("lease"))?;
        let fence = Fence { lease_id: id.to_owned(), fence: row.get("fence") };
        check(&mut tx, scope, &fence).await?;
        let ttl_secs = ttl_secs.unwrap_or_else(|| count(&row, "ttl_secs"));
        let row = sqlx::query(
            "UPDATE session_leases SET expires_at = $1, ttl_secs = $2 WHERE id = $3 RETURNING *",
        )
        .bind(until(Utc::now(), ttl_secs))
        .bind(i64::from(ttl_secs))
        .bind(id)
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(lease(&row))
    }

    /// Releases a lease. Repeating it is harmless.
    pub async fn free_lease(&self, scope: Scope<'_>, id: &str) -> Result<(), StoreError> {
        let mut tx = self.write(scope).await?;
        let done = sqlx::query(
            "UPDATE session_leases SET freed_at = coalesce(freed_at, $1) WHERE id = $2 AND user_id = $3 AND $4 IN ('', session_key)",
        )
            .bind(now())
            .bind(id)
            .bind(scope.user_id)
            .bind(session(scope))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        if done.rows_affected() > 0 { Ok(()) } else { Err(StoreError::NotFound("lease")) }
    }
}
