//! Lenient access to what servers send as JSON.

use serde_json::Value;

/// The most tokens that an answer can have counted; what is above is no count.
pub(in crate::provider) const MAX_COUNT: u64 = 1_000_000_000;

/// The value at a path of names and indices, such as `/choices/0/message`. (A JSON pointer without
/// escapes, and so without the allocations that they cost.)
pub(in crate::provider) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').skip(1).try_fold(value, |value, name| match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// A string, or an empty one.
pub(in crate::provider) fn str_at<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// A count of tokens at a path, or zero.
pub(in crate::provider) fn count_at(value: &Value, path: &str) -> u64 {
    at(value, path).map(count_of).unwrap_or_default()
}

/// A count of tokens, or zero; some servers send `12.0`. A larger one than any answer can have is cut,
/// so that sums and costs are possible.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 saturates, and counts are smaller"
)]
pub(in crate::provider) fn count_of(value: &Value) -> u64 {
    let count = value.as_u64().or_else(|| value.as_f64().map(|n| n as u64));
    count.unwrap_or_default().min(MAX_COUNT)
}

/// The items of a list; none if it is not a list.
pub(in crate::provider) fn items<'a>(
    value: &'a Value,
    path: &str,
) -> impl Iterator<Item = &'a Value> + use<'a> {
    at(value, path).and_then(Value::as_array).into_iter().flatten()
}

/// The error in the body or an event of a success: in a field for it, or as the whole.
pub(in crate::provider) fn error_in(value: &Value) -> Option<&Value> {
    let value = value.as_array().and_then(|list| list.first()).unwrap_or(value);
    let is_none = |error: &Value| match error {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::Array(_) => false,
    };
    let is_error = value.get("error").is_some_and(|error| !is_none(error))
        // Older vLLM sends the error itself: <https://github.com/vllm-project/vllm/issues/12886>.
        || str_at(value, "/object") == "error"
        || count_at(value, "/base_resp/status_code") != 0
        || is_message_alone(value);
    is_error.then_some(value)
}

/// Whether a server says something and nothing of an answer.
fn is_message_alone(value: &Value) -> bool {
    let has = |name: &&str| value.get(name).is_some();
    let says =
        |name: &&str| value.get(name).is_some_and(|said| said.is_string() || said.is_array());
    ["message", "detail"].iter().any(says)
        && !["choices", "candidates", "content", "output", "type"].iter().any(has)
}
