//! Standups.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

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
