//! What the daemon says of itself: its roles, and what its backend offers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ErrorBody;

/// The body of `GET /api/agents`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Agents {
    /// The roles, in the order of their names.
    pub agents: Vec<AgentInfo>,
}

/// A role that can be messaged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentInfo {
    /// The role's name.
    pub role: String,
    /// The tier of its model: `default`, `cheap` or `best`.
    pub model_tier: String,
    /// The tools it may call.
    pub tools: ToolLists,
    /// Whether it may call no tool at all: its `allow` in `agent-config.json` is an empty list.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allows_nothing: bool,
}

/// The tools that a role may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolLists {
    /// Allowed tools; when empty, all that are declared, unless the role may call none.
    pub allow: Vec<String>,
    /// Denied tools.
    pub deny: Vec<String>,
    /// Tools whose calls await a person's approval.
    pub approval: Vec<String>,
}

/// The body of `GET /tools`: what the roles may call now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunningTools {
    /// The daemon's version.
    pub version: String,
    /// The folder of the workspace, as the daemon's settings name it, made absolute.
    pub workspace: String,
    /// The digest of the workspace that is in use.
    pub workspace_digest: String,
    /// How many operations the OpenAPI document has; absent when none is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openapi_operations: Option<usize>,
    /// The roles, in the order of their names.
    pub roles: Vec<RoleTools>,
    /// The tools that there are, in the order in which models see them, also those that no role may call.
    pub tools: Vec<ListedTool>,
}

/// The tools of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoleTools {
    /// The role's name.
    pub role: String,
    /// Its tools, in the order in which a model sees them; those that it has to find come last.
    pub tools: Vec<ToolInfo>,
}

/// A tool that a role may call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolInfo {
    /// Its name.
    pub name: String,
    /// Where it comes from: `built-in`, `openapi`, `backend` or `mcp`.
    pub source: String,
    /// Whether a model is not given it at once, but finds it by `find_tools`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
}

/// A tool, and who may call it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ListedTool {
    /// Its name.
    pub name: String,
    /// What each role of the workspace may.
    pub roles: Vec<ToolVerdict>,
}

/// What a role may do with a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolVerdict {
    /// The role.
    pub role: String,
    /// Whether it may call the tool.
    pub may_call: MayCall,
    /// The rule that says so, with its file, where it is not simply a yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether the role's model is not given it at once, but finds it by `find_tools`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
}

/// Whether a role may call a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MayCall {
    /// Each call that is declared.
    Yes,
    /// Calls, or some of them, once a person has approved them.
    WithApproval,
    /// None.
    No,
}

/// The body of `GET /api/compatibility`: how daemon and backend fit together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compatibility {
    /// Whether the backend has all that the daemon needs.
    pub compatible: bool,
    /// The version of the contract that the daemon speaks.
    pub contract_version: String,
    /// The backend's, where it says one.
    pub backend_contract_version: Option<String>,
    /// What the backend offers, by the contract's names of features.
    pub features: Value,
    /// What the daemon needs and the backend lacks.
    pub missing_required: Vec<String>,
    /// What runs have to do without.
    pub warnings: Vec<String>,
    /// Where people see what there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<Pages>,
    /// Why nothing is known of the backend.
    #[serde(flatten)]
    pub error: Option<ErrorBody>,
}

/// The addresses of the backend's pages for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pages {
    /// The page of a task, with `{task_id}` and `{user_id}` where its ids go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

impl Compatibility {
    /// Whether the backend offers a feature.
    pub fn has(&self, feature: &str) -> bool {
        self.features[feature] == true
    }
}
