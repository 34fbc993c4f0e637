//! Events of a stream that contain only text. Nearly all do, so they are parsed without building a
//! `Value` of each.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// An event with text only, and nothing else that the reader needs.
#[derive(Deserialize)]
pub(super) struct TextDelta {
    choices: [TextChoice; 1],
    usage: Option<IgnoredAny>,
    x_groq: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct TextChoice {
    #[serde(default)]
    index: u64,
    delta: ChoiceDelta,
    finish_reason: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
    usage: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ChoiceDelta {
    content: String,
    tool_calls: Option<IgnoredAny>,
    function_call: Option<IgnoredAny>,
    refusal: Option<IgnoredAny>,
    reasoning_content: Option<IgnoredAny>,
    reasoning: Option<IgnoredAny>,
    // OpenRouter sends an empty list with each text.
    reasoning_details: Option<[IgnoredAny; 0]>,
    thinking_blocks: Option<[IgnoredAny; 0]>,
    extra_content: Option<IgnoredAny>,
}

impl TextDelta {
    /// The text of an event; `None` when it contains anything else.
    pub(super) fn parse(event: &str) -> Option<String> {
        let Self { choices: [choice], usage: None, x_groq: None, error: None } =
            serde_json::from_str(event).ok()?
        else {
            return None;
        };
        let TextChoice { index: 0, delta, finish_reason: None, error: None, usage: None } = choice
        else {
            return None;
        };
        let ChoiceDelta {
            content,
            tool_calls: None,
            function_call: None,
            refusal: None,
            reasoning_content: None,
            reasoning: None,
            reasoning_details: None | Some([]),
            thinking_blocks: None | Some([]),
            extra_content: None,
        } = delta
        else {
            return None;
        };
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_an_event_of_nothing_but_words_is_read_as_one() {
        let words = |event: Value| TextDelta::parse(&event.to_string());
        let plain = json!({ "id": "c", "object": "chat.completion.chunk", "usage": null, "choices": [
            { "index": 0, "delta": { "role": "assistant", "content": "a\n\u{e9}" }, "logprobs": null,
              "finish_reason": null }] });
        assert_eq!(words(plain.clone()).as_deref(), Some("a\n\u{e9}"));
        let mut none = plain.clone();
        none["choices"][0]["delta"]["reasoning"] = json!(null);
        none["choices"][0]["delta"]["reasoning_details"] = json!([]);
        assert_eq!(words(none).as_deref(), Some("a\n\u{e9}"));
        for (path, value) in [
            ("/usage", json!({ "prompt_tokens": 1 })),
            ("/choices/0/finish_reason", json!("stop")),
            ("/choices/0/index", json!(1)),
            ("/choices/0/delta/content", json!(null)),
            ("/choices/0/delta/content", json!([{ "type": "text", "text": "a" }])),
            ("/choices", json!([])),
            ("/choices", json!([plain["choices"][0], plain["choices"][0]])),
        ] {
            let mut event = plain.clone();
            *event.pointer_mut(path).unwrap() = value.clone();
            assert_eq!(words(event), None, "{path} {value}");
        }
        for (place, name) in [
            ("", "error"),
            ("", "x_groq"),
            ("/choices/0", "error"),
            ("/choices/0", "usage"),
            ("/choices/0/delta", "tool_calls"),
            ("/choices/0/delta", "function_call"),
            ("/choices/0/delta", "refusal"),
            ("/choices/0/delta", "reasoning_content"),
            ("/choices/0/delta", "reasoning"),
            ("/choices/0/delta", "reasoning_details"),
            ("/choices/0/delta", "thinking_blocks"),
            ("/choices/0/delta", "extra_content"),
        ] {
            let mut event = plain.clone();
            event.pointer_mut(place).unwrap()[name] = json!([1]);
            assert_eq!(words(event), None, "{place} {name}");
        }
    }
}
