//! A model's answer: [`Completion`] as a whole, [`StreamEvent`] as a stream.

use serde::{Deserialize, Serialize};

use crate::model::Provider;
use crate::request::AssistantMessage;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// The text and the tool calls.
    pub message: AssistantMessage,
    /// Why the model stopped.
    pub finish_reason: FinishReason,
    /// The tokens it used.
    pub usage: Usage,
    /// The model that answered, by the name it was asked under (without the provider).
    pub model: String,
    /// The provider that answered: the fallback's, when the fallback did.
    pub provider: Provider,
}

/// A piece of an answer. A stream is any number of `Text`, then exactly one `Done`; a failure is
/// the stream's last item, an `Err`.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamEvent {
    /// More text.
    Text(String),
    /// The end, with the whole answer (its text is all the deltas together).
    Done(Box<Completion>),
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

/// Tokens used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
    /// Tokens of the prompt that the provider read from its cache.
    pub cached_tokens: u64,
    /// Tokens of the prompt that the provider wrote to its cache, where it charges for that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// Tokens of hidden reasoning, where the provider reports them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
    /// Whether some of these counts are estimates, because the provider did not report them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl Usage {
    /// Whether the provider reported nothing at all.
    pub fn is_unknown(&self) -> bool {
        self.prompt_tokens == 0 && self.completion_tokens == 0
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.total_tokens = self.total_tokens.saturating_add(other.total_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
        self.reasoning_tokens = self.reasoning_tokens.saturating_add(other.reasoning_tokens);
        self.estimated = self.estimated || other.estimated;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stop_at_the_largest_number_instead_of_beginning_anew() {
        let most =
            Usage { prompt_tokens: u64::MAX, total_tokens: u64::MAX - 1, ..Usage::default() };
        let mut sum = most;
        sum += most;
        assert_eq!((sum.prompt_tokens, sum.total_tokens), (u64::MAX, u64::MAX));
    }
}
