//! Where the database holds something of a user: what is erased, counted and exported.

use std::collections::BTreeMap;

use mc_client::owned_data::{Erasure, Messages};
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::error::StoreError;
use super::sql::list;

/// A table with rows of users.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) table: &'static str,
    /// Its name in counts and exports; none for what is only a part of another kind.
    pub(super) kind: Option<&'static str>,
    /// The columns that tell a row from all others.
    pub(super) key: &'static str,
    /// Which rows are a user's: `$1`.
    pub(super) whose: &'static str,
    /// Whether it stays where messages are kept.
    pub(super) is_thread: bool,
}

const OWN: &str = "user_id = $1";
pub(super) const OF_RUN: &str = "run_seq IN (SELECT seq FROM runs WHERE user_id = $1)";

const fn own(table: &'static str, key: &'static str) -> Owned {
    Owned { table, kind: Some(table), key, whose: OWN, is_thread: false }
}

const fn of_run(table: &'static str, kind: &'static str, key: &'static str) -> Owned {
    Owned { table, kind: Some(kind), key, whose: OF_RUN, is_thread: false }
}

const fn thread(table: &'static str) -> Owned {
    Owned { table, kind: Some(table), key: "seq", whose: OWN, is_thread: true }
}

/// All of them; what refers to another one comes before it. The audit log is not among them: it is kept, and names
/// nobody once an erasure is complete.
pub(super) const OWNED: [Owned; 34] = [
    Owned {
        table: "run_artifacts",
        kind: Some("artifacts"),
        key: "run_seq, sha256",
        whose: OWN,
        is_thread: false,
    },
    of_run("run_deltas", "deltas", "run_seq, first_id"),
    of_run("run_told", "run_told", "run_seq"),
    of_run("run_steps", "steps", "run_seq, step_index"),
    of_run("run_labels", "run_labels", "label, run_seq"),
    of_run("run_texts", "run_texts", "run_seq"),
    own("feedback", "seq"),
    own("runs", "seq"),
    Owned {
        table: "approval_rule_uses",
        kind: Some("approval_rule_uses"),
        key: "rule_seq, idempotency_key",
        whose: "rule_seq IN (SELECT seq FROM approval_rules WHERE user_id = $1)",
        is_thread: false,
    },
    own("approval_rules", "seq"),
    own("tool_requests", "seq"),
    own("session_leases", "id"),
    own("notifications", "seq"),
    thread("documents"),
    Owned {
        table: "file_parts",
        kind: None,
        key: "file_seq, part",
        whose: "file_seq IN (SELECT seq FROM files WHERE user_id = $1)",
        is_thread: false,
    },
    own("files", "seq"),
    own("memories", "seq"),
    thread("messages"),
    thread("tasks"),
    own("heartbeats", "user_id, role, slot"),
    own("wakes", "user_id, role"),
    own("budgets", "user_id"),
    own("budget_scopes", "tenant_id, user_id, role"),
    own("budget_warnings", "tenant_id, user_id, role, period, period_end, limit_nanos"),
    own("quiet_hours", "user_id"),
    own("dead_letter_digests", "user_id"),
    own("reservations", "id"),
    own("usage", "seq"),
    own("idempotency", "user_id, endpoint, key, role"),
    own("schedule_slots", "schedule_id, slot"),
    own("schedules", "seq"),
    own("profiles", "user_id, role"),
    own("shortlist", "user_id, school_id"),
    own("events", "id"),
];

/// What is deleted with a run, before it.
const RUN_PARTS: [&str; 7] =
    ["run_artifacts", "run_deltas", "run_told", "run_steps", "run_labels", "run_texts", "feedback"];

/// The most runs, and about the most steps, that are deleted at a time, so that other writes do not wait long.
const RUNS_AT_A_TIME: i64 = 50;
const STEPS_AT_A_TIME: i64 = 2_000;

/// How many rows are deleted at a time.
const ROWS_AT_A_TIME: u32 = 500;

/// The kind of the entries of the audit log that concern a user.
pub(super) const AUDIT: &str = "audit";

/// The entries of the audit log that concern a user, or are of that user's acts. That something was exported is no
/// part of what is exported.
pub(super) const AUDIT_OF: &str = "(a.subject IN (SELECT subject FROM audit_subjects WHERE user_id = $1) \
    OR a.actor_subject IN (SELECT subject FROM audit_subjects WHERE user_id = $1)) AND a.act <> 'data.exported'";

impl Owned {
    fn stays(&self, messages: Messages) -> bool {
        self.is_thread && messages == Messages::Keep
    }

    /// Deletes some of a user's rows; how many.
    pub(super) async fn delete_some(
        &self,
        tx: &mut AnyConnection,
        user_id: &str,
        most: u32,
    ) -> Result<u64, StoreError> {
        let Self { table, key, whose, .. } = self;
        let text = format!(
            "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {whose} LIMIT {most})"
        );
        Ok(sqlx::query(AssertSqlSafe(text)).bind(user_id).execute(tx).await?.rows_affected())
    }

    async fn count(&self, tx: &mut AnyConnection, user_id: &str) -> Result<u64, StoreError> {
        let text = format!("SELECT count(*) AS many FROM {} WHERE {}", self.table, self.whose);
        count(tx, text, user_id).await
    }
}

async fn count(tx: &mut AnyConnection, text: String, user_id: &str) -> Result<u64, StoreError> {
    let row = sqlx::query(AssertSqlSafe(text)).bind(user_id).fetch_one(tx).await?;
    Ok(u64::try_from(row.get::<i64, _>("many")).unwrap_or_default())
}

/// How much of each kind there is of a user.
pub(super) async fn counted(
    tx: &mut AnyConnection,
    user_id: &str,
    messages: Messages,
) -> Result<Erasure, StoreError> {
    let (mut counts, mut kept) = (BTreeMap::new(), BTreeMap::new());
    for owned in &OWNED {
        let Some(kind) = owned.kind else { continue };
        let of = if owned.stays(messages) { &mut kept } else { &mut counts };
        of.insert(kind.to_owned(), owned.count(tx, user_id).await?);
    }
    let entries = format!("SELECT count(*) AS many FROM audit a WHERE {AUDIT_OF}");
    kept.insert(AUDIT.to_owned(), count(tx, entries, user_id).await?);
    Ok(Erasure { counts, kept })
}

/// Some runs that a condition finds, of which not too many are deleted at a time.
pub(super) async fn some_runs(
    tx: &mut AnyConnection,
    condition: &str,
    bound: &str,
    after: i64,
) -> Result<Vec<i64>, StoreError> {
    let text = format!(
        "SELECT seq, step_count FROM runs WHERE seq > $2 AND {condition} ORDER BY seq LIMIT {RUNS_AT_A_TIME}"
    );
    let rows = sqlx::query(AssertSqlSafe(text)).bind(bound).bind(after).fetch_all(tx).await?;
    let mut steps = 0;
    let runs = rows.iter().take_while(|row| {
        let is_first = steps == 0;
        steps += row.get::<i64, _>("step_count").max(1);
        is_first || steps <= STEPS_AT_A_TIME
    });
    Ok(runs.map(|row| row.get("seq")).collect())
}

/// Deletes runs with all that is a part of them; how many.
pub(super) async fn delete_runs(tx: &mut AnyConnection, runs: &[i64]) -> Result<u64, StoreError> {
    if runs.is_empty() {
        return Ok(0);
    }
    let runs = list(runs);
    for part in RUN_PARTS {
        let text = format!("DELETE FROM {part} WHERE run_seq IN ({runs})");
        sqlx::query(AssertSqlSafe(text)).persistent(false).execute(&mut *tx).await?;
    }
    let text = format!("DELETE FROM runs WHERE seq IN ({runs})");
    Ok(sqlx::query(AssertSqlSafe(text)).persistent(false).execute(tx).await?.rows_affected())
}

/// Deletes some of what there is of a user; how many rows. None only when nothing is left.
pub(super) async fn delete_some(
    tx: &mut AnyConnection,
    user_id: &str,
    messages: Messages,
) -> Result<u64, StoreError> {
    let runs = some_runs(tx, OWN, user_id, 0).await?;
    let mut many = delete_runs(tx, &runs).await?;
    for owned in &OWNED {
        if many >= u64::from(ROWS_AT_A_TIME) {
            break;
        }
        if many == 0 && owned.table == "file_parts" {
            // One at a time: each may have many parts.
            many += delete_file(tx, user_id).await?;
        }
        // What is a part of runs and files went with them.
        if !owned.stays(messages)
            && !["file_parts", "files", "runs", "usage"].contains(&owned.table)
        {
            many += owned.delete_some(tx, user_id, ROWS_AT_A_TIME).await?;
        }
    }
    Ok(many)
}

async fn delete_file(tx: &mut AnyConnection, user_id: &str) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT seq FROM files WHERE user_id = $1 ORDER BY seq LIMIT 1")
        .bind(user_id)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(0) };
    super::files::forget(tx, row.get("seq")).await?;
    Ok(1)
}

/// Deletes all that is left of a user; how many rows.
pub(super) async fn delete_all(
    tx: &mut AnyConnection,
    user_id: &str,
    messages: Messages,
) -> Result<u64, StoreError> {
    let mut many = 0;
    for owned in OWNED.iter().filter(|owned| !owned.stays(messages) && owned.table != "usage") {
        many += owned.delete_some(tx, user_id, u32::MAX).await?;
    }
    Ok(many)
}
