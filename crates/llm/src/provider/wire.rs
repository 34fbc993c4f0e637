//! What the protocols have in common: reading and assembling an answer.

mod json;
mod text;

use std::hash::{BuildHasher as _, RandomState};

use serde_json::{Map, Value};

use crate::event::{FinishReason, Usage};
use crate::provider::answer::Answer;
use crate::provider::failure::Failure;
use crate::request::{AssistantMessage, Thoughts, ToolCall};

pub(super) use json::{MAX_COUNT, at, count_at, count_of, error_in, items, str_at};
pub(super) use text::{ObjectWriter, json_text, write_list, write_value};

/// The most calls, and other parts that are kept apart, of an answer. Readers compare each new piece
/// with all of them.
pub(super) const MAX_PARTS: usize = 256;

/// The failure of an answer in more than [`MAX_PARTS`].
pub(super) fn too_many_parts() -> Failure {
    Failure::bad_answer("the answer has too many tool calls or parts")
}

/// Reads the events of a streamed answer.
pub(super) trait Reader: Send {
    /// Reads an event.
    fn event(&mut self, event: &Value) -> Result<Delta, Failure>;

    /// Reads an event of the form that most have without building a `Value` of it; `None` for any other
    /// event, which [`Self::event`] then reads.
    fn usual_event(&mut self, _event: &str) -> Option<Result<Delta, Failure>> {
        None
    }

    /// Reads the `[DONE]` of Chat Completions. The other protocols have none.
    fn done(&mut self) -> Delta {
        Delta::Nothing
    }

    /// Whether the last event was the end, although it told text as well.
    fn has_ended(&self) -> bool {
        false
    }

    /// Whether the answer was complete when the stream ended.
    fn is_complete(&self) -> bool;

    /// The answer, once it is complete.
    ///
    /// # Errors
    /// When it did not end well.
    fn answer(&mut self) -> Result<Answer, Failure>;
}

/// What an event added to the answer.
#[derive(Debug, PartialEq)]
pub(super) enum Delta {
    /// Nothing visible.
    Nothing,
    /// More text; never empty.
    Text(String),
    /// The end: what follows is not part of the answer.
    End,
}

impl Delta {
    pub(super) fn text(text: String) -> Self {
        if text.is_empty() { Self::Nothing } else { Self::Text(text) }
    }
}

/// How an answer ended, by the provider's own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// As the protocol allows.
    Good(FinishReason),
    /// With an error, or a reason that the protocol does not call good. Holds the provider's word.
    Bad(String),
}

/// An answer that is being assembled.
#[derive(Debug, Clone, Default)]
pub(super) struct Assembly {
    pub(super) text: String,
    pub(super) calls: Vec<PartialCall>,
    pub(super) thoughts: Option<Thoughts>,
    pub(super) usage: Usage,
    /// `None` until the provider has said how the answer ends.
    pub(super) end: Option<End>,
}

/// A tool call whose arguments are still streaming in.
#[derive(Debug, Clone, Default)]
pub(super) struct PartialCall {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) state: Option<Value>,
}

/// The worse one of two ends, of which the first came first: what was cut, filtered or failed stays so,
/// whatever a later event says.
pub(super) fn worse(first: Option<End>, second: Option<End>) -> Option<End> {
    let rank = |end: &Option<End>| match end {
        None => 0,
        Some(End::Good(FinishReason::Stop | FinishReason::ToolCalls)) => 1,
        Some(End::Good(FinishReason::Length)) => 2,
        Some(End::Good(FinishReason::ContentFilter)) => 3,
        Some(End::Bad(_)) => 4,
    };
    let is_worse = rank(&second) > rank(&first) || (rank(&second) == 1 && rank(&first) == 1);
    if is_worse { second } else { first }
}

impl Assembly {
    /// Takes what an event says of the end, if it does.
    pub(super) fn ends(&mut self, end: Option<End>) {
        self.end = worse(self.end.take(), end);
    }

    pub(super) fn take(&mut self) -> Result<Answer, Failure> {
        let whole = std::mem::take(self);
        let calls = whole.calls.into_iter().map(|call| ToolCall {
            id: call_id(&call.id),
            name: call.name,
            arguments: arguments(&call.arguments),
            provider_state: call.state,
        });
        let message = AssistantMessage {
            text: whole.text,
            tool_calls: calls.collect(),
            thoughts: whole.thoughts,
        };
        answer(message, whole.end, whole.usage)
    }
}

/// Leaves out a call that came twice: the same id, tool and arguments.
fn without_repeats(calls: &mut Vec<ToolCall>) {
    let mut at = 0;
    while at < calls.len() {
        let (before, rest) = calls.split_at(at);
        let is_repeat = before.iter().any(|call| {
            call.id == rest[0].id
                && call.name == rest[0].name
                && call.arguments == rest[0].arguments
        });
        if is_repeat {
            calls.remove(at);
        } else {
            at += 1;
        }
    }
}

/// An answer that ended well, with a finish reason that matches its content.
///
/// # Errors
/// When it ended in another way, or not at all.
pub(super) fn answer(
    mut message: AssistantMessage,
    end: Option<End>,
    mut usage: Usage,
) -> Result<Answer, Failure> {
    usage.total_tokens = usage.prompt_tokens.saturating_add(usage.completion_tokens);
    if message.tool_calls.len() > MAX_PARTS {
        return Err(too_many_parts());
    }
    without_repeats(&mut message.tool_calls);
    let has_calls = !message.tool_calls.is_empty();
    let finish_reason = match end {
        None => return Err(Failure::cut_off()),
        Some(End::Bad(reason)) => return Err(Failure::bad_end(&reason)),
        Some(End::Good(FinishReason::Length)) => {
            mark_unfinished(&mut message.tool_calls);
            FinishReason::Length
        }
        // Gemini and some compatible servers send `stop` for tool calls.
        Some(End::Good(FinishReason::Stop)) if has_calls => FinishReason::ToolCalls,
        Some(End::Good(FinishReason::ToolCalls)) if !has_calls => {
            if message.text.trim().is_empty() {
                return Err(Failure::bad_end("tool_calls, without a call"));
            }
            FinishReason::Stop
        }
        Some(End::Good(reason)) => reason,
    };
    Ok(Answer { message, finish_reason, usage })
}

/// In an answer that was cut off at the output limit, no arguments are unfinished arguments, and not
/// an empty object.
fn mark_unfinished(calls: &mut [ToolCall]) {
    for call in calls {
        if call.arguments.as_object().is_some_and(Map::is_empty) {
            call.arguments = Value::String(String::new());
        }
    }
}

/// Arguments as the model wrote them: JSON, or else the text itself, so that the model can be told
/// what is wrong with it.
pub(super) fn arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(Map::new());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Arguments that a server sends as text, as JSON, or not at all.
pub(super) fn arguments_of(value: Option<&Value>) -> Value {
    match value {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(Value::String(text)) => arguments(text),
        Some(other) => other.clone(),
    }
}

/// Arguments as they are sent back: providers require an object. What the model wrote instead is
/// reported in the tool's result.
pub(super) fn object(arguments: &Value) -> Value {
    match arguments {
        object @ Value::Object(_) => object.clone(),
        _ => Value::Object(Map::new()),
    }
}

/// [`object`] as JSON text.
pub(super) fn object_text(arguments: &Value) -> String {
    if arguments.is_object() { json_text(arguments) } else { "{}".to_owned() }
}

/// The provider's id of a call, or a generated one if it sends none.
pub(super) fn call_id(given: &str) -> String {
    if given.is_empty() {
        // Random enough: ids only have to differ within one conversation.
        return format!("call_{:016x}", RandomState::new().hash_one(given));
    }
    given.to_owned()
}

#[cfg(test)]
mod tests;
