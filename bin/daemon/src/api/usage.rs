//! Usage and metrics since the start.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;

use crate::run::usage::UsageReport;
use crate::state::App;

/// Model calls, tokens and money since the process started.
#[utoipa::path(get, path = "/usage", tag = "operations", responses((status = 200, body = UsageReport)))]
pub(super) async fn usage(State(app): State<App>) -> Json<UsageReport> {
    Json(app.book.report())
}

/// Metrics for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, content_type = "text/plain", body = String))
)]
pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let text = app.metrics.render(app.runs.in_flight(), &app.workspace.snapshot());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
