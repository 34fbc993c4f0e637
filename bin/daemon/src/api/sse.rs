//! A run as server-sent events, in the daemon's own form.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _};
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::{Value, json};
use service::trace::TraceId;

use super::error::ApiError;
use super::live::{Live, Told};
use crate::agent::answer::RunAnswer;
use crate::agent::request::RunRequest;
use crate::state::App;

/// How often a silent stream says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Runs a request and tells it live. What goes wrong before the run starts is a plain error.
pub(super) async fn respond(
    app: App,
    request: RunRequest,
    trace: TraceId,
) -> Result<Response, ApiError> {
    let live = Live::start(app, request, trace).await?;
    Ok(response(live.map(|told| {
        Ok(match told {
            Told::Event(event) => encode(event.name(), &event),
            Told::Done(answer) => done(&answer),
            Told::Failed(error) => failure(&error),
        })
    })))
}

/// Events as a response that no proxy holds back and that is never silent for long.
pub(super) fn response(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> Response {
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn done(answer: &RunAnswer) -> Event {
    let mut data = serde_json::to_value(answer).unwrap_or_default();
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
