//! An immutable snapshot of the workspace: everything that a run needs of it, in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use chrono::NaiveDate;
use serde::Serialize;

use crate::agent_config::{AgentConfig, AgentProfile, ModelTier, ToolLists};
use crate::endpoint::EndpointPattern;
use crate::mcp_config::McpConfig;
use crate::prompt::PromptCache;
use crate::session::Role;
use crate::skills::{Skill, SkillReport};

/// Whether a workspace can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceStatus {
    /// Everything works.
    Ok,
    /// It can be used, but something in it does not work.
    Degraded,
    /// The folder does not exist or cannot be read.
    Missing,
}

/// Something in the workspace that does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, within the workspace.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.reason),
            None => write!(f, "{}: {}", self.file, self.reason),
        }
    }
}

/// A file of the prompt, truncated to the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doc {
    pub(crate) text: String,
    pub(crate) raw_chars: usize,
    pub(crate) injected_chars: usize,
    pub(crate) truncated: bool,
}

/// An endpoint and the skill that declares it.
#[derive(Debug, Clone)]
pub struct SkillEndpoint {
    /// The endpoint.
    pub pattern: EndpointPattern,
    /// The skill's name.
    pub skill: String,
}

/// Why a skill's text cannot be read. The text is for the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkillReadError {
    /// There is no such skill.
    #[error("there is no skill {name:?}; the skills are: {known}")]
    UnknownSkill {
        /// The requested name.
        name: String,
        /// The available names.
        known: String,
    },
    /// The skill has no such file.
    #[error("skill {skill:?} has no file {file:?}; it has: {known}")]
    UnknownFile {
        /// The skill.
        skill: String,
        /// The requested name.
        file: String,
        /// The available names.
        known: String,
    },
}

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
    /// The file of its persona; `null` when there is none.
    pub soul: Option<String>,
}

/// The workspace at one moment; immutable.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) path: PathBuf,
    pub(crate) status: WorkspaceStatus,
    pub(crate) problems: Vec<Problem>,
    pub(crate) digest: String,
    /// The files of the folder itself, by name.
    pub(crate) docs: BTreeMap<String, Doc>,
    pub(crate) souls: BTreeMap<Role, Doc>,
    pub(crate) logs: BTreeMap<NaiveDate, Doc>,
    pub(crate) skills: Vec<Skill>,
    pub(crate) reports: Vec<SkillReport>,
    pub(crate) endpoints: Vec<SkillEndpoint>,
    pub(crate) config: AgentConfig,
    pub(crate) mcp: Arc<McpConfig>,
    pub(crate) profiles: BTreeMap<Role, AgentProfile>,
    pub(crate) boot_complete: bool,
    pub(crate) inline_skills: bool,
    pub(crate) cache: Mutex<PromptCache>,
}

impl Snapshot {
    /// Whether it can be used.
    pub fn status(&self) -> WorkspaceStatus {
        self.status
    }

    /// The folder, as configured.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The problems in it.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// SHA-256 over everything that was read, hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// `BOOT.md`, if there is one.
    pub fn boot(&self) -> Option<&str> {
        self.doc("BOOT.md").map(|doc| doc.text.as_str())
    }

    /// Whether the first run is over.
    pub fn boot_complete(&self) -> bool {
        self.boot_complete
    }

    /// `HEARTBEAT.md`, if there is one.
    pub fn heartbeat(&self) -> Option<&str> {
        self.doc("HEARTBEAT.md").map(|doc| doc.text.as_str())
    }

    /// The skills, including disabled ones.
    pub fn skills(&self) -> &[SkillReport] {
        &self.reports
    }

    /// The endpoints of the enabled skills.
    pub fn endpoints(&self) -> &[SkillEndpoint] {
        &self.endpoints
    }

    /// Whether any skill is visible to the model.
    pub fn has_visible_skills(&self) -> bool {
        self.visible_skills().next().is_some()
    }

    pub(crate) fn visible_skills(&self) -> impl Iterator<Item = &Skill> {
        self.skills.iter().filter(|skill| skill.is_visible())
    }

    pub(crate) fn doc(&self, name: &str) -> Option<&Doc> {
        self.docs.get(name)
    }

    /// A skill's text, or that of a file beside it.
    pub fn read_skill(&self, name: &str, file: Option<&str>) -> Result<&str, SkillReadError> {
        let Some(skill) = self.visible_skills().find(|skill| skill.name == name) else {
            let known: Vec<_> = self.visible_skills().map(|skill| skill.name.as_str()).collect();
            return Err(SkillReadError::UnknownSkill {
                name: name.to_owned(),
                known: known.join(", "),
            });
        };
        match file {
            None | Some("" | "SKILL.md") => Ok(&skill.body),
            Some(file) => skill.files.get(file).map(String::as_str).ok_or_else(|| {
                let known: Vec<_> = skill.files.keys().map(String::as_str).collect();
                SkillReadError::UnknownFile {
                    skill: name.to_owned(),
                    file: file.to_owned(),
                    known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
                }
            }),
        }
    }

    /// The profile of a role; any valid role can be addressed.
    pub fn agent(&self, role: &Role) -> AgentProfile {
        self.profiles.get(role).cloned().unwrap_or_else(|| AgentProfile::unconfigured(role))
    }

    /// The configured roles.
    pub fn profiles(&self) -> impl Iterator<Item = &AgentProfile> {
        self.profiles.values()
    }

    /// The MCP servers of `mcp.json`.
    pub fn mcp(&self) -> &Arc<McpConfig> {
        &self.mcp
    }

    /// The roles of `souls/` and of the configuration.
    pub fn agents(&self) -> Vec<AgentReport> {
        let mut roles: Vec<&Role> = self.profiles.keys().chain(self.souls.keys()).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
            .into_iter()
            .map(|role| {
                let profile = self.agent(role);
                let entry = self.config.agents.iter().find(|entry| entry.profile.role == *role);
                let soul = if self.souls.contains_key(role) {
                    Some(format!("souls/{role}.md"))
                } else {
                    self.doc("SOUL.md").map(|_| "SOUL.md".to_owned())
                };
                AgentReport {
                    role: role.clone(),
                    session_key_template: profile.session_key_template,
                    model_tier: profile.model_tier,
                    tools: entry.map(|entry| entry.tools.clone()).unwrap_or_default(),
                    soul,
                }
            })
            .collect()
    }
}
