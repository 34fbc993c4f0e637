//! A run as a stream of updates: what every streaming endpoint, of whatever protocol, is made of.
//!
//! The run is a task of its own, so that its timeout and cancellation work even while the client
//! reads nothing. When the client disconnects, the stream is dropped, which aborts the task and the
//! model call.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use service::trace::TraceId;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::error::ApiError;
use crate::agent::launch;
use crate::run::answer::RunAnswer;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::{EventSink, RunEvent};
use crate::run::registry::Outcome;
use crate::run::request::RunRequest;
use crate::state::App;

/// How many events are received in one batch.
const BATCH: usize = 64;

/// One item of the stream. Exactly one `Done` or `Failed` comes, as the last one.
#[derive(Debug)]
pub(super) enum RunUpdate {
    /// Something happened.
    Event(RunEvent),
    /// The run has ended without an error.
    Done(Arc<RunAnswer>),
    /// The run has failed.
    Failed(ApiError),
}

/// A run in flight; dropping it aborts the run.
pub(super) struct RunStream {
    /// The run; `None` once it has ended.
    run: Option<AbortOnDropHandle<Outcome>>,
    events: mpsc::Receiver<RunEvent>,
    /// The buffer of one batch of events; empty in between.
    batch: Vec<RunEvent>,
    /// Updates that have not been taken yet.
    ready: VecDeque<RunUpdate>,
    /// Whether the run has sent anything yet.
    started: bool,
}

impl RunStream {
    /// Starts a run and waits for its first event. A failure before that is a plain error.
    pub(super) async fn start(
        app: App,
        request: RunRequest,
        trace: TraceId,
    ) -> Result<Self, ApiError> {
        let (sink, events) = EventSink::channel();
        let tracker = app.runs.tracker().clone();
        let run = tracker.spawn(async move { launch::stream(&app, request, trace, sink).await });
        let run = Some(AbortOnDropHandle::new(run));
        let mut updates =
            Self { run, events, batch: Vec::new(), ready: VecDeque::new(), started: false };
        std::future::poll_fn(|cx| updates.poll_update(cx)).await?;
        Ok(updates)
    }

    /// Makes the next update ready; fails with the error of a run that never started.
    fn poll_update(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ApiError>> {
        if ready!(self.events.poll_recv_many(cx, &mut self.batch, BATCH)) > 0 {
            self.started = true;
            self.ready.extend(self.batch.drain(..).map(RunUpdate::Event));
            return Poll::Ready(Ok(()));
        }
        // The sink is dropped, so the run has ended or is about to.
        let Some(run) = &mut self.run else { return Poll::Pending };
        let outcome = match ready!(Pin::new(run).poll(cx)) {
            Ok(outcome) => outcome,
            // It panicked: nothing else ends it while this handle exists.
            Err(_) => Err(RunError::new(RunErrorKind::Internal)),
        };
        self.run = None;
        match outcome {
            Err(error) if !self.started => return Poll::Ready(Err(error.into())),
            Err(error) => self.ready.push_back(RunUpdate::Failed(error.into())),
            Ok(answer) => {
                if !self.started {
                    self.replay(&answer);
                }
                self.ready.push_back(RunUpdate::Done(answer));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn push(&mut self, event: RunEvent) {
        self.started = true;
        self.ready.push_back(RunUpdate::Event(event));
    }

    /// The events of a run that another request with the same key has done.
    fn replay(&mut self, answer: &RunAnswer) {
        self.push(RunEvent::Start {
            run_id: answer.run_id.clone(),
            task_id: answer.task_id.clone(),
            trace_id: answer.trace_id.clone(),
            run_key: answer.run_key.clone(),
        });
        self.push(RunEvent::Chunk { data: answer.response.clone(), step: None });
    }
}

impl Stream for RunStream {
    type Item = RunUpdate;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<RunUpdate>> {
        if let Some(update) = self.ready.pop_front() {
            return Poll::Ready(Some(update));
        }
        if self.run.is_none() {
            return Poll::Ready(None);
        }
        match self.poll_update(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(self.ready.pop_front()),
            // The response has begun, so the error is the last update.
            Poll::Ready(Err(error)) => Poll::Ready(Some(RunUpdate::Failed(error))),
        }
    }
}
