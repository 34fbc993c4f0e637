//! Single keywords of schemas: types, bounds, and what must come together.

use serde_json::{Map, Value, json};

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["object", "array", "string", "integer", "number", "boolean", "null"];

/// Whether a reference is to a definition at the root, by a name without escapes, which all
/// providers that know references resolve.
pub(super) fn is_definition(reference: &str) -> bool {
    let name = ["#/$defs/", "#/definitions/"].iter().find_map(|at| reference.strip_prefix(at));
    name.is_some_and(|name| {
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    })
}

/// Known types, in lower case.
pub(super) fn kind(value: &Value) -> Option<Value> {
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
    if kinds.len() == 1 { kinds.pop() } else { (!kinds.is_empty()).then_some(Value::Array(kinds)) }
}

/// Whether a `type` has this name, alone or in a list.
pub(super) fn has_type(kind: &Value, name: &str) -> bool {
    kind == name || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == name))
}

/// Whether a value is of a `type`.
pub(super) fn is_of(value: &Value, kind: &Value) -> bool {
    let names: &[&str] = match value {
        Value::Null => &["null"],
        Value::Bool(_) => &["boolean"],
        Value::Number(n) if n.is_f64() && n.as_f64().is_none_or(|n| n.fract() != 0.0) => {
            &["number"]
        }
        Value::Number(_) => &["number", "integer"],
        Value::String(_) => &["string"],
        Value::Array(_) => &["array"],
        Value::Object(_) => &["object"],
    };
    names.iter().any(|name| has_type(kind, name))
}

/// A number of things; `3.0` is one, too.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be whole and within the range that both types represent exactly"
)]
pub(super) fn count(value: &Value) -> Option<Value> {
    if value.is_u64() {
        return Some(value.clone());
    }
    let n = value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..9e15).contains(n))?;
    Some(json!(n as u64))
}

/// Exclusive bounds, which are booleans beside the bound in draft 4.
pub(super) fn bounds(words: &Map<String, Value>, out: &mut Map<String, Value>) {
    for (exclusive, plain) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match words.get(exclusive) {
            Some(Value::Bool(true)) => {
                if let Some(bound) = out.remove(plain) {
                    out.insert(exclusive.to_owned(), bound);
                }
            }
            Some(bound @ Value::Number(_)) => {
                out.insert(exclusive.to_owned(), bound.clone());
            }
            Some(_) | None => {}
        }
    }
}

/// `nullable` of OpenAPI 3.0, and what must come together.
pub(super) fn complete(words: &Map<String, Value>, out: &mut Map<String, Value>) {
    if words.get("nullable") == Some(&Value::Bool(true))
        && let Some(kind) = out.get_mut("type")
        && !has_type(kind, "null")
    {
        let mut kinds = match kind.take() {
            Value::Array(kinds) => kinds,
            one => vec![one],
        };
        kinds.push(json!("null"));
        *kind = Value::Array(kinds);
    }
    let combined = ["anyOf", "oneOf", "allOf", "$ref"].iter().any(|word| out.contains_key(*word));
    let Some(Value::Array(required)) = out.get("required") else { return };
    match out.get("properties").and_then(Value::as_object) {
        // A name without a property is refused by Gemini and misleads everywhere.
        Some(properties) if !combined => {
            let known = required
                .iter()
                .filter(|name| name.as_str().is_some_and(|name| properties.contains_key(name)));
            let known: Vec<Value> = known.cloned().collect();
            if known.len() < required.len() {
                out.insert("required".to_owned(), Value::Array(known));
            }
        }
        Some(_) => {}
        // Groq refuses `required` without `properties`
        // (https://github.com/usestrix/strix/issues/1088).
        None => {
            out.insert("properties".to_owned(), json!({}));
        }
    }
}
