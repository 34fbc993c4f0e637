//! The client: one method for each endpoint.

use std::time::Duration;

use daemon_api::{AgentInfo, Agents, Compatibility, ListedTool, RunningTools, SendRequest};
use http::{HeaderName, HeaderValue, Method};
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::RunAnswer;
use crate::body::{failure, read};
use crate::error::DaemonError;
use crate::retries::RetryPolicy;
use crate::stream::EventStream;

/// The header of the daemon's key.
const DAEMON_KEY: HeaderName = HeaderName::from_static("x-agent-daemon-key");

/// The trace that a call belongs to (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The session that a call is about.
const SESSION: HeaderName = HeaderName::from_static("x-wombat-session");

/// How long a call that starts no run may take.
const INFO_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the body of an error may take to arrive where a call has no deadline as a whole.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer that is read unless [`DaemonClient::with_answer_limit`] says otherwise, bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A daemon, as its callers see it.
#[derive(Debug, Clone)]
pub struct DaemonClient {
    http: reqwest::Client,
    url: String,
    key: Option<HeaderValue>,
    max_answer_bytes: usize,
}

/// How a single call is made.
#[derive(Debug, Clone, Copy)]
pub struct CallOptions<'a> {
    /// The time for the whole answer; of a stream, until it begins.
    pub timeout: Duration,
    /// The W3C `traceparent` that is sent along.
    pub traceparent: Option<&'a str>,
}

/// A key that cannot be sent in an HTTP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("contains characters that an HTTP header cannot carry")]
pub struct InvalidKey;

/// The daemon's key as a header's value, which is never shown in logs.
///
/// # Errors
/// When the key contains characters that a header cannot carry.
pub fn key_header(key: &SecretString) -> Result<HeaderValue, InvalidKey> {
    let mut value = HeaderValue::from_str(key.expose_secret()).map_err(|_| InvalidKey)?;
    value.set_sensitive(true);
    Ok(value)
}

impl DaemonClient {
    /// A client of the daemon at `url`, with its key ([`key_header`]) if it has one. `http` should
    /// limit the time of a connection attempt, and follow no redirects.
    pub fn new(http: reqwest::Client, url: &str, key: Option<HeaderValue>) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self { http, url, key, max_answer_bytes: MAX_ANSWER_BYTES }
    }

    /// Reads no more than this of an answer, bytes; a longer one is [`DaemonError::BadAnswer`].
    #[must_use]
    pub fn with_answer_limit(self, bytes: usize) -> Self {
        Self { max_answer_bytes: bytes, ..self }
    }

    /// The daemon's address, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The roles that can be messaged (`GET /api/agents`); none when the workspace names none,
    /// which means any role.
    ///
    /// # Errors
    /// See [`DaemonError`].
    pub async fn agents(&self) -> Result<Vec<AgentInfo>, DaemonError> {
        Ok(self.get::<Agents>("/api/agents").await?.agents)
    }

    /// How daemon and backend fit together (`GET /api/compatibility`).
    ///
    /// # Errors
    /// See [`DaemonError`]; a backend that is unavailable or does not fit is a status of 503.
    pub async fn compatibility(&self) -> Result<Compatibility, DaemonError> {
        self.get("/api/compatibility").await
    }

    /// The tools that there are, and which roles may call each (`GET /tools`).
    ///
    /// # Errors
    /// See [`DaemonError`]; a daemon of an earlier version answers 404.
    pub async fn tools(&self) -> Result<Vec<ListedTool>, DaemonError> {
        Ok(self.get::<RunningTools>("/tools").await?.tools)
    }

    /// Sends a message and waits for the end of its run (`POST /api/agents/send`).
    ///
    /// # Errors
    /// See [`DaemonError`]. [`DaemonError::BadAnswer`] means that the run succeeded, though its
    /// answer could not be read.
    pub async fn send(
        &self,
        request: &SendRequest<'_>,
        options: &CallOptions<'_>,
    ) -> Result<RunAnswer, DaemonError> {
        let call = self.post("/api/agents/send", request, options).timeout(options.timeout);
        read(call, options.timeout, self.max_answer_bytes).await
    }

    /// Posts a detached run, which is answered as soon as an instance has it (`POST /api/agents/runs`).
    ///
    /// # Errors
    /// See [`DaemonError`].
    pub async fn resume(
        &self,
        request: &SendRequest<'_>,
        options: &CallOptions<'_>,
    ) -> Result<(), DaemonError> {
        let call = self.post("/api/agents/runs", request, options).timeout(options.timeout);
        read::<IgnoredAny>(call, options.timeout, self.max_answer_bytes).await.map(drop)
    }

    /// Looks at a run of a session (`GET /api/agents/runs/{run_key}`): whoever is asked for one that has ended
    /// without any instance tells its webhook.
    ///
    /// # Errors
    /// See [`DaemonError`].
    pub async fn look_at(
        &self,
        (run_key, session_key): (&str, &str),
        options: &CallOptions<'_>,
    ) -> Result<(), DaemonError> {
        let call = self.request(Method::GET, &format!("/api/agents/runs/{run_key}"));
        let call = with_trace(call.header(SESSION, session_key), options).timeout(options.timeout);
        read::<IgnoredAny>(call, options.timeout, self.max_answer_bytes).await.map(drop)
    }

    /// [`DaemonClient::send`], retried where that is safe: when the daemon did nothing yet, or when the request
    /// has an idempotency key, by which a retry finds what the first attempt did.
    ///
    /// # Errors
    /// The last attempt's; see [`DaemonClient::send`].
    pub async fn send_with_retries(
        &self,
        request: &SendRequest<'_>,
        options: &CallOptions<'_>,
        policy: &RetryPolicy,
    ) -> Result<RunAnswer, DaemonError> {
        let has_key = request.idempotency_key.is_some();
        let retry_after = |error: &DaemonError| {
            let is_safe = error.is_retryable() || (has_key && error.is_in_doubt());
            is_safe.then(|| error.retry_after().unwrap_or_default())
        };
        policy.run(async || self.send(request, options).await, retry_after).await
    }

    /// Sends a message and reads its run as it goes on (`POST /api/agents/stream`). Dropping the
    /// stream ends the run.
    ///
    /// # Errors
    /// See [`DaemonError`]: what goes wrong before the run begins.
    pub async fn stream(
        &self,
        request: &SendRequest<'_>,
        options: &CallOptions<'_>,
    ) -> Result<EventStream, DaemonError> {
        let after = options.timeout;
        let call = self.post("/api/agents/stream", request, options).send();
        let response = tokio::time::timeout(after, call)
            .await
            .map_err(|_| DaemonError::Timeout { after })?
            .map_err(|error| DaemonError::of_transport(&error, after))?;
        if !response.status().is_success() {
            let failed = tokio::time::timeout(ERROR_BODY_TIMEOUT, failure(response, after)).await;
            return Err(failed.unwrap_or(DaemonError::Timeout { after: ERROR_BODY_TIMEOUT }));
        }
        EventStream::open(response)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, DaemonError> {
        let call = self.request(Method::GET, path).timeout(INFO_TIMEOUT);
        read(call, INFO_TIMEOUT, self.max_answer_bytes).await
    }

    fn post(
        &self,
        path: &str,
        body: &SendRequest<'_>,
        options: &CallOptions<'_>,
    ) -> RequestBuilder {
        with_trace(self.request(Method::POST, path).json(body), options)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.header(DAEMON_KEY, key),
            None => request,
        }
    }
}

fn with_trace(request: RequestBuilder, options: &CallOptions<'_>) -> RequestBuilder {
    match options.traceparent {
        Some(traceparent) => request.header(TRACEPARENT, traceparent),
        None => request,
    }
}
