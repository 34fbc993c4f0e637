//! What a model answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::usage::Usage;

/// A whole answer; `P` as in [`AssistantMessage`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completion<P> {
    /// The text and the tool calls.
    pub message: AssistantMessage<P>,
    /// Why the model stopped.
    pub finish_reason: FinishReason,
    /// The tokens it used.
    pub usage: Usage,
    /// The model that answered, by the name it was asked under (without the provider).
    pub model: String,
    /// The provider that answered: the fallback's, when the fallback did.
    pub provider: P,
}

/// Why a model stopped. Only the ends that a protocol calls good are here: any other one makes the
/// call fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The answer is complete. Journals of earlier versions call ends that these did not know `other`,
    /// and such an answer was acted on; providers' words do not come here.
    #[serde(alias = "other")]
    Stop,
    /// The output limit was reached. The newest of its tool calls may be cut off.
    Length,
    /// It calls tools.
    ToolCalls,
    /// A content filter stopped it.
    ContentFilter,
}

impl FinishReason {
    /// The reason as the daemon's API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// A turn of the model: text, tool calls, or both. `P` names providers: a type of those that the program
/// knows, or a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "P: Deserialize<'de>"))]
pub struct AssistantMessage<P> {
    /// The text; empty when it only calls tools.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The calls, in the model's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// What the model thought, for its provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thoughts: Option<Thoughts<P>>,
}

/// A model's thoughts (reasoning), which its provider needs back with the turn that they belong to.
/// Another provider does not get them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thoughts<P> {
    /// The provider that sent them.
    pub provider: P,
    /// The thoughts in the protocol's own form, which nothing but the protocol's module reads.
    pub content: Value,
}

impl<P> Default for AssistantMessage<P> {
    fn default() -> Self {
        Self { text: String::new(), tool_calls: Vec::new(), thoughts: None }
    }
}

impl<P: PartialEq> AssistantMessage<P> {
    /// The thoughts, if they are this provider's own.
    pub fn thoughts_of(&self, provider: P) -> Option<&Value> {
        self.thoughts.as_ref().filter(|own| own.provider == provider).map(|own| &own.content)
    }
}

/// A tool call that a model makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id, or a generated one where the provider sends none.
    pub id: String,
    /// The tool's name, as the model wrote it.
    pub name: String,
    /// The arguments. Text that is not JSON is kept as a JSON string, so that the caller can tell the
    /// model what is wrong with it.
    pub arguments: Value,
    /// Provider data to send back with the result, such as a thought signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_state: Option<Value>,
}
