//! Runs that other runs have asked for (docs/CONTROL_PLANE_CONTRACT.md, "Run journal"): they write under the
//! lease of the run at the top, whose session is another role's, and end with it.

use std::collections::HashSet;

use mc_client::runs::{Run, RunStatus};
use mc_client::steps::{CALLING, CallingStep};
use mc_client::tool_requests::{AskedBy, ToolRequestStatus};
use serde::Deserialize as _;
use serde_json::Value;
use sqlx::{AnyConnection, Row};

use super::decisions::{self, Settled};
use super::error::StoreError;
use super::leases::{self, Fence};
use super::run_rows::{Found, found};
use super::write::Write;
use super::{Scope, Store, json_of, now, run_ends};

/// How many runs below one are ended with it: far more than the daemon lets them be.
const MOST: usize = 10_000;

/// How many of them its page shows.
const SHOWN: usize = 500;

impl Store {
    /// Begins a write about a run. A child's may come under its parent's lease.
    pub(super) async fn write_of_run(
        &self,
        scope: Scope<'_>,
        run_key: &str,
        parent_run_key: Option<&str>,
    ) -> Result<Write, StoreError> {
        let mut tx = self.begin().await?;
        let Some(fence) = scope.fence else { return Ok(tx) };
        let is_child = match parent_run_key {
            Some(parent) => is_named(&mut tx, scope, fence, run_key, parent).await?,
            None => false,
        };
        let holder = if is_child { Scope { role: None, ..scope } } else { scope };
        leases::check(&mut tx, holder, fence).await?;
        Ok(tx)
    }
}

/// Whether the journal of a run that works under this lease names a run of this role as its child.
async fn is_named(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    fence: &Fence,
    run_key: &str,
    parent: &str,
) -> Result<bool, StoreError> {
    let Some(role) = scope.own_role() else { return Ok(false) };
    let rows = sqlx::query(
        "SELECT s.payload FROM runs r JOIN run_steps s ON s.run_seq = r.seq \
         WHERE r.user_id = $1 AND r.run_key = $2 AND r.lease_id = $3 AND s.kind = $4",
    )
    .bind(scope.user_id)
    .bind(parent)
    .bind(&fence.lease_id)
    .bind(CALLING)
    .fetch_all(tx)
    .await?;
    Ok(rows.iter().any(|row| names(row.get("payload"), run_key, role)))
}

/// Whether a step names this run.
fn names(payload: &str, run_key: &str, role: &str) -> bool {
    let payload: Value = serde_json::from_str(payload).unwrap_or_default();
    let Ok(step) = CallingStep::deserialize(&payload) else { return false };
    step.children.iter().any(|child| child.run_key == run_key && child.role == role)
}

/// The runs below a run, each after its parent, and how far below they are.
pub(super) async fn below(
    tx: &mut AnyConnection,
    user_id: &str,
    run_key: &str,
) -> Result<Vec<(usize, Found)>, StoreError> {
    let (mut all, mut known) = (Vec::new(), HashSet::new());
    let mut left = vec![(0, run_key.to_owned(), None)];
    while let Some((depth, key, of)) = left.pop() {
        if let Some(of) = of {
            all.push((depth, of));
        }
        let rows = sqlx::query(
            "SELECT * FROM runs WHERE user_id = $1 AND parent_run_key = $2 ORDER BY seq DESC",
        )
        .bind(user_id)
        .bind(&key)
        .fetch_all(&mut *tx)
        .await?;
        for row in &rows {
            let child = found(row);
            if known.len() < MOST && known.insert(child.seq) {
                left.push((depth + 1, child.run.run_key.clone(), Some(child)));
            }
        }
    }
    Ok(all)
}

/// How far up a page looks for the run at the top.
const MOST_ABOVE: usize = 64;

/// A run of a tree as the page lists it.
pub struct TreeRow {
    /// How far below the top it is.
    pub depth: usize,
    /// The run, without its steps.
    pub run: Run,
}

impl Store {
    /// The runs that belong together with this one, the top first; none where it asked for none and none
    /// asked for it.
    pub async fn run_tree(&self, user_id: &str, of: &Run) -> Result<Vec<TreeRow>, StoreError> {
        let mut tx = self.reader.begin().await?;
        let mut top = of.clone();
        for _ in 0..MOST_ABOVE {
            let Some(parent) = top.parent_run_key.clone() else { break };
            let rows = sqlx::query(
                "SELECT * FROM runs WHERE user_id = $1 AND run_key = $2 ORDER BY seq LIMIT 1",
            )
            .bind(user_id)
            .bind(&parent)
            .fetch_all(&mut *tx)
            .await?;
            let Some(above) = rows.first().map(found) else { break };
            top = above.run;
        }
        let below = below(&mut tx, user_id, &top.run_key).await?;
        if below.is_empty() {
            return Ok(Vec::new());
        }
        let below = below.into_iter().take(SHOWN);
        let below = below.map(|(depth, found)| TreeRow { depth, run: found.run });
        Ok(std::iter::once(TreeRow { depth: 0, run: top }).chain(below).collect())
    }
}

/// Withdraws what people are asked on behalf of a run that is cancelled while the one at the top is not: that
/// one waits for it, and goes on.
pub(super) async fn withdraw(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    run: &Run,
) -> Result<(), StoreError> {
    if run.parent_run_key.is_none() {
        return Ok(());
    }
    let below = below(tx, scope.user_id, &run.run_key).await?;
    let below = below.into_iter().map(|(_, child)| child.run.run_key);
    let keys: HashSet<String> = below.chain([run.run_key.clone()]).collect();
    let rows = sqlx::query(
        "SELECT id, asked_by FROM tool_requests \
         WHERE user_id = $1 AND status = $2 AND asked_by IS NOT NULL ORDER BY seq",
    )
    .bind(scope.user_id)
    .bind(ToolRequestStatus::Pending.as_str())
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let asker: Option<AskedBy> = json_of(row.get("asked_by"));
        if asker.is_some_and(|asker| keys.contains(&asker.run_key)) {
            let settled = Settled::new(ToolRequestStatus::Cancelled);
            decisions::settle(tx, scope, row.get("id"), &settled).await?;
        }
    }
    Ok(())
}

/// What becomes of the runs below one that has this status from now on: a cancelled one's are cancelled, and
/// nobody works on those of one that was interrupted or has failed. Of one that `is_to_be` cancelled, they
/// are to be, too.
pub(super) async fn follow(
    tx: &mut AnyConnection,
    user_id: &str,
    run_key: &str,
    status: RunStatus,
    is_to_be: bool,
) -> Result<(), StoreError> {
    let ends = match status {
        RunStatus::Cancelled => Some(RunStatus::Cancelled),
        RunStatus::Interrupted | RunStatus::Failed => Some(RunStatus::Interrupted),
        RunStatus::Running
        | RunStatus::Completed
        | RunStatus::AwaitingApproval
        | RunStatus::AwaitingAnswer => None,
    };
    if ends.is_none() && !is_to_be {
        return Ok(());
    }
    for (_, child) in below(tx, user_id, run_key).await? {
        let known = child.run.known_status().unwrap_or(RunStatus::Running);
        let is_over = known.is_final()
            || (ends == Some(RunStatus::Interrupted) && known != RunStatus::Running);
        match ends {
            Some(status) if !is_over => {
                let extra = child.run.extra;
                run_ends::end(tx, user_id, &child.role, child.seq, status, extra).await?;
            }
            None if known == RunStatus::Running => {
                let asked = sqlx::query(
                    "UPDATE runs SET cancel_requested = 1, updated_at = $1 WHERE seq = $2",
                );
                asked.bind(now()).bind(child.seq).execute(&mut *tx).await?;
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}
