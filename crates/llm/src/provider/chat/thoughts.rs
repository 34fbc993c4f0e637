//! A model's thoughts beside its text. They are kept as the fields of the assistant's message that
//! they came in, and go back as those.
//!
//! Sources:
//! - `reasoning_content`: <https://api-docs.deepseek.com/guides/thinking_mode> (must come back beside
//!   tool calls, also when it is empty: <https://github.com/vercel/ai/pull/13203>),
//!   <https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model>,
//!   <https://docs.z.ai/guides/capabilities/thinking-mode>
//! - `reasoning`: <https://console.groq.com/docs/reasoning>,
//!   <https://docs.vllm.ai/en/latest/features/reasoning_outputs.html>
//! - `reasoning_details`, unchanged and in order:
//!   <https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks>; how pieces are
//!   joined: <https://github.com/OpenRouterTeam/ai-sdk-provider/issues/519>
//! - `thinking_blocks`: <https://docs.litellm.ai/docs/reasoning_content>
//! - `extra_content`: <https://ai.google.dev/gemini-api/docs/thought-signatures#openai>
//! - chunks of type `thinking` in the content: <https://docs.mistral.ai/capabilities/reasoning/>

use serde_json::{Map, Value, json};

use crate::model::Provider;
use crate::provider::wire::{items, str_at};
use crate::request::{AssistantMessage, Thoughts};

/// The fields that hold text.
const TEXTS: [&str; 2] = ["reasoning_content", "reasoning"];
/// The fields that hold blocks.
const BLOCKS: [&str; 2] = ["reasoning_details", "thinking_blocks"];
/// The field that holds a signature.
const EXTRA: &str = "extra_content";
/// The field that holds the text, with the thoughts in it.
pub(super) const CONTENT: &str = "content";

/// The thoughts of an answer so far.
#[derive(Debug, Default)]
pub(super) struct ThoughtReader {
    fields: Map<String, Value>,
    /// Chunks of the content that are thoughts, and the length of the text before each.
    chunks: Vec<(usize, Value)>,
}

impl ThoughtReader {
    /// Takes the thoughts of a delta that follows so many bytes of text.
    pub(super) fn delta(&mut self, delta: &Value, text: usize) {
        for name in TEXTS {
            if let Some(more) = delta.get(name).and_then(Value::as_str) {
                self.text(name, more);
            }
        }
        for name in BLOCKS {
            let pieces = delta.get(name).and_then(Value::as_array).into_iter().flatten();
            for piece in pieces.filter(|piece| piece.is_object()) {
                let blocks = self.fields.entry(name).or_insert_with(|| json!([]));
                if let Value::Array(blocks) = blocks {
                    join(blocks, piece);
                }
            }
        }
        if let Some(extra) = delta.get(EXTRA).filter(|extra| extra.is_object()) {
            self.fields.insert(EXTRA.to_owned(), extra.clone());
        }
        let mut text = text;
        for chunk in items(delta, "/content") {
            match str_at(chunk, "/type") {
                "thinking" => self.chunk(text, chunk),
                "text" => text += str_at(chunk, "/text").len(),
                _ => {}
            }
        }
    }

    /// Takes more of a text that is a thought.
    pub(super) fn text(&mut self, name: &str, more: &str) {
        match self.fields.get_mut(name) {
            Some(Value::String(text)) => text.push_str(more),
            _ => {
                self.fields.insert(name.to_owned(), json!(more));
            }
        }
    }

    fn chunk(&mut self, text: usize, chunk: &Value) {
        if let Some((at, Value::Object(last))) = self.chunks.last_mut()
            && *at == text
            && let Some(Value::Array(parts)) = last.get_mut("thinking")
        {
            for part in items(chunk, "/thinking") {
                match parts.last_mut() {
                    Some(last) if is_text(last) && is_text(part) => append(last, "text", part),
                    _ => parts.push(part.clone()),
                }
            }
        } else {
            self.chunks.push((text, chunk.clone()));
        }
    }

    /// The thoughts beside a text, at the end.
    pub(super) fn take(&mut self, provider: Provider, text: &str) -> Option<Thoughts> {
        let Self { mut fields, chunks } = std::mem::take(self);
        if !chunks.is_empty() {
            let mut content = Vec::new();
            let mut from = 0;
            for (at, chunk) in chunks.into_iter().chain([(text.len(), Value::Null)]) {
                if let Some(text) = text.get(from..at).filter(|text| !text.is_empty()) {
                    content.push(json!({ "type": "text", "text": text }));
                }
                content.push(chunk);
                from = at;
            }
            content.pop();
            fields.insert(CONTENT.to_owned(), Value::Array(content));
        }
        (!fields.is_empty()).then(|| Thoughts { provider, content: Value::Object(fields) })
    }
}

/// Adds a piece of a block to the blocks. Index and id are not reliable in a stream; the type is.
fn join(blocks: &mut Vec<Value>, piece: &Value) {
    let is_same = |block: &Value, name: &str| {
        let (mine, its) = (block.get(name), piece.get(name));
        mine.is_none_or(Value::is_null) || its.is_none_or(Value::is_null) || mine == its
    };
    let text = ["text", "summary", "thinking"].into_iter().find(|name| piece[*name].is_string());
    let goes_on = |block: &Value| {
        block.get("type") == piece.get("type")
            && is_same(block, "index")
            && is_same(block, "id")
            // A signature ends a block, and what is encrypted comes in one piece.
            && !(text.is_some_and(|name| piece[name] != "") && block["signature"].is_string())
            && piece.get("data").is_none_or(Value::is_null)
    };
    let Some(block) = blocks.last_mut().filter(|block| goes_on(block)) else {
        blocks.push(piece.clone());
        return;
    };
    for (name, value) in piece.as_object().into_iter().flatten() {
        if Some(name.as_str()) == text && block[name.as_str()].is_string() {
            append(block, name, piece);
        } else if !value.is_null() {
            block[name.as_str()] = value.clone();
        }
    }
}

fn is_text(part: &Value) -> bool {
    str_at(part, "/type") == "text" && part["text"].is_string()
}

fn append(block: &mut Value, name: &str, piece: &Value) {
    if let (Value::String(text), Some(more)) = (&mut block[name], piece[name].as_str()) {
        text.push_str(more);
    }
}

/// The thoughts of a whole message, as they are.
pub(super) fn whole(provider: Provider, message: &Value) -> Option<Thoughts> {
    let mut fields = Map::new();
    for name in TEXTS.iter().chain(&BLOCKS).chain(&[EXTRA]) {
        let is_some = |value: &Value| match value {
            Value::String(_) | Value::Object(_) => true,
            Value::Array(blocks) => !blocks.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        };
        if let Some(value) = message.get(*name).filter(|value| is_some(value)) {
            fields.insert((*name).to_owned(), value.clone());
        }
    }
    if items(message, "/content").any(|chunk| str_at(chunk, "/type") == "thinking") {
        fields.insert(CONTENT.to_owned(), message[CONTENT].clone());
    }
    (!fields.is_empty()).then(|| Thoughts { provider, content: Value::Object(fields) })
}

/// Keeps the text as it came, with the thoughts in it: models that write them there want them back
/// there (<https://platform.minimax.io/docs/guides/text-m2-function-call>).
pub(in crate::provider) fn keep_text(
    provider: Provider,
    message: &mut AssistantMessage,
    text: String,
) {
    let thoughts =
        message.thoughts.get_or_insert_with(|| Thoughts { provider, content: json!({}) });
    if let Value::Object(fields) = &mut thoughts.content {
        fields.entry(CONTENT).or_insert(Value::String(text));
    }
}

/// The content with the thoughts in it.
pub(super) fn content(thoughts: Option<&Value>) -> Option<&Value> {
    thoughts?.get(CONTENT)
}

/// The fields of thoughts beside the content.
pub(super) fn others(thoughts: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let known = |name: &str| TEXTS.contains(&name) || BLOCKS.contains(&name) || name == EXTRA;
    let fields = thoughts.and_then(Value::as_object).into_iter().flatten();
    fields.map(|(name, value)| (name.as_str(), value)).filter(move |(name, _)| known(name))
}

/// Whether a server takes a field of its own thoughts back.
///
/// Sources: Groq refuses `reasoning_content`, and `reasoning` for other models than these
/// (<https://github.com/vercel/ai/pull/8057>, <https://github.com/karthink/gptel/issues/774>); Mistral
/// and OpenAI refuse what is not in their reference.
pub(super) fn accepts(provider: Provider, is_own_server: bool, model: &str, field: &str) -> bool {
    if field == CONTENT {
        return true;
    }
    match provider {
        Provider::OpenAi => !is_own_server,
        Provider::Groq => {
            field == "reasoning" && ["gpt-oss", "qwen3"].iter().any(|m| model.contains(m))
        }
        Provider::Mistral | Provider::Anthropic | Provider::Google | Provider::Offline => false,
        Provider::Xai | Provider::OpenRouter | Provider::Ollama => true,
    }
}

#[cfg(test)]
mod tests;
