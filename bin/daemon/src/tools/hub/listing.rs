//! Which tools there are, and which roles may call each (`GET /tools`).

use std::sync::Arc;

use daemon_api::{ListedTool, MayCall, ToolVerdict};
use mc_client::types::Capabilities;
use wombat_core::agent_config::{AgentProfile, NamedTool};
use wombat_core::workspace::Snapshot;

use super::Tools;
use crate::tools::enabled;
use crate::tools::operations::BackendOperations;
use crate::tools::set::ToolSet;
use crate::tools::specs::{Builtin, FIND_TOOLS};

/// The tool whose calls may go to any declared endpoint.
const CALL_BACKEND: &str = "call_backend";

impl Tools {
    /// The tools that there are, each with what every role may.
    pub async fn list(
        &self,
        snapshot: &Arc<Snapshot>,
        capabilities: &Arc<Capabilities>,
    ) -> Vec<ListedTool> {
        let built = self.built(self.sources(snapshot, capabilities).await).await;
        let roles = snapshot.agents().into_iter().map(|agent| snapshot.agent(&agent.role));
        let roles: Vec<_> = roles.map(|role| (built.set(snapshot, &role), role)).collect();
        let has_skills = snapshot.skills().iter().any(|skill| skill.enabled);
        let builtins = Builtin::ALL
            .into_iter()
            .filter(|tool| tool.available(capabilities, has_skills, snapshot.endpoints()))
            .map(|tool| tool.name().to_owned());
        let finds = roles.iter().any(|(set, _)| set.has(FIND_TOOLS));
        let finder = finds.then(|| FIND_TOOLS.to_owned());
        let enabled = enabled::ALL.into_iter().filter(|tool| tool.is_available(capabilities));
        let enabled = enabled.map(|tool| tool.name.to_owned());
        let external = built.catalogue.tools.iter().map(|tool| tool.name().to_owned());
        let listed = builtins.chain(enabled).chain(finder).chain(external).map(|name| {
            let verdicts = roles.iter().map(|(set, role)| verdict(set, role, snapshot, &name));
            ListedTool { roles: verdicts.collect(), name }
        });
        listed.collect()
    }
}

/// What a role may do with a tool, and by which rule.
fn verdict(set: &ToolSet, role: &AgentProfile, snapshot: &Snapshot, name: &str) -> ToolVerdict {
    let named = role.role.as_str().to_owned();
    if !set.has(name) {
        let why = set.why_withheld(name).unwrap_or_else(|| match name {
            CALL_BACKEND => "agent-config.json allows it none of the declared endpoints".to_owned(),
            FIND_TOOLS => "it is given all its tools at once".to_owned(),
            _ => "no enabled skill declares it".to_owned(),
        });
        let (may_call, deferred) = (MayCall::No, false);
        return ToolVerdict { role: named, may_call, why: Some(why), deferred };
    }
    let deferred = set.is_deferred(name);
    let why = match name {
        // It calls nothing.
        FIND_TOOLS => None,
        _ => why_approval(set.operations(), role, snapshot, name),
    };
    let may_call = if why.is_some() { MayCall::WithApproval } else { MayCall::Yes };
    ToolVerdict { role: named, may_call, why, deferred }
}

/// The rule by which calls of a tool, or some of them, wait for a person.
fn why_approval(
    operations: &BackendOperations,
    role: &AgentProfile,
    snapshot: &Snapshot,
    name: &str,
) -> Option<String> {
    if name == CALL_BACKEND {
        let declared = snapshot.endpoints().iter().map(|declared| &declared.pattern);
        let mut tools =
            declared.map(|endpoint| NamedTool { name, id: None, endpoint: Some(endpoint) });
        return tools.find_map(|tool| role.tools.why_approval(&tool));
    }
    match operations.known.iter().find(|operation| operation.tool == name) {
        Some(operation) => role.tools.why_approval(&NamedTool::from(operation)),
        None => role.tools.why_approval(&NamedTool::without_endpoint(name)),
    }
}
