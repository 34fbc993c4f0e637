//! JSON-RPC 2.0: results and errors.

use serde_json::{Value, json};

use super::super::error::ApiError;

pub(super) const PARSE: i64 = -32_700;
pub(super) const INVALID_REQUEST: i64 = -32_600;
pub(super) const METHOD_NOT_FOUND: i64 = -32_601;
pub(super) const INVALID_PARAMS: i64 = -32_602;
pub(super) const INTERNAL: i64 = -32_603;
/// Defined by MCP.
pub(super) const RESOURCE_NOT_FOUND: i64 = -32_002;

/// A failed request.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: i64,
    pub(super) message: String,
    /// The daemon's own code and details.
    pub(super) data: Value,
}

impl Fault {
    /// Invalid parameters.
    pub(super) fn params(message: impl Into<String>) -> Self {
        Self { code: INVALID_PARAMS, message: message.into(), data: Value::Null }
    }
}

impl From<&ApiError> for Fault {
    fn from(error: &ApiError) -> Self {
        let body = &error.body;
        let code = if error.status.is_client_error() { INVALID_PARAMS } else { INTERNAL };
        let data = json!({ "code": body.code, "details": body.details });
        Self { code, message: body.error.clone(), data }
    }
}

/// The response with a result.
pub(super) fn answered(id: &Value, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// The response with an error.
pub(super) fn failed(id: &Value, fault: &Fault) -> Value {
    let mut error = json!({ "code": fault.code, "message": fault.message });
    if !fault.data.is_null() {
        error["data"] = fault.data.clone();
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}
