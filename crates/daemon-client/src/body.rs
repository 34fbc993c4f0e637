//! Reads answers within their bounds, and makes values or errors of them.

use std::time::{Duration, SystemTime};

use reqwest::{RequestBuilder, Response};
use retry::retry_after;
use serde::de::DeserializeOwned;

use crate::error::{DaemonError, is_page};

/// How much of an error's body is read, bytes. It holds what a failed run has produced.
const MAX_ERROR_BYTES: usize = 8 * 1024 * 1024;

/// Makes a call that has a timeout, and reads its answer, of at most `max_bytes`.
pub(crate) async fn read<T: DeserializeOwned>(
    call: RequestBuilder,
    after: Duration,
    max_bytes: usize,
) -> Result<T, DaemonError> {
    let response = call.send().await.map_err(|error| DaemonError::of_transport(&error, after))?;
    let status = response.status();
    if !status.is_success() {
        return Err(failure(response, after).await);
    }
    let wait = retry_after(response.headers(), SystemTime::now());
    let (body, is_whole) = collect(response, max_bytes)
        .await
        .map_err(|error| DaemonError::of_transport(&error, after))?;
    if is_page(&body) {
        return Err(DaemonError::in_between(status, &body, wait));
    }
    if !is_whole {
        let cause = format!("it is larger than {max_bytes} bytes");
        return Err(DaemonError::BadAnswer { cause });
    }
    serde_json::from_slice(&body)
        .map_err(|error| DaemonError::BadAnswer { cause: error.to_string() })
}

/// The error that an answer stands for which is no success.
pub(crate) async fn failure(response: Response, after: Duration) -> DaemonError {
    let status = response.status();
    let wait = retry_after(response.headers(), SystemTime::now());
    match collect(response, MAX_ERROR_BYTES).await {
        Ok((body, _)) => DaemonError::of_answer(status, &body, wait),
        Err(error) => DaemonError::of_transport(&error, after),
    }
}

/// The beginning of a body, and whether that is all of it.
async fn collect(
    mut response: Response,
    max_bytes: usize,
) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > max_bytes {
            body.extend_from_slice(&chunk[..max_bytes - body.len()]);
            return Ok((body, false));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, true))
}
