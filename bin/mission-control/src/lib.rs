//! The reference backend: the Mission Control contract on SQLite or PostgreSQL, with a page for people and a
//! small demo application that agents can work with.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod app;
pub mod auth;
mod board;
pub mod config;
pub mod contract;
mod demo;
pub mod error;
mod extract;
mod login;
mod mentions;
mod metrics;
mod routes;
pub mod settings;
pub mod store;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use service::listen::{self, Limits};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;

pub use crate::config::Config;
pub use crate::login::password::BoardPassword;
pub use crate::login::proxy::ProxyLogin;

use crate::app::App;
use crate::error::ApiError;
use crate::login::Login;
use crate::store::Store;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use service::otel::{Side, Span};
use service::trace::TraceId;

/// How long open connections may take to end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How often what is no longer kept is dropped.
const TIDY_EVERY: Duration = Duration::from_secs(3600);

/// How often what was observed is folded into the metrics' buckets.
const FOLD_EVERY: Duration = Duration::from_secs(5);

/// Why the backend stopped other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database.
    #[error("the database {place} cannot be used: {cause}; {advice}")]
    Database {
        /// Its file, or its server and name.
        place: String,
        /// What a person can do.
        advice: &'static str,
        /// What happened.
        cause: sqlx::Error,
    },
    /// The metrics.
    #[error("the metrics could not be set up: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// The listener.
    #[error("serving failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Serves until told to stop.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let store = Store::open(&config.database).await.map_err(|cause| RunError::Database {
        place: config.database.place(),
        advice: config.database.advice(&cause),
        cause,
    })?;
    let form_token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let login = Arc::new(Login::new(config.board_password.clone(), config.board_proxy.clone()));
    let metrics = Arc::new(metrics::Metrics::new()?);
    let app = App {
        metrics: Arc::clone(&metrics),
        login,
        config: Arc::new(config),
        store: store.clone(),
        shutdown: shutdown.clone(),
        listeners: Arc::new(Semaphore::new(routes::events::MAX_LISTENERS)),
        form_token: form_token.into(),
    };
    tracing::info!("listening on http://{}", listener.local_addr()?);
    let router = router(app);
    let service = move |peer| router.clone().map_request(move |request| from(peer, request));
    let server = listen::serve(listener, Limits::default(), service, shutdown.clone());
    let mut server = std::pin::pin!(server);
    tokio::select! {
        () = &mut server => {}
        never = tidy(&store) => match never {},
        never = store.sync_instances() => match never {},
        never = fold(&metrics) => match never {},
        () = shutdown.cancelled() => {
            if tokio::time::timeout(LAST_ANSWERS, &mut server).await.is_err() {
                tracing::info!("connections that were still open are closed");
            }
        }
    }
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Tells the handlers who calls.
fn from<B>(peer: SocketAddr, mut request: http::Request<B>) -> http::Request<B> {
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

/// Drops now and then what is old, as long as it is polled.
async fn tidy(store: &Store) -> Infallible {
    let mut turn = tokio::time::interval(TIDY_EVERY);
    loop {
        turn.tick().await;
        if let Err(error) = store.forget().await {
            tracing::warn!(%error, "what is old could not be dropped");
        }
    }
}

/// Keeps the metrics small where nobody asks for them.
async fn fold(metrics: &metrics::Metrics) -> Infallible {
    let mut turn = tokio::time::interval(FOLD_EVERY);
    loop {
        turn.tick().await;
        metrics.upkeep();
    }
}

fn router(app: App) -> Router {
    let mut router = routes::router()
        .merge(demo::router())
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(routes::metrics::show));
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
        .layer(axum::middleware::from_fn(traced))
        .layer(axum::middleware::from_fn(without_nul))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(axum::middleware::from_fn_with_state(app.clone(), routes::metrics::measure))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(app)
}

/// Nothing that is kept has U+0000 in its name: PostgreSQL would not even look for it.
async fn without_nul(request: Request, next: Next) -> Response {
    if request.uri().path().contains("%00") {
        return ApiError::not_found("object").into_response();
    }
    next.run(request).await
}

/// Gives each call of the API its span in the caller's trace.
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

async fn alive() -> &'static str {
    "ok"
}

async fn ready(
    axum::extract::State(app): axum::extract::State<App>,
) -> Result<&'static str, ApiError> {
    app.store.ping().await?;
    Ok("ok")
}
