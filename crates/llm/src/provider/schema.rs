//! JSON Schemas as providers take them. What a provider would refuse is rewritten into what it
//! takes, and what cannot be is said in the description: the model still reads it, and arguments
//! are checked against the whole schema in any case.

use serde_json::{Map, Value, json};

/// How deep a schema is followed; a recursive one ends there as a plain object.
const MAX_DEPTH: usize = 8;

/// What Gemini's subset of OpenAPI schemas knows.
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

/// Words that say nothing about what may be written.
const SILENT: [&str; 11] = [
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

/// A tool's arguments. The root must be an object without combinations, for OpenAI and Anthropic
/// alike; `plain` takes the rest out as well, for a server that has refused it.
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
        // OpenAI refuses an object that does not say its properties.
        let mut schema = schema.clone();
        schema["properties"] = json!({});
        return schema;
    }
    let mut flat = flattened(schema, schema, 0);
    // Whatever the parts refer to must still be there.
    for name in ["$defs", "definitions"] {
        if let Some(definitions) = schema.get(name) {
            flat.insert(name.to_owned(), definitions.clone());
        }
    }
    Value::Object(flat)
}

/// An object whose properties are those of all its alternatives and parts.
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
            // Only what every alternative wants is wanted.
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

/// Follows references within the document; anything else is left as it is.
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

/// A schema in the words that Gemini knows.
pub(super) fn subset(schema: &Value) -> Value {
    Value::Object(reduced(schema, schema, 0))
}

fn reduced(root: &Value, schema: &Value, depth: usize) -> Map<String, Value> {
    let schema = resolve(root, schema);
    let mut out = Map::new();
    let Some(given) = schema.as_object().filter(|_| depth < MAX_DEPTH) else {
        // `true`, `{}`, or too deep: anything, which is best said as an object.
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
            // Only texts can be listed.
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
            // Everything is refused that is not described; nobody writes more than that.
            "additionalProperties" if value.is_boolean() => {}
            word if SUBSET.contains(&word) => {
                out.insert(word.to_owned(), value.clone());
            }
            word if SILENT.contains(&word) => {}
            word => notes.push(format!("{word}: {value}")),
        }
    }
    complete(&mut out);
    describe(&mut out, given.get("description"), &notes);
    out
}

/// Alternatives; `null` among them says that there may be nothing.
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

/// `["string", "null"]` and the like.
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

/// What the subset wants besides: a type, and items of a list.
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
    // A name that is required must be described.
    let known = out.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(Value::Array(required)) = out.get_mut("required") {
        required.retain(|name| name.as_str().is_some_and(|name| known.contains_key(name)));
        if required.is_empty() {
            out.remove("required");
        }
    }
}

/// Whether an object has any properties to describe.
pub(super) fn has_properties(schema: &Value) -> bool {
    let reduced = subset(schema);
    reduced.get("properties").and_then(Value::as_object).is_some_and(|all| !all.is_empty())
        || reduced.get("anyOf").is_some()
}

/// Whether OpenAI's strict mode takes a schema: every object lists all its properties as required
/// and allows no others, and nothing but plain words is used.
pub(super) fn is_strict(schema: &Value) -> bool {
    fn fits(schema: &Value, is_root: bool) -> bool {
        let Some(words) = schema.as_object() else { return false };
        let known = [
            "type",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "enum",
            "const",
            "anyOf",
            "$ref",
            "$defs",
            "definitions",
            "title",
            "description",
            "$schema",
        ];
        if words.keys().any(|word| !known.contains(&word.as_str()))
            || is_root
                && (words.get("type") != Some(&json!("object")) || words.contains_key("anyOf"))
        {
            return false;
        }
        let inner = ["properties", "$defs", "definitions"]
            .iter()
            .filter_map(|name| words.get(*name)?.as_object())
            .flat_map(Map::values);
        let listed = words.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        if !inner.chain(listed).chain(words.get("items")).all(|part| fits(part, false)) {
            return false;
        }
        if words.get("type") == Some(&json!("object")) {
            let properties = object_at(schema, "properties");
            let required = list_at(schema, "required");
            return words.get("additionalProperties") == Some(&json!(false))
                && properties.keys().all(|name| required.contains(&json!(name)));
        }
        ["type", "enum", "const", "anyOf", "$ref"].iter().any(|word| words.contains_key(*word))
    }
    fits(schema, true)
}

#[cfg(test)]
mod tests;
