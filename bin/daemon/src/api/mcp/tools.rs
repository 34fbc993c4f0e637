//! The tools: a call of `ask_{role}` is a run of that role.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use daemon_api::FileReport;
use futures::{StreamExt as _, stream};
use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::{Map, Value, json};
use wombat_core::agent_config::OutputSpec;

use super::super::error::ApiError;
use super::super::header::{self, KEY_HEADER, RESUME_HEADER, TASK_HEADER, USER_HEADER};
use super::super::protocol_request::{ProtocolRequest, roles};
use super::super::run_stream::{RunStream, RunUpdate};
use super::super::sse::{self, Event};
use super::super::{answers, attachments};
use super::Incoming;
use super::calls::{CallEntry, Running};
use super::resources;
use super::rpc::{Fault, answered, failed};
use crate::run::answer::RunAnswer;
use crate::run::events::RunEvent;
use crate::run::output::Output;
use crate::run::request::KeySpace;
use crate::state::App;

const PREFIX: &str = "ask_";

/// The key of a typed result's whole answer in its `_meta`.
const META: &str = "wombat/answer";

/// The arguments of a call, with their descriptions.
const ARGUMENTS: [(&str, &str); 5] = [
    ("message", "What the agent is asked or told."),
    ("task_id", "An existing task whose thread this is."),
    ("task_title", "A task to find by its exact title, or to create."),
    ("idempotency_key", "Makes the call safe to repeat: the same key is the same run."),
    ("resume_run_key", "Takes up a run that waited for a person's approval or answer."),
];

/// The arguments that are no texts.
fn objects() -> [(&'static str, Value); 2] {
    let text = json!({ "type": "string" });
    let file = json!({ "type": "object", "properties": {
        "file_id": text, "name": text, "media_type": text, "data": text } });
    [
        (
            "answers",
            json!({ "type": "object", "description": "Answers to the questions of the run that \
                resume_run_key names, by their ids." }),
        ),
        (
            "attachments",
            json!({ "type": "array", "items": file, "description": "Files for the agent: each by \
                file_id, or with name, media_type and data in base64." }),
        ),
    ]
}

/// Errors of the request itself; any other failure is a tool result that the caller's model reads.
const BAD_INPUT: [&str; 4] =
    ["invalid_payload", "unknown_role", "payload_too_large", "answer_mismatch"];

/// `tools/list`.
///
/// # Errors
/// When the workspace's rules cannot be used.
pub(super) fn list(app: &App) -> Result<Value, Fault> {
    let properties: Map<String, Value> = ARGUMENTS
        .iter()
        .map(|(name, what)| ((*name).to_owned(), json!({ "type": "string", "description": what })))
        .collect();
    let mut properties = properties;
    properties.extend(objects().map(|(name, form)| (name.to_owned(), form)));
    let roles = roles(app).map_err(|error| Fault::from(&error))?;
    let tools: Vec<_> = roles
        .iter()
        .map(|agent| {
            let mut tool = json!({
                "name": format!("{PREFIX}{}", agent.role),
                "title": format!("Ask {}", agent.role),
                "description": format!(
                    "Asks the agent {:?} and waits for its reply, which is also stored in the task's thread.",
                    agent.role.as_str()
                ),
                "inputSchema": { "type": "object", "properties": properties },
                "annotations": { "openWorldHint": true },
            });
            if let Some(output) = agent.output.as_deref().filter(|output| is_published(output)) {
                tool["outputSchema"] = output.schema.clone();
            }
            tool
        })
        .collect();
    Ok(json!({ "tools": tools }))
}

/// Whether the output that a role always has is the `outputSchema` of its tool: that is an object's, and
/// every result has to fit it.
fn is_published(output: &OutputSpec) -> bool {
    output.strict && output.schema["type"] == "object"
}

/// `tools/call`; as an event stream where the caller asks for progress and accepts one.
pub(super) async fn call(incoming: Incoming<'_>) -> Result<Response, Fault> {
    let mut incoming = incoming;
    let protocol_request = read(&mut incoming)?;
    let entry = incoming.calls.begin(incoming.caller(), &incoming.id);
    let token = incoming.params.get("_meta").map(|meta| meta["progressToken"].clone());
    let token = token.filter(|token| !token.is_null() && accepts_events(incoming.headers));
    let Incoming { app, trace, id, .. } = incoming;
    let profile = app.workspace.snapshot().admit(&protocol_request.role).ok();
    let output = profile.and_then(|profile| profile.output);
    let form = Form { is_typed: output.is_some_and(|output| is_published(&output)) };
    let begun = async {
        let request = protocol_request.validate(&app, &trace).await?;
        RunStream::start(app.clone(), request, trace).await
    };
    let running = entry.running.clone();
    let begun = tokio::select! {
        begun = begun => begun,
        () = running.cancelled.cancelled() => return Err(cancelled()),
    };
    let mut updates = match begun {
        Ok(updates) => updates,
        Err(error) if BAD_INPUT.contains(&&*error.body.code) => return Err(Fault::from(&error)),
        Err(error) => return Ok(Json(answered(&id, form.failure(&error))).into_response()),
    };
    if let Some(token) = token {
        return Ok(stream_of(app, updates, (id, token), entry, form));
    }
    while let Some(update) = updates.next().await {
        if let Some(result) = form.result_of(&app, &running, &update) {
            return Ok(Json(answered(&id, result)).into_response());
        }
    }
    Ok(Json(failed(&id, &Fault::from(&ApiError::internal()))).into_response())
}

fn cancelled() -> Fault {
    Fault::params("the call was cancelled")
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.into_iter().any(|accept| accept.contains("text/event-stream"))
}

fn read(incoming: &mut Incoming<'_>) -> Result<ProtocolRequest, Fault> {
    let mut problems = BTreeMap::new();
    let arguments = incoming.params.get_mut("arguments").and_then(Value::as_object_mut);
    // Its base64 is not kept.
    let attachments = arguments.map(|given| attachments::take(given, &mut problems));
    if !problems.is_empty() {
        return Err(Fault::from(&ApiError::fields("invalid_payload", problems)));
    }
    let name = incoming.params.get("name").and_then(Value::as_str).unwrap_or_default();
    let role = name
        .strip_prefix(PREFIX)
        .ok_or_else(|| Fault::params(format!("there is no tool {name:?}")))?;
    let none = Map::new();
    let given = match incoming.params.get("arguments") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(given)) => given,
        Some(_) => return Err(Fault::params("arguments must be an object")),
    };
    let mut texts = ARGUMENTS.map(|_| None);
    for ((name, _), text) in ARGUMENTS.iter().zip(&mut texts) {
        *text = match given.get(*name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.trim().is_empty() => {
                return Err(Fault::params(format!("{name}: must not be empty")));
            }
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => return Err(Fault::params(format!("{name}: must be a string"))),
        };
    }
    let [message, task_id, task_title, key, resume] = texts;
    for (name, field, value) in [
        (KEY_HEADER, "idempotency_key", &key),
        (TASK_HEADER, "task_id", &task_id),
        (RESUME_HEADER, "resume_run_key", &resume),
    ] {
        let agrees = header::agrees(incoming.headers, name, field, value.as_deref());
        agrees.map_err(|error| Fault::from(&error))?;
    }
    let attachments = attachments.unwrap_or_default();
    if message.is_none() && resume.is_none() && attachments.is_empty() {
        return Err(Fault::params("message: is required"));
    }
    let mut problems = BTreeMap::new();
    let answers = answers::read(given, resume.is_some(), &mut problems);
    if !problems.is_empty() {
        return Err(Fault::from(&ApiError::fields("invalid_payload", problems)));
    }
    Ok(ProtocolRequest {
        user: incoming.user(),
        user_field: USER_HEADER,
        role: role.to_owned(),
        message: message.unwrap_or_default(),
        task_id,
        task_title,
        key_space: KeySpace::Mcp,
        key: key.or_else(|| header::text(incoming.headers, KEY_HEADER)),
        resume,
        answers,
        attachments,
        body_bytes: incoming.bytes,
        place: std::mem::take(&mut incoming.place),
        detached: header::detaches(incoming.headers).map_err(|error| Fault::from(&error))?,
        ..ProtocolRequest::default()
    })
}

fn stream_of(
    app: App,
    updates: RunStream,
    (id, token): (Value, Value),
    entry: CallEntry,
    form: Form,
) -> Response {
    let mut progress = 0_u64;
    let events = updates.flat_map(move |update| {
        let data = match (form.result_of(&app, &entry.running, &update), update) {
            (Some(result), _) => Some(answered(&id, result)),
            (None, RunUpdate::Event(event)) => {
                progress += 1;
                Some(notification(&token, progress, &progress_message(&event)))
            }
            (None, RunUpdate::Done(_) | RunUpdate::Failed(_)) => None,
        };
        stream::iter(data.map(|data| Event::data(data.to_string())))
    });
    sse::response(events)
}

/// The form of a call's results.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// Whether the tool has an `outputSchema`. Then `structuredContent` is the output and nothing else,
    /// also in errors, which clients validate, too; the answer itself is in `_meta`.
    is_typed: bool,
}

impl Form {
    /// The result of a call, if this update ends it.
    fn result_of(self, app: &App, running: &Running, update: &RunUpdate) -> Option<Value> {
        match update {
            RunUpdate::Event(RunEvent::Start { run_id, .. }) => {
                running.started(app, run_id);
                None
            }
            RunUpdate::Event(_) => None,
            RunUpdate::Done(answer) => Some(self.success(answer)),
            RunUpdate::Failed(error) => Some(self.failure(error)),
        }
    }

    fn success(self, answer: &RunAnswer) -> Value {
        let text = answer.display_text();
        let mut content = vec![json!({ "type": "text", "text": text })];
        content.extend(answer.files.iter().filter_map(link));
        if !self.is_typed {
            return json!({ "content": content, "structuredContent": answer });
        }
        match &answer.output {
            Some(Output::Fits(output)) => json!({
                "content": content, "structuredContent": output, "_meta": { (META): answer },
            }),
            // It waits for a person. The second text has what the call is taken up with.
            Some(Output::Misfits(_)) | None => told(&text, &json!(answer)),
        }
    }

    fn failure(self, error: &ApiError) -> Value {
        let body = error.body.as_ref();
        if self.is_typed {
            return told(&body.error, &json!(body));
        }
        json!({
            "content": [{ "type": "text", "text": body.error }],
            "structuredContent": body,
            "isError": true,
        })
    }
}

/// A result without an output where there should be one.
fn told(text: &str, whole: &Value) -> Value {
    json!({
        "content": [
            { "type": "text", "text": text },
            { "type": "text", "text": whole.to_string() },
        ],
        "isError": true,
        "_meta": { (META): whole },
    })
}

fn notification(token: &Value, progress: u64, message: &str) -> Value {
    json!({
        "jsonrpc": "2.0", "method": "notifications/progress",
        "params": { "progressToken": token, "progress": progress, "message": message },
    })
}

/// An event as a progress message.
fn progress_message(event: &RunEvent) -> String {
    match event {
        RunEvent::Start { .. } => "started".to_owned(),
        RunEvent::Chunk { data, .. } => data.clone(),
        RunEvent::Restarted { .. } => "the answer does not fit its schema; asking again".to_owned(),
        RunEvent::ToolCall { name, .. } => format!("calls {name}"),
        RunEvent::ToolResult { name, ok: true, .. } => format!("{name} is done"),
        RunEvent::ToolResult { name, ok: false, .. } => format!("{name} has failed"),
    }
}

/// A file that the agent has made, as a resource that the client may read.
fn link(file: &FileReport) -> Option<Value> {
    let uri = resources::file_uri(&file.file_id);
    Some(
        json!({ "type": "resource_link", "uri": uri, "name": file.name, "mimeType": file.media_type,
        "size": file.size }),
    )
}
