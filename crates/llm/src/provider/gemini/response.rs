//! Responses: complete and streamed.

use serde_json::{Map, Value, json};

use super::{GIVEN_ID, SIGNATURE};
use crate::event::{FinishReason, Usage};
use crate::model::Provider;
use crate::provider::answer::Answer;
use crate::provider::failure::Failure;
use crate::provider::wire::{
    self, Assembly, Delta, End, Reader, call_id, count_at, error_in, items, str_at,
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
    let mut parts = Parts::default();
    parts.take(body);
    if parts.assembly.end.is_none() {
        return Err(Failure::bad_answer("the answer has no candidates"));
    }
    parts.answer()
}

/// Collects the parts of an answer, complete or streamed.
#[derive(Debug, Default)]
struct Parts {
    assembly: Assembly,
    calls: Vec<ToolCall>,
}

impl Parts {
    /// Adds a piece and returns its text.
    fn take(&mut self, body: &Value) -> String {
        let mut text = String::new();
        if !str_at(body, "/promptFeedback/blockReason").is_empty() {
            self.assembly.end = Some(End::Good(FinishReason::ContentFilter));
        }
        for part in items(body, "/candidates/0/content/parts") {
            if let Some(call) = part.get("functionCall") {
                self.calls.push(function_call(part, call));
            } else if part.get("thought").and_then(Value::as_bool) != Some(true) {
                text.push_str(str_at(part, "/text"));
            }
        }
        // Google's own tools send a finish reason, too: a later piece without one shows that it was not
        // the end.
        let reason = finish(str_at(body, "/candidates/0/finishReason"));
        if reason.is_some() || wire::at(body, "/candidates/0/content").is_some() {
            self.assembly.end = reason;
        }
        if let Some(usage) = body.get("usageMetadata").filter(|usage| usage.is_object()) {
            self.assembly.usage = counted(usage);
        }
        self.assembly.text.push_str(&text);
        text
    }

    fn answer(&mut self) -> Result<Answer, Failure> {
        let whole = std::mem::take(&mut self.assembly);
        let message = AssistantMessage {
            text: whole.text,
            tool_calls: std::mem::take(&mut self.calls),
            thoughts: None,
        };
        wire::answer(message, whole.end, whole.usage)
    }
}

fn function_call(part: &Value, call: &Value) -> ToolCall {
    let mut state = Map::new();
    if let Some(signature) = part.get("thoughtSignature").filter(|value| value.is_string()) {
        state.insert(SIGNATURE.into(), signature.clone());
    }
    let id = str_at(call, "/id");
    if !id.is_empty() {
        state.insert(GIVEN_ID.into(), json!(id));
    }
    ToolCall {
        id: call_id(id),
        name: str_at(call, "/name").to_owned(),
        arguments: wire::arguments_of(call.get("args")),
        provider_state: (!state.is_empty()).then_some(Value::Object(state)),
    }
}

fn finish(reason: &str) -> Option<End> {
    Some(match reason {
        "" | "FINISH_REASON_UNSPECIFIED" => return None,
        "STOP" => End::Good(FinishReason::Stop),
        "MAX_TOKENS" => End::Good(FinishReason::Length),
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY"
        | "LANGUAGE" => End::Good(FinishReason::ContentFilter),
        other => End::Bad(other.to_owned()),
    })
}

fn counted(usage: &Value) -> Usage {
    let reasoning = count_at(usage, "/thoughtsTokenCount");
    Usage {
        // Tokens that Google's own tools read count as prompt.
        prompt_tokens: count_at(usage, "/promptTokenCount")
            + count_at(usage, "/toolUsePromptTokenCount"),
        completion_tokens: count_at(usage, "/candidatesTokenCount") + reasoning,
        cached_tokens: count_at(usage, "/cachedContentTokenCount"),
        reasoning_tokens: reasoning,
        ..Usage::default()
    }
}

/// Reads a stream. It is complete when it ends after a finish reason.
#[derive(Debug)]
pub(in crate::provider) struct GeminiReader {
    provider: Provider,
    parts: Parts,
}

impl GeminiReader {
    pub(in crate::provider) fn new(provider: Provider) -> Self {
        Self { provider, parts: Parts::default() }
    }
}

impl Reader for GeminiReader {
    fn event(&mut self, event: &Value) -> Result<Delta, Failure> {
        if let Some(error) = error_in(event) {
            return Err(Failure::of_error_object(self.provider, error));
        }
        Ok(Delta::text(self.parts.take(event)))
    }

    fn is_complete(&self) -> bool {
        self.parts.assembly.end.is_some()
    }

    fn answer(&mut self) -> Result<Answer, Failure> {
        self.parts.answer()
    }
}
