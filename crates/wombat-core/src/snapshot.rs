//! An immutable snapshot of the workspace: everything that a run needs of it, in memory.

mod roles;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use chrono::NaiveDate;
use serde::Serialize;

use crate::agent_config::{AgentConfig, AgentProfile, RuleRef, ToolLists, ToolPermissions};
use crate::endpoint::EndpointPattern;
use crate::mcp_config::McpConfig;
use crate::operations::Operations;
use crate::prompt::PromptCache;
use crate::session::Role;
use crate::skills::{Skill, SkillReport};

pub use roles::{AgentReport, RoleError, UnknownRole};

/// The folder itself, among the files of rules.
pub(crate) const WORKSPACE: &str = ".";

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

/// What a problem in a file of rules means for runs. Rules are roles, permissions of tools, MCP servers
/// and the endpoints of skills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyEffect {
    /// The last valid version stays in force.
    LastGood,
    /// There is no valid version, so that no run may start.
    NoRuns,
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
    /// For a file of rules: what that means for runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyEffect>,
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

/// A place of `agent-config.json`, the one that takes precedence first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConfigPlace {
    /// Where `WOMBAT_AGENT_CONFIG` says.
    Named,
    /// The workspace.
    Workspace,
    /// `config/` beside the workspace.
    Beside,
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
    /// The roles that `souls/` declares, also those whose file cannot be read.
    pub(crate) soul_roles: BTreeSet<Role>,
    pub(crate) logs: BTreeMap<NaiveDate, Doc>,
    pub(crate) skills: Vec<Skill>,
    pub(crate) reports: Vec<SkillReport>,
    pub(crate) endpoints: Vec<SkillEndpoint>,
    pub(crate) config: AgentConfig,
    /// Which of its places the configuration is from; `None` when there has never been one.
    pub(crate) config_place: Option<ConfigPlace>,
    /// The file itself, as problems name it.
    pub(crate) config_file: Option<String>,
    /// The files of rules without a version that can be used.
    pub(crate) blocked: BTreeSet<String>,
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

    /// The patterns of a role that can match nothing: neither what is known nor what a skill declares.
    pub fn unmatched_patterns(&self, lists: &ToolLists, known: &Operations) -> Vec<String> {
        let declared: Vec<_> =
            self.endpoints.iter().map(|declared| declared.pattern.clone()).collect();
        let unmatched = ToolPermissions::unmatched(lists, known, &declared);
        unmatched.into_iter().map(str::to_owned).collect()
    }

    /// The roles of the configuration, with their rules as they are in the file.
    pub fn tool_lists(&self) -> impl Iterator<Item = (&Role, &ToolLists)> {
        self.config.agents.iter().map(|entry| (&entry.profile.role, &entry.tools))
    }

    /// The file and the line of a role's own rule.
    pub fn place_of(&self, role: &Role, rule: &RuleRef) -> (Option<&str>, Option<usize>) {
        let file = self.config_file.as_deref();
        (file, file.and_then(|_| self.config.rule_line(role, rule)))
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

    /// The configured roles.
    pub fn profiles(&self) -> impl Iterator<Item = &AgentProfile> {
        self.profiles.values()
    }

    /// The MCP servers of `mcp.json`.
    pub fn mcp(&self) -> &Arc<McpConfig> {
        &self.mcp
    }

    /// Whether a file of rules has a version that can be used; `file` is its name within the workspace.
    pub(crate) fn holds(&self, file: &str) -> bool {
        let is_whole = file != WORKSPACE || self.blocked.is_empty();
        is_whole && !self.blocked.contains(file) && !self.blocked.contains(WORKSPACE)
    }

    /// The problems because of which no run may start.
    pub fn blocking(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.policy == Some(PolicyEffect::NoRuns))
    }

    /// How many files of rules have a problem with this effect.
    pub fn policy_problems(&self, effect: PolicyEffect) -> usize {
        self.problems.iter().filter(|problem| problem.policy == Some(effect)).count()
    }
}
