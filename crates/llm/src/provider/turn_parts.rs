//! The parts of a model's turn in their order: thoughts, texts and calls. Protocols that want thoughts
//! back want them where they stood.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::Provider;
use crate::request::{AssistantMessage, Thoughts, ToolCall};

/// Notes the parts of an answer as they come.
#[derive(Debug, Default)]
pub(super) struct PartsNote {
    parts: Vec<Noted>,
}

/// A part as it is kept. Texts and calls are in the message already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Noted {
    /// A part that only the provider understands.
    Own(Value),
    /// So many bytes of the text, and fields that belong to them.
    Text {
        bytes: usize,
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        fields: Map<String, Value>,
    },
    /// The next call.
    Call,
}

impl PartsNote {
    /// Notes so many bytes of text, which continue the last part if that is a text without fields.
    pub(super) fn text(&mut self, more: usize) {
        if let Some(Noted::Text { bytes, fields }) = self.parts.last_mut()
            && fields.is_empty()
        {
            *bytes += more;
        } else if more > 0 {
            self.parts.push(Noted::Text { bytes: more, fields: Map::new() });
        }
    }

    /// Notes so many bytes of text with fields of their own.
    pub(super) fn text_with(&mut self, bytes: usize, fields: Map<String, Value>) {
        self.parts.push(Noted::Text { bytes, fields });
    }

    /// Notes the next call.
    pub(super) fn call(&mut self) {
        self.parts.push(Noted::Call);
    }

    /// Notes a part that only the provider understands.
    pub(super) fn own(&mut self, part: Value) {
        self.parts.push(Noted::Own(part));
    }

    /// The last part, if only the provider understands it.
    pub(super) fn last_own(&mut self) -> Option<&mut Value> {
        match self.parts.last_mut() {
            Some(Noted::Own(part)) => Some(part),
            Some(Noted::Text { .. } | Noted::Call) | None => None,
        }
    }

    /// What has to go back besides texts and calls; `None` when there is nothing.
    pub(super) fn thoughts(self, provider: Provider) -> Option<Thoughts> {
        let is_plain = |part: &Noted| match part {
            Noted::Own(_) => false,
            Noted::Text { fields, .. } => fields.is_empty(),
            Noted::Call => true,
        };
        if self.parts.iter().all(is_plain) {
            return None;
        }
        let content = serde_json::to_value(self.parts).ok()?;
        Some(Thoughts { provider, content })
    }
}

/// A part of a turn that goes back.
#[derive(Debug, PartialEq)]
pub(super) enum TurnPart<'a> {
    /// A part of the provider's own, as it came.
    Own(Value),
    /// A text, and fields that came with it. The text may be empty.
    Text(&'a str, Map<String, Value>),
    /// A call.
    Call(&'a ToolCall),
}

/// The parts of a turn for a provider, in the order in which they came if it is known.
pub(super) fn turn_parts(turn: &AssistantMessage, provider: Provider) -> Vec<TurnPart<'_>> {
    let noted = turn.thoughts_of(provider).and_then(|content| Vec::deserialize(content).ok());
    let noted: Vec<Noted> = noted.unwrap_or_default();
    in_order(turn, &noted).unwrap_or_else(|| {
        // The text or the calls have been changed since.
        let own = noted.into_iter().filter_map(|part| match part {
            Noted::Own(part) => Some(TurnPart::Own(part)),
            Noted::Text { .. } | Noted::Call => None,
        });
        let text = (!turn.text.is_empty()).then_some(TurnPart::Text(&turn.text, Map::new()));
        own.chain(text).chain(turn.tool_calls.iter().map(TurnPart::Call)).collect()
    })
}

/// The parts as they were noted; `None` if the turn's text and calls are others.
fn in_order<'a>(turn: &'a AssistantMessage, noted: &[Noted]) -> Option<Vec<TurnPart<'a>>> {
    let mut calls = turn.tool_calls.iter();
    let mut rest = turn.text.as_str();
    let mut parts = Vec::with_capacity(noted.len());
    for part in noted {
        parts.push(match part {
            Noted::Own(part) => TurnPart::Own(part.clone()),
            Noted::Text { bytes, fields } => {
                let (text, behind) = rest.split_at_checked(*bytes)?;
                rest = behind;
                TurnPart::Text(text, fields.clone())
            }
            Noted::Call => TurnPart::Call(calls.next()?),
        });
    }
    (rest.is_empty() && calls.next().is_none()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(name: &str) -> ToolCall {
        ToolCall { id: name.into(), name: name.into(), arguments: json!({}), provider_state: None }
    }

    fn turn() -> AssistantMessage {
        let mut note = PartsNote::default();
        note.own(json!({ "thought": 1 }));
        note.text("Grü".len());
        note.text("ße".len());
        note.call();
        note.own(json!({ "thought": 2 }));
        note.call();
        note.text_with(1, Map::from_iter([("signature".to_owned(), json!("s"))]));
        AssistantMessage {
            text: "Grüße!".into(),
            tool_calls: vec![call("f"), call("g")],
            thoughts: note.thoughts(Provider::Google),
        }
    }

    #[test]
    fn parts_keep_their_order_through_the_journal() {
        let stored = serde_json::to_string(&turn()).unwrap();
        let turn: AssistantMessage = serde_json::from_str(&stored).unwrap();
        let parts = turn_parts(&turn, Provider::Google);
        let signed = Map::from_iter([("signature".to_owned(), json!("s"))]);
        assert_eq!(
            parts,
            [
                TurnPart::Own(json!({ "thought": 1 })),
                TurnPart::Text("Grüße", Map::new()),
                TurnPart::Call(&turn.tool_calls[0]),
                TurnPart::Own(json!({ "thought": 2 })),
                TurnPart::Call(&turn.tool_calls[1]),
                TurnPart::Text("!", signed),
            ]
        );
    }

    #[test]
    fn another_provider_gets_text_and_calls_only() {
        let turn = turn();
        let plain = [
            TurnPart::Text("Grüße!", Map::new()),
            TurnPart::Call(&turn.tool_calls[0]),
            TurnPart::Call(&turn.tool_calls[1]),
        ];
        assert_eq!(turn_parts(&turn, Provider::Anthropic), plain);
        let foreign = Thoughts { provider: Provider::Google, content: json!({ "other": "form" }) };
        let turn = AssistantMessage { thoughts: Some(foreign), ..turn.clone() };
        assert_eq!(turn_parts(&turn, Provider::Google).len(), 3);
    }

    #[test]
    fn a_turn_that_was_changed_keeps_its_thoughts_in_front() {
        for changed in [
            AssistantMessage { text: "Other".into(), ..turn() },
            AssistantMessage { tool_calls: vec![call("f")], ..turn() },
            AssistantMessage { text: "Gr€ßes!".into(), ..turn() },
        ] {
            let parts = turn_parts(&changed, Provider::Google);
            assert_eq!(parts[..2], [1, 2].map(|n| TurnPart::Own(json!({ "thought": n }))));
            assert_eq!(parts[2], TurnPart::Text(&changed.text, Map::new()));
            assert_eq!(parts.len(), 3 + changed.tool_calls.len());
        }
    }

    #[test]
    fn nothing_is_kept_of_a_plain_turn() {
        let mut note = PartsNote::default();
        note.text(2);
        note.call();
        assert_eq!(note.thoughts(Provider::Google), None);
    }
}
