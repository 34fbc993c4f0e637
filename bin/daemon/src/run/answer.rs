//! How a run that worked ends.

use daemon_api::{
    AttachmentReport, FileReport, RefusedCall, RefusedMention, RequestKind, RunStatus, Step,
    ToolRequest,
};
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
    /// The reply; with [`Ending::Waits`], what the model has said so far.
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
    /// Set when the run went on without memories.
    pub memory_warning: Option<String>,
    /// What became of the reply where it had to fit a schema.
    pub output: Option<Output>,
    /// The files that came with the message, and how the model got them.
    pub attachments: Vec<AttachmentReport>,
    /// The files that the agent has made.
    pub files: Vec<FileReport>,
    /// The roles that the agent mentioned and that were not notified.
    pub mentions_refused: Vec<RefusedMention>,
    /// The name of the workspace, where it is known.
    pub workspace: Option<String>,
    /// The digest of the customer's profile.
    pub profile_digest: Option<String>,
    /// The calls that a rule refused.
    pub refused: Vec<RefusedCall>,
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
    /// The reply goes to the run that asked for it, and no message was stored.
    HandedBack,
    /// Tool calls wait for a person's approval, or questions for the answer; the run can be resumed after.
    Waits {
        /// What waits; never empty.
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
            Self::Replied(_) | Self::HandedBack => "ok",
            Self::Replayed(_) => "replayed",
            Self::Silent => "silent",
            Self::Waits { tool_requests } if waits_for_approval(tool_requests) => {
                "awaiting_approval"
            }
            Self::Waits { .. } => "awaiting_answer",
        }
    }

    /// The status that an answer with this ending has.
    pub fn status(&self) -> RunStatus {
        match self {
            Self::Replied(_) | Self::Replayed(_) | Self::Silent | Self::HandedBack => RunStatus::Ok,
            Self::Waits { tool_requests } if waits_for_approval(tool_requests) => {
                RunStatus::AwaitingApproval
            }
            Self::Waits { .. } => RunStatus::AwaitingAnswer,
        }
    }
}

/// Whether a call among these waits for approval, which counts more than a question.
fn waits_for_approval(requests: &[ToolRequest]) -> bool {
    requests.iter().any(|request| request.kind != RequestKind::Question)
}

impl RunAnswer {
    /// The reply as it is stored, where one is.
    pub fn stored(&self) -> Option<&StoredReply> {
        match &self.ending {
            Ending::Replied(stored) | Ending::Replayed(stored) => Some(stored),
            Ending::Silent | Ending::HandedBack | Ending::Waits { .. } => None,
        }
    }

    /// The id of the stored reply.
    pub fn message_id(&self) -> Option<&str> {
        self.stored().map(|stored| stored.message_id.as_str())
    }

    /// The tool calls that wait for approval, and the questions that wait for an answer.
    pub fn tool_requests(&self) -> &[ToolRequest] {
        match &self.ending {
            Ending::Waits { tool_requests } => tool_requests,
            Ending::Replied(_) | Ending::Replayed(_) | Ending::Silent | Ending::HandedBack => &[],
        }
    }

    /// The reply as text for a person. Where the run waits, what is asked, and, if there is nothing else to
    /// say, which tools wait for approval.
    pub fn display_text(&self) -> String {
        let waiting = self.tool_requests();
        let questions: Vec<&str> =
            waiting.iter().filter_map(|asked| asked.question.as_deref()).collect();
        let said = Some(self.response.as_str()).filter(|said| !said.is_empty());
        if waiting.is_empty() || (said.is_some() && questions.is_empty()) {
            return self.response.clone();
        }
        if questions.is_empty() {
            return self.waiting_text();
        }
        said.into_iter().chain(questions).collect::<Vec<_>>().join("\n\n")
    }

    /// What the run waits for, in words.
    pub fn waiting_text(&self) -> String {
        let waiting: Vec<_> = self
            .tool_requests()
            .iter()
            .map(|asked| (asked.tool.as_str(), asked.question.as_deref()))
            .collect();
        waiting_text(&waiting)
    }
}

/// What a run waits for, in words: the tools that wait for approval; else the questions.
pub fn waiting_text(waiting: &[(&str, Option<&str>)]) -> String {
    let tools: Vec<_> =
        waiting.iter().filter(|(_, question)| question.is_none()).map(|(tool, _)| *tool).collect();
    let questions: Vec<_> = waiting.iter().filter_map(|(_, question)| *question).collect();
    match tools.as_slice() {
        [] => questions.join("\n\n"),
        tools => {
            let mut text = format!("Waiting for a person to approve: {}.", tools.join(", "));
            for question in questions {
                text += "\n\n";
                text += question;
            }
            text
        }
    }
}
