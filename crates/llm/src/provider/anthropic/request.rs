//! Requests: the body without tools, and the tools.

use serde_json::{Map, Value, json};

use super::messages::{mark_last_block, messages, split_system};
use crate::catalog;
use crate::media::MediaSupport;
use crate::model::ModelRef;
use crate::provider::quirks::Quirks;
use crate::provider::tool_form::WireTool;
use crate::request::{LlmRequest, ToolChoice};

/// The output limit of a request that names none, at a model that is not known: the protocol requires
/// one.
const MAX_TOKENS: u32 = 8_192;

/// What is asked for however long the prompt is: the estimate may be too high.
const MIN_TOKENS: u64 = 1_024;

/// The body of a request, without its tools.
pub(in crate::provider) fn body(model: &ModelRef, request: &LlmRequest, quirks: &Quirks) -> Value {
    let (system, rest) = split_system(&request.messages);
    let mut body = Map::new();
    body.insert("model".into(), json!(model.name));
    if !system.is_empty() {
        // Tools and system prompt stay the same from call to call, unlike what follows this cache
        // breakpoint. (Tools come before it in the cache.)
        body.insert(
            "system".into(),
            json!([{ "type": "text", "text": system, "cache_control": { "type": "ephemeral" } }]),
        );
    }
    let mut messages = messages(model.provider, rest, request.sends_tools());
    mark_last_block(&mut messages);
    body.insert("messages".into(), Value::Array(messages));
    if request.sends_tools() && request.tool_choice == ToolChoice::None {
        body.insert("tool_choice".into(), json!({ "type": "none" }));
    }
    // Anthropic's scale ends at 1.
    if let Some(temperature) = request.temperature_for(model, 1.0)
        && !quirks.no_temperature
    {
        body.insert("temperature".into(), json!(temperature));
    }
    if let Some(wanted) = &request.response_schema {
        let format = json!({ "type": "json_schema", "schema": wanted.schema });
        body.insert("output_config".into(), json!({ "format": format }));
    }
    body.insert("stream".into(), json!(true));
    let mut body = Value::Object(body);
    let limit = request.output_limit(model).unwrap_or_else(|| default_limit(model, request, &body));
    body["max_tokens"] = json!(limit);
    body
}

/// Tools in the form of the protocol.
pub(in crate::provider) fn tools(tools: &[WireTool]) -> Value {
    let tools = tools.iter().map(|tool| {
        json!({
            "name": tool.name,
            "description": tool.description,
            "input_schema": tool.parameters,
        })
    });
    tools.collect()
}

/// The output limit of a request that names none: all that the model can write, and that the prompt
/// leaves of its context window.
fn default_limit(model: &ModelRef, request: &LlmRequest, body: &Value) -> u32 {
    let Some(known) = catalog::find(model.provider, &model.name) else { return MAX_TOKENS };
    let tools = request.tools.iter().filter(|_| request.sends_tools());
    let tools = tools.map(|tool| tool.description.len() + tool.parameters.to_string().len());
    let bytes = body.to_string().len() + tools.sum::<usize>();
    // Four bytes are about a token. Three tenths more: the estimate must not be too low.
    let text = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(13) / 40;
    let support = MediaSupport::of(model.provider, &model.name);
    let media = request.messages.iter().map(|message| support.tokens_of(message)).sum::<u64>();
    let prompt = text.saturating_add(media);
    let left = known.context.saturating_sub(prompt).max(MIN_TOKENS);
    known.max_output.min(u32::try_from(left).unwrap_or(u32::MAX))
}

/// Whether a model supports structured output: all since Claude 4.5, and Opus 4.1.
pub(in crate::provider) fn has_structured_output(model: &str) -> bool {
    let older = ["claude-2", "claude-3", "claude-sonnet-4-0", "claude-opus-4-0"];
    let dated = ["claude-sonnet-4-2025", "claude-opus-4-2025"];
    model.starts_with("claude-") && !older.iter().chain(&dated).any(|m| model.starts_with(m))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_leaves_room_for_the_prompt() {
        let limit = |name: &str, words: usize, asked| {
            let model = ModelRef::new(crate::model::Provider::Anthropic, name);
            let request = LlmRequest {
                model: model.clone(),
                messages: vec![crate::request::Message::user("word".repeat(words))],
                tools: Vec::new().into(),
                tool_choice: ToolChoice::Auto,
                max_output_tokens: asked,
                temperature: None,
                response_schema: None,
            };
            body(&model, &request, &Quirks::default())["max_tokens"].as_u64().unwrap()
        };
        assert_eq!(limit("claude-haiku-4-5", 1, None), 64_000);
        let left = limit("claude-haiku-4-5", 140_000, None);
        assert!((10_000..60_000).contains(&left), "{left}");
        assert_eq!(limit("claude-haiku-4-5", 300_000, None), 1_024);
        assert_eq!(limit("claude-haiku-4-5", 300_000, Some(2_000)), 2_000);
        assert_eq!(limit("some-local-model", 300_000, None), 8_192);
    }

    #[test]
    fn models_that_cannot_be_held_to_a_schema_are_known() {
        for (model, can) in [
            ("claude-sonnet-4-5-20250929", true),
            ("claude-opus-4-1", true),
            ("claude-haiku-4-5", true),
            ("claude-sonnet-4-20250514", false),
            ("claude-3-5-haiku-latest", false),
            ("some-local-model", false),
        ] {
            assert_eq!(has_structured_output(model), can, "{model}");
        }
    }
}
