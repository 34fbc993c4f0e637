//! Queries assembled from fixed pieces, and helpers to read rows.

use futures::stream::BoxStream;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Any, AnyConnection, Arguments, AssertSqlSafe, Encode, Executor, Row, Type};

use super::error::StoreError;

/// A query under construction. Its text consists of literals only; values from outside are bound,
/// never written into it.
#[derive(Default)]
pub(super) struct Sql {
    text: String,
    arguments: AnyArguments,
}

impl Sql {
    /// Starts a query with a piece, in which `?` stands for the value.
    pub(super) fn new<'v, T: Encode<'v, Any> + Type<Any>>(piece: &'static str, value: T) -> Self {
        Self::default().and(piece, Some(value))
    }

    /// Starts a query with a piece that has no value.
    pub(super) fn of(piece: &'static str) -> Self {
        Self::default().text(piece)
    }

    /// Appends a piece that has no value.
    pub(super) fn text(mut self, piece: &'static str) -> Self {
        self.text.push_str(piece);
        self
    }

    /// Appends how many rows are wanted, and one more, by which a page sees whether there are more.
    pub(super) fn limit(self, limit: u32) -> Self {
        self.and(" LIMIT ?", Some(super::paging::rows_for(limit)))
    }

    /// Appends a piece, in which `?` stands for the value; without a value nothing is appended.
    pub(super) fn and<'v, T: Encode<'v, Any> + Type<Any>>(
        mut self,
        piece: &'static str,
        value: Option<T>,
    ) -> Self {
        let Some(value) = value else { return self };
        // A text or a number can always be bound; were one not, the database would refuse the
        // query for its missing argument.
        let _bound = self.arguments.add(value);
        self.text.push_str(&piece.replace('?', &format!("${}", self.arguments.len())));
        self
    }

    /// Fetches rows as they are read.
    pub(super) fn fetch<'e>(
        self,
        from: impl Executor<'e, Database = Any> + 'e,
    ) -> BoxStream<'e, Result<AnyRow, sqlx::Error>> {
        sqlx::query_with(AssertSqlSafe(self.text), self.arguments).fetch(from)
    }

    /// Fetches rows as they are read, by a plan that is made for these values and not kept.
    pub(super) fn fetch_once<'e>(
        self,
        from: impl Executor<'e, Database = Any> + 'e,
    ) -> BoxStream<'e, Result<AnyRow, sqlx::Error>> {
        sqlx::query_with(AssertSqlSafe(self.text), self.arguments).persistent(false).fetch(from)
    }

    /// Fetches all rows.
    pub(super) async fn fetch_all<'c>(
        self,
        from: impl Executor<'c, Database = Any>,
    ) -> Result<Vec<AnyRow>, sqlx::Error> {
        sqlx::query_with(AssertSqlSafe(self.text), self.arguments).fetch_all(from).await
    }
}

/// Reads a boolean, which SQLite stores as a number.
pub(super) fn flag(row: &AnyRow, name: &str) -> bool {
    row.try_get(name).unwrap_or_else(|_| row.get::<i64, _>(name) != 0)
}

/// Reads a small number that is never negative.
pub(super) fn count(row: &AnyRow, name: &str) -> u32 {
    u32::try_from(row.get::<i64, _>(name)).unwrap_or_default()
}

/// `many` numbered placeholders, beginning with `$from`, separated by commas.
pub(super) fn places(from: usize, many: usize) -> String {
    (from..from + many).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

/// Row numbers, separated by commas.
pub(super) fn list(seqs: &[i64]) -> String {
    seqs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Runs a statement that is made for these rows only.
pub(super) async fn execute(tx: &mut AnyConnection, text: String) -> Result<(), StoreError> {
    sqlx::query(AssertSqlSafe(text)).persistent(false).execute(tx).await?;
    Ok(())
}
