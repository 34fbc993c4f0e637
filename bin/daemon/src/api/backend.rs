//! The daemon's version, and whether it is compatible with the backend.

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use mc_client::types::{CONTRACT_VERSION, Contract};
use serde_json::{Value, json};
use service::trace::TraceId;

use super::error::ApiError;
use crate::backend::told_of_original;
use crate::run::error::RunError;
use crate::state::App;

/// What this version can do beyond answering messages.
const FEATURES: [&str; 12] = [
    "stream",
    "tools",
    "skills",
    "idempotency",
    "resume",
    "approvals",
    "session_leases",
    "budgets",
    "fallback",
    "compact",
    "llm_task",
    "webhooks",
];

/// Optional features of the contract that this version uses.
const USED: [&str; 10] = [
    "tasks_get",
    "messages_list",
    "message_lookup",
    "message_data",
    "tasks_update",
    "notifications",
    "run_journal",
    "tool_requests",
    "session_leases",
    "budgets",
];

/// Name, version, contract.
#[utoipa::path(get, path = "/api/version", tag = "operations", responses((status = 200, body = Object)))]
pub(super) async fn version() -> Json<Value> {
    Json(json!({
        "name": "wombat-daemon",
        "version": env!("CARGO_PKG_VERSION"),
        "contract_version": CONTRACT_VERSION,
        "features": FEATURES,
    }))
}

/// Whether the daemon is compatible with the backend.
#[utoipa::path(
    get, path = "/api/compatibility", tag = "operations",
    responses((status = 200, body = Object), (status = 503, body = Object))
)]
pub(super) async fn compatibility(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
) -> Response {
    let capabilities = match app.backend.fetch_capabilities(&trace.traceparent()).await {
        Ok(capabilities) => capabilities,
        Err(error) => {
            let answer = ApiError::from(RunError::backend(&error));
            let body = json!({
                "compatible": false,
                "contract_version": CONTRACT_VERSION,
                "backend_contract_version": null,
                "features": {},
                "missing_required": ["capabilities"],
                "warnings": [],
                "error": answer.body.error,
                "code": answer.body.code,
                "details": { "cause": error.to_string() },
            });
            return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
        }
    };
    let theirs = &capabilities.contract_version;
    let contract = capabilities.contract();
    let missing = match contract {
        Contract::Same | Contract::Original => Vec::new(),
        Contract::Unknown => vec!["capabilities"],
        Contract::Other => vec!["contract_version v1"],
    };
    let original = (contract == Contract::Original)
        .then(|| format!("the backend: {}", told_of_original(theirs)));
    let lacking = USED
        .into_iter()
        .filter(|feature| !capabilities.has(feature))
        .map(|feature| format!("the backend lacks {feature}; runs work without it"));
    let warnings: Vec<String> = original.into_iter().chain(lacking).collect();
    let compatible = missing.is_empty();
    let body = json!({
        "compatible": compatible,
        "contract_version": CONTRACT_VERSION,
        "backend_contract_version": theirs,
        "features": capabilities.features,
        "missing_required": missing,
        "warnings": warnings,
    });
    let status = if compatible { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}
