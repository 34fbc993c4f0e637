//! Tools that roles enable, and that the backend cannot keep.

use mc_client::types::Capabilities;
use wombat_core::agent_config::SCHEDULE;
use wombat_core::workspace::Snapshot;

use super::Report;
use crate::tools::missing_features;

impl Report {
    /// Names each tool that a role enables and that does not exist, because the backend lacks a feature.
    pub(super) fn enabled(&mut self, snapshot: &Snapshot, capabilities: &Capabilities) {
        for (role, lists) in snapshot.tool_lists() {
            for tool in &lists.enable {
                let missing = missing_features(tool, capabilities);
                if !missing.is_empty() {
                    self.warn(format!(
                        "tools: {role} enables {tool:?}, which needs a backend with {}; it does not exist",
                        missing.join(", ")
                    ));
                }
            }
        }
        let missing = missing_features(SCHEDULE, capabilities);
        let profiles = snapshot.profiles();
        for agent in profiles.filter(|agent| agent.schedules && !missing.is_empty()) {
            self.warn(format!(
                "tools: {} has \"schedules\": true, which needs a backend with {}; it schedules nothing",
                agent.role,
                missing.join(", ")
            ));
        }
    }
}
