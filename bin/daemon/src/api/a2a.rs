//! A2A 1.0: an agent card for each role, and its bindings JSON-RPC and HTTP+JSON (docs/PROTOCOLS.md).
//!
//! The protocol's task, and its context, is a task of the backend; its message is one run, whose key
//! is the message's id. Every instance serves every task.

mod answering;
mod card;
mod card_answer;
mod contexts;
mod fault;
mod file_parts;
mod lists;
mod methods;
mod old;
mod open_tasks;
mod params;
mod push;
mod runs;
mod send_message;
mod stored;

use axum::Router;
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use service::forwarded::{Address, Peer};
use service::trace::TraceId;

use self::card_answer::Changes;
use self::fault::{Fault, Kind};
use self::open_tasks::OpenTasks;
use super::error::ApiError;
use super::extract::{BodyWithFiles, Place};
use super::protocol_request::{known_role, roles};
use super::sse::{self, Event};
use crate::state::App;

/// The supported version.
const VERSION: &str = "1.0";
/// The media type of the HTTP+JSON binding.
const MEDIA_TYPE: &str = "application/a2a+json";
/// The path of the default agent card.
const WELL_KNOWN: &str = "/.well-known/agent-card.json";

/// The endpoints.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route(WELL_KNOWN, get(first_card))
        .route("/a2a/{role}/.well-known/agent-card.json", get(card))
        .route("/a2a/{role}", post(rpc).fallback(no_method))
        .route("/a2a/{role}/", post(rpc).fallback(no_method))
        .route("/a2a/{role}/{*path}", any(rest))
        .layer(Extension(OpenTasks::default()))
        .layer(Extension(Changes::default()))
}

/// Whether a path belongs to this protocol.
pub(super) fn is_path(path: &str) -> bool {
    path.starts_with("/a2a/") || path == WELL_KNOWN
}

/// An error of the middleware, in the form of the binding that the path belongs to.
pub(super) fn error_response(path: &str, error: &ApiError) -> Response {
    let status = error.status;
    let fault = Fault::from(error.clone());
    let role = path.strip_prefix("/a2a/").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let is_rpc = role.is_some_and(|role| !role.contains('/'));
    if is_rpc { fault.rpc_response(&Value::Null, status) } else { fault.rest_response() }
}

async fn no_method() -> Response {
    let fault = Fault::new(Kind::Request, "the JSON-RPC endpoint supports POST only");
    fault.rpc_response(&Value::Null, StatusCode::METHOD_NOT_ALLOWED)
}

/// A body of the HTTP+JSON binding.
fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// The card of the workspace's first role.
async fn first_card(
    State(app): State<App>,
    Extension(changes): Extension<Changes>,
    parts: Parts,
) -> Response {
    match roles(&app).as_deref() {
        Ok([agent, ..]) => {
            changes.answer(&app, &address(&app, &parts), &parts.headers, &agent.role)
        }
        Err(error) => Fault::from(error.clone()).rest_response(),
        Ok([]) => Fault::new(Kind::Unsupported, "the workspace has no role").rest_response(),
    }
}

async fn card(
    State(app): State<App>,
    Extension(changes): Extension<Changes>,
    Path(role): Path<String>,
    parts: Parts,
) -> Response {
    match known_role(&app, &role) {
        Ok(role) => changes.answer(&app, &address(&app, &parts), &parts.headers, &role),
        Err(error) => Fault::from(error).rest_response(),
    }
}

/// The address by which the client of a request knows the daemon.
fn address(app: &App, parts: &Parts) -> Address {
    let peer = parts.extensions.get::<Peer>().map(|Peer(peer)| *peer);
    app.settings.front.address(peer, &parts.headers)
}

/// One request of either binding.
struct Incoming {
    app: App,
    trace: TraceId,
    open_tasks: OpenTasks,
    role: String,
    headers: HeaderMap,
    /// How long the body was.
    bytes: usize,
    /// The body's, until its files are read.
    place: Place,
}

/// The result of a request: one object, or a stream of them.
enum Reply {
    One(Value),
    Many(BoxStream<'static, Value>),
}

async fn rpc(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    Extension(open_tasks): Extension<OpenTasks>,
    Path(role): Path<String>,
    headers: HeaderMap,
    body: Result<BodyWithFiles, ApiError>,
) -> Response {
    let (mut body, bytes, place) = match body {
        Ok(BodyWithFiles { object, bytes, place }) => (object, bytes, place),
        Err(error) => {
            let status = error.status;
            return Fault::from(error).rpc_response(&Value::Null, status);
        }
    };
    let id = body.remove("id").unwrap_or(Value::Null);
    let is_id = id.is_string() || id.is_i64() || id.is_u64();
    let method = body.get("method").and_then(Value::as_str).map(str::to_owned);
    let (Some(method), true, true) = (method, is_id, body.get("jsonrpc") == Some(&json!("2.0")))
    else {
        let fault = Fault::new(Kind::Request, "the body is not a JSON-RPC 2.0 request");
        return fault.rpc_response(&Value::Null, StatusCode::BAD_REQUEST);
    };
    if old::is_method(&method) {
        return old::rpc_response(&id, &method);
    }
    let params = match body.remove("params") {
        Some(Value::Object(params)) => params,
        None | Some(Value::Null) => Map::new(),
        Some(_) => {
            let fault = Fault::new(Kind::Params, "params: must be an object");
            return fault.rpc_response(&id, StatusCode::OK);
        }
    };
    let incoming = Incoming { app, trace, open_tasks, role, headers, bytes, place };
    let wrapped =
        |id: &Value, result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result });
    match incoming.perform(&method, params).await {
        Ok(Reply::One(result)) => axum::Json(wrapped(&id, result)).into_response(),
        Ok(Reply::Many(events)) => {
            sse::response(events.map(move |event| Event::data(wrapped(&id, event).to_string())))
        }
        Err(fault) => fault.rpc_response(&id, StatusCode::OK),
    }
}

/// The HTTP+JSON binding. Its verbs follow a colon, where the router cannot distinguish them.
async fn rest(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    Extension(open_tasks): Extension<OpenTasks>,
    Path((role, path)): Path<(String, String)>,
    parts: Parts,
    body: Result<BodyWithFiles, ApiError>,
) -> Response {
    let path = path.trim_end_matches('/');
    if old::is_path(path) {
        return old::rest_response(path);
    }
    let query = match Query::<Map<String, Value>>::try_from_uri(&parts.uri) {
        Ok(Query(query)) => query,
        Err(rejection) => return Fault::new(Kind::Params, rejection.body_text()).rest_response(),
    };
    let (object, bytes, place) = match body {
        Ok(BodyWithFiles { object, bytes, place }) => (Ok(object), bytes, place),
        Err(error) => (Err(error), 0, Place::default()),
    };
    let headers = parts.headers;
    let incoming = Incoming { app, trace, open_tasks, role, headers, bytes, place };
    match incoming.rest(&parts.method, path, query, object).await {
        Ok(Reply::One(result)) => json_response(StatusCode::OK, &result),
        Ok(Reply::Many(events)) => {
            sse::response(events.map(|event| Event::data(event.to_string())))
        }
        Err(fault) => fault.rest_response(),
    }
}
