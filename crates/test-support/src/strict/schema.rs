//! Questions to JSON Schemas.

use serde_json::{Map, Value};

use super::view::duplicate;

/// Words whose value is one schema.
const ONE: &[&str] = &[
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "additionalProperties",
    "additionalItems",
    "unevaluatedProperties",
    "unevaluatedItems",
];
/// Words whose value is a list of schemas.
const MANY: &[&str] = &["anyOf", "oneOf", "allOf", "prefixItems"];
/// Words whose value is an object of schemas.
const NAMED: &[&str] =
    &["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// Goes through a schema and all schemas within it, with their depths, to the first complaint.
pub(super) fn each(
    schema: &Value,
    complaint: &mut dyn FnMut(&Value, usize) -> Option<String>,
) -> Option<String> {
    walk(schema, 1, complaint)
}

fn walk(
    schema: &Value,
    depth: usize,
    complaint: &mut dyn FnMut(&Value, usize) -> Option<String>,
) -> Option<String> {
    if let Some(found) = complaint(schema, depth) {
        return Some(found);
    }
    children(schema).into_iter().find_map(|child| walk(child, depth + 1, complaint))
}

fn children(schema: &Value) -> Vec<&Value> {
    let Some(fields) = schema.as_object() else { return Vec::new() };
    let mut all: Vec<&Value> = Vec::new();
    all.extend(ONE.iter().filter_map(|word| fields.get(*word)).filter(|v| v.is_object()));
    all.extend(MANY.iter().filter_map(|word| fields.get(*word)?.as_array()).flatten());
    let named = NAMED.iter().filter_map(|word| fields.get(*word)?.as_object());
    all.extend(named.flat_map(Map::values));
    match fields.get("items") {
        Some(Value::Array(items)) => all.extend(items),
        Some(items) => all.push(items),
        None => {}
    }
    all
}

/// The names of all properties, also of nested ones.
pub(super) fn each_property(
    schema: &Value,
    complaint: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    each(schema, &mut |schema, _| {
        schema.get("properties")?.as_object()?.keys().find_map(|name| complaint(name))
    })
}

/// Whether a schema allows a type.
pub(super) fn allows(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(own)) => own.eq_ignore_ascii_case(kind),
        Some(Value::Array(all)) => all.iter().any(|own| own == kind),
        _ => false,
    }
}

/// The complaint about a schema that is not a JSON Schema.
pub(super) fn invalid(schema: &Value) -> Option<String> {
    const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "array", "object", "null"];
    let is_type = |value: &Value| value.as_str().is_some_and(|kind| TYPES.contains(&kind));
    each(schema, &mut |schema, _| {
        let Some(fields) = schema.as_object() else {
            return (!schema.is_boolean()).then(|| format!("{schema} is not a schema"));
        };
        let wrong = |word: &str, is_right: &dyn Fn(&Value) -> bool| {
            let value = fields.get(word)?;
            (!is_right(value)).then(|| format!("{value} is not valid for '{word}'"))
        };
        let strings = |value: &Value| {
            value.as_array().is_some_and(|all| {
                all.iter().all(Value::is_string)
                    && duplicate(all.iter().filter_map(Value::as_str)).is_none()
            })
        };
        let types = |value: &Value| {
            is_type(value)
                || value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_type))
        };
        let count = |value: &Value| value.as_f64().is_some_and(|n| n >= 0.0 && n.fract() == 0.0);
        wrong("type", &types)
            .or_else(|| wrong("required", &strings))
            .or_else(|| wrong("properties", &Value::is_object))
            .or_else(|| wrong("enum", &|v| v.as_array().is_some_and(|all| !all.is_empty())))
            .or_else(|| wrong("description", &Value::is_string))
            .or_else(|| wrong("title", &Value::is_string))
            .or_else(|| wrong("pattern", &Value::is_string))
            .or_else(|| wrong("format", &Value::is_string))
            .or_else(|| wrong("$ref", &Value::is_string))
            .or_else(|| {
                MANY.iter()
                    .find_map(|w| wrong(w, &|v| v.as_array().is_some_and(|all| !all.is_empty())))
            })
            .or_else(|| {
                ["minLength", "maxLength", "minItems", "maxItems"]
                    .iter()
                    .find_map(|w| wrong(w, &count))
            })
            .or_else(|| ["minimum", "maximum"].iter().find_map(|w| wrong(w, &Value::is_number)))
    })
}

/// The complaint about a reference within the schema that leads nowhere.
pub(super) fn dangling(root: &Value) -> Option<String> {
    each(root, &mut |schema, _| {
        let target = schema.get("$ref")?.as_str()?;
        let pointer = target.strip_prefix('#')?;
        let found = pointer.is_empty() || root.pointer(pointer).is_some();
        (!found)
            .then(|| format!("reference to component '{target}' which was not found in the schema"))
    })
}

/// The complaint of OpenAI's and Anthropic's strict modes: everything closed and required.
pub(super) fn not_strict(schema: &Value) -> Option<String> {
    each(schema, &mut |schema, _| {
        if !allows(schema, "object") {
            return None;
        }
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Some(
                "'additionalProperties' is required to be supplied and to be false".into(),
            );
        }
        let required = schema.get("required").and_then(Value::as_array);
        let missing =
            schema.get("properties")?.as_object()?.keys().find(|name| {
                !required.is_some_and(|all| all.iter().any(|own| own == name.as_str()))
            })?;
        Some(format!(
            "'required' must be an array including every key in properties. Missing '{missing}'"
        ))
    })
}
