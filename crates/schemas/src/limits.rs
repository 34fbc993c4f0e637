//! The size of a schema, and how it grows where references are followed.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// The largest schema, bytes of JSON.
const MAX_BYTES: usize = 256 * 1024;

/// The most JSON values in a schema.
const MAX_VALUES: usize = 50_000;

/// The deepest nesting of JSON values.
const MAX_DEPTH: usize = 128;

/// The most values in a list (`anyOf`, `oneOf`, `allOf`, `enum`, `required`, …).
const MAX_LIST: usize = 5_000;

/// The most schemas when the references of alternatives and conditions are followed: the validator
/// holds each of these anew. Properties and items share theirs.
const MAX_EXPANDED: u64 = 20_000;

/// The most schemas within each other, when references are followed.
const MAX_LEVELS: usize = 256;

/// The most schemas within each other on the way through an instance: each takes some of the stack.
const MAX_CALLS: u64 = 1_500;

/// The most references in one schema.
const MAX_REFERENCES: usize = 2_000;

/// Keywords whose value is a schema, a list of schemas, or either.
pub(super) const SCHEMAS: [&str; 18] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "extends",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "disallow",
];

/// Keywords whose value is an object of schemas.
pub(super) const NAMED: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// Keywords whose value holds no schema. Whatever is under any other word may be one, where a reference
/// leads to it.
pub(super) const VALUES: [&str; 7] =
    ["$vocabulary", "const", "default", "dependentRequired", "enum", "example", "examples"];

/// Whether a JSON pointer leads into a value that holds no schema.
fn is_value(pointer: &str) -> bool {
    let mut is_name = false;
    pointer.split('/').skip(1).any(|word| {
        let is_value = !is_name && VALUES.contains(&word);
        is_name = !is_name && NAMED.contains(&word);
        is_value
    })
}

/// The number of values of a JSON value, and its depth.
pub(crate) fn size_of(value: &Value) -> (usize, usize) {
    let (mut count, mut depth) = (0, 0);
    let mut todo = vec![(value, 1)];
    while let Some((value, at)) = todo.pop() {
        count += 1;
        depth = depth.max(at);
        match value {
            Value::Array(items) => todo.extend(items.iter().map(|item| (item, at + 1))),
            Value::Object(fields) => todo.extend(fields.values().map(|value| (value, at + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    (count, depth)
}

/// Whether a schema is within the limits that need no understanding of it.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let (count, depth) = size_of(schema);
    if count > MAX_VALUES {
        return Err(format!("has {count} values; the limit is {MAX_VALUES}"));
    }
    if depth > MAX_DEPTH {
        return Err(format!("is nested {depth} levels deep; the limit is {MAX_DEPTH}"));
    }
    if schema.to_string().len() > MAX_BYTES {
        return Err(format!("exceeds {} KiB", MAX_BYTES / 1024));
    }
    let mut todo = vec![schema];
    while let Some(value) = todo.pop() {
        match value {
            Value::Array(items) if items.len() > MAX_LIST => {
                return Err(format!(
                    "has a list of {} values; the limit is {MAX_LIST}",
                    items.len()
                ));
            }
            Value::Array(items) => todo.extend(items),
            Value::Object(fields) => todo.extend(fields.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

/// Keywords whose schemas are for the same value as theirs, not for a part of it.
const SAME_VALUE: [&str; 11] = [
    "allOf",
    "anyOf",
    "dependencies",
    "dependentSchemas",
    "disallow",
    "else",
    "extends",
    "if",
    "not",
    "oneOf",
    "then",
];

/// The schemas directly inside of a schema, and whether they are for the same value.
fn inside(fields: &Map<String, Value>) -> impl Iterator<Item = (bool, &Value)> {
    let used = |(word, _): &(&String, _)| !matches!(word.as_str(), "$defs" | "definitions");
    fields.iter().filter(used).flat_map(|(word, value)| {
        let is_same = SAME_VALUE.contains(&word.as_str());
        let of_word: Vec<&Value> = match value {
            Value::Array(items) if SCHEMAS.contains(&word.as_str()) => items.iter().collect(),
            Value::Object(_) if SCHEMAS.contains(&word.as_str()) => vec![value],
            Value::Object(named) if NAMED.contains(&word.as_str()) => named.values().collect(),
            _ => Vec::new(),
        };
        of_word.into_iter().map(move |part| (is_same, part))
    })
}

/// How much a schema grows where its references are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Growth {
    /// Its schemas, when all references are followed until they come back to themselves.
    schemas: u64,
    /// Those of them that are for the same value; of the whole schema, all that are held.
    held: u64,
    /// The references that come back to themselves.
    returns: u64,
    /// The longest way into it, schema by schema.
    depth: u64,
}

impl Growth {
    const ONE: Self = Self { schemas: 1, held: 1, returns: 0, depth: 1 };

    fn add(&mut self, part: Self) {
        self.schemas = self.schemas.saturating_add(part.schemas);
        self.returns = self.returns.saturating_add(part.returns);
        self.depth = self.depth.max(part.depth.saturating_add(1));
    }

    /// The schemas that the validator holds.
    pub(super) fn held(self) -> u64 {
        self.held
    }

    /// Whether following an instance takes too many calls within each other.
    pub(super) fn is_too_deep_for(self, instance: &Value) -> bool {
        self.returns > 0 && self.depth.saturating_mul(size_of(instance).1 as u64) > MAX_CALLS
    }

    /// A bound for the work of validating an instance without stopping at the first error.
    pub(super) fn work(self, instance: &Value) -> u64 {
        let (count, depth) = size_of(instance);
        let again = self.returns.max(1).saturating_pow(u32::try_from(depth).unwrap_or(u32::MAX));
        self.schemas.saturating_mul(count as u64).saturating_mul(again)
    }
}

/// Follows all references.
pub(super) fn growth(schema: &Value) -> Result<Growth, String> {
    let mut references = References {
        root: schema,
        known: HashMap::new(),
        anchors: HashMap::new(),
        level: 0,
        held: 0,
    };
    references.find_anchors();
    let mut growth = references.of(schema)?;
    growth.held = growth.held.saturating_add(references.held);
    if growth.held > MAX_EXPANDED {
        return Err(format!(
            "stands for more than {MAX_EXPANDED} schemas when its references are followed"
        ));
    }
    Ok(growth)
}

struct References<'a> {
    root: &'a Value,
    /// The growth of each target; `None` while it is being followed.
    known: HashMap<&'a str, Option<Growth>>,
    anchors: HashMap<String, &'a Value>,
    /// How deep the schema that is looked at lies.
    level: usize,
    /// What is held for parts of the value.
    held: u64,
}

impl<'a> References<'a> {
    fn find_anchors(&mut self) {
        let mut todo = vec![self.root];
        while let Some(value) = todo.pop() {
            match value {
                Value::Array(items) => todo.extend(items),
                Value::Object(fields) => {
                    for word in ["$anchor", "$dynamicAnchor"] {
                        if let Some(name) = fields.get(word).and_then(Value::as_str) {
                            self.anchors.insert(format!("#{name}"), value);
                        }
                    }
                    for word in ["$id", "id"] {
                        if let Some(id) = fields.get(word).and_then(Value::as_str) {
                            self.anchors.insert(id.trim_end_matches('#').to_owned(), value);
                            self.anchors.insert(id.to_owned(), value);
                        }
                    }
                    todo.extend(fields.values());
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }

    fn of(&mut self, schema: &'a Value) -> Result<Growth, String> {
        let Value::Object(fields) = schema else { return Ok(Growth::ONE) };
        if self.level >= MAX_LEVELS {
            return Err(format!(
                "is nested more than {MAX_LEVELS} schemas deep when its references are followed"
            ));
        }
        self.level += 1;
        let mut sum = Growth::ONE;
        for word in ["$ref", "$dynamicRef", "$recursiveRef"] {
            if let Some(Value::String(reference)) = fields.get(word) {
                let target = self.reference(reference)?;
                sum.held = sum.held.saturating_add(target.held);
                sum.add(target);
            }
        }
        for (is_same, part) in inside(fields) {
            let part = self.of(part)?;
            let held = if is_same { &mut sum.held } else { &mut self.held };
            *held = held.saturating_add(part.held);
            sum.add(part);
        }
        self.level -= 1;
        Ok(sum)
    }

    fn reference(&mut self, reference: &'a str) -> Result<Growth, String> {
        match self.known.get(reference) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => return Ok(Growth { returns: 1, ..Growth::ONE }),
            None => {}
        }
        if self.known.len() >= MAX_REFERENCES {
            return Err(format!("has more than {MAX_REFERENCES} references"));
        }
        // The schemas of schemas: the validator has them built in.
        if ["http://json-schema.org/", "https://json-schema.org/"]
            .iter()
            .any(|known| reference.starts_with(known))
        {
            return Ok(Growth { schemas: 1_000, held: 1_000, returns: 20, depth: 20 });
        }
        let target = self.target(reference).ok_or_else(|| {
            format!(
                "refers to {:?}, which is no schema inside of it; nothing is fetched",
                super::bounded(reference)
            )
        })?;
        self.known.insert(reference, None);
        let growth = self.of(target)?;
        self.known.insert(reference, Some(growth));
        Ok(growth)
    }

    fn target(&self, reference: &str) -> Option<&'a Value> {
        if let Some(found) = self.anchors.get(reference) {
            return Some(found);
        }
        let (base, pointer) = reference.split_once('#')?;
        let base = if base.is_empty() { self.root } else { self.anchors.get(base)? };
        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8().ok()?;
        base.pointer(&pointer).filter(|_| !is_value(&pointer))
    }
}
