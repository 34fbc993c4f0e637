//! `GET /api/agents/runs/{run_key}/stream`.

use axum::response::Response;
use daemon_api::StreamEvent;
use futures::stream;
use http::{HeaderMap, StatusCode};
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use serde_json::json;
use service::trace::TraceId;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::detached::backend;
use super::detached_report;
use super::error::ApiError;
use super::header;
use super::sse::{self, Event};
use crate::agent::follow::{Follower, Item, wire};
use crate::run::feed::Reader;
use crate::state::App;

/// The last event that a client has seen (HTML, "server-sent events").
const LAST_EVENT_ID: &str = "last-event-id";
/// How many events wait for a slow reader.
const BUFFER: usize = 64;

/// The id after which the stream begins.
pub(super) fn last_event_id(
    headers: &HeaderMap,
    after: Option<&str>,
) -> Result<Option<i64>, ApiError> {
    let given = match headers.contains_key(LAST_EVENT_ID) {
        true => header::single(headers, LAST_EVENT_ID).map_err(|_| invalid())?,
        false => after.map(str::to_owned),
    };
    let Some(given) = given else { return Ok(None) };
    let id = given.trim().parse::<i64>().ok().filter(|id| *id >= 0);
    id.map(Some).ok_or_else(invalid)
}

fn invalid() -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "invalid_last_event_id",
        "Last-Event-ID (or after) must be the id of an event of this run: a whole number",
    )
    .with_details(json!({ "header": "Last-Event-ID" }))
}

/// Follows a run as a stream of events.
pub(super) async fn follow(
    app: App,
    trace: &TraceId,
    client: AgentClient,
    key: RunKey,
    seen: Option<i64>,
) -> Result<Response, ApiError> {
    let capabilities = app.backend.capabilities(&trace.traceparent()).await;
    let capabilities = capabilities.map_err(|error| backend(&error))?;
    let most = app.settings.background.max_readers;
    let place = app.feeds.read(&key, most).ok_or_else(|| too_many(most))?;
    let (out, items) = mpsc::channel(BUFFER);
    let follower = Follower::new(app, client.clone(), key.clone(), capabilities, seen, out);
    let task = tokio::spawn(follower.run());
    let reading =
        Reading { items, client, key, _place: place, _task: AbortOnDropHandle::new(task) };
    Ok(sse::response(stream::unfold(reading, |mut reading| async move {
        let event = reading.next().await?;
        Some((event, reading))
    })))
}

/// As many read the run here as may.
pub(in crate::api) fn too_many(most: usize) -> ApiError {
    let text = format!(
        "this instance serves {most} streams of this run, as many as it may \
         (WOMBAT_MAX_READERS_PER_RUN); retry later"
    );
    let mut error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", text);
    error.retry_after = Some(std::time::Duration::from_secs(1));
    error
}

struct Reading {
    items: mpsc::Receiver<Item>,
    client: AgentClient,
    key: RunKey,
    _place: Reader,
    _task: AbortOnDropHandle<()>,
}

impl Reading {
    async fn next(&mut self) -> Option<Event> {
        Some(match self.items.recv().await? {
            Item::Line(line) => {
                let (id, event) = wire(line);
                sse::encode(&event).with_id(id)
            }
            Item::Stalled => sse::encode(&StreamEvent::Error(*detached_report::stalled().body)),
            Item::Over(run) => {
                match detached_report::outcome(&self.client, &self.key, &run).await {
                    Ok(answer) => Event::done(answer),
                    Err(error) => sse::encode(&StreamEvent::Error(*error.body)),
                }
            }
        })
    }
}
