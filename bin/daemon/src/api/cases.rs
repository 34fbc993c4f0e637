//! The request of a case (docs/EVAL.md), read by the same rules as that of `POST /api/agents/send`.

use std::collections::BTreeMap;
use std::sync::Arc;

use llm::request::Message;
use serde_json::{Map, Value};
use wombat_core::agent_config::AgentProfile;
use wombat_core::session::{Role, SessionKey, UserId};
use wombat_core::workspace::Snapshot;

use super::options::{narrow, read_limits, read_options};
use super::output;
use super::protocol_request::admitted;
use crate::agent::customers;
use crate::run::customer::Customer;
use crate::run::output::OutputFormat;
use crate::run::request::{RunRequest, TaskTarget};
use crate::state::App;

/// What a case asks for.
pub(crate) struct CaseRequest<'a> {
    /// The user.
    pub(crate) user: &'a str,
    /// The role.
    pub(crate) role: &'a str,
    /// The message.
    pub(crate) message: &'a str,
    /// Earlier turns.
    pub(crate) history: Vec<Message>,
    /// As in a request.
    pub(crate) metadata: &'a Map<String, Value>,
    /// As in a request.
    pub(crate) limits: Option<Value>,
    /// The customer's profile.
    pub(crate) profile: Option<&'a Value>,
    /// Whether the profile's models are asked.
    pub(crate) models_of_profile: bool,
    /// The schema that the reply has to fit, where the role has none.
    pub(crate) output: Option<&'a Value>,
}

/// The request, the workspace and the role of a case.
///
/// # Errors
/// Why no run of it could start, in words.
pub(crate) async fn read(
    app: &App,
    case: CaseRequest<'_>,
) -> Result<(RunRequest, Arc<Snapshot>, AgentProfile), String> {
    let mut problems = BTreeMap::new();
    let user = UserId::parse(case.user).map_err(|error| format!("user: {error}"))?;
    let role = Role::parse(case.role).map_err(|error| format!("role: {error}"))?;
    let session = SessionKey::new(user, role);
    let options = read_options(app, case.metadata, &mut problems);
    let asked = case.limits.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    let limits = read_limits(app, &asked, false, &mut problems);
    let (Some(options), true) = (options, problems.is_empty()) else {
        let lines: Vec<_> = problems.iter().map(|(path, why)| format!("{path}: {why}")).collect();
        return Err(lines.join("; "));
    };
    let customer = Arc::new(customer(app, &case)?);
    let error = |error: super::ApiError| error.body.error;
    let profile = admitted(app, &customer, case.role).map_err(error)?;
    let asked_limits = limits;
    let (options, limits) = narrow(&customer, case.metadata, options, limits);
    let output = output::of_run(&profile, &options, None).await.map_err(error)?;
    let output = output.or_else(|| {
        let schema = case.output?.clone();
        let name = "output".to_owned();
        Some(Arc::new(OutputFormat { schema, name, strict: true, fixed: false }))
    });
    let request = RunRequest {
        session,
        message: case.message.to_owned(),
        attachments: Vec::new(),
        history: Some(case.history),
        task: TaskTarget::Id("eval".to_owned()),
        output,
        options,
        metadata: case.metadata.clone(),
        webhook: None,
        key: None,
        resumed: false,
        detached: false,
        child: None,
        customer,
        asked_limits,
        limits,
        began: std::time::SystemTime::now(),
    };
    Ok((request, app.workspace.snapshot(), profile))
}

/// What the profile makes of the run. The workspace is the one that is tried, whichever the profile names.
fn customer(app: &App, case: &CaseRequest<'_>) -> Result<Customer, String> {
    let Some(Value::Object(fields)) = case.profile else { return Ok(Customer::default()) };
    let mut fields = fields.clone();
    fields.shift_remove("workspace");
    if !case.models_of_profile {
        fields.shift_remove("models");
    }
    customers::read(app, &Value::Object(fields), case.user, None)
        .map_err(|why| format!("profile: {why}"))
}
