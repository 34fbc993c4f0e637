//! Reads a chat completion's body as a [`ProtocolRequest`].

use http::HeaderMap;
use llm::request::Message;
use serde_json::{Map, Value};

use super::super::attachments::GivenFile;
use super::super::error::ApiError;
use super::super::header::{self, KEY_HEADER, RESUME_HEADER, SESSION_HEADER, TASK_HEADER};
use super::super::parts::{self, ConversationFiles};
use super::super::protocol_request::ProtocolRequest;
use super::fields::{self, flag, invalid, limits, role, user};
use crate::run::request::KeySpace;
use crate::settings::Files;

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
    limits_of_files: &Files,
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
    let role = role(body)?;
    let user = user(body, headers)?;
    let streams = flag(body, "stream")?;
    let options = body.get("stream_options").unwrap_or(&Value::Null);
    let with_usage = options["include_usage"] == true;
    let (message, history, files) = conversation(body)?;
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
        limits: limits(body, &["max_completion_tokens", "max_tokens"])?,
        detached: header::detaches(headers)?,
        output: output(body)?,
        attachments: files.given(limits_of_files),
        ..ProtocolRequest::default()
    };
    Ok((protocol_request, streams.then_some(Streamed { with_usage })))
}

/// `response_format` as `output`.
fn output(body: &Map<String, Value>) -> Result<Option<Value>, ApiError> {
    let place = "response_format";
    match body.get(place) {
        None | Some(Value::Null) => Ok(None),
        Some(format) => {
            fields::output(format, &format["json_schema"], place, "response_format.json_schema")
        }
    }
}

/// The user's newest message, the turns before it, and their files.
fn conversation(
    body: &Map<String, Value>,
) -> Result<(String, Vec<Message>, ConversationFiles), ApiError> {
    let turns = body.get("messages").and_then(Value::as_array);
    let turns = turns.ok_or_else(|| invalid("messages", "must be an array"))?;
    let Some((last, earlier)) = turns.split_last() else {
        return Err(invalid("messages", "must not be empty"));
    };
    let (mut history, mut files) =
        (Vec::with_capacity(earlier.len()), ConversationFiles::default());
    for (n, turn) in earlier.iter().enumerate() {
        if let Some((turn, own)) = read_past_turn(n, turn)? {
            history.push(turn);
            files.add(own);
        }
    }
    let n = earlier.len();
    let (last, own) = read_turn(n, last, false)?;
    let has_files = !own.is_empty();
    files.add(own);
    match last {
        Message::User { content, .. } if has_files || !content.trim().is_empty() => {
            Ok((content, history, files))
        }
        Message::User { .. } => Err(invalid(&format!("messages.{n}.content"), "must not be empty")),
        Message::System { .. } | Message::Assistant(_) | Message::Tool { .. } => {
            Err(invalid(&format!("messages.{n}.role"), "the last message must be the user's"))
        }
    }
}

/// A turn of the past and its files. Calls of tools and what they returned are the client's records: a turn
/// with nothing else is left out.
fn read_past_turn(n: usize, turn: &Value) -> Result<Option<(Message, Vec<GivenFile>)>, ApiError> {
    match turn["role"].as_str() {
        Some("tool" | "function") => return Ok(None),
        Some("assistant") if turn["content"].is_null() => {
            let refusal = turn["refusal"].as_str().filter(|refusal| !refusal.is_empty());
            return Ok(refusal.map(|refusal| (Message::assistant(refusal), Vec::new())));
        }
        _ => {}
    }
    let (turn, files) = read_turn(n, turn, true)?;
    let is_empty = matches!(&turn, Message::Assistant(turn) if turn.text.is_empty());
    Ok((!is_empty).then_some((turn, files)))
}

/// A turn and its files, which one of the past names.
fn read_turn(n: usize, turn: &Value, is_past: bool) -> Result<(Message, Vec<GivenFile>), ApiError> {
    let place = format!("messages.{n}.content");
    let (content, files) =
        parts::content(&place, &turn["content"]).map_err(|(place, why)| invalid(&place, &why))?;
    let content = if is_past { parts::named(content, &files) } else { content };
    match turn["role"].as_str() {
        Some("user") => Ok((Message::user(content), files)),
        Some("assistant") => Ok((Message::assistant(content), Vec::new())),
        Some("system" | "developer") => Ok((Message::system(content), Vec::new())),
        Some(_) | None => Err(invalid(
            &format!("messages.{n}.role"),
            "must be user, assistant, system or developer; the agent's tools run in the daemon",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
