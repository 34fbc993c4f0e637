//! The wire shapes of the Mission Control contract, v1.
//!
//! The client and the reference backend use the same types, so that they cannot drift apart.
//! A reader ignores fields it does not know; a writer sends only what is asked for.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The version of the contract that this crate speaks.
pub const CONTRACT_VERSION: &str = "v1";

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Nobody has started it.
    Pending,
    /// Somebody is on it.
    InProgress,
    /// It waits for something.
    Blocked,
    /// It is done.
    Completed,
    /// It will not be done.
    Cancelled,
}

impl TaskStatus {
    /// All statuses, in the order a task usually passes through them.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::InProgress, Self::Blocked, Self::Completed, Self::Cancelled];

    /// The status as the wire has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Blocked => "blocked",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::str::FromStr for TaskStatus {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

/// A piece of work of one user; messages and documents hang on it.
///
/// `status` is text and not [`TaskStatus`], because a backend may know more statuses than the
/// contract does and a client must not fail on one it only reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// The backend's id.
    pub id: String,
    /// What it is called; task resolution compares it exactly.
    pub title: String,
    /// One of [`TaskStatus`], or a backend's own.
    #[serde(default)]
    pub status: String,
    /// What is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whatever the creator attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<DateTime<Utc>>,
}

/// `POST /tasks`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateTask {
    /// What it is called.
    pub title: String,
    /// What is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it stands at first; `pending` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// Anything the creator wants to keep with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// `PATCH /tasks/{id}`: only what is present changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpdateTask {
    /// The new status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// The new title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The new description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The new metadata, which replaces the old as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// Who wrote a message.
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
    pub id: String,
    /// The task whose thread it is in.
    #[serde(default)]
    pub task_id: String,
    /// The text, Markdown.
    pub content: String,
    /// `agent` or `user`; text, for backends that know more kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_type: Option<String>,
    /// The agent's role, when an agent wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_role: Option<String>,
    /// Who exactly, in the backend's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// What hangs on it, in the backend's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Value>,
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
}

/// `POST /messages`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateMessage {
    /// The task whose thread it goes to.
    pub task_id: String,
    /// The text, Markdown.
    pub content: String,
    /// Who writes; an agent token may only write as `agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_type: Option<ActorType>,
    /// The role that writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_role: Option<String>,
    /// Who exactly, in the backend's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// What hangs on it, in the backend's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Value>,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// A document: a plan, a report, a deliverable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// The backend's id.
    pub id: String,
    /// What it is called.
    #[serde(default)]
    pub title: String,
    /// The text, Markdown. The answer to a create, and lists, may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// `plan`, `research`, `deliverable`, `standup`, or any other text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_type: Option<String>,
    /// The task it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
}

/// `POST /documents`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateDocument {
    /// What it is called.
    pub title: String,
    /// The text, Markdown.
    pub content: String,
    /// `plan`, `research`, `deliverable`, `standup`, or any other text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_type: Option<String>,
    /// The task it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// A notification that waits for an agent or was read by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Notification {
    /// The backend's id.
    pub id: String,
    /// The tenant.
    #[serde(default)]
    pub user_id: String,
    /// The session it is for, `user:{userId}:{role}`.
    #[serde(default)]
    pub session_key: String,
    /// The text.
    #[serde(default)]
    pub content: String,
    /// The task it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The journaled run that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// Whether somebody has read it.
    #[serde(default)]
    pub read: bool,
    /// Whether the dispatcher has delivered it.
    #[serde(default)]
    pub delivered: bool,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
}

/// `POST /notifications` (internal token).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateNotification {
    /// The tenant; must be the user in `session_key`.
    pub user_id: String,
    /// The session it is for, `user:{userId}:{role}`.
    pub session_key: String,
    /// The text.
    pub content: String,
    /// The task it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// `GET /capabilities`: what the backend offers beyond the required part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Capabilities {
    /// The contract's version, `v1`.
    pub contract_version: String,
    /// Feature name to whether it is offered.
    pub features: BTreeMap<String, bool>,
}

impl Capabilities {
    /// Whether the backend announces an optional feature, by its name in the contract.
    pub fn has(&self, feature: &str) -> bool {
        self.features.get(feature).copied().unwrap_or(false)
    }
}

impl<'de> Deserialize<'de> for Capabilities {
    /// Takes `features` as a map of flags, as a list of names, or as `features_list`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Features {
            Flags(BTreeMap<String, Value>),
            Names(Vec<String>),
        }
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default)]
            contract_version: String,
            #[serde(default)]
            features: Option<Features>,
            #[serde(default)]
            features_list: Option<Vec<String>>,
        }
        let wire = Wire::deserialize(deserializer)?;
        let mut features = match wire.features {
            // A feature may carry a version or settings instead of `true`; only false and null say no.
            Some(Features::Flags(flags)) => flags
                .into_iter()
                .map(|(name, flag)| (name, !matches!(flag, Value::Bool(false) | Value::Null)))
                .collect(),
            Some(Features::Names(names)) => names.into_iter().map(|name| (name, true)).collect(),
            None => BTreeMap::new(),
        };
        for name in wire.features_list.unwrap_or_default() {
            features.insert(name, true);
        }
        Ok(Self { contract_version: wire.contract_version, features })
    }
}

/// One notification that the dispatcher is to forward.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// The notification's id.
    pub notification_id: String,
    /// The tenant.
    pub user_id: String,
    /// The session it is for.
    pub session_key: String,
    /// The text.
    #[serde(default)]
    pub content: String,
    /// The task it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The journaled run that it takes up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// When the notification was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// How often it was tried already, as far as the backend was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Passed on to the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// A notification that was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivered {
    /// The notification's id.
    pub notification_id: String,
    /// The tenant.
    pub user_id: String,
}

/// `POST /dispatch/deliver`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliverMany {
    /// What was delivered.
    pub deliveries: Vec<Delivered>,
}

/// `POST /dispatch/notifications/{id}/fail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryFailure {
    /// What went wrong, a sentence.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether it is to be taken out of the queue.
    pub dead: bool,
}

/// A notification that was given up, with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// The delivery as it was tried.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// Why it was given up.
    pub error: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<DateTime<Utc>>,
}

/// `POST /heartbeat`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatRequest {
    /// The tenant; must be the token's own.
    pub user_id: String,
    /// The agent that woke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The cron tick (RFC 3339); claimed once per user and role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
}

/// The answer to a heartbeat. What else a backend puts in is kept in `extra`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatAnswer {
    /// `ok`.
    #[serde(default)]
    pub status: String,
    /// Whether this caller is the one that claimed the slot; `true` when no slot was named.
    #[serde(default = "yes")]
    pub claimed: bool,
    /// What waits.
    #[serde(default)]
    pub pending: Pending,
    /// Whatever else the backend says.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn yes() -> bool {
    true
}

/// What waits for an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pending {
    /// Notifications that nobody has read.
    #[serde(default)]
    pub notifications: u64,
    /// Tasks that are pending, in progress or blocked.
    #[serde(default)]
    pub tasks: u64,
}

/// `POST /standup`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandupRequest {
    /// Whose day; all users when absent (internal token).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The IANA time zone in which the day is counted.
    pub timezone: String,
    /// The day, `YYYY-MM-DD`; today in that zone when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

/// One line of a standup. Backends may write plain text instead of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum StandupItem {
    /// A task.
    Task {
        /// The task's id.
        id: String,
        /// The task's title.
        title: String,
        /// Whatever else the backend says.
        #[serde(flatten)]
        extra: Map<String, Value>,
    },
    /// A line of text.
    Text(String),
    /// Anything else.
    Other(Value),
}

/// One user's day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Standup {
    /// The day, `YYYY-MM-DD`.
    #[serde(default)]
    pub date: String,
    /// The zone in which it is counted.
    #[serde(default)]
    pub timezone: String,
    /// Whose day.
    #[serde(default)]
    pub user_id: String,
    /// The document in which the backend keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_id: Option<String>,
    /// The day in a few sentences.
    #[serde(default)]
    pub summary: String,
    /// What was finished.
    #[serde(default)]
    pub done: Vec<StandupItem>,
    /// What is being worked on.
    #[serde(default)]
    pub in_progress: Vec<StandupItem>,
    /// What waits.
    #[serde(default)]
    pub blocked: Vec<StandupItem>,
}

/// The answer to `POST /standup`: one day, or one per user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum StandupAnswer {
    /// All users' days (internal token, no `user_id`).
    All {
        /// The day, `YYYY-MM-DD`.
        date: String,
        /// The zone in which it is counted.
        timezone: String,
        /// One per user.
        items: Vec<Standup>,
    },
    /// One user's day.
    One(Standup),
}

/// The shape of every error of the contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// A sentence for a person.
    pub error: String,
    /// A `snake_case` word for a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What else helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}
