//! The journal of runs (feature `run_journal`; docs/RUNS.md, "Nothing twice, nothing lost").

use chrono::{DateTime, Utc};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::call::{Call, MAX_RUN_BYTES};
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::url::{path, with_query};

/// The status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// An instance works on it, or died while it did.
    Running,
    /// Its reply is stored. Final.
    Completed,
    /// It ended with an error; its key may be sent again.
    Failed,
    /// It was interrupted; its key may be sent again.
    Interrupted,
    /// It was cancelled. Final.
    Cancelled,
    /// It waits for the approval of tool requests.
    AwaitingApproval,
    /// It waits for the answer to a question.
    AwaitingAnswer,
}

impl RunStatus {
    /// All statuses.
    pub const ALL: [Self; 7] = [
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Interrupted,
        Self::Cancelled,
        Self::AwaitingApproval,
        Self::AwaitingAnswer,
    ];

    /// The status as it is transmitted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
            Self::AwaitingApproval => "awaiting_approval",
            Self::AwaitingAnswer => "awaiting_answer",
        }
    }

    /// Whether the status never changes again.
    pub fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Cancelled => true,
            Self::Running
            | Self::Failed
            | Self::Interrupted
            | Self::AwaitingApproval
            | Self::AwaitingAnswer => false,
        }
    }
}

impl std::str::FromStr for RunStatus {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

/// One entry of a run's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunStep {
    /// Its place, from 0.
    pub index: u32,
    /// Its kind in the daemon's terms: the request, a turn of the model, a tool's result.
    pub kind: String,
    /// Its content.
    pub payload: Value,
}

/// The details of 409 `step_exists`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExistingStep {
    /// The step that is there.
    pub step: RunStep,
}

/// `PUT /runs/{run_key}/steps/{index}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PutStep {
    /// Its kind.
    pub kind: String,
    /// Its content.
    pub payload: Value,
}

/// `PUT /runs/{run_key}`: only what is present changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PutRun {
    /// The session that it answers, `user:{userId}:{role}`; required at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_key: Option<String>,
    /// The task that it works on; required at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The new status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RunStatus>,
    /// The digest of the workspace that its prompt was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_digest: Option<String>,
    /// The name of that workspace among those of the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The digest of the customer's profile that narrows it (feature `profile`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_digest: Option<String>,
    /// Whether it goes on without its caller, at whichever instance (feature `orphans`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detached: Option<bool>,
    /// The run that asked for it and answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_run_key: Option<String>,
    /// Further data, such as usage, cost or an error.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The answer to a `PUT` of a run or a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunNote {
    /// The run's key.
    #[serde(default)]
    pub run_key: String,
    /// The status of the run; one of [`RunStatus`], or a backend's own.
    #[serde(default)]
    pub status: String,
    /// Whether the run is to be cancelled.
    #[serde(default)]
    pub cancel_requested: bool,
}

/// A run with its journal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Its key.
    pub run_key: String,
    /// Its status; one of [`RunStatus`], or a backend's own.
    #[serde(default)]
    pub status: String,
    /// The session that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_key: Option<String>,
    /// The task that it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The digest of the workspace that its prompt was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_digest: Option<String>,
    /// The name of that workspace among those of the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The digest of the customer's profile that narrows it (feature `profile`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_digest: Option<String>,
    /// Whether it goes on without its caller, at whichever instance (feature `orphans`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detached: bool,
    /// The run that asked for it and answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_run_key: Option<String>,
    /// Whether it is to be cancelled.
    #[serde(default)]
    pub cancel_requested: bool,
    /// The journal, in order.
    #[serde(default)]
    pub steps: Vec<RunStep>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<DateTime<Utc>>,
    /// Further data.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Run {
    /// Its status, if that is one of the contract's.
    pub fn known_status(&self) -> Option<RunStatus> {
        self.status.parse().ok()
    }
}

impl McError {
    /// The step that the journal already has at this place, if that is why another was rejected.
    pub fn existing_step(&self) -> Option<RunStep> {
        match self {
            Self::Status { status: 409, code: Some(code), details: Some(details), .. }
                if code == "step_exists" =>
            {
                ExistingStep::deserialize(&**details).ok().map(|existing| existing.step)
            }
            Self::Status { .. }
            | Self::InBetween { .. }
            | Self::Unreachable { .. }
            | Self::Timeout
            | Self::BadAnswer { .. }
            | Self::Token(_) => None,
        }
    }
}

/// An object, or `None` when the backend answers 404.
fn found<T>(answer: Result<T, McError>) -> Result<Option<T>, McError> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

impl AgentClient {
    /// A run of the token's own role with its journal; `None` when there is none with this key. The role
    /// is named, because a backend lets leads read other roles' runs, too.
    pub async fn run(&self, run_key: &str) -> Result<Option<Run>, McError> {
        let role = self.caller.role().map(str::to_owned);
        found(self.caller.fetch(whole(run_key, &[("role", role)])).await)
    }

    /// Where a run of the token's own role stands, without its journal: cheap, to be asked often. A
    /// backend that does not know `steps=false` sends the journal, too.
    pub async fn run_state(&self, run_key: &str) -> Result<Option<Run>, McError> {
        let role = self.caller.role().map(str::to_owned);
        let query = [("steps", Some("false".to_owned())), ("role", role)];
        found(self.caller.fetch(whole(run_key, &query)).await)
    }

    /// Creates or updates a run. The first call names session and task.
    pub async fn put_run(&self, run_key: &str, run: &PutRun) -> Result<RunNote, McError> {
        self.caller.fetch(Call::new(Method::PUT, &path(&["runs", run_key])).json(run)?).await
    }

    /// Writes a step of the journal. Idempotent; when another step has this index, the error contains
    /// it ([`McError::existing_step`]).
    pub async fn put_step(
        &self,
        run_key: &str,
        index: u32,
        step: &PutStep,
    ) -> Result<RunNote, McError> {
        let url = path(&["runs", run_key, "steps", &index.to_string()]);
        self.caller.fetch(Call::new(Method::PUT, &url).json(step)?).await
    }

    /// Requests the cancellation of a run, on whichever instance it is.
    pub async fn cancel_run(&self, run_key: &str) -> Result<RunNote, McError> {
        self.caller.fetch(cancel(run_key)?).await
    }
}

impl InternalClient {
    /// The run of a role, for the user that [`InternalClient::on_behalf_of`] names; `None` when there is none.
    pub async fn run_of(&self, run_key: &str, role: &str) -> Result<Option<Run>, McError> {
        found(self.caller.fetch(whole(run_key, &[("role", Some(role.to_owned()))])).await)
    }

    /// As [`AgentClient::run`], for the user that [`InternalClient::on_behalf_of`] names.
    pub async fn run(&self, run_key: &str) -> Result<Option<Run>, McError> {
        found(self.caller.fetch(whole(run_key, &[])).await)
    }

    /// As [`AgentClient::cancel_run`], for that user.
    pub async fn cancel_run(&self, run_key: &str) -> Result<RunNote, McError> {
        self.caller.fetch(cancel(run_key)?).await
    }
}

/// A run with its whole journal.
fn whole(run_key: &str, query: &[(&str, Option<String>)]) -> Call {
    let url = with_query(path(&["runs", run_key]), query);
    Call { max_bytes: MAX_RUN_BYTES, ..Call::get(&url) }
}

fn cancel(run_key: &str) -> Result<Call, McError> {
    let call = Call::new(Method::POST, &path(&["runs", run_key, "cancel"]));
    Ok(call.json(&Value::Object(Map::new()))?.repeatable())
}
