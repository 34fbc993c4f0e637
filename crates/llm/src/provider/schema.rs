//! JSON Schemas in the forms that providers accept. What a provider would reject is rewritten or moved
//! into the description: the model still reads it, and arguments are validated against the whole
//! schema in any case.

mod clean;
mod keywords;
mod pattern;
mod strict;
mod subset;
mod types;

use std::cell::Cell;

use serde_json::{Map, Value, json};

pub(super) use clean::Cleaner;
pub(super) use strict::is_strict;
use subset::subset;

/// The deepest nesting; below, a recursive schema ends as a plain object.
const MAX_DEPTH: usize = 8;

/// The most schemas that one becomes when its references are resolved; what is beyond ends as if it
/// were too deep.
const MAX_NODES: usize = 5_000;

/// The most characters of a note in a description.
const MAX_NOTE: usize = 1_000;

/// The schema of a tool's arguments, from a clean one. The root must be an object without combinations,
/// for OpenAI and Anthropic alike; `plain` reduces the rest as well, for Gemini and for a server that
/// has rejected it.
pub(super) fn for_tool(schema: &Value, plain: bool) -> Value {
    if plain {
        return subset(&for_tool(schema, false));
    }
    let combined = ["oneOf", "anyOf", "allOf", "enum", "not", "const"];
    let is_object = schema.get("type").and_then(Value::as_str) == Some("object");
    if is_object && !combined.iter().any(|word| schema.get(word).is_some()) {
        if schema.get("properties").is_some() {
            return schema.clone();
        }
        // OpenAI rejects an object without properties.
        let mut schema = schema.clone();
        schema["properties"] = json!({});
        return schema;
    }
    let mut flat = flattened(schema, schema, 0, &Cell::new(MAX_NODES));
    // Definitions that the parts refer to are kept.
    for name in ["$defs", "definitions"] {
        if let Some(definitions) = schema.get(name) {
            flat.insert(name.to_owned(), definitions.clone());
        }
    }
    Value::Object(flat)
}

/// The schema of an answer in Gemini's subset.
pub(super) fn for_answer(schema: &Value) -> Value {
    let as_they_are = |name: &str| name.to_owned();
    let cleaned = Cleaner::new(schema, true, &as_they_are).any();
    subset(&cleaned)
}

/// Whether a schema in Gemini's subset has an object without properties.
pub(super) fn has_bare_object(schema: &Value) -> bool {
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object);
    let is_bare = kind.eq_ignore_ascii_case("object") && properties.is_none_or(Map::is_empty);
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    is_bare
        || properties.into_iter().flat_map(Map::values).any(has_bare_object)
        || schema.get("items").is_some_and(has_bare_object)
        || alternatives.into_iter().flatten().any(has_bare_object)
}

/// Flattens a schema to an object with the properties of all its alternatives and parts.
fn flattened(root: &Value, schema: &Value, depth: usize, left: &Cell<usize>) -> Map<String, Value> {
    left.set(left.get().saturating_sub(1));
    let schema = resolve(root, schema);
    let mut flat = Map::new();
    flat.insert("type".into(), json!("object"));
    let mut properties = object_at(schema, "properties");
    let mut required: Vec<Value> = list_at(schema, "required");
    let mut notes = Vec::new();
    if depth < MAX_DEPTH && left.get() > 0 {
        for part in list_at(schema, "allOf") {
            let part = flattened(root, &part, depth + 1, left);
            required.extend(
                part.get("required").and_then(Value::as_array).into_iter().flatten().cloned(),
            );
            merge(&mut properties, &part);
        }
        for word in ["oneOf", "anyOf"] {
            let alternatives = list_at(schema, word);
            if alternatives.is_empty() {
                continue;
            }
            let parts: Vec<_> =
                alternatives.iter().map(|part| flattened(root, part, depth + 1, left)).collect();
            let wanted = |part: &Map<String, Value>| {
                let names = part.get("required").and_then(Value::as_array).cloned();
                names.unwrap_or_default()
            };
            // Only what every alternative requires is required.
            if let Some((first, others)) = parts.split_first() {
                required.extend(
                    wanted(first)
                        .into_iter()
                        .filter(|name| others.iter().all(|part| wanted(part).contains(name))),
                );
            }
            for part in &parts {
                merge(&mut properties, part);
            }
            let which = if word == "oneOf" { "exactly one" } else { "at least one" };
            notes.push(format!("Must fit {which} of: {}", Value::Array(alternatives)));
        }
    }
    for word in ["not", "enum", "const"] {
        if let Some(value) = schema.get(word) {
            notes.push(format!("{word}: {value}"));
        }
    }
    required.dedup();
    flat.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        flat.insert("required".into(), Value::Array(required));
    }
    if let Some(more) = schema.get("additionalProperties") {
        flat.insert("additionalProperties".into(), more.clone());
    }
    describe(&mut flat, schema.get("description"), &notes);
    flat
}

fn merge(into: &mut Map<String, Value>, part: &Map<String, Value>) {
    for (name, value) in part.get("properties").and_then(Value::as_object).into_iter().flatten() {
        into.entry(name).or_insert_with(|| value.clone());
    }
}

fn object_at(schema: &Value, name: &str) -> Map<String, Value> {
    schema.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn list_at(schema: &Value, name: &str) -> Vec<Value> {
    schema.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Sets the description: the given one, and notes about what the schema itself cannot say.
fn describe(schema: &mut Map<String, Value>, given: Option<&Value>, notes: &[String]) {
    let mut text = given.and_then(Value::as_str).unwrap_or_default().to_owned();
    for note in notes {
        if !text.is_empty() {
            text.push(' ');
        }
        match note.char_indices().nth(MAX_NOTE) {
            Some((end, _)) => text.push_str(&format!("({}…)", &note[..end])),
            None => text.push_str(&format!("({note})")),
        }
    }
    if !text.is_empty() {
        schema.insert("description".into(), Value::String(text));
    }
}

/// Adds notes to a schema's own description.
fn append_notes(schema: &mut Map<String, Value>, notes: &[String]) {
    if !notes.is_empty() {
        let given = schema.remove("description");
        describe(schema, given.as_ref(), notes);
    }
}

/// Resolves references within the document; others are left as they are.
fn resolve<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..MAX_DEPTH {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
        let Some(found) = target(root, reference) else { return schema };
        schema = found;
    }
    schema
}

/// What a reference within the document leads to. Its path may be percent-encoded (RFC 6901,
/// section 6).
pub(super) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let path = reference.strip_prefix('#')?;
    root.pointer(path).or_else(|| root.pointer(&percent_decoded(path)?))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether a schema describes any properties.
pub(super) fn has_properties(schema: &Value) -> bool {
    schema.get("properties").and_then(Value::as_object).is_some_and(|all| !all.is_empty())
}

#[cfg(test)]
mod tests;
