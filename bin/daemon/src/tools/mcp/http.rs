//! The HTTP client of MCP servers: each message is bounded and repaired before the protocol reads it.
//!
//! What comes back is read like rmcp 3.11 does it (`transport/common/reqwest/streamable_http_client.rs`),
//! which bounds bytes alone and parses at once.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use reqwest::Response;
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::streamable_http_client::{
    HttpStatusError, SseError, StreamableHttpClient, StreamableHttpError,
    StreamableHttpPostResponse, StreamableHttpResponseLimits,
};
use serde_json::{Value, json};
use sse_stream_of_rmcp::{Sse, SseStream};

use super::message::{MAX_MESSAGE_BYTES, id_of, readable, refusal, too_long};

/// The session of a server that has one.
const SESSION: &str = "mcp-session-id";

/// How much of an error's body is kept.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How much of an error's body is shown.
const MAX_SHOWN: usize = 256;

type Failure = StreamableHttpError<reqwest::Error>;
type Events = BoxStream<'static, Result<Sse, SseError>>;
type Headers = HashMap<HeaderName, HeaderValue>;

/// How many redirects of one request are followed.
const MAX_REDIRECTS: usize = 5;

/// A client that reads nothing unbounded, and follows redirects within the origin of its server only: its
/// headers are for nobody else.
#[derive(Debug, Clone)]
pub(super) struct BoundedHttp {
    client: reqwest::Client,
    /// Where the server has sent requests for this connection, once it has.
    moved: Arc<OnceLock<Arc<str>>>,
}

impl BoundedHttp {
    pub(super) fn new(client: reqwest::Client) -> Self {
        Self { client, moved: Arc::default() }
    }

    /// The address for a request to the server.
    fn place(&self, uri: Arc<str>) -> Arc<str> {
        self.moved.get().cloned().unwrap_or(uri)
    }

    /// Sends a request, and again where a 307 or 308 (RFC 9110, sections 15.4.8 and 15.4.9) names another
    /// place of the same origin. The first server has not acted on it, says such an answer.
    async fn send(&self, request: reqwest::Request) -> Result<Response, Failure> {
        let mut next = Some(request);
        let mut hops = 0;
        while let Some(request) = next.take() {
            let again = request.try_clone();
            let from = request.url().clone();
            let response = self.client.execute(request).await?;
            let status = response.status();
            if !matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
                if hops > 0 && status.is_success() {
                    let _known = self.moved.set(from.as_str().into());
                }
                return Ok(response);
            }
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.and_then(|to| from.join(to).ok());
            let to = to.ok_or_else(|| unexpected(format!("HTTP {status} without a location")))?;
            let is_bare = to.username().is_empty() && to.password().is_none();
            if to.origin() != from.origin() || !is_bare {
                // The path may hold a key.
                let origin = to.origin().ascii_serialization();
                return Err(unexpected(format!(
                    "HTTP {status}: it redirects to {origin}, which is not followed; if that is right, \
                     write the address there into mcp.json"
                )));
            }
            hops += 1;
            next = again.filter(|_| hops <= MAX_REDIRECTS).map(|mut request| {
                *request.url_mut() = to;
                request
            });
        }
        Err(unexpected(format!("more than {MAX_REDIRECTS} redirects")))
    }
}

impl StreamableHttpClient for BoundedHttp {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let in_session = session_id.is_some();
        let post = |body: &Value| {
            let mut request = self.client.post(self.place(uri.clone()).as_ref());
            request = request.header(ACCEPT, "text/event-stream, application/json").json(body);
            if let Some(token) = &auth_header {
                request = request.bearer_auth(token);
            }
            for (name, value) in &custom_headers {
                request = request.header(name, value);
            }
            if let Some(session) = &session_id {
                request = request.header(SESSION, session.as_ref());
            }
            request.build()
        };
        let body = serde_json::to_value(&message)
            .map_err(|error| unexpected(format!("cannot be written: {error}")))?;
        let response = self.send(post(&body)?).await?;
        let asked = match &message {
            JsonRpcMessage::Request(request) => Some((
                request.id.clone(),
                // A server of an older revision rejects the first question, which is an answer, too.
                !in_session && matches!(request.request, ClientRequest::DiscoverRequest(_)),
            )),
            _ => None,
        };
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => {
                Ok(StreamableHttpPostResponse::Accepted)
            }
            // The session is not known any more, or not here, so nothing was done: a new one is opened, and
            // the message sent once more. The specification has 404 for it, and servers have 400, too
            // (server-everything, examples of @modelcontextprotocol/sdk 1.x). There a question without any
            // effect finds out whether it is the session that is refused, or the message.
            StatusCode::NOT_FOUND if in_session => Err(StreamableHttpError::SessionExpired),
            StatusCode::BAD_REQUEST if in_session => {
                let ping = json!({ "jsonrpc": "2.0", "id": "wombat-session", "method": "ping" });
                // Where that fails, the refusal of the message is still what is known.
                match self.send(post(&ping)?).await.map(|answer| answer.status()) {
                    Ok(StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) => {
                        Err(StreamableHttpError::SessionExpired)
                    }
                    _ => failure(response, asked).await,
                }
            }
            status if !status.is_success() => failure(response, asked).await,
            _ => success(response, asked.map(|(id, _)| id)).await,
        }
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: Headers,
        _: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        self.post_message(uri, message, session_id, auth_header, custom_headers).await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: Headers,
    ) -> Result<(), Failure> {
        self.client.delete_session(self.place(uri), session_id, auth_header, custom_headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: Headers,
    ) -> Result<Events, Failure> {
        let events = self.client.get_stream_with_max_sse_event_size(
            self.place(uri),
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            MAX_MESSAGE_BYTES,
        );
        Ok(repaired(events.await?, None))
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: Headers,
        _: usize,
    ) -> Result<Events, Failure> {
        self.get_stream(uri, session_id, last_event_id, auth_header, custom_headers).await
    }
}

/// Whether the content type is this one, whatever its parameters.
fn is_type(response: &Response, wanted: &str) -> bool {
    let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

/// A message that says why the answer to a request was not read.
fn refused(id: RequestId, why: &str) -> ServerJsonRpcMessage {
    let code = rmcp::model::ErrorCode(super::message::NOT_READ);
    ServerJsonRpcMessage::error(ErrorData::new(code, why.to_owned(), None), Some(id))
}

async fn success(
    response: Response,
    asked: Option<RequestId>,
) -> Result<StreamableHttpPostResponse, Failure> {
    let session =
        response.headers().get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
    if is_type(&response, "text/event-stream") {
        let events = SseStream::from_bytes_stream(bounded(response.bytes_stream())).boxed();
        return Ok(StreamableHttpPostResponse::Sse(repaired(events, asked), session));
    }
    // What answers no request may say anything.
    let Some(id) = asked else { return Ok(StreamableHttpPostResponse::Accepted) };
    if !is_type(&response, "application/json") {
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind.map(|kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
        return Err(StreamableHttpError::UnexpectedContentType(kind));
    }
    let body = read_body(response, MAX_MESSAGE_BYTES).await?;
    let read = body.ok_or_else(too_long);
    let read = read.and_then(|body| readable(&body).map(std::borrow::Cow::into_owned));
    let message = match read {
        Ok(body) => serde_json::from_slice(&body).map_err(|error| {
            let begin = String::from_utf8_lossy(&body[..body.len().min(MAX_SHOWN)]).into_owned();
            unexpected(format!("cannot be read: {error}: {begin:?}"))
        })?,
        Err(why) => refused(id, &why),
    };
    Ok(StreamableHttpPostResponse::Json(message, session))
}

/// An answer that is no success: the protocol's own error, where it is one.
async fn failure(
    response: Response,
    asked: Option<(RequestId, bool)>,
) -> Result<StreamableHttpPostResponse, Failure> {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
    let is_json = is_type(&response, "application/json");
    let is_unauthorized = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let body = read_body(response, MAX_ERROR_BYTES).await.ok().flatten().unwrap_or_default();
    let error = match serde_json::from_slice::<ServerJsonRpcMessage>(&body) {
        Ok(JsonRpcMessage::Error(error)) if is_json && !is_unauthorized => Some(error),
        _ => None,
    };
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_SHOWN)]).into_owned();
    match (asked, error) {
        (Some((id, true)), error) if status.is_client_error() && !is_unauthorized => {
            let why = error.map(|error| error.error);
            let why = why.unwrap_or_else(|| {
                ErrorData::invalid_request(format!("rejected with HTTP {status}: {text}"), None)
            });
            Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::error(why, Some(id)), None))
        }
        (_, Some(error)) if status != StatusCode::TOO_MANY_REQUESTS => {
            Ok(StreamableHttpPostResponse::Json(JsonRpcMessage::Error(error), None))
        }
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(HttpStatusError::new(status.as_u16(), retry_after).into())
        }
        _ => Err(unexpected(format!("HTTP {status}: {text}"))),
    }
}

fn unexpected(why: String) -> Failure {
    StreamableHttpError::UnexpectedServerResponse(why.into())
}

/// The body; nothing when it is longer than `max`.
async fn read_body(response: Response, max: usize) -> Result<Option<Vec<u8>>, Failure> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.try_next().await? {
        if body.len() + chunk.len() > max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Ends a stream with an error where an event is longer than a message may be.
fn bounded(
    chunks: impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static,
) -> BoxStream<'static, std::io::Result<Bytes>> {
    let (mut length, mut is_line_empty) = (0_usize, true);
    let chunks = chunks.map(move |chunk| {
        let chunk = chunk.map_err(std::io::Error::other)?;
        for byte in &chunk {
            match byte {
                // An empty line ends an event.
                b'\n' if is_line_empty => length = 0,
                b'\n' => is_line_empty = true,
                b'\r' => {}
                _ => is_line_empty = false,
            }
            length += 1;
        }
        // The parts of a field that are joined take no more than they do here.
        if length > MAX_MESSAGE_BYTES { Err(std::io::Error::other(too_long())) } else { Ok(chunk) }
    });
    // After an error nothing more is read.
    let mut failed = false;
    let chunks = chunks.take_while(move |chunk| {
        let goes_on = !failed;
        failed = chunk.is_err();
        std::future::ready(goes_on)
    });
    chunks.boxed()
}

/// Events whose messages can be read. `asked` is the request that they answer.
fn repaired(events: Events, asked: Option<RequestId>) -> Events {
    let events = events.map_ok(move |mut event| {
        let Some(data) = &event.data else { return event };
        match readable(data.as_bytes()) {
            Ok(std::borrow::Cow::Borrowed(_)) => {}
            Ok(std::borrow::Cow::Owned(text)) => event.data = String::from_utf8(text).ok(),
            Err(why) => {
                tracing::warn!("a message of an MCP server was skipped: {why}");
                let asked = asked.as_ref().and_then(|id| serde_json::to_value(id).ok());
                let id = id_of(data.as_bytes()).or(asked).unwrap_or(Value::Null);
                event.data = Some(refusal(&id, &why).to_string());
            }
        }
        event
    });
    events.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(chunk: &'static str) -> Result<usize, std::io::Error> {
        let chunks =
            futures::stream::iter((0..20).map(move |_| Ok(Bytes::from(chunk.repeat(100_000)))));
        bounded(chunks).try_fold(0, async |sum, chunk| Ok(sum + chunk.len())).await
    }

    #[tokio::test]
    async fn an_event_is_bounded_and_a_stream_of_events_is_not() {
        for end in ["data: 0123456789\n\n", ": 0123456789\r\n\r\n"] {
            assert_eq!(read(end).await.unwrap(), end.len() * 2_000_000);
        }
        for endless in
            ["data: 0123456789\n", "data: 0123456789\r\n", "0123456789", ": 0123456789\n"]
        {
            let error = read(endless).await.unwrap_err().to_string();
            assert!(error.contains("16 MiB"), "{error}");
        }
    }
}
