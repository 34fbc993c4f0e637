//! Documents.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::lenient;

/// A document, such as a plan, a report or a deliverable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// The backend's id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: String,
    /// The title.
    #[serde(default, deserialize_with = "lenient::text")]
    pub title: String,
    /// The text, Markdown. The answer to a create, and lists, may leave it out.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::optional_content"
    )]
    pub content: Option<String>,
    /// `plan`, `research`, `deliverable`, `standup`, or any other type.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::optional_text"
    )]
    pub doc_type: Option<String>,
    /// The task it belongs to.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::optional_text"
    )]
    pub task_id: Option<String>,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::time")]
    pub created_at: Option<DateTime<Utc>>,
}

/// `POST /documents`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateDocument {
    /// The title.
    pub title: String,
    /// The text, Markdown.
    pub content: String,
    /// `plan`, `research`, `deliverable`, `standup`, or any other type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_type: Option<String>,
    /// The task it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}
