//! Responses: complete and streamed.

use serde_json::{Value, json};

use super::REASONING;
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
    if body.get("output").and_then(Value::as_array).is_none() {
        return Err(Failure::bad_answer("the answer has no output"));
    }
    let (mut text, mut calls, mut thoughts) = (String::new(), Vec::new(), Vec::new());
    for item in items(body, "/output") {
        match str_at(item, "/type") {
            "message" => text.push_str(&text_of(item)),
            "function_call" => calls.push(ToolCall {
                id: call_id(str_at(item, "/call_id")),
                name: str_at(item, "/name").to_owned(),
                arguments: arguments_of(item.get("arguments")),
                provider_state: state(&mut thoughts),
            }),
            "reasoning" => keep(&mut thoughts, item),
            // The server's own tools are ignored.
            _ => {}
        }
    }
    let message = AssistantMessage { text, tool_calls: calls, thoughts: None };
    wire::answer(message, Some(finish(body)), usage(body))
}

/// Reasoning goes back encrypted or not at all: otherwise the server would look for an item that it has
/// not stored.
fn keep(thoughts: &mut Vec<Value>, item: &Value) {
    if item.get("encrypted_content").is_some_and(Value::is_string) {
        thoughts.push(json!({
            "type": "reasoning",
            "summary": item.get("summary").cloned().unwrap_or_else(|| json!([])),
            "encrypted_content": item["encrypted_content"],
        }));
    }
}

fn state(thoughts: &mut Vec<Value>) -> Option<Value> {
    let thoughts = std::mem::take(thoughts);
    (!thoughts.is_empty()).then(|| json!({ REASONING: thoughts }))
}

fn text_of(item: &Value) -> String {
    items(item, "/content").map(|part| (str_at(part, "/text"), str_at(part, "/refusal"))).fold(
        String::new(),
        |mut all, (text, refusal)| {
            all.push_str(text);
            all.push_str(refusal);
            all
        },
    )
}

fn finish(response: &Value) -> End {
    match (str_at(response, "/status"), str_at(response, "/incomplete_details/reason")) {
        ("completed", _) => End::Good(FinishReason::Stop),
        (_, "max_output_tokens") => End::Good(FinishReason::Length),
        (_, "content_filter") => End::Good(FinishReason::ContentFilter),
        (status, "") => End::Bad(status.to_owned()),
        (_, reason) => End::Bad(reason.to_owned()),
    }
}

fn usage(response: &Value) -> Usage {
    let count = |path: &str| count_at(response, path);
    Usage {
        prompt_tokens: count("/usage/input_tokens"),
        completion_tokens: count("/usage/output_tokens"),
        cached_tokens: count("/usage/input_tokens_details/cached_tokens"),
        reasoning_tokens: count("/usage/output_tokens_details/reasoning_tokens"),
        ..Usage::default()
    }
}

/// Reads a stream. It ends with `response.completed` or `response.incomplete`.
#[derive(Debug)]
pub(in crate::provider) struct ResponsesReader {
    provider: Provider,
    assembly: Assembly,
    thoughts: Vec<Value>,
    /// The item whose text was streamed.
    streamed_item: Option<u64>,
    ended: bool,
}

impl ResponsesReader {
    pub(in crate::provider) fn new(provider: Provider) -> Self {
        Self {
            provider,
            assembly: Assembly::default(),
            thoughts: Vec::new(),
            streamed_item: None,
            ended: false,
        }
    }

    fn item(&mut self, event: &Value, item: &Value) -> Delta {
        match str_at(item, "/type") {
            "function_call" => {
                let arguments = item.get("arguments");
                self.assembly.calls.push(PartialCall {
                    id: str_at(item, "/call_id").to_owned(),
                    name: str_at(item, "/name").to_owned(),
                    arguments: match arguments {
                        Some(Value::String(text)) => text.clone(),
                        None | Some(Value::Null) => String::new(),
                        Some(other) => other.to_string(),
                    },
                    state: state(&mut self.thoughts),
                    ..PartialCall::default()
                });
            }
            "reasoning" => keep(&mut self.thoughts, item),
            // Some compatible servers send a message only as a whole.
            "message" if self.streamed_item != Some(count_at(event, "/output_index")) => {
                let text = text_of(item);
                self.assembly.text.push_str(&text);
                return Delta::text(text);
            }
            _ => {}
        }
        Delta::Nothing
    }
}

impl Reader for ResponsesReader {
    fn event(&mut self, event: &Value) -> Result<Delta, Failure> {
        match str_at(event, "/type") {
            "response.output_text.delta" | "response.refusal.delta" => {
                self.streamed_item = Some(count_at(event, "/output_index"));
                let text = str_at(event, "/delta").to_owned();
                self.assembly.text.push_str(&text);
                Ok(Delta::text(text))
            }
            "response.output_item.done" => {
                Ok(event.get("item").map_or(Delta::Nothing, |item| self.item(event, item)))
            }
            "response.completed" | "response.incomplete" => {
                let response = &event["response"];
                self.assembly.end = Some(finish(response));
                self.assembly.usage = usage(response);
                self.ended = true;
                Ok(Delta::End)
            }
            "response.failed" => Err(Failure::of_error_object(self.provider, &event["response"])),
            "error" => Err(Failure::of_error_object(self.provider, event)),
            _ => match error_in(event) {
                Some(error) => Err(Failure::of_error_object(self.provider, error)),
                None => Ok(Delta::Nothing),
            },
        }
    }

    fn is_complete(&self) -> bool {
        self.ended
    }

    fn answer(&mut self) -> Result<Answer, Failure> {
        self.assembly.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_comes_only_as_a_whole_is_told_once() {
        let mut reader = ResponsesReader::new(Provider::OpenAi);
        let item = |index: u64| {
            json!({ "type": "response.output_item.done", "output_index": index,
                "item": { "type": "message", "content": [{ "type": "output_text", "text": "Hi" }] } })
        };
        let piece =
            json!({ "type": "response.output_text.delta", "output_index": 1, "delta": "Ho" });
        assert_eq!(reader.event(&item(0)).unwrap(), Delta::Text("Hi".into()));
        assert_eq!(reader.event(&piece).unwrap(), Delta::Text("Ho".into()));
        assert_eq!(reader.event(&item(1)).unwrap(), Delta::Nothing);
        reader.assembly.end = Some(End::Good(FinishReason::Stop));
        assert_eq!(reader.answer().unwrap().message.text, "HiHo");
    }
}
