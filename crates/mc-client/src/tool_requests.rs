//! Tool calls that wait for a person (feature `tool_requests`).

use chrono::{DateTime, Utc};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::call::{Call, IDEMPOTENCY_KEY};
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::types::Page;
use crate::url::{path, with_query};

/// Where a tool request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolRequestStatus {
    /// Nobody has decided.
    Pending,
    /// The call may be made, with exactly these arguments.
    Approved,
    /// The call must not be made.
    Denied,
    /// Nobody has to decide any more: its run was cancelled.
    Cancelled,
}

impl ToolRequestStatus {
    /// All statuses.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Approved, Self::Denied, Self::Cancelled];

    /// The status as the wire has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
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
    /// The session that is told of the decision, `user:{userId}:{role}`.
    pub session_key: String,
    /// The tool.
    pub tool: String,
    /// What it would be called with.
    pub arguments: Map<String, Value>,
    /// Why the agent wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Makes the call safe to repeat.
    pub idempotency_key: String,
}

/// A tool call that waits for a person, or did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolRequest {
    /// The backend's id.
    pub id: String,
    /// One of [`ToolRequestStatus`], or a backend's own.
    pub status: String,
    /// The task that the run works on.
    #[serde(default)]
    pub task_id: String,
    /// The run that waits.
    #[serde(default)]
    pub run_key: String,
    /// The session that is told of the decision.
    #[serde(default)]
    pub session_key: String,
    /// The tool.
    #[serde(default)]
    pub tool: String,
    /// What it is called with; they never change.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// Why the agent wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the person said to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<DateTime<Utc>>,
}

impl ToolRequest {
    /// Where it stands, when that is one of the contract's statuses.
    pub fn known_status(&self) -> Option<ToolRequestStatus> {
        self.status.parse().ok()
    }
}

/// A person's decision: `PATCH /tool-requests/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// [`ToolRequestStatus::Approved`] or [`ToolRequestStatus::Denied`].
    pub status: ToolRequestStatus,
    /// What the agent is told beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Which tool requests to list.
#[derive(Debug, Clone, Default)]
pub struct ToolRequestQuery {
    /// Only of this status.
    pub status: Option<ToolRequestStatus>,
    /// Only of this run; a backend may ignore it.
    pub run_key: Option<String>,
    /// Items of a page, 1 to 200.
    pub limit: Option<u32>,
    /// Where to go on.
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
    /// Asks a person for a tool call. Repeated, it gives the same request as it stands now.
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
}

impl InternalClient {
    /// The tool requests of the person that [`InternalClient::on_behalf_of`] names, oldest first.
    pub async fn tool_requests(
        &self,
        query: &ToolRequestQuery,
    ) -> Result<Page<ToolRequest>, McError> {
        self.caller.fetch(query.call()).await
    }

    /// Decides as that person. With a key the call may be repeated; without one a second decision
    /// is refused (409 `already_decided`), also when it is the same.
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
