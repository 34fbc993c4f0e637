//! The endpoints of the contract (docs/CONTROL_PLANE_CONTRACT.md).

pub(crate) mod answering;
pub(crate) mod approval_rules;
mod artifacts;
mod audit;
mod budgets;
pub(crate) mod decisions;
mod delivery_options;
mod deltas;
mod digits;
mod dispatch;
pub(crate) mod events;
pub(crate) mod files;
mod heartbeat_standup;
mod leases;
pub(crate) mod memories;
pub(crate) mod metrics;
mod objects;
mod owned_data;
mod profiles;
mod question;
mod run_lists;
mod runs;
mod schedules;
mod tool_requests;

use std::sync::PoisonError;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use axum::{Json, Router, middleware};
use http::{HeaderMap, HeaderValue};
use mc_client::types::{CONTRACT_VERSION, Capabilities, Pages};
use service::forwarded::Front;

use crate::app::App;
use crate::auth::Caller;
use crate::mentions::is_role;
use crate::store::Created;

/// The most roles of a daemon that are kept.
const MAX_SERVED: usize = 50;

/// The page of a task: with the address that browsers use, where it is set.
fn task_page(front: &Front) -> String {
    const PATH: &str = "/tasks/{task_id}?user={user_id}";
    front.public().map_or_else(|| PATH.to_owned(), |address| address.url(PATH))
}

/// The optional features that this backend has.
const FEATURES: [&str; 35] = [
    "tasks_get",
    "messages_list",
    "message_lookup",
    "message_data",
    "user_messages",
    "agent_mentions",
    "tasks_update",
    "documents_list",
    "files",
    "notifications",
    "notifications_dispatch",
    "heartbeat",
    "heartbeat_notes",
    "delivery_options",
    "schedules",
    "standup",
    "run_journal",
    "run_stream",
    "artifacts",
    "orphans",
    "tool_requests",
    "decisions",
    "approval_rules",
    "session_leases",
    "budgets",
    "budget_scopes",
    "events_sse",
    "memories",
    "runs_list",
    "feedback",
    "audit",
    "retention",
    "erasure",
    "profile",
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
        .route("/files", put(files::put))
        .route("/files/{id}", get(files::get).delete(files::delete))
        .route(
            "/notifications",
            get(objects::list_notifications).post(objects::create_notification),
        )
        .route("/notifications/{id}/read", post(objects::read_notification))
        .route("/heartbeat", post(heartbeat_standup::heartbeat))
        .route("/standup", post(heartbeat_standup::standup))
        .route("/runs", get(run_lists::list))
        .route("/runs/summary", get(run_lists::summary))
        .route("/feedback", get(run_lists::given).post(run_lists::give))
        .route("/runs/{run_key}", get(runs::get).put(runs::put))
        .route("/runs/{run_key}/steps/{index}", put(runs::put_step))
        .route("/runs/{run_key}/cancel", post(runs::cancel))
        .route("/runs/{run_key}/artifacts/{sha256}", get(artifacts::get).put(artifacts::put))
        .route("/runs/{run_key}/deltas", get(deltas::get).post(deltas::post))
        .route("/tool-requests", get(tool_requests::list).post(tool_requests::create))
        .route("/tool-requests/{id}", get(tool_requests::get).patch(tool_requests::decide))
        .route("/tool-requests/{id}/decision", post(decisions::decide))
        .route("/approval-rules", get(approval_rules::list).post(approval_rules::create))
        .route("/approval-rules/{id}", delete(approval_rules::revoke))
        .route("/approval-rules/{id}/uses", post(approval_rules::make_use))
        .route("/schedules", get(schedules::list).post(schedules::create))
        .route(
            "/schedules/{id}",
            get(schedules::get).patch(schedules::update).delete(schedules::delete),
        )
        .route("/sessions/lease", post(leases::create))
        .route("/sessions/lease/{id}", put(leases::renew).delete(leases::free))
        .route("/profile", get(profiles::get).put(profiles::put))
        .route("/budget", get(budgets::get).put(budgets::put))
        .route("/budget/reserve", post(budgets::reserve))
        .route("/usage", post(budgets::usage))
        .route("/memories", get(memories::list).post(memories::create))
        .route("/memories/{id}", patch(memories::update).delete(memories::delete))
        .route("/events", get(events::listen))
        .route("/dispatch/undelivered", get(dispatch::undelivered).post(dispatch::undelivered))
        .route("/dispatch/orphans", post(dispatch::orphans))
        .route("/dispatch/deliver", post(dispatch::deliver_many))
        .route("/dispatch/notifications/{id}/deliver", post(dispatch::deliver))
        .route("/dispatch/notifications/{id}/fail", post(dispatch::fail))
        .route("/dispatch/notifications/{id}/requeue", post(dispatch::requeue))
        .route("/dispatch/dead", get(dispatch::dead))
        .route(
            "/users/{id}/quiet-hours",
            get(delivery_options::quiet_hours)
                .put(delivery_options::put_quiet_hours)
                .delete(delivery_options::delete_quiet_hours),
        )
        .route("/users/{id}/agent-data", get(owned_data::export).delete(owned_data::erase))
        .route("/retention", get(owned_data::retention))
        .route("/dead-letters", get(delivery_options::dead_letters))
        .route("/audit", get(audit::list).post(audit::record))
        .layer(middleware::from_fn_with_state(app.clone(), audit::record_denied));
    Router::new().nest("/api/mission-control", mc)
}

async fn capabilities(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Json<Capabilities> {
    if matches!(&caller, Caller::Agent(agent) if agent.is_nobodys()) {
        note_roles(&app, &headers);
    }
    let names = FEATURES.iter().chain(&DISPATCH_FEATURES);
    Json(Capabilities {
        contract_version: CONTRACT_VERSION.to_owned(),
        features: names.map(|name| ((*name).to_owned(), true)).collect(),
        pages: Pages { task: app.config.board.then(|| task_page(&app.config.front)) },
    })
}

/// Notes which roles the daemon serves, for the page.
fn note_roles(app: &App, headers: &HeaderMap) {
    let Some(roles) = headers.get("x-agent-roles").and_then(|roles| roles.to_str().ok()) else {
        return;
    };
    let roles = roles.split(',').map(str::trim).filter(|role| is_role(role));
    let roles = roles.take(MAX_SERVED).map(str::to_owned).collect();
    *app.served_roles.lock().unwrap_or_else(PoisonError::into_inner) = roles;
}

/// The answer to a create; says whether it was replayed.
pub(crate) fn created(created: Created) -> Response {
    let mut response = Json(created.body).into_response();
    if created.replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}
