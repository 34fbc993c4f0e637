//! Bodies, paths and queries whose failures have the contract's shape.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
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

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let Json(raw) = Json::<Value>::from_request(request, app).await.map_err(refused)?;
        if !raw.is_object() {
            return Err(ApiError::invalid("the body must be a JSON object"));
        }
        let value = T::deserialize(&raw).map_err(|error| ApiError::invalid(error.to_string()))?;
        Ok(Self { raw, value })
    }
}

fn refused(rejection: JsonRejection) -> ApiError {
    let text = rejection.body_text();
    match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(status, "too_large", text),
        status @ StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ApiError::new(status, "unsupported_media_type", text)
        }
        _ => ApiError::invalid(text),
    }
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
