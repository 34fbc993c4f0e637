//! Letting a run in, joining equal ones, and holding it to its time.

use std::sync::{Arc, OnceLock};

use mc_client::idempotency::RunKey;
use service::otel::{Side, Span};
use service::trace::TraceId;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;
use uuid::Uuid;

use super::driver::RunDriver;
use super::finalizer::RunFinalizer;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::EventSink;
use crate::run::registry::{Joined, Outcome, Registration, RunHandle};
use crate::run::request::{RunRequest, fingerprint};
use crate::state::App;

/// Answers a `send`. With a key the run goes on to its end even if the caller goes away, so that a
/// repeat finds the reply; without one it is dropped with the caller.
pub async fn send(app: &App, request: RunRequest, trace: TraceId) -> Outcome {
    let Some(key) = request.key.clone() else {
        return execute(app, request, trace, EventSink::disabled()).await;
    };
    let sender = match join(app, &key, &request).await? {
        Place::Done(outcome) => return outcome,
        Place::First(sender) => sender,
    };
    let outcome = sender.subscribe();
    let app = app.clone();
    let tracker = app.runs.tracker().clone();
    tracker.spawn(async move {
        let lead = Lead { app: app.clone(), key, sender };
        let outcome = execute(&app, request, trace, EventSink::disabled()).await;
        lead.sender.send_replace(Some(outcome));
    });
    // Nothing but a panic ends it without an outcome.
    wait_for(outcome).await.unwrap_or_else(|| Err(RunError::new(RunErrorKind::Internal)))
}

/// Runs a `stream`. The future lives and dies with its reader. A key that is already being worked
/// on is not run twice: its result is waited for.
pub async fn stream(app: &App, request: RunRequest, trace: TraceId, sink: EventSink) -> Outcome {
    let Some(key) = request.key.clone() else {
        return execute(app, request, trace, sink).await;
    };
    match join(app, &key, &request).await? {
        Place::Done(outcome) => outcome,
        Place::First(sender) => {
            let lead = Lead { app: app.clone(), key, sender };
            let outcome = execute(app, request, trace, sink).await;
            lead.sender.send_replace(Some(outcome.clone()));
            outcome
        }
    }
}

/// What a request with a key finds.
enum Place {
    /// Another request with the key has done it.
    Done(Outcome),
    /// This one does it, and tells the others.
    First(watch::Sender<Option<Outcome>>),
}

/// Waits for the run with this key, or takes its place, also when the one that was waited for was
/// dropped with its own caller.
async fn join(app: &App, key: &RunKey, request: &RunRequest) -> Result<Place, RunError> {
    // What a run that is taken up was asked stands in its journal; whatever is sent with it is not
    // another request.
    let fingerprint = (!request.resumed).then(|| fingerprint(request));
    loop {
        match app.runs.join(key, fingerprint.as_deref())? {
            Joined::First(sender) => return Ok(Place::First(sender)),
            Joined::Other(outcome) => {
                if let Some(outcome) = wait_for(outcome).await {
                    return Ok(Place::Done(outcome));
                }
            }
        }
    }
}

/// The one that works on a key. However it ends, also when it is dropped or panics, the key is
/// free again and those who wait learn of it.
struct Lead {
    app: App,
    key: RunKey,
    sender: watch::Sender<Option<Outcome>>,
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.app.runs.release_key(&self.key);
    }
}

/// The outcome; nothing when the run was dropped before it had one.
async fn wait_for(mut outcome: watch::Receiver<Option<Outcome>>) -> Option<Outcome> {
    outcome.wait_for(Option::is_some).await.ok()?.clone()
}

/// Works on a run to its end. Every log line of it bears its ids.
async fn execute(app: &App, request: RunRequest, trace: TraceId, sink: EventSink) -> Outcome {
    let run_id = Uuid::now_v7().to_string();
    let role = request.session.role();
    // Also where only errors are logged: their lines need the ids most.
    let named = tracing::error_span!("run", run_id, trace_id = %trace, %role);
    // On the heap from here on: what callers hold, and move about, stays small.
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
    let finalizer = RunFinalizer::new(handle.clone(), app.runs.tracker().clone());
    let role = request.session.role().clone();
    let mut span = Span::of_request(&trace, Side::Internal, || format!("invoke_agent {role}"));
    span.set("gen_ai.operation.name", "invoke_agent");
    span.set("gen_ai.agent.name", role.to_string());
    span.set("wombat.run_id", handle.run_id.clone());
    let driver = RunDriver {
        app,
        request: &request,
        handle: &handle,
        run_key: &run_key,
        trace: &trace,
        span: &span,
        sink: &sink,
        deadline,
        finalizer: &finalizer,
        fingerprint: OnceLock::new(),
    };
    let result = tokio::select! {
        result = timeout_at(deadline, Box::pin(driver.run())) => match result {
            Ok(result) => result,
            Err(_) => Err(RunError::new(RunErrorKind::Timeout)),
        },
        why = handle.stopped() => Err(RunError::new(why)),
    };
    // A backend or a model that was given up because the run's time is over is a time-out.
    let result = result.map_err(|error| {
        let ran_out = Instant::now() >= deadline && error.kind != RunErrorKind::Cancelled;
        if ran_out { RunError { kind: RunErrorKind::Timeout, ..error } } else { error }
    });
    describe(&mut span, &handle, &result);
    finalizer.finish(&result).await;
    settle(&mut registration, &result);
    let outcome = result.map(Arc::new);
    let role = request.session.role();
    let is_known = app.workspace.snapshot().agents().iter().any(|agent| agent.role == *role);
    app.metrics.run(is_known.then_some(role.as_str()), outcome_of(&outcome), started.elapsed());
    app.webhooks.send(&request, &handle, &outcome);
    outcome
}

/// What the run's span tells of its end.
fn describe(
    span: &mut Span,
    handle: &RunHandle,
    result: &Result<crate::run::answer::RunAnswer, RunError>,
) {
    let tally = handle.meter.read();
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    span.set("gen_ai.usage.input_tokens", count(tally.usage.prompt_tokens));
    span.set("gen_ai.usage.output_tokens", count(tally.usage.completion_tokens));
    match result {
        Ok(answer) => {
            span.set("gen_ai.conversation.id", answer.task_id.clone());
            span.succeed();
        }
        Err(error) => span.fail(error.code()),
    }
}

/// Books the end of a run and says it once.
fn settle(
    registration: &mut Registration,
    result: &Result<crate::run::answer::RunAnswer, RunError>,
) {
    match result {
        Ok(answer) => tracing::info!(
            task_id = answer.task_id,
            tools = answer.steps.len(),
            tokens = answer.usage.total_tokens,
            ending = answer.ending.as_str(),
            pending_approvals = answer.tool_requests().len(),
            "run completed"
        ),
        Err(error) => tracing::warn!(
            reason = ?error.kind,
            cause = error.cause,
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

/// How a run ended, in few words.
fn outcome_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Ok(answer) => answer.ending.as_str(),
        Err(error) => error.code(),
    }
}
