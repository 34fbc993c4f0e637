//! The audit log: who did what. Entries are recorded in the transaction of the act itself, and the
//! database refuses to change them.
//!
//! An entry holds no user's id, so that a user can be forgotten and the chain still verified.

use mc_client::audit::{ActorKind, AuditActor, AuditEntry, AuditObject, FIRST_PREV};
use mc_client::types::Page;
use serde::ser::Error as _;
use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Row, Transaction};

use super::error::StoreError;
use super::paging::{page, rows_for};
use super::sql::Sql;
use super::{Store, json_of, now};

/// How many entries are read at a time where all are.
const CHUNK: u32 = 500;

/// Entries with what is kept beside them.
const SELECT: &str = "SELECT a.*, r.reason, s.user_id, t.user_id AS actor_user_id FROM audit a \
    LEFT JOIN audit_reasons r ON r.seq = a.seq LEFT JOIN audit_subjects s ON s.subject = a.subject \
    LEFT JOIN audit_subjects t ON t.subject = a.actor_subject WHERE a.seq > ?";

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor<'a> {
    /// A person, by their user id.
    Person(&'a str),
    /// A person whose name is not known: all who know the page's password are one.
    Unnamed,
    /// An agent.
    Agent {
        /// Its user.
        user_id: &'a str,
        /// Its role.
        role: &'a str,
    },
    /// A service that holds the internal token, for nobody in particular.
    Service,
    /// The backend itself.
    System,
}

/// Who acts, and in which trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By<'a> {
    /// Who.
    pub actor: Actor<'a>,
    /// The trace of the request, if it named one.
    pub trace_id: Option<&'a str>,
}

impl<'a> By<'a> {
    /// An actor, outside of any trace.
    pub fn new(actor: Actor<'a>) -> Self {
        Self { actor, trace_id: None }
    }
}

/// An act, as it is recorded.
#[derive(Debug, Clone)]
pub struct Act<'a> {
    pub(super) by: By<'a>,
    pub(super) act: &'a str,
    pub(super) user_id: Option<&'a str>,
    pub(super) object: Option<(&'a str, &'a str)>,
    pub(super) details: Map<String, Value>,
    reason: Option<&'a str>,
}

impl<'a> Act<'a> {
    /// An act such as `budget.set`.
    pub fn new(by: By<'a>, act: &'a str) -> Self {
        Self { by, act, user_id: None, object: None, details: Map::new(), reason: None }
    }

    /// The user whom it concerns.
    #[must_use]
    pub fn of(self, user_id: &'a str) -> Self {
        Self { user_id: Some(user_id), ..self }
    }

    /// What it is about: a kind such as `run`, and its id.
    #[must_use]
    pub fn about(self, kind: &'a str, id: &'a str) -> Self {
        Self { object: Some((kind, id)), ..self }
    }

    /// A further fact. No user's id and nothing that a person wrote: it is hashed, and stays.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// All further facts.
    #[must_use]
    pub fn with_all(self, details: Map<String, Value>) -> Self {
        Self { details, ..self }
    }

    /// Why, in a person's words.
    #[must_use]
    pub fn because(self, reason: Option<&'a str>) -> Self {
        Self { reason, ..self }
    }
}

/// The random text that stands for a user in the log.
pub(super) async fn subject_of(
    tx: &mut AnyConnection,
    user_id: &str,
) -> Result<String, StoreError> {
    if let Some(subject) = known_subject(tx, user_id).await? {
        return Ok(subject);
    }
    let subject = uuid::Uuid::new_v4().simple().to_string();
    sqlx::query("INSERT INTO audit_subjects (user_id, subject) VALUES ($1, $2)")
        .bind(user_id)
        .bind(&subject)
        .execute(tx)
        .await?;
    Ok(subject)
}

async fn known_subject(
    tx: &mut AnyConnection,
    user_id: &str,
) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT subject FROM audit_subjects WHERE user_id = $1")
        .bind(user_id)
        .fetch_optional(tx)
        .await?;
    Ok(row.map(|row| row.get("subject")))
}

pub(super) async fn actor(
    tx: &mut AnyConnection,
    actor: Actor<'_>,
) -> Result<AuditActor, StoreError> {
    let (kind, subject, role) = match actor {
        Actor::Person(user_id) => (ActorKind::Person, subject_of(tx, user_id).await?, None),
        Actor::Agent { user_id, role } => {
            (ActorKind::Agent, subject_of(tx, user_id).await?, Some(role.to_owned()))
        }
        Actor::Unnamed => (ActorKind::Person, "unnamed".to_owned(), None),
        Actor::Service => (ActorKind::Service, "internal".to_owned(), None),
        Actor::System => (ActorKind::System, "backend".to_owned(), None),
    };
    Ok(AuditActor { kind, subject, role })
}

/// Records an act in the transaction that does it: both are stored, or neither.
pub async fn record(tx: &mut AnyConnection, act: &Act<'_>) -> Result<AuditEntry, StoreError> {
    let actor = actor(tx, act.by.actor).await?;
    let subject = match act.user_id {
        Some(user_id) => Some(subject_of(tx, user_id).await?),
        None => None,
    };
    let last = sqlx::query("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        .fetch_optional(&mut *tx)
        .await?;
    let (seq, prev) = match last {
        Some(last) => (last.get::<i64, _>("seq") + 1, last.get("hash")),
        None => (1, FIRST_PREV.to_owned()),
    };
    let own = match act.by.actor {
        Actor::Person(user_id) | Actor::Agent { user_id, .. } => Some(user_id),
        Actor::Unnamed | Actor::Service | Actor::System => None,
    };
    let object = act.object.map(|(kind, id)| (kind.to_owned(), id.to_owned()));
    let mut entry = AuditEntry {
        seq,
        at: now(),
        actor,
        act: act.act.to_owned(),
        subject,
        object: object.map(|(kind, id)| AuditObject { kind, id }),
        details: act.details.clone(),
        trace_id: act.by.trace_id.map(str::to_owned),
        prev,
        hash: String::new(),
        user_id: act.user_id.map(str::to_owned),
        actor_user_id: own.filter(|own| act.user_id != Some(*own)).map(str::to_owned),
        reason: act.reason.map(str::to_owned),
    };
    entry.hash = entry.hashed().map_err(serde_json::Error::custom)?;
    insert(tx, &entry).await?;
    Ok(entry)
}

async fn insert(tx: &mut AnyConnection, entry: &AuditEntry) -> Result<(), StoreError> {
    let object = entry.object.as_ref();
    sqlx::query(
        "INSERT INTO audit (seq, at, actor_type, actor_subject, actor_role, act, subject, object_type, object_id, details, \
         trace_id, prev, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(entry.seq)
    .bind(&entry.at)
    .bind(entry.actor.kind.as_str())
    .bind(&entry.actor.subject)
    .bind(&entry.actor.role)
    .bind(&entry.act)
    .bind(&entry.subject)
    .bind(object.map(|object| &object.kind))
    .bind(object.map(|object| &object.id))
    .bind(serde_json::to_string(&entry.details)?)
    .bind(&entry.trace_id)
    .bind(&entry.prev)
    .bind(&entry.hash)
    .execute(&mut *tx)
    .await?;
    if let Some(reason) = &entry.reason {
        sqlx::query("INSERT INTO audit_reasons (seq, reason) VALUES ($1, $2)")
            .bind(entry.seq)
            .bind(reason)
            .execute(tx)
            .await?;
    }
    Ok(())
}

/// Which entries to list.
#[derive(Debug, Default)]
pub struct AuditFilter {
    /// Only this act; with `.*` at its end all that begin so.
    pub act: Option<String>,
    /// Only those that concern this user.
    pub user_id: Option<String>,
    /// Only those of this user's acts.
    pub actor_user_id: Option<String>,
    /// From this time on.
    pub from: Option<String>,
    /// Before this time.
    pub to: Option<String>,
}

fn entry(row: &AnyRow) -> AuditEntry {
    let kind = row.get::<&str, _>("actor_type").parse().unwrap_or(ActorKind::System);
    let user_id: Option<String> = row.get("user_id");
    let actor_user_id: Option<String> = row.get("actor_user_id");
    let object = row.get::<Option<String>, _>("object_type").zip(row.get("object_id"));
    AuditEntry {
        seq: row.get("seq"),
        at: row.get("at"),
        actor: AuditActor { kind, subject: row.get("actor_subject"), role: row.get("actor_role") },
        act: row.get("act"),
        subject: row.get("subject"),
        object: object.map(|(kind, id)| AuditObject { kind, id }),
        details: json_of(row.get("details")).unwrap_or_default(),
        trace_id: row.get("trace_id"),
        prev: row.get("prev"),
        hash: row.get("hash"),
        actor_user_id: actor_user_id.filter(|own| user_id.as_ref() != Some(own)),
        user_id,
        reason: row.get("reason"),
    }
}

/// Entries that a condition on a user finds, after a number.
pub(super) async fn entries_where(
    reader: &AnyPool,
    condition: &str,
    user_id: &str,
    after: i64,
) -> Result<Vec<AuditEntry>, StoreError> {
    let select = SELECT.replace('?', "$2");
    let text = format!("{select} AND {condition} ORDER BY a.seq LIMIT {CHUNK}");
    let query = sqlx::query(AssertSqlSafe(text)).bind(user_id).bind(after);
    Ok(query.fetch_all(reader).await?.iter().map(entry).collect())
}

impl Store {
    /// Records an act that changes nothing else, such as a login.
    pub async fn record(&self, act: &Act<'_>) -> Result<AuditEntry, StoreError> {
        let mut tx = self.begin().await?;
        let entry = record(&mut tx, act).await?;
        tx.commit().await?;
        Ok(entry)
    }

    /// Records that this instance has started.
    pub async fn record_start(&self) -> Result<(), StoreError> {
        let act = Act::new(By::new(Actor::System), "backend.started");
        let act = act.with("version", env!("CARGO_PKG_VERSION")).with("instance", &*self.instance);
        self.record(&act).await?;
        Ok(())
    }

    /// The audit log, oldest first.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        limit: u32,
        after: Option<i64>,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let mut tx = self.reader.begin().await?;
        let mut subjects = [None, None];
        for (subject, user_id) in subjects.iter_mut().zip([&filter.user_id, &filter.actor_user_id])
        {
            if let Some(user_id) = user_id {
                let Some(known) = known_subject(&mut tx, user_id).await? else {
                    return Ok(Page { items: Vec::new(), next_cursor: None });
                };
                *subject = Some(known);
            }
        }
        let [subject, actor_subject] = subjects;
        let family = filter.act.as_ref().and_then(|act| act.strip_suffix(".*"));
        let one = filter.act.as_ref().filter(|_| family.is_none());
        let rows = Sql::new(SELECT, after.unwrap_or_default())
            .and(" AND a.act = ?", one)
            // What comes after a dot in ASCII is a slash.
            .and(" AND a.act >= ?", family.map(|family| format!("{family}.")))
            .and(" AND a.act < ?", family.map(|family| format!("{family}/")))
            .and(" AND a.subject = ?", subject)
            .and(" AND a.actor_subject = ?", actor_subject)
            .and(" AND a.at >= ?", filter.from.as_ref())
            .and(" AND a.at < ?", filter.to.as_ref())
            .and(" ORDER BY a.seq LIMIT ?", Some(rows_for(limit)))
            .fetch(&mut *tx);
        page(rows, limit, entry).await
    }

    /// The log as it stands now, whatever is added or expires while it is read.
    pub async fn whole_audit(&self, is_server: bool) -> Result<WholeAudit, StoreError> {
        let begin = match is_server {
            true => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            false => "BEGIN",
        };
        Ok(WholeAudit { tx: self.reader.begin_with(begin).await?, last: 0 })
    }
}

/// The whole log, as it stood at one moment.
#[derive(Debug)]
pub struct WholeAudit {
    tx: Transaction<'static, Any>,
    last: i64,
}

impl WholeAudit {
    /// The next entries, oldest first; none only after the last one.
    pub async fn next(&mut self) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = Sql::new(SELECT, self.last)
            .and(" ORDER BY a.seq LIMIT ?", Some(i64::from(CHUNK)))
            .fetch_all(&mut *self.tx)
            .await?;
        let entries: Vec<_> = rows.iter().map(entry).collect();
        self.last = entries.last().map_or(self.last, |entry| entry.seq);
        Ok(entries)
    }
}
