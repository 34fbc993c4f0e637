//! Which runs a list or a total is of, as conditions of a query over `runs r`.

use sqlx::Row as _;

use super::Store;
use super::error::StoreError;
use super::memory_words::{holder, words};
use super::sql::Sql;

/// Which runs are meant.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only with this key.
    pub run_key: Option<String>,
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

/// The numbers of runs: all between these.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) above: i64,
    pub(super) below: i64,
}

/// Which words are looked for, in the language of the database's search.
pub(super) enum Wanted {
    /// None.
    Nothing,
    /// Words that no text can have: no run fulfils this.
    Never,
    /// All of these.
    Words(Vec<String>),
}

impl Range {
    /// Adds that the numbers of runs are in it.
    pub(super) fn of_runs(self, sql: Sql) -> Sql {
        let above = Some(self.above).filter(|above| *above > 0);
        let below = Some(self.below).filter(|below| *below < i64::MAX);
        sql.and(" AND r.seq > ?", above).and(" AND r.seq < ?", below)
    }
}

impl RunFilter {
    /// Adds all conditions but those on numbers, labels, digests and words.
    pub(super) fn plain(&self, sql: Sql) -> Sql {
        let sql = sql
            .and(" AND r.run_key = ?", self.run_key.as_ref())
            .and(" AND r.user_id = ?", self.user_id.as_ref())
            .and(" AND r.role = ?", self.role.as_ref())
            .and(" AND r.status = ?", self.status.as_ref())
            .and(" AND r.model = ?", self.model.as_ref())
            .and(" AND r.created_at >= ?", self.from.as_ref())
            .and(" AND r.created_at < ?", self.to.as_ref());
        // In the words of the indexes, which hold only such rows.
        match self.rating {
            Some(Rated::Up) => sql.text(" AND r.up_count > 0"),
            Some(Rated::Down) => sql.text(" AND r.down_count > 0"),
            Some(Rated::None) => sql.text(" AND r.up_count = 0 AND r.down_count = 0"),
            None => sql,
        }
    }

    /// Adds the condition on digests.
    pub(super) fn of_digest(&self, sql: Sql) -> Sql {
        sql.and(" AND (r.workspace_digest = ? OR r.profile_digest = ?)", self.digest.as_ref())
    }

    /// The words that are looked for.
    pub(super) fn wanted(&self) -> Wanted {
        let Some(q) = &self.q else { return Wanted::Nothing };
        let mut all = words(q);
        all.sort();
        all.dedup();
        if all.is_empty() {
            return Wanted::Never;
        }
        Wanted::Words(all)
    }

    /// Words, and whose the text is where that is asked for, in the language of SQLite's search.
    pub(super) fn in_file(&self, words: &[String]) -> String {
        let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let quoted = format!("(words : ({}))", quoted.join(" AND "));
        match &self.user_id {
            Some(user_id) => format!("(holder : \"{}\") AND {quoted}", holder('u', user_id)),
            None => quoted,
        }
    }

    /// The same in that of PostgreSQL.
    pub(super) fn on_server(&self, words: &[String]) -> String {
        let user = self.user_id.iter().map(|user_id| holder('u', user_id));
        user.chain(words.iter().cloned()).collect::<Vec<_>>().join(" & ")
    }

    /// Whether more is asked for than words and a user.
    pub(super) fn has_more(&self) -> bool {
        let named = [
            &self.run_key,
            &self.role,
            &self.status,
            &self.model,
            &self.digest,
            &self.label,
            &self.from,
            &self.to,
        ];
        self.rating.is_some() || named.into_iter().any(Option::is_some)
    }
}

impl Store {
    /// The numbers that runs of these times can have, below a page's end; `None` where there are none. Times are
    /// looked up by the hour, and the query still compares them.
    pub(super) async fn range_of(
        &self,
        filter: &RunFilter,
        before: Option<i64>,
    ) -> Result<Option<Range>, StoreError> {
        let mut range = Range { above: 0, below: before.unwrap_or(i64::MAX) };
        if let Some(from) = &filter.from {
            let first =
                "SELECT min(first_seq) AS seq FROM run_hours WHERE hour >= substr($1, 1, 13)";
            let row = sqlx::query(first).bind(from).fetch_one(&self.reader).await?;
            let Some(first) = row.get::<Option<i64>, _>("seq") else { return Ok(None) };
            range.above = first - 1;
        }
        if let Some(to) = &filter.to {
            let last = "SELECT max(last_seq) AS seq FROM run_hours WHERE hour <= substr($1, 1, 13)";
            let row = sqlx::query(last).bind(to).fetch_one(&self.reader).await?;
            let Some(last) = row.get::<Option<i64>, _>("seq") else { return Ok(None) };
            range.below = range.below.min(last + 1);
        }
        Ok((range.above < range.below).then_some(range))
    }
}
