//! The workspace: prompt files, skills, roles, first-run instructions.

use axum::Json;
use axum::extract::{Extension, State};
use chrono::Utc;
use daemon_api::{ErrorBody, RunningTools};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use service::trace::TraceId;
use std::collections::BTreeMap;
use std::sync::Arc;
use wombat_core::session::{Role, SessionKey, UserId};
use wombat_core::workspace::{PromptMode, PromptRequest};

use super::error::ApiError;
use super::extract::Params;
use super::protocol_request::{known_role, roles};
use super::shapes::{AgentsShape, BootShape, ContextShape, SkillsShape};
use crate::agent::customers::{self, Asked};
use crate::run::customer::Customer;
use crate::run::error::{RunError, RunErrorKind};
use crate::state::App;

/// The role of `/context` when none is named; the first one where there is no such role.
const DEFAULT_ROLE: &str = "agent";

/// The query of `/context`.
#[derive(Deserialize)]
pub(super) struct ContextQuery {
    role: Option<String>,
    full: Option<String>,
    user_id: Option<String>,
    workspace: Option<String>,
}

/// Each file of a role's prompt, with its size.
#[utoipa::path(
    get, path = "/context", tag = "workspace",
    params(
        ("role" = Option<String>, Query, description = "The role whose prompt is shown."),
        ("full" = Option<bool>, Query, description = "Include the system prompt."),
        ("user_id" = Option<String>, Query, description = "The user whose profile narrows it."),
        ("workspace" = Option<String>, Query, description = "The workspace, by its name."),
    ),
    responses(
        (status = 200, body = ContextShape),
        (status = "4XX", body = ErrorBody),
        (status = "5XX", body = ErrorBody),
    )
)]
pub(super) async fn context(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    Params(query): Params<ContextQuery>,
) -> Result<Json<Value>, ApiError> {
    let role = match &query.role {
        Some(name) => {
            Role::parse(name).map_err(|error| {
                let fields = BTreeMap::from([("role".to_owned(), error.to_string())]);
                ApiError::fields("invalid_payload", fields)
            })?;
            known_role(&app, name)?
        }
        None => {
            let named = query.workspace.as_deref().and_then(|name| app.workspaces.of(name));
            let agents = match named {
                Some(served) => served.workspace.snapshot().agents(),
                None => roles(&app)?,
            };
            let mut roles: Vec<Role> = agents.into_iter().map(|agent| agent.role).collect();
            let at = roles.iter().position(|role| role.as_str() == DEFAULT_ROLE).unwrap_or(0);
            roles.swap_remove(at)
        }
    };
    let customer = Box::pin(customer_of(&app, &trace, &query, &role)).await?;
    let chosen = app.workspaces.for_run(&customer, role.as_str()).map_err(RunError::from)?;
    let snapshot = chosen.snapshot;
    let now = Utc::now().with_timezone(&customer.timezone.unwrap_or(app.settings.timezone));
    let prompt = snapshot.prompt(&PromptRequest {
        role: &role,
        mode: PromptMode::Full,
        heartbeat: false,
        now,
    });
    let files = snapshot.files(&role, &now);
    let sum = |size: fn(&wombat_core::workspace::FileReport) -> usize| -> usize {
        files.iter().map(size).sum()
    };
    let mut body = json!({
        "role": role,
        "totals": {
            "rawChars": sum(|file| file.raw_chars),
            "injectedChars": sum(|file| file.injected_chars),
            "estimatedTokens": sum(|file| file.estimated_tokens),
            "promptChars": prompt.system.chars().count(),
            "promptEstimatedTokens": prompt.estimated_tokens,
        },
        "files": files,
        "workspaceDigest": snapshot.digest(),
        "promptHash": prompt.hash.as_ref(),
        "workspace": customer.workspace,
    });
    if query.user_id.is_some() {
        body["profile_digest"] = json!(customer.digest);
        body["tenantId"] = json!(customer.tenant_id);
        body["locale"] = json!(customer.locale);
        body["promptAppendChars"] =
            json!(customer.prompt_append.as_ref().map_or(0, |text| text.chars().count()));
    }
    if query.full.as_deref().is_some_and(|full| matches!(full, "true" | "1" | "")) {
        let mut system = prompt.system.as_ref().to_owned();
        customer.append_to(&mut system);
        body["systemPrompt"] = json!(system);
    }
    Ok(Json(body))
}

/// The customer whose context is asked for: the one of the user, if one is named.
async fn customer_of(
    app: &App,
    trace: &TraceId,
    query: &ContextQuery,
    role: &Role,
) -> Result<Arc<Customer>, ApiError> {
    let kept = query.workspace.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let wrong = |field: &str, why: String| {
        ApiError::fields("invalid_payload", BTreeMap::from([(field.to_owned(), why)]))
    };
    if let Some(name) = kept.filter(|name| app.workspaces.of(name).is_none()) {
        let known: Vec<_> = app.workspaces.names().collect();
        return Err(wrong("workspace", format!("{name:?} is none of {}", known.join(", "))));
    }
    let Some(user) = &query.user_id else {
        let customer = Customer::default();
        let workspace = kept.map_or(customer.workspace, str::to_owned);
        return Ok(Arc::new(Customer { workspace, ..customer }));
    };
    let user = UserId::parse(user).map_err(|error| wrong("user_id", error.to_string()))?;
    let session = SessionKey::new(user, role.clone());
    let asked = Asked { session: &session, key: None, detached: false, kept };
    let customer = customers::customer(app, &trace.without_run(), asked).await?;
    if customer.is_unread {
        return Err(RunError::new(RunErrorKind::BackendUnavailable).into());
    }
    Ok(customer)
}

/// The skills, including disabled ones with the reason.
#[utoipa::path(get, path = "/skills", tag = "workspace", responses((status = 200, body = SkillsShape)))]
pub(super) async fn skills(State(app): State<App>) -> Json<Value> {
    let snapshot = app.workspace.snapshot();
    let skills = snapshot.skills();
    Json(json!({
        "enabled": skills.iter().filter(|skill| skill.enabled).count(),
        "total": skills.len(),
        "skills": skills,
    }))
}

/// The tools that each role has now, as a run would get them. The OpenAPI document is read again for it, at
/// most once a second.
#[utoipa::path(
    get, path = "/tools", tag = "workspace",
    responses(
        (status = 200, body = RunningTools),
        (status = "4XX", body = ErrorBody),
        (status = "5XX", body = ErrorBody),
    )
)]
pub(super) async fn tools(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
) -> Result<Json<RunningTools>, ApiError> {
    let snapshot = app.workspace.snapshot();
    snapshot.usable().map_err(RunError::from)?;
    let capabilities = app.backend.capabilities(&trace.traceparent()).await;
    let capabilities = capabilities.map_err(|error| RunError::backend(&error))?;
    let (openapi_operations, roles) = app.tools.overview(&snapshot, &capabilities).await;
    let path = snapshot.path();
    let workspace = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    Ok(Json(RunningTools {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        workspace: workspace.display().to_string(),
        workspace_digest: snapshot.digest().to_owned(),
        openapi_operations,
        roles,
        tools: app.tools.list(&snapshot, &capabilities).await,
    }))
}

/// The first-run instructions.
#[utoipa::path(get, path = "/boot", tag = "workspace", responses((status = 200, body = BootShape)))]
pub(super) async fn boot(State(app): State<App>) -> Json<Value> {
    let snapshot = app.workspace.snapshot();
    Json(json!({
        "hasBoot": snapshot.boot().is_some(),
        "isComplete": snapshot.boot_complete(),
        "content": snapshot.boot(),
    }))
}

/// Marks the first run as completed.
#[utoipa::path(
    post, path = "/boot/complete", tag = "workspace",
    responses((status = 200, body = BootShape), (status = 409, body = ErrorBody))
)]
pub(super) async fn boot_complete(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let workspace = app.workspace.clone();
    let marked = tokio::task::spawn_blocking(move || workspace.mark_boot_complete()).await;
    match marked {
        Ok(Ok(())) => {
            let Json(mut body) = boot(State(app)).await;
            body["status"] = json!("ok");
            Ok(Json(body))
        }
        Ok(Err(error)) => {
            Err(ApiError::new(StatusCode::CONFLICT, "workspace_read_only", error.to_string()))
        }
        Err(_) => Err(ApiError::internal()),
    }
}

/// The roles that can be addressed; no other exists.
#[utoipa::path(
    get, path = "/api/agents", tag = "agents",
    responses((status = 200, body = AgentsShape), (status = 503, body = ErrorBody))
)]
pub(super) async fn agents(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "agents": roles(&app)? })))
}
