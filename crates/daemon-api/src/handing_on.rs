//! What runs hand on to other roles.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A run that another one asked for (`ask_agent`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChildRun {
    /// Its key.
    pub run_key: String,
    /// Its role.
    pub role: String,
    /// Where it stands, as in the report of a run.
    pub status: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When it last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// The tokens that it used, with those of the runs below it, once it is over or waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::Usage>))]
    pub usage: Option<Value>,
    /// Their price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::Cost<'static>>))]
    pub cost: Option<Value>,
    /// The runs that it asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(no_recursion))]
    pub children: Vec<ChildRun>,
}

/// A run of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunOfRole {
    /// Its key.
    #[serde(default)]
    pub run_key: String,
    /// Its role.
    #[serde(default)]
    pub role: String,
}

/// A role that the agent mentioned and that was not notified.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefusedMention {
    /// The role.
    #[serde(default)]
    pub role: String,
    /// Why: `unknown_role`, `agent_cycle`, `ask_depth`, `ask_fanout` or `needs_approval`.
    #[serde(default)]
    pub code: String,
}
