//! OpenAI's strict mode.

use serde_json::{Map, Value, json};

use super::{list_at, object_at};

/// Whether OpenAI's strict mode accepts a schema: every object requires all its properties and allows
/// no others, and only supported keywords are used.
pub(in crate::provider) fn is_strict(schema: &Value) -> bool {
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
