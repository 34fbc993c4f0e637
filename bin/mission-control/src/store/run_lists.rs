//! Lists of runs, and what they come to together.

use mc_client::run_lists::{ListedRun, Ratings, RunTotals, SHOWN_TEXT};
use mc_client::types::Page;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::error::StoreError;
use super::paging::page;
use super::run_filter::{Range, RunFilter, Wanted};
use super::sql::{Sql, count};
use super::{Store, json_of, time};

/// What a list shows of runs, read from these tables.
macro_rules! listed {
    ($from:literal, $where:literal) => {
        concat!(
            "SELECT r.seq, r.run_key, r.status, r.user_id, r.role, r.task_id, r.model, r.provider, r.workspace, \
             r.workspace_digest, r.profile_digest, r.created_at, r.updated_at, r.ended_at, r.step_count, r.used, \
             r.cost_usd, r.error_code, r.up_count, r.down_count, r.labels, t.asked, t.reply FROM ",
            $from,
            " LEFT JOIN run_texts t ON t.run_seq = r.seq WHERE ",
            $where
        )
    };
}

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

/// That a run has a label.
const HAS_LABEL: &str =
    " AND EXISTS (SELECT 1 FROM run_labels l WHERE l.label = ? AND l.run_seq = r.seq)";

/// The end of such a query.
const TOTALLED: &str = ") SELECT key, count(*) AS runs, \
    CAST(sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS BIGINT) AS failed, \
    CAST(sum(up_count) AS BIGINT) AS up, CAST(sum(down_count) AS BIGINT) AS down, \
    CAST(coalesce(sum(cost_usd), 0) AS DOUBLE PRECISION) AS cost, \
    CAST(min(CASE WHEN duration_ms IS NOT NULL AND place * 100 >= ended * 95 THEN duration_ms END) AS BIGINT) AS p95 \
    FROM found GROUP BY key ORDER BY runs DESC, key LIMIT ?";

/// How many totals are answered.
const MOST_TOTALS: i64 = 500;

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

/// Where no filter has a table of its own: each index has the runs in their order.
fn of_all(filter: &RunFilter, range: Range) -> Sql {
    let sql = Sql::of(listed!("runs r", "r.seq > 0"));
    filter.plain(range.of_runs(sql)).text(" ORDER BY r.seq DESC")
}

/// The runs with a label, in their order, whatever else is asked of them.
fn of_label(filter: &RunFilter, range: Range, label: &str) -> Sql {
    let sql = Sql::of(listed!("run_labels l CROSS JOIN runs r", "r.seq = l.run_seq"))
        .and(" AND l.label = ?", Some(label))
        .and(" AND l.user_id = ?", filter.user_id.as_ref())
        .and(" AND l.run_seq > ?", Some(range.above))
        .and(" AND l.run_seq < ?", Some(range.below));
    filter.of_digest(filter.plain(sql)).text(" ORDER BY l.run_seq DESC")
}

/// The runs with these words, in the order of SQLite's index of words, which is that of the runs.
fn of_words(filter: &RunFilter, range: Range, words: &[String]) -> Sql {
    let sql = Sql::of(listed!("run_texts_fts f CROSS JOIN runs r", "r.seq = f.rowid"))
        .and(" AND f.run_texts_fts MATCH ?", Some(filter.in_file(words)))
        .and(" AND f.rowid > ?", Some(range.above))
        .and(" AND f.rowid < ?", Some(range.below))
        .and(HAS_LABEL, filter.label.as_ref());
    filter.of_digest(filter.plain(sql)).text(" ORDER BY f.rowid DESC")
}

/// How many of the newest runs are read before PostgreSQL's index of words is asked, which gathers all that it finds:
/// words of more than a hundredth of the runs fill a page by then.
const NEWEST: i64 = 4_000;

/// The runs with these words on PostgreSQL, by reading the texts of all in the range.
fn of_texts(filter: &RunFilter, range: Range, words: &[String]) -> Sql {
    let mut sql = range.of_runs(Sql::of(listed!("runs r", "r.seq > 0")));
    for word in words {
        // Words stand in the text one after another, each once.
        let word = format!(" {word} ");
        sql = sql.and(" AND position(? in ' ' || t.words || ' ') > 0", Some(word));
    }
    let sql = sql.and(HAS_LABEL, filter.label.as_ref());
    filter.of_digest(filter.plain(sql)).text(" ORDER BY r.seq DESC")
}

/// The same by the index of words. All that it finds is ordered: an order that another index has would have it
/// look through all runs for words that few or none have.
fn of_index(filter: &RunFilter, range: Range, words: &[String], limit: u32) -> Sql {
    let sql = Sql::of(listed!("runs r", "r.seq IN (SELECT w.run_seq FROM run_texts w"));
    let sql = match filter.has_more() {
        true => sql.text(" JOIN runs r ON r.seq = w.run_seq"),
        false => sql,
    };
    let sql = sql
        .and(
            " WHERE to_tsvector('simple', w.holder || ' ' || w.words) @@ to_tsquery('simple', ?)",
            Some(filter.on_server(words)),
        )
        .and(" AND w.run_seq > ?", Some(range.above))
        .and(" AND w.run_seq < ?", Some(range.below));
    let sql = match filter.has_more() {
        true => filter.of_digest(filter.plain(sql.and(HAS_LABEL, filter.label.as_ref()))),
        false => sql,
    };
    let sql = sql.text(" ORDER BY w.run_seq + 0 DESC").limit(limit).text(")");
    // Times within the first and the last hour, and, to be sure, whose it is.
    filter.plain(sql).text(" ORDER BY r.seq DESC")
}

/// The runs with this digest of the workspace or of the profile: the newest of each, and of these the newest. A
/// condition with "or" would be fulfilled by gathering all of them.
fn of_digest(filter: &RunFilter, range: Range, digest: &str, limit: u32) -> Sql {
    let arm = |sql: Sql, piece| {
        let sql = filter.plain(range.of_runs(sql.and(piece, Some(digest))));
        sql.text(" ORDER BY r.seq DESC").limit(limit)
    };
    let sql =
        Sql::of(listed!("runs r", "r.seq IN (SELECT seq FROM (SELECT r.seq FROM runs r WHERE "));
    let sql = arm(sql, "r.workspace_digest = ?");
    let sql = sql.text(") w UNION SELECT seq FROM (SELECT r.seq FROM runs r WHERE ");
    arm(sql, "r.profile_digest = ?").text(") p) ORDER BY r.seq DESC")
}

impl Store {
    /// Runs, newest first.
    pub async fn list_runs(
        &self,
        filter: &RunFilter,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Page<ListedRun>, StoreError> {
        let nothing = || Ok(Page { items: Vec::new(), next_cursor: None });
        let Some(range) = self.range_of(filter, before).await? else { return nothing() };
        let sql = match (filter.wanted(), &filter.label, &filter.digest) {
            (Wanted::Never, ..) => return nothing(),
            (Wanted::Words(words), ..) if self.peers.is_some() => {
                return self.list_with(filter, range, &words, limit).await;
            }
            (Wanted::Words(words), ..) => of_words(filter, range, &words),
            (Wanted::Nothing, Some(label), _) => of_label(filter, range, label),
            (Wanted::Nothing, None, Some(digest)) => of_digest(filter, range, digest, limit),
            (Wanted::Nothing, None, None) => of_all(filter, range),
        };
        page(sql.limit(limit).fetch_once(&self.reader), limit, listed).await
    }

    /// The runs with these words on PostgreSQL.
    async fn list_with(
        &self,
        filter: &RunFilter,
        range: Range,
        words: &[String],
        limit: u32,
    ) -> Result<Page<ListedRun>, StoreError> {
        let newest =
            sqlx::query("SELECT max(seq) AS seq FROM runs").fetch_one(&self.reader).await?;
        let end = newest.get::<Option<i64>, _>("seq").unwrap_or_default().saturating_add(1);
        let end = end.min(range.below);
        let near = Range { above: range.above.max(end.saturating_sub(NEWEST)), ..range };
        let sql = of_texts(filter, near, words).limit(limit);
        let found = page(sql.fetch_once(&self.reader), limit, listed).await?;
        if found.next_cursor.is_some() || near.above == range.above {
            return Ok(found);
        }
        let sql = of_index(filter, range, words, limit).limit(limit);
        page(sql.fetch_once(&self.reader), limit, listed).await
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
        let Some(range) = self.range_of(filter, None).await? else { return Ok(Vec::new()) };
        let sql = range.of_runs(Sql::new(begin, 0_i64));
        let labelled = " AND r.seq IN (SELECT l.run_seq FROM run_labels l WHERE l.label = ?)";
        let sql = filter.of_digest(filter.plain(sql)).and(labelled, filter.label.as_ref());
        let sql = match filter.wanted() {
            Wanted::Nothing => sql,
            Wanted::Never => return Ok(Vec::new()),
            Wanted::Words(words) if self.peers.is_some() => sql.and(
                " AND r.seq IN (SELECT w.run_seq FROM run_texts w WHERE \
                 to_tsvector('simple', w.holder || ' ' || w.words) @@ to_tsquery('simple', ?))",
                Some(filter.on_server(&words)),
            ),
            Wanted::Words(words) => sql.and(
                " AND r.seq IN (SELECT rowid FROM run_texts_fts WHERE run_texts_fts MATCH ?)",
                Some(filter.in_file(&words)),
            ),
        };
        let rows = sql.and(TOTALLED, Some(MOST_TOTALS)).fetch_all(&self.reader).await?;
        Ok(rows.iter().map(totals).collect())
    }
}
