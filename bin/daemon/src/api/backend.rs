//! The daemon's version, and whether it is compatible with the backend.

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use daemon_api::{Compatibility, ErrorBody, Pages};
use http::StatusCode;
use mc_client::types::{CONTRACT_VERSION, Contract};
use serde_json::{Value, json};
use service::trace::TraceId;
use url::Url;

use super::error::ApiError;
use super::shapes::{CompatibilityShape, VersionShape};
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
const USED: [&str; 11] = [
    "tasks_get",
    "messages_list",
    "message_lookup",
    "message_data",
    "user_messages",
    "tasks_update",
    "notifications",
    "run_journal",
    "tool_requests",
    "session_leases",
    "budgets",
];

/// Name, version, contract.
#[utoipa::path(get, path = "/api/version", tag = "operations", responses((status = 200, body = VersionShape)))]
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
    responses((status = 200, body = CompatibilityShape), (status = 503, body = CompatibilityShape))
)]
pub(super) async fn compatibility(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
) -> Response {
    let capabilities = match app.backend.fetch_capabilities(&trace.traceparent()).await {
        Ok(capabilities) => capabilities,
        Err(error) => {
            let answer = ApiError::from(RunError::backend(&error));
            let details = json!({ "cause": error.to_string() });
            let body = Compatibility {
                contract_version: CONTRACT_VERSION.to_owned(),
                features: json!({}),
                missing_required: vec!["capabilities".to_owned()],
                error: Some(ErrorBody { details, ..*answer.body }),
                ..Compatibility::default()
            };
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
    let page = capabilities.pages.task.as_deref();
    let page = page.and_then(|page| address(app.backend.control_plane_url(), page));
    let body = Compatibility {
        compatible,
        contract_version: CONTRACT_VERSION.to_owned(),
        backend_contract_version: Some(theirs.clone()),
        features: json!(capabilities.features),
        missing_required: missing.into_iter().map(str::to_owned).collect(),
        warnings,
        pages: page.map(|page| Pages { task: Some(page) }),
        error: None,
    };
    let status = if compatible { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// The address of a page that the backend names: by its address, or by its path at the backend's own.
fn address(backend: &str, page: &str) -> Option<String> {
    let is_address = |text: &str| text.starts_with("http://") || text.starts_with("https://");
    if is_address(page) {
        return Some(page.to_owned());
    }
    // Whoever reads it gets no password of the backend's address.
    let mut url = Url::parse(backend).ok()?;
    (url.set_username(""), url.set_password(None)).1.ok()?;
    page.starts_with('/').then(|| format!("{}{page}", url.as_str().trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_at_its_own_address_or_at_the_backends() {
        let page = "/tasks/{task_id}?user={user_id}";
        for (backend, page, expected) in [
            (
                "http://127.0.0.1:8000",
                page,
                Some("http://127.0.0.1:8000/tasks/{task_id}?user={user_id}"),
            ),
            ("https://u:p@mc.example/x/", "/t", Some("https://mc.example/x/t")),
            (
                "http://mc:8000",
                "https://board.example/{task_id}",
                Some("https://board.example/{task_id}"),
            ),
            ("http://mc:8000", "javascript:alert(1)", None),
        ] {
            assert_eq!(address(backend, page).as_deref(), expected);
        }
    }
}
