//! Extractors of bodies, paths and queries, with every error in the contract's shape.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::app::App;
use crate::error::ApiError;
use crate::store::paging::seq_of;

/// The largest body, in bytes.
const MAX_BODY: usize = 2 * 1024 * 1024;

/// The timeout for a body to arrive.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest size of a page.
const MAX_LIMIT: u32 = 200;

/// The size of a page without `limit`.
const DEFAULT_LIMIT: u32 = 50;

/// The parameters of a query.
pub(crate) type Params = Query<HashMap<String, String>>;

/// A JSON object: as it arrived, to compare repeated creates, and typed.
pub(crate) struct Body<T, const MAX: usize = MAX_BODY> {
    /// Its text.
    pub bytes: Bytes,
    /// As it arrived.
    pub raw: Value,
    /// Typed.
    pub value: T,
}

impl<T: DeserializeOwned, const MAX: usize> FromRequest<App> for Body<T, MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _app: &App) -> Result<Self, ApiError> {
        refuse_coding(request.headers())?;
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_json =
            kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"));
        let bytes = read_body(request.into_body(), MAX).await?;
        if !is_json && !bytes.is_empty() {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be JSON: set Content-Type: application/json",
            ));
        }
        // An empty body counts as an empty object.
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
        let value = deserialize(&raw, "")?;
        Ok(Self { bytes, raw, value })
    }
}

/// Refuses a body that is compressed.
pub(crate) fn refuse_coding(headers: &HeaderMap) -> Result<(), ApiError> {
    let coding = headers.get(header::CONTENT_ENCODING);
    if coding.is_none_or(|coding| coding == "identity") {
        return Ok(());
    }
    let text = "the body must not be compressed: leave Content-Encoding out";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", text))
}

/// Deserialises JSON. `under` is prefixed to the name of a field that is wrong.
pub(crate) fn deserialize<T: DeserializeOwned>(raw: &Value, under: &str) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(raw).map_err(|error| {
        let why = error.inner().to_string();
        // serde names a missing field in its text, not in the path.
        let missing = why.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        match missing {
            Some(name) => ApiError::field(&format!("{under}{name}"), "is required"),
            None => ApiError::field(&format!("{under}{}", error.path()), &why),
        }
    })
}

/// What is said when something did not arrive in time.
pub(crate) fn too_late(what: &str) -> ApiError {
    let text = format!("timeout: {what} did not arrive in time");
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", text)
}

/// Reads a body within its size limit and timeout.
pub(crate) async fn read_body(body: axum::body::Body, max: usize) -> Result<Bytes, ApiError> {
    let too_large = || {
        let text = format!("the body is larger than {max} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", text)
    };
    // A Content-Length that is too large is refused at once.
    if usize::try_from(body.size_hint().lower()).is_ok_and(|size| size > max) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, max)).await;
    let read = read.map_err(|_| too_late("the body"))?;
    read.map_err(|error| {
        let cause = std::error::Error::source(&error);
        match cause.is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
            true => too_large(),
            false => {
                let text = "the connection closed before the body was complete";
                ApiError::new(StatusCode::BAD_REQUEST, "malformed_json", text)
            }
        }
    })
}

/// The id in a path; 404 for text that cannot be one.
pub(crate) struct Id(pub(crate) String);

impl FromRequestParts<App> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, app).await;
        id.map(|Path(id)| Self(id)).map_err(|_| ApiError::not_found("object"))
    }
}

/// An object's id in a path, and the part behind it.
pub(crate) struct Part(pub(crate) String, pub(crate) String);

impl FromRequestParts<App> for Part {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let part = Path::<(String, String)>::from_request_parts(parts, app).await;
        part.map(|Path((id, part))| Self(id, part)).map_err(|_| ApiError::not_found("object"))
    }
}

/// Refuses a blank idempotency key.
pub(crate) fn require_key(key: Option<&str>) -> Result<(), ApiError> {
    key.map_or(Ok(()), |key| require_filled(&[("idempotency_key", key)]))
}

/// Refuses blank texts.
pub(crate) fn require_filled(fields: &[(&str, &str)]) -> Result<(), ApiError> {
    let blank: BTreeMap<_, _> = fields
        .iter()
        .filter(|(_, value)| value.trim().is_empty())
        .map(|(name, _)| ((*name).to_owned(), "must not be empty".to_owned()))
        .collect();
    if blank.is_empty() { Ok(()) } else { Err(ApiError::fields(blank)) }
}

/// Refuses texts that have too many characters: field, text, and how many it may have.
pub(crate) fn require_short(fields: &[(&str, Option<&str>, usize)]) -> Result<(), ApiError> {
    let long: BTreeMap<_, _> = fields
        .iter()
        .filter(|(_, value, most)| value.is_some_and(|value| value.chars().nth(*most).is_some()))
        .map(|(name, _, most)| ((*name).to_owned(), format!("must have at most {most} characters")))
        .collect();
    if long.is_empty() { Ok(()) } else { Err(ApiError::fields(long)) }
}

/// Parses `limit` and `cursor`.
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
            let seq = seq_of(text);
            Some(seq.ok_or_else(|| ApiError::field("cursor", "is not a cursor from next_cursor"))?)
        }
    };
    Ok((limit, cursor))
}

/// Parses a whole number of a query; larger ones count as `max`.
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
