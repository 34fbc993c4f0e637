//! The daemon over HTTP, as any other client sees it.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Response;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};
use tokio::time::timeout;

use super::error::ChatError;
use super::events::Event;

/// How long a short answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a run may wait for its turn before it begins.
const OPENING: Duration = Duration::from_secs(600);

/// How long a stream may be silent: the daemon says every 15 seconds that it is there.
const SILENCE: Duration = Duration::from_secs(60);

/// The most that is read of a short answer, and of a whole stream, bytes.
const MAX_BODY: usize = 8 * 1024 * 1024;
const MAX_STREAM: usize = 64 * 1024 * 1024;

/// A daemon.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
}

/// A role that can be talked to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Agent {
    /// Its name.
    pub(super) role: String,
    /// The tier of its model.
    pub(super) model_tier: String,
    /// What it may call.
    pub(super) tools: Tools,
}

/// What a role may call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tools {
    /// These, and no others; all when empty.
    pub(super) allow: Vec<String>,
    /// Not these.
    pub(super) deny: Vec<String>,
    /// These after a person has agreed.
    pub(super) approval: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Agents {
    agents: Option<Vec<Agent>>,
}

impl Client {
    /// A client of the daemon at this address.
    pub(super) fn new(url: &str, key: Option<&SecretString>) -> Result<Self, ChatError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let mut value = HeaderValue::from_str(key.expose_secret()).map_err(|_| {
                ChatError::Own("AGENT_DAEMON_API_KEY holds what no header can carry".to_owned())
            })?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-agent-daemon-key"), value);
        }
        let http = service::http::client_builder().default_headers(headers).build();
        let http = http.map_err(|error| ChatError::Own(format!("no HTTP client: {error}")))?;
        Ok(Self { http, url: url.to_owned() })
    }

    /// The roles.
    pub(super) async fn agents(&self) -> Result<Vec<Agent>, ChatError> {
        let (status, body) = self.get("/api/agents").await?;
        if status != 200 {
            return Err(ChatError::of_status(&self.url, status, &body));
        }
        let agents = self.read::<Agents>(&body)?.agents;
        agents.ok_or_else(|| self.no_daemon("it names no roles"))
    }

    /// Whether the daemon finds the thread of a task in the backend; `None` when that cannot be told
    /// now, as when the backend is away.
    pub(super) async fn keeps_thread(&self) -> Result<Option<bool>, ChatError> {
        let (status, body) = self.get("/api/compatibility").await?;
        if status != 200 {
            return Ok(None);
        }
        let compatibility: Value = self.read(&body)?;
        Ok(Some(compatibility["features"]["messages_list"] == true))
    }

    /// Begins a run.
    pub(super) async fn stream(&self, body: &Value) -> Result<Events, ChatError> {
        let call = self.http.post(format!("{}/api/agents/stream", self.url)).json(body).send();
        let response = match timeout(OPENING, call).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(ChatError::of_transport(&self.url, &error)),
            Err(_) => {
                return Err(ChatError::Broken("the run did not get its turn in time".to_owned()));
            }
        };
        let status = response.status().as_u16();
        if status != 200 {
            let body = timeout(PATIENCE, whole(response)).await;
            let body = body.unwrap_or_else(|_| Ok(Vec::new())).unwrap_or_default();
            return Err(ChatError::of_status(&self.url, status, &body));
        }
        let kind = response.headers().get(http::header::CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            return Err(self.no_daemon("its answer is no stream of events"));
        }
        let mut read = 0;
        let pieces = response.bytes_stream().map(move |piece| {
            let piece = piece.map_err(std::io::Error::other)?;
            read += piece.len();
            if read > MAX_STREAM {
                return Err(std::io::Error::other("the answer is larger than any honest one"));
            }
            Ok(piece)
        });
        Ok(Events(Box::pin(SseByteStream::new(Box::pin(pieces)))))
    }

    async fn get(&self, path: &str) -> Result<(u16, Vec<u8>), ChatError> {
        let call = self.http.get(format!("{}{path}", self.url)).timeout(PATIENCE).send();
        let failed = |error| ChatError::of_transport(&self.url, &error);
        let response = call.await.map_err(failed)?;
        Ok((response.status().as_u16(), whole(response).await.map_err(failed)?))
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ChatError> {
        serde_json::from_slice(body).map_err(|_| self.no_daemon("its answer is not a daemon's"))
    }

    fn no_daemon(&self, why: &str) -> ChatError {
        ChatError::NoDaemon { url: self.url.clone(), why: why.to_owned() }
    }
}

/// A body, as much of it as is read.
async fn whole(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_BODY {
            break;
        }
    }
    Ok(body)
}

type Blocks = Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>;

/// The events of a run. Dropping them ends the run.
pub(super) struct Events(Blocks);

impl Events {
    /// The next event; an error event is an error, and so is an end without a last event.
    pub(super) async fn next(&mut self) -> Result<Event, ChatError> {
        loop {
            let block = match timeout(SILENCE, self.0.next()).await {
                Ok(Some(Ok(block))) => block,
                Ok(Some(Err(error))) => return Err(ChatError::Broken(root(&error))),
                Ok(None) => return Err(ChatError::Broken("it ended early".to_owned())),
                Err(_) => {
                    let silence = format!("nothing came for {} seconds", SILENCE.as_secs());
                    return Err(ChatError::Broken(silence));
                }
            };
            let Some(data) = block.data else { continue };
            let event = serde_json::from_str(&data)
                .map_err(|error| ChatError::Broken(format!("an event cannot be read: {error}")))?;
            return match event {
                Event::Error => {
                    Err(ChatError::told(&serde_json::from_str(&data).unwrap_or_default()))
                }
                event => Ok(event),
            };
        }
    }
}

/// The cause of an error that all others come from.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
