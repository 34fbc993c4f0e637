//! Long results of tools, which belong to a run.

use std::time::Duration;

use axum::Json;
use axum::body::{HttpBody as _, to_bytes};
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use mc_client::files::sha256_hex;

use super::runs::{check_key, of_role};
use crate::app::App;
use crate::auth::{Tenant, Writer};
use crate::error::ApiError;
use crate::extract::{Params, Part, refuse_coding, too_late};
use crate::store::StoreError;
use crate::store::artifacts::NewArtifact;

/// The timeout for all of one to arrive.
const ALL: Duration = Duration::from_secs(60);

/// What is said of it where nobody says what it is.
const TEXT: &str = "text/plain";

/// What keeps it from doing anything where it is opened.
const INERT: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox")),
    (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
];

fn check_hash(sha256: &str) -> Result<(), ApiError> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if sha256.len() == 64 && sha256.bytes().all(is_digit) {
        return Ok(());
    }
    Err(ApiError::field("sha256", "must be 64 hexadecimal digits in lower case"))
}

pub(super) async fn put(
    State(app): State<App>,
    writer: Writer,
    Part(run_key, sha256): Part,
    Query(params): Params,
    request: Request,
) -> Result<Response, ApiError> {
    check_key(&run_key)?;
    check_hash(&sha256)?;
    refuse_coding(request.headers())?;
    let media_type = media_type(request.headers())?;
    let limits = app.config.artifacts;
    let scope = of_role(writer.scope(), &params)?;
    let too_large = || StoreError::ArtifactTooLarge { max_bytes: limits.max_bytes };
    let body = request.into_body();
    // A Content-Length that is too large is refused at once.
    if body.size_hint().lower() > limits.max_bytes {
        return Err(too_large().into());
    }
    let most = usize::try_from(limits.max_bytes).unwrap_or(usize::MAX);
    // One byte more tells that it is too large from a connection that broke.
    let read = tokio::time::timeout(ALL, to_bytes(body, most)).await;
    let bytes = match read.map_err(|_| too_late("the result"))? {
        Ok(bytes) => bytes,
        Err(error) if is_too_large(&error) => return Err(too_large().into()),
        Err(_) => {
            let text = "the connection closed before the result was complete";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "incomplete_body", text));
        }
    };
    if sha256_hex(&bytes) != sha256 {
        return Err(ApiError::field("sha256", "is not that of the body"));
    }
    let text = std::str::from_utf8(&bytes).ok().filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(|| ApiError::field("body", "must be UTF-8 without NUL"))?;
    let new = NewArtifact { run_key: &run_key, sha256: &sha256, media_type: &media_type, text };
    let (artifact, is_new) = app.store.put_artifact(scope, &new, limits).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(artifact)).into_response())
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

fn media_type(headers: &HeaderMap) -> Result<String, ApiError> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(TEXT.to_owned()) };
    let wrong = || ApiError::field("Content-Type", "must be a media type, such as text/plain");
    kind.to_str().ok().and_then(media_type::parse).ok_or_else(wrong)
}

pub(super) async fn get(
    State(app): State<App>,
    tenant: Tenant,
    Part(run_key, sha256): Part,
    Query(params): Params,
) -> Result<Response, ApiError> {
    check_hash(&sha256)?;
    let scope = of_role(tenant.scope(), &params)?;
    let kept = app.store.artifact(scope, &run_key, &sha256).await?;
    let mut headers = HeaderMap::from_iter(INERT);
    let kind = HeaderValue::from_str(&kept.media_type).map_err(|_| ApiError::internal())?;
    headers.insert(header::CONTENT_TYPE, kind);
    Ok((headers, kept.text).into_response())
}
