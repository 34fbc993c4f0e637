//! Callers who wait for a detached run, over whatever protocol: they hear what it tells and get its
//! outcome, and their leaving changes nothing.

use std::sync::Arc;
use std::time::Duration;

use mc_client::idempotency::RunKey;
use mc_client::runs::Run;
use service::trace::TraceId;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::customers::{self, Asked};
use super::detach::{client, detach};
use super::follow::{Follower, Item};
use super::launch::{execute, wait_for};
use super::stands::Stands;
use crate::run::answer::{Ending, RunAnswer};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::EventSink;
use crate::run::failure::Failure;
use crate::run::registry::Outcome;
use crate::run::request::RunRequest;
use crate::run::standing::Standing;
use crate::run::written::run_id;
use crate::state::App;

/// How much waits for a caller that awaits nothing but the end.
const BUFFER: usize = 64;

/// Runs a request without the caller, and waits for its end with the caller, who hears everything from
/// the run's beginning, whichever instance told it.
pub(super) async fn attend(
    app: &App,
    request: RunRequest,
    trace: TraceId,
    sink: EventSink,
) -> Outcome {
    let accepted = detach(app, request.clone(), trace.clone()).await?;
    let was_completed = accepted.standing == Standing::Completed;
    let key = accepted.run_key;
    let outcome = app.runs.outcome_of(&key);
    if !sink.is_enabled()
        && let Some(outcome) = outcome.clone()
        && let Some(outcome) = wait_for(outcome).await
    {
        return outcome;
    }
    let end = follow(app, &request, &trace, &key, &sink).await;
    // Here the run has its outcome as it was; at another instance it may be going on.
    if let Some(outcome) = outcome
        && let Some(outcome) = wait_for(outcome).await
    {
        return outcome;
    }
    let outcome = of_end(app, request, trace, key, &end?).await?;
    Ok(if was_completed { replayed(outcome) } else { outcome })
}

/// An answer that had been given before.
fn replayed(answer: Arc<RunAnswer>) -> Arc<RunAnswer> {
    match &answer.ending {
        Ending::Replied(stored) => {
            let ending = Ending::Replayed(stored.clone());
            Arc::new(RunAnswer { ending, ..(*answer).clone() })
        }
        Ending::Replayed(_) | Ending::Silent | Ending::HandedBack | Ending::Waits { .. } => answer,
    }
}

/// Follows a run, and tells what it tells, to its end.
async fn follow(
    app: &App,
    request: &RunRequest,
    trace: &TraceId,
    key: &RunKey,
    sink: &EventSink,
) -> Result<Run, RunError> {
    let backend = |error| RunError::backend(&error);
    let client = client(app, request, &trace.traceparent())?;
    let capabilities = app.backend.capabilities(&trace.traceparent()).await.map_err(backend)?;
    let (out, mut items) = mpsc::channel(BUFFER);
    let follower = Follower::new(app.clone(), client, key.clone(), capabilities, None, out);
    let follower = tokio::spawn(follower.run());
    let _follower = AbortOnDropHandle::new(follower);
    loop {
        match items.recv().await {
            Some(Item::Line(line)) => sink.send(|| line.event).await,
            Some(Item::Over(run)) => return Ok(*run),
            Some(Item::Stalled) => return Err(RunError::new(RunErrorKind::Stalled)),
            None => return Err(RunError::new(RunErrorKind::Draining)),
        }
    }
}

/// The outcome of a run that another instance has brought to its end.
async fn of_end(app: &App, request: RunRequest, trace: TraceId, key: RunKey, run: &Run) -> Outcome {
    match Standing::of(run) {
        Standing::Cancelled => Err(RunError::new(RunErrorKind::Cancelled)),
        Standing::Failed => {
            let failure = Failure::of(run);
            let retry_after = failure.retry_after.map(Duration::from_secs);
            let error = RunError::new(RunErrorKind::FailedElsewhere(Box::new(failure)));
            Err(RunError { retry_after, ..error })
        }
        Standing::Completed
        | Standing::AwaitingApproval
        | Standing::AwaitingAnswer
        | Standing::Queued
        | Standing::Running
        | Standing::Interrupted => {
            let run_id = run_id(run);
            let stands = Stands { app, request: &request, key: &key, trace: &trace, run_id };
            let client = client(app, &request, &trace.traceparent())?;
            if let Some(answer) = stands.as_it_is(&client, run).await? {
                return Ok(Arc::new(answer));
            }
            // The backend cannot look the reply up, or a person has decided just now.
            // It obeys the profile of now, not that of when the caller began to listen.
            let kept = Some(&*request.customer.workspace);
            let asked = Asked { session: &request.session, key: Some(&key), detached: false, kept };
            let customer = Box::pin(customers::customer(app, &trace, asked)).await?;
            let limits = customer.narrow(request.asked_limits);
            let request =
                RunRequest { key: Some(key), detached: false, customer, limits, ..request };
            execute(app, request, trace, EventSink::disabled()).await
        }
    }
}
