//! Single keywords.

use serde_json::{Map, Value, json};

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["object", "array", "string", "integer", "number", "boolean", "null"];

/// A keyword that is copied, as far as its value makes sense: a wrong one would cost the whole tool.
pub(super) fn word(name: &str, value: &Value) -> Option<Value> {
    let is_right = match name {
        "const" | "default" => true,
        "description" | "format" | "pattern" => value.is_string(),
        "enum" => value.as_array().is_some_and(|values| !values.is_empty()),
        "maximum" | "minimum" => value.is_number(),
        "multipleOf" => value.as_f64().is_some_and(|of| of > 0.0),
        "uniqueItems" => value.is_boolean(),
        "maxContains" | "maxItems" | "maxLength" | "maxProperties" | "minContains" | "minItems"
        | "minLength" | "minProperties" => {
            return value.as_u64().or_else(|| whole(value)).map(Value::from);
        }
        _ => false,
    };
    is_right.then(|| value.clone())
}

/// The bytes of a value, about.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + size(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole, and within the range that both types represent exactly"
)]
fn whole(value: &Value) -> Option<u64> {
    let number = value.as_f64()?;
    (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
}

/// The types that there are, each once.
pub(super) fn kinds(value: &Value) -> Option<Value> {
    let known = |value: &Value| {
        let name = value.as_str()?.to_ascii_lowercase();
        TYPES.contains(&name.as_str()).then_some(Value::String(name))
    };
    let Some(list) = value.as_array() else { return known(value) };
    let mut kinds: Vec<Value> = Vec::new();
    for kind in list.iter().filter_map(known) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    (!kinds.is_empty()).then_some(Value::Array(kinds))
}

/// Drops a type that none of the listed values has: nothing could be sent.
pub(super) fn agree(out: &mut Map<String, Value>) {
    let (Some(kind), Some(Value::Array(values))) = (out.get("type"), out.get("enum")) else {
        return;
    };
    let is_of = |value: &Value| {
        let name = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) => {
                let is_whole = number.as_f64().is_none_or(|number| number.fract() == 0.0);
                return is_of_kind(kind, "number") || (is_whole && is_of_kind(kind, "integer"));
            }
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        is_of_kind(kind, name)
    };
    if !values.iter().any(is_of) {
        out.remove("type");
    }
}

fn is_of_kind(kind: &Value, name: &str) -> bool {
    kind == name || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == name))
}

/// Converts `exclusiveMinimum: true` of 3.0, which is a number in JSON Schema.
pub(super) fn bounds(fields: &Map<String, Value>, out: &mut Map<String, Value>) {
    for (exclusive, plain) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match fields.get(exclusive) {
            Some(Value::Bool(true)) => {
                if let Some(bound) = out.remove(plain) {
                    out.insert(exclusive.to_owned(), bound);
                }
            }
            Some(Value::Number(bound)) => {
                out.insert(exclusive.to_owned(), Value::Number(bound.clone()));
            }
            Some(_) | None => {}
        }
    }
}

/// Converts `nullable: true` of 3.0.
pub(super) fn or_null(mut schema: Map<String, Value>) -> Value {
    let null = || Value::String("null".to_owned());
    let parts = ["allOf", "anyOf", "oneOf", "not", "$ref", "const"];
    let combined = parts.iter().any(|word| schema.contains_key(*word));
    let limited = combined || (schema.contains_key("enum") && !schema.contains_key("type"));
    if limited {
        let description = schema.remove("description");
        let mut out = Map::new();
        out.extend(description.map(|text| ("description".to_owned(), text)));
        out.insert("anyOf".to_owned(), json!([schema, { "type": "null" }]));
        return Value::Object(out);
    }
    match schema.get_mut("type") {
        Some(Value::Array(kinds)) if !kinds.contains(&null()) => kinds.push(null()),
        Some(kind @ Value::String(_)) => *kind = json!([kind, "null"]),
        // Without a type everything is allowed, including null.
        Some(_) | None => {}
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    Value::Object(schema)
}
