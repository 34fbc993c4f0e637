//! Which fields an operation declares, whether or not it becomes a tool.

use serde_json::Value;

use crate::pointer::resolve;

/// The most schemas that are looked through for a field.
const MAX_SCHEMAS: usize = 1_000;

/// Where a field of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldPlace {
    /// A query parameter.
    Query,
    /// A property of the body's object.
    Body,
}

/// Whether an operation declares a field. `item` is its path item.
pub(crate) fn declares(
    root: &Value,
    item: &Value,
    operation: &Value,
    place: FieldPlace,
    field: &str,
) -> bool {
    match place {
        FieldPlace::Query => {
            let lists = [item, operation].into_iter().filter_map(|of| of["parameters"].as_array());
            let parameters = lists.flatten().filter_map(|parameter| resolve(root, parameter).ok());
            let mut query = parameters.filter(|parameter| parameter["in"] == "query");
            query.any(|parameter| parameter["name"] == field)
        }
        FieldPlace::Body => {
            let body = resolve(root, &operation["requestBody"]).ok();
            let media = body.and_then(|body| body["content"].as_object());
            let schemas = media.into_iter().flat_map(|media| media.values());
            has_property(root, schemas.map(|media| &media["schema"]).collect(), field)
        }
    }
}

/// Whether one of these schemas, or of those that they consist of, has a property.
fn has_property<'a>(root: &'a Value, mut schemas: Vec<&'a Value>, field: &str) -> bool {
    let mut left = MAX_SCHEMAS;
    while let Some(schema) = schemas.pop() {
        left -= 1;
        let Ok(schema) = resolve(root, schema) else { continue };
        if schema["properties"].get(field).is_some() {
            return true;
        }
        if left == 0 {
            return false;
        }
        let parts = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|of| schema[of].as_array());
        schemas.extend(parts.flatten());
    }
    false
}
