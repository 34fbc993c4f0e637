//! What is remembered from run to run: of a user, of a task, of a tenant.

use chrono::{DateTime, Utc};
use mc_client::memories::{
    AuthorKind, Memory, MemoryAuthor, MemoryScope, MemorySource, UpdateMemory,
};
use mc_client::types::Page;
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::audit::{Act, Actor};
use super::error::{Conflict, StoreError};
use super::memory_words::{folded, holder, searched, words};
use super::paging::{page, rows_for};
use super::sql::Sql;
use super::{Scope, Store, audit, events, json_of, new_id, now, stamp, tasks, time};

/// What is deleted once its time is over.
pub(super) const DELETE_EXPIRED: &str = "DELETE FROM memories WHERE expires_at <= $1";

/// The columns of a memory, without those that only the database needs.
const LISTED: &str = "SELECT m.seq, m.id, m.scope, m.user_id, m.task_id, m.tenant_id, m.text, m.source, \
    m.expires_at, m.author_type, m.author_id, m.created_at, m.updated_at FROM memories m \
    WHERE (m.expires_at IS NULL OR m.expires_at > ?)";

/// The same on a file, by words.
const FOUND: &str = "SELECT m.seq, m.id, m.scope, m.user_id, m.task_id, m.tenant_id, m.text, m.source, \
    m.expires_at, m.author_type, m.author_id, m.created_at, m.updated_at FROM memories_fts \
    JOIN memories m ON m.seq = memories_fts.rowid WHERE (m.expires_at IS NULL OR m.expires_at > ?)";

/// How many words of a search count.
const MAX_WORDS: usize = 100;

/// Whose memories a call may touch.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// A user's; everybody's if absent.
    pub user_id: Option<String>,
    /// The tenant whose memories the user has, too. Without a user: only this tenant's.
    pub tenant_id: Option<String>,
}

/// Which memories to list.
#[derive(Debug, Default)]
pub struct MemoryFilter<'a> {
    /// Only of this scope.
    pub scope: Option<MemoryScope>,
    /// No task's but this one's.
    pub task_id: Option<&'a str>,
    /// The words to look for.
    pub q: Option<&'a str>,
}

/// Whose a new memory is.
#[derive(Debug, Clone)]
pub enum Owner {
    /// A user.
    User(String),
    /// A task of a user.
    Task {
        /// The user.
        user_id: String,
        /// The task.
        task_id: String,
    },
    /// A tenant.
    Tenant(String),
}

impl Owner {
    fn scope(&self) -> MemoryScope {
        match self {
            Self::User(_) => MemoryScope::User,
            Self::Task { .. } => MemoryScope::Task,
            Self::Tenant(_) => MemoryScope::Tenant,
        }
    }

    fn user_id(&self) -> Option<&str> {
        match self {
            Self::User(user_id) | Self::Task { user_id, .. } => Some(user_id),
            Self::Tenant(_) => None,
        }
    }

    /// Whose it is, in one text.
    fn key(&self) -> String {
        match self {
            Self::User(user_id) => format!("user\n{user_id}"),
            Self::Task { user_id, task_id } => format!("task\n{user_id}\n{task_id}"),
            Self::Tenant(tenant_id) => format!("tenant\n{tenant_id}"),
        }
    }

    fn holder(&self) -> String {
        match self {
            Self::User(user_id) | Self::Task { user_id, .. } => holder('u', user_id),
            Self::Tenant(tenant_id) => holder('t', tenant_id),
        }
    }

    /// How many there may be.
    fn most(&self) -> u32 {
        match self {
            Self::User(_) | Self::Tenant(_) => 500,
            Self::Task { .. } => 100,
        }
    }
}

/// A memory to be made, whose fields were checked.
#[derive(Debug, Clone)]
pub struct NewMemory {
    /// Whose it is.
    pub owner: Owner,
    /// What it says.
    pub text: String,
    /// Where it comes from.
    pub source: Option<MemorySource>,
    /// When it is forgotten.
    pub expires_at: Option<DateTime<Utc>>,
}

fn memory(row: &AnyRow) -> Memory {
    Memory {
        id: row.get("id"),
        scope: row.get::<&str, _>("scope").parse().unwrap_or(MemoryScope::User),
        user_id: row.get("user_id"),
        task_id: row.get("task_id"),
        tenant_id: row.get("tenant_id"),
        text: row.get("text"),
        source: json_of(row.get("source")),
        expires_at: row.get::<Option<&str>, _>("expires_at").and_then(time),
        author: MemoryAuthor {
            kind: row.get::<&str, _>("author_type").parse().unwrap_or(AuthorKind::Service),
            id: row.get("author_id"),
        },
        created_at: time(row.get("created_at")),
        updated_at: time(row.get("updated_at")),
        deduplicated: false,
    }
}

/// Who writes.
pub(super) fn author(actor: Actor<'_>) -> MemoryAuthor {
    let (kind, id) = match actor {
        Actor::Agent { role, .. } => (AuthorKind::Agent, role),
        Actor::Person(user_id) => (AuthorKind::Person, user_id),
        Actor::Unnamed => (AuthorKind::Person, "unnamed"),
        Actor::Service | Actor::System => (AuthorKind::Service, "internal"),
    };
    MemoryAuthor { kind, id: id.to_owned() }
}

/// Remembers something, unless its owner has it already: then that one is answered.
pub async fn insert(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    new: &NewMemory,
) -> Result<Memory, StoreError> {
    if let Owner::Task { user_id, task_id } = &new.owner {
        tasks::ensure_exists(tx, user_id, task_id).await?;
    }
    let (owner, at, folded) = (new.owner.key(), now(), folded(&new.text));
    sqlx::query("DELETE FROM memories WHERE owner = $1 AND expires_at <= $2")
        .bind(&owner)
        .bind(&at)
        .execute(&mut *tx)
        .await?;
    let known = sqlx::query("SELECT * FROM memories WHERE owner = $1 AND folded = $2")
        .bind(&owner)
        .bind(&folded)
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(known) = known {
        return Ok(Memory { deduplicated: true, ..memory(&known) });
    }
    let held = sqlx::query("SELECT count(*) AS held FROM memories WHERE owner = $1")
        .bind(&owner)
        .fetch_one(&mut *tx)
        .await?;
    let most = new.owner.most();
    if held.get::<i64, _>("held") >= i64::from(most) {
        return Err(Conflict::MemoryFull { scope: new.owner.scope(), most }.into());
    }
    let (task_id, tenant_id) = match &new.owner {
        Owner::User(_) => (None, None),
        Owner::Task { task_id, .. } => (Some(task_id), None),
        Owner::Tenant(tenant_id) => (None, Some(tenant_id)),
    };
    let source = new.source.as_ref().filter(|source| !source.is_empty());
    let author = author(scope.by.actor);
    let row = sqlx::query(
        "INSERT INTO memories (id, scope, owner, user_id, task_id, tenant_id, text, folded, holder, words, source, \
         expires_at, author_type, author_id, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING *",
    )
    .bind(new_id())
    .bind(new.owner.scope().as_str())
    .bind(&owner)
    .bind(new.owner.user_id())
    .bind(task_id)
    .bind(tenant_id)
    .bind(&new.text)
    .bind(&folded)
    .bind(new.owner.holder())
    .bind(words(&new.text).join(" "))
    .bind(source.map(serde_json::to_string).transpose()?)
    .bind(new.expires_at.map(stamp))
    .bind(author.kind.as_str())
    .bind(&author.id)
    .bind(&at)
    .bind(&at)
    .fetch_one(&mut *tx)
    .await?;
    let made = memory(&row);
    told(tx, scope, "memory.created", &made).await?;
    Ok(made)
}

/// Notes an act in the audit log, and tells the user's listeners. What a memory says is in neither.
async fn told(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    what: &str,
    memory: &Memory,
) -> Result<(), StoreError> {
    let act = Act::new(scope.by, what).about("memory", &memory.id);
    let act = act.with("scope", memory.scope.as_str());
    let act = match &memory.user_id {
        Some(user_id) => act.of(user_id),
        None => act,
    };
    audit::record(tx, &act).await?;
    if let Some(user_id) = &memory.user_id {
        let data = json!({ "id": memory.id, "scope": memory.scope, "task_id": memory.task_id });
        events::record(tx, user_id, what, "memory_id", &data).await?;
    }
    Ok(())
}

/// A memory that the caller may change. Others' do not exist.
async fn changeable(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    reach: &Reach,
    id: &str,
) -> Result<Memory, StoreError> {
    let row = sqlx::query(
        "SELECT * FROM memories WHERE id = $1 AND (expires_at IS NULL OR expires_at > $2)",
    )
    .bind(id)
    .bind(now())
    .fetch_optional(tx)
    .await?;
    let found = row.as_ref().map(memory).filter(|found| reach.has(found));
    let found = found.ok_or(StoreError::NotFound("memory"))?;
    let is_service = matches!(scope.by.actor, Actor::Service | Actor::System);
    if found.scope == MemoryScope::Tenant && !is_service {
        return Err(StoreError::NotAllowed("a tenant's memories are changed by services only"));
    }
    if matches!(scope.by.actor, Actor::Agent { .. }) && found.author.kind != AuthorKind::Agent {
        return Err(StoreError::NotAllowed("an agent changes only what agents wrote"));
    }
    Ok(found)
}

impl Reach {
    fn has(&self, memory: &Memory) -> bool {
        match (&self.user_id, &memory.user_id) {
            (None, _) => true,
            (Some(own), Some(theirs)) => own == theirs,
            (Some(_), None) => self.tenant_id.is_some() && self.tenant_id == memory.tenant_id,
        }
    }

    /// Adds the condition to a query.
    fn within(&self, sql: Sql) -> Sql {
        match (&self.user_id, &self.tenant_id) {
            (Some(user_id), Some(tenant_id)) => sql
                .and(" AND (m.user_id = ?", Some(user_id))
                .and(" OR m.tenant_id = ?)", Some(tenant_id)),
            (user_id, tenant_id) => sql
                .and(" AND m.user_id = ?", user_id.as_ref())
                .and(" AND m.tenant_id = ?", tenant_id.as_ref()),
        }
    }

    /// What SQLite's index is asked for: one of these words, in what the caller may see.
    fn matching(&self, words: &[String]) -> String {
        let any = |words: &mut dyn Iterator<Item = String>| {
            words.map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" OR ")
        };
        let held = [
            self.user_id.as_ref().map(|id| holder('u', id)),
            self.tenant_id.as_ref().map(|id| holder('t', id)),
        ];
        let words = any(&mut words.iter().cloned());
        match any(&mut held.into_iter().flatten()) {
            held if held.is_empty() => format!("words : ({words})"),
            held => format!("(holder : ({held})) AND (words : ({words}))"),
        }
    }
}

impl Store {
    /// The memories within reach: newest first, or those first that fit the words best.
    pub async fn memories(
        &self,
        reach: &Reach,
        filter: &MemoryFilter<'_>,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Page<Memory>, StoreError> {
        let Some(q) = filter.q else {
            let rows = filtered(Sql::new(LISTED, now()), reach, filter)
                .and(" AND m.seq < ?", before)
                .and(" ORDER BY m.seq DESC LIMIT ?", Some(rows_for(limit)))
                .fetch(&self.reader);
            return page(rows, limit, memory).await;
        };
        let mut words = searched(q);
        words.truncate(MAX_WORDS);
        if words.is_empty() {
            return Ok(Page { items: Vec::new(), next_cursor: None });
        }
        let sql = if self.peers.is_some() {
            let any = words.join(" | ");
            filtered(Sql::new(LISTED, now()), reach, filter)
                .and(
                    " AND (to_tsvector('simple', m.words) || to_tsvector('english', m.words)) \
                     @@ (to_tsquery('simple', ?) || to_tsquery('english', ?))",
                    Some(&any),
                )
                .and(
                    " ORDER BY ts_rank(to_tsvector('simple', m.words) || to_tsvector('english', m.words), \
                     to_tsquery('simple', ?) || to_tsquery('english', ?)) DESC, m.seq DESC",
                    Some(&any),
                )
        } else {
            filtered(Sql::new(FOUND, now()), reach, filter).and(
                " AND memories_fts MATCH ? ORDER BY bm25(memories_fts, 0.0, 1.0), m.seq DESC",
                Some(reach.matching(&words)),
            )
        };
        let rows = sql.and(" LIMIT ?", Some(i64::from(limit))).fetch(&self.reader);
        page(rows, limit, memory).await
    }

    /// Changes what a memory says, or when it is forgotten. What somebody else writes is theirs from then on.
    pub async fn update_memory(
        &self,
        scope: Scope<'_>,
        reach: &Reach,
        id: &str,
        update: &UpdateMemory,
    ) -> Result<Memory, StoreError> {
        let mut tx = self.write(scope).await?;
        let known = changeable(&mut tx, scope, reach, id).await?;
        let text = update.text.as_ref().unwrap_or(&known.text);
        let folded = folded(text);
        let other = sqlx::query(
            "SELECT o.id FROM memories o JOIN memories m ON m.owner = o.owner AND m.id = $1 \
             WHERE o.folded = $2 AND o.id <> $1 AND (o.expires_at IS NULL OR o.expires_at > $3)",
        )
        .bind(id)
        .bind(&folded)
        .bind(now())
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(other) = other {
            return Err(Conflict::MemoryExists { id: other.get("id") }.into());
        }
        // One whose time is over must not be in the way.
        sqlx::query(
            "DELETE FROM memories WHERE folded = $1 AND id <> $2 AND expires_at <= $3 \
             AND owner = (SELECT owner FROM memories WHERE id = $2)",
        )
        .bind(&folded)
        .bind(id)
        .bind(now())
        .execute(&mut *tx)
        .await?;
        let author = match *text == known.text {
            true => known.author.clone(),
            false => author(scope.by.actor),
        };
        let expires_at = update.expires_at.unwrap_or(known.expires_at);
        let row = sqlx::query(
            "UPDATE memories SET text = $1, folded = $2, words = $3, expires_at = $4, author_type = $5, \
             author_id = $6, updated_at = $7 WHERE id = $8 RETURNING *",
        )
        .bind(text)
        .bind(&folded)
        .bind(words(text).join(" "))
        .bind(expires_at.map(stamp))
        .bind(author.kind.as_str())
        .bind(&author.id)
        .bind(now())
        .bind(id)
        .fetch_one(&mut *tx)
        .await?;
        let changed = memory(&row);
        told(&mut tx, scope, "memory.updated", &changed).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Forgets a memory.
    pub async fn delete_memory(
        &self,
        scope: Scope<'_>,
        reach: &Reach,
        id: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope).await?;
        let known = changeable(&mut tx, scope, reach, id).await?;
        sqlx::query("DELETE FROM memories WHERE id = $1").bind(id).execute(&mut *tx).await?;
        told(&mut tx, scope, "memory.deleted", &known).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Adds what is common to lists and searches.
fn filtered(sql: Sql, reach: &Reach, filter: &MemoryFilter<'_>) -> Sql {
    reach
        .within(sql)
        .and(" AND m.scope = ?", filter.scope.map(MemoryScope::as_str))
        .and(" AND (m.scope <> 'task' OR m.task_id = ?)", filter.task_id)
}
