//! Responses: complete and streamed.

use serde_json::{Map, Value, json};

use super::{GIVEN_ID, SIGNATURE, THOUGHT_SIGNATURE};
use crate::event::{FinishReason, Usage};
use crate::model::Provider;
use crate::provider::answer::Answer;
use crate::provider::failure::Failure;
use crate::provider::turn_parts::PartsNote;
use crate::provider::wire::{
    self, Delta, End, MAX_PARTS, Reader, call_id, count_at, error_in, items, str_at,
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
    parts.take(body)?;
    let is_answer = ["candidates", "promptFeedback", "usageMetadata"];
    if !is_answer.iter().any(|field| body.get(field).is_some()) {
        return Err(Failure::bad_answer("the answer has no candidates"));
    }
    parts.answer(provider)
}

/// Collects the parts of an answer, complete or streamed.
#[derive(Debug, Default)]
struct Parts {
    text: String,
    calls: Vec<ToolCall>,
    note: PartsNote,
    usage: Counted,
    end: Option<End>,
}

impl Parts {
    /// Adds a piece and returns its text.
    ///
    /// # Errors
    /// When there are too many calls.
    fn take(&mut self, body: &Value) -> Result<String, Failure> {
        let mut text = String::new();
        if let Some(end) = blocked(str_at(body, "/promptFeedback/blockReason")) {
            self.end = wire::worse(self.end.take(), Some(end));
        }
        for part in items(body, "/candidates/0/content/parts") {
            self.part(part, &mut text);
            if self.calls.len() > MAX_PARTS {
                return Err(wire::too_many_parts());
            }
        }
        // Google's own tools send a finish reason, too: a later piece without one shows that it was not
        // the end.
        let reason = finish(str_at(body, "/candidates/0/finishReason"));
        let is_good =
            |end: &End| matches!(end, End::Good(FinishReason::Stop | FinishReason::ToolCalls));
        if reason.is_some() {
            self.end = wire::worse(self.end.take(), reason);
        } else if wire::at(body, "/candidates/0/content").is_some() {
            self.end.take_if(|end| is_good(end));
        }
        self.usage.take(&body["usageMetadata"]);
        self.text.push_str(&text);
        Ok(text)
    }

    /// Adds a part. A signature goes back in the part that it came in, and parts with one are not
    /// joined (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
    fn part(&mut self, part: &Value, told: &mut String) {
        let signature = part.get(THOUGHT_SIGNATURE).filter(|value| value.is_string());
        let text = str_at(part, "/text");
        if let Some(call) = part.get("functionCall").filter(|call| call.is_object()) {
            let is_new = |id: &str| self.calls.iter().all(|call| call.id != id);
            self.calls.push(function_call(signature, call, is_new));
            self.note.call();
        } else if part.get("thought").and_then(Value::as_bool) == Some(true) {
            self.thought(part, text, signature);
        } else if let Some(signature) = signature {
            // The signature of a streamed text comes with its last piece, which may be empty.
            let fields = Map::from_iter([(THOUGHT_SIGNATURE.to_owned(), signature.clone())]);
            self.note.text_with(text.len(), fields);
            told.push_str(text);
        } else {
            self.note.text(text.len());
            told.push_str(text);
        }
    }

    /// Adds a thought; pieces of one without signatures are joined.
    fn thought(&mut self, part: &Value, text: &str, signature: Option<&Value>) {
        let last = self.note.last_own().filter(|last| last.get(THOUGHT_SIGNATURE).is_none());
        if let (Some(Value::String(known)), None) =
            (last.and_then(|last| last.get_mut("text")), signature)
        {
            known.push_str(text);
        } else {
            self.note.own(part.clone());
        }
    }

    fn answer(&mut self, provider: Provider) -> Result<Answer, Failure> {
        let whole = std::mem::take(self);
        let message = AssistantMessage {
            text: whole.text,
            tool_calls: whole.calls,
            thoughts: whole.note.thoughts(provider),
        };
        wire::answer(message, whole.end, whole.usage.usage())
    }
}

fn function_call(
    signature: Option<&Value>,
    call: &Value,
    is_new: impl Fn(&str) -> bool,
) -> ToolCall {
    let mut state = Map::new();
    if let Some(signature) = signature {
        state.insert(SIGNATURE.into(), signature.clone());
    }
    let id = str_at(call, "/id");
    if !id.is_empty() {
        state.insert(GIVEN_ID.into(), json!(id));
    }
    ToolCall {
        // An id that is given twice does not tell the results apart.
        id: call_id(if !id.is_empty() && is_new(id) { id } else { "" }),
        name: str_at(call, "/name").to_owned(),
        arguments: wire::arguments_of(call.get("args")),
        provider_state: (!state.is_empty()).then_some(Value::Object(state)),
    }
}

/// How an answer ended. The good ends are those that the API describes as complete, cut or filtered
/// (<https://ai.google.dev/api/generate-content#FinishReason>); all others are failures of the model or
/// the service: `OTHER`, `MALFORMED_FUNCTION_CALL`, `UNEXPECTED_TOOL_CALL`, `TOO_MANY_TOOL_CALLS`,
/// `MISSING_THOUGHT_SIGNATURE`, `MALFORMED_RESPONSE`, `NO_IMAGE`, …
fn finish(reason: &str) -> Option<End> {
    Some(match reason {
        "" => return None,
        "STOP" => End::Good(FinishReason::Stop),
        // aimock (https://github.com/CopilotKit/aimock) says so instead of `STOP`.
        "FUNCTION_CALL" => End::Good(FinishReason::ToolCalls),
        "MAX_TOKENS" => End::Good(FinishReason::Length),
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "LANGUAGE"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR" => End::Good(FinishReason::ContentFilter),
        other => End::Bad(other.to_owned()),
    })
}

/// Why a prompt was not answered (<https://ai.google.dev/api/generate-content#BlockReason>).
fn blocked(reason: &str) -> Option<End> {
    Some(match reason {
        "" | "BLOCK_REASON_UNSPECIFIED" => return None,
        "SAFETY" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "IMAGE_SAFETY" | "MODEL_ARMOR"
        | "JAILBREAK" => End::Good(FinishReason::ContentFilter),
        other => End::Bad(other.to_owned()),
    })
}

/// The counts so far. Each piece of a stream may have them, and the last one not all of them.
#[derive(Debug, Default)]
struct Counted {
    prompt: u64,
    tools: u64,
    answer: u64,
    thoughts: u64,
    cached: u64,
    total: u64,
}

impl Counted {
    fn take(&mut self, usage: &Value) {
        for (field, path) in [
            (&mut self.prompt, "/promptTokenCount"),
            // Tokens that Google's own tools read count as prompt.
            (&mut self.tools, "/toolUsePromptTokenCount"),
            (&mut self.answer, "/candidatesTokenCount"),
            (&mut self.thoughts, "/thoughtsTokenCount"),
            (&mut self.cached, "/cachedContentTokenCount"),
            (&mut self.total, "/totalTokenCount"),
        ] {
            let newer = count_at(usage, path);
            if newer > 0 {
                *field = newer;
            }
        }
    }

    fn usage(&self) -> Usage {
        let prompt = self.prompt + self.tools;
        let answer = match self.answer {
            // Without a count of the answer it is what the others leave of the total.
            0 if self.total > 0 => self.total.saturating_sub(prompt).max(self.thoughts),
            answer => answer + self.thoughts,
        };
        Usage {
            prompt_tokens: prompt,
            completion_tokens: answer,
            cached_tokens: self.cached,
            reasoning_tokens: self.thoughts,
            ..Usage::default()
        }
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
        Ok(Delta::text(self.parts.take(event)?))
    }

    fn is_complete(&self) -> bool {
        self.parts.end.is_some()
    }

    fn answer(&mut self) -> Result<Answer, Failure> {
        self.parts.answer(self.provider)
    }
}
