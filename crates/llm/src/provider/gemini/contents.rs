//! Conversations in the form of the protocol.
//!
//! The rules: calls come right behind a turn of the user or results ("Please ensure that function call
//! turn comes immediately after a user turn or after a function response turn",
//! <https://github.com/google-gemini/gemini-cli/issues/26486>); the results of a turn of calls stand
//! in a turn of their own right behind it, as many as calls, and text of the user in another one
//! (<https://github.com/google-gemini/gemini-cli/issues/3814>,
//! <https://github.com/vellum-ai/vellum-assistant/pull/39495>); a turn has parts, a text is not empty,
//! and the last turn is not the model's (<https://github.com/envoyproxy/ai-gateway/pull/2686>).
//! Signatures go back in the parts that they came in; the first call of a turn must have one with
//! Gemini 3 (<https://ai.google.dev/gemini-api/docs/thought-signatures>).

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::request::is_of_three;
use super::{GIVEN_ID, SIGNATURE, THOUGHT_SIGNATURE};
use crate::media::Media;
use crate::model::ModelRef;
use crate::provider::history::{BEGAN_EARLIER, EMPTY, GO_ON, for_tools, system_note};
use crate::provider::media;
use crate::provider::turn_parts::{TurnPart, turn_parts};
use crate::provider::wire;
use crate::request::{AssistantMessage, Message, ToolCall};

/// The placeholder for the signature in calls of another model, from Google's guide.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The conversation in turns of user, model and results, the first one a user's. Without tools, calls
/// and results become text.
pub(super) fn contents(model: &ModelRef, messages: &[Message], has_tools: bool) -> Value {
    let messages = media::results_as_text(for_tools(messages, has_tools), |media| {
        is_of_three(&model.name) && IN_RESULTS.contains(&media.media_type())
    });
    let mut turns = Turns::default();
    // The ids that Gemini itself sent with the calls whose results follow; it does not need others.
    let mut given: VecDeque<Option<&Value>> = VecDeque::new();
    for message in messages.iter() {
        match message {
            Message::System { content } if content.trim().is_empty() => {}
            Message::System { content } => turns.push(Turn::User, text(&system_note(content))),
            Message::User { content, media } if media.is_empty() => {
                turns.push(Turn::User, text(content));
            }
            Message::User { content, media } => {
                for part in media::parts(content, media, text, item) {
                    turns.push(Turn::User, part);
                }
            }
            Message::Assistant(turn) => {
                given.extend(turn.tool_calls.iter().map(given_id));
                turns.model(model_parts(model, turn));
            }
            Message::Tool { name, content, media, .. } => {
                let marks = media.iter().map(Media::mark);
                let result = [content.clone()].into_iter().chain(marks).collect::<Vec<_>>();
                let mut response =
                    json!({ "name": name, "response": { "result": result.join("\n") } });
                if !media.is_empty() {
                    response["parts"] = media.iter().map(item).collect();
                }
                if let Some(id) = given.pop_front().flatten() {
                    response["id"] = id.clone();
                }
                turns.push(Turn::Results, json!({ "functionResponse": response }));
            }
        }
    }
    turns.finish()
}

/// The types that results of Gemini 3 may hold
/// (<https://ai.google.dev/gemini-api/docs/function-calling#multimodal>).
const IN_RESULTS: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "application/pdf"];

/// An image or a document, also within a result
/// (<https://ai.google.dev/gemini-api/docs/image-understanding>).
fn item(media: &Media) -> Value {
    json!({ "inlineData": { "mimeType": media.media_type(), "data": media::data(media) } })
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    User,
    Model,
    Results,
}

#[derive(Default)]
struct Turns(Vec<(Turn, Vec<Value>)>);

impl Turns {
    fn push(&mut self, turn: Turn, part: Value) {
        match self.0.last_mut() {
            Some((last, parts)) if *last == turn => parts.push(part),
            _ => self.0.push((turn, vec![part])),
        }
    }

    fn model(&mut self, parts: Vec<Value>) {
        for part in parts {
            if self.0.is_empty() {
                self.push(Turn::User, text(BEGAN_EARLIER));
            }
            self.push(Turn::Model, part);
        }
    }

    fn finish(mut self) -> Value {
        match self.0.last() {
            None => self.push(Turn::User, text(EMPTY)),
            Some((Turn::Model, _)) => self.push(Turn::User, text(GO_ON)),
            Some((Turn::User | Turn::Results, _)) => {}
        }
        let turns = self.0.into_iter().map(|(turn, parts)| {
            let role = if turn == Turn::Model { "model" } else { "user" };
            json!({ "role": role, "parts": parts })
        });
        turns.collect()
    }
}

/// The parts of a turn of the model; none if it has nothing but thoughts.
fn model_parts(model: &ModelRef, turn: &AssistantMessage) -> Vec<Value> {
    let parts = turn_parts(turn, model.provider);
    if parts.iter().all(|part| matches!(part, TurnPart::Own(_))) {
        return Vec::new();
    }
    let mut is_first = true;
    let parts = parts.into_iter().filter_map(|part| match part {
        TurnPart::Own(part) => (!is_empty(&part)).then_some(part),
        TurnPart::Text(content, fields) if fields.is_empty() => {
            (!content.trim().is_empty()).then(|| json!({ "text": content }))
        }
        TurnPart::Text(content, mut fields) => {
            fields.insert("text".into(), json!(content));
            Some(Value::Object(fields))
        }
        TurnPart::Call(call) => {
            let part = call_part(&model.name, call, is_first);
            is_first = false;
            Some(part)
        }
    });
    parts.collect()
}

/// Whether a part of Gemini's own is a text that says nothing, not even a signature.
fn is_empty(part: &Value) -> bool {
    part.get(THOUGHT_SIGNATURE).is_none()
        && part.get("text").and_then(Value::as_str).is_some_and(|text| text.trim().is_empty())
}

fn call_part(model: &str, call: &ToolCall, is_first: bool) -> Value {
    let mut function = json!({ "name": call.name, "args": wire::object(&call.arguments) });
    if let Some(id) = given_id(call) {
        function["id"] = id.clone();
    }
    let mut part = json!({ "functionCall": function });
    let signature = call.provider_state.as_ref().and_then(|state| state.get(SIGNATURE));
    // The first call of a turn has the signature, also for parallel ones.
    if let Some(signature) = signature {
        part[THOUGHT_SIGNATURE] = signature.clone();
    } else if is_first && wants_signatures(model) {
        part[THOUGHT_SIGNATURE] = json!(NO_SIGNATURE);
    }
    part
}

fn given_id(call: &ToolCall) -> Option<&Value> {
    call.provider_state.as_ref().and_then(|state| state.get(GIVEN_ID))
}

fn text(text: &str) -> Value {
    let text = if text.trim().is_empty() { EMPTY } else { text };
    json!({ "text": text })
}

/// Gemini 3 rejects calls without a signature; older models do not require one.
fn wants_signatures(model: &str) -> bool {
    !["gemini-1", "gemini-2"].iter().any(|old| model.trim_start_matches("models/").starts_with(old))
}
