//! Built-in tools that only those roles have which enable them (`tools.enable` and `schedules` in agent-config.json).
//! Each is a file beside this one, with a line in [`ALL`].

use std::fmt;

use futures::future::BoxFuture;
use llm::request::ToolSpec;
use mc_client::types::Capabilities;
use serde_json::Value;
use wombat_core::agent_config::{NamedTool, ToolPermissions};

use super::ask_agent;
use super::ask_user;
use super::context::ToolContext;
use super::mention;
use super::reply::ToolReply;
use super::save_file;
use super::schedules;

/// Makes a call: with arguments that fit the schema, after the role's rules have been asked, under this
/// idempotency key.
type Call = for<'a> fn(&'a ToolContext<'a>, &'a Value, String) -> BoxFuture<'a, ToolReply>;

/// A tool that a role may enable.
pub(super) struct EnabledTool {
    /// One of [`wombat_core::agent_config::ENABLED_TOOLS`].
    pub(super) name: &'static str,
    /// What it does, for the model.
    pub(super) description: &'static str,
    /// The JSON Schema of its arguments.
    pub(super) parameters: fn() -> Value,
    /// The features of the backend without which it does not exist.
    pub(super) needs: &'static [&'static str],
    /// Whether `tools.approval` counts for it.
    pub(super) approves: bool,
    /// Makes a call.
    pub(super) call: Call,
}

/// All of them, in the order in which the model sees them.
pub(super) const ALL: [&EnabledTool; 7] = [
    &ask_user::TOOL,
    &ask_agent::TOOL,
    &mention::TOOL,
    &save_file::TOOL,
    &schedules::MAKE,
    &schedules::LIST,
    &schedules::DELETE,
];

/// The features that a tool needs, by its name, and the backend lacks.
pub fn missing_features(tool: &str, capabilities: &Capabilities) -> Vec<&'static str> {
    let needs = ALL.iter().find(|known| known.name == tool).map_or(&[][..], |known| known.needs);
    needs.iter().copied().filter(|feature| !capabilities.has(feature)).collect()
}

impl EnabledTool {
    /// Whether a role has it.
    pub(super) fn is_for(&self, rules: &ToolPermissions, capabilities: &Capabilities) -> bool {
        rules.enables(self.name)
            && self.is_available(capabilities)
            && rules.could_allow(&NamedTool::without_endpoint(self.name))
    }

    /// Whether the backend has what it needs.
    pub(super) fn is_available(&self, capabilities: &Capabilities) -> bool {
        self.needs.iter().all(|feature| capabilities.has(feature))
    }

    /// The tool as the model sees it.
    pub(super) fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            parameters: (self.parameters)(),
        }
    }
}

impl fmt::Debug for EnabledTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EnabledTool").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use wombat_core::agent_config::ENABLED_TOOLS;

    use super::*;

    #[test]
    fn each_is_a_tool_that_a_role_can_enable() {
        for tool in ALL {
            assert!(ENABLED_TOOLS.contains(&tool.name), "{}", tool.name);
        }
    }
}
