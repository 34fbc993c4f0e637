//! Requests: the body without tools, and the tools.

use serde_json::{Map, Value, json};

use super::{GIVEN_ID, SIGNATURE};
use crate::model::ModelRef;
use crate::provider::anthropic::system_note;
use crate::provider::quirks::Quirks;
use crate::provider::schema;
use crate::provider::tool_form::WireTool;
use crate::provider::wire;
use crate::request::{LlmRequest, Message, ToolChoice};

/// The placeholder for the signature in calls of another model, from Google's guide.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The path after the version. The name may come from a caller, so it is encoded.
pub(in crate::provider) fn path(model: &str) -> String {
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
    format!("{folder}/{encoded}:streamGenerateContent?alt=sse")
}

/// The body of a request, without its tools.
pub(in crate::provider) fn body(model: &ModelRef, request: &LlmRequest, quirks: &Quirks) -> Value {
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
    if request.sends_tools() && request.tool_choice == ToolChoice::None {
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
        config.insert("responseSchema".into(), schema::for_answer(&wanted.schema));
    }
    if !config.is_empty() {
        body.insert("generationConfig".into(), Value::Object(config));
    }
    Value::Object(body)
}

/// Tools in the form of the protocol.
pub(in crate::provider) fn tools(tools: &[WireTool]) -> Value {
    let tools: Value = tools
        .iter()
        .map(|tool| {
            let mut declared = json!({ "name": tool.name, "description": tool.description });
            // An object without properties is rejected.
            if schema::has_properties(&tool.parameters) {
                declared["parameters"] = tool.parameters.clone();
            }
            declared
        })
        .collect();
    json!([{ "functionDeclarations": tools }])
}

/// Alternating turns of user and model.
pub(super) fn contents(model: &str, messages: &[Message]) -> Value {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut push = |role: &'static str, part: Value| match turns.last_mut() {
        Some((last, parts)) if *last == role => parts.push(part),
        _ => turns.push((role, vec![part])),
    };
    // The ids that Gemini itself sent; it does not need others.
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
                    // The first call of a turn has the signature, also for parallel ones.
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

/// Gemini 3 rejects calls without a signature; older models do not require one.
fn wants_signatures(model: &str) -> bool {
    !["gemini-1", "gemini-2"].iter().any(|old| model.trim_start_matches("models/").starts_with(old))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{AssistantMessage, ToolCall};

    #[test]
    fn a_name_is_no_more_than_a_name() {
        for (model, expected) in [
            ("gemini-2.5-flash", "models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
            ("models/gemini-2.5-flash", "models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
            ("tunedModels/my-1", "tunedModels/my-1:streamGenerateContent?alt=sse"),
            ("../files", "models/..%2Ffiles:streamGenerateContent?alt=sse"),
            ("a?key=b#c", "models/a%3Fkey%3Db%23c:streamGenerateContent?alt=sse"),
        ] {
            assert_eq!(path(model), expected);
        }
    }

    #[test]
    fn calls_of_another_model_say_that_they_have_no_signature() {
        let call = ToolCall {
            id: "toolu_1".into(),
            name: "f".into(),
            arguments: json!({}),
            provider_state: None,
        };
        let turn = Message::Assistant(AssistantMessage {
            tool_calls: vec![call],
            ..AssistantMessage::default()
        });
        let part =
            |model: &str| contents(model, std::slice::from_ref(&turn))[0]["parts"][0].clone();
        assert_eq!(part("gemini-3-pro")["thoughtSignature"], NO_SIGNATURE);
        assert!(part("gemini-2.5-flash").get("thoughtSignature").is_none());
    }
}
