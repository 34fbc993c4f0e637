//! Clients of version 0.3: they are told that this is another version, in the form that they can read.
//!
//! That version has methods and paths of other names, no codes above -32007, and no typed details
//! (<https://a2a-protocol.org/v0.3.0/specification/>, sections 3.5.6 and 8).

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::VERSION;

/// The code of that version's UnsupportedOperationError.
const UNSUPPORTED: i64 = -32_004;

/// Whether a method of JSON-RPC is that version's.
pub(super) fn is_method(method: &str) -> bool {
    ["message/", "tasks/", "agent/"].iter().any(|begin| method.starts_with(begin))
}

/// Whether a path below a role's is that version's.
pub(super) fn is_path(path: &str) -> bool {
    path == "v1" || path.starts_with("v1/")
}

fn error(what: &str) -> Value {
    let message = format!(
        "This operation is not supported: {what} is of A2A 0.3, and this agent speaks A2A {VERSION} only. Use a \
         client of A2A {VERSION}, which sends the header A2A-Version: {VERSION}"
    );
    json!({ "code": UNSUPPORTED, "message": message, "data": { "supportedVersions": [VERSION] } })
}

/// The answer to a method of JSON-RPC.
pub(super) fn rpc_response(id: &Value, method: &str) -> Response {
    Json(json!({ "jsonrpc": "2.0", "id": id, "error": error(method) })).into_response()
}

/// The answer to a path of HTTP+JSON.
pub(super) fn rest_response(path: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(error(&format!("/{path}")))).into_response()
}
