//! Requests: the body without tools, and the tools.

use serde_json::{Map, Value, json};

use crate::catalog;
use crate::model::{ModelRef, Provider};
use crate::provider::quirks::Quirks;
use crate::provider::schema;
use crate::provider::tool_form::WireTool;
use crate::provider::wire;
use crate::request::{LlmRequest, Message, ToolChoice};

/// The body of a request, without its tools.
pub(in crate::provider) fn body(
    model: &ModelRef,
    request: &LlmRequest,
    quirks: &Quirks,
    is_own_server: bool,
) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(model.name));
    let messages = request.messages.iter().map(|turn| message(model.provider, turn));
    body.insert("messages".into(), messages.collect());
    if request.sends_tools() && request.tool_choice == ToolChoice::None {
        body.insert("tool_choice".into(), json!("none"));
    }
    let fixed = catalog::find(model.provider, &model.name).is_some_and(|e| e.fixed_sampling);
    if let Some(limit) = request.max_output_tokens {
        // OpenAI's reasoning models know only the new name, most other servers only the old one.
        let is_new = model.provider == Provider::OpenAi && (is_own_server || fixed);
        let name =
            if is_new || quirks.completion_limit { "max_completion_tokens" } else { "max_tokens" };
        body.insert(name.into(), json!(limit));
    }
    if let Some(temperature) = request.temperature.filter(|_| !fixed && !quirks.no_temperature) {
        body.insert("temperature".into(), json!(temperature));
    }
    if let Some(wanted) = &request.response_schema {
        body.insert(
            "response_format".into(),
            json!({ "type": "json_schema", "json_schema": {
                "name": wanted.name,
                "schema": wanted.schema,
                "strict": schema::is_strict(&wanted.schema),
            }}),
        );
    }
    body.insert("stream".into(), json!(true));
    // Mistral rejects unknown parameters, and sends the usage anyway.
    if model.provider != Provider::Mistral {
        body.insert("stream_options".into(), json!({ "include_usage": true }));
    }
    Value::Object(body)
}

/// Tools in the form of the protocol.
pub(in crate::provider) fn tools(tools: &[WireTool]) -> Value {
    let tools = tools.iter().map(|tool| {
        json!({ "type": "function", "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        }})
    });
    tools.collect()
}

fn message(provider: Provider, message: &Message) -> Value {
    match message {
        Message::System { content } => json!({ "role": "system", "content": content }),
        Message::User { content } => json!({ "role": "user", "content": content }),
        Message::Assistant(turn) => {
            if turn.tool_calls.is_empty() {
                return json!({ "role": "assistant", "content": turn.text });
            }
            let calls = turn.tool_calls.iter().map(|call| {
                json!({ "id": id(provider, &call.id), "type": "function", "function": {
                    "name": call.name,
                    "arguments": wire::object(&call.arguments).to_string(),
                }})
            });
            let content = if turn.text.is_empty() { Value::Null } else { json!(turn.text) };
            let calls: Value = calls.collect();
            json!({ "role": "assistant", "content": content, "tool_calls": calls })
        }
        Message::Tool { call_id, name, content } => {
            let mut message = json!({
                "role": "tool", "tool_call_id": id(provider, call_id), "content": content,
            });
            if provider == Provider::Mistral {
                message["name"] = json!(name);
            }
            message
        }
    }
}

/// Mistral accepts only ids of nine letters and digits; those of other providers in the same
/// conversation are adapted.
fn id(provider: Provider, id: &str) -> String {
    let fits = id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if provider != Provider::Mistral || fits {
        return id.to_owned();
    }
    // FNV-1a: stable across processes.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:09x}", hash & 0xf_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_others_fit_mistral_and_stay_the_same() {
        assert_eq!(id(Provider::Mistral, "abcDEF123"), "abcDEF123");
        let made = id(Provider::Mistral, "toolu_01A");
        assert_eq!(made, id(Provider::Mistral, "toolu_01A"));
        assert!(made.len() == 9 && made.bytes().all(|b| b.is_ascii_alphanumeric()), "{made}");
        assert_ne!(made, id(Provider::Mistral, "toolu_01B"));
        assert_eq!(id(Provider::Groq, "toolu_01A"), "toolu_01A");
    }
}
