//! Serves `/livez` and `/metrics`, for an orchestrator and for Prometheus, and webhooks.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use secrecy::SecretString;
use service::listen::{self, Limits};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::hooks::Hooks;
use crate::metrics::Metrics;

/// Serves until `stop`; webhooks where there is somebody to receive them.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    token: Option<SecretString>,
    hooks: Option<Arc<Hooks>>,
    stop: CancellationToken,
) {
    let text = move |headers: HeaderMap| async move {
        let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        if token.is_some_and(|token| !service::bearer::matches(given, &token)) {
            return (
                StatusCode::UNAUTHORIZED,
                "the bearer token in Authorization is missing or wrong\n",
            )
                .into_response();
        }
        ([(CONTENT_TYPE, service::metrics::CONTENT_TYPE)], metrics.render()).into_response()
    };
    let mut router =
        Router::new().route("/livez", get(|| async { "ok\n" })).route("/metrics", get(text));
    if let Some(hooks) = hooks {
        router = router.merge(hooks.router());
    }
    listen::serve(listener, Limits::default(), move |_| router.clone(), None, stop).await;
}
