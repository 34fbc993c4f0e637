//! Types in Gemini's subset: one each, and only keywords that belong to it.

use serde_json::{Map, Value, json};

use super::object_at;

/// Whether a schema allows one value only: null, or the empty text.
pub(super) fn is_always(schema: &Value, value: &Value) -> bool {
    let listed = schema.get("enum").and_then(Value::as_array);
    let is_listed = listed.is_some_and(|all| !all.is_empty() && all.iter().all(|one| one == value));
    let is_empty_text = || value == "" && schema["maxLength"] == 0 && schema["type"] == "string";
    is_listed
        || schema.get("const") == Some(value)
        || (value.is_null() && schema.get("type").and_then(Value::as_str) == Some("null"))
        || is_empty_text()
}

/// The type of listed values.
pub(super) fn kind_of(values: &[Value]) -> &'static str {
    let all = |is_it: fn(&Value) -> bool| {
        values.iter().filter(|value| !value.is_null()).all(is_it) && values.iter().any(is_it)
    };
    if all(|value| value.is_i64() || value.is_u64()) {
        "integer"
    } else if all(Value::is_number) {
        "number"
    } else if all(Value::is_boolean) {
        "boolean"
    } else if all(Value::is_object) {
        "object"
    } else if all(Value::is_array) {
        "array"
    } else {
        "string"
    }
}

/// Several types as alternatives, each with all other keywords; `None` for one type and null.
pub(super) fn by_type(words: &Map<String, Value>) -> Option<Value> {
    let kinds = words.get("type")?.as_array()?;
    if kinds.iter().filter(|kind| *kind != "null").count() < 2 {
        return None;
    }
    let mut shared = words.clone();
    let mut out = Map::new();
    for word in ["description", "$defs", "definitions"] {
        out.extend(shared.remove(word).map(|value| (word.to_owned(), value)));
    }
    let part = |kind: &Value| {
        let mut part = shared.clone();
        part.insert("type".into(), kind.clone());
        Value::Object(part)
    };
    out.insert("anyOf".into(), kinds.iter().map(part).collect());
    Some(Value::Object(out))
}

/// Converts a type, and null beside it.
pub(super) fn kinds(value: &Value, out: &mut Map<String, Value>) {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    if list.iter().any(|kind| kind == "null") {
        out.insert("nullable".into(), json!(true));
    }
    let kind = list.iter().find(|kind| *kind != "null").cloned().unwrap_or_else(|| json!("string"));
    out.insert("type".into(), kind);
}

/// Sets the type, and leaves only keywords that belong to it: others are refused
/// (<https://ai.google.dev/api/caching#Schema>).
pub(super) fn types(out: &mut Map<String, Value>) {
    if out.contains_key("anyOf") {
        return;
    }
    let given = out.get("type").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let has = |word: &str| out.contains_key(word);
    let kind = match given.as_str() {
        "" if has("properties") => "object",
        "" if has("items") => "array",
        "" if has("enum") || has("minLength") || has("maxLength") => "string",
        "" if has("minimum") || has("maximum") => "number",
        "" => "object",
        other => other,
    }
    .to_owned();
    out.insert("type".into(), json!(kind));
    let kind = kind.as_str();
    out.retain(|word, value| match word.as_str() {
        "properties" | "required" | "minProperties" | "maxProperties" => kind == "object",
        "items" | "minItems" | "maxItems" => kind == "array",
        "enum" | "minLength" | "maxLength" => kind == "string",
        "minimum" | "maximum" => matches!(kind, "number" | "integer"),
        // https://github.com/google-gemini/gemini-cli/issues/3178
        "format" => match kind {
            "string" => value == "date-time",
            "number" => matches!(value.as_str(), Some("float" | "double")),
            "integer" => matches!(value.as_str(), Some("int32" | "int64")),
            _ => false,
        },
        _ => true,
    });
    if kind == "array" && !out.contains_key("items") {
        out.insert("items".into(), json!({ "type": "string" }));
    }
    // Required names must have a property.
    let known = object_at(&Value::Object(out.clone()), "properties");
    if let Some(Value::Array(required)) = out.get_mut("required") {
        required.retain(|name| name.as_str().is_some_and(|name| known.contains_key(name)));
        if required.is_empty() {
            out.remove("required");
        }
    }
}
