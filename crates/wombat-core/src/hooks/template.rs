//! Text with `{body.path}` and `{header.name}`.

use std::fmt;

use serde_json::Value;

use crate::loader::truncate;

/// The most characters that one value has in a text.
pub const MAX_VALUE: usize = 2_000;

/// What a service has sent.
pub struct Event<'a> {
    /// The body.
    pub body: &'a Value,
    /// The value of a header, by its name in lower case.
    pub header: &'a (dyn Fn(&str) -> Option<String> + Sync),
}

/// Shows nothing of what was sent.
impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").finish_non_exhaustive()
    }
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In the body: the names of fields, and positions in lists, from 0.
    Body(Vec<String>),
    /// In a header, by its name in lower case.
    Header(String),
}

impl Place {
    /// Reads `body.path` or `header.name`; `None` is neither.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("body.") {
            return Self::in_body(path);
        }
        let name = text.strip_prefix("header.")?;
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        is_name.then(|| Self::Header(name.to_ascii_lowercase()))
    }

    /// Reads a path within the body.
    pub(super) fn in_body(path: &str) -> Option<Self> {
        let parts: Vec<_> = path.split('.').map(str::to_owned).collect();
        parts.iter().all(|part| !part.trim().is_empty()).then_some(Self::Body(parts))
    }

    /// The value there.
    pub(super) fn find(&self, event: &Event<'_>) -> Option<Value> {
        match self {
            Self::Header(name) => (event.header)(name).map(Value::String),
            Self::Body(path) => {
                let mut at = event.body;
                for part in path {
                    at = match at {
                        Value::Object(fields) => fields.get(part)?,
                        Value::Array(items) => items.get(part.parse::<usize>().ok()?)?,
                        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                            return None;
                        }
                    };
                }
                Some(at.clone())
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Place),
}

/// A text with places for values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// What is wrong with a template.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadTemplate {
    /// The line within it, from 0.
    pub(super) line: usize,
    pub(super) what: String,
}

impl Template {
    /// Reads a text. Braces around anything else are text.
    pub(super) fn parse(text: &str) -> Result<Self, BadTemplate> {
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            plain.push_str(&rest[..at]);
            let here = &rest[at..];
            let line = text[..text.len() - here.len()].matches('\n').count();
            let inner = &here[1..];
            let end = inner.find(['{', '}', '\n']).filter(|end| inner[*end..].starts_with('}'));
            let word = &inner[..end.unwrap_or(inner.len())];
            let begins = |name: &str| {
                let after = word.strip_prefix(name);
                after.is_some_and(|after| after.is_empty() || after.starts_with('.'))
            };
            if !begins("body") && !begins("header") {
                plain.push('{');
                rest = inner;
                continue;
            }
            let shown: String = word.lines().next().unwrap_or_default().chars().take(60).collect();
            let Some(end) = end else {
                return Err(BadTemplate {
                    line,
                    what: format!("'{{{shown}' is not closed by '}}'"),
                });
            };
            let Some(place) = Place::parse(word) else {
                let what = format!("'{{{shown}}}' names no field of the body and no header");
                return Err(BadTemplate { line, what });
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Value(place));
            rest = &inner[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The text itself, where it has no places.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(text)] => Some(text),
            [] => Some(""),
            _ => None,
        }
    }

    /// Whether it has the value of a header, which no scheme signs.
    pub(super) fn has_header(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Value(Place::Header(_))))
    }

    /// The text with the values, each of at most [`MAX_VALUE`] characters; nothing where there is none.
    /// What a value holds is never read as a template.
    pub fn text(&self, event: &Event<'_>) -> String {
        let value = |place: &Place| {
            let text = place.find(event).map(|value| shown(&value)).unwrap_or_default();
            clean(truncate(&text, MAX_VALUE).0)
        };
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Value(place) => value(place),
        };
        self.0.iter().map(part).collect()
    }

    /// What it names: with every value whole, a text or a number; `None` where one is missing or empty.
    pub fn name(&self, event: &Event<'_>) -> Option<String> {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Value(place) => match place.find(event)? {
                    Value::String(text) if !text.trim().is_empty() => name.push_str(&text),
                    // A larger one has lost digits already, and may be somebody else's.
                    Value::Number(number) if number.is_i64() || number.is_u64() => {
                        name.push_str(&number.to_string());
                    }
                    Value::Number(_)
                    | Value::String(_)
                    | Value::Null
                    | Value::Bool(_)
                    | Value::Array(_)
                    | Value::Object(_) => return None,
                },
            }
        }
        (!name.trim().is_empty() && !name.contains(char::is_control)).then_some(name)
    }
}

/// A value as text: nothing of `null`, lists and objects as JSON.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Without characters that steer terminals, or that databases refuse.
fn clean(text: &str) -> String {
    let is_bad = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
    text.chars().map(|c| if is_bad(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
