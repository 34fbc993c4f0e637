//! How a run that failed ends.

use std::time::Duration;

use llm::Cost;
use llm::error::{LlmError, LlmErrorKind};
use llm::event::Usage;
use mc_client::error::McError;
use serde::Serialize;

use super::answer::StepReport;

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
