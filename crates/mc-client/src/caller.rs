//! Sending calls: the only way to the backend, with the limits, retries and headers of all calls.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use outbound::SendError;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use crate::backend::Backend;
use crate::call::{Call, Failure, RawResponse};
use crate::error::{McError, erased_ago};
use crate::raw::media_type;
use crate::retry_policy::RetryPolicy;
use crate::token::AgentAuth;

/// The timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The header with the agent token.
const AGENT_TOKEN: HeaderName = HeaderName::from_static("x-agent-token");

/// The header with the internal token.
const INTERNAL_TOKEN: HeaderName = HeaderName::from_static("x-internal-token");

/// The header with the user on whose behalf an internal call is made.
const ON_BEHALF_OF: HeaderName = HeaderName::from_static("x-on-behalf-of");

/// The header with the caller's trace (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The header with the session lease that a write is made under.
const SESSION_FENCE: HeaderName = HeaderName::from_static("x-session-fence");

/// The identity that calls are made with.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    Agent(Arc<AgentAuth>),
    Internal {
        token: SecretString,
        /// The same, to be cut from answers.
        secret: Option<Arc<shown::Secret>>,
        on_behalf_of: Option<String>,
    },
    /// Without any token: for what is public.
    Nobody,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(auth) => write!(f, "user {:?}, role {:?}", auth.user(), auth.role()),
            Self::Internal { on_behalf_of: Some(user), .. } => {
                write!(f, "the internal token on behalf of user {user:?}")
            }
            Self::Internal { on_behalf_of: None, .. } => f.write_str("the internal token"),
            Self::Nobody => f.write_str("a call without a token"),
        }
    }
}

impl Identity {
    /// Who that is, and whether the token is sent as `Authorization: Bearer`, too; an internal token never
    /// has to be.
    fn told(&self) -> (String, bool) {
        let sends_bearer = match self {
            Self::Agent(auth) => auth.token().is_ok_and(|token| token.bearer().is_some()),
            Self::Internal { .. } | Self::Nobody => true,
        };
        (self.to_string(), sends_bearer)
    }
}

/// An identity with the options of its calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) backend: Arc<Backend>,
    pub(crate) identity: Identity,
    pub(crate) traceparent: Option<HeaderValue>,
    pub(crate) deadline: Option<Instant>,
    /// Sent with every write.
    pub(crate) fence: Option<HeaderValue>,
    /// When what these calls belong to has begun, where that ends once the user's data is erased.
    pub(crate) began: Option<SystemTime>,
    /// What of paths and of the backend's words stands in the log of a call that is repeated; all without it.
    pub(crate) log_mask: Option<Arc<dyn shown::LogMask>>,
}

impl Caller {
    /// The role of an agent's token.
    pub(crate) fn role(&self) -> Option<&str> {
        match &self.identity {
            Identity::Agent(auth) => Some(auth.role()),
            Identity::Internal { .. } | Identity::Nobody => None,
        }
    }

    /// The user of an agent's token.
    pub(crate) fn user(&self) -> Option<&str> {
        match &self.identity {
            Identity::Agent(auth) => Some(auth.user()),
            Identity::Internal { .. } | Identity::Nobody => None,
        }
    }

    pub(crate) fn new(backend: Arc<Backend>, identity: Identity) -> Self {
        Self {
            backend,
            identity,
            traceparent: None,
            deadline: None,
            fence: None,
            began: None,
            log_mask: None,
        }
    }

    /// Sends a call and reads its answer as JSON.
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, call: Call) -> Result<T, McError> {
        self.fetch_told(call).await.map(|(read, _)| read)
    }

    /// The same, with the headers of the answer.
    pub(crate) async fn fetch_told<T: DeserializeOwned>(
        &self,
        call: Call,
    ) -> Result<(T, HeaderMap), McError> {
        let answer = self.answer(&call).await.map_err(|failure| failure.error)?;
        if answer.truncated {
            return Err(McError::BadAnswer { cause: "it is too large".to_owned() });
        }
        // Serde would take a list for an object, field by field.
        if answer.body.trim_ascii_start().starts_with(b"[") {
            return Err(McError::BadAnswer { cause: "it is a list, not an object".to_owned() });
        }
        serde_json::from_slice(&answer.body)
            .map(|read| (read, answer.headers))
            .map_err(|error| McError::BadAnswer { cause: error.to_string() })
    }

    /// Sends a call and ignores the body of its answer.
    pub(crate) async fn send(&self, call: Call) -> Result<(), McError> {
        self.answer(&call).await.map(drop).map_err(|failure| failure.error)
    }

    /// Sends a call, with retries. On the heap, so that the futures of callers stay small.
    pub(crate) async fn answer(&self, call: &Call) -> Result<RawResponse, Failure> {
        Box::pin(self.attempts(call)).await
    }

    async fn attempts(&self, call: &Call) -> Result<RawResponse, Failure> {
        let mut failures = 0;
        loop {
            let failure = match self.attempt(call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            failures += 1;
            let wait = self.backend.retry.wait(failures, &failure.error, self.deadline);
            let Some(wait) = wait.filter(|_| call.repeatable) else { return Err(failure) };
            let mask = self.log_mask.as_deref();
            tracing::info!(
                method = %call.method,
                path = %shown::for_log(mask, call.path()),
                error = %shown::for_log(mask, &failure.error.to_string()),
                wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "backend call failed; retrying after a delay"
            );
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, call: &Call) -> Result<RawResponse, Failure> {
        let deadline = Instant::now() + ATTEMPT_TIMEOUT;
        let deadline = self.deadline.map_or(deadline, |own| own.min(deadline));
        let answer = match tokio::time::timeout_at(deadline, self.exchange(call)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(McError::Timeout.into()),
        };
        let is_success = (200..300).contains(&answer.status);
        if is_success && (call.is_foreign || !shown::is_page(None, &answer.body)) {
            return Ok(answer);
        }
        // A page in the place of a success is a login form, say: nothing was read or written.
        let error = match is_success {
            true => McError::in_between(answer.status, &answer.headers, &answer.body),
            false => McError::of_answer(answer.status, &answer.headers, &answer.body)
                .for_caller(|| self.identity.told())
                .at(self.backend.address(&call.path_and_query)),
        };
        Err(Failure { error, answer: Some(answer) })
    }

    /// The retry policy of all calls.
    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        self.backend.retry
    }

    /// Sends a call once and returns its response for reading as a stream without end.
    pub(crate) async fn stream(&self, call: &Call) -> Result<reqwest::Response, McError> {
        let (request, began) = (self.request(call)?, SystemTime::now());
        let begin = async {
            let response = self.backend.http.execute(request).await;
            let response = response.map_err(|error| unsent(&error))?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let headers = response.headers().clone();
            let (body, _) = read_body(response, call).await?;
            let body = self.without_token(body);
            if let (401, Identity::Agent(auth)) = (status.as_u16(), &self.identity) {
                // Whoever listens again does so with another token.
                match erased_ago(401, &body) {
                    Some(ago) => auth.note_erased(SystemTime::now() - ago, began),
                    None => drop(auth.renew(began)),
                }
            }
            Err(McError::of_answer(status.as_u16(), &headers, &body)
                .for_caller(|| self.identity.told())
                .at(self.backend.address(&call.path_and_query)))
        };
        tokio::time::timeout(ATTEMPT_TIMEOUT, begin).await.unwrap_or(Err(McError::Timeout))
    }

    /// Sends a call, and once more where a token is refused that is older than it need be: nothing was done by then.
    /// What began before the user's data was erased is refused for good: nothing of it is to be stored.
    async fn exchange(&self, call: &Call) -> Result<RawResponse, McError> {
        let Identity::Agent(auth) = &self.identity else { return self.exchange_once(call).await };
        if call.is_foreign {
            return self.exchange_once(call).await;
        }
        if self.began.is_some_and(|began| auth.is_erased_since(began)) {
            return Err(McError::user_erased());
        }
        let sent = SystemTime::now();
        let answer = self.exchange_once(call).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let may_try_again = match erased_ago(answer.status, &answer.body) {
            Some(ago) => {
                auth.note_erased(SystemTime::now() - ago, sent);
                self.began.is_none_or(|began| !auth.is_erased_since(began))
            }
            None => self.began.is_none() && auth.renew(sent),
        };
        if may_try_again { self.exchange_once(call).await } else { Ok(answer) }
    }

    async fn exchange_once(&self, call: &Call) -> Result<RawResponse, McError> {
        let response = self.backend.http.execute(self.request(call)?).await;
        let response = response.map_err(|error| unsent(&error))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let (body, truncated) = read_body(response, call).await?;
        let body = self.without_token(body);
        Ok(RawResponse { status, headers, body, truncated })
    }

    /// Removes tokens from an answer that repeats a request, as error pages for developers do: answers
    /// go on to models, logs and traces. Of agent tokens all that were ever sent, as an answer may
    /// repeat an earlier request, of before the token's renewal or of another agent.
    fn without_token(&self, body: Bytes) -> Bytes {
        let clean = match &self.identity {
            Identity::Agent(auth) => auth.sent().cut(&body),
            Identity::Internal { secret, .. } => secret.as_ref().and_then(|it| it.cut(&body)),
            Identity::Nobody => None,
        };
        clean.map_or(body, Bytes::from)
    }

    /// The HTTP request of a call, with the headers of the identity.
    fn request(&self, call: &Call) -> Result<reqwest::Request, McError> {
        let url = self.backend.url(&call.path_and_query)?;
        let mut request = self
            .backend
            .http
            .library()
            .request(call.method.clone(), url)
            .headers(call.headers.clone())
            .header(ACCEPT, call.accept.as_ref());
        match &self.identity {
            Identity::Agent(auth) => {
                let token = auth.token()?;
                request = request.header(AGENT_TOKEN, token.header());
                if let Some(bearer) = token.bearer() {
                    request = request.header(AUTHORIZATION, bearer);
                }
            }
            Identity::Internal { token, on_behalf_of, .. } => {
                request = request.header(INTERNAL_TOKEN, sensitive(token)?);
                if let Some(user_id) = on_behalf_of {
                    request = request.header(ON_BEHALF_OF, user_id.as_bytes());
                }
            }
            Identity::Nobody => {}
        }
        if let Some(traceparent) = &self.traceparent {
            request = request.header(TRACEPARENT, traceparent);
        }
        if let Some(fence) = &self.fence
            && call.method != Method::GET
        {
            request = request.header(SESSION_FENCE, fence);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, call.content_type.as_ref()).body(body.clone());
        }
        request.build().map_err(|error| unreachable_by(&error))
    }
}

async fn read_body(mut response: reqwest::Response, call: &Call) -> Result<(Bytes, bool), McError> {
    let media = call.max_media_bytes.filter(|_| media_type(response.headers()).is_some());
    let most = media.unwrap_or(call.max_bytes);
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable_by(&error))? {
        let room = most - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            if !call.cut_long_answer {
                tracing::warn!(path = call.path(), "answer exceeds the size limit");
            }
            return Ok((body.freeze(), true));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body.freeze(), false))
}

fn sensitive(token: &SecretString) -> Result<HeaderValue, McError> {
    let mut value = HeaderValue::from_str(token.expose_secret()).map_err(|_| {
        McError::BadAnswer { cause: "INTERNAL_API_TOKEN is not a valid header value".to_owned() }
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A transport error in words, without the URL, whose query may contain user data.
fn unreachable_by(error: &reqwest::Error) -> McError {
    lost(error.is_timeout(), std::error::Error::source(error), error.url())
}

/// The same for a request without an answer.
fn unsent(error: &SendError) -> McError {
    lost(error.is_timeout(), error.cause(), error.url())
}

fn lost(
    is_timeout: bool,
    cause: Option<&(dyn std::error::Error + 'static)>,
    url: Option<&Url>,
) -> McError {
    if is_timeout {
        return McError::Timeout;
    }
    match cause.map(shown::cause) {
        Some(cause) if cause.is_tls() => {
            let to =
                url.map(|url| format!(" to {}", shown::url(&url.origin().ascii_serialization())));
            let cause = format!("no secure connection{}: {cause}", to.unwrap_or_default());
            McError::Unreachable { is_tls: true, cause }
        }
        Some(cause) => McError::Unreachable { is_tls: false, cause: cause.to_string() },
        None => McError::Unreachable { is_tls: false, cause: "the connection failed".to_owned() },
    }
}
