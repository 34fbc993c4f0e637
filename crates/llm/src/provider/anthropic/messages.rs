//! Conversations in the form of the protocol.
//!
//! The rules: turns alternate and begin with a user's; results stand at the beginning of the turn
//! right behind their calls, each call has one
//! (<https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls>); no text is
//! empty or white space ("text content blocks must contain non-whitespace text",
//! <https://github.com/anthropics/claude-code/issues/23440>); the last turn is the user's, since Claude
//! 4.6 continues no turn of its own ("The conversation must end with a user message",
//! <https://platform.claude.com/docs/en/about-claude/models/whats-new-claude-4-6>); thinking goes back
//! unchanged and in its place, but not as the end of a turn ("The final block in an assistant message
//! cannot be `thinking`", <https://github.com/tailcallhq/forgecode/issues/2107>). Thinking of another
//! model is dropped by the server itself
//! (<https://platform.claude.com/docs/en/build-with-claude/preserved-thinking>).

use serde_json::{Value, json};

use crate::media::{Media, MediaKind};
use crate::model::Provider;
use crate::provider::call_ids::CallIds;
use crate::provider::history::{BEGAN_EARLIER, EMPTY, GO_ON, for_tools, system_note};
use crate::provider::media;
use crate::provider::turn_parts::{TurnPart, turn_parts};
use crate::provider::wire;
use crate::request::{AssistantMessage, Message};

/// Splits off the leading system messages, which are the system prompt.
pub(super) fn split_system(messages: &[Message]) -> (String, &[Message]) {
    let is_system = |message: &Message| matches!(message, Message::System { .. });
    let first = messages.iter().position(|message| !is_system(message)).unwrap_or(messages.len());
    let (system, rest) = messages.split_at(first);
    let texts = system.iter().filter_map(|message| match message {
        Message::System { content } if !content.trim().is_empty() => Some(content.as_str()),
        _ => None,
    });
    (texts.collect::<Vec<_>>().join("\n\n"), rest)
}

/// The conversation in alternating turns, the first and the last a user's. Without tools, calls and
/// results become text.
pub(super) fn messages(provider: Provider, messages: &[Message], has_tools: bool) -> Vec<Value> {
    let messages = for_tools(messages, has_tools);
    let mut turns = Turns::default();
    let mut ids = CallIds::default();
    for message in messages.iter() {
        match message {
            // The protocol has no system messages within a conversation: they become labelled text in
            // a user turn.
            Message::System { content } if content.trim().is_empty() => {}
            Message::System { content } => turns.push("user", text(&system_note(content))),
            Message::User { content, media } if media.is_empty() => {
                turns.push("user", text(content));
            }
            Message::User { content, media } => {
                for block in media::parts(content, media, text, item) {
                    turns.push("user", block);
                }
            }
            Message::Assistant(turn) => turns.assistant(assistant(provider, turn, &mut ids)),
            Message::Tool { call_id, content, media, .. } => {
                let id = ids.result(call_id);
                let content = match content.trim() {
                    _ if !media.is_empty() => {
                        Value::Array(media::parts(content, media, text, item))
                    }
                    "" => json!(EMPTY),
                    _ => json!(content),
                };
                turns.push(
                    "user",
                    json!({ "type": "tool_result", "tool_use_id": id, "content": content }),
                );
            }
        }
    }
    turns.finish()
}

/// Alternating turns.
#[derive(Default)]
struct Turns(Vec<(&'static str, Vec<Value>)>);

impl Turns {
    fn push(&mut self, role: &'static str, block: Value) {
        match self.0.last_mut() {
            Some((last, blocks)) if *last == role => blocks.push(block),
            _ => self.0.push((role, vec![block])),
        }
    }

    fn assistant(&mut self, blocks: Vec<Value>) {
        for block in blocks {
            if self.0.is_empty() {
                self.push("user", text(BEGAN_EARLIER));
            }
            self.push("assistant", block);
        }
    }

    fn finish(mut self) -> Vec<Value> {
        match self.0.last() {
            None => self.push("user", text(EMPTY)),
            Some(("assistant", _)) => self.push("user", text(GO_ON)),
            Some(_) => {}
        }
        let turns = self.0.into_iter();
        turns.map(|(role, blocks)| json!({ "role": role, "content": blocks })).collect()
    }
}

/// The blocks of a turn of the model.
fn assistant(provider: Provider, turn: &AssistantMessage, ids: &mut CallIds) -> Vec<Value> {
    let parts = turn_parts(turn, provider);
    let has_thoughts = parts.iter().any(|part| matches!(part, TurnPart::Own(_)));
    let is_end = |part: &TurnPart<'_>| match part {
        TurnPart::Own(_) => false,
        TurnPart::Text(text, _) => !text.trim().is_empty(),
        TurnPart::Call(_) => true,
    };
    let end = parts.iter().rposition(is_end).map_or(0, |last| last + 1);
    let blocks = parts.into_iter().take(end).filter_map(|part| match part {
        TurnPart::Own(block) => Some(block),
        TurnPart::Text(content, _) if content.trim().is_empty() => None,
        // White space at the end is rejected at the end of the conversation. With thoughts, which may
        // be sealed together with what follows them, nothing is changed.
        TurnPart::Text(content, _) if has_thoughts => Some(text(content)),
        TurnPart::Text(content, _) => Some(text(content.trim_end())),
        TurnPart::Call(call) => Some(json!({
            "type": "tool_use", "id": ids.call(&call.id), "name": call.name,
            "input": wire::object(&call.arguments),
        })),
    });
    blocks.collect()
}

/// An image or a document, also within a result.
///
/// Sources: <https://platform.claude.com/docs/en/build-with-claude/vision>,
/// <https://platform.claude.com/docs/en/build-with-claude/pdf-support>,
/// <https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls>.
fn item(media: &Media) -> Value {
    let source = json!({
        "type": "base64", "media_type": media.media_type(), "data": media::data(media),
    });
    match media.kind() {
        Some(MediaKind::Document) => {
            json!({ "type": "document", "source": source, "title": media::file_name(media) })
        }
        Some(MediaKind::Image) | None => json!({ "type": "image", "source": source }),
    }
}

fn text(text: &str) -> Value {
    let text = if text.trim().is_empty() { EMPTY } else { text };
    json!({ "type": "text", "text": text })
}

/// Sets a cache breakpoint, so that the next call of the conversation finds all of it in the cache. The
/// last block is a text or a result; thinking must have none
/// (<https://platform.claude.com/docs/en/build-with-claude/prompt-caching>).
pub(super) fn mark_last_block(messages: &mut [Value]) {
    let blocks = messages.last_mut().and_then(|last| last["content"].as_array_mut());
    if let Some(block) = blocks.and_then(|blocks| blocks.last_mut()) {
        block["cache_control"] = json!({ "type": "ephemeral" });
    }
}
