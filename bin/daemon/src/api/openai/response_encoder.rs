//! Encodes a run's answer as a response, whole or as events. Each turn of the model that says something is a
//! message of its own.

use std::time::{SystemTime, UNIX_EPOCH};

use llm::event::FinishReason;
use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::super::run_stream::RunUpdate;
use super::super::sse::Event;
use super::encoder::{extension, void};
use crate::run::answer::RunAnswer;
use crate::run::events::RunEvent;

/// Encodes one answer.
pub(super) struct ResponseEncoder {
    model: String,
    created: u64,
    /// What the response tells of its request.
    told: Map<String, Value>,
    run_id: String,
    /// Whether the text is sent only once it is known to be valid, because nothing in this protocol takes
    /// text back.
    pub(super) holds_text: bool,
    /// Events so far.
    events: u64,
    /// The messages that are complete.
    output: Vec<Value>,
    /// The text of the message that is open.
    open: Option<String>,
    /// The turn of the model whose text was sent last, and how many characters of it.
    turn: (Option<u32>, u64),
    /// Whether text was sent that is void by now. Then nothing more is.
    is_void: bool,
}

impl ResponseEncoder {
    pub(super) fn new(model: &str, told: Map<String, Value>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            model: model.to_owned(),
            created: now.as_secs(),
            told,
            run_id: String::new(),
            holds_text: false,
            events: 0,
            output: Vec::new(),
            open: None,
            turn: (None, 0),
            is_void: false,
        }
    }

    /// The response of a run that has ended.
    pub(super) fn whole(&mut self, answer: &RunAnswer) -> Value {
        self.run_id.clone_from(&answer.run_id);
        self.output = vec![self.message(0, "completed", &answer.display_text())];
        self.ended(answer).1
    }

    /// The events of one update.
    pub(super) fn encode(&mut self, update: RunUpdate) -> Vec<Event> {
        let mut out = Vec::new();
        match update {
            _ if self.is_void => {}
            RunUpdate::Event(RunEvent::Start { run_id, .. }) => {
                self.run_id = run_id;
                for name in ["response.created", "response.in_progress"] {
                    let response = self.object("in_progress");
                    self.push(name, json!({ "response": response }), &mut out);
                }
            }
            RunUpdate::Event(RunEvent::Chunk { .. }) if self.holds_text => {}
            RunUpdate::Event(RunEvent::Chunk { data, step }) => {
                if self.turn.0 != step {
                    self.close(&mut out);
                    self.turn = (step, 0);
                }
                self.turn.1 += data.chars().count() as u64;
                self.text(&data, &mut out);
            }
            RunUpdate::Event(RunEvent::Restarted { step, from, .. }) => {
                if self.turn.0 == Some(step) && self.turn.1 > from {
                    self.is_void = true;
                    self.failed(&void(), &mut out);
                }
            }
            // The agent's own tools, which the caller must not run. They are reported at the end.
            RunUpdate::Event(RunEvent::ToolCall { .. } | RunEvent::ToolResult { .. }) => {}
            RunUpdate::Done(answer) => self.end(&answer, &mut out),
            RunUpdate::Failed(error) => self.failed(&error, &mut out),
        }
        out
    }

    fn end(&mut self, answer: &RunAnswer, out: &mut Vec<Event>) {
        if self.open.is_none() && self.output.is_empty() {
            self.text(&answer.display_text(), out);
        } else if answer.tool_requests().iter().any(|asked| asked.question.is_some()) {
            self.close(out);
            self.text(&answer.waiting_text(), out);
        }
        self.close(out);
        let (name, response) = self.ended(answer);
        self.push(name, json!({ "response": response }), out);
    }

    fn failed(&mut self, error: &ApiError, out: &mut Vec<Event>) {
        let mut response = self.object("failed");
        response["error"] = json!({ "code": error.body.code, "message": error.body.error });
        response["wombat"] = json!({ "code": error.body.code, "details": error.body.details });
        self.push("response.failed", json!({ "response": response }), out);
    }

    /// More text of the message that is open.
    fn text(&mut self, delta: &str, out: &mut Vec<Event>) {
        let at = self.output.len();
        if self.open.is_none() {
            let mut item = self.message(at, "in_progress", "");
            item["content"] = json!([]);
            self.push(
                "response.output_item.added",
                json!({ "output_index": at, "item": item }),
                out,
            );
            self.push_part("response.content_part.added", json!({ "part": part("") }), out);
        }
        let delta_event = json!({ "delta": delta, "logprobs": [] });
        self.push_part("response.output_text.delta", delta_event, out);
        self.open.get_or_insert_default().push_str(delta);
    }

    /// Ends the message that is open.
    fn close(&mut self, out: &mut Vec<Event>) {
        let Some(text) = self.open.take() else { return };
        let at = self.output.len();
        self.push_part("response.output_text.done", json!({ "text": text, "logprobs": [] }), out);
        self.push_part("response.content_part.done", json!({ "part": part(&text) }), out);
        let item = self.message(at, "completed", &text);
        let done = json!({ "output_index": at, "item": item });
        self.push("response.output_item.done", done, out);
        self.output.push(item);
    }

    /// An event about the content of the message that is open.
    fn push_part(&mut self, name: &'static str, mut event: Value, out: &mut Vec<Event>) {
        let at = self.output.len();
        event["item_id"] = json!(self.message_id(at));
        event["output_index"] = json!(at);
        event["content_index"] = json!(0);
        self.push(name, event, out);
    }

    fn push(&mut self, name: &'static str, mut event: Value, out: &mut Vec<Event>) {
        event["type"] = json!(name);
        event["sequence_number"] = json!(self.events);
        self.events += 1;
        out.push(Event::named(name, event.to_string()));
    }

    fn message_id(&self, at: usize) -> String {
        format!("msg_{}_{at}", self.run_id)
    }

    fn message(&self, at: usize, status: &str, text: &str) -> Value {
        json!({ "id": self.message_id(at), "type": "message", "role": "assistant", "status": status,
            "content": [part(text)] })
    }

    /// The event of the end, and its response.
    fn ended(&self, answer: &RunAnswer) -> (&'static str, Value) {
        let cut = match answer.finish_reason {
            Some(FinishReason::Length) => Some("max_output_tokens"),
            Some(FinishReason::ContentFilter) => Some("content_filter"),
            Some(FinishReason::Stop | FinishReason::ToolCalls) | None => None,
        };
        let (name, status) = match cut {
            Some(_) => ("response.incomplete", "incomplete"),
            None => ("response.completed", "completed"),
        };
        let mut response = self.object(status);
        response["incomplete_details"] = cut.map_or(Value::Null, |why| json!({ "reason": why }));
        let usage = &answer.usage;
        response["usage"] = json!({
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": usage.cached_tokens,
                "cache_write_tokens": usage.cache_write_tokens,
            },
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": { "reasoning_tokens": usage.reasoning_tokens },
            "total_tokens": usage.total_tokens,
        });
        response["wombat"] = extension(answer);
        (name, response)
    }

    /// The response as it is now.
    fn object(&self, status: &str) -> Value {
        let told = |name: &str| self.told.get(name).cloned();
        json!({
            "id": format!("resp_{}", self.run_id),
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": null,
            "instructions": told("instructions"),
            "max_output_tokens": told("max_output_tokens"),
            "metadata": told("metadata").unwrap_or_else(|| json!({})),
            "model": self.model,
            "output": self.output,
            "parallel_tool_calls": told("parallel_tool_calls").unwrap_or(Value::Bool(true)),
            "previous_response_id": null,
            "reasoning": { "effort": null, "summary": null },
            "service_tier": "default",
            "store": false,
            "temperature": told("temperature"),
            "text": { "format": told("format").unwrap_or_else(|| json!({ "type": "text" })) },
            "tool_choice": "auto",
            "tools": [],
            "top_p": told("top_p"),
            "truncation": told("truncation").unwrap_or_else(|| json!("disabled")),
            "usage": null,
            "user": told("user"),
        })
    }
}

fn part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::events::RestartReason;

    fn chunk(data: &str, step: u32) -> RunUpdate {
        RunUpdate::Event(RunEvent::Chunk { data: data.to_owned(), step: Some(step) })
    }

    #[test]
    fn each_turn_is_a_message_and_void_text_fails_the_response() {
        let mut encoder = ResponseEncoder::new("scout", Map::new());
        let first = encoder.encode(chunk("Let me", 1));
        assert_eq!(first.len(), 3);
        assert_eq!(encoder.encode(chunk(" look.", 1)).len(), 1);
        // The first message ends, the second begins.
        assert_eq!(encoder.encode(chunk("It is there.", 3)).len(), 6);
        assert_eq!(encoder.output[0]["content"][0]["text"], "Let me look.");
        let restarted = |step, from| {
            let reason = RestartReason::Resumed;
            RunUpdate::Event(RunEvent::Restarted { step, from, reason })
        };
        assert!(encoder.encode(restarted(3, 12)).is_empty());
        let failed = encoder.encode(restarted(3, 0));
        assert!(format!("{failed:?}").contains("answer_restarted"), "{failed:?}");
        assert!(encoder.encode(chunk("h", 4)).is_empty());
    }
}
