//! The runs of this instance that are in flight.

use axum::Json;
use axum::extract::State;
use daemon_api::{ErrorBody, Usage};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::Segment;
use crate::run::answer_json::usage_to_wire;
use crate::state::App;

/// The usage of a cancelled run.
#[derive(Serialize, ToSchema)]
pub(super) struct Cancelled {
    status: &'static str,
    usage: Usage,
    estimated: bool,
}

/// Cancels a run of this instance.
#[utoipa::path(
    delete, path = "/api/agents/runs/{run_id}", tag = "agents",
    params(("run_id" = String, Path, description = "From the answer or the stream's start event.")),
    responses((status = 200, body = Cancelled), (status = 404, body = ErrorBody))
)]
pub(super) async fn cancel(
    State(app): State<App>,
    Segment(run_id): Segment,
) -> Result<Json<Cancelled>, ApiError> {
    let usage = app.runs.cancel(&run_id).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "run_not_found",
            "no such run is in flight in this instance",
        )
    })?;
    Ok(Json(Cancelled { status: "cancelled", usage: usage_to_wire(&usage), estimated: true }))
}
