//! Responses: complete and streamed.

use serde_json::Value;

use super::items::{Items, Kind};
use crate::event::{FinishReason, Usage};
use crate::model::Provider;
use crate::provider::answer::Answer;
use crate::provider::failure::Failure;
use crate::provider::turn_parts::PartsNote;
use crate::provider::wire::{
    Assembly, Delta, End, PartialCall, Reader, count_at, error_in, items, str_at, too_many_parts,
};

/// Parses a complete response.
///
/// # Errors
/// When it is an error or not an answer.
pub(in crate::provider) fn parse(provider: Provider, body: &Value) -> Result<Answer, Failure> {
    if let Some(error) = error_in(body) {
        return Err(Failure::of_error_object(provider, error));
    }
    let status = str_at(body, "/status");
    if matches!(status, "" | "completed" | "complete")
        && body.get("output").and_then(Value::as_array).is_none()
    {
        return Err(Failure::bad_answer("the answer has no output"));
    }
    let mut reader = ResponsesReader::new(provider);
    reader.end(body, status);
    reader.answer()
}

/// How an answer ended: `status` is its status, or what the type of its last event says. Source:
/// <https://platform.openai.com/docs/api-reference/responses/object>.
fn finish(response: &Value, status: &str) -> Option<End> {
    Some(match (status, str_at(response, "/incomplete_details/reason")) {
        ("", _) => return None,
        // An item that was cut off, whatever the whole is called.
        ("completed" | "complete", _)
            if items(response, "/output").any(|item| str_at(item, "/status") == "incomplete") =>
        {
            End::Good(FinishReason::Length)
        }
        // The recordings have `complete`, too.
        ("completed" | "complete", _) => End::Good(FinishReason::Stop),
        ("incomplete", "max_output_tokens") => End::Good(FinishReason::Length),
        ("incomplete", "content_filter") => End::Good(FinishReason::ContentFilter),
        ("incomplete", reason) if !reason.is_empty() => End::Bad(reason.to_owned()),
        (status, _) => End::Bad(status.to_owned()),
    })
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

/// Reads a stream. It ends with the event that has the whole response, such as `response.completed`.
#[derive(Debug)]
pub(in crate::provider) struct ResponsesReader {
    provider: Provider,
    text: String,
    items: Items,
    usage: Usage,
    end: Option<End>,
    ended: bool,
}

impl ResponsesReader {
    pub(in crate::provider) fn new(provider: Provider) -> Self {
        Self {
            provider,
            text: String::new(),
            items: Items::default(),
            usage: Usage::default(),
            end: None,
            ended: false,
        }
    }

    fn text(&mut self, text: String) -> Delta {
        self.text.push_str(&text);
        Delta::text(text)
    }

    /// Reads the whole response that ends the stream. It may be the first to tell its text.
    fn end(&mut self, response: &Value, status: &str) -> Delta {
        let rest = self.items.list(response, &self.text);
        self.end = finish(response, status);
        self.usage = usage(response);
        self.ended = true;
        match self.text(rest) {
            Delta::Nothing => Delta::End,
            delta => delta,
        }
    }
}

impl Reader for ResponsesReader {
    fn event(&mut self, event: &Value) -> Result<Delta, Failure> {
        let kind = str_at(event, "/type");
        let new = match kind {
            "response.output_text.delta" | "response.refusal.delta" => {
                self.items.text_piece(event, str_at(event, "/delta"))
            }
            "response.output_text.done" => self.items.whole_text(event, str_at(event, "/text")),
            "response.refusal.done" => self.items.whole_text(event, str_at(event, "/refusal")),
            "response.content_part.done" => self.items.whole_part(event),
            "response.output_item.added" => {
                self.items.begin(event, &event["item"]);
                String::new()
            }
            "response.function_call_arguments.delta" => {
                self.items.arguments_piece(event);
                String::new()
            }
            "response.function_call_arguments.done" => {
                self.items.whole_arguments(event);
                String::new()
            }
            "response.output_item.done" => self.items.finish(event, &event["item"]),
            "response.completed" | "response.incomplete" | "response.cancelled" => {
                let response = &event["response"];
                let status = match str_at(response, "/status") {
                    "" => kind.trim_start_matches("response."),
                    status => status,
                };
                return Ok(self.end(response, status));
            }
            "response.failed" => {
                return Err(Failure::of_error_object(self.provider, &event["response"]));
            }
            "error" => return Err(Failure::of_error_object(self.provider, event)),
            _ => match error_in(event) {
                Some(error) => return Err(Failure::of_error_object(self.provider, error)),
                None => String::new(),
            },
        };
        if self.items.are_too_many() {
            return Err(too_many_parts());
        }
        Ok(self.text(new))
    }

    fn has_ended(&self) -> bool {
        self.ended
    }

    fn is_complete(&self) -> bool {
        self.ended
    }

    fn answer(&mut self) -> Result<Answer, Failure> {
        if self.items.are_too_many() {
            return Err(too_many_parts());
        }
        let mut note = PartsNote::default();
        let mut assembly = Assembly {
            text: std::mem::take(&mut self.text),
            usage: self.usage,
            end: self.end.take(),
            ..Assembly::default()
        };
        for item in std::mem::take(&mut self.items).into_items() {
            match item.kind {
                Kind::Message if item.fields.is_empty() => note.text(item.text_bytes),
                Kind::Message => note.text_with(item.text_bytes, item.fields),
                Kind::Call => {
                    note.call();
                    assembly.calls.push(PartialCall {
                        id: item.call_id,
                        name: item.name,
                        arguments: item.arguments,
                        ..PartialCall::default()
                    });
                }
                Kind::Reasoning => {
                    if let Some(reasoning) = item.reasoning {
                        note.own(reasoning);
                    }
                }
            }
        }
        assembly.thoughts = note.thoughts(self.provider);
        assembly.take()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_that_was_cut_off_cuts_the_answer() {
        for (status, end) in
            [("completed", FinishReason::ToolCalls), ("incomplete", FinishReason::Length)]
        {
            let call =
                json!({ "type": "function_call", "call_id": "c", "name": "f", "status": status });
            let body = json!({ "status": "completed", "output": [call] });
            assert_eq!(parse(Provider::OpenAi, &body).unwrap().finish_reason, end);
        }
    }
}
