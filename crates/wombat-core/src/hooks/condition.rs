//! `when`: which events are told.

use serde_json::Value;

use super::template::{Event, Place, shown};

/// One line of `when`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Where the value may stand; the first place that has one counts.
    places: Vec<Place>,
    allowed: Vec<Value>,
}

impl Condition {
    /// Reads one line: a path in the body, `body.path` or `header.name`, and the values, or one alone.
    pub(super) fn parse(path: &str, values: &Value) -> Result<Self, String> {
        let places: Vec<_> =
            [Place::parse(path), Place::in_body(path)].into_iter().flatten().collect();
        if places.is_empty() {
            return Err(format!("when: {path:?} names no field of the body and no header"));
        }
        let allowed = match values {
            Value::Array(values) => values.clone(),
            Value::Object(_) => Vec::new(),
            one => vec![one.clone()],
        };
        if allowed.is_empty() || allowed.iter().any(|one| one.is_array() || one.is_object()) {
            return Err(format!("when: {path:?} has no list of values"));
        }
        Ok(Self { places, allowed })
    }

    /// Whether the event has one of the values there. In a list, one of its items is enough.
    pub fn holds(&self, event: &Event<'_>) -> bool {
        let found = self.places.iter().find_map(|place| place.find(event)).unwrap_or(Value::Null);
        match &found {
            Value::Array(items) => items.iter().any(|item| self.allows(item)),
            one => self.allows(one),
        }
    }

    /// Numbers and words are compared as they are written: `1` and `"1"` are the same.
    fn allows(&self, found: &Value) -> bool {
        let is_comparable = !found.is_array() && !found.is_object();
        let equals = |one: &Value| one.is_null() == found.is_null() && shown(one) == shown(found);
        is_comparable && self.allowed.iter().any(equals)
    }
}
