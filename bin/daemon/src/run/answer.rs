//! How a run ends: [`RunAnswer`] when it worked, [`RunError`] when it did not.

use std::time::Duration;

use llm::Cost;
use llm::error::{LlmError, LlmErrorKind};
use llm::event::Usage;
use mc_client::error::McError;
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

/// What a failed run has to show: paid work is never dropped.
#[derive(Debug, Clone, Serialize)]
pub struct Produced {
    /// The text so far, or the whole reply.
    pub response: String,
    /// Tokens used.
    pub usage: Usage,
    /// Their price.
    pub cost: Option<Cost>,
    /// This run.
    pub run_id: String,
    /// The task.
    pub task_id: String,
    /// The tools that were called.
    pub steps: Vec<StepReport>,
    /// The reply's id, where the reply was stored and something after it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq)]
pub enum RunErrorKind {
    /// The backend says that the task does not exist.
    TaskNotFound,
    /// The backend is unreachable or overloaded.
    BackendUnavailable,
    /// The backend refuses the agent token.
    BackendAuth,
    /// The backend answered what the contract does not allow.
    BackendRefused(String),
    /// The reply is there but could not be stored.
    ReplyNotStored(String),
    /// The model could not be asked, or did not answer.
    Llm(LlmErrorKind, String),
    /// The model answered nothing.
    EmptyReply,
    /// A content filter stopped the model.
    ContentFiltered,
    /// Somebody cancelled the run, or its key had been cancelled.
    Cancelled,
    /// The run's time is over.
    Timeout,
    /// Too many runs.
    Overloaded,
    /// The money is spent.
    BudgetExceeded(String),
    /// The model's price is not known, so a limit on it cannot hold.
    PriceUnknown(String),
    /// The daemon is stopping.
    Draining,
    /// Another run of the session is going on.
    SessionBusy,
    /// Another instance has taken the session over in the middle of the run.
    SessionLost,
    /// The same key came with another request.
    KeyConflict,
    /// No journaled run has this key.
    RunNotFound,
    /// A fault of ours.
    Internal,
}

/// A failed run.
#[derive(Debug, Clone)]
pub struct RunError {
    /// Why.
    pub kind: RunErrorKind,
    /// For the log: what exactly happened. Never a secret.
    pub cause: String,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
    /// What the run has to show.
    pub produced: Option<Box<Produced>>,
}

impl RunError {
    /// An error with nothing more to say than its kind.
    pub fn new(kind: RunErrorKind) -> Self {
        Self { kind, cause: String::new(), retry_after: None, produced: None }
    }

    /// Adds the cause for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = cause.to_string();
        self
    }

    /// Adds what the run has to show.
    #[must_use]
    pub fn with(mut self, produced: Produced) -> Self {
        self.produced = Some(Box::new(produced));
        self
    }

    /// A failure of the backend before the model was asked.
    pub fn backend(error: &McError) -> Self {
        let kind = if error.is_stale_fence() {
            RunErrorKind::SessionLost
        } else if error.is_auth() {
            RunErrorKind::BackendAuth
        } else if error.is_retryable() {
            RunErrorKind::BackendUnavailable
        } else {
            RunErrorKind::BackendRefused(error.to_string())
        };
        let retry_after = error.retry_after();
        Self { retry_after, ..Self::new(kind) }.caused_by(error)
    }

    /// A failure to store the finished reply.
    pub fn not_stored(error: &McError, produced: Produced) -> Self {
        let kind = if error.is_not_found() {
            RunErrorKind::TaskNotFound
        } else if error.is_stale_fence() {
            RunErrorKind::SessionLost
        } else {
            RunErrorKind::ReplyNotStored(error.to_string())
        };
        let retry_after = error.retry_after();
        Self { retry_after, ..Self::new(kind) }.caused_by(error).with(produced)
    }

    /// A failure of the model.
    pub fn llm(error: LlmError) -> Self {
        let retry_after = error.retry_after;
        let cause = error.cause;
        Self { cause, retry_after, ..Self::new(RunErrorKind::Llm(error.kind, error.message)) }
    }
}
