//! A budget of steps for validating: each schema counts when it is applied to a value.

use std::cell::Cell;

use jsonschema::paths::Location;
use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value, json};

use super::limits::{NAMED, VALUES};
use super::patterns::Sizes;

/// The keyword that counts; the first one of each schema.
pub(super) const KEYWORD: &str = "x-wombat-steps";

/// The most steps: some hundred milliseconds.
const MAX_STEPS: u64 = 1_000_000;

/// The bytes of a text, or of values that are compared, that count as a step.
const BYTES_STEP: usize = 256;

/// A pattern of so many bytes, compiled, takes a step for each byte of a text.
const PATTERN_STEP: usize = 5_000;

pub(super) const TOO_MUCH: &str = "checking it against the schema takes too much work";

thread_local! {
    /// What is left to the validation on this thread. Validation never leaves its thread.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// Runs a validation with a budget of its own.
pub(super) fn within_budget<T>(validate: impl FnOnce() -> T) -> Result<T, &'static str> {
    LEFT.set(MAX_STEPS);
    let result = validate();
    if LEFT.get() == 0 { Err(TOO_MUCH) } else { Ok(result) }
}

struct Steps {
    weight: u64,
    /// The sizes of the patterns that a text, or the names of an object, are compared with.
    of_text: usize,
    of_names: usize,
}

impl Steps {
    /// Whether there was something left.
    fn take(&self, instance: &Value) -> bool {
        let text = |bytes: usize, patterns: usize| {
            bytes / BYTES_STEP + bytes.saturating_mul(patterns) / PATTERN_STEP
        };
        let more = match instance {
            Value::String(value) => text(value.len(), self.of_text),
            // Each item or field is looked at once by the schema itself.
            Value::Array(items) => items.len() / 8,
            Value::Object(fields) => {
                let names = || fields.keys().map(String::len).sum();
                fields.len() / 8 + if self.of_names == 0 { 0 } else { text(names(), self.of_names) }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        };
        let left = LEFT.get().saturating_sub(self.weight.saturating_add(more as u64));
        LEFT.set(left);
        left > 0
    }
}

impl<'i> Keyword<'i> for Steps {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.take(instance) { Ok(()) } else { Err(ValidationError::custom(TOO_MUCH)) }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.take(instance)
    }
}

/// Makes the counter of a schema; its value has the sizes of the patterns.
pub(super) fn factory<'a>(
    schema: &'a Map<String, Value>,
    sizes: &'a Value,
    _: Location,
) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
    let length = |word: &str| match schema.get(word) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(fields)) => fields.len(),
        _ => 0,
    };
    let bytes = |word: &str| schema.get(word).map_or(0, |value| value.to_string().len());
    let compared = length("enum") + length("required") + length("properties");
    let weight = 1 + compared / 8 + (bytes("enum") + bytes("const")) / BYTES_STEP;
    let size = |at: usize| sizes[at].as_u64().and_then(|size| size.try_into().ok()).unwrap_or(0);
    Ok(Box::new(Steps { weight: weight as u64, of_text: size(0), of_names: size(1) }))
}

/// The schema with the counting keyword in each of its schemas.
pub(super) fn counted(schema: &Value, sizes: &Sizes) -> Value {
    let fields = match schema {
        Value::Object(fields) => fields,
        Value::Array(items) => return items.iter().map(|item| counted(item, sizes)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return schema.clone();
        }
    };
    let size = |pattern: &str| sizes.get(pattern).copied().unwrap_or(0);
    let of_text = fields.get("pattern").and_then(Value::as_str).map_or(0, size);
    let names = fields.get("patternProperties").and_then(Value::as_object);
    let of_names: usize = names.map_or(0, |names| names.keys().map(|pattern| size(pattern)).sum());
    let mut out = Map::with_capacity(fields.len() + 1);
    out.insert(KEYWORD.to_owned(), json!([of_text, of_names]));
    for (word, value) in fields {
        let value = match value {
            Value::Object(named) if NAMED.contains(&word.as_str()) => {
                let parts = named.iter().map(|(name, part)| (name.clone(), counted(part, sizes)));
                Value::Object(parts.collect())
            }
            other if VALUES.contains(&word.as_str()) => other.clone(),
            other => counted(other, sizes),
        };
        out.insert(word.clone(), value);
    }
    Value::Object(out)
}
