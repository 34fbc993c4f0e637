//! `resume_run_key`: a journaled run is resumed where it stopped.

use std::collections::BTreeMap;

use mc_client::idempotency::RunKey;
use serde::Deserialize as _;
use serde_json::Map;
use service::trace::TraceId;
use wombat_core::session::SessionKey;

use super::error::ApiError;
use super::options::{read_limits, read_options};
use crate::agent::journal::RecordedRequest;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::request::{RunRequest, TaskTarget, Webhook};
use crate::state::App;

/// The request of a run as its journal has it. A run of another user or another role is reported like
/// an unknown one: `run_not_found`.
pub(super) async fn request(
    app: &App,
    trace: &TraceId,
    session: SessionKey,
    run_key: &str,
    webhook: Option<Webhook>,
) -> Result<RunRequest, ApiError> {
    let none = || ApiError::from(RunError::new(RunErrorKind::RunNotFound));
    let backend = |error| ApiError::from(RunError::backend(&error));
    let key = RunKey::parse(run_key).ok_or_else(none)?;
    let traceparent = trace.traceparent();
    let capabilities = app.backend.capabilities(&traceparent).await.map_err(backend)?;
    if !capabilities.has("run_journal") {
        return Err(none());
    }
    let client = app
        .backend
        .agent(session.user().as_str(), session.role().as_str())
        .map_err(backend)?
        .with_trace(&traceparent);
    let run = client.run(key.as_str()).await.map_err(backend)?.ok_or_else(none)?;
    let is_other = run.session_key.as_deref().is_some_and(|other| other != session.to_string());
    let first = run.steps.iter().find(|step| step.index == 0);
    let recorded = first.and_then(|step| RecordedRequest::deserialize(&step.payload).ok());
    let (Some(recorded), false) = (recorded, is_other) else { return Err(none()) };
    let task_id = run.task_id.or_else(|| recorded.task["id"].as_str().map(str::to_owned));
    let mut problems = BTreeMap::new();
    let options = read_options(app, &recorded.metadata, &mut problems);
    let given = recorded.limits.as_object().cloned().unwrap_or_else(Map::new);
    let given = given.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let limits = read_limits(app, &given, &mut problems);
    let (Some(options), Some(task_id), true) = (options, task_id, problems.is_empty()) else {
        return Err(ApiError::fields("invalid_payload", problems));
    };
    Ok(RunRequest {
        session,
        message: recorded.message,
        history: Some(recorded.history),
        task: TaskTarget::Id(task_id),
        options,
        metadata: recorded.metadata,
        webhook,
        key: Some(key),
        resumed: true,
        limits,
    })
}
