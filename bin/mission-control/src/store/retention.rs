//! For how long things are kept: what of each kind is older, and its deletion, some at a time.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use serde_json::Map;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::audit::{self, Act, Actor, By};
use super::error::StoreError;
use super::owned_tables::{delete_runs, some_runs};
use super::sql::{execute, list};
use super::{Store, audit_expiry, feedback, files, stamp};

/// How many objects are deleted at a time, and how many with all that belongs to them.
const AT_A_TIME: i64 = 200;
const WHOLE_AT_A_TIME: i64 = 20;

/// How long others write in between.
const PAUSE: Duration = Duration::from_millis(10);

/// The longest period, in days.
const MOST_DAYS: u32 = 36_500;

/// Which runs are not over: one without a caller is taken up again where it was interrupted.
fn is_open(run: &str) -> String {
    format!(
        "({run}.status IN ('running', 'awaiting_approval', 'awaiting_answer') \
         OR ({run}.status = 'interrupted' AND {run}.detached = 1))"
    )
}

/// What belongs to a task, and goes with it.
const OF_TASK: [&str; 6] =
    ["messages", "documents", "notifications", "tool_requests", "session_leases", "memories"];

/// What is kept for a time only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Runs with their steps and what they told.
    Runs,
    /// Messages.
    Messages,
    /// Documents.
    Documents,
    /// Notifications that were delivered, or never will be.
    Notifications,
    /// Files.
    Files,
    /// Memories.
    Memories,
    /// What people think of runs.
    Feedback,
    /// What agents have spent.
    Usage,
    /// Schedules that have ended.
    Schedules,
    /// Finished tasks, with what belongs to them.
    Tasks,
    /// The oldest entries of the audit log.
    Audit,
}

impl Kind {
    /// All of them, in the order in which they are deleted.
    pub const ALL: [Self; 11] = [
        Self::Runs,
        Self::Messages,
        Self::Documents,
        Self::Notifications,
        Self::Files,
        Self::Memories,
        Self::Feedback,
        Self::Usage,
        Self::Schedules,
        Self::Tasks,
        Self::Audit,
    ];

    /// Its name, which is its table's, too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Messages => "messages",
            Self::Documents => "documents",
            Self::Notifications => "notifications",
            Self::Files => "files",
            Self::Memories => "memories",
            Self::Feedback => "feedback",
            Self::Usage => "usage",
            Self::Schedules => "schedules",
            Self::Tasks => "tasks",
            Self::Audit => "audit",
        }
    }
}

/// For how many days after its last change each kind is kept; one that is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention(BTreeMap<Kind, u32>);

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut days = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((name, number)) = part.split_once('=') else {
                return Err(format!("{part:?} has no number of days; write runs=90,messages=365"));
            };
            let name = name.trim();
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.as_str() == name) else {
                let all = Kind::ALL.map(Kind::as_str).join(", ");
                return Err(format!("{name:?} is no kind that expires; allowed: {all}"));
            };
            let number =
                number.trim().parse().ok().filter(|number| (1..=MOST_DAYS).contains(number));
            let Some(number) = number else {
                return Err(format!(
                    "{name} needs a whole number of days from 1 to {MOST_DAYS}; leave {name} out to keep them for ever"
                ));
            };
            if days.insert(kind, number).is_some() {
                return Err(format!("{name} stands there twice"));
            }
        }
        Ok(Self(days))
    }
}

impl Retention {
    /// Whether a kind is kept for a time only.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.0.contains_key(&kind)
    }

    /// The days of each kind, by its name.
    pub fn days(&self) -> BTreeMap<String, u32> {
        self.0.iter().map(|(kind, days)| (kind.as_str().to_owned(), *days)).collect()
    }

    /// What was changed last before this time has expired.
    fn cutoff(&self, kind: Kind, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let cutoff = at - TimeDelta::days(i64::from(*self.0.get(&kind)?));
        if kind != Kind::Usage {
            return Some(cutoff);
        }
        // Budgets count what was spent in this month.
        let month = at.date_naive().with_day(1)?.and_hms_opt(0, 0, 0)?.and_utc();
        Some(cutoff.min(month))
    }
}

/// What has expired of a kind.
#[derive(Debug)]
struct Due {
    kind: Kind,
    /// What changed before this time: `$1`.
    before: String,
    /// Which rows of the kind's table.
    condition: String,
}

impl Due {
    fn new(retention: &Retention, kind: Kind, at: DateTime<Utc>) -> Option<Self> {
        let cutoff = retention.cutoff(kind, at)?;
        // What is kept for longer by itself keeps its task, or its run.
        let also = |of: Kind| {
            let longer = retention.cutoff(of, at).map_or(cutoff, |other| other.min(cutoff));
            stamp(longer)
        };
        let condition = match kind {
            Kind::Runs => format!(
                "runs.updated_at < $1 AND NOT {} \
                 AND NOT EXISTS (SELECT 1 FROM runs p WHERE p.user_id = runs.user_id AND p.run_key = runs.parent_run_key AND {}) \
                 AND NOT EXISTS (SELECT 1 FROM feedback f WHERE f.run_seq = runs.seq AND f.updated_at >= '{}')",
                is_open("runs"),
                is_open("p"),
                also(Kind::Feedback)
            ),
            Kind::Messages => format!(
                "messages.created_at < $1 AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.task_id = messages.task_id AND {})",
                is_open("r")
            ),
            Kind::Documents => "documents.created_at < $1".to_owned(),
            Kind::Notifications => "(notifications.delivered_at IS NOT NULL OR notifications.dead_at IS NOT NULL) \
                AND notifications.created_at < $1 AND coalesce(notifications.delivered_at, '') < $1 \
                AND coalesce(notifications.read_at, '') < $1 AND coalesce(notifications.dead_at, '') < $1"
                .to_owned(),
            Kind::Files => "files.put_at < $1 AND files.is_whole = 1".to_owned(),
            Kind::Memories => "memories.updated_at < $1".to_owned(),
            Kind::Feedback => "feedback.updated_at < $1".to_owned(),
            Kind::Usage => "usage.created_at < $1".to_owned(),
            Kind::Schedules => "schedules.status = 'ended' AND schedules.updated_at < $1 \
                AND coalesce(schedules.last_slot, '') < $1"
                .to_owned(),
            Kind::Tasks => format!(
                "tasks.status IN ('completed', 'cancelled') AND tasks.updated_at < $1 \
                 AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.task_id = tasks.id AND m.created_at >= '{}') \
                 AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.task_id = tasks.id AND d.created_at >= '{}') \
                 AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.task_id = tasks.id AND ({} OR r.updated_at >= $1)) \
                 AND NOT EXISTS (SELECT 1 FROM notifications n WHERE n.task_id = tasks.id AND n.delivered_at IS NULL AND n.dead_at IS NULL) \
                 AND NOT EXISTS (SELECT 1 FROM tool_requests q WHERE q.task_id = tasks.id AND q.status = 'pending') \
                 AND NOT EXISTS (SELECT 1 FROM memories m WHERE m.task_id = tasks.id AND m.user_id = tasks.user_id AND m.updated_at >= '{}') \
                 AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.user_id = tasks.user_id AND s.task_id = tasks.id AND s.status <> 'ended')",
                also(Kind::Messages),
                also(Kind::Documents),
                is_open("r"),
                also(Kind::Memories)
            ),
            Kind::Audit => audit_expiry::EXPIRED.to_owned(),
        };
        Some(Self { kind, before: stamp(cutoff), condition })
    }

    async fn count(&self, reader: &mut AnyConnection) -> Result<u64, StoreError> {
        let Self { kind, before, condition } = self;
        let text = format!("SELECT count(*) AS many FROM {} WHERE {condition}", kind.as_str());
        let row = sqlx::query(AssertSqlSafe(text)).persistent(false).bind(before);
        Ok(u64::try_from(row.fetch_one(reader).await?.get::<i64, _>("many")).unwrap_or_default())
    }

    /// The next ones after a row: looked up beside all writes, however long that takes.
    async fn next(&self, reader: &mut AnyConnection, after: i64) -> Result<Vec<i64>, StoreError> {
        let Self { kind, before, condition } = self;
        let most = match kind {
            Kind::Runs => return some_runs(reader, condition, before, after).await,
            Kind::Tasks | Kind::Files => WHOLE_AT_A_TIME,
            _ => AT_A_TIME,
        };
        let text = format!(
            "SELECT seq FROM {} WHERE seq > $2 AND {condition} ORDER BY seq LIMIT {most}",
            kind.as_str()
        );
        let query = sqlx::query(AssertSqlSafe(text)).persistent(false).bind(before).bind(after);
        Ok(query.fetch_all(reader).await?.iter().map(|row| row.get("seq")).collect())
    }

    /// Those of some rows that are still due.
    async fn still(&self, tx: &mut AnyConnection, seqs: &[i64]) -> Result<Vec<i64>, StoreError> {
        let Self { kind, before, condition } = self;
        let (table, seqs) = (kind.as_str(), list(seqs));
        let text = format!("SELECT seq FROM {table} WHERE seq IN ({seqs}) AND {condition}");
        let query = sqlx::query(AssertSqlSafe(text)).persistent(false).bind(before);
        Ok(query.fetch_all(tx).await?.iter().map(|row| row.get("seq")).collect())
    }

    async fn delete(&self, tx: &mut AnyConnection, seqs: &[i64]) -> Result<(), StoreError> {
        let rows = list(seqs);
        match self.kind {
            Kind::Runs => {
                delete_runs(tx, seqs).await?;
            }
            Kind::Files => {
                for seq in seqs {
                    files::forget(tx, *seq).await?;
                }
            }
            Kind::Feedback => feedback::forget(tx, &rows).await?,
            Kind::Tasks => {
                let of = format!("task_id IN (SELECT id FROM tasks WHERE seq IN ({rows}))");
                execute(tx, format!("UPDATE runs SET task_id = NULL WHERE {of}")).await?;
                for table in OF_TASK {
                    execute(tx, format!("DELETE FROM {table} WHERE {of}")).await?;
                }
                execute(tx, format!("DELETE FROM tasks WHERE seq IN ({rows})")).await?;
            }
            Kind::Schedules => {
                let of = format!("schedule_id IN (SELECT id FROM schedules WHERE seq IN ({rows}))");
                execute(tx, format!("DELETE FROM schedule_slots WHERE {of}")).await?;
                execute(tx, format!("DELETE FROM schedules WHERE seq IN ({rows})")).await?;
            }
            Kind::Messages
            | Kind::Documents
            | Kind::Notifications
            | Kind::Memories
            | Kind::Usage
            | Kind::Audit => {
                let table = self.kind.as_str();
                execute(tx, format!("DELETE FROM {table} WHERE seq IN ({rows})")).await?;
            }
        }
        Ok(())
    }
}

/// Records that something has expired, in the transaction in which it goes.
pub(super) async fn record(
    tx: &mut AnyConnection,
    kind: Kind,
    before: &str,
    many: usize,
    more: Map<String, serde_json::Value>,
) -> Result<(), StoreError> {
    let mut act = Act::new(By::new(Actor::System), "data.expired").with_all(more);
    act = act.with("kind", kind.as_str()).with("before", before).with("count", many);
    audit::record(tx, &act).await?;
    Ok(())
}

impl Store {
    /// How many of each kind have expired.
    pub async fn count_expired(
        &self,
        retention: &Retention,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        let at = Utc::now();
        let mut counts = BTreeMap::new();
        for due in Kind::ALL.into_iter().filter_map(|kind| Due::new(retention, kind, at)) {
            let many = due.count(&mut *self.reader.acquire().await?).await?;
            counts.insert(due.kind.as_str().to_owned(), many);
        }
        Ok(counts)
    }

    /// Deletes what has expired; how many of each kind.
    pub async fn expire(&self, retention: &Retention) -> Result<BTreeMap<String, u64>, StoreError> {
        let at = Utc::now();
        let mut counts = BTreeMap::new();
        for due in Kind::ALL.into_iter().filter_map(|kind| Due::new(retention, kind, at)) {
            let many = match due.kind {
                Kind::Audit => self.expire_audit(&due.before).await?,
                _ => self.expire_kind(&due).await?,
            };
            counts.insert(due.kind.as_str().to_owned(), many);
        }
        Ok(counts)
    }

    async fn expire_kind(&self, due: &Due) -> Result<u64, StoreError> {
        let (mut many, mut after) = (0, 0);
        loop {
            let found = due.next(&mut *self.reader.acquire().await?, after).await?;
            let Some(last) = found.last() else { return Ok(many) };
            after = *last;
            let mut tx = self.begin().await?;
            let still = due.still(&mut tx, &found).await?;
            if !still.is_empty() {
                due.delete(&mut tx, &still).await?;
                record(&mut tx, due.kind, &due.before, still.len(), Map::new()).await?;
                tx.commit_untold().await?;
                many += u64::try_from(still.len()).unwrap_or_default();
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_and_mistakes_are_named() {
        let retention: Retention = "runs=90, audit = 400,".parse().unwrap();
        assert_eq!(retention.days(), [("runs".to_owned(), 90), ("audit".to_owned(), 400)].into());
        assert_eq!("".parse(), Ok(Retention::default()));
        for (wrong, told) in [
            ("runs", "no number of days"),
            ("run=3", "\"run\" is no kind"),
            ("runs=0", "leave runs out"),
            ("runs=-1", "from 1 to"),
            ("runs=1.5", "whole number"),
            ("runs=90,runs=30", "twice"),
        ] {
            let why = wrong.parse::<Retention>().unwrap_err();
            assert!(why.contains(told), "{wrong}: {why}");
        }
    }

    #[test]
    fn usage_that_a_budget_counts_stays() {
        let retention: Retention = "usage=1,runs=1".parse().unwrap();
        let at = "2026-03-20T10:00:00Z".parse().unwrap();
        let cutoff = |kind| stamp(retention.cutoff(kind, at).unwrap());
        assert_eq!(cutoff(Kind::Usage), "2026-03-01T00:00:00.000000Z");
        assert_eq!(cutoff(Kind::Runs), "2026-03-19T10:00:00.000000Z");
        assert_eq!(retention.cutoff(Kind::Audit, at), None);
    }
}
