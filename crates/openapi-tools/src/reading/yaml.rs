//! YAML 1.2 as JSON. Merge keys (`<<`) are followed, which YAML 1.2 has no more and documents still use.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

use super::core_schema::{plain, tagged};
use super::part::Part;

/// The deepest nesting, aliases included; that of JSON.
const MAX_DEPTH: usize = 128;

/// The most bytes that aliases and anchors may copy.
const MAX_COPIED_BYTES: usize = 64 * 1024 * 1024;

/// The most documents in one text.
const MAX_DOCUMENTS: usize = 64;

/// Reads the document of a text: the only one, or the only one that is OpenAPI.
pub(super) fn load(text: &str, part: Part) -> Result<Value, String> {
    load_within(text, part, MAX_COPIED_BYTES)
}

/// Reads it, copying at most this many bytes.
fn load_within(text: &str, part: Part, copies: usize) -> Result<Value, String> {
    let mut loader = Loader {
        part,
        open: Vec::new(),
        anchors: HashMap::new(),
        recording: 0,
        copies,
        documents: Vec::new(),
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let taken = loader.take(event);
        taken.map_err(|why| format!("line {}: {why}", span.start.line()))?;
    }
    let mut documents = loader.documents;
    if documents.len() > 1 {
        documents.retain(|root| root.get("openapi").or_else(|| root.get("swagger")).is_some());
        if documents.len() != 1 {
            return Err("it holds several documents; only one can be read".to_owned());
        }
    }
    Ok(documents.pop().unwrap_or(Value::Null))
}

struct Loader {
    part: Part,
    /// The collections that are being read, outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    /// How many of the open collections have an anchor.
    recording: usize,
    /// How many bytes may still be copied.
    copies: usize,
    documents: Vec<Value>,
}

/// What an anchor stands for.
struct Anchored {
    value: Value,
    /// In bytes.
    size: usize,
    depth: usize,
}

/// A collection that is being read.
struct Open {
    collection: Collection,
    /// `None` when it is left out.
    part: Option<Part>,
    anchor: usize,
}

enum Collection {
    List(Vec<Value>),
    Object {
        fields: Map<String, Value>,
        key: Option<Key>,
        merged: Vec<Value>,
    },
    /// One of which nothing is kept.
    Dropped,
}

enum Key {
    Name(String),
    Merge,
}

impl Loader {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref())
            }
            Event::SequenceStart(_, anchor, _) => self.begin(Collection::List(Vec::new()), anchor),
            Event::MappingStart(_, anchor, _) => {
                let (fields, key, merged) = (Map::new(), None, Vec::new());
                self.begin(Collection::Object { fields, key, merged }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor),
            Event::DocumentEnd => {
                self.anchors.clear();
                if self.documents.len() > MAX_DOCUMENTS {
                    return Err("it holds too many documents".to_owned());
                }
                Ok(())
            }
            // Positions and comments.
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), String> {
        let is_plain = style == ScalarStyle::Plain;
        if let Some(Open { collection: Collection::Object { key: key @ None, .. }, .. }) =
            self.open.last_mut()
        {
            *key = Some(match is_plain && text == "<<" {
                true => Key::Merge,
                false => Key::Name(text.to_owned()),
            });
            return if anchor == 0 { Ok(()) } else { self.remember(anchor, &text.into()) };
        }
        if anchor == 0 && !self.keeps() {
            self.key_is_used();
            return Ok(());
        }
        let value = match tag {
            Some(tag) => match tag.core_suffix() {
                Some(kind) => tagged(kind, text),
                None => text.into(),
            },
            None if is_plain => plain(text),
            None => text.into(),
        };
        self.put(value, anchor)
    }

    /// Whether the next value is kept.
    fn keeps(&self) -> bool {
        self.recording > 0 || self.part_of_next().is_some()
    }

    /// The part that the next value is.
    fn part_of_next(&self) -> Option<Part> {
        let Some(open) = self.open.last() else { return Some(self.part) };
        match &open.collection {
            Collection::List(_) => open.part.map(|_| Part::Whole),
            Collection::Object { key: Some(Key::Name(name)), .. } => open.part?.below(name),
            Collection::Object { key: Some(Key::Merge), .. } => open.part,
            Collection::Object { key: None, .. } => Some(Part::Whole),
            Collection::Dropped => None,
        }
    }

    fn begin(&mut self, collection: Collection, anchor: usize) -> Result<(), String> {
        if let Some(Open { collection: Collection::Object { key: None, .. }, .. }) =
            self.open.last()
        {
            return Err("a key is a list or an object".to_owned());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let (keeps, part) = (anchor != 0 || self.keeps(), self.part_of_next());
        self.recording += usize::from(anchor != 0);
        let collection = if keeps { collection } else { Collection::Dropped };
        self.open.push(Open { collection, part, anchor });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(Open { collection, anchor, .. }) = self.open.pop() else { return Ok(()) };
        self.recording -= usize::from(anchor != 0);
        let value = match collection {
            Collection::List(items) => Value::Array(items),
            Collection::Object { mut fields, merged, .. } => {
                for source in merged {
                    merge(&mut fields, source)?;
                }
                Value::Object(fields)
            }
            Collection::Dropped => {
                self.key_is_used();
                return Ok(());
            }
        };
        self.put(value, anchor)
    }

    fn alias(&mut self, anchor: usize) -> Result<(), String> {
        if let Some(Open { collection: Collection::Dropped, .. }) = self.open.last() {
            return Ok(());
        }
        let Some(known) = self.anchors.get(&anchor) else {
            return Err("an alias stands inside of what it stands for".to_owned());
        };
        if self.open.len() + known.depth > MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let copied = self.copies.checked_sub(known.size);
        self.copies = copied.ok_or("its aliases stand for too much")?;
        let value = known.value.clone();
        if let Some(Open { collection: Collection::Object { key: key @ None, .. }, .. }) =
            self.open.last_mut()
        {
            let Value::String(name) = value else {
                return Err("a key is a list or an object".to_owned());
            };
            *key = Some(Key::Name(name));
            return Ok(());
        }
        self.put(value, 0)
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, value: Value, anchor: usize) -> Result<(), String> {
        if anchor != 0 {
            self.remember(anchor, &value)?;
        }
        let keeps = self.keeps();
        match self.open.last_mut().map(|open| &mut open.collection) {
            None => self.documents.push(value),
            Some(Collection::List(items)) => items.push(value),
            Some(Collection::Object { fields, key, merged }) => match key.take() {
                Some(Key::Merge) => merged.push(value),
                Some(Key::Name(name)) if keeps => {
                    if fields.contains_key(&name) {
                        return Err(format!("the key {name:?} stands twice"));
                    }
                    fields.insert(name, value);
                }
                Some(Key::Name(_)) | None => {}
            },
            Some(Collection::Dropped) => {}
        }
        Ok(())
    }

    /// Ends the key of a value that was left out.
    fn key_is_used(&mut self) {
        if let Some(Open { collection: Collection::Object { key, .. }, .. }) = self.open.last_mut()
        {
            *key = None;
        }
    }

    fn remember(&mut self, anchor: usize, value: &Value) -> Result<(), String> {
        let (size, depth) = measure(value);
        let copied = self.copies.checked_sub(size);
        self.copies = copied.ok_or("its anchors stand for too much")?;
        self.anchors.insert(anchor, Anchored { value: value.clone(), size, depth });
        Ok(())
    }
}

/// Adds the fields of an object, or of a list of them, that are not there (the merge key of YAML 1.1).
fn merge(fields: &mut Map<String, Value>, source: Value) -> Result<(), String> {
    match source {
        Value::Object(source) => {
            for (name, value) in source {
                fields.entry(name).or_insert(value);
            }
            Ok(())
        }
        Value::Array(sources) if sources.iter().all(Value::is_object) => {
            sources.into_iter().try_for_each(|source| merge(fields, source))
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err("the merge key (<<) is not an object".to_owned())
        }
    }
}

/// How many bytes a value takes, about, and how deep it is nested.
fn measure(value: &Value) -> (usize, usize) {
    let (below, depth) = match value {
        Value::Array(items) => nested(items.iter().map(|item| ("", item))),
        Value::Object(fields) => nested(fields.iter().map(|(name, value)| (name.as_str(), value))),
        Value::String(text) => (text.len(), 0),
        Value::Null | Value::Bool(_) | Value::Number(_) => (0, 0),
    };
    (size_of::<Value>() + below, depth)
}

fn nested<'a>(parts: impl Iterator<Item = (&'a str, &'a Value)>) -> (usize, usize) {
    let each = parts.map(|(name, value)| (name.len(), measure(value)));
    each.fold((0, 1), |(size, depth), (name, part)| (size + name + part.0, depth.max(part.1 + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aliases_copy_is_counted_in_bytes() {
        let long = "x".repeat(1_000);
        let texts = format!("a: &a {long}\nb: [{}]\n", "*a, ".repeat(100));
        let keys = format!("a: &a {{{long}: 1}}\nb: [{}]\n", "*a, ".repeat(100));
        let merged = format!("a: &a {{b: {long}}}\nc: {{<<: [{}]}}\n", "*a, ".repeat(100));
        let anchors = (0..10).fold(long, |inner, n| format!("[&a{n} {inner}]"));
        for bomb in [texts, keys, merged, format!("a: {anchors}\n")] {
            let refused = load_within(&bomb, Part::Whole, 9_000).unwrap_err();
            assert!(refused.contains("stand for too much"), "{refused}");
            assert!(load_within(&bomb, Part::Whole, 200_000).is_ok(), "{}", &bomb[..20]);
        }
    }
}
