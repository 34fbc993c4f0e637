//! The HTTP API (docs/API.md): one file per resource or protocol. Handlers validate and translate;
//! what a run does is in `agent`.

mod a2a;
mod ag_ui;
mod answers;
mod attachments;
mod backend;
mod can;
mod cancelling;
pub(crate) mod cases;
mod children;
mod compact;
mod detached;
mod detached_report;
mod detached_stream;
mod document;
mod error;
mod extract;
mod fields;
mod guard;
mod header;
mod health;
mod llm_task;
mod mcp;
mod openai;
mod options;
mod output;
mod parts;
mod protocol_request;
mod resume;
mod run_stream;
mod send;
mod shapes;
mod sse;
mod untold;
mod usage;
mod workspace;

use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router, middleware};
use http::StatusCode;
use service::forwarded::Prefix;
use tower::ServiceBuilder;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::protocols::Protocol;
use crate::state::App;
pub use error::ApiError;

#[derive(OpenApi)]
#[openapi(info(
    title = "Wombat daemon",
    description = "An agent runtime that works beside your backend."
))]
struct Document;

/// All endpoints, behind the middleware for trace ids, panics and the daemon key.
pub fn router(app: App) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(send::send))
        .routes(routes!(send::stream))
        .routes(routes!(detached::start))
        .routes(routes!(detached::get, cancelling::cancel))
        .routes(routes!(detached::stream))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::health))
        .routes(routes!(compact::compact))
        .routes(routes!(llm_task::llm_task))
        .routes(routes!(usage::usage))
        .routes(routes!(usage::metrics))
        .routes(routes!(workspace::context))
        .routes(routes!(workspace::skills))
        .routes(routes!(workspace::tools))
        .routes(routes!(workspace::boot))
        .routes(routes!(workspace::boot_complete))
        .routes(routes!(workspace::agents))
        .routes(routes!(can::can))
        .routes(routes!(backend::version))
        .routes(routes!(backend::compatibility))
        .split_for_parts();
    let document = document::Document::new(&document);
    let document = move |prefix: Option<Extension<Prefix>>| {
        std::future::ready(document.answer(prefix.as_deref()))
    };
    let router = router.route("/openapi.json", axum::routing::get(document));
    with_protocols(router, &app)
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this endpoint does not support that method",
            )
        })
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn(guard::trace))
                .layer(middleware::from_fn_with_state(app.clone(), guard::key))
                // The extractor enforces WOMBAT_MAX_BODY_BYTES.
                .layer(DefaultBodyLimit::disable()),
        )
        .with_state(app)
}

/// Adds the routes of the enabled protocols (docs/PROTOCOLS.md).
fn with_protocols(mut router: Router<App>, app: &App) -> Router<App> {
    let on = &app.settings.protocols;
    if on.has(Protocol::OpenAi) {
        router = router.merge(openai::router());
    }
    if on.has(Protocol::A2a) {
        router = router.merge(a2a::router());
    }
    if on.has(Protocol::AgUi) {
        router = router.merge(ag_ui::router());
    }
    if on.has(Protocol::Mcp) {
        router = router.merge(mcp::router());
    }
    router
}

/// An error of the middleware, in the form of the protocol that the path belongs to.
fn protocol_error(app: &App, path: &str, mut error: ApiError) -> Response {
    let on = |protocol| app.settings.protocols.has(protocol);
    let is_a2a = on(Protocol::A2a) && a2a::is_path(path);
    let format: fn(&ApiError) -> Response =
        if on(Protocol::OpenAi) && (path == "/v1" || path.starts_with("/v1/")) {
            openai::error_response
        } else if on(Protocol::Mcp) && path == "/mcp" {
            mcp::error_response
        } else if on(Protocol::AgUi) && path.starts_with("/ag-ui/") {
            ag_ui::error_response
        } else if is_a2a {
            |_| Response::default()
        } else {
            return error.into_response();
        };
    // RFC 6750, section 3.1: clients of these protocols expect 401 for a wrong token.
    if error.body.code == "invalid_daemon_key" {
        error.status = StatusCode::UNAUTHORIZED;
    }
    if is_a2a { a2a::error_response(path, &error) } else { format(&error) }
}
