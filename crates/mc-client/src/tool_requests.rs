//! What an agent asks a person: tool calls that need approval (feature `tool_requests`), and questions
//! (feature `decisions`).

use chrono::{DateTime, Utc};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::call::{Call, IDEMPOTENCY_KEY};
use crate::client::{AgentClient, InternalClient};
use crate::decisions::given;
use crate::error::McError;
use crate::types::Page;
use crate::url::{path, with_query};

pub use crate::decisions::{
    AskedBy, DEFAULT_TTL_SECS, Decide, DecidedBy, Edited, MAX_ANSWER_SCHEMA, MAX_OPTION,
    MAX_QUESTION, MAX_TTL_SECS, OPTIONS, Question,
};

/// What a person is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolRequestKind {
    /// Whether a tool may be called.
    #[default]
    Approval,
    /// A question that the agent needs an answer to (feature `decisions`).
    Question,
}

impl ToolRequestKind {
    /// The kind as it is transmitted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Question => "question",
        }
    }

    fn is_approval(&self) -> bool {
        *self == Self::Approval
    }
}

impl std::str::FromStr for ToolRequestKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Approval, Self::Question].into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// The status of a tool request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolRequestStatus {
    /// Not decided yet.
    Pending,
    /// Approved: the call may be made, with exactly these arguments.
    Approved,
    /// Denied: the call must not be made.
    Denied,
    /// Its run was cancelled; no decision is needed any more.
    Cancelled,
    /// A question that has its answer.
    Answered,
    /// A question that nobody has answered in time.
    Expired,
}

impl ToolRequestStatus {
    /// All statuses.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Approved,
        Self::Denied,
        Self::Cancelled,
        Self::Answered,
        Self::Expired,
    ];

    /// The status as it is transmitted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Answered => "answered",
            Self::Expired => "expired",
        }
    }
}

impl std::str::FromStr for ToolRequestStatus {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

/// `POST /tool-requests`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateToolRequest {
    /// The task that the run works on.
    pub task_id: String,
    /// The run that waits.
    pub run_key: String,
    /// The session that is notified of the decision, `user:{userId}:{role}`.
    pub session_key: String,
    /// The tool.
    pub tool: String,
    /// The arguments of the call.
    pub arguments: Map<String, Value>,
    /// Why the agent wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is asked. The arguments of a question are a [`Question`].
    #[serde(default, skip_serializing_if = "ToolRequestKind::is_approval")]
    pub kind: ToolRequestKind,
    /// The JSON Schema of the tool's arguments (feature `decisions`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// The run that asks, where it is below the one that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<AskedBy>,
    /// For how long a question waits, in seconds: 604800 unless it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_secs: Option<u64>,
    /// Until when a question waits, instead of `ttl_secs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// Makes the call safe to repeat.
    pub idempotency_key: String,
}

/// A tool call that needs, or needed, approval; or a question.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolRequest {
    /// The backend's id.
    pub id: String,
    /// What is asked.
    #[serde(default)]
    pub kind: ToolRequestKind,
    /// One of [`ToolRequestStatus`], or a backend's own.
    pub status: String,
    /// The task that the run works on.
    #[serde(default)]
    pub task_id: String,
    /// The run that waits.
    #[serde(default)]
    pub run_key: String,
    /// The session that is notified of the decision.
    #[serde(default)]
    pub session_key: String,
    /// The tool.
    #[serde(default)]
    pub tool: String,
    /// The arguments of the call; they never change.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// Why the agent wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The comment of the person who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<DateTime<Utc>>,
    /// The JSON Schema of the tool's arguments, or of the answer to a question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// What is to be called instead, where a person has changed the arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<Edited>,
    /// The answer to a question: any JSON, `null` too.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<DecidedBy>,
    /// The run that asks, where it is below the one that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<AskedBy>,
    /// Until when a question waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// The rule that was made with the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<String>,
}

impl ToolRequest {
    /// Its status, if that is one of the contract's.
    pub fn known_status(&self) -> Option<ToolRequestStatus> {
        self.status.parse().ok()
    }

    /// The question that it is.
    pub fn question(&self) -> Option<Question> {
        let arguments = Value::Object(self.arguments.clone());
        let is_question = self.kind == ToolRequestKind::Question;
        is_question.then(|| serde_json::from_value(arguments).ok()).flatten()
    }
}

/// A person's decision: `PATCH /tool-requests/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// [`ToolRequestStatus::Approved`] or [`ToolRequestStatus::Denied`].
    pub status: ToolRequestStatus,
    /// A comment for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A filter for listing tool requests.
#[derive(Debug, Clone, Default)]
pub struct ToolRequestQuery {
    /// Only those with this status.
    pub status: Option<ToolRequestStatus>,
    /// Only of this run; a backend may ignore it.
    pub run_key: Option<String>,
    /// Items of a page, 1 to 200.
    pub limit: Option<u32>,
    /// The cursor of the page.
    pub cursor: Option<String>,
}

impl ToolRequestQuery {
    fn call(&self) -> Call {
        let url = with_query(
            path(&["tool-requests"]),
            &[
                ("status", self.status.map(|status| status.as_str().to_owned())),
                ("run_key", self.run_key.clone()),
                ("limit", self.limit.map(|limit| limit.to_string())),
                ("cursor", self.cursor.clone()),
            ],
        );
        Call::get(&url)
    }
}

impl AgentClient {
    /// Requests approval of a tool call. Idempotent: a repeat returns the request in its current state.
    pub async fn request_tool(&self, request: &CreateToolRequest) -> Result<ToolRequest, McError> {
        let key = Some(request.idempotency_key.as_str());
        self.caller.fetch(Call::create(&path(&["tool-requests"]), request, key)?).await
    }

    /// The user's tool requests, oldest first.
    pub async fn tool_requests(
        &self,
        query: &ToolRequestQuery,
    ) -> Result<Page<ToolRequest>, McError> {
        self.caller.fetch(query.call()).await
    }

    /// One tool request.
    pub async fn tool_request(&self, id: &str) -> Result<ToolRequest, McError> {
        self.caller.fetch(Call::get(&path(&["tool-requests", id]))).await
    }

    /// Answers a question of this agent's own session, with what its person has said. Safe to repeat.
    pub async fn answer_question(
        &self,
        id: &str,
        answer: &Value,
        key: &str,
    ) -> Result<ToolRequest, McError> {
        let decision = Decide { answer: Some(answer.clone()), ..Decide::default() };
        let path = path(&["tool-requests", id, "decision"]);
        let call = Call::new(Method::POST, &path).json(&decision)?;
        self.caller.fetch(call.header(IDEMPOTENCY_KEY, key)?.repeatable()).await
    }
}

impl InternalClient {
    /// The tool requests of the user that [`InternalClient::on_behalf_of`] names, oldest first.
    pub async fn tool_requests(
        &self,
        query: &ToolRequestQuery,
    ) -> Result<Page<ToolRequest>, McError> {
        self.caller.fetch(query.call()).await
    }

    /// Decides as that user. With a key the call is safe to repeat; without one a second decision is
    /// rejected (409 `already_decided`), even the same one.
    pub async fn decide_tool_request(
        &self,
        id: &str,
        decision: &Decision,
        key: Option<&str>,
    ) -> Result<ToolRequest, McError> {
        let call = Call::new(Method::PATCH, &path(&["tool-requests", id])).json(decision)?;
        let call = match key {
            Some(key) => call.header(IDEMPOTENCY_KEY, key)?.repeatable(),
            None => call,
        };
        self.caller.fetch(call).await
    }
}
