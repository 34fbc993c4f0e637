//! Where a run stands, from what the backend has: the same at every instance.

use mc_client::runs::{Run, RunStatus};
use mc_client::tool_requests::{ToolRequest, ToolRequestKind};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits for its turn.
    Queued,
    /// It is at work, or goes on as soon as an instance takes it up.
    Running,
    /// It waits for a person's approval.
    AwaitingApproval,
    /// It waits for a person's answer.
    AwaitingAnswer,
    /// Its reply is stored.
    Completed,
    /// It has failed.
    Failed,
    /// It was interrupted.
    Interrupted,
    /// It was cancelled.
    Cancelled,
}

impl Standing {
    /// Where a run with these steps stands. What it waits for may have been decided since.
    pub fn of(run: &Run) -> Self {
        match run.known_status() {
            Some(RunStatus::Completed) => Self::Completed,
            Some(RunStatus::Failed) => Self::Failed,
            Some(RunStatus::Interrupted) => Self::Interrupted,
            Some(RunStatus::Cancelled) => Self::Cancelled,
            Some(RunStatus::AwaitingApproval) => Self::AwaitingApproval,
            Some(RunStatus::AwaitingAnswer) => Self::AwaitingAnswer,
            Some(RunStatus::Running) | None => Self::at_work(run),
        }
    }

    /// Where a run stands that is at work.
    pub fn at_work(run: &Run) -> Self {
        let has_begun = run.steps.iter().any(|step| step.index > 0);
        if run.detached && !has_begun { Self::Queued } else { Self::Running }
    }

    /// Where a run stands that waits for these requests; `None` when there are none. An approval counts more
    /// than a question.
    pub fn waiting_for(pending: &[ToolRequest]) -> Option<Self> {
        let is_question = |asked: &ToolRequest| asked.kind == ToolRequestKind::Question;
        match pending {
            [] => None,
            all if all.iter().all(is_question) => Some(Self::AwaitingAnswer),
            _ => Some(Self::AwaitingApproval),
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::AwaitingApproval => "awaiting_approval",
            Self::AwaitingAnswer => "awaiting_answer",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it waits for a person.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::AwaitingApproval | Self::AwaitingAnswer)
    }

    /// Whether nothing more comes by itself.
    pub fn is_over(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Cancelled => true,
            Self::AwaitingApproval | Self::AwaitingAnswer => true,
            Self::Queued | Self::Running | Self::Interrupted => false,
        }
    }
}
