//! A run as server-sent events.
//!
//! The run is a task of its own, so that its time runs and it can be cancelled also while its reader
//! does not read. A reader that goes away drops the body, the body ends the task, and that drops
//! the call of the model.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::{Value, json};
use service::trace::TraceId;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::error::ApiError;
use crate::agent::answer::{RunAnswer, RunError, RunErrorKind};
use crate::agent::events::{EventSink, RunEvent};
use crate::agent::launch;
use crate::agent::request::RunRequest;
use crate::runs::Outcome;
use crate::state::App;

/// How often a silent stream says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Runs a request and tells it live. What goes wrong before the run starts is a plain error.
pub(super) async fn respond(
    app: App,
    request: RunRequest,
    trace: TraceId,
) -> Result<Response, ApiError> {
    let (sink, events) = EventSink::channel();
    let tracker = app.runs.tracker().clone();
    let run = tracker.spawn(async move { launch::stream(&app, request, trace, sink).await });
    let run = Some(AbortOnDropHandle::new(run));
    let mut body = RunBody { run, events, ready: Vec::new(), started: false };
    let first = std::future::poll_fn(|cx| body.poll_events(cx)).await?;
    body.ready = first;
    let mut response =
        Sse::new(body).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

struct RunBody {
    /// The run; `None` once it has ended.
    run: Option<AbortOnDropHandle<Outcome>>,
    events: mpsc::Receiver<RunEvent>,
    /// Events that are still to be sent, the next one last.
    ready: Vec<Event>,
    /// Whether the run has told anything yet.
    started: bool,
}

impl RunBody {
    /// The next events, the very next one last; or the error of a run that never started.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Event>, ApiError>> {
        if let Poll::Ready(Some(event)) = self.events.poll_recv(cx) {
            self.started = true;
            return Poll::Ready(Ok(vec![encode(event.name(), &event)]));
        }
        let Some(run) = &mut self.run else { return Poll::Pending };
        let outcome = match Pin::new(run).poll(cx) {
            Poll::Ready(Ok(outcome)) => outcome,
            // It panicked: nothing else ends it while we hold it.
            Poll::Ready(Err(_)) => Err(RunError::new(RunErrorKind::Internal)),
            // The run may just have told its first event.
            Poll::Pending => {
                return match self.events.poll_recv(cx) {
                    Poll::Ready(Some(event)) => {
                        self.started = true;
                        Poll::Ready(Ok(vec![encode(event.name(), &event)]))
                    }
                    Poll::Ready(None) | Poll::Pending => Poll::Pending,
                };
            }
        };
        self.run = None;
        let mut told = self.drain();
        let untold = !self.started && told.is_empty();
        Poll::Ready(match outcome {
            Err(error) if untold => Err(error.into()),
            outcome => {
                if let (true, Ok(answer)) = (untold, &outcome) {
                    told = retell(answer);
                }
                told.push(last(outcome));
                told.reverse();
                Ok(told)
            }
        })
    }

    fn drain(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok())
            .map(|event| encode(event.name(), &event))
            .collect()
    }
}

impl Stream for RunBody {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(event) = self.ready.pop() {
            return Poll::Ready(Some(Ok(event)));
        }
        if self.run.is_none() {
            return Poll::Ready(None);
        }
        match self.poll_events(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(events)) => {
                self.ready = events;
                Poll::Ready(self.ready.pop().map(Ok))
            }
            // The response has begun, so the error is the stream's last event.
            Poll::Ready(Err(error)) => Poll::Ready(Some(Ok(failure(&error)))),
        }
    }
}

/// A run that somebody else's request has done, told after the fact.
fn retell(answer: &RunAnswer) -> Vec<Event> {
    let start = RunEvent::Start {
        run_id: answer.run_id.clone(),
        task_id: answer.task_id.clone(),
        trace_id: answer.trace_id.clone(),
    };
    let chunk = RunEvent::Chunk { data: answer.response.clone() };
    [start, chunk].iter().map(|event| encode(event.name(), event)).collect()
}

fn last(outcome: Outcome) -> Event {
    match outcome {
        Ok(answer) => done(&answer),
        Err(error) => failure(&error.into()),
    }
}

fn done(answer: &Arc<RunAnswer>) -> Event {
    let mut data = serde_json::to_value(answer.as_ref()).unwrap_or_default();
    if let Value::Object(fields) = &mut data {
        fields.insert("type".to_owned(), json!("done"));
    }
    encode("done", &data)
}

fn failure(error: &ApiError) -> Event {
    let body = &error.body;
    let data = json!({
        "type": "error", "error": body.error, "code": body.code, "details": body.details
    });
    encode("error", &data)
}

/// One event: its name, and its data as one line of JSON.
fn encode(name: &'static str, data: &impl Serialize) -> Event {
    match serde_json::to_string(data) {
        Ok(line) => Event::default().event(name).data(line),
        Err(error) => {
            tracing::error!(%error, "an event could not be written as JSON");
            Event::default().event("error").data(
                r#"{"type":"error","code":"internal_error","error":"internal error","details":{}}"#,
            )
        }
    }
}
