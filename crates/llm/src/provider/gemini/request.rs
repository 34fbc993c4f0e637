//! Requests: the body without tools, and the tools.

use serde_json::{Map, Value, json};

use super::contents::contents;
use crate::model::ModelRef;
use crate::provider::quirks::Quirks;
use crate::provider::schema;
use crate::provider::tool_form::WireTool;
use crate::request::{LlmRequest, Message, ToolChoice};

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

/// Whether a model can be held to a schema beside tools: since Gemini 3; older ones refuse that
/// (<https://github.com/googleapis/python-genai/issues/867>).
pub(in crate::provider) fn holds_beside_tools(model: &str) -> bool {
    is_of_three(model)
}

/// Whether a model is Gemini 3 or newer.
pub(super) fn is_of_three(model: &str) -> bool {
    let name = model.rsplit_once('/').map_or(model, |(_, name)| name);
    let version = name.strip_prefix("gemini-").and_then(|rest| rest.chars().next());
    version.and_then(|digit| digit.to_digit(10)).is_some_and(|version| version >= 3)
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
            Message::System { content } if !content.trim().is_empty() => {
                Some(json!({ "text": content }))
            }
            _ => None,
        })
        .collect();
    if !parts.is_empty() {
        body.insert("systemInstruction".into(), json!({ "parts": parts }));
    }
    body.insert("contents".into(), contents(model, rest, request.sends_tools()));
    if request.sends_tools() && request.tool_choice == ToolChoice::None {
        let config = json!({ "functionCallingConfig": { "mode": "NONE" } });
        body.insert("toolConfig".into(), config);
    }
    let mut config = Map::new();
    if let Some(limit) = request.output_limit(model) {
        config.insert("maxOutputTokens".into(), json!(limit));
    }
    if let Some(temperature) = request.temperature_for(model, 2.0)
        && !quirks.no_temperature
    {
        config.insert("temperature".into(), json!(temperature));
    }
    if let Some(wanted) = &request.response_schema {
        config.insert("responseMimeType".into(), json!("application/json"));
        let schema = schema::for_answer(&wanted.schema);
        // Gemini refuses objects without properties; JSON is asked for in any case.
        if !schema::has_bare_object(&schema) {
            config.insert("responseSchema".into(), schema);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
