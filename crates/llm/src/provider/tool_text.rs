//! A conversation whose tool turns are plain text, for requests without tools: a protocol that is sent
//! no tools may reject calls and results.

use std::borrow::Cow;

use crate::provider::history::result_note;
use crate::request::{AssistantMessage, Message};

/// The conversation with calls and results as text. Thoughts, which belong to the calls, are left out.
pub(super) fn tools_as_text(messages: &[Message]) -> Cow<'_, [Message]> {
    let is_text = |message: &Message| match message {
        Message::System { .. } | Message::User { .. } => true,
        Message::Assistant(turn) => turn.tool_calls.is_empty(),
        Message::Tool { .. } => false,
    };
    if messages.iter().all(is_text) {
        return Cow::Borrowed(messages);
    }
    let texts = messages.iter().map(|message| match message {
        Message::Assistant(turn) if !turn.tool_calls.is_empty() => {
            Message::assistant(calls_note(turn))
        }
        Message::Tool { name, content, .. } => Message::user(result_note(name, content)),
        other => other.clone(),
    });
    Cow::Owned(texts.collect())
}

/// A turn's text, and its calls as text.
fn calls_note(turn: &AssistantMessage) -> String {
    let mut note = turn.text.trim_end().to_owned();
    for call in &turn.tool_calls {
        if !note.is_empty() {
            note.push('\n');
        }
        note.push_str(&format!("[Called {} with {}]", call.name, call.arguments));
    }
    note
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request::ToolCall;

    #[test]
    fn calls_and_results_become_text_in_their_place() {
        let call = ToolCall {
            id: "c".into(),
            name: "f".into(),
            arguments: json!({ "a": 1 }),
            provider_state: None,
        };
        let turn =
            AssistantMessage { text: "I look. ".into(), tool_calls: vec![call], thoughts: None };
        let result = Message::Tool { call_id: "c".into(), name: "f".into(), content: "7".into() };
        let texts =
            tools_as_text(&[Message::user("Go"), Message::Assistant(turn), result]).into_owned();
        assert_eq!(
            texts,
            [
                Message::user("Go"),
                Message::assistant("I look.\n[Called f with {\"a\":1}]"),
                Message::user("[Result of f]\n7\n[End of result]"),
            ]
        );
        assert!(matches!(tools_as_text(&texts), Cow::Borrowed(_)));
    }
}
