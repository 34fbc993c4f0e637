//! The daemon as an MCP server: each role is a tool, Mission Control's objects are resources
//! (docs/PROTOCOLS.md). Streamable HTTP of revision 2025-11-25, stateless: a session id only
//! identifies the call that a cancellation refers to.

mod calls;
mod resources;
mod rpc;
mod session;
mod tools;

use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use service::trace::TraceId;

use self::calls::{CallerId, Calls};
use self::rpc::{Fault, answered, failed};
use super::error::ApiError;
use super::extract::{BodyWithFiles, Place};
use super::header::{self as header_of, MCP_REVISION, MCP_SESSION, USER_HEADER};
use crate::state::App;

/// The supported revisions, the newest first.
const REVISIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

const INSTRUCTIONS: &str = "Each tool asks one agent. The agents' tasks, threads and documents \
     are resources. A call may end with status awaiting_approval: once a person has decided, call \
     again with resume_run_key.";

/// The endpoint.
pub(super) fn router() -> Router<App> {
    // The server offers no stream of its own (GET), and has no sessions to delete.
    let no_method = async || -> Response {
        let why = "this endpoint supports POST only";
        error_response(&ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", why))
    };
    Router::new()
        .route("/mcp", post(message).fallback(no_method))
        .layer(Extension(Calls::default()))
}

/// An error before a method was called, in JSON-RPC's form.
pub(super) fn error_response(error: &ApiError) -> Response {
    let code = if error.body.code == "malformed_json" { rpc::PARSE } else { rpc::INVALID_REQUEST };
    let body = failed(&Value::Null, &Fault { code, ..Fault::from(error) });
    let mut response = (error.status, Json(body)).into_response();
    if error.status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// One message of a client.
struct Incoming<'a> {
    app: App,
    trace: TraceId,
    calls: Calls,
    headers: &'a HeaderMap,
    id: Value,
    params: Map<String, Value>,
    /// How long the body was.
    bytes: usize,
    /// The body's, until its files are read.
    place: Place,
}

async fn message(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    Extension(calls): Extension<Calls>,
    headers: HeaderMap,
    body: Result<BodyWithFiles, ApiError>,
) -> Response {
    let (mut body, bytes, place) = match body {
        Ok(BodyWithFiles { object, bytes, place }) => (object, bytes, place),
        Err(error) => return error_response(&error),
    };
    let id = body.remove("id");
    let params = match body.remove("params") {
        Some(Value::Object(params)) => params,
        Some(_) | None => Map::new(),
    };
    let is_id = id.as_ref().is_none_or(|id| id.is_string() || id.is_i64() || id.is_u64());
    let method = body.get("method").and_then(Value::as_str);
    let is_answer = body.contains_key("result") || body.contains_key("error");
    if body.get("jsonrpc") != Some(&json!("2.0")) || !is_id || (method.is_none() && !is_answer) {
        return invalid("the body is not a JSON-RPC 2.0 message");
    }
    let revision = header_of::text(&headers, MCP_REVISION);
    if let Some(other) = revision.filter(|revision| !REVISIONS.contains(&revision.as_str())) {
        return invalid(&format!("MCP-Protocol-Version {other:?} is not supported"));
    }
    let from = caller(&headers);
    if !session::may_use(&from) {
        return session::unknown();
    }
    let (Some(method), Some(id)) = (method, id) else {
        if method == Some("notifications/cancelled") {
            calls.cancel(&app, from, params.get("requestId"));
        }
        return StatusCode::ACCEPTED.into_response();
    };
    let id_of = id.clone();
    let incoming =
        Incoming { app, trace, calls, headers: &headers, id: id_of, params, bytes, place };
    match incoming.answer(method).await {
        Ok(response) => response,
        Err(fault) => Json(failed(&id, &fault)).into_response(),
    }
}

fn invalid(why: &str) -> Response {
    error_response(&ApiError::new(StatusCode::BAD_REQUEST, "invalid_payload", why))
}

/// Who calls: the user, and the session if there is one.
fn caller(headers: &HeaderMap) -> CallerId {
    let text = |name| header_of::text(headers, name).unwrap_or_default();
    CallerId { user: text(USER_HEADER), session: text(MCP_SESSION) }
}

impl Incoming<'_> {
    async fn answer(self, method: &str) -> Result<Response, Fault> {
        let id = self.id.clone();
        let result = match method {
            "initialize" => return Ok(self.initialize()),
            "ping" => json!({}),
            "tools/list" => tools::list(&self.app)?,
            "tools/call" => return tools::call(self).await,
            "resources/list" => resources::list(&self).await?,
            "resources/templates/list" => resources::templates(),
            "resources/read" => resources::read(&self).await?,
            other => {
                let message = format!("there is no method {other:?}");
                return Err(Fault { code: rpc::METHOD_NOT_FOUND, message, data: Value::Null });
            }
        };
        Ok(Json(answered(&id, result)).into_response())
    }

    fn initialize(&self) -> Response {
        let wanted = self.params.get("protocolVersion").and_then(Value::as_str);
        let spoken = wanted.filter(|wanted| REVISIONS.contains(wanted)).unwrap_or(REVISIONS[0]);
        let result = json!({
            "protocolVersion": spoken,
            "capabilities": { "tools": {}, "resources": {} },
            "serverInfo": { "name": "wombat", "version": env!("CARGO_PKG_VERSION") },
            "instructions": INSTRUCTIONS,
        });
        let mut response = Json(answered(&self.id, result)).into_response();
        if let Ok(session) = HeaderValue::from_str(&session::new(&self.user())) {
            response.headers_mut().insert(MCP_SESSION, session);
        }
        response
    }

    /// The user for whom the client works: a header, which the client's own model cannot set.
    fn user(&self) -> String {
        self.caller().user
    }

    /// Who calls.
    fn caller(&self) -> CallerId {
        caller(self.headers)
    }
}
