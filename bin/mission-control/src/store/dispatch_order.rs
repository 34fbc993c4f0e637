//! In which order the queue is handed out: what has waited for ten minutes first, then by the turn of its session; among
//! equals the oldest first. Of a session nothing overtakes.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::error::StoreError;
use super::sql::{flag, list};
use super::stamp;

/// How long something may have to wait for what is more urgent.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// The class of what has waited that long; the others' is their turn.
const PATIENT: i64 = -1;

/// How many rows one statement parks.
const ROWS_PER_STATEMENT: usize = 500;

/// What is read of a row. Quiet is what waits for its user's quiet hours to end.
macro_rules! columns {
    ($class:literal) => {
        concat!(
            "SELECT n.seq, n.user_id, n.created_at, ",
            $class,
            " AS class, n.turn > 0 AND EXISTS (SELECT 1 FROM quiet_hours q WHERE q.user_id = n.user_id \
              AND q.begins_at <= $1) AS quiet FROM notifications n "
        )
    };
}

/// What has no lease, and is in nobody's way.
macro_rules! fresh {
    () => {
        "WHERE n.delivered_at IS NULL AND n.dead_at IS NULL AND n.leased_until IS NULL AND n.parked = 0 "
    };
}

/// Nothing of a session behind what is leased. `coalesce` keeps the database from scanning all leased rows by the other
/// index.
macro_rules! in_order {
    () => {
        "AND NOT EXISTS (SELECT 1 FROM notifications l WHERE l.session_key = n.session_key AND l.seq < n.seq \
          AND l.delivered_at IS NULL AND l.dead_at IS NULL AND l.leased_until IS NOT NULL \
          AND coalesce(l.leased_until, '') > $1) "
    };
}

/// One turn's rows that have waited long.
macro_rules! patient {
    ($turn:literal) => {
        concat!(
            "SELECT * FROM (",
            columns!("-1"),
            fresh!(),
            "AND n.turn = ",
            $turn,
            " AND n.created_at <= $2 AND (n.created_at, n.seq) > ($3, $4) ",
            in_order!(),
            "ORDER BY n.created_at, n.seq LIMIT $5) turn",
            $turn
        )
    };
}

/// All turns' rows that have waited long.
const LONG: &str = concat!(
    "SELECT * FROM (",
    patient!("0"),
    " UNION ALL ",
    patient!("1"),
    " UNION ALL ",
    patient!("2"),
    ") waiting ORDER BY created_at, seq LIMIT $5"
);

/// The others, by turn.
const BY_TURN: &str = concat!(
    columns!("n.turn"),
    fresh!(),
    "AND n.created_at > $2 AND (n.turn, n.created_at, n.seq) > ($6, $3, $4) ",
    in_order!(),
    "ORDER BY n.turn, n.created_at, n.seq LIMIT $5"
);

/// What has a lease that has ended, of all classes.
const EXPIRED: &str = concat!(
    "SELECT * FROM (",
    columns!("CASE WHEN n.created_at <= $2 THEN -1 ELSE n.turn END"),
    "WHERE n.delivered_at IS NULL AND n.dead_at IS NULL AND n.leased_until IS NOT NULL AND n.leased_until <= $1 ",
    "AND n.parked = 0 ",
    in_order!(),
    ") ended WHERE (class, created_at, seq) > ($6, $3, $4) ORDER BY class, created_at, seq LIMIT $5"
);

/// A place in the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    class: i64,
    created_at: String,
    seq: i64,
}

/// A notification that may be handed out, or is withheld.
pub(super) struct Candidate {
    place: Place,
    /// Its row number.
    pub(super) seq: i64,
    /// Its user.
    pub(super) user_id: String,
    /// Whether it waits for quiet hours to end.
    pub(super) is_quiet: bool,
}

fn candidate(row: &AnyRow) -> Candidate {
    let seq = row.get("seq");
    let place = Place { class: row.get("class"), created_at: row.get("created_at"), seq };
    Candidate { place, seq, user_id: row.get("user_id"), is_quiet: flag(row, "quiet") }
}

/// Reads the queue in its order, some at a time.
pub(super) struct Order {
    at: String,
    since: String,
    after: Place,
    is_over: bool,
}

impl Order {
    /// From the beginning, at a moment.
    pub(super) fn begin(at: DateTime<Utc>) -> Self {
        let after = Place { class: PATIENT, created_at: String::new(), seq: 0 };
        Self { at: stamp(at), since: stamp(at - PATIENCE), after, is_over: false }
    }

    /// At most `size` of what comes next; none at the end.
    pub(super) async fn next(
        &mut self,
        tx: &mut AnyConnection,
        size: usize,
    ) -> Result<Vec<Candidate>, StoreError> {
        if self.is_over {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        if self.after.class == PATIENT {
            all = self.ask(tx, LONG, size).await?;
        }
        if all.len() < size {
            all.extend(self.ask(tx, BY_TURN, size).await?);
        }
        let ended = self.ask(tx, EXPIRED, size).await?;
        if !ended.is_empty() {
            all.extend(ended);
            all.sort_by(|one, other| one.place.cmp(&other.place));
        }
        all.truncate(size);
        self.is_over = all.len() < size;
        if let Some(last) = all.last() {
            self.after = last.place.clone();
        }
        Ok(all)
    }

    async fn ask(
        &self,
        tx: &mut AnyConnection,
        statement: &'static str,
        size: usize,
    ) -> Result<Vec<Candidate>, StoreError> {
        // Those that have not waited long come all after those that have.
        let is_first = statement == BY_TURN && self.after.class == PATIENT;
        let (created_at, seq) =
            if is_first { ("", 0) } else { (&*self.after.created_at, self.after.seq) };
        let query = sqlx::query(statement)
            .bind(&self.at)
            .bind(&self.since)
            .bind(created_at)
            .bind(seq)
            .bind(i64::try_from(size).unwrap_or(i64::MAX));
        let query = if statement == LONG { query } else { query.bind(self.after.class) };
        let rows = query.fetch_all(tx).await?;
        Ok(rows.iter().map(candidate).collect())
    }
}

/// Puts what waits for quiet hours to end out of the way until they do, whether its lease has ended or it never had one:
/// each is met once.
pub(super) async fn park(tx: &mut AnyConnection, quiet: &[Candidate]) -> Result<(), StoreError> {
    let seqs: Vec<i64> = quiet.iter().map(|one| one.seq).collect();
    for some in seqs.chunks(ROWS_PER_STATEMENT) {
        let text = format!("UPDATE notifications SET parked = 1 WHERE seq IN ({})", list(some));
        sqlx::query(AssertSqlSafe(text)).persistent(false).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Row numbers in pieces that rise, each of which one statement reads in this order.
pub(super) fn rising(seqs: &[i64]) -> impl Iterator<Item = &[i64]> {
    seqs.chunk_by(|one, other| one < other).flat_map(|run| run.chunks(ROWS_PER_STATEMENT))
}
