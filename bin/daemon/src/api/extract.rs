//! Extractors for body, query and path; every rejection is an [`ApiError`].

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::error::ApiError;
use crate::state::App;

/// The timeout of receiving a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON object.
pub(super) struct JsonObject(pub Map<String, Value>);

impl FromRequest<App> for JsonObject {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        if request
            .headers()
            .get(header::CONTENT_ENCODING)
            .is_some_and(|coding| coding != "identity")
        {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must not be compressed: omit Content-Encoding",
            ));
        }
        if !is_json(request.headers()) {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be JSON: set Content-Type: application/json",
            ));
        }
        let body = read(request, app.settings.max_body_bytes).await?;
        match serde_json::from_slice(&body) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(malformed("the body must be a JSON object")),
            Err(error) => Err(malformed(&format!("the body is not valid JSON: {error}"))),
        }
    }
}

/// Reads a body within the limits of size and time.
async fn read(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let read = timeout(BODY_TIMEOUT, axum::body::to_bytes(request.into_body(), limit)).await;
    let Ok(read) = read else {
        let text = "timeout while receiving the body";
        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", text));
    };
    read.map_err(|error| {
        let too_large = std::error::Error::source(&error)
            .is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>());
        if too_large {
            let text = format!("the body exceeds {limit} bytes (WOMBAT_MAX_BODY_BYTES)");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", text)
        } else {
            malformed("the body is incomplete")
        }
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
