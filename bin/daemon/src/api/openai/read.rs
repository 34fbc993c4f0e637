//! Reads a chat completion's body as a [`ProtocolRequest`].

use http::HeaderMap;
use llm::request::Message;
use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::super::header::{
    self, KEY_HEADER, RESUME_HEADER, SESSION_HEADER, TASK_HEADER, USER_HEADER,
};
use super::super::protocol_request::ProtocolRequest;
use crate::run::request::KeySpace;

/// Fields that are rejected: the agent decides these things itself.
const UNSUPPORTED: [(&str, &str); 5] = [
    ("tools", "the agent has its own tools, which run in the daemon"),
    ("tool_choice", "the agent chooses its tools itself"),
    ("functions", "the agent has its own tools, which run in the daemon"),
    ("audio", "only text is supported"),
    ("logprobs", "log probabilities are not supported"),
];

/// The options of a streamed answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streamed {
    /// `stream_options.include_usage`.
    pub(super) with_usage: bool,
}

/// Reads the body field by field; the first problem is reported.
pub(super) fn read(
    body: &Map<String, Value>,
    headers: &HeaderMap,
) -> Result<(ProtocolRequest, Option<Streamed>), ApiError> {
    for (name, why) in UNSUPPORTED {
        let is_set = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
        if body.get(name).is_some_and(is_set) {
            return Err(invalid(name, why));
        }
    }
    if body.get("n").is_some_and(|n| !n.is_null() && n != 1) {
        return Err(invalid("n", "must be 1"));
    }
    let role = text(body, "model")?.ok_or_else(|| invalid("model", "is required"))?;
    let user = text(body, "user")?.unwrap_or_default();
    header::agrees(headers, USER_HEADER, "user", Some(&user))?;
    let streams = match body.get("stream") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(streams)) => *streams,
        Some(_) => return Err(invalid("stream", "must be true or false")),
    };
    let options = body.get("stream_options").unwrap_or(&Value::Null);
    let with_usage = options["include_usage"] == true;
    let (message, history) = conversation(body)?;
    let protocol_request = ProtocolRequest {
        user,
        user_field: "user",
        key_space: KeySpace::OpenAi,
        role,
        message,
        history: Some(history),
        context: None,
        task_id: header::text(headers, TASK_HEADER),
        task_title: header::text(headers, SESSION_HEADER),
        key: header::text(headers, KEY_HEADER),
        resume: header::text(headers, RESUME_HEADER),
        answers: Map::new(),
        metadata: Map::new(),
        limits: limits(body)?,
        detached: header::detaches(headers)?,
        output: output(body)?,
    };
    Ok((protocol_request, streams.then_some(Streamed { with_usage })))
}

fn invalid(field: &str, why: &str) -> ApiError {
    let fields = [(field.to_owned(), why.to_owned())].into();
    ApiError::fields("invalid_payload", fields)
}

fn text(body: &Map<String, Value>, name: &str) -> Result<Option<String>, ApiError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(name, "must be a string")),
    }
}

/// `response_format` as `output`. Whoever asks for JSON wants nothing else, so that a reply which does not
/// fit is an error, whatever `strict` says: that is only about how OpenAI's models are held to a schema.
fn output(body: &Map<String, Value>) -> Result<Option<Value>, ApiError> {
    let format = match body.get("response_format") {
        None | Some(Value::Null) => return Ok(None),
        Some(format) => format,
    };
    match format["type"].as_str() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!({ "schema": { "type": "object" } }))),
        Some("json_schema") => {
            let given = &format["json_schema"];
            let schema = &given["schema"];
            if schema.is_null() {
                let why = "is required: the schema of the answer; json_object takes any object";
                return Err(invalid("response_format.json_schema.schema", why));
            }
            Ok(Some(json!({ "schema": schema, "name": given["name"] })))
        }
        Some(_) | None => {
            Err(invalid("response_format.type", "must be text, json_object or json_schema"))
        }
    }
}

fn limits(body: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let mut limits = Map::new();
    for name in ["max_completion_tokens", "max_tokens"] {
        match body.get(name) {
            None | Some(Value::Null) => {}
            Some(value) if value.as_u64().is_some_and(|n| n > 0) => {
                limits.entry("max_output_tokens").or_insert_with(|| value.clone());
            }
            Some(_) => return Err(invalid(name, "must be a whole number of at least 1")),
        }
    }
    Ok(limits)
}

/// The user's newest message, and the turns before it.
fn conversation(body: &Map<String, Value>) -> Result<(String, Vec<Message>), ApiError> {
    let turns = body.get("messages").and_then(Value::as_array);
    let turns = turns.ok_or_else(|| invalid("messages", "must be an array"))?;
    let Some((last, earlier)) = turns.split_last() else {
        return Err(invalid("messages", "must not be empty"));
    };
    let mut history = Vec::with_capacity(earlier.len());
    for (n, turn) in earlier.iter().enumerate() {
        history.push(read_turn(n, turn)?);
    }
    let n = earlier.len();
    match read_turn(n, last)? {
        Message::User { content } if !content.trim().is_empty() => Ok((content, history)),
        Message::User { .. } => Err(invalid(&format!("messages.{n}.content"), "must not be empty")),
        Message::System { .. } | Message::Assistant(_) | Message::Tool { .. } => {
            Err(invalid(&format!("messages.{n}.role"), "the last message must be the user's"))
        }
    }
}

fn read_turn(n: usize, turn: &Value) -> Result<Message, ApiError> {
    let content =
        content(&turn["content"]).map_err(|why| invalid(&format!("messages.{n}.content"), why))?;
    match turn["role"].as_str() {
        Some("user") => Ok(Message::user(content)),
        Some("assistant") => Ok(Message::assistant(content)),
        Some("system" | "developer") => Ok(Message::system(content)),
        Some(_) | None => Err(invalid(
            &format!("messages.{n}.role"),
            "must be user, assistant, system or developer; the agent's tools run in the daemon",
        )),
    }
}

/// A string, or an array of text parts.
fn content(content: &Value) -> Result<String, &'static str> {
    match content {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => parts
            .iter()
            .map(|part| match (&part["type"], &part["text"]) {
                (Value::String(kind), Value::String(text)) if kind == "text" => Ok(text.as_str()),
                _ => Err("only parts of type text can be read"),
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            Err("must be a string, or an array of text parts")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_asked_for_has_to_be_given() {
        for format in [json!({}), json!({ "json_schema": {} }), json!({ "json_schema": 1 })] {
            let mut format = format;
            format["type"] = json!("json_schema");
            let body = json!({ "response_format": format });
            let error = output(body.as_object().unwrap()).unwrap_err();
            let fields = &error.body.details["fields"];
            assert!(fields.get("response_format.json_schema.schema").is_some(), "{fields}");
        }
    }
}
