//! Events as they happen: server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! A stream reads the next events from the database when its connection has room for them, so a
//! slow reader costs one batch of memory.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use futures::stream::unfold;
use http::{HeaderMap, HeaderName, StatusCode, header};
use mc_client::deltas::{RUN_DELTA, RunDelta};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::runs::of_role;
use crate::app::App;
use crate::auth::Listener;
use crate::error::ApiError;
use crate::extract::Params;
use crate::places::{Full, MAX_STREAMS, StreamPlace};
use crate::store::Scope;
use crate::store::audit::{Actor, By};
use crate::store::deltas::Teller;
use crate::store::events::Event;
use crate::store::told::Place;

/// How often a comment is sent while nothing happens, so that proxies keep the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How many events are read at a time.
const BATCH: u32 = 100;

/// How many events of a run are read at a time.
const DELTAS: usize = 256;

/// How often a run is looked at that nobody said anything of.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
    /// The run whose words it gets, too.
    run: Option<Heard>,
    /// When its token ends.
    until: Option<Instant>,
    /// When its token was issued, in milliseconds since 1970.
    issued_at: Option<u64>,
    greeted: bool,
    _place: StreamPlace,
}

/// A run that is listened to.
struct Heard {
    run: Teller,
    run_key: String,
    /// The last of its events that was sent.
    after: i64,
    place: Place,
}

impl Heard {
    /// The run that a query names, from now on.
    async fn start(
        app: &App,
        listener: &Listener,
        params: &HashMap<String, String>,
    ) -> Result<Option<Self>, ApiError> {
        let Some(run_key) = params.get("run_key") else { return Ok(None) };
        let Some(user_id) = &listener.user_id else {
            let why = "needs a user: send X-On-Behalf-Of beside the internal token";
            return Err(ApiError::field("run_key", why));
        };
        let own = listener.agent.as_deref();
        let actor = own.map_or(Actor::Person(user_id), |role| Actor::Agent { user_id, role });
        let scope = Scope { role: listener.role.as_deref(), ..Scope::of(user_id) };
        let scope = of_role(scope.by(By::new(actor)), params)?;
        let run = app.deltas.find(scope, run_key).await?;
        let place = app.deltas.listen(&run);
        // Where its words are kept does not answer: they come once it does, the oldest first.
        let after = app.deltas.last(&run).await.unwrap_or_default();
        Ok(Some(Self { run, run_key: run_key.clone(), after, place }))
    }

    /// What it has told since; `None` if nothing, or where that cannot be read at present.
    async fn next(&mut self, app: &App, user_id: &str, format: EventFormat) -> Option<String> {
        let told = app.deltas.read(&self.run, self.after, DELTAS).await.ok()?;
        self.after = told.events.last()?.id?;
        let delta = RunDelta { run_key: self.run_key.clone(), events: told.events };
        let mut data = serde_json::to_value(delta).ok()?;
        data["type"] = json!(RUN_DELTA);
        data["user_id"] = json!(user_id);
        Some(match format {
            EventFormat::Named => format!("event: {RUN_DELTA}\ndata: {data}\n\n"),
            EventFormat::Plain => format!("data: {data}\n\n"),
        })
    }
}

/// Waits until a run has told something; without one for ever.
async fn told(heard: Option<&mut Heard>) {
    match heard {
        // What others told may have been announced to nobody.
        Some(heard) => {
            let _late = tokio::time::timeout(LOOK_AGAIN, heard.place.changed()).await;
        }
        None => std::future::pending().await,
    }
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
    Query(params): Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = Heard::start(&app, &listener, &params).await?;
    stream_of(app, listener, &headers, EventFormat::Named, run).await
}

/// The response with a listener's event stream.
pub(crate) async fn stream(
    app: App,
    listener: Listener,
    headers: &HeaderMap,
    format: EventFormat,
) -> Result<Response, ApiError> {
    stream_of(app, listener, headers, format, None).await
}

async fn stream_of(
    app: App,
    listener: Listener,
    headers: &HeaderMap,
    format: EventFormat,
    run: Option<Heard>,
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
        run,
        until,
        issued_at: listener.issued_at,
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
    /// Whether the agent's token counts no more, because its user's data was erased.
    fn is_refused(&self) -> bool {
        let user = self.user_id.as_deref().zip(self.issued_at);
        user.is_some_and(|(user_id, issued_at)| self.app.store.is_erased_since(user_id, issued_at))
    }

    /// The next chunk to send; `None` when the stream ends.
    async fn next(&mut self) -> Option<String> {
        // A browser counts a stream as open once the first bytes arrive.
        if !self.greeted {
            self.greeted = true;
            return Some(": connected\n\n".to_owned());
        }
        let keep_alive = Instant::now() + KEEP_ALIVE;
        loop {
            let stop = self.app.shutdown.clone();
            let is_over = self.until.is_some_and(|until| until <= Instant::now());
            if stop.is_cancelled() || is_over || self.is_refused() {
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
            if let (Some(heard), Some(user_id)) = (&mut self.run, user_id) {
                heard.place.seen();
                if let Some(told) = heard.next(&self.app, user_id, self.format).await {
                    return Some(told);
                }
            }
            let until = self.until;
            tokio::select! {
                () = stop.cancelled() => return None,
                () = async { match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                } } => return None,
                changed = self.changes.changed() => changed.ok()?,
                () = told(self.run.as_mut()) => {}
                () = tokio::time::sleep_until(keep_alive) => {
                    return Some(": keep-alive\n\n".to_owned());
                }
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
