//! `POST /api/agents/send` and `/api/agents/stream`: validates a body into a [`RunRequest`].

use std::collections::BTreeMap;
use std::time::SystemTime;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use daemon_api::{ErrorBody, RunAnswer, metadata as names};
use http::{HeaderMap, HeaderName, HeaderValue};
use llm::request::Message;
use secrecy::SecretString;
use serde_json::{Map, Value};
use service::trace::TraceId;
use utoipa::ToSchema;
use wombat_core::session::SessionKey;

use super::error::ApiError;
use super::extract::{BodyWithFiles, check_rest};
use super::fields::Fields;
use super::header::{KEY_HEADER, RESUME_HEADER, TASK_HEADER, USER_HEADER};
use super::options::{narrow, read_limits, read_options};
use super::protocol_request::{admitted, known_role};
use super::{answers, attachments, detached, header, output, resume, sse};
use crate::agent::customers::{self, Asked};
use crate::agent::file_resolve::{Bring, resolve};
use crate::agent::launch;
use crate::run::attachments::Given;
use crate::run::request::{KeySpace, RunRequest, TaskTarget, Webhook};
use crate::state::App;
use crate::webhook::is_allowed_header;

/// The longest idempotency key, in bytes.
pub(super) const MAX_KEY_BYTES: usize = 512;

/// Why a run that outlives its caller has no secrets of its own.
const NO_SECRETS: &str = "a run that outlives its caller is kept in its journal, which holds no secret; set \
                          WOMBAT_WEBHOOK_SECRET, which signs its webhook";

/// The documented form of the body.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct SendBody {
    /// The tenant; must equal the user in `session_key`.
    user_id: String,
    /// `user:{userId}:{role}`.
    session_key: String,
    /// The user's message.
    message: String,
    /// Earlier turns, `{role: user, assistant or system, content}`.
    messages: Option<Vec<Value>>,
    /// An existing task.
    task_id: Option<String>,
    /// The title of a task to find or create.
    task_title: Option<String>,
    /// Used when the task is created.
    task_description: Option<String>,
    /// Used when the task is created.
    task_metadata: Option<Value>,
    /// Options of the run; everything else is passed through.
    metadata: Option<Value>,
    /// Makes the run safe to retry; also as header `Idempotency-Key`.
    idempotency_key: Option<String>,
    /// Resumes a journaled run.
    resume_run_key: Option<String>,
    /// Answers to questions of the run that is resumed, by the ids of their requests.
    #[schema(value_type = Option<Object>)]
    answers: Option<Map<String, Value>>,
    /// `max_steps`, `max_output_tokens`, `max_cost_usd`, `timeout_secs`.
    limits: Option<Value>,
    /// The reply has to be JSON of a schema.
    output: Option<daemon_api::Output>,
    /// Files for the model.
    attachments: Option<Vec<daemon_api::Attachment>>,
    /// Whether to answer with a stream of events.
    stream: Option<bool>,
    /// Whether the run goes on when its caller leaves (docs/API.md, "Runs that outlive their caller");
    /// also as header `X-Wombat-Detached`.
    detached: Option<bool>,
    /// `{url, secret?, headers?}`: notified of the end of the run.
    webhook: Option<Value>,
}

/// Answers one message.
#[utoipa::path(
    post, path = "/api/agents/send", tag = "agents", request_body = SendBody,
    responses(
        (status = 200, body = RunAnswer<'static>),
        (status = "4XX", body = ErrorBody),
        (status = "5XX", body = ErrorBody),
    )
)]
pub(super) async fn send(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    headers: HeaderMap,
    body: BodyWithFiles,
) -> Result<Response, ApiError> {
    let (request, wants_stream) = Box::pin(read(&app, &trace, headers, body, false)).await?;
    if request.detached {
        return Box::pin(detached::answer(app, request, trace, wants_stream)).await;
    }
    if wants_stream {
        return Box::pin(sse::respond(app, request, trace)).await;
    }
    let answer = Box::pin(launch::send(&app, request, trace)).await?;
    Ok(Json(answer.as_ref()).into_response())
}

/// Answers one message with a stream of events.
#[utoipa::path(
    post, path = "/api/agents/stream", tag = "agents", request_body = SendBody,
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = "4XX", body = ErrorBody),
        (status = "5XX", body = ErrorBody),
    )
)]
pub(super) async fn stream(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    headers: HeaderMap,
    body: BodyWithFiles,
) -> Result<Response, ApiError> {
    let (request, _) = Box::pin(read(&app, &trace, headers, body, false)).await?;
    if request.detached {
        return Box::pin(detached::answer(app, request, trace, true)).await;
    }
    sse::respond(app, request, trace).await
}

/// Validates a body; all invalid fields are reported at once. Takes headers and body by value, so
/// that their memory is free before the run, which may take long.
pub(super) async fn read(
    app: &App,
    trace: &TraceId,
    headers: HeaderMap,
    body: BodyWithFiles,
    is_detached: bool,
) -> Result<(RunRequest, bool), ApiError> {
    let mut problems = BTreeMap::new();
    let (body, files) = read_files(app, body, &mut problems)?;
    let mut fields = Fields::new(&body, "", &mut problems);
    let user_id = fields.required_text("user_id");
    let session_text = fields.required_text("session_key");
    let resume = fields.non_blank_text("resume_run_key");
    let message = match resume {
        Some(_) => fields.text("message").unwrap_or_default(),
        None => fields.required_text("message"),
    };
    let wants_stream = fields.flag("stream").unwrap_or(false);
    let detached =
        fields.flag("detached").unwrap_or(false) || is_detached || header::detaches(&headers)?;
    let key = idempotency_key(&mut fields, &headers);
    let task_id = fields.non_blank_text("task_id");
    for (name, field, value) in [
        (USER_HEADER, "user_id", Some(&user_id)),
        (TASK_HEADER, "task_id", task_id.as_ref()),
        (RESUME_HEADER, "resume_run_key", resume.as_ref()),
    ] {
        header::agrees(&headers, name, field, value.map(String::as_str))?;
    }
    let task_title = fields.non_blank_text("task_title");
    let description = fields.text("task_description");
    let task_metadata = fields.object("task_metadata").cloned();
    let history = fields.array("messages").map(|turns| read_history(turns, &mut fields));
    let metadata = fields.object("metadata").cloned().unwrap_or_default();
    let given_limits = fields.object("limits").cloned().unwrap_or_default();
    let hook = fields.object("webhook").cloned();
    let session = SessionKey::parse(&session_text);
    let mut bad_session_key = false;
    if let (Err(error), false) = (&session, session_text.is_empty()) {
        fields.problem("session_key", error.to_string());
        bad_session_key = true;
    }
    let options = read_options(app, &metadata, &mut problems);
    let limits = read_limits(app, &given_limits, detached, &mut problems);
    let hook = hook.map(|hook| read_webhook(&hook, detached, &mut problems));
    let given = output::read(body.get("output"), &mut problems).await;
    let answers = answers::read(&body, resume.is_some(), &mut problems);
    let (session, options) = match (session, options, problems.is_empty()) {
        (Ok(session), Some(options), true) => (session, options),
        (_, _, _) => return Err(rejection(problems, bad_session_key)),
    };
    if session.user().as_str() != user_id {
        let why = "does not match the user of session_key".to_owned();
        return Err(ApiError::fields(
            "user_mismatch",
            BTreeMap::from([("user_id".to_owned(), why)]),
        ));
    }
    known_role(app, session.role().as_str())?;
    if let Some(run_key) = resume {
        let webhook = checked(hook, app).await?;
        let resumed = resume::request(
            app,
            trace,
            session,
            &run_key,
            webhook,
            detached,
            resume::Wanted::Run(&answers),
        );
        let request = Box::pin(resumed).await?;
        return Ok((request, wants_stream));
    }
    let task = match (task_id, task_title.or_else(|| app.settings.default_task.clone())) {
        (Some(id), _) => TaskTarget::Id(id),
        (None, Some(title)) => TaskTarget::Title { title, description, metadata: task_metadata },
        (None, None) => {
            return Err(ApiError::new(
                http::StatusCode::BAD_REQUEST,
                "task_unresolved",
                "no task: give task_id or task_title, or set WOMBAT_DEFAULT_TASK",
            ));
        }
    };
    let key = match (key, notification_id(&metadata)) {
        (Some(key), _) => Some(KeySpace::Send.run_key(&session, &key)),
        (None, Some(id)) => Some(KeySpace::Notification.run_key(&session, &id)),
        (None, None) => None,
    };
    let asked = Asked { session: &session, key: key.as_ref(), detached, kept: None };
    let customer = Box::pin(customers::customer(app, trace, asked)).await?;
    let profile = admitted(app, &customer, session.role().as_str())?;
    let asked_limits = limits;
    let (options, limits) = narrow(&customer, &metadata, options, limits);
    let output = output::of_run(&profile, &options, given).await?;
    let files = files?;
    let webhook = checked(hook, app).await?;
    let bring = Bring { session: &session, key: key.as_ref(), detached };
    let attachments = Box::pin(resolve(app, trace, bring, files)).await?;
    let request = RunRequest {
        session,
        message,
        attachments,
        history,
        task,
        output,
        options,
        metadata,
        webhook,
        key,
        resumed: false,
        detached,
        child: None,
        customer,
        asked_limits,
        limits,
        began: SystemTime::now(),
    };
    Ok((request, wants_stream))
}

/// The files of a body, and the body without them. That they are too large is said where nothing else is
/// wrong.
#[expect(clippy::type_complexity, reason = "a body and what was in it")]
fn read_files(
    app: &App,
    body: BodyWithFiles,
    problems: &mut BTreeMap<String, String>,
) -> Result<(Map<String, Value>, Result<Vec<Given>, ApiError>), ApiError> {
    let BodyWithFiles { object: mut rest, bytes, .. } = body;
    let files = attachments::take(&mut rest, problems);
    check_rest(app, bytes, attachments::base64_bytes(&files))?;
    let files = attachments::check(&app.settings.files, files, problems);
    Ok((rest, files))
}

async fn checked(
    hook: Option<Option<UncheckedHook>>,
    app: &App,
) -> Result<Option<Webhook>, ApiError> {
    match hook.flatten() {
        None => Ok(None),
        Some(hook) => Ok(Some(hook.checked(app).await?)),
    }
}

/// An invalid session key alone has a code of its own; anything else is an invalid payload.
fn rejection(problems: BTreeMap<String, String>, bad_session_key: bool) -> ApiError {
    let alone = bad_session_key && problems.len() == 1;
    let code = if alone { "invalid_session_key" } else { "invalid_payload" };
    ApiError::fields(code, problems)
}

fn idempotency_key(fields: &mut Fields<'_>, headers: &HeaderMap) -> Option<String> {
    let in_body = fields.non_blank_text("idempotency_key");
    let in_header = header::text(headers, KEY_HEADER);
    if let (Some(body), Some(header)) = (&in_body, &in_header)
        && header::bare(body) != header
    {
        fields.problem("idempotency_key", "differs from the header Idempotency-Key");
    }
    let key = in_body.or(in_header);
    if key.as_ref().is_some_and(|key| key.len() > MAX_KEY_BYTES) {
        fields.problem("idempotency_key", format!("must have at most {MAX_KEY_BYTES} bytes"));
    }
    key
}

fn notification_id(metadata: &Map<String, Value>) -> Option<String> {
    match metadata.get(names::NOTIFICATION_ID)? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

/// Earlier turns of a conversation.
pub(super) fn read_history(turns: &[Value], fields: &mut Fields<'_>) -> Vec<Message> {
    let mut history = Vec::with_capacity(turns.len());
    for (i, turn) in turns.iter().enumerate() {
        let content = turn.get("content").and_then(Value::as_str);
        if content.is_none() {
            fields.problem(&format!("messages.{i}.content"), "must be a string");
        }
        let content = content.unwrap_or_default();
        match turn.get("role").and_then(Value::as_str) {
            Some("user") => history.push(Message::user(content)),
            Some("assistant") => history.push(Message::assistant(content)),
            Some("system") => history.push(Message::system(content)),
            Some(_) | None => {
                fields.problem(&format!("messages.{i}.role"), "must be user, assistant or system")
            }
        }
    }
    history
}

/// A webhook whose address has not been checked yet.
struct UncheckedHook {
    url: String,
    secret: Option<SecretString>,
    headers: HeaderMap,
}

impl UncheckedHook {
    async fn checked(self, app: &App) -> Result<Webhook, ApiError> {
        match app.webhooks.check(&self.url).await {
            Ok(url) => Ok(Webhook { url, secret: self.secret, headers: self.headers }),
            Err(why) => {
                let fields = BTreeMap::from([("webhook.url".to_owned(), why.to_string())]);
                Err(ApiError::fields("webhook_refused", fields))
            }
        }
    }
}

fn read_webhook(
    hook: &Map<String, Value>,
    detached: bool,
    problems: &mut BTreeMap<String, String>,
) -> Option<UncheckedHook> {
    let mut fields = Fields::new(hook, "webhook.", problems);
    for name in ["secret", "headers"].into_iter().filter(|_| detached) {
        if hook.get(name).is_some_and(|value| !value.is_null()) {
            fields.problem(name, NO_SECRETS);
        }
    }
    let url = fields.required_text("url");
    let secret = fields.non_blank_text("secret").map(SecretString::from);
    let mut headers = HeaderMap::new();
    for (name, value) in fields.object("headers").into_iter().flatten() {
        let place = format!("headers.{name}");
        let parsed = HeaderName::try_from(name.as_str())
            .ok()
            .zip(value.as_str().and_then(|value| HeaderValue::from_str(value).ok()));
        match parsed {
            Some(_) if !is_allowed_header(name) => {
                fields.problem(&place, "is reserved for the daemon")
            }
            Some((name, value)) => drop(headers.insert(name, value)),
            None => fields.problem(&place, "is not a valid HTTP header with a string value"),
        }
    }
    Some(UncheckedHook { url, secret, headers })
}

#[cfg(test)]
mod tests;
