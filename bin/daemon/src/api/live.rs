//! A run as it is told while it goes on: what every stream of the API, in whatever protocol, is
//! made of.
//!
//! The run is a task of its own, so that its time runs and it can be cancelled also while its reader
//! does not read. A reader that goes away drops this, and that ends the task and the call of the
//! model.

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

/// How many events are received at once.
const TOGETHER: usize = 64;

/// What is told. Exactly one `Done` or `Failed` is the last.
#[derive(Debug)]
pub(super) enum Told {
    /// Something happened.
    Event(RunEvent),
    /// The run has ended well.
    Done(Arc<RunAnswer>),
    /// The run has failed.
    Failed(ApiError),
}

/// A run that goes on while this is read.
pub(super) struct Live {
    /// The run; `None` once it has ended.
    run: Option<AbortOnDropHandle<Outcome>>,
    events: mpsc::Receiver<RunEvent>,
    /// Events as they are received, several at once; empty in between.
    batch: Vec<RunEvent>,
    /// What is still to be told.
    ready: VecDeque<Told>,
    /// Whether the run has told anything yet.
    started: bool,
}

impl Live {
    /// Starts a run and waits for its first event. What goes wrong before that is a plain error.
    pub(super) async fn start(
        app: App,
        request: RunRequest,
        trace: TraceId,
    ) -> Result<Self, ApiError> {
        let (sink, events) = EventSink::channel();
        let tracker = app.runs.tracker().clone();
        let run = tracker.spawn(async move { launch::stream(&app, request, trace, sink).await });
        let run = Some(AbortOnDropHandle::new(run));
        let mut live =
            Self { run, events, batch: Vec::new(), ready: VecDeque::new(), started: false };
        std::future::poll_fn(|cx| live.poll_told(cx)).await?;
        Ok(live)
    }

    /// Gets what is told next ready; or the error of a run that never started.
    fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ApiError>> {
        if ready!(self.events.poll_recv_many(cx, &mut self.batch, TOGETHER)) > 0 {
            self.started = true;
            self.ready.extend(self.batch.drain(..).map(Told::Event));
            return Poll::Ready(Ok(()));
        }
        // Whoever tells is gone, and so the run has ended, or is about to.
        let Some(run) = &mut self.run else { return Poll::Pending };
        let outcome = match ready!(Pin::new(run).poll(cx)) {
            Ok(outcome) => outcome,
            // It panicked: nothing else ends it while we hold it.
            Err(_) => Err(RunError::new(RunErrorKind::Internal)),
        };
        self.run = None;
        match outcome {
            Err(error) if !self.started => return Poll::Ready(Err(error.into())),
            Err(error) => self.ready.push_back(Told::Failed(error.into())),
            Ok(answer) => {
                if !self.started {
                    self.retell(&answer);
                }
                self.ready.push_back(Told::Done(answer));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn tell(&mut self, event: RunEvent) {
        self.started = true;
        self.ready.push_back(Told::Event(event));
    }

    /// A run that somebody else's request has done, told after the fact.
    fn retell(&mut self, answer: &RunAnswer) {
        self.tell(RunEvent::Start {
            run_id: answer.run_id.clone(),
            task_id: answer.task_id.clone(),
            trace_id: answer.trace_id.clone(),
        });
        self.tell(RunEvent::Chunk { data: answer.response.clone() });
    }
}

impl Stream for Live {
    type Item = Told;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Told>> {
        if let Some(told) = self.ready.pop_front() {
            return Poll::Ready(Some(told));
        }
        if self.run.is_none() {
            return Poll::Ready(None);
        }
        match self.poll_told(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(self.ready.pop_front()),
            // The response has begun, so the error is the last that is told.
            Poll::Ready(Err(error)) => Poll::Ready(Some(Told::Failed(error))),
        }
    }
}
