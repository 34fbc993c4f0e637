//! AG-UI: takes a run input, streams the protocol's typed events (docs/PROTOCOLS.md).

mod encoder;
mod input;
mod transcript;

use axum::Router;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::tool_requests::ToolRequestKind;
use serde_json::{Value, json};
use service::trace::TraceId;
use wombat_core::session::SessionKey;

use self::encoder::Encoder;
use self::input::Input;
use super::cancelling::Of;
use super::error::ApiError;
use super::extract::{BodyWithFiles, Segment};
use super::header::{self, RESUME_HEADER, TASK_HEADER, USER_HEADER};
use super::protocol_request::{ProtocolRequest, known_role};
use super::run_stream::RunStream;
use super::sse::{self, Event};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::request::KeySpace;
use crate::state::App;

/// The endpoint.
pub(super) fn router() -> Router<App> {
    let no_method = async || -> Response {
        let why = "this endpoint supports POST only";
        error_response(&ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", why))
    };
    Router::new().route("/ag-ui/{role}", post(run).fallback(no_method))
}

/// An error before the run input was read: the event as JSON, with its HTTP status.
pub(super) fn error_response(error: &ApiError) -> Response {
    (error.status, axum::Json(run_error(error))).into_response()
}

fn run_error(error: &ApiError) -> Value {
    let body = &error.body;
    json!({
        "type": "RUN_ERROR", "message": body.error, "code": body.code,
        "metadata": { "details": body.details },
    })
}

fn events(all: Vec<Value>) -> Response {
    let all = all.into_iter().map(|event| Event::data(event.to_string()));
    sse::response(stream::iter(all))
}

async fn run(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    headers: HeaderMap,
    role: Result<Segment, ApiError>,
    body: Result<BodyWithFiles, ApiError>,
) -> Response {
    let (Segment(role), body) = match (role, body) {
        (Ok(role), Ok(body)) => (role, body),
        (Err(error), _) | (_, Err(error)) => return error_response(&error),
    };
    // From here on an error is an event of the protocol.
    match Box::pin(begin(app, trace, &headers, role, body)).await {
        Ok(response) => response,
        Err(error) => events(vec![run_error(&error)]),
    }
}

async fn begin(
    app: App,
    trace: TraceId,
    headers: &HeaderMap,
    role: String,
    body: BodyWithFiles,
) -> Result<Response, ApiError> {
    let BodyWithFiles { object: mut body, bytes, place } = body;
    let input = Input::read(&body)?;
    let user = header::text(headers, USER_HEADER).unwrap_or_default();
    // They are needed no more, but for a snapshot.
    let messages = match body.remove("messages") {
        Some(Value::Array(messages)) => messages,
        Some(_) | None => Vec::new(),
    };
    let mut encoder = Encoder::new(&input, messages);
    let mut protocol_request = ProtocolRequest {
        user,
        user_field: USER_HEADER,
        key_space: KeySpace::AgUi,
        role,
        message: input.message,
        history: Some(input.history),
        context: input.context,
        key: Some(input.run_id),
        output: input.output,
        resume: header::text(headers, RESUME_HEADER),
        detached: header::detaches(headers)?,
        attachments: input.files.given(&app.settings.files),
        body_bytes: bytes,
        place,
        ..ProtocolRequest::default()
    };
    let client = backend(&app, &trace, &protocol_request)?;
    if let Some(first) = input.resume.first() {
        let asked = client.tool_request(&first.interrupt_id).await;
        let none = || ApiError::from(RunError::new(RunErrorKind::RunNotFound));
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) if error.is_not_found() => return Err(none()),
            Err(error) => return Err(RunError::backend(&error).into()),
        };
        if input.resume.iter().any(|entry| entry.is_cancelled) {
            let session = asked.session_key
                == format!("user:{}:{}", protocol_request.user, protocol_request.role);
            if !session {
                return Err(none());
            }
            let key = RunKey::parse(&asked.run_key).ok_or_else(none)?;
            let session = SessionKey::parse(&asked.session_key).map_err(|_| none())?;
            let of = Of { app: &app, trace: &trace, client: &client, session: &session };
            of.cancel(&key).await?;
            return Ok(events(encoder.cancelled()));
        }
        header::agrees(headers, RESUME_HEADER, "resume", Some(&asked.run_key))?;
        for entry in &input.resume {
            // The payload answers questions; what a person has to approve it does not decide.
            let Some(payload) = &entry.payload else { continue };
            let asked = match client.tool_request(&entry.interrupt_id).await {
                Ok(asked) => asked,
                Err(error) if error.is_not_found() => return Err(none()),
                Err(error) => return Err(RunError::backend(&error).into()),
            };
            if asked.kind == ToolRequestKind::Question {
                protocol_request.answers.insert(entry.interrupt_id.clone(), payload.clone());
            }
        }
        protocol_request.resume = Some(asked.run_key);
    }
    match header::text(headers, TASK_HEADER) {
        Some(id) => protocol_request.task_id = Some(id),
        None if protocol_request.resume.is_none() => {
            resolve_thread(&app, &trace, &client, &mut protocol_request, input.thread_id).await?
        }
        None => {}
    }
    let request = protocol_request.validate(&app, &trace).await?;
    let updates = RunStream::start(app, request, trace).await?;
    Ok(sse::response(updates.flat_map(move |update| {
        let events = encoder.encode(update).into_iter();
        stream::iter(events.map(|event| Event::data(event.to_string())))
    })))
}

/// The backend as the requested user and role.
fn backend(
    app: &App,
    trace: &TraceId,
    protocol_request: &ProtocolRequest,
) -> Result<AgentClient, ApiError> {
    let role = known_role(app, &protocol_request.role)?;
    let user = protocol_request.user().map_err(|why| ApiError::fields("invalid_payload", why))?;
    let client = app.backend.agent(user.as_str(), role.as_str());
    let client = client.map_err(|error| ApiError::from(RunError::backend(&error)))?;
    Ok(client.with_trace(&trace.traceparent()))
}

/// Maps a thread to a task: the task with that id, else (clients make thread ids up) the task with
/// that title.
async fn resolve_thread(
    app: &App,
    trace: &TraceId,
    client: &AgentClient,
    protocol_request: &mut ProtocolRequest,
    thread: String,
) -> Result<(), ApiError> {
    let backend = |error| ApiError::from(RunError::backend(&error));
    let capabilities = app.backend.capabilities(&trace.traceparent()).await.map_err(backend)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_~".contains(c);
    if capabilities.has("tasks_get") && thread.chars().all(is_plain) {
        match client.get_task(&thread).await {
            Ok(task) => {
                protocol_request.task_id = Some(task.id);
                return Ok(());
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(backend(error)),
        }
    }
    protocol_request.task_title = Some(thread);
    Ok(())
}
