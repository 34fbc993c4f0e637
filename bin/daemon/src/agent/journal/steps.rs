//! What the steps of a journal hold.

use std::collections::BTreeMap;

use daemon_api::Step;
use llm::Cost;
use llm::event::Completion;
use llm::request::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::run::output::OutputFormat;

/// Step 0: the request, complete enough to resume the run on any instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecordedRequest {
    /// The user's message.
    pub(crate) message: String,
    /// Earlier turns as the model sees them.
    pub(crate) history: Vec<Message>,
    /// The newest turn as the model sees it: with the time, and fenced where it is data.
    pub(crate) newest: String,
    /// `metadata` as received.
    pub(crate) metadata: Map<String, Value>,
    /// The limits in force.
    pub(crate) limits: Value,
    /// The digest of the workspace that the run started with.
    pub(crate) workspace_digest: String,
    /// See [`crate::run::request::fingerprint`].
    pub(crate) fingerprint: String,
    /// The task as the caller named it.
    pub(crate) task: Value,
    /// The task's id in the backend.
    pub(crate) task_id: String,
    /// The output that the reply has to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<OutputFormat>,
    /// Set for a run that goes on without its caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detached: Option<Detached>,
}

/// What a run without a caller needs besides, at whichever instance it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Detached {
    /// The id that its `start` names.
    pub(crate) run_id: String,
    /// The trace of its request.
    pub(crate) trace_id: String,
    /// Whether the caller gave no earlier turns, so that the thread is read when the run begins.
    pub(crate) reads_thread: bool,
    /// Notified of its end. It holds no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) webhook: Option<String>,
}

/// Step 1 of a run without a caller: the earlier turns as they are when its turn comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::agent) struct ThreadStep {
    /// Earlier turns as the model sees them.
    pub(in crate::agent) history: Vec<Message>,
}

/// An answer of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::agent) struct LlmStep {
    /// The answer, with its usage.
    pub(in crate::agent) completion: Completion,
    /// Its price; absent in journals of older versions where it was not known.
    pub(in crate::agent) cost: Option<Cost>,
    /// The number of messages in the prompt, and its estimated tokens.
    pub(in crate::agent) prompt: Value,
    /// How long it took, milliseconds.
    pub(in crate::agent) duration_ms: u64,
    /// Hashes of the definitions of the tools that it calls and that are not the daemon's own: what a
    /// person is asked to approve.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::agent) definitions: BTreeMap<String, String>,
    /// The id of its first event, in a run that has readers elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::agent) first_event: Option<i64>,
    /// The id of its last event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::agent) last_event: Option<i64>,
    /// What of the final text does not fit the schema of the run's output: its words are void.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::agent) errors: Vec<String>,
}

/// A tool's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::agent) struct ToolStep {
    /// The id of the call within the answer.
    pub(in crate::agent) call_id: String,
    /// The tool.
    pub(in crate::agent) name: String,
    /// The arguments.
    pub(in crate::agent) arguments: Value,
    /// The position among equal calls of the run, from 1.
    pub(in crate::agent) nth: u32,
    /// Whether the call succeeded.
    pub(in crate::agent) ok: bool,
    /// Whether the call may have taken effect although it failed.
    #[serde(default)]
    pub(in crate::agent) unclear: bool,
    /// Equal for calls that do the same with the same arguments, whatever tool they are made by.
    #[serde(default)]
    pub(in crate::agent) operation: String,
    /// The idempotency key that it was made under; `None` when it was not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::agent) key: Option<String>,
    /// The text for the model.
    pub(in crate::agent) content: String,
    /// Who was refused with which words, where the backend answered 401 or 403.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::agent) refused: Option<String>,
    /// Why it failed, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::agent) error: Option<String>,
    /// How long it took, milliseconds.
    pub(in crate::agent) duration_ms: u64,
    /// The approval request that a person decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::agent) tool_request_id: Option<String>,
    /// The id of the event of the call, in a run that has readers elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::agent) first_event: Option<i64>,
    /// The id of the event of the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::agent) last_event: Option<i64>,
}

impl ToolStep {
    /// The call as callers see it.
    pub(in crate::agent) fn report(&self) -> Step {
        Step {
            kind: "tool".into(),
            name: self.name.clone(),
            arguments: self.arguments.clone(),
            ok: self.ok,
            refused: self.refused.clone(),
            error: self.error.clone(),
            duration_ms: self.duration_ms,
        }
    }
}

/// Written before approved calls are made whose servers may not recognise a repetition: where such a
/// call has no result, nobody knows whether it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::agent) struct CallingStep {
    /// The places of their results in the journal.
    pub(in crate::agent) calls: Vec<u32>,
    /// The run that makes them, on one instance.
    pub(in crate::agent) run_id: String,
}
