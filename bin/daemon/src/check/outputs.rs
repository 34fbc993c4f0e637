//! The schemas of the outputs that roles always answer with.

use std::path::PathBuf;

use wombat_core::workspace::{Snapshot, WorkspaceOptions};

use super::Report;
use schemas::reply::compile;

/// The file that says what roles there are, by the order of its places.
fn config_of(options: &WorkspaceOptions) -> PathBuf {
    const CONFIG: &str = "agent-config.json";
    let own = options.path.join(CONFIG);
    match &options.agent_config {
        Some(named) => named.clone(),
        None if own.exists() => own,
        None => options.path.join("../config").join(CONFIG),
    }
}

impl Report {
    /// Compiles every role's schema: a bad one is found before a run is refused for it.
    pub(super) async fn outputs(&mut self, options: &WorkspaceOptions, snapshot: &Snapshot) {
        let file = config_of(options);
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
