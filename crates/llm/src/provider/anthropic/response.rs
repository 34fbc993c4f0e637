//! Responses: complete and streamed.

use serde_json::Value;

use crate::event::{FinishReason, Usage};
use crate::model::Provider;
use crate::provider::answer::Answer;
use crate::provider::failure::Failure;
use crate::provider::wire::{
    self, Assembly, Delta, End, PartialCall, Reader, call_id, count_at, error_in, items, str_at,
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
    if body.get("content").and_then(Value::as_array).is_none() {
        return Err(Failure::bad_answer("the answer has no content"));
    }
    let (mut text, mut calls) = (String::new(), Vec::new());
    for block in items(body, "/content") {
        match str_at(block, "/type") {
            "text" => text.push_str(str_at(block, "/text")),
            "tool_use" => calls.push(ToolCall {
                id: call_id(str_at(block, "/id")),
                name: str_at(block, "/name").to_owned(),
                arguments: wire::arguments_of(block.get("input")),
                provider_state: None,
            }),
            // Thinking, and the server's own tools.
            _ => {}
        }
    }
    let mut counted = Counted::default();
    counted.take(&body["usage"]);
    let message = AssistantMessage { text, tool_calls: calls, thoughts: None };
    wire::answer(message, finish(str_at(body, "/stop_reason")), counted.usage())
}

fn finish(reason: &str) -> Option<End> {
    Some(match reason {
        "" => return None,
        "end_turn" | "stop_sequence" => End::Good(FinishReason::Stop),
        "max_tokens" | "model_context_window_exceeded" => End::Good(FinishReason::Length),
        "tool_use" => End::Good(FinishReason::ToolCalls),
        "refusal" => End::Good(FinishReason::ContentFilter),
        other => End::Bad(other.to_owned()),
    })
}

/// Usage, which is sent at the beginning and, more exactly, at the end.
#[derive(Debug, Default)]
struct Counted {
    input: u64,
    output: u64,
    read: u64,
    written: u64,
}

impl Counted {
    fn take(&mut self, usage: &Value) {
        for (field, name) in [
            (&mut self.input, "input_tokens"),
            (&mut self.output, "output_tokens"),
            (&mut self.read, "cache_read_input_tokens"),
            (&mut self.written, "cache_creation_input_tokens"),
        ] {
            if let Some(count) = usage.get(name).and_then(Value::as_u64) {
                *field = count;
            }
        }
    }

    /// The prompt includes cached tokens.
    fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.input + self.read + self.written,
            completion_tokens: self.output,
            cached_tokens: self.read,
            cache_write_tokens: self.written,
            ..Usage::default()
        }
    }
}

/// Reads a stream. It ends with `message_stop`.
#[derive(Debug)]
pub(in crate::provider) struct AnthropicReader {
    provider: Provider,
    assembly: Assembly,
    counted: Counted,
    ended: bool,
}

impl AnthropicReader {
    pub(in crate::provider) fn new(provider: Provider) -> Self {
        Self { provider, assembly: Assembly::default(), counted: Counted::default(), ended: false }
    }

    fn text(&mut self, text: &str) -> Delta {
        self.assembly.text.push_str(text);
        Delta::text(text.to_owned())
    }

    /// A block begins; some servers send it complete, without deltas.
    fn start(&mut self, event: &Value) -> Delta {
        let block = &event["content_block"];
        match str_at(block, "/type") {
            "text" => self.text(str_at(block, "/text")),
            "tool_use" => {
                let given = block
                    .get("input")
                    .filter(|input| input.as_object().is_some_and(|input| !input.is_empty()));
                self.assembly.calls.push(PartialCall {
                    index: count_at(event, "/index"),
                    id: str_at(block, "/id").to_owned(),
                    name: str_at(block, "/name").to_owned(),
                    arguments: given.map(Value::to_string).unwrap_or_default(),
                    state: None,
                });
                Delta::Nothing
            }
            _ => Delta::Nothing,
        }
    }

    fn delta(&mut self, event: &Value) -> Delta {
        match str_at(event, "/delta/type") {
            "text_delta" => self.text(str_at(event, "/delta/text")),
            "input_json_delta" => {
                let index = count_at(event, "/index");
                let mut calls = self.assembly.calls.iter_mut();
                // Deltas of the server's own tools have no call.
                if let Some(call) = calls.find(|call| call.index == index) {
                    call.arguments.push_str(str_at(event, "/delta/partial_json"));
                }
                Delta::Nothing
            }
            // Thinking, signatures, citations.
            _ => Delta::Nothing,
        }
    }
}

impl Reader for AnthropicReader {
    fn event(&mut self, event: &Value) -> Result<Delta, Failure> {
        Ok(match str_at(event, "/type") {
            "message_start" => {
                self.counted.take(&event["message"]["usage"]);
                Delta::Nothing
            }
            "content_block_start" => self.start(event),
            "content_block_delta" => self.delta(event),
            "message_delta" => {
                self.counted.take(&event["usage"]);
                let reason = finish(str_at(event, "/delta/stop_reason"));
                self.assembly.end = reason.or(self.assembly.end.take());
                Delta::Nothing
            }
            "message_stop" => {
                self.ended = true;
                Delta::End
            }
            "error" => return Err(Failure::of_error_object(self.provider, event)),
            _ => match error_in(event) {
                Some(error) => return Err(Failure::of_error_object(self.provider, error)),
                None => Delta::Nothing,
            },
        })
    }

    fn is_complete(&self) -> bool {
        self.ended
    }

    fn answer(&mut self) -> Result<Answer, Failure> {
        self.assembly.usage = self.counted.usage();
        self.assembly.take()
    }
}
