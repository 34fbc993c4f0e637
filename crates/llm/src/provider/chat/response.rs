//! Responses: complete and streamed.

use serde_json::Value;

use super::text_delta::TextDelta;
use crate::event::{FinishReason, Usage};
use crate::model::Provider;
use crate::provider::answer::Answer;
use crate::provider::failure::Failure;
use crate::provider::wire::{
    self, Assembly, Delta, End, PartialCall, Reader, arguments_of, call_id, count_at, error_in,
    items, str_at,
};
use crate::request::{AssistantMessage, ToolCall};

/// Parses a complete response.
///
/// # Errors
/// When it is an error or not an answer.
pub(in crate::provider) fn parse(provider: Provider, body: &Value) -> Result<Answer, Failure> {
    if let Some(error) = error_in(body) {
        return Err(Failure::of_error_object(provider, error));
    }
    let Some(choice) = first_choice(body) else {
        return Err(Failure::bad_answer("the answer has no choices"));
    };
    if let Some(error) = error_in(choice) {
        return Err(Failure::of_error_object(provider, error));
    }
    let message = choice.get("message").unwrap_or(&Value::Null);
    if message.is_null() && finish(choice).is_none() {
        // (Azure's filter sends a reason and no message.)
        return Err(Failure::bad_answer("the answer has no message"));
    }
    let calls = items(message, "/tool_calls").filter_map(|call| {
        Some(ToolCall {
            id: call_id(str_at(call, "/id")),
            name: wire::at(call, "/function/name")?.as_str()?.to_owned(),
            arguments: arguments_of(wire::at(call, "/function/arguments")),
            provider_state: None,
        })
    });
    let (text, calls) = (text_of(message), calls.collect());
    let message = AssistantMessage { text, tool_calls: calls, thoughts: None };
    wire::answer(message, finish(choice), usage(body).unwrap_or_default())
}

fn first_choice(body: &Value) -> Option<&Value> {
    items(body, "/choices").find(|choice| count_at(choice, "/index") == 0)
}

/// The text of a message or of a delta; a refusal counts as text.
fn text_of(message: &Value) -> String {
    let mut text = match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        // Mistral's reasoning models send a list of thoughts and texts.
        Some(Value::Array(parts)) => parts
            .iter()
            .filter(|part| str_at(part, "/type") == "text")
            .map(|part| str_at(part, "/text"))
            .collect(),
        _ => String::new(),
    };
    text.push_str(str_at(message, "/refusal"));
    text
}

fn finish(choice: &Value) -> Option<End> {
    Some(match choice.get("finish_reason")?.as_str()? {
        "" => return None,
        "stop" => End::Good(FinishReason::Stop),
        "length" | "max_tokens" | "model_length" => End::Good(FinishReason::Length),
        "tool_calls" => End::Good(FinishReason::ToolCalls),
        "content_filter" => End::Good(FinishReason::ContentFilter),
        other => End::Bad(other.to_owned()),
    })
}

fn usage(body: &Value) -> Option<Usage> {
    let found = [body.get("usage"), wire::at(body, "/x_groq/usage")];
    let usage = found.into_iter().flatten().find(|usage| usage.is_object())?;
    let (prompt, mut completion) =
        (count_at(usage, "/prompt_tokens"), count_at(usage, "/completion_tokens"));
    let reasoning = count_at(usage, "/completion_tokens_details/reasoning_tokens");
    // xAI counts reasoning tokens separately from the completion.
    if reasoning > 0 && count_at(usage, "/total_tokens") == prompt + completion + reasoning {
        completion += reasoning;
    }
    Some(Usage {
        prompt_tokens: prompt,
        completion_tokens: completion,
        total_tokens: prompt + completion,
        cached_tokens: count_at(usage, "/prompt_tokens_details/cached_tokens"),
        cache_write_tokens: count_at(usage, "/prompt_tokens_details/cache_write_tokens"),
        reasoning_tokens: reasoning,
        estimated: false,
    })
}

/// Reads a stream. It ends with `[DONE]`, without which it is incomplete.
#[derive(Debug)]
pub(in crate::provider) struct ChatReader {
    provider: Provider,
    assembly: Assembly,
    done: bool,
}

impl ChatReader {
    pub(in crate::provider) fn new(provider: Provider) -> Self {
        Self { provider, assembly: Assembly::default(), done: false }
    }

    fn call(&mut self, piece: &Value) {
        let calls = &mut self.assembly.calls;
        let id = str_at(piece, "/id");
        let index = piece.get("index").and_then(Value::as_u64);
        // Some servers send no index, or zero for every call, and each call in one piece.
        let continues = |call: &PartialCall| {
            index.is_none_or(|index| index == call.index)
                && (id.is_empty() || call.id.is_empty() || call.id == id)
        };
        if !calls.iter().any(continues) {
            calls.push(PartialCall { index: index.unwrap_or_default(), ..PartialCall::default() });
        }
        let Some(call) = calls.iter_mut().rev().find(|call| continues(call)) else { return };
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        let name = str_at(piece, "/function/name");
        if call.name != name {
            call.name.push_str(name);
        }
        match wire::at(piece, "/function/arguments") {
            Some(Value::String(text)) => call.arguments.push_str(text),
            None | Some(Value::Null) => {}
            Some(other) => call.arguments = other.to_string(),
        }
    }
}

impl Reader for ChatReader {
    fn event(&mut self, event: &Value) -> Result<Delta, Failure> {
        if let Some(error) = error_in(event) {
            return Err(Failure::of_error_object(self.provider, error));
        }
        if let Some(usage) = usage(event) {
            self.assembly.usage = usage;
        }
        let Some(choice) = first_choice(event) else { return Ok(Delta::Nothing) };
        if let Some(error) = error_in(choice) {
            return Err(Failure::of_error_object(self.provider, error));
        }
        let reason = finish(choice);
        self.assembly.end = reason.or(self.assembly.end.take());
        let Some(delta) = choice.get("delta") else { return Ok(Delta::Nothing) };
        for piece in items(delta, "/tool_calls") {
            self.call(piece);
        }
        let text = text_of(delta);
        self.assembly.text.push_str(&text);
        Ok(Delta::text(text))
    }

    fn text_delta(&mut self, event: &str) -> Option<Delta> {
        let text = TextDelta::parse(event)?;
        self.assembly.text.push_str(&text);
        Some(Delta::text(text))
    }

    fn done(&mut self) -> Delta {
        self.done = true;
        Delta::End
    }

    fn is_complete(&self) -> bool {
        self.done
    }

    fn answer(&mut self) -> Result<Answer, Failure> {
        self.assembly.take()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Both parsers must give the same result.
    fn read(events: &[Value]) -> Answer {
        let mut reader = ChatReader::new(Provider::OpenAi);
        let mut quick = ChatReader::new(Provider::OpenAi);
        for event in events {
            let expected = reader.event(event).unwrap();
            if let Some(delta) = quick.text_delta(&event.to_string()) {
                assert_eq!(delta, expected, "{event}");
            } else {
                quick.event(event).unwrap();
            }
        }
        quick.done();
        assert_eq!(quick.answer(), reader.assembly.clone().take());
        assert!(!reader.is_complete());
        reader.done();
        assert!(reader.is_complete());
        reader.answer().unwrap()
    }

    fn delta(call: &Value) -> Value {
        json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] })
    }

    #[test]
    fn calls_come_in_pieces_or_whole_with_numbers_or_without() {
        let pieces = read(&[
            delta(&json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": "" } })),
            delta(
                &json!({ "index": 1, "id": "b", "function": { "name": "g", "arguments": "{}" } }),
            ),
            delta(&json!({ "index": 0, "function": { "arguments": "{\"x\":" } })),
            delta(&json!({ "index": 0, "function": { "name": "f", "arguments": "1}" } })),
        ]);
        let calls = &pieces.message.tool_calls;
        assert_eq!((calls[0].name.as_str(), &calls[0].arguments), ("f", &json!({"x": 1})));
        assert_eq!((calls[1].name.as_str(), calls.len()), ("g", 2));
        for numbers in [json!(0), Value::Null] {
            let whole = |id: &str| {
                delta(
                    &json!({ "index": numbers, "id": id, "function": { "name": id, "arguments": {"x": 1} } }),
                )
            };
            let calls = read(&[whole("a"), whole("b")]).message.tool_calls;
            assert_eq!((calls[0].name.as_str(), calls[1].name.as_str()), ("a", "b"));
            assert_eq!(calls[1].arguments, json!({"x": 1}));
        }
    }

    #[test]
    fn thoughts_that_are_counted_beside_the_answer_are_paid_too() {
        let beside = json!({ "usage": { "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 35,
            "completion_tokens_details": { "reasoning_tokens": 20 } } });
        assert_eq!(usage(&beside).unwrap().completion_tokens, 25);
        let within = json!({ "usage": { "prompt_tokens": 10, "completion_tokens": 25, "total_tokens": 35,
            "completion_tokens_details": { "reasoning_tokens": 20 } } });
        assert_eq!(usage(&within).unwrap().completion_tokens, 25);
    }
}
