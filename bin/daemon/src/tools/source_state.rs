//! The state of a source of tools, as `/health` shows it and `wombat-daemon check` reads it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// How a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceStatus {
    /// It was read, or is connected.
    Ok,
    /// It could not be read or reached; `error` says why.
    Error,
    /// It is being read for the first time.
    Loading,
    /// An MCP server whose first connection is under way.
    Connecting,
    /// Nobody has needed it yet.
    Unchecked,
}

/// A source of tools: the OpenAPI document, the backend's list, or an MCP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceState {
    /// How it is.
    pub status: SourceStatus,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many operations the OpenAPI document has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<usize>,
    /// How many tools come from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<usize>,
    /// What of it costs tools, or a part of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problems: Option<Vec<String>>,
    /// Name and version that an MCP server reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// How the names of an MCP server's tools begin, where that is not its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools_begin_with: Option<String>,
}

impl SourceState {
    /// One of which nothing else is known.
    pub fn new(status: SourceStatus, error: Option<String>) -> Self {
        Self {
            status,
            error,
            operations: None,
            tools: None,
            problems: None,
            server: None,
            tools_begin_with: None,
        }
    }
}

/// What the models of a provider do not get of the tools: by kind, where there is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelTools {
    /// Tools that are left out, each with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// What is cut of tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<String>,
    /// What has another name there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mapped: Vec<String>,
    /// Why the model sees no tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
}

/// How many tools a role's model is given, where it finds others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ToolCounts {
    /// At once.
    pub direct: usize,
    /// By `find_tools`.
    pub deferred: usize,
}

/// All sources.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SourcesState {
    /// The OpenAPI document, where one is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openapi: Option<SourceState>,
    /// The backend's own tools, where it may offer any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<SourceState>,
    /// The MCP servers by their names in `mcp.json`.
    pub mcp: BTreeMap<String, SourceState>,
    /// How many tools are given at once and found, by role, where any are found: of roles that have been run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deferred: BTreeMap<String, ToolCounts>,
    /// What is left out, cut and mapped, by model.
    pub models: BTreeMap<String, ModelTools>,
}

impl SourcesState {
    /// Whether no source has failed.
    pub fn is_well(&self) -> bool {
        let sources = self.openapi.iter().chain(&self.backend).chain(self.mcp.values());
        !sources.into_iter().any(|source| source.status == SourceStatus::Error)
    }
}
