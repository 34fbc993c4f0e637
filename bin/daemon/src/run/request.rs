//! A run's order: a [`RunRequest`] has been checked in full and cannot hold a bad value.

use std::time::Duration;

use chrono_tz::Tz;
use http::HeaderMap;
use llm::request::Message;
use mc_client::idempotency::{RunKey, canonical_json};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use url::Url;
use wombat_core::agent_config::ModelTier;
use wombat_core::session::SessionKey;
use wombat_core::workspace::PromptMode;

/// One message to be answered.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Who speaks to whom.
    pub session: SessionKey,
    /// What the person said.
    pub message: String,
    /// Earlier turns; `None` means that the backend is asked for the thread.
    pub history: Option<Vec<Message>>,
    /// The task that the reply belongs to.
    pub task: TaskTarget,
    /// Everything from `metadata` that steers the run.
    pub options: RunOptions,
    /// `metadata` as it came, for whoever records the run.
    pub metadata: Map<String, Value>,
    /// Where the end of the run is told.
    pub webhook: Option<Webhook>,
    /// The caller's idempotency key, folded with user and role.
    pub key: Option<RunKey>,
    /// A journaled run is taken up (`resume_run_key`): what it was asked stands in its journal.
    pub resumed: bool,
    /// How far the run may go; never beyond the daemon's own settings.
    pub limits: RunLimits,
}

/// What two requests with the same key must have in common to be the same request.
pub fn fingerprint(request: &RunRequest) -> String {
    let task = request.task.to_json();
    let history = request.history.as_ref().map(|turns| json!(turns));
    canonical_json(&json!({ "message": request.message, "task": task, "history": history }))
}

/// Where a run's end is told. Holds an address that has been checked.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The address.
    pub url: Url,
    /// Signs what is sent.
    pub secret: Option<SecretString>,
    /// The caller's own headers.
    pub headers: HeaderMap,
}

/// Which task a run belongs to.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskTarget {
    /// One that the backend made.
    Id(String),
    /// The one with this exact title, made if there is none.
    Title {
        /// The title.
        title: String,
        /// For the creation.
        description: Option<String>,
        /// For the creation.
        metadata: Option<Map<String, Value>>,
    },
}

impl TaskTarget {
    /// The task as the caller named it.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Id(id) => json!({ "id": id }),
            Self::Title { title, .. } => json!({ "title": title }),
        }
    }
}

/// What `metadata` says about the run itself.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOptions {
    /// Replaces the workspace's prompt.
    pub system_prompt: Option<String>,
    /// Asks for a plan document.
    pub kickoff: Option<Kickoff>,
    /// The zone of the person.
    pub timezone: Tz,
    /// How much of the workspace the prompt holds.
    pub prompt_mode: PromptMode,
    /// The model tier; the role's own when absent.
    pub model_tier: Option<ModelTier>,
    /// What sent the message.
    pub kind: RunKind,
}

/// What sent the message, from `metadata.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// A person, through the backend.
    Message,
    /// The dispatcher (`mc.notification`): the text is data, not instructions.
    Notification,
    /// The heartbeat (`heartbeat`).
    Heartbeat,
}

/// `metadata.kickoff_plan`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kickoff {
    /// What to put into the plan.
    pub note: Option<String>,
    /// The plan document's title.
    pub title: Option<String>,
}

/// How far a run may go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunLimits {
    /// Turns with tools.
    pub max_steps: u32,
    /// Tokens of one answer of the model.
    pub max_output_tokens: Option<u32>,
    /// US dollars for all calls of the model together.
    pub max_cost_usd: Option<f64>,
    /// From the moment the run is accepted.
    pub timeout: Duration,
}

impl RunLimits {
    /// In the form of the request's `limits`.
    pub fn to_json(self) -> Value {
        json!({
            "max_steps": self.max_steps,
            "max_output_tokens": self.max_output_tokens,
            "max_cost_usd": self.max_cost_usd,
            "timeout_secs": self.timeout.as_secs().max(1),
        })
    }
}
