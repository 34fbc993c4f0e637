//! Ends of detached runs that no instance has written, so that no webhook was told of them: the backend
//! gave the run up, or cancelled it while nobody worked on it. The first instance that is asked tells.

use std::sync::Arc;

use mc_client::client::AgentClient;
use mc_client::orphans::RUN_ABANDONED;
use mc_client::runs::{PutRun, Run, RunStatus};
use serde_json::{Value, json};
use service::trace::TraceId;
use wombat_core::session::SessionKey;

use super::resume;
use crate::agent::ends::Ends;
use crate::protocols::Protocol;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::failure::Failure;
use crate::run::registry::Outcome;
use crate::run::written;
use crate::state::App;

/// The end of a run that nobody may have told.
fn end_of(run: &Run) -> Option<RunError> {
    if !run.detached || run.extra.contains_key(written::END_TOLD) {
        return None;
    }
    let code = run.extra.get(written::FAILURE).and_then(|failure| failure.get("code"));
    let code = code.and_then(Value::as_str).unwrap_or_default();
    match run.known_status()? {
        // An instance writes that with the end.
        RunStatus::Cancelled if code != "run_cancelled" => {
            Some(RunError::new(RunErrorKind::Cancelled))
        }
        RunStatus::Failed if code == RUN_ABANDONED => {
            Some(RunError::new(RunErrorKind::FailedElsewhere(Box::new(Failure::of(run)))))
        }
        _ => None,
    }
}

/// Tells the run's webhook of its end, where nobody may have; true where it was told.
pub(super) async fn tell(
    app: &App,
    trace: &TraceId,
    client: &AgentClient,
    session: &SessionKey,
    run: &Run,
) -> bool {
    let Some(error) = end_of(run) else { return false };
    // Mostly nobody wants to know.
    let first = run.steps.iter().find(|step| step.index == 0);
    let has_none = first
        .is_some_and(|step| step.payload.pointer("/detached/webhook").is_none_or(Value::is_null));
    if has_none && !app.settings.protocols.has(Protocol::A2a) {
        return false;
    }
    let session = session.clone();
    let request =
        resume::request(app, trace, session, &run.run_key, None, true, resume::Wanted::End).await;
    let Ok(request) = request else { return false };
    let run_id = written::run_id(run);
    let outcome: Outcome = Err(error).map(Arc::new);
    let task_id = run.task_id.as_deref().unwrap_or_default();
    let ends = Ends { app, request: &request, client, task_id };
    if !ends.tell(run_id, &outcome).await {
        return false;
    }
    let extra = [(written::END_TOLD.to_owned(), json!(true))].into_iter().collect();
    let put = PutRun { extra, ..PutRun::default() };
    if let Err(error) = client.put_run(&run.run_key, &put).await {
        tracing::warn!(%error, "a webhook may be told twice how a run ended");
    }
    true
}
