//! Notifications.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::lenient;

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
