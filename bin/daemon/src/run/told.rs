//! What readers of a detached run have been told: events with their ids, and the text that they make.

use std::collections::BTreeMap;

use daemon_api::StreamEvent;
use mc_client::deltas::{IDS_PER_FENCE, RunEvent as Kept};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::events::RunEvent;

/// The id of a tool call, where the event itself has an id, too.
const CALL_ID: &str = "call_id";

/// An event with its place in the one sequence of all readers.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Fence × 1,000,000 + n.
    pub id: i64,
    /// What happened.
    pub event: RunEvent,
}

impl Told {
    /// An event as the backend keeps it; `None` for one of another form.
    pub fn of_kept(kept: &Kept) -> Option<Self> {
        let mut fields = kept.fields.clone();
        if let Some(call) = fields.remove(CALL_ID) {
            fields.insert("id".to_owned(), call);
        }
        let event = Value::Object(fields);
        let event = StreamEvent::deserialize(event).ok().and_then(RunEvent::of_wire)?;
        Some(Self { id: kept.id?, event })
    }

    /// The turn of the model whose words it is about.
    pub fn turn(&self) -> Option<u32> {
        self.event.turn()
    }

    /// The event as the backend keeps it, without its id.
    pub fn to_kept(&self) -> Kept {
        let event = serde_json::to_value(StreamEvent::from(self.event.clone()));
        let mut fields = event.ok().and_then(into_fields).unwrap_or_default();
        if let Some(call) = fields.remove("id") {
            fields.insert(CALL_ID.to_owned(), call);
        }
        Kept::new(fields)
    }
}

fn into_fields(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// Whether nothing can have been told between two events: they follow on each other within one lease.
pub fn follows(id: i64, earlier: i64) -> bool {
    id == earlier + 1 && id % IDS_PER_FENCE > 1
}

/// The texts of turns, by their places in the journal, as readers have them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Texts(BTreeMap<u32, String>);

impl Texts {
    /// What these events make.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Told>) -> Self {
        let mut texts = Self::default();
        events.into_iter().for_each(|told| texts.add(&told.event));
        texts
    }

    /// Takes up an event.
    pub fn add(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Chunk { data, step: Some(step) } => {
                self.0.entry(*step).or_default().push_str(data);
            }
            RunEvent::Restarted { step, from, .. } => {
                if let Some(text) = self.0.get_mut(step) {
                    text.truncate(byte_of(text, *from));
                }
            }
            RunEvent::Chunk { step: None, .. }
            | RunEvent::Start { .. }
            | RunEvent::ToolCall { .. }
            | RunEvent::ToolResult { .. } => {}
        }
    }

    /// A turn's text.
    pub fn of_turn(&self, step: u32) -> &str {
        self.0.get(&step).map(String::as_str).unwrap_or_default()
    }

    /// The newest turn of which there is text.
    pub fn newest(&self) -> Option<(u32, &str)> {
        self.0.last_key_value().map(|(step, text)| (*step, text.as_str()))
    }
}

/// Where a code point begins, in bytes; the text's end when it has fewer.
pub fn byte_of(text: &str, code_point: u64) -> usize {
    let nth = usize::try_from(code_point).unwrap_or(usize::MAX);
    text.char_indices().nth(nth).map_or(text.len(), |(at, _)| at)
}

/// How far two texts are equal, in bytes; at a code point's border.
pub fn common(one: &str, other: &str) -> usize {
    let pairs = one.char_indices().zip(other.chars());
    let different = pairs.into_iter().find(|((_, a), b)| a != b);
    different.map_or(one.len().min(other.len()), |((at, _), _)| at)
}

/// The length of a text in code points.
pub fn code_points(text: &str) -> u64 {
    text.chars().count() as u64
}
