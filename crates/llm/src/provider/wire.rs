//! What the protocols have in common: an answer that is put together piece by piece, and the small
//! readings that JSON of strangers needs.

use std::hash::{BuildHasher as _, RandomState};

use serde_json::{Map, Value};

use crate::event::{FinishReason, Usage};
use crate::provider::{Answer, Failure};
use crate::request::{AssistantMessage, ToolCall};

/// A streamed answer on its way in.
pub(super) trait Reader: Send {
    /// Takes an event.
    fn event(&mut self, event: &Value) -> Result<Told, Failure>;

    /// Takes an event that brings nothing but words, which most do, without taking it apart in full;
    /// `None` for every other one, which [`Self::event`] then reads.
    fn words(&mut self, _event: &str) -> Option<Told> {
        None
    }

    /// Takes the `[DONE]` of OpenAI's older protocol. The others know none.
    fn done_mark(&mut self) -> Told {
        Told::Nothing
    }

    /// The stream has ended: whether the answer had ended, too.
    fn is_whole(&self) -> bool;

    /// The answer, once it has ended.
    fn answer(&mut self) -> Answer;
}

/// What an event brought.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// Nothing that anybody sees.
    Nothing,
    /// More text; never empty.
    Text(String),
    /// The end: whatever comes now is no part of the answer.
    End,
}

impl Told {
    pub(super) fn text(text: String) -> Self {
        if text.is_empty() { Self::Nothing } else { Self::Text(text) }
    }
}

/// An answer in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Assembly {
    pub(super) text: String,
    pub(super) calls: Vec<PartialCall>,
    pub(super) usage: Usage,
    pub(super) finish: Option<FinishReason>,
}

/// A tool call whose arguments are still coming in.
#[derive(Debug, Clone, Default)]
pub(super) struct PartialCall {
    /// The provider's number of it within the answer.
    pub(super) index: u64,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) state: Option<Value>,
}

impl Assembly {
    pub(super) fn take(&mut self) -> Answer {
        let whole = std::mem::take(self);
        let calls = whole.calls.into_iter().map(|call| ToolCall {
            id: call_id(&call.id),
            name: call.name,
            arguments: arguments(&call.arguments),
            provider_state: call.state,
        });
        answer(whole.text, calls.collect(), whole.finish, whole.usage)
    }
}

/// An answer, with the reason that fits its content.
pub(super) fn answer(
    text: String,
    tool_calls: Vec<ToolCall>,
    finish: Option<FinishReason>,
    mut usage: Usage,
) -> Answer {
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens;
    let finish_reason = match finish.unwrap_or_default() {
        // Gemini and some compatible servers say `stop` although they want tools called.
        FinishReason::Stop | FinishReason::Other if !tool_calls.is_empty() => {
            FinishReason::ToolCalls
        }
        reason => reason,
    };
    Answer { message: AssistantMessage { text, tool_calls }, finish_reason, usage }
}

/// Arguments as the model wrote them: JSON, or the text itself where it is none, so that the model
/// can be told what is wrong with it.
pub(super) fn arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(Map::new());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Arguments that a server gives as text, as JSON, or not at all.
pub(super) fn arguments_of(value: Option<&Value>) -> Value {
    match value {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(Value::String(text)) => arguments(text),
        Some(other) => other.clone(),
    }
}

/// Arguments as they go back: providers want an object; what the model wrote instead of one is told
/// in the tool's result.
pub(super) fn object(arguments: &Value) -> Value {
    match arguments {
        object @ Value::Object(_) => object.clone(),
        _ => Value::Object(Map::new()),
    }
}

/// The provider's id of a call, or a fresh one where it gives none.
pub(super) fn call_id(given: &str) -> String {
    if given.is_empty() {
        // Unlike enough: ids only have to differ within one conversation.
        return format!("call_{:016x}", RandomState::new().hash_one(given));
    }
    given.to_owned()
}

/// The value at a path of names and numbers, such as `/choices/0/message`. (A JSON pointer without
/// escapes, which our paths have none of, and so without the copies that they cost.)
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').skip(1).try_fold(value, |value, name| match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// A text, or nothing.
pub(super) fn str_at<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// A count, or zero; some servers write `12.0`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 saturates, and nobody counts that far"
)]
pub(super) fn count_at(value: &Value, path: &str) -> u64 {
    let found = at(value, path);
    found.and_then(|n| n.as_u64().or_else(|| n.as_f64().map(|n| n as u64))).unwrap_or_default()
}

/// The items of a list, none where there is no list.
pub(super) fn items<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    at(value, path).and_then(Value::as_array).into_iter().flatten()
}

/// The error that stands inside of a success.
pub(super) fn error_in(value: &Value) -> Option<&Value> {
    let value = value.as_array().and_then(|list| list.first()).unwrap_or(value);
    value.get("error").filter(|error| !error.is_null()).map(|_| value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_json_text_or_nothing() {
        assert_eq!(arguments(" "), json!({}));
        assert_eq!(arguments("{\"a\":1}"), json!({"a": 1}));
        assert_eq!(arguments("{not json"), json!("{not json"));
        assert_eq!(arguments_of(Some(&json!({"a": 1}))), json!({"a": 1}));
        assert_eq!(object(&json!("{not json")), json!({}));
    }

    #[test]
    fn ids_that_are_missing_are_made_up() {
        assert_eq!(call_id("a"), "a");
        assert_ne!(call_id(""), call_id(""));
    }
}
