//! Runs that are cancelled, at any instance. A run whose reply stands is completed, and not cancelled
//! (docs/API.md).

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use daemon_api::ErrorBody;
use http::{HeaderMap, StatusCode};
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::runs::RunStatus;
use serde::Serialize;
use serde_json::Value;
use service::trace::TraceId;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;
use wombat_core::session::SessionKey;

use super::detached::{Scope, backend, find, not_found, session};
use super::error::ApiError;
use super::extract::{Params, Segment};
use super::{children, resume, untold};
use crate::agent::stands::{Stands, reply_of};
use crate::run::answer_json::usage_to_wire;
use crate::run::handle::Stop;
use crate::run::written;
use crate::state::App;

/// How long a cancelled run may take to stop before the caller is told that it is stopping.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the backend is asked whether it has.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long the instance of a run has to write that it is completed once its reply stands.
const LAST_WORDS: Duration = Duration::from_millis(2_500);

/// How long it is seen to that it stops after that: longer than a lease is.
const WATCH: Duration = Duration::from_secs(90);
/// How often the backend is asked then.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

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

    fn not_yet() -> Self {
        Self { status: "cancelling", usage: None, estimated: None }
    }

    fn into_response(self) -> Response {
        let status = if self.usage.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
        (status, Json(self)).into_response()
    }
}

fn finished() -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "run_finished", "the run is completed already")
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
        return cancel_here(&app, &run_key).await;
    }
    let found = find(&app, &trace, session(&headers, &scope)?, &run_key).await?;
    let of = Of { app: &app, trace: &trace, client: &found.client, session: &found.session };
    Ok(of.cancel(&found.key).await?.into_response())
}

async fn cancel_here(app: &App, run_id: &str) -> Result<Response, ApiError> {
    let stop = app.runs.cancel(run_id).await.ok_or_else(|| {
        let why = "no such run is in flight in this instance";
        ApiError::new(StatusCode::NOT_FOUND, "run_not_found", why)
    })?;
    match stop {
        Stop::Cancelled(usage) => {
            let usage = serde_json::to_value(usage_to_wire(&usage)).unwrap_or_default();
            Ok(Cancelled::after(usage).into_response())
        }
        Stop::Finished => Err(finished()),
        Stop::Stopping => Ok(Cancelled::not_yet().into_response()),
    }
}

/// Whose runs are cancelled, and for whom.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) app: &'a App,
    pub(super) trace: &'a TraceId,
    pub(super) client: &'a AgentClient,
    pub(super) session: &'a SessionKey,
}

impl Of<'_> {
    /// Cancels a run of any instance.
    ///
    /// # Errors
    /// 409 `run_finished` where it is completed, or is once its reply, which stands, is written to be its end.
    pub(super) async fn cancel(self, run_key: &RunKey) -> Result<Cancelled, ApiError> {
        let key = run_key.as_str();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.completes(run_key).await? {
                return Err(finished());
            }
            let note = match self.client.cancel_run(key).await {
                Ok(note) => note,
                Err(error) if error.is_run_finished() => {
                    // The backend itself may have seen the reply.
                    self.completes(run_key).await?;
                    return Err(finished());
                }
                Err(error) if error.is_not_found() => return Err(not_found()),
                Err(error) => return Err(backend(&error)),
            };
            // The request is in the backend by now, so that no other instance takes the run up again.
            let here = self.app.runs.cancel_key(run_key);
            if note.status == RunStatus::Cancelled.as_str() && !here {
                return self.cancelled(run_key).await;
            }
            if Instant::now() >= deadline {
                self.keep_on(run_key);
                return Ok(Cancelled::not_yet());
            }
            sleep(INTERVAL).await;
        }
    }

    async fn cancelled(self, run_key: &RunKey) -> Result<Cancelled, ApiError> {
        let run = self.client.run_state(run_key.as_str()).await.map_err(|error| backend(&error))?;
        let Some(run) = run else { return Err(not_found()) };
        // Nobody else may have been there to say so.
        let (app, trace, session) = (self.app.clone(), self.trace.clone(), self.session.clone());
        let (client, told) = (self.client.clone(), run.clone());
        let tell = async move { untold::tell(&app, &trace, &client, &session, &told).await };
        self.app.runs.tracker().spawn(tell);
        let children = children::cancel(self.app.clone(), self.client.clone(), run_key.clone());
        self.app.runs.tracker().spawn(children);
        let nothing = || serde_json::to_value(daemon_api::Usage::default()).unwrap_or_default();
        Ok(Cancelled::after(run.extra.get(written::USAGE).cloned().unwrap_or_else(nothing)))
    }

    /// Whether the run's reply stands. Where its instance does not write so, that is done here.
    async fn completes(self, run_key: &RunKey) -> Result<bool, ApiError> {
        if self.app.runs.has_key(run_key) {
            // Whoever executes it here decides.
            return Ok(false);
        }
        let capabilities = self.app.backend.capabilities(&self.trace.traceparent()).await;
        let capabilities = capabilities.map_err(|error| backend(&error))?;
        if reply_of(self.client, &capabilities, run_key, None).await?.is_none() {
            return Ok(false);
        }
        let until = Instant::now() + LAST_WORDS;
        let run_id = loop {
            let run = self.client.run_state(run_key.as_str()).await;
            let run = run.map_err(|error| backend(&error))?.ok_or_else(not_found)?;
            match run.known_status() {
                Some(RunStatus::Completed) => return Ok(true),
                Some(RunStatus::Cancelled) => return Ok(false),
                Some(RunStatus::Running) if Instant::now() < until => sleep(INTERVAL).await,
                _ => break written::run_id(&run).to_owned(),
            }
        };
        let (app, trace, session) = (self.app, self.trace, self.session.clone());
        let request =
            resume::request(app, trace, session, run_key.as_str(), None, true, resume::Wanted::End)
                .await?;
        let stands = Stands { app, request: &request, key: run_key, trace, run_id: &run_id };
        Ok(stands.complete(self.client).await?)
    }

    /// Sees to it that a run which did not stop in time is cancelled even if its instance is dead: then it
    /// is once its lease has run out. Once for each run, however often that is asked for.
    fn keep_on(self, run_key: &RunKey) {
        let Some(watched) = self.app.runs.watch_cancelled(run_key) else { return };
        let (app, trace, session) = (self.app.clone(), self.trace.clone(), self.session.clone());
        let (client, key) = (self.client.clone(), run_key.clone());
        self.app.runs.tracker().spawn(async move {
            let _watched = watched;
            let of = Of { app: &app, trace: &trace, client: &client, session: &session };
            let until = Instant::now() + WATCH;
            while Instant::now() < until {
                tokio::select! {
                    () = sleep(WATCH_INTERVAL) => {}
                    () = app.runs.draining() => return,
                }
                if of.completes(&key).await.is_ok_and(|is_completed| is_completed) {
                    return;
                }
                match client.cancel_run(key.as_str()).await {
                    Ok(note) if note.status == RunStatus::Cancelled.as_str() => {
                        let _usage = of.cancelled(&key).await;
                        return;
                    }
                    Err(error) if error.is_not_found() => return,
                    Ok(_) | Err(_) => {}
                }
            }
        });
    }
}
