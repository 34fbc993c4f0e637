//! What the daemon writes into the steps of a run's journal, and the reference backend's page reads there
//! (docs/RUNS.md, "The journal"). To the contract a step's payload is any JSON.

use std::collections::BTreeMap;

use model_turn::{Completion, Cost};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::handing_on::{ChildCall, ChildReport, Parent, RefusedMention};
pub use crate::journal_mac::{CALLING, TOOL};
use crate::memories::MemoryScope;
pub use crate::rules::{RefusedTool, Rule, RuleSource};

/// The kind of step 0, the request.
pub const REQUEST: &str = "request";

/// The kind of step 1 of a run that goes on without its caller: the earlier turns.
pub const THREAD: &str = "thread";

/// The kind of an answer of the model.
pub const LLM: &str = "llm";

/// The kind of an answer of which no use could be made.
pub const LLM_REJECTED: &str = "llm_rejected";

/// A file as the journal names it: by its hash, never with its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFile {
    /// Its id in the backend; none where that keeps no files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes, 64 hexadecimal digits.
    pub sha256: String,
}

/// A memory that a run has read at its beginning, as it stands in the newest turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecalledMemory {
    /// Its id in the backend.
    pub id: String,
    /// Whose it is.
    pub scope: MemoryScope,
    /// What it says.
    pub text: String,
}

/// Step 0: the request, complete enough to resume the run on any instance. `M` is a message of a
/// conversation, `O` the output that a reply has to have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestStep<M, O = Value> {
    /// The user's message.
    pub message: String,
    /// Earlier turns as the model sees them.
    pub history: Vec<M>,
    /// The newest turn as the model sees it: with the time, and fenced where it is data.
    pub newest: String,
    /// `metadata` as received.
    pub metadata: Map<String, Value>,
    /// The limits in force.
    pub limits: Value,
    /// The digest of the workspace that the run started with.
    pub workspace_digest: String,
    /// What of the request a repetition must have in common with it.
    pub fingerprint: String,
    /// The task as the caller named it.
    pub task: Value,
    /// The task's id in the backend.
    pub task_id: String,
    /// The output that the reply has to have.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub output: Option<O>,
    /// The files that came with the message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<KnownFile>,
    /// The files of the earlier turns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<KnownFile>,
    /// Set for a run that goes on without its caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detached: Option<Detached>,
    /// Set for a run that another run asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The memories in the newest turn, best first (feature `memories`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memories: Vec<RecalledMemory>,
    /// Why there are none, where they could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_warning: Option<String>,
    /// The name of the workspace, which the run keeps to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The digest of the customer's profile that narrowed it as it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_digest: Option<String>,
    /// The tools that the model was given as it began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools_offered: Vec<String>,
    /// The tools that there are and that a rule keeps from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools_refused: Vec<RefusedTool>,
}

fn none<O>() -> Option<O> {
    None
}

/// What a run without a caller needs besides, at whichever instance it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// The id that its `start` names.
    pub run_id: String,
    /// The trace of its request.
    pub trace_id: String,
    /// Whether the caller gave no earlier turns, so that the thread is read when the run begins.
    pub reads_thread: bool,
    /// Notified of its end. It holds no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
}

/// Step 1 of a run without a caller: the earlier turns as they are when its turn comes. [`THREAD`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThreadStep<M> {
    /// Earlier turns as the model sees them.
    pub history: Vec<M>,
    /// Their files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<KnownFile>,
    /// The files of the message in the thread that is answered, where the request brought none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<KnownFile>,
}

/// An answer of the model: [`LLM`] and [`LLM_REJECTED`]. `P` names providers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LlmStep<P> {
    /// The answer, with its usage.
    pub completion: Completion<P>,
    /// Its price; absent in journals of older versions where it was not known.
    pub cost: Option<Cost>,
    /// The size of the prompt.
    pub prompt: PromptReport,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// Hashes of the definitions of the tools that it calls and that are not the daemon's own: what a
    /// person is asked to approve.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub definitions: BTreeMap<String, String>,
    /// How the model got each of the files in its prompt, by their hashes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// What of the final text does not fit the schema of the run's output: its words are void.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// The name of the workspace that its prompt was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The digest of the customer's profile that it was asked under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_digest: Option<String>,
    /// Its text as the user gets it, where values were put in the place of placeholders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// The id of its first event, in a run that has readers elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_event: Option<i64>,
    /// The id of its last event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<i64>,
}

/// The size of a prompt, and the room that it had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptReport {
    /// How many messages.
    #[serde(default)]
    pub messages: usize,
    /// About how many tokens.
    #[serde(default)]
    pub estimated_tokens: u64,
    /// The room in the model's context window, tokens, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<u64>,
    /// How many earlier messages did not fit, where anything did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out_messages: Option<usize>,
    /// How many tool results did not fit, where anything did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out_results: Option<usize>,
    /// How many tool calls and results were shortened, where any was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortened: Option<usize>,
}

/// A result that was too long for the model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptResult {
    /// What the model calls it: the beginning of its hash.
    pub id: String,
    /// The SHA-256 of its text, 64 hexadecimal digits.
    pub sha256: String,
    /// Its length, bytes of UTF-8.
    pub size: u64,
    /// Whether the backend keeps it (feature `artifacts`).
    pub stored: bool,
    /// Set where values in it were replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Replaced>,
}

/// What was replaced in a kept result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Whether placeholders stand for values as they are written in the text, not as its JSON means them.
    pub exact: bool,
    /// The values, where they come back: sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
}

/// A tool's result: [`TOOL`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolStep {
    /// The id of the call within the answer.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// The arguments: those that a person gave it, where it was approved with others.
    pub arguments: Value,
    /// The arguments that the model asked for, where a person gave it others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_arguments: Option<Value>,
    /// The position among equal calls of the run, from 1.
    pub nth: u32,
    /// Whether the call succeeded.
    pub ok: bool,
    /// Whether the call may have taken effect although it failed.
    #[serde(default)]
    pub unclear: bool,
    /// Equal for calls that do the same with the same arguments, whatever tool they are made by.
    #[serde(default)]
    pub operation: String,
    /// The idempotency key that it was made under; `None` when it was not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The text for the model.
    pub content: String,
    /// The files of the result, which the model gets beside the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<KnownFile>,
    /// The file that the call has made, which is attached to the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<KnownFile>,
    /// Who was refused with which words, where the backend answered 401 or 403.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Why it failed, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The rule by which it was not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// The approval request that a person decided, or the question that one answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_request_id: Option<String>,
    /// The run that the call was handed on to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<ChildReport>,
    /// The whole result, where the model got its beginning only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<KeptResult>,
    /// The tools that the model has from then on, to the end of the run: those that the call has found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loaded: Vec<String>,
    /// The roles that the call has notified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentioned: Vec<String>,
    /// The roles that it names and that were not notified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions_refused: Vec<RefusedMention>,
    /// Who decided it, as the backend tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Value>,
    /// The standing rule by which it was made without asking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<String>,
    /// The id of the event of the call, in a run that has readers elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_event: Option<i64>,
    /// The id of the event of the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<i64>,
}

/// Written before approved calls are made whose servers may not recognise a repetition: where such a
/// call has no result, nobody knows whether it was made. Also before a run hands a call on: it names the
/// child, which may write nothing before that. [`CALLING`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CallingStep {
    /// The places of their results in the journal.
    pub calls: Vec<u32>,
    /// The run that makes them, on one instance.
    pub run_id: String,
    /// The runs that calls are handed on to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<ChildCall>,
    /// The standing rules by which calls are about to be made, by the places of their results: their uses
    /// are repeated, not others begun, where the run ends in between.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<u32, String>,
}

/// Where a tool that calls an endpoint has its method and path among the arguments.
pub fn endpoint_of(arguments: &Value) -> Option<(&str, &str)> {
    Some((arguments["method"].as_str()?, arguments["path"].as_str()?))
}
