//! Callers who wait for a detached run, over whatever protocol: they hear what it tells and get its
//! outcome, and their leaving changes nothing.

use std::time::Duration;

use service::trace::TraceId;
use tokio::sync::mpsc;

use super::detach::{Accepted, detach};
use super::follow::{Follower, Item};
use super::launch::{execute, wait_for};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::{EventSink, RunEvent};
use crate::run::failure::Failure;
use crate::run::feed::Feed;
use crate::run::registry::Outcome;
use crate::run::request::RunRequest;
use crate::run::standing::Standing;
use crate::state::App;

/// How much waits for a caller that awaits nothing but the end.
const BUFFER: usize = 64;

/// Runs a request without the caller, and waits for its end with the caller.
pub(super) async fn attend(
    app: &App,
    request: RunRequest,
    trace: TraceId,
    sink: EventSink,
) -> Outcome {
    let accepted = detach(app, request.clone(), trace.clone()).await?;
    let key = &accepted.run_key;
    let (feed, outcome) = (app.feeds.of(key), app.runs.outcome_of(key));
    if let (Some(feed), Some(outcome)) = (feed, outcome) {
        forward(&feed, &accepted, &trace, &sink).await;
        if let Some(outcome) = wait_for(outcome).await {
            return outcome;
        }
    }
    elsewhere(app, request, trace, &accepted, sink).await
}

/// Forwards what the run tells here, to its end.
async fn forward(feed: &Feed, accepted: &Accepted, trace: &TraceId, sink: &EventSink) {
    let start = || RunEvent::Start {
        run_id: accepted.run_id.clone(),
        task_id: accepted.task_id.clone(),
        trace_id: trace.to_string(),
        run_key: accepted.run_key.as_str().to_owned(),
    };
    sink.send(start).await;
    let (mut watched, mut seen) = (feed.watch(), 0);
    loop {
        let progress = *watched.borrow_and_update();
        for told in feed.after(seen) {
            seen = told.id;
            sink.send(|| told.event).await;
        }
        if progress.is_over || watched.changed().await.is_err() {
            return;
        }
    }
}

/// The outcome of a run that another instance has, or had.
async fn elsewhere(
    app: &App,
    request: RunRequest,
    trace: TraceId,
    accepted: &Accepted,
    sink: EventSink,
) -> Outcome {
    let backend = |error| RunError::backend(&error);
    let session = &request.session;
    let client = app.backend.agent(session.user().as_str(), session.role().as_str());
    let client = client.map_err(backend)?.with_trace(&trace.traceparent());
    let capabilities = app.backend.capabilities(&trace.traceparent()).await.map_err(backend)?;
    let (out, mut items) = mpsc::channel(BUFFER);
    let key = accepted.run_key.clone();
    let follower = Follower::new(app.clone(), client, key.clone(), capabilities, Some(0), out);
    let follower = tokio::spawn(follower.run());
    let _follower = tokio_util::task::AbortOnDropHandle::new(follower);
    let run = loop {
        match items.recv().await {
            Some(Item::Line(_)) => {}
            Some(Item::Over(run)) => break run,
            Some(Item::Stalled) => return Err(RunError::new(RunErrorKind::Stalled)),
            None => return Err(RunError::new(RunErrorKind::Draining)),
        }
    };
    match Standing::of(&run) {
        Standing::Cancelled => Err(RunError::new(RunErrorKind::Cancelled)),
        Standing::Failed => {
            let failure = Failure::of(&run);
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
            // Its reply, or what it waits for, is read from the backend; no model is called.
            let request = RunRequest { key: Some(key), detached: false, ..request };
            execute(app, request, trace, sink).await
        }
    }
}
