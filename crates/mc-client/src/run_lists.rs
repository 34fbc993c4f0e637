//! Runs in lists and totals (feature `runs_list`), and what people think of them (feature `feedback`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::InternalClient;
use crate::error::McError;
use crate::types::Page;
use crate::url::{path, with_query};

/// The most characters of message and reply that a daemon sends with a run, and that are searched.
pub const MAX_TEXT: usize = 4_000;

/// How many characters of them a list shows.
pub const SHOWN_TEXT: usize = 200;

/// The most characters of a search.
pub const MAX_QUERY: usize = 500;

/// The most labels of a feedback.
pub const MAX_LABELS: usize = 10;

/// The most characters of a label.
pub const MAX_LABEL: usize = 100;

/// The most characters of a comment.
pub const MAX_COMMENT: usize = 2_000;

/// What a daemon says of a run with `PUT /runs/{run_key}`, beside its status: when it begins, and at its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunFacts {
    /// The model that is to answer, and at last the one that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What all model calls cost, in US dollars; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The beginning of the message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The beginning of the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

impl RunFacts {
    /// The fields that are there, for [`crate::runs::PutRun::extra`].
    pub fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) | Err(_) => Map::new(),
        }
    }
}

/// How many people found a run good or bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ratings {
    /// Good.
    pub up: u32,
    /// Bad.
    pub down: u32,
}

/// A run in a list: `GET /runs`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListedRun {
    /// Its key.
    pub run_key: String,
    /// Its status; one of [`crate::runs::RunStatus`], or a backend's own.
    pub status: String,
    /// Whose it is.
    pub user_id: String,
    /// The role that answers.
    pub role: String,
    /// The task that it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The model that answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The name of the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The digest of the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_digest: Option<String>,
    /// The digest of the user's profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_digest: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// How many steps its journal has.
    #[serde(default)]
    pub step_count: u32,
    /// Tokens of all its model calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Value>,
    /// What they cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The first 200 characters of the message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The first 200 characters of the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// What people think of it.
    #[serde(default)]
    pub ratings: Ratings,
    /// The labels that people gave it.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// The runs that have one thing in common: `GET /runs/summary`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunTotals {
    /// What they have in common: a model, a role, a workspace or a digest; null where that is not known.
    pub key: Option<String>,
    /// How many there are.
    pub runs: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How many people found them good.
    pub up: u64,
    /// How many people found them bad.
    pub down: u64,
    /// What they cost, in US dollars.
    pub cost_usd: f64,
    /// Within how many milliseconds 95 of 100 were ended; null where none is.
    pub p95_ms: Option<u64>,
}

/// Which runs to list or to total.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunsQuery {
    /// Parameters and their values, as the contract names them.
    pub parameters: Vec<(&'static str, String)>,
}

/// What somebody thinks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rating {
    /// Good.
    Up,
    /// Bad.
    Down,
}

impl Rating {
    /// The rating as it is transmitted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl std::str::FromStr for Rating {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Up, Self::Down].into_iter().find(|rating| rating.as_str() == text).ok_or(())
    }
}

/// `POST /feedback`: replaces what the same author said of the run before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateFeedback {
    /// The run's reply, or else `run_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// The user, where a service acts for nobody in particular and the run's key is not enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The run's role, where several have a run with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Good or bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Rating>,
    /// At most 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// At most 2,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// What somebody said of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Feedback {
    /// The run.
    pub run_key: String,
    /// Its user.
    pub user_id: String,
    /// Its role.
    pub role: String,
    /// Its reply, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Good or bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Rating>,
    /// The labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// The comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Who said it.
    pub author: crate::memories::MemoryAuthor,
    /// When it was first said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<DateTime<Utc>>,
}

impl InternalClient {
    /// A page of runs, newest first: of the user that [`InternalClient::on_behalf_of`] names, or of all.
    pub async fn list_runs(&self, query: &RunsQuery) -> Result<Page<ListedRun>, McError> {
        let named = query.parameters.iter().map(|(name, value)| (*name, Some(value.clone())));
        let named: Vec<_> = named.collect();
        self.caller.fetch(Call::get(&with_query(path(&["runs"]), &named))).await
    }

    /// Says what somebody thinks of a run.
    pub async fn create_feedback(&self, new: &CreateFeedback) -> Result<Feedback, McError> {
        let key = new.idempotency_key.as_deref();
        self.caller.fetch(Call::create(&path(&["feedback"]), new, key)?).await
    }
}
