//! The roles of a workspace: those of `souls/` and of `agent-config.json`; with neither, only `agent`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::{Snapshot, WorkspaceStatus};
use crate::agent_config::{AgentProfile, ModelTier, OutputSpec, ToolLists};
use crate::nearest::nearest;
use crate::redact::RedactRules;
use crate::session::{MAX_ROLE_LEN, Role};

/// The only role of a workspace that declares none.
const DEFAULT_ROLE: &str = "agent";

/// How many roles an error lists.
const MAX_LISTED: usize = 20;

/// A role that can be addressed.
#[derive(Debug, Clone, Serialize)]
pub struct AgentReport {
    /// The role.
    pub role: Role,
    /// The session key, with `{userId}` in place of the user.
    pub session_key_template: String,
    /// The default model tier.
    pub model_tier: ModelTier,
    /// Its tool permissions.
    pub tools: ToolLists,
    /// Whether its `allow` is an empty list: it may call no tool at all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allows_nothing: bool,
    /// The file of its persona; `null` when there is none.
    pub soul: Option<String>,
    /// The output that its replies have to have.
    #[serde(skip)]
    pub output: Option<Arc<OutputSpec>>,
}

/// A role that the workspace does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the workspace has no role {role:?}; {}", hint(.nearest, .known, .total))]
pub struct UnknownRole {
    /// The role, as far as it is as long as a role can be.
    pub role: String,
    /// The role that was probably meant.
    pub nearest: Option<String>,
    /// The workspace's roles, sorted; only the first ones of many.
    pub known: Vec<String>,
    /// How many roles the workspace has.
    pub total: usize,
}

fn hint(nearest: &Option<String>, known: &[String], total: &usize) -> String {
    if let Some(nearest) = nearest {
        return format!("did you mean {nearest:?}?");
    }
    let more = if known.len() < *total { ", …" } else { "" };
    format!("its roles are {}{more}", known.join(", "))
}

/// Why no run of a role may start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The folder cannot be read.
    #[error("no run may start: {0}")]
    Workspace(String),
    /// A file of rules cannot be read, or is invalid, and has no earlier version.
    #[error("no run may start until this file is corrected: {0}")]
    Policy(String),
    /// There is no such role.
    #[error(transparent)]
    Unknown(Box<UnknownRole>),
}

impl Snapshot {
    /// All roles, sorted.
    fn roles(&self) -> BTreeSet<&str> {
        let declared = self.profiles.keys().chain(&self.soul_roles).map(Role::as_str);
        let declared: BTreeSet<&str> = declared.collect();
        if declared.is_empty() { BTreeSet::from([DEFAULT_ROLE]) } else { declared }
    }

    /// Whether the workspace has this role.
    pub fn has_role(&self, name: &str) -> bool {
        let Ok(role) = Role::parse(name) else { return false };
        self.profiles.contains_key(&role)
            || self.soul_roles.contains(&role)
            || (name == DEFAULT_ROLE && self.profiles.is_empty() && self.soul_roles.is_empty())
    }

    /// Whether runs may start at all.
    ///
    /// # Errors
    /// When the workspace or one of its files of rules cannot be used.
    pub fn usable(&self) -> Result<(), RoleError> {
        let Some(problem) = self.blocking().next() else { return Ok(()) };
        let problem = problem.to_string();
        Err(match self.status {
            WorkspaceStatus::Missing => RoleError::Workspace(problem),
            WorkspaceStatus::Ok | WorkspaceStatus::Degraded => RoleError::Policy(problem),
        })
    }

    /// The profile of a role of which a run may start.
    ///
    /// # Errors
    /// When the rules cannot be used, or there is no such role.
    pub fn admit(&self, name: &str) -> Result<AgentProfile, RoleError> {
        self.usable()?;
        match Role::parse(name) {
            Ok(role) if self.has_role(name) => Ok(self.agent(&role)),
            Ok(_) | Err(_) => Err(RoleError::Unknown(Box::new(self.unknown(name)))),
        }
    }

    fn unknown(&self, name: &str) -> UnknownRole {
        let roles = self.roles();
        // Cut first: what a caller sends may be long.
        let role: String = name.chars().take(MAX_ROLE_LEN).collect();
        UnknownRole {
            nearest: nearest(&role, roles.iter().copied()).map(str::to_owned),
            known: roles.iter().take(MAX_LISTED).map(|role| (*role).to_owned()).collect(),
            total: roles.len(),
            role,
        }
    }

    /// The profile of a role; the defaults where it is not configured.
    pub fn agent(&self, role: &Role) -> AgentProfile {
        self.profiles.get(role).cloned().unwrap_or_else(|| AgentProfile::unconfigured(role))
    }

    /// What of a role's runs is redacted.
    pub fn redact_of(&self, role: &Role) -> Option<&Arc<RedactRules>> {
        self.profiles.get(role)?.redact.as_ref()
    }

    /// What of any role's runs is redacted.
    pub fn redacts(&self) -> impl Iterator<Item = &RedactRules> {
        self.profiles.values().filter_map(|profile| profile.redact.as_deref())
    }

    /// The roles that can be addressed.
    pub fn agents(&self) -> Vec<AgentReport> {
        let roles = self.roles().into_iter().filter_map(|role| Role::parse(role).ok());
        roles
            .map(|role| {
                let profile = self.agent(&role);
                let entry = self.config.agents.iter().find(|entry| entry.profile.role == role);
                let soul = if self.souls.contains_key(&role) {
                    Some(format!("souls/{role}.md"))
                } else {
                    self.doc("SOUL.md").map(|_| "SOUL.md".to_owned())
                };
                let tools = entry.map(|entry| entry.tools.clone()).unwrap_or_default();
                AgentReport {
                    allows_nothing: tools.allows_nothing(),
                    session_key_template: profile.session_key_template,
                    model_tier: profile.model_tier,
                    tools,
                    soul,
                    output: profile.output,
                    role,
                }
            })
            .collect()
    }
}
