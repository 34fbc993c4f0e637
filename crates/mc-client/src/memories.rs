//! What is remembered from run to run: of a user, of a task, of a tenant (feature `memories`).

use chrono::{DateTime, Utc};
use http::Method;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::call::{Call, IDEMPOTENCY_KEY};
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::types::Page;
use crate::url::{path, with_query};

/// The most characters of a memory.
pub const MAX_TEXT: usize = 1_000;

/// The most characters of a search.
pub const MAX_QUERY: usize = 500;

/// Whose a memory is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MemoryScope {
    /// One user's: all roles of that user have it.
    User,
    /// A task's.
    Task,
    /// A tenant's: all its users have it. Only a service writes it.
    Tenant,
}

impl MemoryScope {
    /// All scopes.
    pub const ALL: [Self; 3] = [Self::User, Self::Task, Self::Tenant];

    /// The scope as it is transmitted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Task => "task",
            Self::Tenant => "tenant",
        }
    }
}

impl std::str::FromStr for MemoryScope {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(())
    }
}

/// Where a memory comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemorySource {
    /// The run that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// The message that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

impl MemorySource {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.run_key.is_none() && self.message_id.is_none()
    }
}

/// What wrote a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthorKind {
    /// An agent; `id` is its role.
    Agent,
    /// A person; `id` is the user.
    Person,
    /// A service that holds the internal token.
    Service,
}

impl AuthorKind {
    /// The kind as it is transmitted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Person => "person",
            Self::Service => "service",
        }
    }
}

impl std::str::FromStr for AuthorKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Agent, Self::Person, Self::Service]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(())
    }
}

/// Who wrote what a memory says now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryAuthor {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: AuthorKind,
    /// An agent's role, a person's user id, a service's name.
    pub id: String,
}

/// `POST /memories`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateMemory {
    /// Whose it is.
    pub scope: MemoryScope,
    /// The user, where a service acts for nobody in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The task of the scope `task`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The tenant of the scope `tenant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// What is remembered: at most 1,000 characters.
    pub text: String,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<MemorySource>,
    /// When it is forgotten; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// A memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Memory {
    /// The backend's id.
    pub id: String,
    /// Whose it is.
    pub scope: MemoryScope,
    /// The user of the scopes `user` and `task`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The task of the scope `task`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The tenant of the scope `tenant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// What is remembered.
    pub text: String,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<MemorySource>,
    /// When it is forgotten; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// Who wrote what it says now.
    pub author: MemoryAuthor,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<DateTime<Utc>>,
    /// Whether a create found this one, which says the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deduplicated: bool,
}

/// `PATCH /memories/{id}`: only what is given changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpdateMemory {
    /// What is remembered from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When it is forgotten; null for never.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub expires_at: Option<Option<DateTime<Utc>>>,
}

/// A field that is there: null is a value.
fn given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<DateTime<Utc>>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// `GET /memories`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryQuery {
    /// Only of this scope.
    pub scope: Option<MemoryScope>,
    /// No task's but this one's.
    pub task_id: Option<String>,
    /// The words to look for: those that fit best come first.
    pub q: Option<String>,
    /// How many at most.
    pub limit: Option<u32>,
}

fn list(query: &MemoryQuery, cursor: Option<&str>) -> Call {
    let query = [
        ("scope", query.scope.map(|scope| scope.as_str().to_owned())),
        ("task_id", query.task_id.clone()),
        ("q", query.q.clone()),
        ("limit", query.limit.map(|limit| limit.to_string())),
        ("cursor", cursor.map(str::to_owned)),
    ];
    Call::get(&with_query(path(&["memories"]), &query))
}

impl AgentClient {
    /// The memories that the agent may have: newest first, or those first that fit the words best.
    pub async fn memories(&self, query: &MemoryQuery) -> Result<Page<Memory>, McError> {
        self.memories_after(query, None).await
    }

    /// The page of a list without words that a cursor leads to.
    pub async fn memories_after(
        &self,
        query: &MemoryQuery,
        cursor: Option<&str>,
    ) -> Result<Page<Memory>, McError> {
        self.caller.fetch(list(query, cursor)).await
    }

    /// Remembers something.
    pub async fn create_memory(&self, new: &CreateMemory) -> Result<Memory, McError> {
        let key = new.idempotency_key.as_deref();
        self.caller.fetch(Call::create(&path(&["memories"]), new, key)?).await
    }

    /// Forgets a memory that an agent wrote.
    pub async fn delete_memory(&self, id: &str, key: Option<&str>) -> Result<(), McError> {
        let mut call = Call::new(Method::DELETE, &path(&["memories", id]));
        if let Some(key) = key {
            call = call.header(IDEMPOTENCY_KEY, key)?;
        }
        self.caller.send(call).await
    }
}

impl InternalClient {
    /// The memories of the user that [`InternalClient::on_behalf_of`] names, or everybody's.
    pub async fn memories(&self, query: &MemoryQuery) -> Result<Page<Memory>, McError> {
        self.caller.fetch(list(query, None)).await
    }

    /// Remembers something: as that user, or as a service.
    pub async fn create_memory(&self, new: &CreateMemory) -> Result<Memory, McError> {
        let key = new.idempotency_key.as_deref();
        self.caller.fetch(Call::create(&path(&["memories"]), new, key)?).await
    }

    /// Changes a memory.
    pub async fn update_memory(&self, id: &str, update: &UpdateMemory) -> Result<Memory, McError> {
        let call = Call::new(Method::PATCH, &path(&["memories", id])).json(update)?;
        self.caller.fetch(call).await
    }

    /// Forgets a memory.
    pub async fn delete_memory(&self, id: &str) -> Result<(), McError> {
        self.caller.send(Call::new(Method::DELETE, &path(&["memories", id]))).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_expiry_that_is_null_is_taken_away_and_an_absent_one_stays() {
        let read = |value| serde_json::from_value::<UpdateMemory>(value).unwrap().expires_at;
        assert_eq!(read(json!({})), None);
        assert_eq!(read(json!({ "expires_at": null })), Some(None));
        assert!(read(json!({ "expires_at": "2030-01-01T00:00:00Z" })).flatten().is_some());
    }
}
