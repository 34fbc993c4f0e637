//! Files in bodies, which a tool cannot send.

use serde_json::Value;

use crate::pointer::resolve;

/// The most schemas that are looked through.
const MAX_SCHEMAS: usize = 1_000;

/// Whether a schema, or one that it consists of, is of a file: binary text (OpenAPI 3.0, Data Types; 3.1,
/// Considerations for File Uploads). `base64` is text.
pub(crate) fn is_file(root: &Value, schema: &Value) -> bool {
    any_part(root, schema, |part| {
        let encoding = part.get("contentEncoding").and_then(Value::as_str).unwrap_or_default();
        let media = part.get("contentMediaType").and_then(Value::as_str);
        let is_binary = matches!(encoding, "" | "binary");
        part["format"] == "binary"
            || part["type"] == "file"
            || (is_binary && media.is_some_and(|kind| !is_text(kind)))
    })
}

/// Whether a field of a multipart body may be a file although it is described as text: Django REST describes
/// the address of an uploaded file in answers and requests alike (drf-spectacular 0.30, without
/// `COMPONENT_SPLIT_REQUEST`).
pub(crate) fn may_be_file(root: &Value, schema: &Value) -> bool {
    let is_address = |part: &Value| matches!(part["format"].as_str(), Some("uri" | "file" | "url"));
    !is_typed(root, schema) || any_part(root, schema, is_address)
}

/// Whether a schema says what its values are.
fn is_typed(root: &Value, schema: &Value) -> bool {
    any_part(root, schema, |part| {
        ["type", "properties", "items", "enum", "const"].iter().any(|word| part.get(word).is_some())
    })
}

fn is_text(kind: &str) -> bool {
    crate::media_type::is_json(kind) || kind.trim().to_ascii_lowercase().starts_with("text/")
}

fn any_part(root: &Value, schema: &Value, is_it: impl Fn(&Value) -> bool) -> bool {
    let mut left = MAX_SCHEMAS;
    let mut next = vec![schema];
    while let Some(schema) = next.pop() {
        let Ok(schema) = resolve(root, schema) else { continue };
        if is_it(schema) {
            return true;
        }
        left -= 1;
        if left == 0 {
            return false;
        }
        let parts = ["allOf", "anyOf", "oneOf", "prefixItems"].iter();
        next.extend(parts.filter_map(|word| schema.get(word)?.as_array()).flatten());
        next.extend(schema.get("items"));
    }
    false
}

/// The properties of an object's schema and of its parts, each with whether it is required.
pub(crate) fn properties<'a>(
    root: &'a Value,
    schema: &'a Value,
) -> Vec<(&'a str, &'a Value, bool)> {
    let (mut found, mut required): (Vec<(&str, &Value)>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut left = MAX_SCHEMAS;
    let mut next = vec![schema];
    while let Some(schema) = next.pop() {
        let Ok(schema) = resolve(root, schema) else { continue };
        let own = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        found.extend(own.map(|(name, schema)| (name.as_str(), schema)));
        let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        required.extend(names.filter_map(Value::as_str));
        left -= 1;
        if left == 0 {
            break;
        }
        let parts = ["allOf", "anyOf", "oneOf"].iter();
        next.extend(parts.filter_map(|word| schema.get(word)?.as_array()).flatten());
    }
    found.into_iter().map(|(name, schema)| (name, schema, required.contains(&name))).collect()
}
