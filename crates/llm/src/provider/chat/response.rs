//! Responses: complete and streamed.

use serde_json::Value;

use super::calls::{self, Calls};
use super::chunk::Chunk;
use super::text_delta::TextDelta;
use super::thoughts::{self, ThoughtReader};
use super::{ends, usage};
use crate::model::Provider;
use crate::provider::answer::Answer;
use crate::provider::failure::Failure;
use crate::provider::wire::{Assembly, Delta, End, Reader, count_at, error_in, items, str_at};

/// Parses a complete response.
///
/// # Errors
/// When it is an error or not an answer, or did not end well.
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
    let end = ends::end(choice);
    if message.is_null() && end.is_none() {
        // (Azure's filter sends a reason and no message.)
        return Err(Failure::bad_answer("the answer has no message"));
    }
    let mut assembly = Assembly {
        text: text_of(message),
        calls: calls::whole(provider, message)?,
        thoughts: thoughts::whole(provider, message),
        end,
        ..Assembly::default()
    };
    usage::read(body, Some(choice), &mut assembly.usage);
    assembly.take()
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

/// Reads a stream. It is complete with `[DONE]`, or when its end came with a finish reason and usage:
/// some servers send no `[DONE]`.
#[derive(Debug)]
pub(in crate::provider) struct ChatReader {
    provider: Provider,
    assembly: Assembly,
    calls: Calls,
    thoughts: ThoughtReader,
    done: bool,
    /// Whether the last event was a text.
    was_text: bool,
}

impl ChatReader {
    pub(in crate::provider) fn new(provider: Provider) -> Self {
        Self {
            provider,
            assembly: Assembly::default(),
            calls: Calls::default(),
            thoughts: ThoughtReader::default(),
            done: false,
            was_text: false,
        }
    }
}

impl ChatReader {
    /// As [`Reader::event`].
    fn chunk(&mut self, chunk: &Chunk<'_>) -> Result<Delta, Failure> {
        if let Some(counts) = &chunk.usage {
            counts.add_to(&mut self.assembly.usage);
        }
        let Some(choice) = chunk.choice() else { return Ok(Delta::Nothing) };
        self.assembly.ends(ends::of_words(choice.finish_reasons()));
        let Some(delta) = &choice.delta else { return Ok(Delta::Nothing) };
        self.calls.pieces(delta.calls())?;
        for (name, more) in delta.thoughts() {
            self.thoughts.text(name, more);
        }
        let text = delta.text();
        self.assembly.text.push_str(&text);
        Ok(Delta::text(text))
    }
}

impl Reader for ChatReader {
    fn event(&mut self, event: &Value) -> Result<Delta, Failure> {
        if let Some(error) = error_in(event) {
            return Err(Failure::of_error_object(self.provider, error));
        }
        let choice = first_choice(event);
        usage::read(event, choice, &mut self.assembly.usage);
        let Some(choice) = choice else { return Ok(Delta::Nothing) };
        if let Some(error) = error_in(choice) {
            return Err(Failure::of_error_object(self.provider, error));
        }
        self.assembly.ends(ends::end(choice));
        let Some(delta) = choice.get("delta").filter(|delta| delta.is_object()) else {
            return Ok(Delta::Nothing);
        };
        self.calls.delta(delta)?;
        self.thoughts.delta(delta, self.assembly.text.len());
        let text = text_of(delta);
        self.assembly.text.push_str(&text);
        Ok(Delta::text(text))
    }

    fn usual_event(&mut self, event: &str) -> Option<Result<Delta, Failure>> {
        // Behind a text comes another one, nearly always.
        if self.was_text
            && let Some(text) = TextDelta::parse(event)
        {
            self.assembly.text.push_str(&text);
            return Some(Ok(Delta::text(text)));
        }
        let read = Chunk::parse(event).map(|chunk| self.chunk(&chunk));
        self.was_text = matches!(read, Some(Ok(Delta::Text(_))));
        read
    }

    fn done(&mut self) -> Delta {
        self.done = true;
        Delta::End
    }

    fn is_complete(&self) -> bool {
        self.done
            || match self.assembly.end {
                None => false,
                Some(End::Good(_)) => !self.assembly.usage.is_unknown(),
                // Nothing that follows makes it better.
                Some(End::Bad(_)) => true,
            }
    }

    fn answer(&mut self) -> Result<Answer, Failure> {
        self.assembly.calls = self.calls.take(self.provider);
        self.assembly.thoughts = self.thoughts.take(self.provider, &self.assembly.text);
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
            if let Some(delta) = quick.usual_event(&event.to_string()) {
                assert_eq!(delta.unwrap(), expected, "{event}");
            } else {
                quick.event(event).unwrap();
            }
        }
        let end = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
        for reader in [&mut reader, &mut quick] {
            reader.event(&end).unwrap();
            reader.done();
        }
        let (answer, same) = (reader.answer().unwrap(), quick.answer().unwrap());
        assert_eq!(answer, same);
        answer
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
}
