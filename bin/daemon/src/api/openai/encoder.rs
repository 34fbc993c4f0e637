//! Encodes a run's answer as a chat completion, whole or in chunks.

use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;
use llm::event::FinishReason;
use serde_json::{Value, json};

use super::super::error::ApiError;
use super::super::run_stream::RunUpdate;
use super::error_body;
use super::read::Streamed;
use crate::run::answer::RunAnswer;
use crate::run::events::RunEvent;

/// Encodes one answer in OpenAI's form.
pub(super) struct Encoder {
    model: String,
    created: u64,
    id: String,
    pub(super) wanted: Option<Streamed>,
    /// Whether the text is sent only once it is known to be valid, because nothing in this protocol takes
    /// text back.
    pub(super) holds_text: bool,
    /// Whether any text was sent.
    spoke: bool,
    /// The turn of the model whose text was sent last, and how many characters of it.
    turn: (Option<u32>, u64),
    /// Whether text was sent that is void by now. Then nothing more is: whoever reads must not take it for
    /// the answer.
    is_void: bool,
}

impl Encoder {
    pub(super) fn new(model: &str, wanted: Option<Streamed>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = String::new();
        Self {
            model: model.to_owned(),
            created: now.as_secs(),
            id,
            wanted,
            holds_text: false,
            spoke: false,
            turn: (None, 0),
            is_void: false,
        }
    }

    pub(super) fn completion(&self, answer: &RunAnswer) -> Value {
        let text = answer.display_text();
        json!({
            "id": completion_id(&answer.run_id),
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": text, "refusal": null },
                "logprobs": null,
                "finish_reason": finish_reason(answer),
            }],
            "usage": usage(answer),
            "wombat": extension(answer),
        })
    }

    /// The data of the events of one update.
    pub(super) fn encode(&mut self, update: RunUpdate) -> Vec<String> {
        match update {
            _ if self.is_void => Vec::new(),
            RunUpdate::Event(RunEvent::Start { run_id, .. }) => {
                self.id = completion_id(&run_id);
                vec![self.chunk(json!({ "role": "assistant", "content": "" }), Value::Null)]
            }
            RunUpdate::Event(RunEvent::Chunk { .. }) if self.holds_text => Vec::new(),
            RunUpdate::Event(RunEvent::Chunk { data, step }) => {
                self.spoke = true;
                if self.turn.0 != step {
                    self.turn = (step, 0);
                }
                self.turn.1 += data.chars().count() as u64;
                vec![self.chunk(json!({ "content": data }), Value::Null)]
            }
            RunUpdate::Event(RunEvent::Restarted { step, from, .. })
                if self.turn.0 == Some(step) && self.turn.1 > from =>
            {
                self.is_void = true;
                vec![error_body(&void()).to_string()]
            }
            // The agent's own tools, which the caller must not run. They are reported at the end.
            RunUpdate::Event(
                RunEvent::ToolCall { .. }
                | RunEvent::ToolResult { .. }
                | RunEvent::Restarted { .. },
            ) => Vec::new(),
            RunUpdate::Done(answer) => self.end(&answer),
            RunUpdate::Failed(error) => vec![error_body(&error).to_string()],
        }
    }

    fn end(&self, answer: &RunAnswer) -> Vec<String> {
        let mut events = Vec::new();
        if !self.spoke {
            events.push(self.chunk(json!({ "content": answer.display_text() }), Value::Null));
        }
        let mut last = self.object(json!([{
            "index": 0, "delta": {}, "logprobs": null, "finish_reason": finish_reason(answer),
        }]));
        last["wombat"] = extension(answer);
        events.push(last.to_string());
        if self.wanted.is_some_and(|wanted| wanted.with_usage) {
            let mut counted = self.object(json!([]));
            counted["usage"] = usage(answer);
            events.push(counted.to_string());
        }
        events.push("[DONE]".to_owned());
        events
    }

    fn chunk(&self, delta: Value, finish_reason: Value) -> String {
        let choice =
            json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason });
        self.object(json!([choice])).to_string()
    }

    fn object(&self, choices: Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created,
            "model": self.model, "choices": choices,
        })
    }
}

/// Another instance has gone on with a run, and its model said something else.
pub(super) fn void() -> ApiError {
    let why = "the run goes on at another instance, and what was sent of the answer is void; send the request \
               again with its Idempotency-Key, and you get the answer of this run";
    ApiError::new(StatusCode::BAD_GATEWAY, "answer_restarted", why)
}

fn completion_id(run_id: &str) -> String {
    format!("chatcmpl-{run_id}")
}

fn finish_reason(answer: &RunAnswer) -> &'static str {
    match answer.finish_reason {
        Some(FinishReason::Length) => "length",
        Some(FinishReason::ContentFilter) => "content_filter",
        Some(FinishReason::Stop | FinishReason::ToolCalls) | None => "stop",
    }
}

fn usage(answer: &RunAnswer) -> Value {
    let usage = &answer.usage;
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": { "cached_tokens": usage.cached_tokens },
    })
}

/// The parts of the run's answer that OpenAI's form has no field for.
pub(super) fn extension(answer: &RunAnswer) -> Value {
    let mut extension = serde_json::to_value(answer).unwrap_or_default();
    if let Value::Object(fields) = &mut extension {
        fields.remove("response");
        fields.remove("usage");
        if answer.usage.estimated {
            fields.insert("usage_estimated".to_owned(), Value::Bool(true));
        }
    }
    extension
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::events::RestartReason;

    #[test]
    fn text_that_is_void_ends_the_stream_with_an_error() {
        let chunk = |data: &str| RunEvent::Chunk { data: data.to_owned(), step: Some(2) };
        let restarted =
            |from| RunEvent::Restarted { step: 2, from, reason: RestartReason::Resumed };
        let mut encoder = Encoder::new("scout", Some(Streamed { with_usage: false }));
        let mut encode = |event| encoder.encode(RunUpdate::Event(event));
        assert!(encode(chunk("Grüß"))[0].contains("Grüß"));
        assert!(encode(restarted(4)).is_empty());
        assert!(encode(chunk(" dich"))[0].contains(" dich"));
        let told = encode(restarted(8));
        assert!(told[0].contains("answer_restarted") && told[0].contains("Idempotency-Key"));
        assert!(encode(chunk("h")).is_empty());
        assert!(encoder.encode(RunUpdate::Failed(void())).is_empty());
    }
}
