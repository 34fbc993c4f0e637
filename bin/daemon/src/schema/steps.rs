//! A budget of steps for validating: each schema counts when it is applied to a value.

use std::cell::Cell;

use jsonschema::paths::Location;
use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value, json};

use super::limits::{NAMED, SCHEMAS};

/// The keyword that counts; the first one of each schema.
pub(super) const KEYWORD: &str = "x-wombat-steps";

/// The most steps: some hundred milliseconds.
const MAX_STEPS: u64 = 1_000_000;

/// The bytes of a text that count as a step, where there is a pattern.
const TEXT_STEP: usize = 64;

const TOO_MUCH: &str = "checking it against the schema takes too much work";

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
    has_pattern: bool,
}

impl Steps {
    /// Whether there was something left.
    fn take(&self, instance: &Value) -> bool {
        let more = match instance {
            Value::String(text) if self.has_pattern => (text.len() / TEXT_STEP) as u64,
            // Each item or field is looked at once by the schema itself.
            Value::Array(items) => (items.len() / 8) as u64,
            Value::Object(fields) => (fields.len() / 8) as u64,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        };
        let left = LEFT.get().saturating_sub(self.weight.saturating_add(more));
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

pub(super) fn factory<'a>(
    schema: &'a Map<String, Value>,
    _: &'a Value,
    _: Location,
) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
    let length = |word: &str| match schema.get(word) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(fields)) => fields.len(),
        _ => 0,
    };
    let names = length("patternProperties");
    let compared = length("enum") + length("required") + length("properties");
    let weight = 1 + (compared / 8 + names) as u64;
    Ok(Box::new(Steps { weight, has_pattern: schema.contains_key("pattern") || names > 0 }))
}

/// The schema with the counting keyword in each of its schemas.
pub(super) fn counted(schema: &Value) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let mut out = Map::with_capacity(fields.len() + 1);
    out.insert(KEYWORD.to_owned(), json!(true));
    for (word, value) in fields {
        let value = match value {
            Value::Array(items) if SCHEMAS.contains(&word.as_str()) => {
                items.iter().map(counted).collect()
            }
            Value::Object(_) if SCHEMAS.contains(&word.as_str()) => counted(value),
            Value::Object(named) if NAMED.contains(&word.as_str()) => {
                let parts = named.iter().map(|(name, part)| (name.clone(), counted(part)));
                Value::Object(parts.collect())
            }
            other => other.clone(),
        };
        out.insert(word.clone(), value);
    }
    Value::Object(out)
}
