//! Reads the body of `/v1/responses` as a [`ProtocolRequest`].

use http::HeaderMap;
use llm::request::Message;
use serde_json::{Map, Value};

use super::super::attachments::GivenFile;
use super::super::error::ApiError;
use super::super::header::{self, KEY_HEADER, RESUME_HEADER, SESSION_HEADER, TASK_HEADER};
use super::super::parts::{self, ConversationFiles};
use super::super::protocol_request::ProtocolRequest;
use super::fields::{self, flag, invalid, limits, role, text, user};
use crate::run::request::KeySpace;
use crate::settings::Files;

/// Fields that are rejected, where they ask for something: what they ask for is not kept, or is decided by
/// the agent itself.
const UNSUPPORTED: [(&str, &str); 6] = [
    ("tools", "the agent has its own tools, which run in the daemon"),
    ("previous_response_id", "no response is kept; send the whole conversation as input"),
    ("conversation", "no conversation is kept; send all of it as input"),
    ("background", "there is nothing to poll; use the header X-Wombat-Detached"),
    ("prompt", "there are no stored prompts; the agent has its own"),
    ("top_logprobs", "log probabilities are not supported"),
];

/// Items that are the client's records, and are left out: what tools were called with, what they returned, and what
/// a model thought.
const RECORDS: [&str; 23] = [
    "reasoning",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
    "file_search_call",
    "computer_call",
    "computer_call_output",
    "code_interpreter_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "shell_call",
    "shell_call_output",
    "apply_patch_call",
    "apply_patch_call_output",
    "mcp_list_tools",
    "mcp_call",
    "mcp_approval_request",
    "mcp_approval_response",
];

/// What the response tells of its request.
const ECHOED: [&str; 8] = [
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "temperature",
    "top_p",
    "truncation",
    "user",
];

/// A request for a response.
pub(super) struct Asked {
    pub(super) request: ProtocolRequest,
    pub(super) streams: bool,
    /// What the response tells of it.
    pub(super) told: Map<String, Value>,
}

/// Reads the body field by field; the first problem is reported.
pub(super) fn read(
    limits_of_files: &Files,
    body: &Map<String, Value>,
    headers: &HeaderMap,
) -> Result<Asked, ApiError> {
    for (name, why) in UNSUPPORTED {
        if body.get(name).is_some_and(asks) {
            return Err(invalid(name, why));
        }
    }
    if body.get("tool_choice").is_some_and(|choice| !choice.is_null() && choice != "auto") {
        return Err(invalid("tool_choice", "must be auto: the agent chooses its tools itself"));
    }
    let role = role(body)?;
    let user = user(body, headers)?;
    let streams = flag(body, "stream")?;
    let mut history: Vec<Message> =
        text(body, "instructions")?.map(Message::system).into_iter().collect();
    let (message, files) = conversation(body, &mut history)?;
    let told =
        ECHOED.into_iter().filter_map(|name| Some((name.to_owned(), body.get(name)?.clone())));
    let mut told: Map<String, Value> = told.filter(|(_, value)| !value.is_null()).collect();
    if let Some(format) = body.get("text").and_then(|text| text.get("format")) {
        told.insert("format".to_owned(), format.clone());
    }
    let request = ProtocolRequest {
        user,
        user_field: "user",
        key_space: KeySpace::OpenAi,
        role,
        message,
        history: Some(history),
        task_id: header::text(headers, TASK_HEADER),
        task_title: header::text(headers, SESSION_HEADER),
        key: header::text(headers, KEY_HEADER),
        resume: header::text(headers, RESUME_HEADER),
        limits: limits(body, &["max_output_tokens"])?,
        detached: header::detaches(headers)?,
        output: output(body)?,
        attachments: files.given(limits_of_files),
        ..ProtocolRequest::default()
    };
    Ok(Asked { request, streams, told })
}

/// Whether a value asks for something.
fn asks(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(all) => !all.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Bool(true) | Value::String(_) | Value::Object(_) => true,
    }
}

/// `text.format` as `output`.
fn output(body: &Map<String, Value>) -> Result<Option<Value>, ApiError> {
    let place = "text.format";
    match body.get("text").map(|text| &text["format"]) {
        None | Some(Value::Null) => Ok(None),
        Some(format) => fields::output(format, format, place, place),
    }
}

/// The user's newest message, with what was said before it behind `history`; and their files.
fn conversation(
    body: &Map<String, Value>,
    history: &mut Vec<Message>,
) -> Result<(String, ConversationFiles), ApiError> {
    let mut files = ConversationFiles::default();
    let items = match body.get("input") {
        Some(Value::String(text)) if !text.trim().is_empty() => return Ok((text.clone(), files)),
        Some(Value::Array(items)) if !items.is_empty() => items,
        Some(Value::String(_) | Value::Array(_)) => {
            return Err(invalid("input", "must not be empty"));
        }
        _ => return Err(invalid("input", "must be a string, or an array of items")),
    };
    let last = items.len() - 1;
    for (n, item) in items.iter().enumerate() {
        let Some((turn, own)) = read_item(n, item, n < last)? else {
            continue;
        };
        let has_files = !own.is_empty();
        files.add(own);
        match turn {
            Message::User { content, .. } if n == last => {
                if !has_files && content.trim().is_empty() {
                    return Err(invalid(&format!("input.{n}.content"), "must not be empty"));
                }
                return Ok((content, files));
            }
            turn => history.push(turn),
        }
    }
    Err(invalid(&format!("input.{last}"), "the last item must be a message of the user"))
}

/// An item, where it is a message, and its files, which one of the past names. The client's records are left out.
fn read_item(
    n: usize,
    item: &Value,
    is_past: bool,
) -> Result<Option<(Message, Vec<GivenFile>)>, ApiError> {
    match &item["type"] {
        Value::Null => {}
        Value::String(kind) if kind == "message" => {}
        Value::String(kind) if kind == "item_reference" => {
            let why = "no item is kept under an id; send the item itself";
            return Err(invalid(&format!("input.{n}"), why));
        }
        Value::String(kind) if RECORDS.contains(&&**kind) => return Ok(None),
        _ => {
            let why = "must be message, or a call of a tool, its output or reasoning, which are left out; pictures \
                       and files are parts of a message's content";
            return Err(invalid(&format!("input.{n}.type"), why));
        }
    }
    let place = format!("input.{n}.content");
    let (content, files) =
        parts::content(&place, &item["content"]).map_err(|(place, why)| invalid(&place, &why))?;
    let content = if is_past { parts::named(content, &files) } else { content };
    Ok(match item["role"].as_str() {
        Some("user") => Some((Message::user(content), files)),
        Some("assistant") if content.is_empty() => None,
        Some("assistant") => Some((Message::assistant(content), Vec::new())),
        Some("system" | "developer") => Some((Message::system(content), Vec::new())),
        Some(_) | None => {
            let why = "must be user, assistant, system or developer";
            return Err(invalid(&format!("input.{n}.role"), why));
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reading(body: Value) -> Result<Asked, ApiError> {
        let files = Files { max_attachments: 2, max_bytes: 1_000, history: 0 };
        let mut whole = json!({ "model": "scout", "user": "ann", "input": "Hi." });
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        read(&files, whole.as_object().unwrap(), &HeaderMap::new())
    }

    #[test]
    fn items_of_a_conversation_are_its_turns() {
        let output = json!([{ "type": "output_text", "text": "A cat.", "annotations": [] }]);
        let asked = reading(json!({ "instructions": "Be kind.", "tools": [], "input": [
            { "role": "user", "content": "What is it?" },
            { "type": "reasoning", "id": "rs_1", "summary": [] },
            { "type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "c1", "output": "cat" },
            { "type": "message", "id": "m1", "status": "completed", "role": "assistant", "content": output },
            { "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "Sure?" }] },
        ] }));
        let request = asked.unwrap().request;
        assert_eq!(request.message, "Sure?");
        let expected = [
            Message::system("Be kind."),
            Message::user("What is it?"),
            Message::assistant("A cat."),
        ];
        assert_eq!(json!(request.history.unwrap()), json!(expected));
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        for (body, field) in [
            (json!({ "input": [] }), "input"),
            (json!({ "input": 7 }), "input"),
            (json!({ "input": [{ "role": "assistant", "content": "Hi." }] }), "input.0"),
            (json!({ "input": [{ "type": "item_reference", "id": "m1" }] }), "input.0"),
            (
                json!({ "input": [{ "type": "mesage", "role": "user", "content": "Hi." }] }),
                "input.0.type",
            ),
            (
                json!({ "input": [{ "type": "input_image", "image_url": "data:," }] }),
                "input.0.type",
            ),
            (json!({ "input": [{ "type": 7, "role": "user", "content": "Hi." }] }), "input.0.type"),
            (json!({ "tool_choice": "required" }), "tool_choice"),
            (json!({ "tool_choice": { "type": "function", "name": "f" } }), "tool_choice"),
            (json!({ "input": [{ "role": "robot", "content": "Hi." }] }), "input.0.role"),
            (json!({ "input": [{ "role": "user", "content": " " }] }), "input.0.content"),
            (json!({ "tools": [{ "type": "web_search" }] }), "tools"),
            (json!({ "previous_response_id": "resp_1" }), "previous_response_id"),
            (json!({ "background": true }), "background"),
            (json!({ "text": { "format": { "type": "json_schema" } } }), "text.format.schema"),
            (json!({ "text": { "format": { "type": "xml" } } }), "text.format.type"),
            (json!({ "max_output_tokens": 0 }), "max_output_tokens"),
            (json!({ "user": null }), "user"),
        ] {
            let error = reading(body.clone()).err().unwrap();
            assert!(error.body.details["fields"].get(field).is_some(), "{body}: {error:?}");
        }
    }
}
