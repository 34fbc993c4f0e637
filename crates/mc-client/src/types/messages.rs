//! Messages of a task's thread.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::files::{Attachment, FileMeta, FileRef};
use super::{files, lenient};

/// The kind of author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorType {
    /// An agent, with its role in `agent_role`.
    Agent,
    /// A person.
    User,
}

/// A message in a task's thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// The backend's id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: String,
    /// The task whose thread it is in.
    #[serde(default, deserialize_with = "lenient::text")]
    pub task_id: String,
    /// The text, Markdown.
    #[serde(deserialize_with = "lenient::content")]
    pub content: String,
    /// `agent` or `user`; a string, for backends with more kinds.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::optional_text"
    )]
    pub actor_type: Option<String>,
    /// The agent's role, when an agent wrote it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::optional_text"
    )]
    pub agent_role: Option<String>,
    /// The id of the author, in the backend's terms.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::optional_text"
    )]
    pub actor_id: Option<String>,
    /// What is attached: files (feature `files`), or what the backend has, in its own terms.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "files::attachments"
    )]
    pub attachments: Vec<Attachment>,
    /// The content as JSON, where it is the typed result of a run (feature `message_data`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// The question that it asks, or answers (feature `decisions`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_request_id: Option<String>,
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::time")]
    pub created_at: Option<DateTime<Utc>>,
}

impl Message {
    /// The attached files, as they were when the message was written.
    pub fn files(&self) -> impl Iterator<Item = &FileMeta> {
        self.attachments.iter().filter_map(Attachment::file)
    }
}

/// Agents that have handed on to each other without a person in between.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Chain {
    /// The run that it began with.
    pub root_run_key: String,
    /// Their roles, the first one first; the author of a message is the last one.
    pub roles: Vec<String>,
}

/// `POST /messages`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateMessage {
    /// The task whose thread it goes to.
    pub task_id: String,
    /// The text, Markdown.
    pub content: String,
    /// The kind of author. An agent token may only write as `agent`; one with the claim `on_behalf_of` may
    /// store what its user said, as `user` (feature `user_messages`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_type: Option<ActorType>,
    /// The role that writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_role: Option<String>,
    /// The id of the author, in the backend's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// The files to attach, in this order (feature `files`).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "files::named")]
    pub attachments: Vec<FileRef>,
    /// The content as JSON, which the backend keeps with the message (feature `message_data`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// The roles that an agent's message notifies: these and no others (feature `agent_mentions`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mentions: Option<Vec<String>>,
    /// The agents that have notified each other until now; passed on with the deliveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Chain>,
    /// The question that it answers (feature `decisions`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_request_id: Option<String>,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}
