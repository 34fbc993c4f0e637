//! Runs that other runs have asked for (docs/CONTROL_PLANE_CONTRACT.md, "Run journal"): they write under the
//! lease of the run at the top, whose session is another role's, and end with it.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use mc_client::runs::{Run, RunStatus};
use mc_client::steps::{CALLING, CallingStep, ChildCall};
use mc_client::tool_requests::{AskedBy, ToolRequestStatus};
use serde::Deserialize as _;
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::decisions::{self, Settled};
use super::error::StoreError;
use super::leases::{self, Fence};
use super::run_rows::{Found, found};
use super::write::Write;
use super::{Scope, Store, json_of, now, run_ends, run_rows, session_of, session_role};

/// How many runs below one are ended with it, in one transaction: more than the daemon lets them be.
const MOST: usize = 600;

/// How far up the run at the top is looked for.
const MOST_ABOVE: usize = 64;

/// How many of them its page shows.
const SHOWN: usize = 500;

/// What is read of a run here: nothing that may be large, since many are read at once.
const COLUMNS: &str = "r.seq, r.role, r.lease_id, r.run_key, r.status, r.session_key, r.task_id, r.detached, \
    r.parent_run_key, r.cancel_requested, r.created_at, r.updated_at, \
    CAST(NULL AS TEXT) AS workspace_digest, CAST(NULL AS TEXT) AS workspace, CAST(NULL AS TEXT) AS profile_digest, \
    CAST(NULL AS TEXT) AS extra";

impl Store {
    /// Begins a write about a run. A child's may come under its parent's lease.
    pub(super) async fn write_of_run(
        &self,
        scope: Scope<'_>,
        run_key: &str,
        parent_run_key: Option<&str>,
    ) -> Result<Write, StoreError> {
        let mut tx = self.begin().await?;
        self.check_erased(&mut tx, scope).await?;
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
    let mut steps = sqlx::query(
        "SELECT s.payload FROM runs r JOIN run_steps s ON s.run_seq = r.seq \
         WHERE r.user_id = $1 AND r.run_key = $2 AND r.lease_id = $3 AND s.kind = $4",
    )
    .bind(scope.user_id)
    .bind(parent)
    .bind(&fence.lease_id)
    .bind(CALLING)
    .fetch(tx);
    while let Some(step) = steps.try_next().await? {
        if names(step.get("payload"), run_key, role) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a step names this run.
fn names(payload: &str, run_key: &str, role: &str) -> bool {
    named(payload).iter().any(|child| child.run_key == run_key && child.role == role)
}

/// The runs that a step names.
fn named(payload: &str) -> Vec<ChildCall> {
    let payload: Value = serde_json::from_str(payload).unwrap_or_default();
    CallingStep::deserialize(&payload).map(|step| step.children).unwrap_or_default()
}

/// A run whose journal names others, and those of them that somebody asked about.
struct Caller {
    run: Found,
    children: Vec<ChildCall>,
}

/// The runs of a user's roles with this key that name any of `children`, the oldest first.
async fn callers(
    tx: &mut AnyConnection,
    user_id: &str,
    run_key: &str,
    children: &[Found],
) -> Result<Vec<Caller>, StoreError> {
    let text = format!(
        "SELECT {COLUMNS}, s.payload AS step_payload FROM runs r JOIN run_steps s ON s.run_seq = r.seq \
         WHERE r.user_id = $1 AND r.run_key = $2 AND s.kind = $3 ORDER BY r.seq, s.step_index"
    );
    let keys: HashSet<_> = children.iter().map(|child| &*child.run.run_key).collect();
    let mut steps =
        sqlx::query(AssertSqlSafe(text)).bind(user_id).bind(run_key).bind(CALLING).fetch(tx);
    let mut callers = Vec::<Caller>::new();
    while let Some(step) = steps.try_next().await? {
        let mut children = named(step.get("step_payload"));
        children.retain(|child| keys.contains(&*child.run_key));
        match callers.last_mut().filter(|last| last.run.seq == step.get::<i64, _>("seq")) {
            Some(last) => last.children.append(&mut children),
            None => callers.push(Caller { run: found(&step), children }),
        }
    }
    Ok(callers)
}

/// The one among the runs with its parent's key that has asked for a run. Several roles may have a run with
/// one key, and write into its journal what they like: it is the one under whose lease the child was
/// written, and else the oldest.
fn parent_of<'a>(callers: &'a [Caller], child: &Found) -> Option<&'a Found> {
    let naming = callers.iter().filter(|caller| {
        let mut children = caller.children.iter();
        children.any(|named| named.run_key == child.run.run_key && named.role == child.role)
    });
    let mut naming = naming.map(|caller| &caller.run);
    let lease = child.lease_id.as_ref();
    let mut same = naming.clone().filter(|run| lease.is_some() && run.lease_id.as_ref() == lease);
    same.next().or_else(|| naming.next())
}

/// The run that has asked for a run.
async fn above(
    tx: &mut AnyConnection,
    user_id: &str,
    child: &Found,
) -> Result<Option<Found>, StoreError> {
    let Some(parent) = child.run.parent_run_key.as_deref() else { return Ok(None) };
    let callers = callers(tx, user_id, parent, std::slice::from_ref(child)).await?;
    let Some(seq) = parent_of(&callers, child).map(|parent| parent.seq) else { return Ok(None) };
    Ok(callers.into_iter().map(|caller| caller.run).find(|run| run.seq == seq))
}

/// The run at the top of those that a run belongs to.
async fn top_of(tx: &mut AnyConnection, user_id: &str, of: Found) -> Result<Found, StoreError> {
    let mut top = of;
    for _ in 0..MOST_ABOVE {
        let Some(parent) = above(tx, user_id, &top).await? else { break };
        top = parent;
    }
    Ok(top)
}

/// Whether a run is below another one.
pub(super) async fn is_below(
    tx: &mut AnyConnection,
    user_id: &str,
    child: &Found,
    (role, run_key): (&str, &str),
) -> Result<bool, StoreError> {
    let mut next = above(tx, user_id, child).await?;
    for _ in 0..MOST_ABOVE {
        let Some(run) = next else { return Ok(false) };
        if run.role == role && run.run.run_key == run_key {
            return Ok(true);
        }
        next = above(tx, user_id, &run).await?;
    }
    Ok(false)
}

/// The newest runs that say that a run with this key has asked for them, the newest first.
async fn children_of(
    tx: &mut AnyConnection,
    user_id: &str,
    run_key: &str,
) -> Result<Vec<Found>, StoreError> {
    let text = format!(
        "SELECT {COLUMNS} FROM runs r WHERE r.user_id = $1 AND r.parent_run_key = $2 ORDER BY r.seq DESC LIMIT $3"
    );
    let rows: Vec<AnyRow> = sqlx::query(AssertSqlSafe(text))
        .bind(user_id)
        .bind(run_key)
        .bind(i64::try_from(MOST).unwrap_or(i64::MAX))
        .fetch_all(tx)
        .await?;
    Ok(rows.iter().map(found).collect())
}

/// The runs below a role's run, each after its parent, and how far below they are.
pub(super) async fn below(
    tx: &mut AnyConnection,
    user_id: &str,
    role: &str,
    run_key: &str,
) -> Result<Vec<(usize, Found)>, StoreError> {
    let (mut all, mut known) = (Vec::new(), HashSet::new());
    let mut left = vec![(0, role.to_owned(), run_key.to_owned(), None)];
    while let Some((depth, role, key, of)) = left.pop() {
        if let Some(of) = of {
            all.push((depth, of));
        }
        let children = children_of(tx, user_id, &key).await?;
        if children.is_empty() {
            continue;
        }
        let callers = callers(tx, user_id, &key, &children).await?;
        for child in children {
            let is_of_role = parent_of(&callers, &child).is_some_and(|parent| parent.role == role);
            if is_of_role && known.len() < MOST && known.insert(child.seq) {
                left.push((depth + 1, child.role.clone(), child.run.run_key.clone(), Some(child)));
            }
        }
    }
    Ok(all)
}

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
        let session = of.session_key.as_deref();
        let role = session.and_then(|session| session_role(user_id, session)).unwrap_or_default();
        let top = run_rows::find_of(&mut tx, user_id, role, &of.run_key).await?;
        let Some(top) = top else { return Ok(Vec::new()) };
        let top = top_of(&mut tx, user_id, top).await?;
        let below = below(&mut tx, user_id, &top.role, &top.run.run_key).await?;
        if below.is_empty() {
            return Ok(Vec::new());
        }
        let below = below.into_iter().take(SHOWN);
        let below = below.map(|(depth, found)| TreeRow { depth, run: found.run });
        Ok(std::iter::once(TreeRow { depth: 0, run: top.run }).chain(below).collect())
    }
}

/// Withdraws what people are asked on behalf of a role's run that is cancelled while the one at the top is
/// not: that one waits for it, and goes on.
pub(super) async fn withdraw(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    role: &str,
    run: &Run,
) -> Result<(), StoreError> {
    if run.parent_run_key.is_none() {
        return Ok(());
    }
    let user_id = scope.user_id;
    let Some(cancelled) = run_rows::find_of(tx, user_id, role, &run.run_key).await? else {
        return Ok(());
    };
    let below = below(tx, user_id, role, &run.run_key).await?;
    let below = below.into_iter().map(|(_, child)| (child.role, child.run.run_key));
    let askers: HashSet<_> = below.chain([(role.to_owned(), run.run_key.clone())]).collect();
    let seq = cancelled.seq;
    let top = top_of(tx, user_id, cancelled).await?;
    if top.seq == seq {
        return Ok(());
    }
    let rows = sqlx::query(
        "SELECT id, asked_by FROM tool_requests WHERE user_id = $1 AND status = $2 AND session_key = $3 \
         AND asked_by IS NOT NULL ORDER BY seq",
    )
    .bind(user_id)
    .bind(ToolRequestStatus::Pending.as_str())
    .bind(session_of(user_id, &top.role))
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let asker: Option<AskedBy> = json_of(row.get("asked_by"));
        if asker.is_some_and(|asker| askers.contains(&(asker.role, asker.run_key))) {
            let settled = Settled::new(ToolRequestStatus::Cancelled);
            decisions::settle(tx, scope, row.get("id"), &settled).await?;
        }
    }
    Ok(())
}

/// What becomes of the runs below a role's run that has this status from now on: a cancelled one's are cancelled, and
/// nobody works on those of one that was interrupted or has failed. Of one that `is_to_be` cancelled, they
/// are to be, too.
pub(super) async fn follow(
    tx: &mut AnyConnection,
    user_id: &str,
    (role, run_key): (&str, &str),
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
    for (_, child) in below(tx, user_id, role, run_key).await? {
        let known = child.run.known_status().unwrap_or(RunStatus::Running);
        let is_over = known.is_final()
            || (ends == Some(RunStatus::Interrupted) && known != RunStatus::Running);
        match ends {
            Some(status) if !is_over => {
                run_ends::end(tx, user_id, &child.role, child.seq, status, None).await?;
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
