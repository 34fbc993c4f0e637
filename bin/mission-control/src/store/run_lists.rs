//! Lists of runs, and what they come to together.

use mc_client::run_lists::{ListedRun, Ratings, RunTotals, SHOWN_TEXT};
use mc_client::types::Page;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::error::StoreError;
use super::memory_words::{holder, words};
use super::paging::{page, rows_for};
use super::sql::{Sql, count};
use super::{Store, json_of, time};

/// What a list shows of runs.
const LISTED: &str = "SELECT r.seq, r.run_key, r.status, r.user_id, r.role, r.task_id, r.model, r.provider, \
    r.workspace, r.workspace_digest, r.profile_digest, r.created_at, r.updated_at, r.ended_at, r.step_count, r.used, \
    r.cost_usd, r.error_code, r.up_count, r.down_count, r.labels, t.asked, t.reply \
    FROM runs r LEFT JOIN run_texts t ON t.run_seq = r.seq WHERE r.seq > ?";

/// What totals are made of, by what runs have in common. Within which time 95 of 100 ended is the duration of the
/// one that is the last of these (the nearest rank).
macro_rules! totals {
    ($column:literal) => {
        concat!(
            "WITH found AS (SELECT ",
            $column,
            " AS key, r.status, r.up_count, r.down_count, r.cost_usd, r.duration_ms, \
             row_number() OVER (PARTITION BY ",
            $column,
            " ORDER BY CASE WHEN r.duration_ms IS NULL THEN 1 ELSE 0 END, r.duration_ms) AS place, \
             count(r.duration_ms) OVER (PARTITION BY ",
            $column,
            ") AS ended FROM runs r WHERE r.seq > ?"
        )
    };
}

/// The end of such a query.
const TOTALLED: &str = ") SELECT key, count(*) AS runs, \
    CAST(sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS BIGINT) AS failed, \
    CAST(sum(up_count) AS BIGINT) AS up, CAST(sum(down_count) AS BIGINT) AS down, \
    CAST(coalesce(sum(cost_usd), 0) AS DOUBLE PRECISION) AS cost, \
    CAST(min(CASE WHEN duration_ms IS NOT NULL AND place * 100 >= ended * 95 THEN duration_ms END) AS BIGINT) AS p95 \
    FROM found GROUP BY key ORDER BY runs DESC, key LIMIT ?";

/// How many totals are answered.
const MOST_TOTALS: i64 = 500;

/// Which runs are meant.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only of this user.
    pub user_id: Option<String>,
    /// Only of this role.
    pub role: Option<String>,
    /// Only of this status.
    pub status: Option<String>,
    /// Only of this model.
    pub model: Option<String>,
    /// Only with this digest of workspace or profile.
    pub digest: Option<String>,
    /// Only with such a rating.
    pub rating: Option<Rated>,
    /// Only with this label.
    pub label: Option<String>,
    /// From this time on.
    pub from: Option<String>,
    /// Before this time.
    pub to: Option<String>,
    /// Only with all these words in message or reply.
    pub q: Option<String>,
}

/// How a run is rated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rated {
    /// By somebody as good.
    Up,
    /// By somebody as bad.
    Down,
    /// By nobody.
    None,
}

/// What runs have in common that are totalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The model that answered last.
    Model,
    /// The role.
    Role,
    /// The name of the workspace.
    Workspace,
    /// The digest of the workspace.
    Digest,
}

fn listed(row: &AnyRow) -> ListedRun {
    let status: String = row.get("status");
    let is_over = matches!(&*status, "completed" | "failed" | "cancelled" | "interrupted");
    let ended: Option<&str> = row.get("ended_at");
    let ended = ended.or(Some(row.get("updated_at"))).filter(|_| is_over);
    let beginning = |name: &str| {
        let text: Option<String> = row.get(name);
        text.map(|text| text.chars().take(SHOWN_TEXT).collect())
    };
    ListedRun {
        run_key: row.get("run_key"),
        user_id: row.get("user_id"),
        role: row.get("role"),
        task_id: row.get("task_id"),
        model: row.get("model"),
        provider: row.get("provider"),
        workspace: row.get("workspace"),
        workspace_digest: row.get("workspace_digest"),
        profile_digest: row.get("profile_digest"),
        started_at: time(row.get("created_at")),
        ended_at: ended.and_then(time),
        step_count: count(row, "step_count"),
        usage: json_of(row.get("used")),
        cost_usd: row.get("cost_usd"),
        error_code: row.get::<Option<String>, _>("error_code").filter(|_| status == "failed"),
        asked: beginning("asked"),
        reply: beginning("reply"),
        ratings: Ratings { up: count(row, "up_count"), down: count(row, "down_count") },
        labels: json_of(row.get("labels")).unwrap_or_default(),
        status,
    }
}

fn totals(row: &AnyRow) -> RunTotals {
    let number = |name: &str| row.get::<i64, _>(name).try_into().unwrap_or_default();
    RunTotals {
        key: row.get("key"),
        runs: number("runs"),
        failed: number("failed"),
        up: number("up"),
        down: number("down"),
        cost_usd: row.get("cost"),
        p95_ms: row.get::<Option<i64>, _>("p95").and_then(|ms| ms.try_into().ok()),
    }
}

impl Store {
    /// Adds the conditions to a query over `runs r`; `None` where no run can fulfil them.
    fn of_runs(&self, sql: Sql, filter: &RunFilter) -> Option<Sql> {
        let sql = sql
            .and(" AND r.user_id = ?", filter.user_id.as_ref())
            .and(" AND r.role = ?", filter.role.as_ref())
            .and(" AND r.status = ?", filter.status.as_ref())
            .and(" AND r.model = ?", filter.model.as_ref())
            .and(" AND (r.workspace_digest = ? OR r.profile_digest = ?)", filter.digest.as_ref())
            .and(" AND r.created_at >= ?", filter.from.as_ref())
            .and(" AND r.created_at < ?", filter.to.as_ref())
            .and(
                " AND r.seq IN (SELECT l.run_seq FROM run_labels l WHERE l.label = ?)",
                filter.label.as_ref(),
            );
        let is = |rated: Rated| (filter.rating == Some(rated)).then_some(0_i64);
        let sql = sql
            .and(" AND r.up_count > ?", is(Rated::Up))
            .and(" AND r.down_count > ?", is(Rated::Down))
            .and(" AND r.up_count = ? AND r.down_count = ?", is(Rated::None));
        let Some(q) = &filter.q else { return Some(sql) };
        let mut all = words(q);
        all.sort();
        all.dedup();
        if all.is_empty() {
            return None;
        }
        if self.peers.is_some() {
            let text = " AND r.seq IN (SELECT w.run_seq FROM run_texts w WHERE \
                to_tsvector('simple', w.words) @@ to_tsquery('simple', ?))";
            return Some(sql.and(text, Some(all.join(" & "))));
        }
        let quoted: Vec<_> = all.iter().map(|word| format!("\"{word}\"")).collect();
        let quoted = format!("(words : ({}))", quoted.join(" AND "));
        let wanted = match &filter.user_id {
            Some(user_id) => format!("(holder : \"{}\") AND {quoted}", holder('u', user_id)),
            None => quoted,
        };
        let text = " AND r.seq IN (SELECT rowid FROM run_texts_fts WHERE run_texts_fts MATCH ?)";
        Some(sql.and(text, Some(wanted)))
    }

    /// Runs, newest first.
    pub async fn list_runs(
        &self,
        filter: &RunFilter,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Page<ListedRun>, StoreError> {
        let Some(sql) = self.of_runs(Sql::new(LISTED, 0_i64), filter) else {
            return Ok(Page { items: Vec::new(), next_cursor: None });
        };
        let rows = sql
            .and(" AND r.seq < ?", before)
            .and(" ORDER BY r.seq DESC LIMIT ?", Some(rows_for(limit)))
            .fetch(&self.reader);
        page(rows, limit, listed).await
    }

    /// What runs come to that have something in common: where there are most of them first.
    pub async fn run_totals(
        &self,
        filter: &RunFilter,
        by: By,
    ) -> Result<Vec<RunTotals>, StoreError> {
        let begin = match by {
            By::Model => totals!("r.model"),
            By::Role => totals!("r.role"),
            By::Workspace => totals!("r.workspace"),
            By::Digest => totals!("r.workspace_digest"),
        };
        let Some(sql) = self.of_runs(Sql::new(begin, 0_i64), filter) else {
            return Ok(Vec::new());
        };
        let rows = sql.and(TOTALLED, Some(MOST_TOTALS)).fetch_all(&self.reader).await?;
        Ok(rows.iter().map(totals).collect())
    }
}
