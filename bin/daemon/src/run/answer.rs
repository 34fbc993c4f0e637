//! How a run that worked ends.

use llm::Cost;
use llm::event::Usage;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The answer of `send`, and with a few fields less of `stream`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunAnswer {
    /// `ok`, or `awaiting_approval` where tools wait for a person.
    pub status: &'static str,
    /// This run.
    pub run_id: String,
    /// The task that the reply belongs to.
    pub task_id: String,
    /// The trace of the request.
    pub trace_id: String,
    /// The stored reply; `null` when nothing was stored (`silent`).
    pub message_id: Option<String>,
    /// The reply.
    pub response: String,
    /// Tokens of all model calls of the run.
    #[schema(value_type = UsageShape)]
    pub usage: Usage,
    /// Their price; `null` when a model's price is not known.
    #[schema(value_type = Option<Object>)]
    pub cost: Option<Cost>,
    /// The model that wrote the reply; `null` when none was asked.
    pub model: Option<String>,
    /// Its provider.
    pub provider: Option<String>,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// The tools that were called, in order.
    pub steps: Vec<StepReport>,
    /// What the workspace was when the run began.
    pub workspace_digest: String,
    /// The plan document of a kickoff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_document_id: Option<String>,
    /// The prompt is close to what the model can read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_warning: Option<String>,
    /// The reply had been stored by an earlier run with the same key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed: Option<bool>,
    /// There was nothing to say, and nothing was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// What takes the run up again (`resume_run_key`), where it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// The calls that wait for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_requests: Option<Vec<ToolRequestReport>>,
}

/// A tool call that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ToolRequestReport {
    /// The backend's id of the request.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// What it would be called with.
    pub arguments: Value,
}

/// The documented form of `usage`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a foreign type in the OpenAPI document")]
pub struct UsageShape {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    cached_tokens: u64,
}

/// One tool call as the answer reports it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StepReport {
    /// `tool`.
    pub kind: &'static str,
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub arguments: Value,
    /// Whether it did what was asked.
    pub ok: bool,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
}
