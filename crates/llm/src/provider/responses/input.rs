//! Conversations in the form of the protocol.
//!
//! The rules: each call has one output (<https://platform.openai.com/docs/guides/function-calling>),
//! ids of calls have at most 64 characters (<https://github.com/openai/codex/issues/14355>), and
//! reasoning stands before the message or call that it led to ("was provided without its required
//! following item", <https://github.com/openai/openai-node/issues/1567>).

use serde_json::{Value, json};

use crate::media::{Media, MediaKind};
use crate::model::Provider;
use crate::provider::call_ids::CallIds;
use crate::provider::history::{EMPTY, for_tools};
use crate::provider::media;
use crate::provider::turn_parts::{TurnPart, turn_parts};
use crate::provider::wire;
use crate::request::{AssistantMessage, Message};

/// The conversation as items. Without tools, calls and outputs become text.
pub(super) fn input(
    provider: Provider,
    messages: &[Message],
    has_tools: bool,
    takes_parts: bool,
) -> Value {
    // Outputs of parts are in OpenAI's reference (`FunctionAndCustomToolCallOutput`); other servers read
    // a text there.
    let messages = media::results_as_text(for_tools(messages, has_tools), |_| takes_parts);
    let mut input = Vec::new();
    let mut ids = CallIds::default();
    for message in messages.iter() {
        match message {
            Message::System { content } if content.trim().is_empty() => {}
            Message::System { content } => {
                input.push(json!({ "role": "system", "content": content }));
            }
            Message::User { content, media } if !media.is_empty() => {
                let parts = media::parts(content, media, text, item);
                input.push(json!({ "role": "user", "content": parts }));
            }
            Message::User { content, .. } => {
                let content = if content.trim().is_empty() { EMPTY } else { content };
                input.push(json!({ "role": "user", "content": content }));
            }
            Message::Assistant(turn) => assistant(provider, turn, &mut ids, &mut input),
            Message::Tool { call_id, content, media, .. } => {
                let output = match media.as_slice() {
                    [] => json!(content),
                    media => Value::Array(media::parts(content, media, text, item)),
                };
                input.push(json!({
                    "type": "function_call_output", "call_id": ids.result(call_id), "output": output,
                }));
            }
        }
    }
    if input.is_empty() {
        input.push(json!({ "role": "user", "content": EMPTY }));
    }
    Value::Array(input)
}

fn text(text: &str) -> Value {
    json!({ "type": "input_text", "text": text })
}

/// An image or a document, also within an output.
///
/// Sources: <https://developers.openai.com/api/docs/guides/images-vision>,
/// <https://developers.openai.com/api/docs/guides/file-inputs>.
fn item(media: &Media) -> Value {
    let url = media::data_url(media);
    match media.kind() {
        Some(MediaKind::Document) => {
            json!({ "type": "input_file", "filename": media::file_name(media), "file_data": url })
        }
        Some(MediaKind::Image) | None => {
            json!({ "type": "input_image", "detail": "auto", "image_url": url })
        }
    }
}

/// Gives the model's texts the fields that vLLM requires of them, and OpenAI's own server does not
/// (`ResponseOutputMessageParam` of the `openai` package on PyPI).
pub(super) fn complete_for_others(input: &mut Value) {
    let is_models = |item: &Value| item["type"] == "message" && item["role"] == "assistant";
    let items = input.as_array_mut().into_iter().flatten();
    for (n, item) in items.enumerate().filter(|(_, item)| is_models(item)) {
        item["id"] = json!(format!("msg_{n}"));
        item["status"] = json!("completed");
        item["content"][0]["annotations"] = json!([]);
    }
}

/// The items of a turn of the model.
fn assistant(
    provider: Provider,
    turn: &AssistantMessage,
    ids: &mut CallIds,
    input: &mut Vec<Value>,
) {
    let mut reasoning = Vec::new();
    for part in turn_parts(turn, provider) {
        let item = match part {
            TurnPart::Own(item) => {
                reasoning.push(item);
                continue;
            }
            TurnPart::Text(text, _) if text.trim().is_empty() => continue,
            TurnPart::Text(text, fields) => {
                // llama.cpp takes nothing else (https://github.com/ggml-org/llama.cpp/issues/26394).
                let mut message = fields;
                message.insert("type".into(), json!("message"));
                message.insert("role".into(), json!("assistant"));
                message.insert("content".into(), json!([{ "type": "output_text", "text": text }]));
                Value::Object(message)
            }
            TurnPart::Call(call) => json!({
                "type": "function_call",
                "call_id": ids.call(&call.id),
                "name": call.name,
                "arguments": wire::object_text(&call.arguments),
            }),
        };
        // Reasoning that led to nothing stays behind.
        input.append(&mut reasoning);
        input.push(item);
    }
}
