//! x
use axum::response::Response;
use service::trace::TraceId;
use super::error::ApiError;
use crate::run::request::RunRequest;
use crate::state::App;
pub(super) async fn answer(_app: App, _request: RunRequest, _trace: TraceId, _wants_stream: bool) -> Result<Response, ApiError> { Err(ApiError::not_found()) }
