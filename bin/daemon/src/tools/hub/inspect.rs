//! What `wombat-daemon check` asks of the sources.

use std::sync::Arc;
use std::time::Duration;

use daemon_api::{RoleTools, ToolInfo};
use mc_client::types::Capabilities;
use tokio::time::timeout;
use wombat_core::advice::KnownTools;
use wombat_core::session::Role;
use wombat_core::workspace::Snapshot;

use super::Tools;
use crate::tools::model_forms;
use crate::tools::set::ToolSet;
use crate::tools::source_state::SourceStatus;
use crate::tools::specs::builtin_names;

/// All that the sources offer, for `wombat-daemon check`.
#[derive(Debug)]
pub struct Inspection {
    /// The tools.
    pub known: KnownTools,
    /// The OpenAPI document.
    pub document: DocumentState,
    /// What costs tools, or a part of their descriptions.
    pub problems: Vec<String>,
    /// What has another name at a provider.
    pub mapped: Vec<String>,
    /// The tools of each role.
    pub roles: Vec<RoleTools>,
}

/// What became of the OpenAPI document.
#[derive(Debug)]
pub enum DocumentState {
    /// `WOMBAT_BACKEND_OPENAPI` is not set.
    Unset,
    /// It was read.
    Read {
        /// Where from, in words.
        from: String,
        /// How many operations it has.
        operations: usize,
    },
    /// Why it was not.
    Failed(String),
}

/// How old the OpenAPI document may be for [`Tools::overview`].
const OVERVIEW_TTL: Duration = Duration::from_secs(1);

/// How long [`Tools::overview`] waits for it.
const OVERVIEW_WAIT: Duration = Duration::from_secs(5);

impl Tools {
    /// The tools of all roles as a run would get them now, and how many operations the OpenAPI document
    /// has. The document is read again for it, at most once a second.
    pub async fn overview(
        &self,
        snapshot: &Arc<Snapshot>,
        capabilities: &Arc<Capabilities>,
    ) -> (Option<usize>, Vec<RoleTools>) {
        if let Some(openapi) = &self.openapi {
            openapi.refresh_older_than(OVERVIEW_TTL);
            // On timeout or failure the document that is in use goes on to be.
            let _settled = timeout(OVERVIEW_WAIT, openapi.fetch_result()).await.is_ok();
        }
        let sources = self.sources(snapshot, capabilities).await;
        let operations = sources.document.as_ref().map(|document| document.candidates().count());
        let built = self.built(sources).await;
        let agents = snapshot.agents().into_iter();
        let sets =
            agents.map(|agent| (built.set(snapshot, &snapshot.agent(&agent.role)), agent.role));
        (operations, sets.map(|(set, role)| of_role(&role, &set)).collect())
    }

    /// Asks all sources for their tools, for `wombat-daemon check`.
    pub async fn inspect(
        &self,
        snapshot: &Arc<Snapshot>,
        capabilities: &Arc<Capabilities>,
    ) -> Inspection {
        let (mut problems, mut missing, mut silent_servers) = (Vec::new(), Vec::new(), Vec::new());
        let mut document = DocumentState::Unset;
        if let (Some(openapi), Some(source)) = (&self.openapi, &self.source) {
            document = match openapi.fetch_result().await {
                Ok(read) => DocumentState::Read {
                    from: source.meant().await,
                    operations: read.candidates().count(),
                },
                Err(why) => DocumentState::Failed(why),
            };
        }
        if let DocumentState::Failed(_) = document {
            missing.push("WOMBAT_BACKEND_OPENAPI".to_owned());
        }
        if self.application.may_offer_tools(capabilities)
            && let Err(why) = self.backend.fetch_result().await
        {
            missing.push("the backend's tools".to_owned());
            problems.push(format!("the backend's tools (GET /api/tools): {why}"));
        }
        let sources = self.sources(snapshot, capabilities).await;
        let built = self.built(sources).await;
        let (catalogue, operations) = (&built.catalogue, &built.operations);
        let profiles = snapshot.agents().into_iter().map(|agent| snapshot.agent(&agent.role));
        let (mut forms, mut roles) = (Vec::new(), Vec::new());
        for profile in profiles {
            let set = built.set(snapshot, &profile);
            forms.extend(self.forms(&set));
            roles.push(of_role(&profile.role, &set));
        }
        let (lost, mapped) = model_forms::lines(&forms);
        let mut left_out = Vec::new();
        for (name, server) in self.mcp.states(snapshot.mcp(), &[]) {
            if server.status != SourceStatus::Ok {
                let why = server.error.as_deref().unwrap_or("timeout");
                silent_servers.push(name.clone());
                // A disabled one is the workspace's advice, with its line.
                if !snapshot.mcp().servers.get(&name).is_some_and(Result::is_err) {
                    problems.push(format!("mcp.json: {name}: {why}"));
                }
            }
            let told = server.problems.into_iter().flatten();
            left_out.extend(told.map(|what| format!("mcp.json: {name}: {what}")));
        }
        problems.extend(left_out);
        let left_out = catalogue.openapi_problems.iter().map(|p| format!("OpenAPI: {p}"));
        problems.extend(left_out);
        problems.extend(catalogue.backend_problems.iter().map(|p| format!("GET /api/tools: {p}")));
        problems.extend(catalogue.mcp_problems.iter().map(|(s, p)| format!("mcp.json: {s}: {p}")));
        problems.extend(lost);
        let builtin = builtin_names().into_iter().map(str::to_owned);
        let external = catalogue.tools.iter().map(|tool| tool.name().to_owned());
        let known = KnownTools {
            names: builtin.chain(external).collect(),
            operations: operations.known.clone(),
            documented: operations.documented(),
            missing,
            silent_servers,
        };
        Inspection { known, document, problems, mapped, roles }
    }
}

fn of_role(role: &Role, set: &ToolSet) -> RoleTools {
    let info = |name: &str, deferred| {
        let source = set.source(name).to_owned();
        ToolInfo { name: name.to_owned(), source, deferred }
    };
    let direct = set.specs().iter().map(|tool| info(&tool.name, false));
    let deferred = set.deferred_names().iter().map(|name| info(name, true));
    RoleTools { role: role.to_string(), tools: direct.chain(deferred).collect() }
}
