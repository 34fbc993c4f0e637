//! How a run that worked ends.

use daemon_api::{AttachmentReport, FileReport, Step, ToolRequest};
use llm::Cost;
use llm::event::{FinishReason, Usage};
use llm::model::ModelRef;

use super::output::Output;

/// The answer to a request. Its JSON is in `answer_json`, beside this file.
#[derive(Debug, Clone)]
pub struct RunAnswer {
    /// How the run ended.
    pub ending: Ending,
    /// This run.
    pub run_id: String,
    /// The task that the reply belongs to.
    pub task_id: String,
    /// The trace of the request.
    pub trace_id: String,
    /// The run's key, by which it is joined, resumed and cancelled.
    pub run_key: String,
    /// The reply; with [`Ending::AwaitingApproval`], what the model has said so far.
    pub response: String,
    /// Tokens of all model calls of the run.
    pub usage: Usage,
    /// Their price.
    pub cost: Cost,
    /// The model that answered last; `None` when none was called.
    pub model: Option<ModelRef>,
    /// Why the model stopped, where it wrote the reply.
    pub finish_reason: Option<FinishReason>,
    /// The tools that were called, in order.
    pub steps: Vec<Step>,
    /// The digest of the workspace that the run worked with.
    pub workspace_digest: String,
    /// Set when the prompt is close to the model's context window.
    pub context_warning: Option<String>,
    /// What became of the reply where it had to fit a schema.
    pub output: Option<Output>,
    /// The files that came with the message, and how the model got them.
    pub attachments: Vec<AttachmentReport>,
    /// The files that the agent has made.
    pub files: Vec<FileReport>,
}

/// How a run ended that did not fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// The reply is stored.
    Replied(StoredReply),
    /// The reply had been stored before, by an earlier run with the same key.
    Replayed(StoredReply),
    /// There was nothing to say, and nothing was stored.
    Silent,
    /// Tool calls wait for a person's approval; the run can be resumed after.
    AwaitingApproval {
        /// The calls that wait; never empty.
        tool_requests: Vec<ToolRequest>,
    },
}

/// A reply in the backend.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReply {
    /// The stored message.
    pub message_id: String,
    /// The plan document of a kickoff.
    pub plan_document_id: Option<String>,
}

impl Ending {
    /// The ending in one word, for logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Replied(_) => "ok",
            Self::Replayed(_) => "replayed",
            Self::Silent => "silent",
            Self::AwaitingApproval { .. } => "awaiting_approval",
        }
    }
}

impl RunAnswer {
    /// The reply as it is stored, where one is.
    pub fn stored(&self) -> Option<&StoredReply> {
        match &self.ending {
            Ending::Replied(stored) | Ending::Replayed(stored) => Some(stored),
            Ending::Silent | Ending::AwaitingApproval { .. } => None,
        }
    }

    /// The id of the stored reply.
    pub fn message_id(&self) -> Option<&str> {
        self.stored().map(|stored| stored.message_id.as_str())
    }

    /// The tool calls that wait for approval.
    pub fn tool_requests(&self) -> &[ToolRequest] {
        match &self.ending {
            Ending::AwaitingApproval { tool_requests, .. } => tool_requests,
            Ending::Replied(_) | Ending::Replayed(_) | Ending::Silent => &[],
        }
    }

    /// The reply as text for a person; where there is none because tool calls wait for approval, a
    /// sentence that says so.
    pub fn display_text(&self) -> String {
        if self.tool_requests().is_empty() || !self.response.is_empty() {
            return self.response.clone();
        }
        self.waiting_text()
    }

    /// A sentence that names the tools that wait for approval.
    pub fn waiting_text(&self) -> String {
        let tools: Vec<_> = self.tool_requests().iter().map(|asked| asked.tool.as_str()).collect();
        waiting_text(&tools)
    }
}

/// A sentence that names the tools that wait for approval.
pub fn waiting_text(tools: &[&str]) -> String {
    format!("Waiting for a person to approve: {}.", tools.join(", "))
}
