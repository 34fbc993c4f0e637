//! How a run that failed ends: [`RunError`], its code and its sentence. The HTTP status is the api's.

use std::time::Duration;

use daemon_api::Step;
use llm::Cost;
use llm::error::{LlmError, LlmErrorKind};
use llm::event::Usage;
use mc_client::budgets::ScopedBudget;
use mc_client::error::McError;
use mc_client::journal_mac::JournalFault;
use serde::Serialize;
use serde_json::{Value, json};
use wombat_core::workspace::{RoleError, UnknownRole};

use super::answer_json::{write_cost, write_usage};
use super::failure::Failure;
use super::output::Mismatch;

/// When to try again with a provider whose quota, credit or spending limit is used up, where it does not
/// say when it comes back.
const SPENT_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What a failed run produced before it failed: work that was paid for is never dropped.
#[derive(Debug, Clone, Serialize)]
pub struct Produced {
    /// The text so far, or the complete reply.
    pub response: String,
    /// Tokens used.
    #[serde(serialize_with = "write_usage")]
    pub usage: Usage,
    /// Their price.
    #[serde(serialize_with = "write_cost")]
    pub cost: Cost,
    /// This run.
    pub run_id: String,
    /// The task.
    pub task_id: String,
    /// The tools that were called.
    pub steps: Vec<Step>,
    /// The reply's id, where the reply was stored and something after it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq)]
pub enum RunErrorKind {
    /// The backend has no such task.
    TaskNotFound,
    /// The backend is unreachable or overloaded.
    BackendUnavailable,
    /// Something between here and the backend answered in its place.
    BackendInBetween(String),
    /// The backend rejects the agent token: the sentence on it.
    BackendAuth(String),
    /// The backend answered with something that the contract does not allow.
    BackendRefused(String),
    /// The reply was generated but could not be stored.
    ReplyNotStored(String),
    /// The model call failed.
    Llm(LlmErrorKind, String),
    /// The model's answer was empty.
    EmptyReply,
    /// A content filter stopped the model.
    ContentFiltered,
    /// The reply never fitted the schema of the run's output.
    SchemaMismatch(Box<Mismatch>),
    /// The run was cancelled, or its key had been cancelled before.
    Cancelled,
    /// The run timed out.
    Timeout,
    /// All run slots are taken.
    Overloaded,
    /// A budget or cost limit is used up.
    BudgetExceeded(String),
    /// A budget of the backend's is used up: the sentence, and which one, where the backend names it.
    BudgetSpent(String, Option<Box<ScopedBudget>>),
    /// The model's price is unknown, so that a cost limit cannot be enforced.
    PriceUnknown(String),
    /// The daemon is shutting down.
    Draining,
    /// Another run of the session is in flight.
    SessionBusy,
    /// The session's lease was lost: another instance has taken over in the middle of the run.
    SessionLost,
    /// The idempotency key belongs to another request.
    KeyConflict,
    /// No journaled run has this key.
    RunNotFound,
    /// The backend lacks a feature that the request needs.
    FeatureMissing(&'static str),
    /// The user has no such file.
    FileNotFound(String),
    /// The files of the message are too large together: the limit in bytes.
    FilesTooLarge(usize),
    /// The backend does not take a file: its code, its sentence, its details.
    FileRefused(Box<FileRefusal>),
    /// As many messages of the session wait as may.
    QueueFull,
    /// No instance works on the run, and none will.
    Stalled,
    /// The run has failed at another instance: why. Callers are told that failure, with its own code.
    FailedElsewhere(Box<Failure>),
    /// The run's journal is not what a daemon wrote for this run.
    JournalRejected(String),
    /// The workspace has no such role.
    UnknownRole(Box<UnknownRole>),
    /// A file of rules cannot be used, so that no run may start.
    PolicyInvalid(String),
    /// The customer's profile cannot be used: why.
    ProfileInvalid(String),
    /// The customer's profile cannot be read, or the backend lacks a feature that it has to have: why.
    ProfileUnreadable(String),
    /// The backend has no profile for the role, and so does not know it.
    RoleWithoutProfile(String),
    /// The workspace cannot be read, so that no run may start.
    WorkspaceUnreadable(String),
    /// An internal error.
    Internal,
}

/// Why the backend does not take a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRefusal {
    /// `file_too_large` or `quota_exceeded`.
    pub code: &'static str,
    /// The sentence.
    pub error: String,
    /// The backend's details.
    pub details: Value,
}

/// A failed run.
#[derive(Debug, Clone)]
pub struct RunError {
    /// Why.
    pub kind: RunErrorKind,
    /// What exactly happened, for the log. Never holds a secret.
    pub cause: String,
    /// When a retry is worthwhile.
    pub retry_after: Option<Duration>,
    /// What the run produced before it failed.
    pub produced: Option<Box<Produced>>,
}

impl RunError {
    /// An error of a kind, without further details.
    pub fn new(kind: RunErrorKind) -> Self {
        Self { kind, cause: String::new(), retry_after: None, produced: None }
    }

    /// Adds the cause for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = cause.to_string();
        self
    }

    /// Adds what the run produced before it failed.
    #[must_use]
    pub fn with(mut self, produced: Produced) -> Self {
        self.produced = Some(Box::new(produced));
        self
    }

    /// A failed call of the backend.
    pub fn backend(error: &McError) -> Self {
        let kind = if error.is_stale_fence() {
            RunErrorKind::SessionLost
        } else if error.is_user_erased() {
            RunErrorKind::Cancelled
        } else if error.is_auth() {
            RunErrorKind::BackendAuth(error.rejection_there())
        } else if error.is_in_between() || error.is_tls() {
            RunErrorKind::BackendInBetween(error.to_string())
        } else if error.is_retryable() {
            RunErrorKind::BackendUnavailable
        } else {
            RunErrorKind::BackendRefused(error.to_string())
        };
        let retry_after = error.retry_after();
        Self { retry_after, ..Self::new(kind) }.caused_by(error)
    }

    /// A journal that cannot be trusted.
    pub fn journal_rejected(fault: &JournalFault) -> Self {
        Self::new(RunErrorKind::JournalRejected(format!(
            "the run's journal cannot be trusted, so the run does not go on from it: {fault}. It was \
             written or changed by somebody else, or sealed with another key. If the key was \
             changed, set the old one as WOMBAT_JOURNAL_KEY_PREVIOUS; else send the message again \
             with a new idempotency key"
        )))
        .caused_by(fault)
    }

    /// A failure to store the finished reply.
    pub fn not_stored(error: &McError, produced: Produced) -> Self {
        let kind = if error.is_not_found() {
            RunErrorKind::TaskNotFound
        } else if error.is_stale_fence() {
            RunErrorKind::SessionLost
        } else if error.is_user_erased() {
            RunErrorKind::Cancelled
        } else {
            RunErrorKind::ReplyNotStored(error.to_string())
        };
        let retry_after = error.retry_after();
        Self { retry_after, ..Self::new(kind) }.caused_by(error).with(produced)
    }

    /// A failure of the model.
    pub fn llm(error: LlmError) -> Self {
        // A spent account comes back when somebody pays, so whoever waits is to ask now and then.
        let is_spent = error.kind == LlmErrorKind::QuotaExhausted;
        let retry_after = error.retry_after.or(is_spent.then_some(SPENT_RETRY_AFTER));
        let cause = error.cause;
        Self { cause, retry_after, ..Self::new(RunErrorKind::Llm(error.kind, error.message)) }
    }

    /// The error's stable code for programs (docs/API.md).
    pub fn code(&self) -> &'static str {
        use RunErrorKind as Kind;
        match &self.kind {
            Kind::TaskNotFound => "task_not_found",
            Kind::BackendUnavailable | Kind::BackendInBetween(_) | Kind::ProfileUnreadable(_) => {
                "backend_unavailable"
            }
            Kind::ProfileInvalid(_) => "profile_invalid",
            Kind::BackendAuth(_) => "backend_auth",
            Kind::BackendRefused(_) => "backend_error",
            Kind::ReplyNotStored(_) => "reply_not_stored",
            Kind::Llm(kind, _) => llm_code(kind),
            Kind::EmptyReply => "llm_empty_reply",
            Kind::ContentFiltered => "content_filtered",
            Kind::SchemaMismatch(_) => "schema_mismatch",
            Kind::Cancelled => "run_cancelled",
            Kind::Timeout => "run_timeout",
            Kind::Overloaded => "overloaded",
            Kind::BudgetExceeded(_) | Kind::BudgetSpent(..) => "budget_exceeded",
            Kind::PriceUnknown(_) => "invalid_payload",
            Kind::Draining => "draining",
            Kind::SessionBusy | Kind::SessionLost => "session_busy",
            Kind::KeyConflict => "idempotency_conflict",
            Kind::RunNotFound => "run_not_found",
            Kind::FeatureMissing(_) => "feature_missing",
            Kind::FileNotFound(_) => "file_not_found",
            Kind::FilesTooLarge(_) => "payload_too_large",
            Kind::FileRefused(refusal) => refusal.code,
            Kind::QueueFull => "session_queue_full",
            Kind::Stalled => "run_stalled",
            Kind::FailedElsewhere(_) => "run_failed",
            Kind::JournalRejected(_) => "journal_rejected",
            Kind::UnknownRole(_) | Kind::RoleWithoutProfile(_) => "unknown_role",
            Kind::PolicyInvalid(_) => "policy_invalid",
            Kind::WorkspaceUnreadable(_) => "workspace_unreadable",
            Kind::Internal => "internal_error",
        }
    }

    /// The error as a sentence for the caller. Holds no secret.
    pub fn message(&self) -> String {
        use RunErrorKind as Kind;
        let text = match &self.kind {
            Kind::BackendRefused(why)
            | Kind::BackendInBetween(why)
            | Kind::BudgetExceeded(why)
            | Kind::BudgetSpent(why, _)
            | Kind::JournalRejected(why)
            | Kind::Llm(_, why)
            | Kind::PolicyInvalid(why)
            | Kind::ProfileInvalid(why)
            | Kind::ProfileUnreadable(why)
            | Kind::WorkspaceUnreadable(why) => why,
            Kind::FailedElsewhere(failure) => &failure.error,
            Kind::UnknownRole(unknown) => return unknown.to_string(),
            Kind::RoleWithoutProfile(role) => {
                return format!(
                    "the backend does not know the role {role:?} (GET /profile answers 404), so that no run \
                     of it starts"
                );
            }
            Kind::ReplyNotStored(why) => {
                return format!(
                    "the reply was generated (see details) but could not be stored: {why}"
                );
            }
            Kind::PriceUnknown(model) => {
                return format!(
                    "limits.max_cost_usd: cannot be enforced, because the price of model {model:?} \
                     is unknown"
                );
            }
            Kind::TaskNotFound => "the backend has no such task for this user",
            Kind::BackendUnavailable => "the backend is unreachable or overloaded",
            Kind::BackendAuth(sentence) => return sentence.clone(),
            Kind::EmptyReply => "the model returned an empty answer",
            Kind::ContentFiltered => "the provider's content filter blocked the answer",
            Kind::SchemaMismatch(_) => {
                "the model's reply does not fit the schema of output, even after two corrections \
                 (see details.errors); ask for less, or loosen the schema"
            }
            Kind::Cancelled => "the run was cancelled",
            Kind::Timeout => "the run timed out",
            Kind::Overloaded => {
                "the daemon is at its limit of concurrent runs (WOMBAT_MAX_CONCURRENT_RUNS); retry later"
            }
            Kind::Draining => "the daemon is shutting down; retry the request",
            Kind::SessionBusy => "another message of this session is being processed",
            Kind::SessionLost => {
                "the session's lease was lost to another instance during the run; retry the request"
            }
            Kind::KeyConflict => "the idempotency key was already used for a different request",
            Kind::RunNotFound => "there is no journaled run with this key",
            Kind::FileNotFound(file_id) => {
                return format!("the user has no file with the id {file_id:?}, or no longer");
            }
            Kind::FilesTooLarge(most) => {
                return format!(
                    "the files of a message may have {most} bytes together (WOMBAT_ATTACHMENTS_MAX_BYTES)"
                );
            }
            Kind::FileRefused(refusal) => return refusal.error.clone(),
            Kind::FeatureMissing("files") => {
                "a file_id needs a backend with the feature files, which this one does not announce in \
                 /capabilities; send the file itself (name, media_type, data)"
            }
            Kind::FeatureMissing(feature) => {
                return format!(
                    "a run that goes on without its caller needs a backend with the feature {feature}, \
                     which this one does not announce in /capabilities"
                );
            }
            Kind::Stalled => {
                "no instance works on this run any more, and the backend hands it on to none (feature \
                 orphans); send its key again, or cancel it"
            }
            Kind::QueueFull => {
                "as many messages of this session wait for their turn as may \
                 (WOMBAT_MAX_QUEUED_PER_SESSION); retry later"
            }
            Kind::Internal => "internal error; see the daemon's log",
        };
        text.to_owned()
    }
}

impl RunError {
    /// What the caller gets besides code and sentence.
    pub fn details(&self) -> Value {
        match (&self.kind, &self.produced) {
            (RunErrorKind::UnknownRole(unknown), _) => json!({
                "role": unknown.role,
                "nearest": unknown.nearest,
                "known_roles": unknown.known,
                "total_roles": unknown.total,
            }),
            (RunErrorKind::BudgetSpent(_, Some(budget)), produced) => {
                let mut details = of_produced(produced.as_deref());
                details["budget"] = json!(budget);
                details
            }
            (RunErrorKind::SchemaMismatch(mismatch), produced) => {
                let mut details = of_produced(produced.as_deref());
                details["errors"] = json!(mismatch.errors);
                details["output"] = mismatch.output.clone();
                details
            }
            (RunErrorKind::FailedElsewhere(failure), _) => failure.details.clone(),
            (RunErrorKind::FileNotFound(file_id), _) => json!({ "file_id": file_id }),
            (RunErrorKind::FilesTooLarge(most), _) => json!({ "max_bytes": most }),
            (RunErrorKind::FileRefused(refusal), _) => refusal.details.clone(),
            (RunErrorKind::FeatureMissing(feature), _) => json!({ "feature": feature }),
            (_, produced) => of_produced(produced.as_deref()),
        }
    }
}

fn of_produced(produced: Option<&Produced>) -> Value {
    produced
        .map_or_else(|| json!({}), |produced| serde_json::to_value(produced).unwrap_or_default())
}

impl From<RoleError> for RunError {
    fn from(error: RoleError) -> Self {
        let why = error.to_string();
        let kind = match error {
            RoleError::Unknown(unknown) => RunErrorKind::UnknownRole(unknown),
            RoleError::Policy(_) => RunErrorKind::PolicyInvalid(why),
            RoleError::Workspace(_) => RunErrorKind::WorkspaceUnreadable(why),
        };
        Self::new(kind)
    }
}

fn llm_code(kind: &LlmErrorKind) -> &'static str {
    match kind {
        LlmErrorKind::NotConfigured { .. } => "llm_not_configured",
        LlmErrorKind::Auth { .. } => "llm_auth",
        LlmErrorKind::Unavailable | LlmErrorKind::QuotaExhausted => "llm_unavailable",
        LlmErrorKind::InvalidRequest => "llm_invalid_request",
        LlmErrorKind::Rejected => "llm_rejected",
        LlmErrorKind::ContextTooLong => "context_too_long",
        LlmErrorKind::ContentFiltered => "content_filtered",
        LlmErrorKind::BadAnswer | LlmErrorKind::ForbiddenCall => "llm_bad_answer",
    }
}
