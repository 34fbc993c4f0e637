//! The endpoints of the contract (docs/CONTROL_PLANE_CONTRACT.md).

mod audit;
mod budgets;
mod deltas;
mod dispatch;
pub(crate) mod events;
mod heartbeat_standup;
mod leases;
pub(crate) mod metrics;
mod objects;
mod runs;
mod tool_requests;

use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, middleware};
use axum::{Router, http::HeaderValue};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::Caller;
use crate::store::Created;

/// The optional features that this backend has.
const FEATURES: [&str; 20] = [
    "tasks_get",
    "messages_list",
    "message_lookup",
    "message_data",
    "tasks_update",
    "documents_list",
    "notifications",
    "notifications_dispatch",
    "heartbeat",
    "heartbeat_notes",
    "standup",
    "run_journal",
    "run_stream",
    "orphans",
    "tool_requests",
    "session_leases",
    "budgets",
    "events_sse",
    "audit",
    "tools",
];

/// Features of the dispatch queue.
const DISPATCH_FEATURES: [&str; 3] = ["dispatch_leases", "dispatch_batch", "notifications_fail"];

/// All endpoints of the contract.
pub(crate) fn router(app: &App) -> Router<App> {
    let mc = Router::new()
        .route("/capabilities", get(capabilities))
        .route("/tasks", get(objects::list_tasks).post(objects::create_task))
        .route("/tasks/{id}", get(objects::get_task).patch(objects::update_task))
        .route("/messages", get(objects::list_messages).post(objects::create_message))
        .route("/documents", get(objects::list_documents).post(objects::create_document))
        .route("/documents/{id}", get(objects::get_document))
        .route(
            "/notifications",
            get(objects::list_notifications).post(objects::create_notification),
        )
        .route("/notifications/{id}/read", post(objects::read_notification))
        .route("/heartbeat", post(heartbeat_standup::heartbeat))
        .route("/standup", post(heartbeat_standup::standup))
        .route("/runs/{run_key}", get(runs::get).put(runs::put))
        .route("/runs/{run_key}/steps/{index}", put(runs::put_step))
        .route("/runs/{run_key}/cancel", post(runs::cancel))
        .route("/runs/{run_key}/deltas", get(deltas::get).post(deltas::post))
        .route("/tool-requests", get(tool_requests::list).post(tool_requests::create))
        .route("/tool-requests/{id}", get(tool_requests::get).patch(tool_requests::decide))
        .route("/sessions/lease", post(leases::create))
        .route("/sessions/lease/{id}", put(leases::renew).delete(leases::free))
        .route("/budget", get(budgets::get).put(budgets::put))
        .route("/budget/reserve", post(budgets::reserve))
        .route("/usage", post(budgets::usage))
        .route("/events", get(events::listen))
        .route("/dispatch/undelivered", get(dispatch::undelivered).post(dispatch::undelivered))
        .route("/dispatch/orphans", post(dispatch::orphans))
        .route("/dispatch/deliver", post(dispatch::deliver_many))
        .route("/dispatch/notifications/{id}/deliver", post(dispatch::deliver))
        .route("/dispatch/notifications/{id}/fail", post(dispatch::fail))
        .route("/dispatch/notifications/{id}/requeue", post(dispatch::requeue))
        .route("/dispatch/dead", get(dispatch::dead))
        .route("/audit", get(audit::list).post(audit::record))
        .layer(middleware::from_fn_with_state(app.clone(), audit::record_denied));
    Router::new().nest("/api/mission-control", mc)
}

async fn capabilities(_caller: Caller) -> Json<Value> {
    let features: serde_json::Map<String, Value> = FEATURES
        .iter()
        .chain(&DISPATCH_FEATURES)
        .map(|name| ((*name).to_owned(), json!(true)))
        .collect();
    Json(json!({ "contract_version": mc_client::types::CONTRACT_VERSION, "features": features }))
}

/// The answer to a create; says whether it was replayed.
pub(crate) fn created(created: Created) -> Response {
    let mut response = Json(created.body).into_response();
    if created.replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}
