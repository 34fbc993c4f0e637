//! The built-in tools on memories, and which memories a role may have.

use chrono::{DateTime, Utc};
use mc_client::memories::{
    AuthorKind, CreateMemory, MAX_QUERY, Memory, MemoryQuery, MemoryScope, MemorySource,
};
use serde_json::{Value, json};
use wombat_core::agent_config::MemoryAccess;

use super::context::ToolContext;
use super::memory_specs::MOST;
use super::reply::ToolReply;

/// How many memories a call of `recall` gives without a limit.
const USUAL: u64 = 8;

/// The most that is asked for at a time, where more than is wanted may come.
const PAGE: u32 = 200;

/// How many pages are looked through for a memory that is to be forgotten: more than one owner has.
const PAGES: usize = 5;

/// What to ask the backend for, so that the best `wanted` of what the role reads are among it.
pub fn query(access: &MemoryAccess, task_id: &str, words: &str, wanted: u32) -> MemoryQuery {
    let of = |scope: &str| scope.parse::<MemoryScope>().ok();
    let (scope, limit) = match access.read.as_slice() {
        [one] => (of(one), wanted),
        read if read.len() == MemoryScope::ALL.len() => (None, wanted),
        // One question is enough: what the role does not read is passed over.
        _ => (None, PAGE),
    };
    MemoryQuery {
        scope,
        task_id: Some(task_id.to_owned())
            .filter(|_| scope.is_none_or(|scope| scope == MemoryScope::Task)),
        q: Some(words.chars().take(MAX_QUERY).collect()),
        limit: Some(limit.min(PAGE)),
    }
}

/// Whose run it is that may have a memory.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The user.
    pub user: &'a str,
    /// The user's tenant, where it is known.
    pub tenant: Option<&'a str>,
    /// The run's task.
    pub task_id: &'a str,
}

/// Whether a role may have a memory in its run. A backend may give more than it was asked for.
pub fn is_readable(memory: &Memory, access: &MemoryAccess, reader: Reader<'_>) -> bool {
    let is_of = |own: Option<&str>, reader: &str| own.is_none_or(|of| of == reader);
    let is_of_owner = match memory.scope {
        MemoryScope::User => is_of(memory.user_id.as_deref(), reader.user),
        MemoryScope::Task => {
            is_of(memory.user_id.as_deref(), reader.user)
                && memory.task_id.as_deref() == Some(reader.task_id)
        }
        MemoryScope::Tenant => {
            reader.tenant.is_none_or(|tenant| is_of(memory.tenant_id.as_deref(), tenant))
        }
    };
    access.read.contains(&memory.scope.as_str())
        && is_of_owner
        && memory.expires_at.is_none_or(|at| at > Utc::now())
}

/// The tool `recall`.
pub(super) async fn recall(context: &ToolContext<'_>, arguments: &Value) -> ToolReply {
    let (access, task_id) = (&context.profile.memory, context.task_id);
    let words = arguments["query"].as_str().unwrap_or_default();
    let wanted = arguments["limit"].as_u64().unwrap_or(USUAL).min(MOST);
    let query = query(access, task_id, words, u32::try_from(wanted).unwrap_or(PAGE));
    let page = match context.client.memories(&query).await {
        Ok(page) => page,
        Err(error) => return ToolReply::failed(&error),
    };
    let reader = Reader { user: context.user, tenant: context.tenant, task_id };
    let found = page.items.iter().filter(|memory| is_readable(memory, access, reader));
    let found: Vec<_> =
        found.take(usize::try_from(wanted).unwrap_or(usize::MAX)).map(told).collect();
    ToolReply::data(&json!({ "memories": found }))
}

/// A memory as the model sees it.
fn told(memory: &Memory) -> Value {
    let mut told = json!({
        "id": memory.id, "scope": memory.scope, "text": memory.text, "by": memory.author.kind,
        "since": memory.updated_at
    });
    if let Some(at) = memory.expires_at {
        told["expires_at"] = json!(at);
    }
    told
}

/// The tool `remember`.
pub(super) async fn remember(
    context: &ToolContext<'_>,
    arguments: &Value,
    key: String,
) -> ToolReply {
    let scope = arguments["scope"].as_str().unwrap_or_default();
    let writable = context.profile.memory.writable().find(|writable| *writable == scope);
    let Some(scope) = writable.and_then(|scope| scope.parse::<MemoryScope>().ok()) else {
        return ToolReply::NotMade(format!(
            "memories of the scope {scope:?} are not this role's to write"
        ));
    };
    let expires_at = match arguments["expires_at"].as_str() {
        None => None,
        Some(text) => match text.parse::<DateTime<Utc>>() {
            Ok(at) => Some(at),
            Err(_) => {
                return ToolReply::NotMade(format!(
                    "expires_at: {text:?} is no time with a zone, such as 2027-01-31T00:00:00Z"
                ));
            }
        },
    };
    let new = CreateMemory {
        scope,
        user_id: None,
        task_id: (scope == MemoryScope::Task).then(|| context.task_id.to_owned()),
        tenant_id: None,
        text: arguments["text"].as_str().unwrap_or_default().to_owned(),
        source: Some(MemorySource { run_key: Some(context.run_key.to_owned()), message_id: None }),
        expires_at,
        idempotency_key: Some(key),
    };
    match context.client.create_memory(&new).await {
        Ok(memory) => {
            let mut told = told(&memory);
            told["deduplicated"] = json!(memory.deduplicated);
            ToolReply::data(&told)
        }
        Err(error) => ToolReply::failed(&error),
    }
}

/// The tool `forget`.
pub(super) async fn forget(context: &ToolContext<'_>, arguments: &Value, key: &str) -> ToolReply {
    let id = arguments["id"].as_str().unwrap_or_default();
    match is_writable(context, id).await {
        Ok(true) => {}
        Ok(false) => {
            let why = format!(
                "there is no memory {id:?} that this role may forget: take an id from recall"
            );
            return ToolReply::NotMade(why);
        }
        Err(reply) => return reply,
    }
    match context.client.delete_memory(id, Some(key)).await {
        Ok(()) => ToolReply::data(&json!({ "forgotten": id })),
        Err(error) => ToolReply::failed(&error),
    }
}

/// Whether a memory is of a scope that the role writes, and an agent wrote it.
async fn is_writable(context: &ToolContext<'_>, id: &str) -> Result<bool, ToolReply> {
    for scope in context.profile.memory.writable().filter_map(|scope| scope.parse().ok()) {
        let mut cursor = None;
        for _ in 0..PAGES {
            let query = MemoryQuery {
                scope: Some(scope),
                task_id: (scope == MemoryScope::Task).then(|| context.task_id.to_owned()),
                q: None,
                limit: Some(PAGE),
            };
            let page = context.client.memories_after(&query, cursor.as_deref()).await;
            let page = page.map_err(|error| ToolReply::failed(&error))?;
            let found = page.items.iter().find(|memory| memory.id == id && memory.scope == scope);
            if let Some(found) = found {
                return Ok(found.author.kind == AuthorKind::Agent);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(read: &[&'static str]) -> MemoryAccess {
        MemoryAccess { read: read.to_vec(), write: Vec::new() }
    }

    #[test]
    fn one_question_is_asked_for_all_that_a_role_reads() {
        let all = query(&MemoryAccess::default(), "t", "tea", 8);
        assert_eq!((all.scope, all.task_id.as_deref(), all.limit), (None, Some("t"), Some(8)));
        let one = query(&access(&["tenant"]), "t", "tea", 8);
        assert_eq!((one.scope, one.task_id, one.limit), (Some(MemoryScope::Tenant), None, Some(8)));
        let two = query(&access(&["user", "task"]), "t", "tea", 8);
        assert_eq!((two.scope, two.limit), (None, Some(PAGE)));
        let long = query(&MemoryAccess::default(), "t", &"ü".repeat(600), 8);
        assert_eq!(long.q.unwrap().chars().count(), MAX_QUERY);
    }

    #[test]
    fn what_a_role_may_not_have_is_passed_over() {
        let memory = |scope: &str, task_id: Option<&str>, expires_at: Option<&str>| -> Memory {
            serde_json::from_value(json!({
                "id": "m", "scope": scope, "task_id": task_id, "text": "t", "expires_at": expires_at,
                "author": { "type": "agent", "id": "a" }
            }))
            .unwrap()
        };
        let reader = Reader { user: "u", tenant: Some("acme"), task_id: "t" };
        let reads =
            |memory: &Memory, read: &[&'static str]| is_readable(memory, &access(read), reader);
        assert!(reads(&memory("user", None, None), &["user"]));
        assert!(!reads(&memory("tenant", None, None), &["user", "task"]));
        assert!(reads(&memory("task", Some("t"), None), &["task"]));
        assert!(!reads(&memory("task", Some("other"), None), &["task"]));
        assert!(!reads(&memory("task", None, None), &["task"]));
        let of = |user: &str| {
            let memory = memory("user", None, None);
            Memory { user_id: Some(user.to_owned()), ..memory }
        };
        assert!(reads(&of("u"), &["user"]) && !reads(&of("another"), &["user"]));
        let of = |tenant: &str| {
            let memory = memory("tenant", None, None);
            Memory { tenant_id: Some(tenant.to_owned()), ..memory }
        };
        assert!(reads(&of("acme"), &["tenant"]) && !reads(&of("another"), &["tenant"]));
        assert!(!reads(&memory("user", None, Some("2020-01-01T00:00:00Z")), &["user"]));
    }
}
