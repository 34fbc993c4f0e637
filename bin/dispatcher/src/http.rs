//! `/livez` and `/metrics`, for an orchestrator and for Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Serves until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let text = move || async move {
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
    };
    let router =
        Router::new().route("/livez", get(|| async { "ok\n" })).route("/metrics", get(text));
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}
