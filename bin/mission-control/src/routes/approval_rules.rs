//! Standing rules: calls that need no approval for a while.

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use mc_client::approval_rules::{ApprovalRule, CreateApprovalRule, UseRule};
use mc_client::tool_requests::ToolRequest;
use mc_client::types::Page;
use schemas::condition::{Condition, Verdict};
use serde_json::Value;

use super::created;
use super::question::check_until;
use super::runs::check_key;
use super::tool_requests::MAX_TOOL;
use crate::app::App;
use crate::auth::{Person, Tenant, Trace, Writer};
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, paging, require_filled, require_key, require_short};
use crate::mentions::is_role;
use crate::store::approval_rules::NewRule;
use crate::store::audit::Actor;
use crate::store::{Misfit, Scope, StoreError, approval_rules};

/// For how many calls a rule holds at most, where it says for how many.
const MAX_USES: u64 = 1_000_000_000;

/// A rule whose fields are checked. `under` is what the fields' names begin with.
fn checked(new: &CreateApprovalRule, under: &str) -> Result<NewRule, ApiError> {
    let field = |name: &str, why: &str| ApiError::field(&format!("{under}{name}"), why);
    let (role, tool) = (new.role.as_deref(), new.tool.as_deref());
    let role = role.filter(|role| is_role(role));
    let role = role.ok_or_else(|| field("role", "must be letters, digits, _ and -"))?;
    let tool = tool.filter(|tool| !tool.trim().is_empty());
    let tool = tool.ok_or_else(|| field("tool", "must not be empty"))?;
    require_short(&[(&*format!("{under}tool"), Some(tool), MAX_TOOL)])?;
    check_until(&format!("{under}expires_at"), Some(new.expires_at))?;
    if new.max_uses.is_some_and(|most| !(1..=MAX_USES).contains(&most)) {
        return Err(field("max_uses", &format!("must be 1 to {MAX_USES}")));
    }
    let is_hash = |text: &String| {
        text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if new.parameters_sha256.as_ref().is_some_and(|hash| !is_hash(hash)) {
        return Err(field("parameters_sha256", "must be 64 hexadecimal digits in lower case"));
    }
    if let Some(when) = &new.when {
        Condition::parse(when).map_err(|wrong| field("when", &wrong.join("; ")))?;
    }
    Ok(NewRule {
        role: role.to_owned(),
        tool: tool.to_owned(),
        when: new.when.clone(),
        expires_at: new.expires_at,
        max_uses: new.max_uses,
        parameters_sha256: new.parameters_sha256.clone(),
        tool_request_id: None,
    })
}

/// A rule that is made with the decision about a request, of whose role and tool it is.
pub(super) fn within(
    new: &CreateApprovalRule,
    role: &str,
    request: &ToolRequest,
) -> Result<NewRule, ApiError> {
    for (name, given, own) in
        [("rule.role", &new.role, role), ("rule.tool", &new.tool, &*request.tool)]
    {
        if given.as_ref().is_some_and(|given| given != own) {
            return Err(ApiError::field(name, "is not that of the request: leave it out"));
        }
    }
    let new = CreateApprovalRule {
        role: Some(role.to_owned()),
        tool: Some(request.tool.clone()),
        ..new.clone()
    };
    let tool_request_id = Some(request.id.clone());
    Ok(NewRule { tool_request_id, ..checked(&new, "rule.")? })
}

pub(super) async fn list(
    State(app): State<App>,
    tenant: Tenant,
    Query(params): Params,
) -> Result<Json<Page<ApprovalRule>>, ApiError> {
    let (limit, after) = paging(&params)?;
    let named = |name: &str| params.get(name).map(String::as_str);
    if let (Tenant::Agent(agent), Some(role)) = (&tenant, named("role")) {
        agent.must_act_as("role", role)?;
    }
    let scope = tenant.scope();
    Ok(Json(app.store.approval_rules(scope, named("role"), named("tool"), limit, after).await?))
}

pub(super) async fn create(
    State(app): State<App>,
    person: Person,
    trace: Trace,
    body: Body<CreateApprovalRule>,
) -> Result<Response, ApiError> {
    require_key(body.value.idempotency_key.as_deref())?;
    let new = checked(&body.value, "")?;
    let key = body.value.idempotency_key.as_deref();
    let scope = Scope::of(&person.user_id).by(trace.by(Actor::Person(&person.user_id)));
    let most = app.config.rules_per_user;
    let make = async |tx: &mut _| approval_rules::insert(tx, scope, &new, most).await;
    Ok(created(app.store.create(scope, "approval-rules", key, &body.raw, make).await?))
}

pub(super) async fn revoke(
    State(app): State<App>,
    person: Person,
    trace: Trace,
    Id(id): Id,
) -> Result<StatusCode, ApiError> {
    let scope = Scope::of(&person.user_id).by(trace.by(Actor::Person(&person.user_id)));
    app.store.revoke_approval_rule(scope, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn make_use(
    State(app): State<App>,
    writer: Writer,
    Id(id): Id,
    body: Body<UseRule>,
) -> Result<Response, ApiError> {
    if matches!(writer.tenant, Tenant::Person(_)) {
        return Err(ApiError::forbidden("a rule is used by the agent that makes the call"));
    }
    let call = &body.value;
    require_filled(&[("idempotency_key", &call.idempotency_key)])?;
    check_key(&call.run_key)?;
    let scope = writer.scope();
    let rule = app.store.approval_rule(scope, &id).await?;
    let misfit = match &rule.when {
        Some(when) => judge(when, call),
        None => None,
    };
    let may_decide = |author: &_| app.login.may_decide_for(author, scope.user_id);
    Ok(created(app.store.use_approval_rule(scope, &id, call, may_decide, misfit).await?))
}

/// Why a call does not fit a rule.
fn judge(when: &Value, call: &UseRule) -> Option<StoreError> {
    let errors = match Condition::parse(when) {
        Ok(condition) => match condition.judge(&call.arguments) {
            Verdict::Fulfilled => return None,
            Verdict::Unfulfilled { why } | Verdict::Unclear { why } => vec![why],
        },
        Err(wrong) => wrong,
    };
    Some(StoreError::Mismatch { what: Misfit::Arguments, errors })
}
