//! Requests: the body without tools, and the tools.

use serde_json::{Map, Value, json};

use crate::model::ModelRef;
use crate::provider::quirks::Quirks;
use crate::provider::schema;
use crate::provider::tool_form::WireTool;
use crate::provider::wire;
use crate::request::{LlmRequest, Message, ToolChoice};

/// The default output limit: Anthropic requires one.
const MAX_TOKENS: u32 = 8_192;
/// The output limit of Claude 3 models.
const MAX_TOKENS_CLAUDE_3: u32 = 4_096;

/// The body of a request, without its tools.
pub(in crate::provider) fn body(model: &ModelRef, request: &LlmRequest, quirks: &Quirks) -> Value {
    let (system, rest) = split_system(&request.messages);
    let mut body = Map::new();
    body.insert("model".into(), json!(model.name));
    let limit = request.max_output_tokens.unwrap_or_else(|| default_limit(&model.name));
    body.insert("max_tokens".into(), json!(limit));
    if !system.is_empty() {
        // Tools and system prompt stay the same from call to call, unlike what follows this cache
        // breakpoint. (Tools come before it in the cache.)
        body.insert(
            "system".into(),
            json!([{ "type": "text", "text": system, "cache_control": { "type": "ephemeral" } }]),
        );
    }
    let mut messages = messages(rest);
    mark_last_block(&mut messages);
    body.insert("messages".into(), Value::Array(messages));
    if request.sends_tools() && request.tool_choice == ToolChoice::None {
        body.insert("tool_choice".into(), json!({ "type": "none" }));
    }
    if let Some(temperature) = request.temperature.filter(|_| !quirks.no_temperature) {
        // Anthropic's scale ends at 1.
        body.insert("temperature".into(), json!(temperature.min(1.0)));
    }
    if let Some(wanted) = &request.response_schema
        && has_structured_output(&model.name)
        && schema::is_strict(&wanted.schema)
    {
        let format = json!({ "type": "json_schema", "schema": wanted.schema });
        body.insert("output_config".into(), json!({ "format": format }));
    }
    body.insert("stream".into(), json!(true));
    Value::Object(body)
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

fn default_limit(model: &str) -> u32 {
    let is_old =
        ["claude-3-opus", "claude-3-sonnet", "claude-3-haiku"].iter().any(|m| model.starts_with(m));
    if is_old { MAX_TOKENS_CLAUDE_3 } else { MAX_TOKENS }
}

/// Whether a model supports structured output: all since Claude 4.5, and Opus 4.1.
fn has_structured_output(model: &str) -> bool {
    let older = ["claude-2", "claude-3", "claude-sonnet-4-0", "claude-opus-4-0"];
    let dated = ["claude-sonnet-4-2025", "claude-opus-4-2025"];
    model.starts_with("claude-") && !older.iter().chain(&dated).any(|m| model.starts_with(m))
}

/// Splits off the leading system messages, which are the system prompt.
fn split_system(messages: &[Message]) -> (String, &[Message]) {
    let is_system = |message: &Message| matches!(message, Message::System { .. });
    let first = messages.iter().position(|message| !is_system(message)).unwrap_or(messages.len());
    let (system, rest) = messages.split_at(first);
    let texts = system.iter().filter_map(|message| match message {
        Message::System { content } if !content.trim().is_empty() => Some(content.as_str()),
        _ => None,
    });
    (texts.collect::<Vec<_>>().join("\n\n"), rest)
}

/// Alternating turns of user and assistant, the first a user's.
fn messages(messages: &[Message]) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut push = |role: &'static str, block: Value| {
        if turns.is_empty() && role == "assistant" {
            turns.push((
                "user",
                vec![json!({ "type": "text", "text": "(The conversation began earlier.)" })],
            ));
        }
        match turns.last_mut() {
            Some((last, blocks)) if *last == role => blocks.push(block),
            _ => turns.push((role, vec![block])),
        }
    };
    let text = |text: &str| json!({ "type": "text", "text": text });
    for message in messages {
        match message {
            // The protocol has no system messages within a conversation: they become labelled text in
            // a user turn.
            Message::System { content } => push("user", text(&system_note(content))),
            Message::User { content } if content.trim().is_empty() => push("user", text("(empty)")),
            Message::User { content } => push("user", text(content)),
            Message::Assistant(turn) => {
                // Trailing white space and empty texts are rejected.
                if !turn.text.trim().is_empty() {
                    push("assistant", text(turn.text.trim_end()));
                }
                for call in &turn.tool_calls {
                    push(
                        "assistant",
                        json!({
                            "type": "tool_use", "id": id(&call.id), "name": call.name,
                            "input": wire::object(&call.arguments),
                        }),
                    );
                }
            }
            Message::Tool { call_id, content, .. } => push(
                "user",
                json!({ "type": "tool_result", "tool_use_id": id(call_id), "content": content }),
            ),
        }
    }
    if turns.is_empty() {
        turns.push(("user", vec![text("(empty)")]));
    }
    turns.into_iter().map(|(role, blocks)| json!({ "role": role, "content": blocks })).collect()
}

/// Instructions as labelled text within a user's turn.
pub(in crate::provider) fn system_note(content: &str) -> String {
    format!("[System message]\n{content}\n[End of system message]")
}

/// Sets a cache breakpoint, so that the next call of the conversation finds all of it in the cache.
fn mark_last_block(messages: &mut [Value]) {
    let blocks = messages.last_mut().and_then(|last| last["content"].as_array_mut());
    if let Some(block) = blocks.and_then(|blocks| blocks.last_mut()) {
        block["cache_control"] = json!({ "type": "ephemeral" });
    }
}

/// Ids are letters, digits, `_` and `-`; those of other providers are adapted.
fn id(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    id.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{AssistantMessage, ToolCall};

    #[test]
    fn turns_alternate_and_instructions_keep_their_place() {
        let call = ToolCall {
            id: "call:1".into(),
            name: "f".into(),
            arguments: json!("no object"),
            provider_state: None,
        };
        let turns = messages(&[
            Message::assistant("Before. "),
            Message::system("A summary."),
            Message::user("Hello"),
            Message::Assistant(AssistantMessage {
                tool_calls: vec![call],
                ..AssistantMessage::default()
            }),
            Message::Tool { call_id: "call:1".into(), name: "f".into(), content: "7".into() },
            Message::user("And?"),
        ]);
        let roles: Vec<_> = turns.iter().map(|turn| turn["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
        assert_eq!(turns[1]["content"][0]["text"], "Before.");
        assert!(turns[2]["content"][0]["text"].as_str().unwrap().contains("A summary."));
        assert_eq!(turns[2]["content"][1]["text"], "Hello");
        assert_eq!(
            turns[3]["content"],
            json!([{ "type": "tool_use", "id": "call_1", "name": "f", "input": {} }])
        );
        assert_eq!(turns[4]["content"][0]["tool_use_id"], "call_1");
        assert_eq!(turns[4]["content"][1]["text"], "And?");
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
