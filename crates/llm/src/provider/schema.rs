//! JSON Schemas in the forms that providers accept. What a provider would reject is rewritten or moved
//! into the description: the model still reads it, and arguments are validated against the whole
//! schema in any case.

mod strict;
mod subset;

use serde_json::{Map, Value, json};

pub(super) use strict::is_strict;
pub(super) use subset::subset;

/// The deepest nesting; below, a recursive schema ends as a plain object.
const MAX_DEPTH: usize = 8;

/// The schema of a tool's arguments. The root must be an object without combinations, for OpenAI and
/// Anthropic alike; `plain` reduces the rest as well, for a server that has rejected it.
pub(super) fn for_tool(schema: &Value, plain: bool) -> Value {
    if plain {
        return subset(schema);
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
    let mut flat = flattened(schema, schema, 0);
    // Definitions that the parts refer to are kept.
    for name in ["$defs", "definitions"] {
        if let Some(definitions) = schema.get(name) {
            flat.insert(name.to_owned(), definitions.clone());
        }
    }
    Value::Object(flat)
}

/// Flattens a schema to an object with the properties of all its alternatives and parts.
fn flattened(root: &Value, schema: &Value, depth: usize) -> Map<String, Value> {
    let schema = resolve(root, schema);
    let mut flat = Map::new();
    flat.insert("type".into(), json!("object"));
    let mut properties = object_at(schema, "properties");
    let mut required: Vec<Value> = list_at(schema, "required");
    let mut notes = Vec::new();
    if depth < MAX_DEPTH {
        for part in list_at(schema, "allOf") {
            let part = flattened(root, &part, depth + 1);
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
                alternatives.iter().map(|part| flattened(root, part, depth + 1)).collect();
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

fn describe(schema: &mut Map<String, Value>, given: Option<&Value>, notes: &[String]) {
    let mut text = given.and_then(Value::as_str).unwrap_or_default().to_owned();
    for note in notes {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&format!("({note})"));
    }
    if !text.is_empty() {
        schema.insert("description".into(), Value::String(text));
    }
}

/// Resolves references within the document; others are left as they are.
fn resolve<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..MAX_DEPTH {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
        let Some(found) = reference.strip_prefix('#').and_then(|path| root.pointer(path)) else {
            return schema;
        };
        schema = found;
    }
    schema
}

/// Whether an object has any properties to describe.
pub(super) fn has_properties(schema: &Value) -> bool {
    let reduced = subset(schema);
    reduced.get("properties").and_then(Value::as_object).is_some_and(|all| !all.is_empty())
        || reduced.get("anyOf").is_some()
}

#[cfg(test)]
mod tests;
