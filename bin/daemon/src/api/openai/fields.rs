//! Fields that the bodies of both endpoints have.

use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::super::header::{self, USER_HEADER};

/// A field that cannot be used.
pub(super) fn invalid(field: &str, why: &str) -> ApiError {
    let fields = [(field.to_owned(), why.to_owned())].into();
    ApiError::fields("invalid_payload", fields)
}

/// A text, where there is one.
pub(super) fn text(body: &Map<String, Value>, name: &str) -> Result<Option<String>, ApiError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(name, "must be a string")),
    }
}

/// Something that is true or false; false where it is not there.
pub(super) fn flag(body: &Map<String, Value>, name: &str) -> Result<bool, ApiError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(is_set)) => Ok(*is_set),
        Some(_) => Err(invalid(name, "must be true or false")),
    }
}

/// The role, which `model` names.
pub(super) fn role(body: &Map<String, Value>) -> Result<String, ApiError> {
    text(body, "model")?.ok_or_else(|| invalid("model", "is required"))
}

/// The tenant: in the body, or in the header where clients cannot set that. Both have to agree.
pub(super) fn user(body: &Map<String, Value>, headers: &HeaderMap) -> Result<String, ApiError> {
    let user = text(body, "user")?;
    header::agrees(headers, USER_HEADER, "user", user.as_deref())?;
    let user = user.or_else(|| header::text(headers, USER_HEADER));
    user.ok_or_else(|| invalid("user", "is required, here or in the header X-Wombat-User"))
}

/// The limit of the answer: the first of these fields that is set.
pub(super) fn limits(
    body: &Map<String, Value>,
    names: &[&str],
) -> Result<Map<String, Value>, ApiError> {
    let mut limits = Map::new();
    for name in names {
        match body.get(*name) {
            None | Some(Value::Null) => {}
            Some(value) if value.as_u64().is_some_and(|n| n > 0) => {
                limits.entry("max_output_tokens").or_insert_with(|| value.clone());
            }
            Some(_) => return Err(invalid(name, "must be a whole number of at least 1")),
        }
    }
    Ok(limits)
}

/// Which form of JSON is asked for as `output`, by the object that names it: `type`, and of `json_schema` the
/// schema and its name in `of`. `place` is where that stands. Whoever asks for JSON wants nothing else, so
/// that a reply which does not fit is an error, whatever `strict` says: that is only about how OpenAI's
/// models are held to a schema.
pub(super) fn output(
    format: &Value,
    of: &Value,
    place: &str,
    schema_place: &str,
) -> Result<Option<Value>, ApiError> {
    match format["type"].as_str() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!({ "schema": { "type": "object" } }))),
        Some("json_schema") => {
            let schema = &of["schema"];
            if schema.is_null() {
                let why = "is required: the schema of the answer; json_object takes any object";
                return Err(invalid(&format!("{schema_place}.schema"), why));
            }
            Ok(Some(json!({ "schema": schema, "name": of["name"] })))
        }
        Some(_) | None => {
            Err(invalid(&format!("{place}.type"), "must be text, json_object or json_schema"))
        }
    }
}
