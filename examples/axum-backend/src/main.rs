//! A small axum application with Wombat beside it: schools that families search and visit.

mod auth;
mod error;
mod extract;
mod mission_control;
mod schools;
mod store;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::auth::Gate;
use crate::error::ApiError;
use crate::store::Store;

/// What all requests share. Cheap to clone.
#[derive(Clone)]
struct App {
    gate: Arc<Gate>,
    store: Arc<Store>,
}

#[derive(OpenApi)]
#[openapi(info(title = "Schools", version = "1"))]
struct Document;

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let setting = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let gate = Gate::new(setting("AGENT_JWT_SECRET"), setting("INTERNAL_API_TOKEN"))?;
    let app = App { gate: Arc::new(gate), store: Arc::default() };
    let port = setting("PORT").unwrap_or_else(|| "8000".to_owned()).parse::<u16>()?;
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .map_err(|error| format!("port {port}: {error} (PORT chooses another)"))?;
    tracing::info!("listening on http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    axum::serve(listener, router(app)).with_graceful_shutdown(stop).await?;
    Ok(())
}

fn router(app: App) -> Router {
    // What agents may call by name is described; the daemon reads it at /openapi.json.
    let (schools, document) =
        OpenApiRouter::with_openapi(Document::openapi()).merge(schools::router()).split_for_parts();
    Router::new()
        .nest("/api/mission-control", mission_control::router())
        .merge(schools)
        .route("/openapi.json", get(async || Json(document)))
        .route("/healthz", get(async || "ok"))
        .fallback(async || ApiError::not_found("endpoint"))
        .method_not_allowed_fallback(async || {
            let code = "method_not_allowed";
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, code, "not with this method")
        })
        .with_state(app)
}
