//! Reads a message of the protocol as a [`ProtocolRequest`].

use http::HeaderMap;
use serde_json::{Map, Value};

use super::super::attachments::GivenFile;
use super::super::header::{self, RESUME_HEADER, TASK_HEADER, USER_HEADER};
use super::super::parts::{from_url, inline};
use super::super::protocol_request::ProtocolRequest;
use super::fault::{Fault, Kind};
use crate::run::request::KeySpace;

/// A `SendMessageRequest`.
#[derive(Debug)]
pub(super) struct SendMessage {
    pub(super) request: ProtocolRequest,
    /// The task that the message names as such, and not only as its context.
    pub(super) task_id: Option<String>,
    /// The context that it names.
    pub(super) context_id: Option<String>,
    /// The task of that context, where there is one.
    pub(super) known_task: Option<String>,
    /// Whether the task is returned at once instead of when the run has ended.
    pub(super) returns_at_once: bool,
    /// Whether the client takes JSON and no text.
    pub(super) takes_json_only: bool,
    /// Where the client wants to hear how the task's runs end, as it said so.
    pub(super) push: Option<Map<String, Value>>,
    /// What the message says where it is the answer to a question: its data, or else its text.
    pub(super) answer: Value,
}

fn invalid(path: &str, why: &str) -> Fault {
    Fault::new(Kind::Params, format!("{path}: {why}"))
}

fn object<'a>(
    of: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Map<String, Value>>, Fault> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(invalid(name, "must be an object")),
    }
}

fn text(of: &Map<String, Value>, name: &str) -> Result<Option<String>, Fault> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(&format!("message.{name}"), "must be a string")),
    }
}

/// Reads a `SendMessageRequest` to a role.
pub(super) fn read(
    role: &str,
    headers: &HeaderMap,
    request: &Map<String, Value>,
) -> Result<SendMessage, Fault> {
    let message = object(request, "message")?.ok_or_else(|| invalid("message", "is required"))?;
    let key = text(message, "messageId")?;
    let key = key.ok_or_else(|| invalid("message.messageId", "is required"))?;
    if message.get("role").and_then(Value::as_str) != Some("ROLE_USER") {
        return Err(invalid("message.role", "must be ROLE_USER"));
    }
    let none = Map::new();
    let configuration = object(request, "configuration")?.unwrap_or(&none);
    let push = object(configuration, "taskPushNotificationConfig")?;
    let push = push.filter(|config| !config.is_empty()).cloned();
    let takes_json_only = !accepts_text(configuration)?;
    let task_id = text(message, "taskId")?;
    let context_id = text(message, "contextId")?;
    let given = object(message, "metadata")?.unwrap_or(&none);
    let resume = text(given, "resume_run_key")?;
    header::agrees(headers, RESUME_HEADER, "resume_run_key", resume.as_deref())?;
    let resume = resume.or_else(|| header::text(headers, RESUME_HEADER));
    let Parts { text: content, files, data } = read_parts(message)?;
    if content.trim().is_empty() && files.is_empty() && resume.is_none() {
        return Err(invalid("message.parts", "must contain text, data or files"));
    }
    let answers = object(given, "answers")?.cloned().unwrap_or_default();
    let answer = match (data, text_part(message)) {
        (Some(data), false) => data,
        _ => Value::String(content.clone()),
    };
    let (named_task, named_context) = (task_id.clone(), context_id.clone());
    let task_id = task_id.or(context_id);
    header::agrees(headers, TASK_HEADER, "message.taskId", task_id.as_deref())?;
    let task_id = task_id.or_else(|| header::text(headers, TASK_HEADER));
    // Without a task id a new task is created. Its title holds the beginning of the message and of
    // its id, so that a retry of the message finds the same task.
    let title = || {
        let about: String = content.lines().next().unwrap_or_default().chars().take(60).collect();
        format!("{} ({})", about.trim(), key.chars().take(8).collect::<String>())
    };
    let task_title = text(given, "task_title")?.unwrap_or_else(title);
    let request = ProtocolRequest {
        user: header::text(headers, USER_HEADER).unwrap_or_default(),
        user_field: USER_HEADER,
        key_space: KeySpace::A2a,
        role: role.to_owned(),
        message: content,
        task_title: Some(task_title),
        task_id,
        key: Some(key),
        resume,
        answers,
        attachments: files,
        output: given.get("output").cloned(),
        ..ProtocolRequest::default()
    };
    let at_once = configuration.get("returnImmediately");
    let returns_at_once = at_once.and_then(Value::as_bool).unwrap_or(false);
    Ok(SendMessage {
        request,
        task_id: named_task,
        context_id: named_context,
        known_task: None,
        returns_at_once,
        takes_json_only,
        push,
        answer,
    })
}

/// The fault of a client that takes nothing that the agents answer with.
pub(super) fn not_accepted() -> Fault {
    let why = "acceptedOutputModes: the agents answer with text, and with application/json where an \
               output is asked for or the role has one";
    Fault::new(Kind::ContentType, why)
}

/// Whether a client accepts text, and not only JSON.
fn accepts_text(configuration: &Map<String, Value>) -> Result<bool, Fault> {
    let modes = configuration.get("acceptedOutputModes").and_then(Value::as_array);
    let Some(modes) = modes.filter(|modes| !modes.is_empty()) else { return Ok(true) };
    let modes = || modes.iter().map(|mode| mode.as_str().unwrap_or_default());
    if modes().any(|mode| mode == "text" || mode.starts_with("text/") || mode == "*/*") {
        return Ok(true);
    }
    if modes().any(|mode| mode == "application/json") { Ok(false) } else { Err(not_accepted()) }
}

/// The parts of a message.
struct Parts {
    /// The text of all parts; JSON data becomes text.
    text: String,
    files: Vec<GivenFile>,
    /// The first data.
    data: Option<Value>,
}

/// Whether a message says something in words.
fn text_part(message: &Map<String, Value>) -> bool {
    let parts = message.get("parts").and_then(Value::as_array);
    let is_text = |part: &Value| part["text"].as_str().is_some_and(|text| !text.trim().is_empty());
    parts.into_iter().flatten().any(is_text)
}

fn read_parts(message: &Map<String, Value>) -> Result<Parts, Fault> {
    let parts = message.get("parts").and_then(Value::as_array);
    let parts = parts.ok_or_else(|| invalid("message.parts", "are required"))?;
    let (mut words, mut files, mut first) = (Vec::with_capacity(parts.len()), Vec::new(), None);
    for (n, part) in parts.iter().enumerate() {
        let place = format!("message.parts.{n}");
        let own =
            |name: &str| part[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        match (part.get("text"), part.get("data"), part.get("raw"), part.get("url")) {
            (Some(Value::String(text)), ..) => words.push(text.clone()),
            (None, Some(data), ..) => {
                words.push(data.to_string());
                first.get_or_insert_with(|| data.clone());
            }
            (None, None, Some(Value::String(raw)), _) => {
                let (media_type, name) = (own("mediaType"), own("filename"));
                files.push(inline(place, media_type, raw.clone(), name, n + 1));
            }
            (None, None, None, Some(url)) => {
                let file = from_url(place.clone(), url.as_str(), own("filename"), n + 1);
                files.push(
                    file.map_err(|why| Fault::new(Kind::ContentType, format!("{place}: {why}")))?,
                );
            }
            _ => {
                let why = format!("{place}: only text, data and files (raw) can be read");
                return Err(Fault::new(Kind::ContentType, why));
            }
        }
    }
    Ok(Parts { text: words.join("\n\n"), files, data: first })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reading(message: Value, configuration: Value) -> Result<SendMessage, Fault> {
        let request = json!({ "message": message, "configuration": configuration });
        read("scout", &HeaderMap::new(), request.as_object().unwrap())
    }

    fn message() -> Value {
        json!({ "messageId": "m1", "role": "ROLE_USER", "parts": [{ "text": "Do it." }, { "data": { "a": 1 } }] })
    }

    #[test]
    fn a_message_is_an_order() {
        let asked = reading(message(), json!({ "returnImmediately": true })).unwrap();
        assert_eq!(asked.request.message, "Do it.\n\n{\"a\":1}");
        assert_eq!(asked.request.key.as_deref(), Some("m1"));
        assert!(asked.returns_at_once);
    }

    #[test]
    fn what_is_no_message_is_named() {
        for (path, value, kind, named) in [
            ("/messageId", json!(""), Kind::Params, "message.messageId"),
            ("/messageId", json!(1), Kind::Params, "message.messageId"),
            ("/role", json!("ROLE_AGENT"), Kind::Params, "message.role"),
            ("/parts", json!([]), Kind::Params, "message.parts"),
            ("/parts", json!("x"), Kind::Params, "message.parts"),
            ("/parts/0", json!({ "url": "http://h/x.png" }), Kind::ContentType, "message.parts.0"),
        ] {
            let mut wrong = message();
            *wrong.pointer_mut(path).unwrap() = value.clone();
            let fault = reading(wrong, json!({})).unwrap_err();
            let text = format!("{fault:?}");
            assert!(fault.kind == kind && text.contains(named), "{path} {value}: {text}");
        }
        let fault =
            reading(message(), json!({ "acceptedOutputModes": ["image/png"] })).unwrap_err();
        assert_eq!(fault.kind, Kind::ContentType);
        let push = json!({ "taskPushNotificationConfig": "http://h" });
        assert_eq!(reading(message(), push).unwrap_err().kind, Kind::Params);
    }
}
