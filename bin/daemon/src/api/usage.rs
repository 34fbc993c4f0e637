//! What was used since the start.

use axum::Json;
use axum::extract::State;

use crate::state::App;
use crate::usage::UsageReport;

/// Model calls, tokens and money since the process started.
#[utoipa::path(get, path = "/usage", tag = "operations", responses((status = 200, body = UsageReport)))]
pub(super) async fn usage(State(app): State<App>) -> Json<UsageReport> {
    Json(app.book.report())
}
