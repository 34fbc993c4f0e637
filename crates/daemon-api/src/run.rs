//! Runs that outlive their callers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::handing_on::ChildRun;
use crate::tool_request::ToolRequest;

/// The body of 202, the answer of `POST /api/agents/runs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RunAccepted))]
pub struct Accepted {
    /// The run's key, 64 hexadecimal digits.
    pub run_key: String,
    /// The task that the reply belongs to.
    pub task_id: String,
    /// Where the run stands: `queued`, `running`, `awaiting_approval`, `awaiting_answer`, `completed`,
    /// `failed` or `interrupted`.
    pub status: String,
    /// Where it can be followed: a path with its query.
    pub stream: String,
    /// Whether there was such a run before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<bool>,
}

/// The body of `GET /api/agents/runs/{run_key}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunReport {
    /// The run's key.
    pub run_key: String,
    /// The task that the reply belongs to.
    pub task_id: String,
    /// As in [`Accepted`], or `cancelled`.
    pub status: String,
    /// When it began.
    pub created_at: Option<String>,
    /// When it last changed.
    pub updated_at: Option<String>,
    /// The steps of its journal: `index`, `kind`, what they say of the turn or the tool, and the ids of
    /// their events (`first_event`, `last_event`).
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub steps: Vec<Value>,
    /// The id of the newest event; 0 before the first.
    pub last_event_id: i64,
    /// The answer as `send` gives it, where the run is completed or waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub answer: Option<Value>,
    /// `{status, error, code, details}`, where it failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub error: Option<Value>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_requests: Option<Vec<ToolRequest>>,
    /// The runs that it asked for (`ask_agent`), in the order of the calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<Vec<ChildRun>>,
    /// The run that asked for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_run_key: Option<String>,
}
