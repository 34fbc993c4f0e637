//! Tasks.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::lenient;

/// The status of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// It has not been started.
    Pending,
    /// It is being worked on.
    InProgress,
    /// It is blocked by something.
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

    /// The status as it is transmitted.
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

/// A task of one user, with messages and documents.
///
/// `status` is a string and not [`TaskStatus`], because a backend may have more statuses than the
/// contract, and a client must not fail on one that it only reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// The backend's id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: String,
    /// The title; tasks are looked up by its exact text.
    #[serde(deserialize_with = "lenient::text")]
    pub title: String,
    /// One of [`TaskStatus`], or a backend's own.
    #[serde(default, deserialize_with = "lenient::text")]
    pub status: String,
    /// The description.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::optional_text"
    )]
    pub description: Option<String>,
    /// Data that the creator attached.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::object"
    )]
    pub metadata: Option<Map<String, Value>>,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::time")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it last changed.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::time")]
    pub updated_at: Option<DateTime<Utc>>,
}

/// `POST /tasks`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateTask {
    /// The title.
    pub title: String,
    /// The description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The initial status; `pending` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// Data to attach.
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

/// `GET /tasks`.
#[derive(Debug, Clone, Default)]
pub struct TaskQuery {
    /// Items of a page, 1 to 200.
    pub limit: Option<u32>,
    /// The cursor of the page.
    pub cursor: Option<String>,
    /// Only tasks of this status.
    pub status: Option<String>,
    /// Only tasks with exactly this title; a backend may ignore it.
    pub title: Option<String>,
}
