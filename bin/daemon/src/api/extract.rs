//! Extractors for body, query and path; every rejection is an [`ApiError`].

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::error::ApiError;
use crate::run::error::{RunError, RunErrorKind};
use crate::state::App;

/// The timeout of receiving a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// From so many bytes on, a body is read where that holds up nobody else.
const LARGE: usize = 1 << 20;

/// A JSON object.
pub(super) struct JsonObject(pub Map<String, Value>);

impl FromRequest<App> for JsonObject {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        check_headers(request.headers())?;
        let body = read(request, app.settings.max_body_bytes).await?;
        parse(&body).map(Self)
    }
}

/// A JSON object that may hold files in base64, which are not part of the limit on bodies.
pub(super) struct BodyWithFiles {
    /// The object.
    pub(super) object: Map<String, Value>,
    /// Its length as it came, bytes. Without its files it has to be within the limit: whoever reads the
    /// files checks that ([`check_rest`]).
    pub(super) bytes: usize,
    /// To be held until the files are read, and no longer.
    pub(super) place: Place,
}

/// A place among those whose bodies are large. Whoever waits for a run has none: it may take long.
#[derive(Debug, Default)]
pub(super) struct Place {
    _permit: Option<SemaphorePermit<'static>>,
}

#[cfg(test)]
impl From<Map<String, Value>> for BodyWithFiles {
    fn from(object: Map<String, Value>) -> Self {
        let bytes = serde_json::to_vec(&object).unwrap_or_default().len();
        Self { object, bytes, place: Place::default() }
    }
}

/// So many bodies with files are read at the same time: each is held in memory as a whole.
static LARGE_BODIES: Semaphore = Semaphore::const_new(16);

impl FromRequest<App> for BodyWithFiles {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        check_headers(request.headers())?;
        let most = app.settings.max_body_bytes;
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let permit = match length {
            Some(length) if length <= most => None,
            Some(_) | None => match timeout(BODY_TIMEOUT, LARGE_BODIES.acquire()).await {
                Ok(Ok(permit)) => Some(permit),
                Ok(Err(_)) | Err(_) => return Err(RunError::new(RunErrorKind::Overloaded).into()),
            },
        };
        // Some programs write each slash in base64 with a backslash before it.
        let files = app.settings.files.max_base64();
        let limit = most.saturating_add(files).saturating_add(files / 16);
        let body = read(request, limit).await?;
        let bytes = body.len();
        let parsed = match bytes > LARGE {
            true => tokio::task::spawn_blocking(move || parse(&body)).await,
            false => Ok(parse(&body)),
        };
        match parsed.unwrap_or_else(|_| Err(ApiError::internal())) {
            Ok(object) => Ok(Self { object, bytes, place: Place { _permit: permit } }),
            // Whatever it is, it has no files.
            Err(_) if bytes > most => Err(too_large(most, "")),
            Err(error) => Err(error),
        }
    }
}

/// Refuses a body that is too large without the base64 of its files.
pub(super) fn check_rest(app: &App, bytes: usize, base64: usize) -> Result<(), ApiError> {
    let limit = app.settings.max_body_bytes;
    let escaped = base64 / 16;
    if bytes <= limit || bytes.saturating_sub(base64).saturating_sub(escaped) <= limit {
        return Ok(());
    }
    Err(too_large(limit, " without its files"))
}

fn check_headers(headers: &HeaderMap) -> Result<(), ApiError> {
    let why = if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        "the body must not be compressed: omit Content-Encoding"
    } else if !is_json(headers) {
        "the body must be JSON: set Content-Type: application/json"
    } else {
        return Ok(());
    };
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", why))
}

fn parse(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(malformed("the body must be a JSON object")),
        Err(error) => Err(malformed(&format!("the body is not valid JSON: {error}"))),
    }
}

fn too_large(limit: usize, what: &str) -> ApiError {
    let text = format!("the body exceeds {limit} bytes{what} (WOMBAT_MAX_BODY_BYTES)");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", text)
}

/// Reads a body within the limits of size and time.
async fn read(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let read = timeout(BODY_TIMEOUT, axum::body::to_bytes(request.into_body(), limit)).await;
    let Ok(read) = read else {
        let text = "timeout while receiving the body";
        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", text));
    };
    read.map_err(|error| {
        let is_too_large = std::error::Error::source(&error)
            .is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>());
        if is_too_large { too_large(limit, "") } else { malformed("the body is incomplete") }
    })
}

fn malformed(why: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "malformed_json", why)
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    essence.is_some_and(|kind| kind == "application/json" || kind.ends_with("+json"))
}

/// The parameters of a query.
pub(super) struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let read = Query::<T>::from_request_parts(parts, app).await;
        read.map(|Query(value)| Self(value)).map_err(|rejection| bad(&rejection.body_text()))
    }
}

/// The variable part of a path.
pub(super) struct Segment(pub String);

impl FromRequestParts<App> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let read = Path::<String>::from_request_parts(parts, app).await;
        read.map(|Path(value)| Self(value)).map_err(|rejection| bad(&rejection.body_text()))
    }
}

fn bad(why: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_payload", why)
}
