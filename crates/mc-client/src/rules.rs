//! Rules by which tools are refused: what journals say of them.

use serde::{Deserialize, Serialize};

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleSource {
    /// The role's lists in `agent-config.json`.
    AgentConfig,
    /// The customer's profile.
    Profile,
    /// A skill, which declares an endpoint.
    Skill,
    /// Nothing declares it.
    Undeclared,
    /// The schema of the tool's arguments.
    Schema,
}

/// The rule by which a call is allowed, waits for a person, or is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Where it stands.
    pub source: RuleSource,
    /// The list: `allow`, `deny`, `approval` or `enable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// The pattern, as it is written there; none where a list does not name the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// A tool that a rule keeps from a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedTool {
    /// Its name.
    pub tool: String,
    /// The rule.
    pub rule: Rule,
}
