//! The schemas of the outputs that roles always answer with.

use wombat_core::workspace::{Snapshot, WorkspaceOptions};

use super::Report;
use crate::schema::reply::compile;

impl Report {
    /// Compiles every role's schema: a bad one is found before a run is refused for it.
    pub(super) async fn outputs(&mut self, options: &WorkspaceOptions, snapshot: &Snapshot) {
        let file = options.agent_config.clone();
        let file = file.unwrap_or_else(|| options.path.join("agent-config.json"));
        for agent in snapshot.agents() {
            let Some(output) = agent.output else { continue };
            let role = agent.role.as_str();
            match compile(&output.schema).await {
                Ok(_) => self.good(format!(
                    "workspace: {role} always answers with JSON, the output {:?}",
                    output.name
                )),
                Err(why) => self.fail(format!(
                    "workspace: {}: agent {role:?}: output.schema: {why}; correct it, or runs of \
                     this role are refused",
                    file.display()
                )),
            }
        }
    }
}
