//! Bodies, paths and queries whose failures have the contract's shape.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::App;
use crate::error::ApiError;

/// A JSON object: as it came, for the comparison of repeated creates, and typed.
pub(crate) struct Body<T> {
    pub(crate) raw: Value,
    pub(crate) value: T,
}

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _app: &App) -> Result<Self, ApiError> {
        let raw = read(request).await?;
        if !raw.is_object() {
            return Err(ApiError::invalid("the body must be a JSON object"));
        }
        let value = T::deserialize(&raw).map_err(|error| ApiError::invalid(error.to_string()))?;
        Ok(Self { raw, value })
    }
}

/// The largest body, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// How much of a body that is too large is read and dropped, so that its sender can read the answer: a
/// connection that is closed in the middle of a body loses it.
const MAX_DROPPED: usize = 16 * MAX_BODY;

async fn read(request: Request) -> Result<Value, ApiError> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let is_json = kind.eq_ignore_ascii_case("application/json");
    let mut body = request.into_body();
    let (mut bytes, mut size) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::invalid("the body broke off"))?;
        let data = frame.into_data().unwrap_or_default();
        size = size.saturating_add(data.len());
        if size > MAX_DROPPED {
            break;
        }
        if size <= MAX_BODY {
            bytes.extend_from_slice(&data);
        }
    }
    if size > MAX_BODY {
        let text = format!("the body has over {MAX_BODY} bytes");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", text));
    }
    if !is_json {
        let (status, text) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON");
        return Err(ApiError::new(status, "unsupported_media_type", text));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::invalid(format!("the body is not valid JSON: {error}")))
}

/// The parameters of a query.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, app).await;
        query.map(|Query(params)| Self(params)).map_err(|why| ApiError::invalid(why.body_text()))
    }
}

/// The id in a path. What cannot be one is no object's.
pub(crate) struct Id(pub(crate) String);

impl FromRequestParts<App> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, app).await;
        id.map(|Path(id)| Self(id)).map_err(|_| ApiError::not_found("object"))
    }
}

/// Says which of these texts is empty and must not be.
pub(crate) fn require(fields: &[(&str, Option<&str>)]) -> Result<(), ApiError> {
    match fields.iter().find(|(_, text)| text.is_some_and(|text| text.trim().is_empty())) {
        Some((name, _)) => Err(ApiError::invalid(format!("{name} must not be empty"))),
        None => Ok(()),
    }
}
