//! `POST /api/agents/can`: whether a role may make a call. Nothing is called.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Extension, State};
use daemon_api::{Can, CanAnswer, ErrorBody};
use service::trace::TraceId;

use super::error::ApiError;
use super::extract::JsonObject;
use super::fields::Fields;
use crate::agent::can::{self, CanError};
use crate::state::App;

impl From<CanError> for ApiError {
    fn from(error: CanError) -> Self {
        match error {
            CanError::Fields(fields) => Self::fields("invalid_payload", fields),
            CanError::Run(error) => error.into(),
        }
    }
}

/// Whether a role of a user may make a call, and by which rule.
#[utoipa::path(
    post, path = "/api/agents/can", tag = "agents", request_body = Can,
    responses(
        (status = 200, body = CanAnswer),
        (status = "4XX", body = ErrorBody),
        (status = "5XX", body = ErrorBody),
    )
)]
pub(super) async fn can(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    JsonObject(body): JsonObject,
) -> Result<Json<CanAnswer>, ApiError> {
    let mut problems = BTreeMap::new();
    let mut fields = Fields::new(&body, "", &mut problems);
    let asked = Can {
        user_id: fields.required_text("user_id"),
        role: fields.required_text("role"),
        call: fields.required_text("call"),
        arguments: fields.object("arguments").cloned(),
        workspace: fields.non_blank_text("workspace"),
    };
    if !problems.is_empty() {
        return Err(ApiError::fields("invalid_payload", problems));
    }
    Ok(Json(Box::pin(can::can(&app, &trace, &asked)).await?))
}
