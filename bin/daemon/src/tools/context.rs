//! What a tool call may use, and its timeout.

use std::time::Duration;

use mc_client::client::AgentClient;
use mc_client::raw::RawBody;
use openapi_tools::FieldPlace;
use serde_json::Value;
use wombat_core::agent_config::{AgentProfile, Permission, Ruling, ToolCall};
use wombat_core::endpoint::{EndpointPattern, NormalPath, is_messages, is_reserved};
use wombat_core::workspace::Snapshot;
use zones::Zone;

use super::mention::{Mentions, field_of};
use super::reply::ToolReply;
use super::rules::{self, undeclared};
use super::set::ToolSet;

/// The timeout of a tool call (docs/RUNS.md).
pub(super) const TOOL_TIMEOUT: Duration = Duration::from_secs(30);

/// What a tool call may use. All of it belongs to the run; none of it comes from the model.
#[derive(Clone, Copy)]
pub struct ToolContext<'a> {
    /// The backend, as the run's user.
    pub client: &'a AgentClient,
    /// The workspace of the run.
    pub snapshot: &'a Snapshot,
    /// The role's permissions.
    pub profile: &'a AgentProfile,
    /// The role's tools, with what is known of the backend's operations.
    pub tools: &'a ToolSet,
    /// The run's user.
    pub user: &'a str,
    /// The user's tenant, where the customer's profile names one.
    pub tenant: Option<&'a str>,
    /// The run's task.
    pub task_id: &'a str,
    /// The run's time zone.
    pub zone: Zone,
    /// The key of the run.
    pub run_key: &'a str,
    /// The trace context of the call.
    pub traceparent: Option<&'a str>,
    /// Whether a person has approved this very call.
    pub approved: bool,
    /// Whether the call needs approval although the role's permissions do not ask for it: the model
    /// itself wants a person to decide.
    pub approval_required: bool,
    /// Whether the call may have taken effect already, so that a person has to decide on it.
    pub in_doubt: bool,
    /// Whether nothing is called: what the rules say is the reply.
    pub dry: bool,
    /// The roles that the call's text names, where the role may name any.
    pub mentions: Option<&'a Mentions>,
    /// The tools that the run's model was given since the run began.
    pub loaded: &'a [String],
}

impl ToolContext<'_> {
    /// What the rules say on a call. `endpoint` is the method and path of a call of the backend.
    pub(super) fn decide(
        &self,
        tool: &str,
        endpoint: Option<(&str, &NormalPath)>,
        arguments: &Value,
    ) -> Ruling {
        let (operations, arguments) = (&self.tools.operations().known, arguments.as_object());
        self.profile.tools.ruling(ToolCall { tool, endpoint, arguments, operations })
    }

    /// Refuses a path by which a model would reach what of the contract is not for it.
    pub(super) fn refuse_reserved(&self, what: &str, path: &NormalPath) -> Result<(), ToolReply> {
        if is_reserved(self.client.application_path(), path) {
            let why = format!(
                "{what} is the control plane's own, and no agent calls it, whatever a skill declares"
            );
            return Err(ToolReply::forbidden(why, undeclared()));
        }
        Ok(())
    }

    /// Refuses a message that would name agents beside the limits on that.
    pub(super) fn refuse_mentions(
        &self,
        (method, path): (&str, &NormalPath),
        body: Option<&RawBody>,
    ) -> Result<(), String> {
        if method != "POST" || !is_messages(self.client.application_path(), path) {
            return Ok(());
        }
        match field_of(body) {
            None => Ok(()),
            Some(field) => Err(format!(
                "body.{field}: no agent names others in this way, whatever a skill declares; leave it out, and name \
                 them by the tool post_message where you have it"
            )),
        }
    }

    /// Whether an endpoint declares a field of a request: a skill in its query, or the OpenAPI document.
    pub(super) fn declares(
        &self,
        (method, path): (&str, &NormalPath),
        place: FieldPlace,
        field: &str,
    ) -> bool {
        let mut endpoints = self.snapshot.endpoints().iter().map(|declared| &declared.pattern);
        let by_skill = |pattern: &EndpointPattern| {
            pattern.query().contains(field) && pattern.matches(method, path)
        };
        (place == FieldPlace::Query && endpoints.any(by_skill))
            || self.tools.operations().declares(method, path, place, field)
    }

    /// Lets a call pass that the role's permissions and, where one is needed, a person allow; else
    /// gives the reply that stands for it. `what` names the call.
    pub(super) fn permit(&self, ruling: Ruling, what: &str) -> Result<(), ToolReply> {
        let told = || {
            let role = &self.profile.role;
            ruling.rule.as_ref().map(|rule| rules::rule(self.snapshot, role, rule))
        };
        if let (true, Permission::Allowed | Permission::NeedsApproval) =
            (self.dry, &ruling.permission)
        {
            let waits = self.approval_required || ruling.permission == Permission::NeedsApproval;
            return Err(ToolReply::Judged { waits, rule: told().map(Box::new) });
        }
        match &ruling.permission {
            Permission::Allowed | Permission::NeedsApproval if self.approved => Ok(()),
            Permission::Allowed if self.in_doubt && !self.approval_required => {
                Err(ToolReply::InDoubt(what.to_owned()))
            }
            Permission::Allowed if !self.approval_required => Ok(()),
            Permission::Allowed | Permission::NeedsApproval => {
                Err(ToolReply::NeedsApproval(what.to_owned()))
            }
            Permission::Denied(why) => {
                Err(ToolReply::forbidden(why.clone(), told().unwrap_or_else(undeclared)))
            }
        }
    }
}
