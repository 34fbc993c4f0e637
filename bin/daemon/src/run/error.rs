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

    /// The error's code: what a program tells it by (docs/API.md).
    pub fn code(&self) -> &'static str {
        use RunErrorKind as Kind;
        match &self.kind {
            Kind::TaskNotFound => "task_not_found",
            Kind::BackendUnavailable => "backend_unavailable",
            Kind::BackendAuth => "backend_auth",
            Kind::BackendRefused(_) => "backend_error",
            Kind::ReplyNotStored(_) => "reply_not_stored",
            Kind::Llm(kind, _) => llm_code(kind),
            Kind::EmptyReply => "llm_empty_reply",
            Kind::ContentFiltered => "content_filtered",
            Kind::Cancelled => "run_cancelled",
            Kind::Timeout => "run_timeout",
            Kind::Overloaded => "overloaded",
            Kind::BudgetExceeded(_) => "budget_exceeded",
            Kind::PriceUnknown(_) => "invalid_payload",
            Kind::Draining => "draining",
            Kind::SessionBusy | Kind::SessionLost => "session_busy",
            Kind::KeyConflict => "idempotency_conflict",
            Kind::RunNotFound => "run_not_found",
            Kind::Internal => "internal_error",
        }
    }

    /// The error as a sentence for the caller. Holds no secret.
    pub fn message(&self) -> String {
        use RunErrorKind as Kind;
        let text = match &self.kind {
            Kind::BackendRefused(why) | Kind::BudgetExceeded(why) | Kind::Llm(_, why) => why,
            Kind::ReplyNotStored(why) => {
                return format!("the reply is there (see details) but could not be stored: {why}");
            }
            Kind::PriceUnknown(model) => {
                return format!(
                    "limits.max_cost_usd: cannot hold, because the price of model {model:?} is not \
                     known"
                );
            }
            Kind::TaskNotFound => "the backend has no such task for this user",
            Kind::BackendUnavailable => "the backend cannot be reached or is overloaded",
            Kind::BackendAuth => {
                "the backend refuses the agent token: check AGENT_JWT_SECRET on both sides"
            }
            Kind::EmptyReply => "the model answered nothing",
            Kind::ContentFiltered => "a content filter of the provider stopped the answer",
            Kind::Cancelled => "the run was cancelled",
            Kind::Timeout => "the run's time is over",
            Kind::Overloaded => {
                "the daemon has as many runs as it may (WOMBAT_MAX_CONCURRENT_RUNS)"
            }
            Kind::Draining => "the daemon is stopping; send it again",
            Kind::SessionBusy => "another message of this session is being answered",
            Kind::SessionLost => {
                "another instance has taken this session over in the middle of the run; send it \
                 again"
            }
            Kind::KeyConflict => "the idempotency key belongs to another request",
            Kind::RunNotFound => "there is no journaled run with this key",
            Kind::Internal => "something went wrong inside the daemon; its log says more",
        };
        text.to_owned()
    }
}

fn llm_code(kind: &LlmErrorKind) -> &'static str {
    match kind {
        LlmErrorKind::NotConfigured { .. } => "llm_not_configured",
        LlmErrorKind::Auth { .. } => "llm_auth",
        LlmErrorKind::Unavailable | LlmErrorKind::QuotaExhausted => "llm_unavailable",
        LlmErrorKind::InvalidRequest => "llm_invalid_request",
        LlmErrorKind::ContextTooLong => "context_too_long",
        LlmErrorKind::ContentFiltered => "content_filtered",
        LlmErrorKind::BadAnswer => "llm_bad_answer",
    }
}
