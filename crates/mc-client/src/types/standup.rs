//! Standups.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::lenient;

/// `POST /standup`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandupRequest {
    /// The user; all users when absent (internal token).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The IANA time zone of the day.
    pub timezone: String,
    /// The day, `YYYY-MM-DD`; today in that zone when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

/// One item of a standup. Backends may write plain text instead of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum StandupItem {
    /// A task.
    Task {
        /// The task's id.
        id: String,
        /// The task's title.
        title: String,
        /// Further fields.
        #[serde(flatten)]
        extra: Map<String, Value>,
    },
    /// A line of text.
    Text(String),
    /// Anything else.
    Other(Value),
}

/// The standup of one user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Standup {
    /// The day, `YYYY-MM-DD`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub date: String,
    /// The time zone of the day.
    #[serde(default, deserialize_with = "lenient::text")]
    pub timezone: String,
    /// The user.
    #[serde(default, deserialize_with = "lenient::text")]
    pub user_id: String,
    /// The document that the backend stores it in.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::optional_text"
    )]
    pub document_id: Option<String>,
    /// The summary in a few sentences.
    #[serde(default, deserialize_with = "lenient::content")]
    pub summary: String,
    /// What was finished.
    #[serde(default, deserialize_with = "lenient::list")]
    pub done: Vec<StandupItem>,
    /// What is being worked on.
    #[serde(default, deserialize_with = "lenient::list")]
    pub in_progress: Vec<StandupItem>,
    /// What is blocked.
    #[serde(default, deserialize_with = "lenient::list")]
    pub blocked: Vec<StandupItem>,
}

/// The answer to `POST /standup`: the standup of one user, or of all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum StandupAnswer {
    /// The standups of all users (internal token, no `user_id`).
    All {
        /// The day, `YYYY-MM-DD`.
        #[serde(default, deserialize_with = "lenient::text")]
        #[schema(required = true)]
        date: String,
        /// The time zone of the day.
        #[serde(default, deserialize_with = "lenient::text")]
        #[schema(required = true)]
        timezone: String,
        /// One per user.
        items: Vec<Standup>,
    },
    /// The standup of one user.
    One(Standup),
}
