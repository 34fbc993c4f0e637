//! Runs that outlive their callers: started, looked at, followed and cancelled at any instance
//! (docs/API.md).

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use daemon_api::{Accepted, ErrorBody, RunReport};
use http::{HeaderMap, StatusCode};
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::runs::{Run, RunStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::trace::TraceId;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use utoipa::{IntoParams, ToSchema};
use wombat_core::session::SessionKey;

use super::error::ApiError;
use super::extract::{JsonObject, Params, Segment};
use super::header::{self, SESSION_HEADER};
use super::send::{SendBody, read};
use super::{children, detached_report, detached_stream};
use crate::agent::detach::{self, Accepted as InJournal};
use crate::agent::follow::{Follower, Item};
use crate::run::answer_json::usage_to_wire;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::request::RunRequest;
use crate::run::standing::Standing;
use crate::state::App;

/// How long a cancelled run may take to stop before the caller is told that it is stopping.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);
/// How often the backend is asked whether it has.
const CANCEL_INTERVAL: Duration = Duration::from_millis(250);

/// How long it is seen to that it stops after that: longer than a lease is.
const CANCEL_WATCH: Duration = Duration::from_secs(90);
/// How often the backend is asked then.
const CANCEL_WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Who asks for a run.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Scope {
    /// `user:{userId}:{role}`; also as header `X-Wombat-Session`.
    session_key: Option<String>,
    /// The id of the last event that was seen; the header `Last-Event-ID` counts more.
    #[param(value_type = Option<i64>)]
    after: Option<String>,
}

/// A run of the caller's.
pub(super) struct Found {
    pub(super) client: AgentClient,
    pub(super) key: RunKey,
    pub(super) run: Run,
}

fn not_found() -> ApiError {
    RunError::new(RunErrorKind::RunNotFound).into()
}

pub(super) fn backend(error: &mc_client::error::McError) -> ApiError {
    RunError::backend(error).into()
}

/// The session that a request is about.
fn session(headers: &HeaderMap, scope: &Scope) -> Result<SessionKey, ApiError> {
    header::agrees(headers, SESSION_HEADER, "session_key", scope.session_key.as_deref())?;
    let given = scope.session_key.clone().or_else(|| header::text(headers, SESSION_HEADER));
    let given = given.filter(|text| !text.trim().is_empty()).ok_or_else(|| {
        let why = "is required: as query parameter, or as header X-Wombat-Session".to_owned();
        ApiError::fields("invalid_payload", [("session_key".to_owned(), why)].into())
    })?;
    SessionKey::parse(&given).map_err(|error| {
        let fields = [("session_key".to_owned(), error.to_string())].into();
        ApiError::fields("invalid_session_key", fields)
    })
}

/// The run with this key, if it is the session's.
async fn find(
    app: &App,
    trace: &TraceId,
    session: SessionKey,
    run_key: &str,
) -> Result<Found, ApiError> {
    let key = RunKey::parse(run_key).ok_or_else(not_found)?;
    let traceparent = trace.traceparent();
    let capabilities = app.backend.capabilities(&traceparent).await.map_err(|e| backend(&e))?;
    if !capabilities.has("run_journal") {
        return Err(not_found());
    }
    let client = app.backend.agent(session.user().as_str(), session.role().as_str());
    let client = client.map_err(|error| backend(&error))?.with_trace(&traceparent);
    let run = client.run(key.as_str()).await.map_err(|e| backend(&e))?.ok_or_else(not_found)?;
    let is_other = run.session_key.as_deref().is_some_and(|other| other != session.to_string());
    if is_other || run.steps.is_empty() {
        return Err(not_found());
    }
    Ok(Found { client, key, run })
}

/// Where a run can be followed.
fn stream_path(session: &SessionKey, key: &RunKey) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("session_key", &session.to_string());
    format!("/api/agents/runs/{key}/stream?{}", query.finish())
}

/// Starts a run that goes on without its caller, or goes on with one.
#[utoipa::path(
    post, path = "/api/agents/runs", operation_id = "start_run", tag = "agents", request_body = SendBody,
    responses(
        (status = 202, body = Accepted),
        (status = "4XX", body = ErrorBody),
        (status = "5XX", body = ErrorBody),
    )
)]
pub(super) async fn start(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    headers: HeaderMap,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let (request, _) = Box::pin(read(&app, &trace, headers, body, true)).await?;
    let session = request.session.clone();
    let InJournal { run_key, task_id, standing, is_replay, .. } =
        detach::detach(&app, request, trace).await?;
    let accepted = Accepted {
        stream: stream_path(&session, &run_key),
        run_key: run_key.as_str().to_owned(),
        task_id,
        status: standing.as_str().to_owned(),
        replayed: is_replay.then_some(true),
    };
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

/// Where a run stands.
#[utoipa::path(
    get, path = "/api/agents/runs/{run_key}", operation_id = "get_run", tag = "agents",
    params(("run_key" = String, Path, description = "64 hexadecimal digits."), Scope),
    responses(
        (status = 200, body = RunReport),
        (status = "4XX", body = ErrorBody),
        (status = "5XX", body = ErrorBody),
    )
)]
pub(super) async fn get(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    headers: HeaderMap,
    Segment(run_key): Segment,
    Params(scope): Params<Scope>,
) -> Result<Json<RunReport>, ApiError> {
    let found = find(&app, &trace, session(&headers, &scope)?, &run_key).await?;
    Ok(Json(detached_report::of(&app, &trace, found).await?))
}

/// Follows a run: everything that it has told, or what follows an event, then what it tells.
#[utoipa::path(
    get, path = "/api/agents/runs/{run_key}/stream", operation_id = "stream_run", tag = "agents",
    params(("run_key" = String, Path, description = "64 hexadecimal digits."), Scope),
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
    Segment(run_key): Segment,
    Params(scope): Params<Scope>,
) -> Result<Response, ApiError> {
    let session = session(&headers, &scope)?;
    let seen = detached_stream::last_event_id(&headers, scope.after.as_deref())?;
    let found = find(&app, &trace, session, &run_key).await?;
    if !found.run.detached {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "not_detached",
            "this run has a caller, who alone hears what it tells; start it with POST /api/agents/runs or \
             detached: true",
        ));
    }
    detached_stream::follow(app, &trace, found.client, found.key, seen).await
}

/// A request of `send` or `stream` whose run goes on without its caller.
pub(super) async fn answer(
    app: App,
    request: RunRequest,
    trace: TraceId,
    wants_stream: bool,
) -> Result<Response, ApiError> {
    let session = request.session.clone();
    let accepted = detach::detach(&app, request, trace.clone()).await?;
    let client = app.backend.agent(session.user().as_str(), session.role().as_str());
    let client = client.map_err(|error| backend(&error))?.with_trace(&trace.traceparent());
    let key = accepted.run_key;
    if wants_stream {
        return detached_stream::follow(app, &trace, client, key, None).await;
    }
    let capabilities = app.backend.capabilities(&trace.traceparent()).await;
    let capabilities = capabilities.map_err(|error| backend(&error))?;
    let (out, mut items) = mpsc::channel(64);
    let seen = Some(i64::MAX);
    let follower = Follower::new(app, client.clone(), key.clone(), capabilities, seen, out);
    tokio::spawn(follower.run());
    while let Some(item) = items.recv().await {
        match item {
            Item::Line(_) => {}
            Item::Stalled => return Err(detached_report::stalled()),
            Item::Over(run) => {
                let mut answer = detached_report::outcome(&client, &key, &run).await?;
                if accepted.is_replay && accepted.standing == Standing::Completed {
                    answer["replayed"] = json!(true);
                }
                return Ok(Json(answer).into_response());
            }
        }
    }
    Err(RunError::new(RunErrorKind::Draining).into())
}

/// What is said of a cancelled run.
#[derive(Serialize, ToSchema)]
pub(super) struct Cancelled {
    /// `cancelled`; `cancelling` where it has not stopped yet.
    status: &'static str,
    /// What it used.
    #[schema(value_type = Option<daemon_api::Usage>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
    /// Whether that is an estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated: Option<bool>,
}

impl Cancelled {
    fn after(usage: Value) -> Self {
        Self { status: "cancelled", usage: Some(usage), estimated: Some(true) }
    }
}

/// Cancels a run: by its key at any instance, by its run_id at its own.
#[utoipa::path(
    delete, path = "/api/agents/runs/{run_key}", tag = "agents",
    params(
        ("run_key" = String, Path, description = "The run's key; or the run_id of a run of this instance, \
                                                  from the answer or the stream's start event."),
        Scope,
    ),
    responses(
        (status = 200, body = Cancelled),
        (status = 202, body = Cancelled),
        (status = 404, body = ErrorBody),
        (status = "4XX", body = ErrorBody),
        (status = "5XX", body = ErrorBody),
    )
)]
pub(super) async fn cancel(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    headers: HeaderMap,
    Segment(run_key): Segment,
    Params(scope): Params<Scope>,
) -> Result<Response, ApiError> {
    if RunKey::parse(&run_key).is_none() {
        let usage = app.runs.cancel(&run_key).ok_or_else(|| {
            ApiError::new(
                StatusCode::NOT_FOUND,
                "run_not_found",
                "no such run is in flight in this instance",
            )
        })?;
        let usage = serde_json::to_value(usage_to_wire(&usage)).unwrap_or_default();
        return Ok(Json(Cancelled::after(usage)).into_response());
    }
    let found = find(&app, &trace, session(&headers, &scope)?, &run_key).await?;
    let cancelled = cancel_run(&app, &found.client, &found.key).await?;
    let is_over = cancelled.usage.is_some();
    let status = if is_over { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(cancelled)).into_response())
}

/// Cancels a run of any instance.
///
/// # Errors
/// 409 `run_finished` where it is completed.
pub(super) async fn cancel_run(
    app: &App,
    client: &AgentClient,
    run_key: &RunKey,
) -> Result<Cancelled, ApiError> {
    let key = run_key.as_str();
    let finished =
        || ApiError::new(StatusCode::CONFLICT, "run_finished", "the run is completed already");
    let deadline = Instant::now() + CANCEL_PATIENCE;
    loop {
        let note = match client.cancel_run(key).await {
            Ok(note) => note,
            Err(error) if error.is_run_finished() => return Err(finished()),
            Err(error) if error.is_not_found() => return Err(not_found()),
            Err(error) => return Err(backend(&error)),
        };
        // The request is in the backend by now, so that no other instance takes the run up again.
        let here = app.runs.cancel_key(run_key);
        if note.status == RunStatus::Cancelled.as_str() && !here {
            let run = client.run_state(key).await.map_err(|error| backend(&error))?;
            let usage = run.and_then(|run| run.extra.get("usage").cloned());
            app.runs.tracker().spawn(children::cancel(
                app.clone(),
                client.clone(),
                run_key.clone(),
            ));
            let nothing = || serde_json::to_value(daemon_api::Usage::default());
            let usage = usage.map_or_else(nothing, Ok).unwrap_or_default();
            return Ok(Cancelled::after(usage));
        }
        if Instant::now() >= deadline {
            let still = keep_cancelling(app.clone(), client.clone(), run_key.clone());
            app.runs.tracker().spawn(still);
            return Ok(Cancelled { status: "cancelling", usage: None, estimated: None });
        }
        sleep(CANCEL_INTERVAL).await;
    }
}

/// Sees to it that a run which did not stop in time is cancelled even if its instance is dead: then it
/// is once its lease has run out.
async fn keep_cancelling(app: App, client: AgentClient, key: RunKey) {
    let until = Instant::now() + CANCEL_WATCH;
    while Instant::now() < until {
        tokio::select! {
            () = sleep(CANCEL_WATCH_INTERVAL) => {}
            () = app.runs.draining() => return,
        }
        match client.cancel_run(key.as_str()).await {
            Ok(note) if note.status == RunStatus::Cancelled.as_str() => return,
            Err(error) if error.is_run_finished() || error.is_not_found() => return,
            Ok(_) | Err(_) => {}
        }
    }
}
