//! Bodies and queries, with every failure in the contract's shape.

use std::collections::{BTreeMap, HashMap};

use axum::extract::{FromRequest, Query, Request};
use http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::App;
use crate::error::ApiError;

/// The largest body.
const MAX_BODY: usize = 2 * 1024 * 1024;

/// The largest page.
const MAX_LIMIT: u32 = 200;

/// The page when nothing is said.
const DEFAULT_LIMIT: u32 = 50;

/// The parameters of a query.
pub(crate) type Params = Query<HashMap<String, String>>;

/// A JSON object: as it came, for the comparison of repeated creates, and typed.
pub(crate) struct Body<T> {
    /// As it came.
    pub raw: Value,
    /// Typed.
    pub value: T,
}

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _app: &App) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_json =
            kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"));
        let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY).await.map_err(|_| {
            ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                "the body has over 2 MiB",
            )
        })?;
        if !is_json && !bytes.is_empty() {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be JSON: set Content-Type: application/json",
            ));
        }
        // A POST that says nothing says an empty object.
        let raw: Value = if bytes.is_empty() {
            Value::Object(Map::new())
        } else {
            serde_json::from_slice(&bytes).map_err(|error| {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "malformed_json",
                    format!("the body is not valid JSON: {error}"),
                )
            })?
        };
        if !raw.is_object() {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "malformed_json",
                "the body must be a JSON object",
            ));
        }
        let value = serde_path_to_error::deserialize(&raw).map_err(|error| {
            let why = error.inner().to_string();
            // serde names a missing field in its text, not in the path.
            let missing =
                why.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
            match missing {
                Some(name) => ApiError::field(name, "is required"),
                None => ApiError::field(&error.path().to_string(), &why),
            }
        })?;
        Ok(Self { raw, value })
    }
}

/// Says that a text must not be blank.
pub(crate) fn require(fields: &[(&str, &str)]) -> Result<(), ApiError> {
    let blank: BTreeMap<_, _> = fields
        .iter()
        .filter(|(_, value)| value.trim().is_empty())
        .map(|(name, _)| ((*name).to_owned(), "must not be empty".to_owned()))
        .collect();
    if blank.is_empty() { Ok(()) } else { Err(ApiError::fields(blank)) }
}

/// `limit` and `cursor`.
pub(crate) fn paging(params: &HashMap<String, String>) -> Result<(u32, Option<i64>), ApiError> {
    let limit = match params.get("limit") {
        None => DEFAULT_LIMIT,
        Some(text) => {
            let limit: u32 =
                text.parse().map_err(|_| ApiError::field("limit", "must be a whole number"))?;
            if limit == 0 {
                return Err(ApiError::field("limit", "must be at least 1"));
            }
            limit.min(MAX_LIMIT)
        }
    };
    let cursor = match params.get("cursor") {
        None => None,
        Some(text) => {
            let place = text.strip_prefix('c').and_then(|text| i64::from_str_radix(text, 36).ok());
            Some(place.ok_or_else(|| ApiError::field("cursor", "is none that was given out"))?)
        }
    };
    Ok((limit, cursor))
}

/// The cursor that leads on from a row.
pub(crate) fn cursor(mut seq: i64) -> String {
    let mut digits = Vec::new();
    while seq > 0 {
        let digit = u32::try_from(seq % 36).unwrap_or_default();
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        seq /= 36;
    }
    std::iter::once('c').chain(digits.into_iter().rev()).collect()
}

/// A whole number of a query.
pub(crate) fn number(
    params: &HashMap<String, String>,
    name: &str,
    default: u32,
    max: u32,
) -> Result<u32, ApiError> {
    match params.get(name) {
        None => Ok(default),
        Some(text) => match text.parse::<u32>() {
            Ok(number) => Ok(number.min(max)),
            Err(_) => Err(ApiError::field(name, "must be a whole number")),
        },
    }
}
