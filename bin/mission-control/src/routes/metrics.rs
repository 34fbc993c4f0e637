//! `GET /metrics`, and the middleware that measures.

use std::time::Instant;

use axum::extract::{FromRequestParts as _, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use crate::app::App;
use crate::auth::Internal;
use crate::error::ApiError;
use crate::metrics::Gauges;

/// Counts and times every request.
pub(crate) async fn measure(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let method = request.method().clone();
    let response = next.run(request).await;
    app.metrics.request(route, &method, response.status(), begun.elapsed());
    response
}

/// `GET /metrics`, with `WOMBAT_METRICS_TOKEN` as a bearer token, or the internal token.
pub(crate) async fn show(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    if !is_prometheus(&app, &parts.headers) {
        Internal::from_request_parts(&mut parts, &app).await?;
    }
    let (waiting, oldest) = app.store.queue_depth().await?;
    let listeners = app.streams.open();
    let text = app.metrics.render(Gauges { waiting, oldest, listeners });
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

fn is_prometheus(app: &App, headers: &HeaderMap) -> bool {
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let token = app.config.metrics_token.as_ref();
    token.is_some_and(|token| service::bearer::matches(given, token))
}
