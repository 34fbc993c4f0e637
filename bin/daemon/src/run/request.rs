//! What a run is asked for. A [`RunRequest`] has been validated in full.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use llm::request::Message;
use mc_client::idempotency::{RunKey, canonical_json};
use mc_client::steps::Parent;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use url::Url;
use wombat_core::agent_config::ModelTier;
use wombat_core::session::SessionKey;
use wombat_core::workspace::PromptMode;
use zones::Zone;

use super::attachments::Attached;
use super::customer::Customer;
use super::output::OutputFormat;

/// One message to answer.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The user and the role (agent).
    pub session: SessionKey,
    /// The user's message.
    pub message: String,
    /// The files that come with it.
    pub attachments: Vec<Attached>,
    /// Earlier turns; `None` loads the task's thread from the backend.
    pub history: Option<Vec<Message>>,
    /// The task that the reply belongs to.
    pub task: TaskTarget,
    /// The output that the reply has to have: the caller's, or the role's.
    pub output: Option<Arc<OutputFormat>>,
    /// Everything from `metadata` that steers the run.
    pub options: RunOptions,
    /// `metadata` as received; passed through to the journal and the webhook.
    pub metadata: Map<String, Value>,
    /// Notified of the end of the run.
    pub webhook: Option<Webhook>,
    /// The run's key, derived from the caller's idempotency key, user and role.
    pub key: Option<RunKey>,
    /// Whether this resumes a journaled run (`resume_run_key`); its journal holds the request.
    pub resumed: bool,
    /// Whether it goes on without its caller, at whichever instance.
    pub detached: bool,
    /// The run that asks, where another run does.
    pub child: Option<Arc<Parent>>,
    /// What the customer's profile makes of it.
    pub customer: Arc<Customer>,
    /// What the caller asked for, never above the daemon's own settings: what step 0 holds, so that a resume
    /// obeys the customer's limits of then.
    pub asked_limits: RunLimits,
    /// The run's limits: these, and never above the customer's.
    pub limits: RunLimits,
    /// When it was accepted: it ends where the user's data is erased after that.
    pub began: SystemTime,
}

/// Where an idempotency key was given. Each place is a name space of its own: whoever chooses a key in
/// one of them cannot meet, or take, the run of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeySpace {
    /// `idempotency_key` of `send` and `stream`.
    #[default]
    Send,
    /// `metadata.notification_id`.
    Notification,
    /// A2A's `messageId`.
    A2a,
    /// AG-UI's `runId`.
    AgUi,
    /// `Idempotency-Key` of a chat completion.
    OpenAi,
    /// `idempotency_key` of an MCP tool call.
    Mcp,
}

impl KeySpace {
    /// The key of the session's run with this idempotency key.
    pub fn run_key(self, session: &SessionKey, key: &str) -> RunKey {
        let space = match self {
            Self::Send => {
                return RunKey::derive(session.user().as_str(), session.role().as_str(), key);
            }
            Self::Notification => "notification",
            Self::A2a => "a2a",
            Self::AgUi => "ag-ui",
            Self::OpenAi => "openai",
            Self::Mcp => "mcp",
        };
        RunKey::derive_in(space, session.user().as_str(), session.role().as_str(), key)
    }
}

/// Tells whether two requests with the same key are the same request: the canonical JSON of
/// message, task and history, and of the output that the caller asks for and the hashes of the files that
/// come with it, if there are any.
pub fn fingerprint(request: &RunRequest) -> String {
    let task = request.task.to_json();
    let history = request.history.as_ref().map(|turns| json!(turns));
    let mut parts = json!({ "message": request.message, "task": task, "history": history });
    if let Some(output) = request.output.as_deref().and_then(OutputFormat::named_by_key) {
        parts["output"] = output;
    }
    if !request.attachments.is_empty() {
        let hashes = request.attachments.iter().map(|attached| attached.file.sha256.as_str());
        parts["attachments"] = hashes.collect();
    }
    canonical_json(&parts)
}

/// A callback URL that is notified of the end of a run. Its address has been checked.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where the event is posted.
    pub url: Url,
    /// Signs the event; unsigned when absent.
    pub secret: Option<SecretString>,
    /// Additional headers of the caller.
    pub headers: HeaderMap,
}

/// Which task a run belongs to.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskTarget {
    /// An existing task, by its id in the backend.
    Id(String),
    /// The task with this exact title; created when there is none.
    Title {
        /// The title.
        title: String,
        /// Used when the task is created.
        description: Option<String>,
        /// Used when the task is created.
        metadata: Option<Map<String, Value>>,
    },
}

impl TaskTarget {
    /// The task as the caller named it, for fingerprint and journal.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Id(id) => json!({ "id": id }),
            Self::Title { title, .. } => json!({ "title": title }),
        }
    }
}

/// The part of `metadata` that steers the run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOptions {
    /// Replaces the system prompt of the workspace.
    pub system_prompt: Option<String>,
    /// Asks for a plan document.
    pub kickoff: Option<Kickoff>,
    /// The user's time zone.
    pub timezone: Zone,
    /// How much of the workspace goes into the prompt.
    pub prompt_mode: PromptMode,
    /// The model tier; the role's own when absent.
    pub model_tier: Option<ModelTier>,
    /// The sender of the message.
    pub kind: RunKind,
}

/// The sender of a message, from `metadata.type`.
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
    /// Instructions for the plan.
    pub note: Option<String>,
    /// The plan document's title.
    pub title: Option<String>,
}

/// The limits of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunLimits {
    /// Turns in which the model may call tools.
    pub max_steps: u32,
    /// Output tokens of one model call.
    pub max_output_tokens: Option<u32>,
    /// US dollars for all model calls together.
    pub max_cost_usd: Option<f64>,
    /// Measured from the moment the run is admitted.
    pub timeout: Duration,
}

impl RunLimits {
    /// The limits in the form of the request's `limits`.
    pub fn to_json(self) -> Value {
        json!({
            "max_steps": self.max_steps,
            "max_output_tokens": self.max_output_tokens,
            "max_cost_usd": self.max_cost_usd,
            "timeout_secs": self.timeout.as_secs().max(1),
        })
    }
}
