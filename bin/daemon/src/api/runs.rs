//! The runs of this instance that are in flight.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use llm::event::Usage;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use super::extract::Segment;
use crate::run::answer::UsageShape;
use crate::state::App;

/// The usage of a cancelled run.
#[derive(Serialize, ToSchema)]
pub(super) struct Cancelled {
    status: &'static str,
    #[schema(value_type = UsageShape)]
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
    Ok(Json(Cancelled { status: "cancelled", usage, estimated: true }))
}
