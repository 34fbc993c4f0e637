//! Middleware before every handler: the trace id, the daemon key, protection against web pages.

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use secrecy::ExposeSecret;
use service::trace::TraceId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::ApiError;
use super::header::{self, DAEMON_KEY};
use crate::state::App;

/// The endpoints that need no key.
const PUBLIC: [&str; 4] = ["/livez", "/readyz", "/health", "/openapi.json"];

const TRACE: HeaderName = HeaderName::from_static("x-trace-id");

/// Assigns a trace to every request, and returns its id with the response; a handler that panics is
/// answered for.
pub(super) async fn trace(mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let trace = TraceId::from_headers(text("x-trace-id"), text("traceparent"));
    let header = HeaderValue::from_str(trace.as_str());
    request.extensions_mut().insert(trace);
    // Not a layer: one that may answer in place of the handler puts each body into two boxes more, and
    // every event of a stream goes through them.
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answer.unwrap_or_else(|_panic| {
        tracing::error!("request handler panicked");
        ApiError::internal().into_response()
    });
    if let Ok(header) = header {
        response.headers_mut().insert(TRACE, header);
    }
    response
}

/// Whether a request may see details. Kept with each request to a public endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It has the daemon key, or comes to a daemon without a key that only this machine reaches.
    Full,
    /// Anybody's.
    Public,
}

/// Rejects requests without the daemon key, where one is set, and those that say twice who they are.
pub(super) async fn key(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match admit(&app, &request) {
        Ok(trust) => {
            request.extensions_mut().insert(trust);
            next.run(request).await
        }
        Err(error) => super::protocol_error(&app, request.uri().path(), error),
    }
}

fn admit(app: &App, request: &Request) -> Result<Trust, ApiError> {
    let headers = request.headers();
    header::check_access(headers)?;
    let is_keyless = app.settings.api_key.is_none();
    if is_keyless && app.settings.host.is_loopback() {
        check_host(request.uri(), headers)?;
    }
    if is_prometheus(app, request) {
        return Ok(Trust::Public);
    }
    if PUBLIC.contains(&request.uri().path()) {
        let is_trusted = match is_keyless {
            true => app.settings.host.is_loopback() && check_origin(headers).is_ok(),
            false => check_key(app, headers).is_ok(),
        };
        return Ok(if is_trusted { Trust::Full } else { Trust::Public });
    }
    check_key(app, headers)?;
    header::check_identity(headers)?;
    Ok(Trust::Full)
}

/// Whether this is a scrape of the metrics with WOMBAT_METRICS_TOKEN.
fn is_prometheus(app: &App, request: &Request) -> bool {
    let given = header::authorization(request.headers());
    let token = app.settings.metrics_token.as_ref();
    request.uri().path() == "/metrics"
        && token.is_some_and(|token| service::bearer::matches(given, token))
}

fn check_key(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(key) = &app.settings.api_key else { return check_origin(headers) };
    let bearer = header::authorization(headers);
    let Some(given) = header::bytes(headers, &DAEMON_KEY) else {
        // Clients of other protocols send a bearer token.
        return match bearer {
            Some(_) if service::bearer::matches(bearer, key) => Ok(()),
            Some(_) => Err(invalid_key()),
            None => Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "missing_daemon_key",
                "the header X-Agent-Daemon-Key is missing",
            )),
        };
    };
    // Comparing hashes in constant time reveals neither the content nor the length of the key.
    let hash = |bytes: &[u8]| Sha256::digest(bytes);
    if bool::from(hash(given).ct_eq(&hash(key.expose_secret().as_bytes()))) {
        return Ok(());
    }
    Err(invalid_key())
}

fn invalid_key() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "invalid_daemon_key",
        "the key in X-Agent-Daemon-Key (or Authorization) is not this daemon's key",
    )
}

/// Whether a host name or address is this machine's own.
fn is_local(host: Option<url::Host<&str>>) -> bool {
    match host {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A fast path for the two host names that nearly all local callers use.
fn is_plainly_local(host: &[u8]) -> bool {
    let port = host.strip_prefix(b"127.0.0.1").or_else(|| host.strip_prefix(b"localhost"));
    port.is_some_and(|port| match port.split_first() {
        None => true,
        Some((mark, digits)) => *mark == b':' && digits.iter().all(u8::is_ascii_digit),
    })
}

/// Whether the value of a Host header names this machine.
fn is_local_host(host: &[u8]) -> bool {
    if is_plainly_local(host) {
        return true;
    }
    let text = std::str::from_utf8(host).ok();
    let url = text.and_then(|host| url::Url::parse(&format!("http://{host}")).ok());
    is_local(url.as_ref().and_then(url::Url::host))
}

/// Rejects DNS rebinding: a web page whose own name was made to resolve to this machine has the same
/// origin for its browser; only the Host header gives it away.
/// A request target with a host of its own counts instead of the header (RFC 9112, section 3.2.2), so
/// both must be local.
fn check_host(target: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let in_header = header::bytes(headers, &HOST);
    let in_target = target.authority().map(|authority| authority.as_str().as_bytes());
    if [in_header, in_target].into_iter().flatten().all(is_local_host) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "foreign_host",
        "without AGENT_DAEMON_API_KEY the daemon serves localhost and loopback addresses only",
    ))
}

/// Rejects requests that a web page makes from a browser on this machine: without a key the daemon
/// serves local programs only.
fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let host = origin.to_str().ok().and_then(|origin| url::Url::parse(origin).ok());
    if is_local(host.as_ref().and_then(url::Url::host)) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "foreign_origin",
        "without AGENT_DAEMON_API_KEY no web page of another origin may call the daemon",
    ))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_for() {
        let broken = axum::routing::get(|| async { panic!("a test's own") as () });
        let router = Router::new().route("/", broken).layer(axum::middleware::from_fn(trace));
        let request = Request::get("/").header("x-trace-id", "t-1").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["x-trace-id"], "t-1");
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "internal_error");
    }
}
