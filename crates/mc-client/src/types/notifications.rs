//! Notifications.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::lenient;

/// The most characters of a `collapse_key`.
pub const MAX_COLLAPSE_KEY: usize = 64;

/// How urgent a notification is. A session goes by the highest of what waits for it.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// After all others.
    Low,
    /// As those that say nothing.
    #[default]
    Normal,
    /// Before all others, and in quiet hours too.
    High,
}

/// A notification for an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Notification {
    /// The backend's id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: String,
    /// The tenant.
    #[serde(default, deserialize_with = "lenient::text")]
    pub user_id: String,
    /// The session it is for, `user:{userId}:{role}`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub session_key: String,
    /// The text.
    #[serde(default, deserialize_with = "lenient::content")]
    pub content: String,
    /// The task it is about.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::optional_text"
    )]
    pub task_id: Option<String>,
    /// The journaled run that it is about.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::optional_text"
    )]
    pub run_key: Option<String>,
    /// Whether it has been read.
    #[serde(default)]
    pub read: bool,
    /// Whether the dispatcher has delivered it.
    #[serde(default)]
    pub delivered: bool,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::time")]
    pub created_at: Option<DateTime<Utc>>,
    /// Under which it takes the place of an older one of its session (feature `delivery_options`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapse_key: Option<String>,
    /// How urgent it is, where that was said (feature `delivery_options`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// How many others it has taken in, where it has any (feature `delivery_options`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapsed: Option<u64>,
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
    /// Replaces the content of the one that waits under this key in the same session (feature
    /// `delivery_options`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapse_key: Option<String>,
    /// How urgent it is; `normal` when absent (feature `delivery_options`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}
