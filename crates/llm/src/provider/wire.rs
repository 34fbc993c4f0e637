//! What the protocols have in common: assembling a streamed answer, and lenient access to JSON.

use std::hash::{BuildHasher as _, RandomState};

use serde_json::{Map, Value};

use crate::event::{FinishReason, Usage};
use crate::provider::answer::Answer;
use crate::provider::failure::Failure;
use crate::request::{AssistantMessage, Thoughts, ToolCall};

/// The most calls, and other parts that are kept apart, of an answer. Readers compare each new piece
/// with all of them.
pub(super) const MAX_PARTS: usize = 256;

/// The most tokens that an answer can have counted; what is above is no count.
const MAX_COUNT: u64 = 1_000_000_000;

/// The failure of an answer in more than [`MAX_PARTS`].
pub(super) fn too_many_parts() -> Failure {
    Failure::bad_answer("the answer has too many tool calls or parts")
}

/// Reads the events of a streamed answer.
pub(super) trait Reader: Send {
    /// Reads an event.
    fn event(&mut self, event: &Value) -> Result<Delta, Failure>;

    /// Reads an event that contains only text, as most do, without parsing it in full; `None` for any
    /// other event, which [`Self::event`] then reads.
    fn text_delta(&mut self, _event: &str) -> Option<Delta> {
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
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens;
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

/// The provider's id of a call, or a generated one if it sends none.
pub(super) fn call_id(given: &str) -> String {
    if given.is_empty() {
        // Random enough: ids only have to differ within one conversation.
        return format!("call_{:016x}", RandomState::new().hash_one(given));
    }
    given.to_owned()
}

/// The value at a path of names and indices, such as `/choices/0/message`. (A JSON pointer without
/// escapes, and so without the allocations that they cost.)
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').skip(1).try_fold(value, |value, name| match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// A string, or an empty one.
pub(super) fn str_at<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// A count of tokens, or zero; some servers send `12.0`. A larger one than any answer can have is cut,
/// so that sums and costs are possible.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 saturates, and counts are smaller"
)]
pub(super) fn count_at(value: &Value, path: &str) -> u64 {
    let found = at(value, path);
    let count = found.and_then(|n| n.as_u64().or_else(|| n.as_f64().map(|n| n as u64)));
    count.unwrap_or_default().min(MAX_COUNT)
}

/// The items of a list; none if it is not a list.
pub(super) fn items<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    at(value, path).and_then(Value::as_array).into_iter().flatten()
}

/// The error in the body or an event of a success: in a field for it, or as the whole.
pub(super) fn error_in(value: &Value) -> Option<&Value> {
    let value = value.as_array().and_then(|list| list.first()).unwrap_or(value);
    let is_none = |error: &Value| match error {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::Array(_) => false,
    };
    let is_error = value.get("error").is_some_and(|error| !is_none(error))
        // Older vLLM sends the error itself: <https://github.com/vllm-project/vllm/issues/12886>.
        || str_at(value, "/object") == "error"
        || count_at(value, "/base_resp/status_code") != 0
        || is_message_alone(value);
    is_error.then_some(value)
}

/// Whether a server says something and nothing of an answer.
fn is_message_alone(value: &Value) -> bool {
    let has = |name: &&str| value.get(name).is_some();
    let says =
        |name: &&str| value.get(name).is_some_and(|said| said.is_string() || said.is_array());
    ["message", "detail"].iter().any(says)
        && !["choices", "candidates", "content", "output", "type"].iter().any(has)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_that_came_twice_is_one_and_others_stay() {
        let call = |id: &str, n: u64| ToolCall {
            id: id.to_owned(),
            name: "f".to_owned(),
            arguments: json!({ "n": n }),
            provider_state: None,
        };
        let mut calls = vec![call("a", 1), call("b", 1), call("a", 1), call("a", 2), call("b", 1)];
        without_repeats(&mut calls);
        assert_eq!(calls, [call("a", 1), call("b", 1), call("a", 2)]);
    }

    #[test]
    fn arguments_are_json_text_or_nothing() {
        assert_eq!(arguments(" "), json!({}));
        assert_eq!(arguments("{\"a\":1}"), json!({"a": 1}));
        assert_eq!(arguments("{not json"), json!("{not json"));
        assert_eq!(arguments_of(Some(&json!({"a": 1}))), json!({"a": 1}));
        assert_eq!(object(&json!("{not json")), json!({}));
    }

    fn ended(end: FinishReason, text: &str, arguments: &[&str]) -> Result<Answer, Failure> {
        let call = |text: &&str| PartialCall {
            name: "f".to_owned(),
            arguments: (*text).to_owned(),
            ..PartialCall::default()
        };
        Assembly {
            text: text.to_owned(),
            calls: arguments.iter().map(call).collect(),
            end: Some(End::Good(end)),
            ..Assembly::default()
        }
        .take()
    }

    #[test]
    fn calls_of_an_answer_that_was_cut_off_are_not_whole() {
        let written = ["{\"a\":1}", "", "{}", "{\"a\":"];
        let arguments = |end| {
            let calls = ended(end, "", &written).unwrap().message.tool_calls.into_iter();
            calls.map(|call| call.arguments).collect::<Vec<_>>()
        };
        let cut = arguments(FinishReason::Length);
        assert_eq!(cut, [json!({"a": 1}), json!(""), json!(""), json!("{\"a\":")]);
        let whole = arguments(FinishReason::ToolCalls);
        assert_eq!(whole, [json!({"a": 1}), json!({}), json!({}), json!("{\"a\":")]);
    }

    #[test]
    fn a_bad_end_stays_one() {
        let mut assembly = Assembly::default();
        assembly.ends(Some(End::Good(FinishReason::Stop)));
        assembly.ends(None);
        assert_eq!(assembly.end, Some(End::Good(FinishReason::Stop)));
        for worse in [FinishReason::Length, FinishReason::ContentFilter] {
            assembly.ends(Some(End::Good(worse)));
            assembly.ends(Some(End::Good(FinishReason::Stop)));
            assert_eq!(assembly.end, Some(End::Good(worse)));
        }
        assembly.ends(Some(End::Bad("error".to_owned())));
        assembly.ends(Some(End::Good(FinishReason::Stop)));
        assert_eq!(assembly.end, Some(End::Bad("error".to_owned())));
    }

    #[test]
    fn an_answer_has_a_sane_number_of_calls_and_tokens() {
        assert!(ended(FinishReason::Stop, "", &vec!["{}"; MAX_PARTS]).is_ok());
        assert!(ended(FinishReason::Stop, "", &vec!["{}"; MAX_PARTS + 1]).is_err());
        let counts = json!({ "a": 1e30, "b": u64::MAX, "c": 12.0, "d": -1 });
        let count = |path| count_at(&counts, path);
        assert_eq!((count("/a"), count("/b")), (MAX_COUNT, MAX_COUNT));
        assert_eq!((count("/c"), count("/d")), (12, 0));
    }

    #[test]
    fn the_reason_fits_what_came() {
        let reason = |end, text, calls: &[&str]| ended(end, text, calls).unwrap().finish_reason;
        assert_eq!(reason(FinishReason::Stop, "", &["{}"]), FinishReason::ToolCalls);
        assert_eq!(reason(FinishReason::ToolCalls, "Hi", &[]), FinishReason::Stop);
        assert_eq!(reason(FinishReason::Length, "Hi", &["{}"]), FinishReason::Length);
        assert!(ended(FinishReason::ToolCalls, " ", &[]).unwrap_err().retryable);
        assert!(Assembly::default().take().unwrap_err().retryable);
    }

    #[test]
    fn an_error_that_says_nothing_is_none() {
        for none in [json!(null), json!(""), json!({}), json!(false)] {
            assert_eq!(error_in(&json!({ "error": none })), None);
        }
        for error in [json!("x"), json!({ "message": "x" }), json!(1)] {
            assert!(error_in(&json!({ "error": error })).is_some());
            assert!(error_in(&json!([{ "error": error }])).is_some());
        }
        assert!(error_in(&json!({ "object": "error", "message": "x" })).is_some());
    }

    #[test]
    fn errors_in_a_success_are_found_in_every_shape() {
        for error in [
            json!({ "error": "x" }),
            json!([{ "error": { "message": "x" } }]),
            json!({ "object": "error", "message": "x" }),
            json!({ "detail": "x" }),
            json!({ "message": "x", "code": 500 }),
            json!({ "base_resp": { "status_code": 1008, "status_msg": "x" } }),
        ] {
            assert!(error_in(&error).is_some(), "{error}");
        }
        for answer in [
            json!({ "error": null, "choices": [] }),
            json!({ "type": "message_start", "message": {} }),
            json!({ "candidates": [], "message": "x" }),
            json!({ "base_resp": { "status_code": 0 }, "choices": [] }),
            json!({}),
        ] {
            assert_eq!(error_in(&answer), None);
        }
    }

    #[test]
    fn ids_that_are_missing_are_made_up() {
        assert_eq!(call_id("a"), "a");
        assert_ne!(call_id(""), call_id(""));
    }
}
