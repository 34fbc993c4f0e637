//! The providers' published rules for tools, written down a second time: docs/PROVIDERS.md, "Tools".

use llm::model::Provider;
use regex::Regex;
use serde_json::{Map, Value, json};

use super::peer::{Peer, Sent};

/// Everything that a provider would refuse in a list of tools.
pub(super) fn refusals(peer: Peer, tools: &[Sent]) -> Vec<String> {
    let is_gemini = is_gemini(peer);
    let mut all = Vec::new();
    let most = match peer.provider {
        Provider::OpenAi | Provider::Groq | Provider::Xai => 128,
        Provider::Google => 512,
        _ => usize::MAX,
    };
    if tools.len() > most {
        all.push(format!("{} tools", tools.len()));
    }
    for (n, tool) in tools.iter().enumerate() {
        let mut refuse = |what: String| all.push(format!("{}: {what}", tool.name));
        if !name_fits(peer, &tool.name) {
            refuse("its name".to_owned());
        }
        if tools[..n].iter().any(|other| other.name == tool.name) {
            refuse("its name is taken".to_owned());
        }
        let length = tool.description.chars().count();
        if length == 0 || (peer.provider == Provider::OpenAi && length > 1_024) {
            refuse(format!("a description of {length} characters"));
        }
        let Some(schema) = &tool.schema else {
            if !is_gemini {
                refuse("no schema".to_owned());
            }
            continue;
        };
        if schema["type"] != "object" || !schema["properties"].is_object() {
            refuse(format!("its root is no object: {schema}"));
        }
        for word in ["anyOf", "oneOf", "allOf", "enum", "not", "const"] {
            if schema.get(word).is_some() {
                refuse(format!("{word} at its root"));
            }
        }
        if !jsonschema::meta::is_valid(schema) {
            refuse(format!("no JSON Schema: {schema}"));
        }
        let mut found = Vec::new();
        check(peer, schema, 0, &mut found);
        if is_gemini {
            gemini(schema, &mut found);
        }
        found.into_iter().for_each(refuse);
    }
    all
}

fn is_gemini(peer: Peer) -> bool {
    peer.provider == Provider::Google || peer.model.starts_with("google/")
}

pub(super) fn name_fits(peer: Peer, name: &str) -> bool {
    let first = if is_gemini(peer) { "[a-zA-Z_]" } else { "[a-zA-Z0-9_-]" };
    Regex::new(&format!("^{first}[a-zA-Z0-9_-]{{0,63}}$")).unwrap().is_match(name)
}

fn parts(schema: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let one = ["items", "not", "additionalProperties", "contains", "if", "then", "else"];
    let many = ["anyOf", "oneOf", "allOf", "prefixItems"];
    let named = ["properties", "$defs", "definitions", "patternProperties", "dependentSchemas"];
    let one = one.into_iter().filter_map(|word| schema.get(word));
    let many = many.into_iter().filter_map(|word| schema.get(word)?.as_array()).flatten();
    let named = named.into_iter().filter_map(|word| schema.get(word)?.as_object());
    one.chain(many).chain(named.flat_map(Map::values))
}

/// What no provider takes, and what this one does not.
fn check(peer: Peer, schema: &Value, depth: usize, found: &mut Vec<String>) {
    if depth > 30 {
        found.push("nested too deeply".to_owned());
        return;
    }
    let Some(words) = schema.as_object() else { return };
    let key = Regex::new("^[a-zA-Z0-9_.-]{1,64}$").unwrap();
    let properties = words.get("properties").and_then(Value::as_object);
    for name in properties.into_iter().flat_map(Map::keys).filter(|name| !key.is_match(name)) {
        found.push(format!("property {name:?}"));
    }
    if words.contains_key("required") && properties.is_none() {
        found.push("required without properties".to_owned());
    }
    if schema["type"] == "array" && !words.contains_key("items") {
        found.push("an array without items".to_owned());
    }
    if words.get("items").is_some_and(Value::is_array) {
        found.push("items is a list".to_owned());
    }
    if words.get("enum").is_some_and(|values| *values == json!([])) {
        found.push("an empty enum".to_owned());
    }
    let values = words.get("enum").and_then(Value::as_array);
    if peer.provider == Provider::Xai && values.is_some_and(|values| values.contains(&Value::Null))
    {
        found.push("null in an enum".to_owned());
    }
    if let Some(pattern) = words.get("pattern").and_then(Value::as_str)
        && (Regex::new(pattern).is_err() || pattern.contains("\\p") || pattern.contains("(?!"))
    {
        found.push(format!("pattern {pattern:?}"));
    }
    for part in parts(words) {
        check(peer, part, depth + 1, found);
    }
}

/// The subset of <https://ai.google.dev/api/caching#Schema>.
fn gemini(schema: &Value, found: &mut Vec<String>) {
    let Some(words) = schema.as_object() else {
        found.push(format!("{schema} is no schema"));
        return;
    };
    if let Some(parts) = words.get("anyOf") {
        if words.len() > 1 {
            found.push(format!("anyOf is not alone: {schema}"));
        }
        parts.as_array().unwrap().iter().for_each(|part| gemini(part, found));
        return;
    }
    let Some(kind) = words.get("type").and_then(Value::as_str) else {
        found.push(format!("no single type: {schema}"));
        return;
    };
    for (word, value) in words {
        let fits = match word.as_str() {
            "type" => ["object", "array", "string", "integer", "number", "boolean"].contains(&kind),
            "description" | "title" => value.is_string(),
            "nullable" => value.is_boolean(),
            "properties" | "required" | "minProperties" | "maxProperties" => kind == "object",
            "items" => kind == "array" && value.is_object(),
            "minItems" | "maxItems" => kind == "array" && value.is_u64(),
            "minLength" | "maxLength" => kind == "string" && value.is_u64(),
            "minimum" | "maximum" => matches!(kind, "number" | "integer") && value.is_number(),
            "enum" => {
                let values = value.as_array().unwrap();
                kind == "string"
                    && values
                        .iter()
                        .all(|value| value.as_str().is_some_and(|text| !text.is_empty()))
            }
            "format" => match kind {
                "string" => value == "date-time",
                "number" => value == "float" || value == "double",
                "integer" => value == "int32" || value == "int64",
                _ => false,
            },
            _ => false,
        };
        if !fits {
            found.push(format!("{word}: {value} in a schema of type {kind}"));
        }
    }
    let properties = words.get("properties").and_then(Value::as_object);
    let name = Regex::new("^[a-zA-Z_][a-zA-Z0-9_]{0,63}$").unwrap();
    for (property, schema) in properties.into_iter().flatten() {
        if !name.is_match(property) {
            found.push(format!("property {property:?}"));
        }
        gemini(schema, found);
    }
    for required in words.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !properties.is_some_and(|all| all.contains_key(required.as_str().unwrap())) {
            found.push(format!("required {required} is no property"));
        }
    }
    words.get("items").into_iter().for_each(|items| gemini(items, found));
}
