//! Headers that say who calls, for whom, and which call it is: each comes once, as UTF-8.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::error::ApiError;

/// The headers, with their names as they are written.
const ONCE: [(&str, &str); 7] = [
    ("x-agent-token", "X-Agent-Token"),
    ("x-internal-token", "X-Internal-Token"),
    ("x-on-behalf-of", "X-On-Behalf-Of"),
    ("x-session-fence", "X-Session-Fence"),
    ("idempotency-key", "Idempotency-Key"),
    ("last-event-id", "Last-Event-ID"),
    ("authorization", "Authorization"),
];

/// Refuses a request in which one of them comes twice or is no text: which of two counts, and whose
/// name a byte that is not UTF-8 is part of, differs from program to program.
pub(crate) async fn once(request: Request, next: Next) -> Response {
    match check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check(headers: &HeaderMap) -> Result<(), ApiError> {
    // Most requests have few headers.
    for name in headers.keys() {
        let Some((_, shown)) = ONCE.iter().find(|(known, _)| *known == name.as_str()) else {
            continue;
        };
        let mut values = headers.get_all(name).iter();
        let first = values.next().map(|value| value.as_bytes()).unwrap_or_default();
        let why = if values.next().is_some() {
            "is sent more than once"
        } else if std::str::from_utf8(first).is_err() {
            "is not valid UTF-8"
        } else {
            continue;
        };
        let text = format!("the header {shown} {why}; send it once, as UTF-8 text");
        let error = ApiError::new(StatusCode::BAD_REQUEST, "invalid_header", text);
        return Err(error.with_details(json!({ "header": shown })));
    }
    Ok(())
}

/// The key that makes a write safe to repeat.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Option<&str> {
    // Not `to_str`, which reads ASCII only: a key that is not read is a write that is made twice.
    std::str::from_utf8(headers.get("idempotency-key")?.as_bytes()).ok()
}
