//! The rules by which calls of tools are allowed, wait for a person, or are refused.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::answer::Step;

/// Where a rule stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RuleSource {
    /// The role's lists in `agent-config.json`.
    AgentConfig,
    /// The customer's profile.
    Profile,
    /// A skill, which declares an endpoint.
    Skill,
    /// Nothing declares it.
    #[default]
    Undeclared,
    /// The schema of the tool's arguments.
    Schema,
    /// One that this version does not know.
    #[serde(untagged)]
    Other(String),
}

/// The rule by which a call is allowed, waits for a person, or is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rule {
    /// `agent-config`, `profile`, `skill`, `undeclared` or `schema`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required, value_type = String))]
    pub source: RuleSource,
    /// The list: `allow`, `deny`, `approval` or `enable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// The pattern, as it is written there; absent where a list does not name the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// A call of a run that a rule refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefusedCall {
    /// The tool.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tool: String,
    /// What it was called with.
    #[serde(default)]
    pub arguments: Value,
    /// The rule.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub rule: Rule,
}

impl RefusedCall {
    /// The calls among these that a rule refused.
    pub fn of(steps: &[Step]) -> Vec<Self> {
        let refused = steps.iter().filter_map(|step| Some((step, step.rule.clone()?)));
        let call = |(step, rule): (&Step, Rule)| {
            let (tool, arguments) = (step.name.clone(), step.arguments.clone());
            Self { tool, arguments, rule }
        };
        refused.map(call).collect()
    }
}

/// `POST /api/agents/can`: whether a role may make a call. Nothing is called.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Can {
    /// The user whose agent it is.
    pub user_id: String,
    /// The role.
    pub role: String,
    /// A tool, or `METHOD /path`.
    pub call: String,
    /// The arguments; without them the rules are asked as far as they do not depend on any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub arguments: Option<Map<String, Value>>,
    /// The workspace, by its name; the one that the user has when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CallDecision {
    /// It is made.
    Allowed,
    /// It waits for a person.
    Approval,
    /// It is refused.
    #[default]
    Denied,
}

/// The answer to [`Can`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CanAnswer {
    /// Whether the call may be made.
    pub decision: CallDecision,
    /// The tool that makes it.
    pub tool: String,
    /// The endpoint that it reaches, `METHOD /path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The rule that decides.
    pub rule: Rule,
    /// Why it is refused, in words: what is wrong with the arguments, say. Empty where it is not.
    #[serde(default)]
    pub errors: Vec<String>,
    /// Whether the role's model is not given the tool at once, but finds it by `find_tools`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
}
