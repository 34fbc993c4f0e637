//! Events of a stream that contain only text. Nearly all do, so they are read with the least work: with
//! half the fields of a chunk.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// An event with text only, and nothing else that the reader needs.
#[derive(Deserialize)]
pub(super) struct TextDelta<'a> {
    object: Option<&'a str>,
    choices: [TextChoice; 1],
    usage: Option<IgnoredAny>,
    x_groq: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
    base_resp: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct TextChoice {
    #[serde(default)]
    index: u64,
    delta: ChoiceDelta,
    finish_reason: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
    usage: Option<IgnoredAny>,
    object: Option<IgnoredAny>,
    message: Option<IgnoredAny>,
    detail: Option<IgnoredAny>,
    base_resp: Option<IgnoredAny>,
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

impl<'a> TextDelta<'a> {
    /// The text of an event; `None` when it contains anything else.
    pub(super) fn parse(event: &'a str) -> Option<String> {
        let Self {
            object,
            choices: [choice],
            usage: None,
            x_groq: None,
            error: None,
            base_resp: None,
        } = serde_json::from_str(event).ok()?
        else {
            return None;
        };
        let TextChoice {
            index: 0,
            delta,
            finish_reason: None,
            error: None,
            usage: None,
            object: None,
            message: None,
            detail: None,
            base_resp: None,
        } = choice
        else {
            return None;
        };
        if object == Some("error") {
            return None;
        }
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
