//! Gemini's subset of OpenAPI schemas.

use serde_json::{Map, Value, json};

use super::{MAX_DEPTH, describe, merge, object_at, resolve};

/// The keywords of Gemini's subset of OpenAPI schemas.
const SUBSET: [&str; 17] = [
    "type",
    "title",
    "description",
    "enum",
    "items",
    "properties",
    "required",
    "anyOf",
    "nullable",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
];

/// Keywords that do not restrict values, and are dropped.
const IGNORED: [&str; 11] = [
    "$schema",
    "$id",
    "$defs",
    "$comment",
    "$anchor",
    "definitions",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
];

/// Converts a schema to the subset.
pub(in crate::provider) fn subset(schema: &Value) -> Value {
    Value::Object(reduced(schema, schema, 0))
}

fn reduced(root: &Value, schema: &Value, depth: usize) -> Map<String, Value> {
    let schema = resolve(root, schema);
    let mut out = Map::new();
    let Some(given) = schema.as_object().filter(|_| depth < MAX_DEPTH) else {
        // `true`, `{}`, or too deep: anything, for which an object is the best approximation.
        out.insert("type".into(), json!("object"));
        return out;
    };
    let mut notes = Vec::new();
    for (word, value) in given {
        match word.as_str() {
            "properties" => {
                let properties = value.as_object().into_iter().flatten();
                let properties = properties.map(|(name, value)| {
                    (name.clone(), Value::Object(reduced(root, value, depth + 1)))
                });
                out.insert(word.clone(), Value::Object(properties.collect()));
            }
            "items" => {
                out.insert(word.clone(), Value::Object(reduced(root, value, depth + 1)));
            }
            "anyOf" | "oneOf" => alternatives(root, value, depth, &mut out),
            "allOf" => {
                for part in value.as_array().into_iter().flatten() {
                    let part = reduced(root, part, depth + 1);
                    let mut properties = object_at(&Value::Object(out.clone()), "properties");
                    merge(&mut properties, &part);
                    for (word, value) in part {
                        out.entry(word).or_insert(value);
                    }
                    if !properties.is_empty() {
                        out.insert("properties".into(), Value::Object(properties));
                    }
                }
            }
            "type" => kinds(value, &mut out),
            "const" => match value {
                Value::String(_) => {
                    out.insert("enum".into(), json!([value]));
                }
                _ => notes.push(format!("always {value}")),
            },
            // Only strings are allowed in an enum.
            "enum" => {
                let texts = value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
                if texts {
                    out.insert(word.clone(), value.clone());
                } else {
                    notes.push(format!("one of {value}"));
                }
            }
            "format" if matches!(value.as_str(), Some("enum" | "date-time")) => {
                out.insert(word.clone(), value.clone());
            }
            "description" | "$ref" => {}
            // Undescribed properties are rejected anyway.
            "additionalProperties" if value.is_boolean() => {}
            word if SUBSET.contains(&word) => {
                out.insert(word.to_owned(), value.clone());
            }
            word if IGNORED.contains(&word) => {}
            word => notes.push(format!("{word}: {value}")),
        }
    }
    complete(&mut out);
    describe(&mut out, given.get("description"), &notes);
    out
}

/// Converts alternatives; `null` among them becomes `nullable`.
fn alternatives(root: &Value, value: &Value, depth: usize, out: &mut Map<String, Value>) {
    let mut parts: Vec<Map<String, Value>> = value
        .as_array()
        .into_iter()
        .flatten()
        .filter(|part| {
            let is_null = part.get("type").and_then(Value::as_str) == Some("null");
            if is_null {
                out.insert("nullable".into(), json!(true));
            }
            !is_null
        })
        .map(|part| reduced(root, part, depth + 1))
        .collect();
    if parts.len() == 1 {
        for (word, value) in parts.remove(0) {
            out.entry(word).or_insert(value);
        }
    } else if !parts.is_empty() {
        out.insert("anyOf".into(), parts.into_iter().map(Value::Object).collect());
    }
}

/// Converts types such as `["string", "null"]`.
fn kinds(value: &Value, out: &mut Map<String, Value>) {
    let Some(list) = value.as_array() else {
        out.insert("type".into(), value.clone());
        return;
    };
    let mut kinds: Vec<&Value> = list.iter().filter(|kind| *kind != "null").collect();
    if kinds.len() < list.len() {
        out.insert("nullable".into(), json!(true));
    }
    if kinds.len() == 1 {
        out.insert("type".into(), kinds.remove(0).clone());
    } else {
        let kinds = kinds.into_iter().map(|kind| json!({ "type": kind }));
        out.insert("anyOf".into(), kinds.collect());
    }
}

/// Adds what the subset requires: a type, and the items of a list.
fn complete(out: &mut Map<String, Value>) {
    if !out.contains_key("type") && !out.contains_key("anyOf") {
        let kind = if out.contains_key("properties") || !out.contains_key("enum") {
            "object"
        } else {
            "string"
        };
        out.insert("type".into(), json!(kind));
    }
    let kind = out.get("type").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    if kind == "array" && !out.contains_key("items") {
        out.insert("items".into(), json!({ "type": "string" }));
    }
    // Required names must have a property.
    let known = out.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(Value::Array(required)) = out.get_mut("required") {
        required.retain(|name| name.as_str().is_some_and(|name| known.contains_key(name)));
        if required.is_empty() {
            out.remove("required");
        }
    }
}
