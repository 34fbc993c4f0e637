//! All endpoints, and what every request goes through before it reaches one.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::json;
use service::otel::{Side, Span};
use service::trace::TraceId;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::error::ApiError;
use crate::store::owed;
use crate::{board, demo, headers, routes};

/// The endpoints of the contract, and of demo application and page, as configured.
pub(crate) fn router(app: App) -> Router {
    let mut router = routes::router(&app)
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(routes::metrics::show))
        .merge(demo::tools::router());
    if app.config.demo {
        router = router.merge(demo::router());
    }
    if app.config.board {
        router = router.merge(board::router(&app));
    }
    router
        .fallback(|| async {
            ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such endpoint")
        })
        .method_not_allowed_fallback(|| async {
            let text = "this endpoint does not take that method";
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text)
        })
        .layer(middleware::from_fn(settled))
        .layer(middleware::from_fn(traced))
        .layer(middleware::from_fn(headers::once))
        .layer(middleware::from_fn(reject_nul))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), routes::metrics::measure))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(app)
}

/// Answers 404 for a path with U+0000: no id holds one, and PostgreSQL refuses it in a query.
async fn reject_nul(request: Request, next: Next) -> Response {
    if request.uri().path().contains("%00") {
        return ApiError::not_found("object").into_response();
    }
    next.run(request).await
}

/// Answers once all is on disk that the answer depends on.
async fn settled(request: Request, next: Next) -> Response {
    let settled = owed::settled(next.run(request)).await;
    settled.unwrap_or_else(|error| ApiError::from(error).into_response())
}

/// Opens a span in the caller's trace for each call of the API.
async fn traced(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let Some(path) = path.filter(|path| path.starts_with("/api/")) else {
        return next.run(request).await;
    };
    let trace = {
        let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        TraceId::from_headers(text("x-trace-id"), text("traceparent"))
    };
    let method = request.method().to_string();
    let mut span = Span::of_request(&trace, Side::Server, || format!("{method} {path}"));
    span.set("http.request.method", method.clone());
    span.set("http.route", path.clone());
    let response = next.run(request).await;
    let status = response.status();
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.fail(status.as_str().to_owned())
    } else {
        span.succeed()
    }
    response
}

fn panicked(_panic: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    ApiError::internal().into_response()
}

/// Alive as long as it answers: an orchestrator that restarts it would help nobody whose disk is full. What
/// keeps the database from being written is told all the same.
async fn alive(State(app): State<App>) -> Response {
    match app.store.trouble().await {
        None => "ok".into_response(),
        Some(reason) => Json(json!({ "status": "degraded", "reason": reason })).into_response(),
    }
}

async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    app.store.ping().await?;
    Ok("ok")
}
