//! Liveness, readiness, and the health of each part.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use daemon_api::ErrorBody;
use llm::Tier;
use serde::Deserialize;
use serde_json::{Value, json};
use service::trace::TraceId;
use wombat_core::workspace::{PolicyEffect, Snapshot, WorkspaceStatus};

use super::error::ApiError;
use super::extract::Params;
use super::guard::Trust;
use super::shapes::{AliveShape, HealthShape};
use crate::run::error::RunError;
use crate::state::App;

/// Liveness: the process answers.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, body = AliveShape)))]
pub(super) async fn livez() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Readiness: 503 while the daemon drains, without a workspace, or without valid rules.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses((status = 200, body = AliveShape), (status = 503, body = ErrorBody))
)]
pub(super) async fn readyz(State(app): State<App>, Extension(trust): Extension<Trust>) -> Response {
    // The reasons name paths and quote files.
    let unready = |code: &'static str, what: &str, why: String| {
        let why = match trust {
            Trust::Full => why,
            Trust::Public => {
                format!("{what}; the log, and this path with the daemon key, say why")
            }
        };
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, why).into_response()
    };
    if app.runs.is_draining() {
        let why = "the daemon is shutting down";
        return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "draining", why).into_response();
    }
    let snapshot = app.workspace.snapshot();
    if snapshot.status() == WorkspaceStatus::Missing {
        let why = snapshot.problems().iter().map(ToString::to_string).collect::<Vec<_>>();
        let what = "the workspace cannot be read";
        return unready("workspace_unreadable", what, why.join("; "));
    }
    if let Err(error) = snapshot.usable() {
        let error = RunError::from(error);
        return unready(error.code(), "the workspace's rules cannot be used", error.message());
    }
    Json(json!({ "status": "ok" })).into_response()
}

/// Whether the rules in force are those of the files.
fn policy(snapshot: &Snapshot) -> &'static str {
    if snapshot.usable().is_err() {
        "no_runs"
    } else if snapshot.policy_problems(PolicyEffect::LastGood) > 0 {
        "last_good"
    } else {
        "ok"
    }
}

/// The query of `/health`.
#[derive(Deserialize)]
pub(super) struct HealthQuery {
    deep: Option<String>,
}

/// The status, and with the daemon key the health of each part; `?deep=true` asks the backend, too, at
/// most once in some seconds.
#[utoipa::path(
    get, path = "/health", tag = "operations",
    params(("deep" = Option<bool>, Query, description = "Ask the backend, too.")),
    responses((status = 200, body = HealthShape))
)]
pub(super) async fn health(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    Extension(trust): Extension<Trust>,
    Params(query): Params<HealthQuery>,
) -> Json<Value> {
    let snapshot = app.workspace.snapshot();
    let deep = query.deep.as_deref().is_some_and(|deep| matches!(deep, "true" | "1" | ""));
    let (control_plane, application) = if !deep {
        ("unchecked", "unchecked")
    } else {
        let word = |is_well: bool| if is_well { "ok" } else { "error" };
        let answering = app.backend.answers(&trace.traceparent()).await;
        (word(answering.control_plane), word(answering.application))
    };
    let configured = app.llm.configured();
    let model = app.llm.model(Tier::Default);
    let tools = app.tools.report(&snapshot);
    let is_well = snapshot.status() == WorkspaceStatus::Ok
        && control_plane != "error"
        && application != "error"
        && configured
        && tools.is_well();
    let status = if is_well { "ok" } else { "degraded" };
    if trust == Trust::Public {
        return Json(json!({ "status": status }));
    }
    let (skills, zones) = (snapshot.skills(), zones::release());
    Json(json!({
        "status": status,
        "workspace": {
            "path": snapshot.path(),
            "status": snapshot.status(),
            "policy": policy(&snapshot),
            "bootComplete": snapshot.boot_complete(),
            "problems": snapshot.problems(),
        },
        "skills": {
            "enabled": skills.iter().filter(|skill| skill.enabled).count(),
            "total": skills.len(),
        },
        "backend": {
            "url": shown::url(app.backend.application_url()).to_string(),
            "status": application,
        },
        "control_plane": {
            "url": shown::url(app.backend.control_plane_url()).to_string(),
            "status": control_plane,
        },
        "llm": {
            "provider": model.provider.as_str(),
            "model": model.name,
            "configured": configured,
        },
        "tools": tools,
        "tzdata": { "source": zones.origin(), "release": zones.version },
        "config": { "port": app.settings.port, "defaultTask": app.settings.default_task },
    }))
}
