//! Google's Gemini: `generateContent` and `streamGenerateContent`.

use serde_json::{Map, Value, json};

use crate::event::{FinishReason, Usage};
use crate::model::{ModelRef, Provider};
use crate::provider::anthropic::system_note;
use crate::provider::quirks::Quirks;
use crate::provider::schema;
use crate::provider::wire::{
    self, Assembly, Reader, Told, call_id, count_at, error_in, items, str_at,
};
use crate::provider::{Answer, Failure, sends_tools};
use crate::request::{LlmRequest, Message, ToolCall, ToolChoice, ToolSpec};

/// Where a call's `provider_state` keeps its thought signature, and its id where Gemini gave one.
const SIGNATURE: &str = "thought_signature";
const GIVEN_ID: &str = "id";

/// What stands for a signature in calls that another model made, as Google's guide has it.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The path behind the version. The name may come from a caller, and is no more than a name.
pub(super) fn path(model: &str, stream: bool) -> String {
    let (folder, name) = match model.split_once('/') {
        Some((folder @ ("models" | "tunedModels"), name)) => (folder, name),
        _ => ("models", model),
    };
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    format!("{folder}/{encoded}:{method}")
}

/// The request, without its tools.
pub(super) fn body(model: &ModelRef, request: &LlmRequest, quirks: &Quirks) -> Value {
    let mut body = Map::new();
    let is_system = |message: &&Message| matches!(message, Message::System { .. });
    let first = request.messages.iter().take_while(is_system).count();
    let (system, rest) = request.messages.split_at(first);
    let parts: Vec<Value> = system
        .iter()
        .filter_map(|message| match message {
            Message::System { content } => Some(json!({ "text": content })),
            _ => None,
        })
        .collect();
    if !parts.is_empty() {
        body.insert("systemInstruction".into(), json!({ "parts": parts }));
    }
    body.insert("contents".into(), contents(&model.name, rest));
    if sends_tools(request) && request.tool_choice == ToolChoice::None {
        let config = json!({ "functionCallingConfig": { "mode": "NONE" } });
        body.insert("toolConfig".into(), config);
    }
    let mut config = Map::new();
    if let Some(limit) = request.max_output_tokens {
        config.insert("maxOutputTokens".into(), json!(limit));
    }
    if let Some(temperature) = request.temperature.filter(|_| !quirks.no_temperature) {
        config.insert("temperature".into(), json!(temperature));
    }
    if let Some(wanted) = &request.response_schema {
        config.insert("responseMimeType".into(), json!("application/json"));
        config.insert("responseSchema".into(), schema::subset(&wanted.schema));
    }
    if !config.is_empty() {
        body.insert("generationConfig".into(), Value::Object(config));
    }
    Value::Object(body)
}

/// Tools as the protocol takes them.
pub(super) fn tools(tools: &[ToolSpec]) -> Value {
    let tools: Value = tools
        .iter()
        .map(|tool| {
            let mut declared = json!({ "name": tool.name, "description": tool.description });
            // An object without properties is refused.
            if schema::has_properties(&tool.parameters) {
                declared["parameters"] = schema::subset(&tool.parameters);
            }
            declared
        })
        .collect();
    json!([{ "functionDeclarations": tools }])
}

/// Turns of user and model, one after the other.
fn contents(model: &str, messages: &[Message]) -> Value {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut push = |role: &'static str, part: Value| match turns.last_mut() {
        Some((last, parts)) if *last == role => parts.push(part),
        _ => turns.push((role, vec![part])),
    };
    // The ids that Gemini itself gave; others it need not see.
    let mut given: Vec<(&str, &Value)> = Vec::new();
    for message in messages {
        match message {
            Message::System { content } => push("user", json!({ "text": system_note(content) })),
            Message::User { content } => push("user", json!({ "text": content })),
            Message::Assistant(turn) => {
                if !turn.text.is_empty() {
                    push("model", json!({ "text": turn.text }));
                }
                for (n, call) in turn.tool_calls.iter().enumerate() {
                    let state = call.provider_state.as_ref();
                    let mut function =
                        json!({ "name": call.name, "args": wire::object(&call.arguments) });
                    if let Some(id) = state.and_then(|state| state.get(GIVEN_ID)) {
                        function["id"] = id.clone();
                        given.push((&call.id, id));
                    }
                    let mut part = json!({ "functionCall": function });
                    // The first call of a turn carries the signature, for parallel ones, too.
                    if let Some(signature) = state.and_then(|state| state.get(SIGNATURE)) {
                        part["thoughtSignature"] = signature.clone();
                    } else if n == 0 && wants_signatures(model) {
                        part["thoughtSignature"] = json!(NO_SIGNATURE);
                    }
                    push("model", part);
                }
            }
            Message::Tool { call_id, name, content } => {
                let mut response = json!({ "name": name, "response": { "result": content } });
                if let Some((_, id)) = given.iter().find(|(known, _)| known == call_id) {
                    response["id"] = (*id).clone();
                }
                push("user", json!({ "functionResponse": response }));
            }
        }
    }
    turns.into_iter().map(|(role, parts)| json!({ "role": role, "parts": parts })).collect()
}

/// Gemini 3 refuses calls without a signature; the older ones do not ask for it.
fn wants_signatures(model: &str) -> bool {
    !["gemini-1", "gemini-2"].iter().any(|old| model.trim_start_matches("models/").starts_with(old))
}

/// A whole answer.
pub(super) fn whole(provider: Provider, body: &Value) -> Result<Answer, Failure> {
    if let Some(error) = error_in(body) {
        return Err(Failure::of_error_object(provider, error));
    }
    let mut parts = Parts::default();
    parts.take(body);
    if parts.assembly.finish.is_none() {
        return Err(Failure::bad_answer("the answer has no candidates"));
    }
    Ok(parts.answer())
}

/// What the answers, whole or in pieces, bring.
#[derive(Debug, Default)]
struct Parts {
    assembly: Assembly,
    calls: Vec<ToolCall>,
}

impl Parts {
    /// Takes a piece, and gives its text.
    fn take(&mut self, body: &Value) -> String {
        let mut text = String::new();
        if !str_at(body, "/promptFeedback/blockReason").is_empty() {
            self.assembly.finish = Some(FinishReason::ContentFilter);
        }
        for part in items(body, "/candidates/0/content/parts") {
            if let Some(call) = part.get("functionCall") {
                self.calls.push(function_call(part, call));
            } else if part.get("thought").and_then(Value::as_bool) != Some(true) {
                text.push_str(str_at(part, "/text"));
            }
        }
        // Google's own tools end a part of the answer with a reason, too: what follows without one
        // says that it was not the last.
        let reason = finish(str_at(body, "/candidates/0/finishReason"));
        if reason.is_some() || wire::at(body, "/candidates/0/content").is_some() {
            self.assembly.finish = reason;
        }
        if let Some(usage) = body.get("usageMetadata").filter(|usage| usage.is_object()) {
            self.assembly.usage = counted(usage);
        }
        self.assembly.text.push_str(&text);
        text
    }

    fn answer(&mut self) -> Answer {
        let whole = std::mem::take(&mut self.assembly);
        wire::answer(whole.text, std::mem::take(&mut self.calls), whole.finish, whole.usage)
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

fn finish(reason: &str) -> Option<FinishReason> {
    Some(match reason {
        "" | "FINISH_REASON_UNSPECIFIED" => return None,
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY"
        | "LANGUAGE" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    })
}

fn counted(usage: &Value) -> Usage {
    let reasoning = count_at(usage, "/thoughtsTokenCount");
    Usage {
        // What Google's own tools read counts as prompt.
        prompt_tokens: count_at(usage, "/promptTokenCount")
            + count_at(usage, "/toolUsePromptTokenCount"),
        completion_tokens: count_at(usage, "/candidatesTokenCount") + reasoning,
        cached_tokens: count_at(usage, "/cachedContentTokenCount"),
        reasoning_tokens: reasoning,
        ..Usage::default()
    }
}

/// Reads a stream. It is whole when its connection ends after a reason to stop.
#[derive(Debug)]
pub(super) struct GeminiReader {
    provider: Provider,
    parts: Parts,
}

impl GeminiReader {
    pub(super) fn new(provider: Provider) -> Self {
        Self { provider, parts: Parts::default() }
    }
}

impl Reader for GeminiReader {
    fn event(&mut self, event: &Value) -> Result<Told, Failure> {
        if let Some(error) = error_in(event) {
            return Err(Failure::of_error_object(self.provider, error));
        }
        Ok(Told::text(self.parts.take(event)))
    }

    fn is_whole(&self) -> bool {
        self.parts.assembly.finish.is_some()
    }

    fn answer(&mut self) -> Answer {
        self.parts.answer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_more_than_a_name() {
        for (model, expected) in [
            ("gemini-2.5-flash", "models/gemini-2.5-flash:generateContent"),
            ("models/gemini-2.5-flash", "models/gemini-2.5-flash:generateContent"),
            ("tunedModels/my-1", "tunedModels/my-1:generateContent"),
            ("../files", "models/..%2Ffiles:generateContent"),
            ("a?key=b#c", "models/a%3Fkey%3Db%23c:generateContent"),
        ] {
            assert_eq!(path(model, false), expected);
        }
        assert_eq!(path("m", true), "models/m:streamGenerateContent?alt=sse");
    }

    #[test]
    fn signatures_and_ids_come_back_with_the_results() {
        let body = json!({ "candidates": [{ "finishReason": "STOP", "content": { "role": "model", "parts": [
            { "text": "thinking", "thought": true },
            { "functionCall": { "name": "f", "args": { "x": 1 }, "id": "g1" }, "thoughtSignature": "sig" },
            { "functionCall": { "name": "g" } },
        ]}}]});
        let answer = whole(Provider::Google, &body).unwrap();
        assert_eq!(
            (answer.message.text.as_str(), answer.finish_reason),
            ("", FinishReason::ToolCalls)
        );
        let calls = answer.message.tool_calls.clone();
        let result = |call: &ToolCall| Message::Tool {
            call_id: call.id.clone(),
            name: call.name.clone(),
            content: "7".into(),
        };
        let sent = contents(
            "gemini-3-pro",
            &[
                Message::user("Go"),
                Message::Assistant(answer.message),
                result(&calls[0]),
                result(&calls[1]),
            ],
        );
        assert_eq!(
            sent,
            json!([
                { "role": "user", "parts": [{ "text": "Go" }] },
                { "role": "model", "parts": [
                    { "functionCall": { "name": "f", "args": { "x": 1 }, "id": "g1" }, "thoughtSignature": "sig" },
                    { "functionCall": { "name": "g", "args": {} } },
                ]},
                { "role": "user", "parts": [
                    { "functionResponse": { "name": "f", "response": { "result": "7" }, "id": "g1" } },
                    { "functionResponse": { "name": "g", "response": { "result": "7" } } },
                ]},
            ])
        );
    }

    #[test]
    fn calls_of_another_model_say_that_they_have_no_signature() {
        let call = ToolCall {
            id: "toolu_1".into(),
            name: "f".into(),
            arguments: json!({}),
            provider_state: None,
        };
        let turn = Message::Assistant(crate::request::AssistantMessage {
            text: String::new(),
            tool_calls: vec![call],
        });
        let part =
            |model: &str| contents(model, std::slice::from_ref(&turn))[0]["parts"][0].clone();
        assert_eq!(part("gemini-3-pro")["thoughtSignature"], NO_SIGNATURE);
        assert!(part("gemini-2.5-flash").get("thoughtSignature").is_none());
    }
}
