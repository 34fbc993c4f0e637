//! Server-sent events: the daemon's own event stream, and what the streams of all protocols share.

use std::convert::Infallible;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use daemon_api::StreamEvent;
use futures::{Stream, StreamExt as _};
use http::{HeaderValue, header};
use serde_json::Value;
use service::trace::TraceId;
use tokio::time::{Instant, Sleep, sleep};

use super::error::ApiError;
use super::run_stream::{RunStream, RunUpdate};
use crate::run::request::RunRequest;
use crate::state::App;

/// After how much silence a keep-alive comment is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The keep-alive comment.
const KEEP_ALIVE_COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// How many ready events are sent as one chunk of the body.
const BATCH: usize = 64;

/// One event.
#[derive(Debug)]
pub(super) struct Event {
    id: Option<i64>,
    name: Option<&'static str>,
    data: String,
}

impl Event {
    /// An event without a name.
    pub(super) fn data(data: String) -> Self {
        Self { id: None, name: None, data }
    }

    /// An event with a name.
    pub(super) fn named(name: &'static str, data: String) -> Self {
        Self { id: None, name: Some(name), data }
    }

    /// The end of a detached run, whose answer its journal has.
    pub(super) fn done(mut answer: Value) -> Self {
        answer["type"] = "done".into();
        Self { id: None, name: Some("done"), data: answer.to_string() }
    }

    /// The same event with its id.
    pub(super) fn with_id(self, id: Option<i64>) -> Self {
        Self { id, ..self }
    }

    fn write(&self, out: &mut BytesMut) {
        out.reserve(self.data.len() + 32);
        if let Some(id) = self.id {
            out.put_slice(format!("id: {id}\n").as_bytes());
        }
        if let Some(name) = self.name {
            for part in ["event: ", name, "\n"] {
                out.put_slice(part.as_bytes());
            }
        }
        // A line break would end the field, so each line becomes a field of its own. (JSON has none.)
        let mut rest = self.data.as_bytes();
        while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
            for part in [b"data: ", &rest[..end], b"\n"] {
                out.put_slice(part);
            }
            rest = &rest[end + 1..];
        }
        for part in [b"data: ", rest, b"\n\n"] {
            out.put_slice(part);
        }
    }
}

/// Runs a request and streams its events. A failure before the run starts is a plain error.
pub(super) async fn respond(
    app: App,
    request: RunRequest,
    trace: TraceId,
) -> Result<Response, ApiError> {
    let updates = RunStream::start(app, request, trace).await?;
    Ok(response(updates.map(|update| match update {
        RunUpdate::Event(event) => encode(&event.into()),
        RunUpdate::Done(answer) => encode(&StreamEvent::Done(Box::new(answer.to_wire()))),
        RunUpdate::Failed(error) => encode(&StreamEvent::Error(*error.body)),
    })))
}

/// Events as a response that proxies do not buffer, with keep-alive comments. Events that are ready
/// at the same time are sent as one chunk.
pub(super) fn response(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let (since, timer) = (Instant::now(), Box::pin(sleep(KEEP_ALIVE)));
    let chunks = Chunks { events: Some(Box::pin(events)), since, timer };
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Events as the chunks of a body.
struct Chunks<S> {
    /// The events; `None` after the last one.
    events: Option<Pin<Box<S>>>,
    /// When something was sent last.
    since: Instant,
    /// Fires when a keep-alive may be due. To save work it is not reset for each chunk, only when it
    /// has fired too early.
    timer: Pin<Box<Sleep>>,
}

impl<S: Stream<Item = Event>> Stream for Chunks<S> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(events) = &mut this.events else { return Poll::Ready(None) };
        let mut chunk = BytesMut::new();
        for _ in 0..BATCH {
            match events.as_mut().poll_next(cx) {
                Poll::Ready(Some(event)) => event.write(&mut chunk),
                Poll::Ready(None) => {
                    this.events = None;
                    break;
                }
                Poll::Pending => break,
            }
        }
        if !chunk.is_empty() {
            this.since = Instant::now();
            return Poll::Ready(Some(Ok(chunk.freeze())));
        }
        if this.events.is_none() {
            return Poll::Ready(None);
        }
        loop {
            ready!(this.timer.as_mut().poll(cx));
            let now = Instant::now();
            let is_silent = now >= this.since + KEEP_ALIVE;
            this.since = if is_silent { now } else { this.since };
            this.timer.as_mut().reset(this.since + KEEP_ALIVE);
            if is_silent {
                return Poll::Ready(Some(Ok(KEEP_ALIVE_COMMENT)));
            }
        }
    }
}

/// An event with its name, and its data as JSON.
pub(super) fn encode(event: &StreamEvent<'_>) -> Event {
    match serde_json::to_string(event) {
        Ok(data) => Event { id: None, name: Some(event.name()), data },
        Err(error) => {
            tracing::error!(%error, "event could not be serialised as JSON");
            let data =
                r#"{"type":"error","code":"internal_error","error":"internal error","details":{}}"#;
            Event { id: None, name: Some("error"), data: data.to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;
    use crate::run::events::{RestartReason, RunEvent};

    async fn body_of(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn each_event_is_written_as_documented() {
        let of = |event: RunEvent| encode(&event.into());
        let [run_id, task_id, trace_id, run_key] = ["r", "t", "x", "k"].map(str::to_owned);
        let start = of(RunEvent::Start { run_id, task_id, trace_id, run_key });
        let chunk = of(RunEvent::Chunk { data: "Hi".to_owned(), step: Some(1) });
        let call = of(RunEvent::ToolCall {
            id: "1".to_owned(),
            name: "find".to_owned(),
            arguments: serde_json::json!({ "b": 1, "a": 2 }),
        });
        let result = of(RunEvent::ToolResult {
            id: "1".to_owned(),
            name: "find".to_owned(),
            ok: false,
            duration_ms: 7,
            error: Some("404: none".to_owned()),
        });
        let done = encode(&StreamEvent::Done(Box::new(daemon_api::RunAnswer {
            run_id: "r".into(),
            response: Some("Hi".into()),
            silent: Some(true),
            ..daemon_api::RunAnswer::default()
        })));
        let error = encode(&StreamEvent::Error(*ApiError::not_found().body));
        let reason = RestartReason::Schema;
        let restarted = of(RunEvent::Restarted { step: 3, from: 0, reason });
        for (event, name, data) in [
            (restarted, "restarted", r#"{"type":"restarted","step":3,"from":0,"reason":"schema"}"#),
            (
                start,
                "start",
                r#"{"type":"start","run_id":"r","task_id":"t","trace_id":"x","run_key":"k"}"#,
            ),
            (chunk, "chunk", r#"{"type":"chunk","data":"Hi","step":1}"#),
            (
                call,
                "tool_call",
                r#"{"type":"tool_call","id":"1","name":"find","arguments":{"b":1,"a":2}}"#,
            ),
            (
                result,
                "tool_result",
                r#"{"type":"tool_result","id":"1","name":"find","ok":false,"duration_ms":7,"error":"404: none"}"#,
            ),
            (
                done,
                "done",
                r#"{"status":"ok","run_id":"r","task_id":"","trace_id":"","message_id":null,"response":"Hi","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0,"cached_tokens":0},"cost":{"model":"","inputTokens":0,"outputTokens":0,"inputCost":0.0,"outputCost":0.0,"totalCost":0.0,"currency":"","known":false},"model":null,"provider":null,"finish_reason":null,"steps":[],"workspace_digest":"","silent":true,"type":"done"}"#,
            ),
            (
                error,
                "error",
                r#"{"type":"error","error":"there is no such endpoint","code":"not_found","details":{}}"#,
            ),
        ] {
            let mut written = BytesMut::new();
            event.write(&mut written);
            assert_eq!(written, format!("event: {name}\ndata: {data}\n\n"));
        }
    }

    #[tokio::test]
    async fn what_is_ready_leaves_together_and_in_order() {
        let events = (0..150).map(|n| Event { id: None, name: Some("chunk"), data: n.to_string() });
        let response = response(stream::iter(events));
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut pieces = response.into_body().into_data_stream();
        let (mut count, mut all) = (0, String::new());
        while let Some(piece) = pieces.next().await {
            count += 1;
            all.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
        let expected: String = (0..150).map(|n| format!("event: chunk\ndata: {n}\n\n")).collect();
        assert_eq!((count, all), (3, expected));
    }

    #[tokio::test]
    async fn a_line_break_in_data_begins_no_event() {
        let data = "a\n\nevent: done\rdata: b".to_owned();
        let text = body_of(response(stream::iter([Event::data(data)]))).await;
        assert_eq!(text, "data: a\ndata: \ndata: event: done\ndata: data: b\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_says_that_it_is_alive() {
        let late = stream::once(async {
            tokio::time::sleep(KEEP_ALIVE * 2 + Duration::from_secs(1)).await;
            Event::data("late".to_owned())
        });
        assert_eq!(body_of(response(late)).await, ":\n\n:\n\ndata: late\n\n");
    }
}
