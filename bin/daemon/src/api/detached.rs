//! Runs that outlive their callers: started, looked at and followed at any instance (docs/API.md).

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use daemon_api::{Accepted, ErrorBody, RunReport};
use http::{HeaderMap, StatusCode};
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::runs::Run;
use serde::Deserialize;
use serde_json::json;
use service::trace::TraceId;
use tokio::sync::mpsc;
use utoipa::IntoParams;
use wombat_core::session::SessionKey;

use super::error::ApiError;
use super::extract::{BodyWithFiles, Params, Segment};
use super::header::{self, SESSION_HEADER};
use super::send::{SendBody, read};
use super::{detached_report, detached_stream, untold};
use crate::agent::detach::{self, Accepted as InJournal};
use crate::agent::follow::{Follower, Item};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::request::RunRequest;
use crate::run::standing::Standing;
use crate::state::App;

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
    pub(super) session: SessionKey,
    pub(super) run: Run,
}

pub(super) fn not_found() -> ApiError {
    RunError::new(RunErrorKind::RunNotFound).into()
}

pub(super) fn backend(error: &mc_client::error::McError) -> ApiError {
    RunError::backend(error).into()
}

/// The session that a request is about.
pub(super) fn session(headers: &HeaderMap, scope: &Scope) -> Result<SessionKey, ApiError> {
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
pub(super) async fn find(
    app: &App,
    trace: &TraceId,
    session: SessionKey,
    run_key: &str,
) -> Result<Found, ApiError> {
    let key = RunKey::parse(run_key).ok_or_else(not_found)?;
    let traceparent = trace.traceparent();
    let capabilities = app.backend.capabilities(&traceparent).await.map_err(|e| backend(&e))?;
    if !capabilities.has("run_journal") {
        return Err(RunError::new(RunErrorKind::FeatureMissing("run_journal")).into());
    }
    let client = app.backend.agent(session.user().as_str(), session.role().as_str());
    let client = client.map_err(|error| backend(&error))?.with_trace(&traceparent);
    let run = client.run(key.as_str()).await.map_err(|e| backend(&e))?.ok_or_else(not_found)?;
    let is_other = run.session_key.as_deref().is_some_and(|other| other != session.to_string());
    if is_other || run.steps.is_empty() {
        return Err(not_found());
    }
    Ok(Found { client, key, session, run })
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
    body: BodyWithFiles,
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
    let mut found = find(&app, &trace, session(&headers, &scope)?, &run_key).await?;
    if untold::tell(&app, &trace, &found.client, &found.session, &found.run).await {
        found = find(&app, &trace, found.session, &run_key).await?;
    }
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
