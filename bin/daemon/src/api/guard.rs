//! Middleware before every handler: the trace id, the daemon key, protection against web pages.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use secrecy::ExposeSecret;
use service::trace::TraceId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::ApiError;
use crate::state::App;

/// The endpoints that need no key.
const PUBLIC: [&str; 4] = ["/livez", "/readyz", "/health", "/openapi.json"];

const KEY: HeaderName = HeaderName::from_static("x-agent-daemon-key");
const TRACE: HeaderName = HeaderName::from_static("x-trace-id");

/// Assigns a trace to every request, and returns its id with the response.
pub(super) async fn trace(mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let trace = TraceId::from_headers(text("x-trace-id"), text("traceparent"));
    let header = HeaderValue::from_str(trace.as_str());
    request.extensions_mut().insert(trace);
    let mut response = next.run(request).await;
    if let Ok(header) = header {
        response.headers_mut().insert(TRACE, header);
    }
    response
}

/// Rejects requests without the daemon key, where one is set.
pub(super) async fn key(State(app): State<App>, request: Request, next: Next) -> Response {
    if PUBLIC.contains(&request.uri().path()) || is_prometheus(&app, &request) {
        return next.run(request).await;
    }
    match check(&app, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => super::protocol_error(&app, request.uri().path(), error),
    }
}

/// Whether this is a scrape of the metrics with WOMBAT_METRICS_TOKEN.
fn is_prometheus(app: &App, request: &Request) -> bool {
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let token = app.settings.metrics_token.as_ref();
    request.uri().path() == "/metrics"
        && token.is_some_and(|token| service::bearer::matches(given, token))
}

fn check(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(key) = &app.settings.api_key else {
        if app.settings.host.is_loopback() {
            check_host(headers)?;
        }
        return check_origin(headers);
    };
    let bearer = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let Some(given) = headers.get(KEY) else {
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
    if bool::from(hash(given.as_bytes()).ct_eq(&hash(key.expose_secret().as_bytes()))) {
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

/// Rejects DNS rebinding: a web page whose own name was made to resolve to this machine has the same
/// origin for its browser; only the Host header gives it away.
fn check_host(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    if is_plainly_local(host.as_bytes()) {
        return Ok(());
    }
    let url = host.to_str().ok().and_then(|host| url::Url::parse(&format!("http://{host}")).ok());
    if is_local(url.as_ref().and_then(url::Url::host)) {
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
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
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
