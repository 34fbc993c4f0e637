//! Launches a run: admission, joining of requests with the same key, the timeout, the outcome.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mc_client::idempotency::RunKey;
use service::trace::TraceId;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;
use uuid::Uuid;
use wombat_core::redact::Redactor;

use super::attend::attend;
use super::audit;
use super::driver::RunDriver;
use super::finalizer::RunFinalizer;
use super::redaction;
use super::stands::Stands;
use super::traced;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::EventSink;
use crate::run::registry::{Joined, Outcome, Registration};
use crate::run::request::{RunRequest, fingerprint};
use crate::state::App;

/// What a run has after its deadline to book what it used and to say what it did. Model and tools are
/// given up at the deadline itself.
pub(super) const TIMEOUT_GRACE: Duration = Duration::from_secs(2);

/// Runs a request without streaming. With a key the run completes even if the caller disconnects, so
/// that a retry finds the reply; without one it is dropped together with the caller.
pub async fn send(app: &App, request: RunRequest, trace: TraceId) -> Outcome {
    if request.detached {
        return Box::pin(attend(app, request, trace, EventSink::disabled())).await;
    }
    let Some(key) = request.key.clone() else {
        return execute(app, request, trace, EventSink::disabled()).await;
    };
    let sender = match join(app, &key, &request).await? {
        Claim::Done(outcome) => return outcome,
        Claim::First(sender) => sender,
    };
    let outcome = sender.subscribe();
    let app = app.clone();
    let tracker = app.runs.tracker().clone();
    tracker.spawn(async move {
        let leader = Leader { app: app.clone(), key, sender };
        let outcome = execute(&app, request, trace, EventSink::disabled()).await;
        leader.sender.send_replace(Some(outcome));
    });
    // Only a panic ends it without an outcome.
    wait_for(outcome).await.unwrap_or_else(|| Err(RunError::new(RunErrorKind::Internal)))
}

/// Runs a request and sends its events to `sink`. The run lives and dies with this future. A key
/// whose run is already in flight is not run twice: its outcome is awaited.
pub async fn stream(app: &App, request: RunRequest, trace: TraceId, sink: EventSink) -> Outcome {
    if request.detached {
        return Box::pin(attend(app, request, trace, sink)).await;
    }
    let Some(key) = request.key.clone() else {
        return execute(app, request, trace, sink).await;
    };
    match join(app, &key, &request).await? {
        Claim::Done(outcome) => outcome,
        Claim::First(sender) => {
            let leader = Leader { app: app.clone(), key, sender };
            let outcome = execute(app, request, trace, sink).await;
            leader.sender.send_replace(Some(outcome.clone()));
            outcome
        }
    }
}

/// The result of joining a key.
enum Claim {
    /// Another request with the key had this outcome.
    Done(Outcome),
    /// This request runs; the others wait for what it sends.
    First(watch::Sender<Option<Outcome>>),
}

/// Waits for the run with this key, or claims the key; also when the run that was awaited was dropped
/// with its caller.
async fn join(app: &App, key: &RunKey, request: &RunRequest) -> Result<Claim, RunError> {
    // A resumed run takes its request from its journal, so that whatever comes with it is no
    // conflict.
    let fingerprint = (!request.resumed).then(|| fingerprint(request));
    loop {
        match app.runs.join(key, fingerprint.as_deref())? {
            Joined::First(sender) => return Ok(Claim::First(sender)),
            Joined::Other(outcome) => {
                if let Some(outcome) = wait_for(outcome).await {
                    return Ok(Claim::Done(outcome));
                }
            }
        }
    }
}

/// The request that runs for a key. However it ends, even dropped or by a panic, the key is released
/// and the waiting requests are notified.
pub(super) struct Leader {
    pub(super) app: App,
    pub(super) key: RunKey,
    pub(super) sender: watch::Sender<Option<Outcome>>,
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.app.runs.release_key(&self.key);
    }
}

/// The outcome; `None` when the run was dropped before it had one.
pub(super) async fn wait_for(mut outcome: watch::Receiver<Option<Outcome>>) -> Option<Outcome> {
    outcome.wait_for(Option::is_some).await.ok()?.clone()
}

/// Runs to the end, within a log span that carries the run's ids.
pub(super) async fn execute(
    app: &App,
    request: RunRequest,
    trace: TraceId,
    sink: EventSink,
) -> Outcome {
    let run_id = Uuid::now_v7().to_string();
    let role = request.session.role();
    // At level error, so that the ids are also there when only errors are logged.
    let named = tracing::error_span!("run", run_id, trace_id = %trace, %role);
    // Boxed, so that the callers' futures stay small.
    Box::pin(run_to_end(app, request, trace, sink, run_id).instrument(named)).await
}

async fn run_to_end(
    app: &App,
    request: RunRequest,
    trace: TraceId,
    sink: EventSink,
    run_id: String,
) -> Outcome {
    let started = Instant::now();
    let deadline = started + request.limits.timeout;
    let mut registration = app.runs.register(run_id, request.key.clone())?;
    let run_key = request.key.clone().unwrap_or_else(RunKey::random);
    let handle = registration.handle.clone();
    // The same snapshot is used to the end of the run.
    let chosen = app.workspaces.for_run(&request.customer, request.session.role().as_str());
    let profile = chosen.as_ref().ok().map(|chosen| &chosen.profile);
    let redactor = profile.and_then(|profile| redaction::of_profile(app, &request, profile));
    let finalizer = RunFinalizer::new(handle.clone(), app.runs.tracker().clone());
    let finalizer = finalizer.redacting(redactor.clone());
    let mut span = traced::begin(&trace, &request, &handle.run_id, redactor.as_ref());
    let driver = RunDriver {
        app,
        request: &request,
        handle: &handle,
        run_key: &run_key,
        fence: OnceLock::new(),
        redactor: redactor.clone(),
        trace: &trace,
        span: &span,
        sink: &sink,
        deadline,
        finalizer: &finalizer,
        fingerprint: OnceLock::new(),
        replay: None,
    };
    let worked = async { Box::pin(driver.run(chosen?)).await };
    let result = tokio::select! {
        biased;
        result = timeout_at(deadline + TIMEOUT_GRACE, worked) => match result {
            Ok(result) => result,
            Err(_) => Err(RunError::new(RunErrorKind::Timeout)),
        },
        why = handle.stopped() => Err(RunError::new(why)),
    };
    // A call of the backend or a model that was given up at the run's deadline is a timeout.
    let result = result.map_err(|error| {
        let ran_out = Instant::now() >= deadline && error.kind != RunErrorKind::Cancelled;
        if ran_out { RunError { kind: RunErrorKind::Timeout, ..error } } else { error }
    });
    let result = match result {
        Ok(answer) => Ok(answer),
        stopped => {
            let (request, run_id) = (&request, &handle.run_id);
            let stands = Stands { app, request, key: &run_key, trace: &trace, run_id };
            Box::pin(stands.or_answer(driver.plain_client(), &handle, stopped)).await
        }
    };
    traced::describe(&mut span, (&request, redactor.as_ref()), &handle, &result);
    finalizer.finish(&result).await;
    if let Err(RunError { kind: RunErrorKind::JournalRejected(_), cause, .. }) = &result {
        Box::pin(audit::journal_rejected(app, &request.session, &run_key, &trace, cause)).await;
    }
    settle(&mut registration, &result, redactor.as_ref());
    let outcome = result.map(Arc::new);
    let role = request.session.role();
    let is_known = app.workspaces.have_role(role.as_str());
    app.metrics.run(is_known.then_some(role.as_str()), outcome_label(&outcome), started.elapsed());
    app.webhooks.send(&request, &handle, &outcome);
    outcome
}

/// Logs the end of a run, and marks its usage as exact unless the run was dropped.
pub(super) fn settle(
    registration: &mut Registration,
    result: &Result<crate::run::answer::RunAnswer, RunError>,
    redactor: Option<&Arc<Redactor>>,
) {
    match result {
        Ok(answer) => tracing::info!(
            task_id = answer.task_id,
            tools = answer.steps.len(),
            tokens = answer.usage.total_tokens,
            ending = answer.ending.as_str(),
            pending_requests = answer.tool_requests().len(),
            "run completed"
        ),
        Err(error) => tracing::warn!(
            code = error.code(),
            reason = &*redaction::logged(redactor, &error.message()),
            cause = &*redaction::logged(redactor, &error.cause),
            "run failed"
        ),
    }
    let dropped = matches!(
        result,
        Err(RunError {
            kind: RunErrorKind::Cancelled | RunErrorKind::Draining | RunErrorKind::Timeout,
            ..
        })
    );
    if !dropped {
        registration.settle();
    }
}

/// The outcome as a metrics label.
pub(super) fn outcome_label(outcome: &Outcome) -> &'static str {
    match outcome {
        Ok(answer) => answer.ending.as_str(),
        Err(error) => error.code(),
    }
}
