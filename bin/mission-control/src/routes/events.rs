//! Events as they happen: server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! A stream reads the next events from the database when its connection has room for them, so a
//! slow reader costs one batch of memory.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::stream::unfold;
use http::{HeaderMap, HeaderName, StatusCode, header};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::App;
use crate::auth::Listener;
use crate::error::ApiError;
use crate::places::{Full, MAX_STREAMS, StreamPlace};
use crate::store::events::Event;

/// How often a comment is sent while nothing happens, so that proxies keep the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How many events are read at a time.
const BATCH: u32 = 100;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// An open stream.
struct Reader {
    app: App,
    user_id: Option<String>,
    role: Option<String>,
    format: EventFormat,
    /// The last event that was sent.
    after: i64,
    changes: watch::Receiver<()>,
    /// When its token ends.
    until: Option<Instant>,
    greeted: bool,
    _place: StreamPlace,
}

/// The event after which the stream begins.
async fn start(app: &App, headers: &HeaderMap) -> Result<i64, ApiError> {
    let last = app.store.last_event().await?;
    let Some(seen) = headers.get(LAST_EVENT_ID) else { return Ok(last) };
    let seen = seen.to_str().ok().map(str::trim).unwrap_or_default();
    if seen.is_empty() {
        return Ok(last);
    }
    let seen = seen.parse::<i64>().ok().filter(|seen| *seen >= 0);
    let seen = seen.ok_or_else(|| ApiError::field("Last-Event-ID", "is not an id of an event"))?;
    // A larger number than the last is another database's: begin with what comes next.
    Ok(seen.min(last))
}

/// The form of an event on the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventFormat {
    /// With its kind as the event's name.
    Named,
    /// Without a name, so that a browser's script gets all kinds as messages.
    Plain,
}

pub(super) async fn listen(
    State(app): State<App>,
    listener: Listener,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    stream(app, listener, &headers, EventFormat::Named).await
}

/// The response with a listener's event stream.
pub(crate) async fn stream(
    app: App,
    listener: Listener,
    headers: &HeaderMap,
    format: EventFormat,
) -> Result<Response, ApiError> {
    let (user_id, agent) = (listener.user_id.as_deref(), listener.agent.as_deref());
    let place = app.streams.take(user_id, agent).map_err(|full| match full {
        Full::Own => {
            let text = format!("{MAX_STREAMS} event streams of this role are open; close one");
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", text)
        }
        Full::All => {
            let text = "too many event streams are open";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", text)
        }
    })?;
    let changes = app.store.changes();
    let after = start(&app, headers).await?;
    // A token that ends later than time can be counted has no end here.
    let until = listener.expires_at.and_then(|expires_at| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Instant::now().checked_add(Duration::from_secs(expires_at).saturating_sub(now))
    });
    let reader = Reader {
        app,
        user_id: listener.user_id,
        role: listener.role,
        format,
        after,
        changes,
        until,
        greeted: false,
        _place: place,
    };
    let body = unfold(reader, |mut reader| async move {
        let chunk = reader.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(chunk)), reader))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

impl Reader {
    /// The next chunk to send; `None` when the stream ends.
    async fn next(&mut self) -> Option<String> {
        // A browser counts a stream as open once the first bytes arrive.
        if !self.greeted {
            self.greeted = true;
            return Some(": connected\n\n".to_owned());
        }
        loop {
            let stop = self.app.shutdown.clone();
            if stop.is_cancelled() || self.until.is_some_and(|until| until <= Instant::now()) {
                return None;
            }
            // Marked as seen before reading: a write during the read wakes us again.
            self.changes.borrow_and_update();
            let (user_id, role) = (self.user_id.as_deref(), self.role.as_deref());
            // A reader whose stream ends reconnects and resumes after its last event.
            let events = self.app.store.events_after(user_id, role, self.after, BATCH).await;
            let events = events.inspect_err(|error| {
                tracing::error!(error = error as &dyn std::error::Error, "event stream ended");
            });
            let events = events.ok()?;
            if let Some(last) = events.last() {
                self.after = last.id;
                return Some(text(&events, self.format));
            }
            let until = self.until;
            tokio::select! {
                () = stop.cancelled() => return None,
                () = async { match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                } } => return None,
                changed = self.changes.changed() => changed.ok()?,
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(": keep-alive\n\n".to_owned()),
            }
        }
    }
}

/// Events as text of the stream. Neither the JSON nor the kinds contain line breaks.
fn text(events: &[Event], format: EventFormat) -> String {
    events.iter().fold(String::new(), |mut out, Event { id, kind, data }| {
        // Writing to a string cannot fail.
        let _infallible = match format {
            EventFormat::Named => write!(out, "id: {id}\nevent: {kind}\ndata: {data}\n\n"),
            EventFormat::Plain => write!(out, "id: {id}\ndata: {data}\n\n"),
        };
        out
    })
}
