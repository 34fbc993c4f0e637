//! Loading the files that hold rules: the configuration of roles, MCP servers, skills.
//!
//! What cannot be read whole never takes rules away. Its last valid version stays in force; when there has
//! been none since the start, no run may start.

use std::path::Path;
use std::sync::Arc;

use super::Pass;
use crate::agent_config::AgentConfig;
use crate::jsonc;
use crate::loader::{Folder, Read, read_outside};
use crate::mcp_config::{McpConfig, application_keys};
use crate::skills::{self, BrokenSkill, GateContext, Skill, SkillReport};
use crate::snapshot::{ConfigPlace, PolicyEffect, Problem};
use crate::workspace::options::WorkspaceOptions;

const CONFIG: &str = "agent-config.json";
const MCP: &str = "mcp.json";
const SKILLS: &str = "skills";

impl Pass<'_> {
    /// Takes note of a file of rules that cannot be used; returns whether its last valid version stays in
    /// force. `slot` is its name, whatever its place.
    pub(super) fn policy_problem(
        &mut self,
        slot: &str,
        file: &str,
        line: Option<usize>,
        reason: String,
    ) -> bool {
        let keeps = self.before.is_some_and(|before| before.holds(slot));
        if !keeps {
            self.blocked.insert(slot.to_owned());
        }
        let effect = if keeps { PolicyEffect::LastGood } else { PolicyEffect::NoRuns };
        let file = file.to_owned();
        self.problems.push(Problem { file, line, reason, policy: Some(effect) });
        keeps
    }

    /// The configuration, and where it is from.
    pub(super) fn config(&mut self, folder: &Folder) -> (AgentConfig, Option<ConfigPlace>) {
        let was = self.before.and_then(|before| before.config_place);
        let (place, found) = find_config(self.options, folder);
        let is_missing = found == Read::Missing;
        // An editor replaces a file by another one, and somebody may delete it: neither lifts what it
        // forbids, and no other file takes its place.
        let gone = was.filter(|was| is_missing || *was < place);
        let place = gone.unwrap_or(place);
        let file = place.file(self.options);
        let (line, reason) = match (gone, found) {
            (Some(_), _) => (
                None,
                "does not exist any more; put it back, or restart the daemon to do without it"
                    .to_owned(),
            ),
            (None, Read::Missing) => return (AgentConfig::default(), None),
            (None, Read::Bad(reason)) => (None, reason),
            (None, Read::Text(text)) => {
                match AgentConfig::parse(&text, &|name| self.options.variable(name)) {
                    Ok(config) => {
                        self.count(CONFIG, &text);
                        return (config, Some(place));
                    }
                    Err(error) => (error.line, error.reason),
                }
            }
        };
        self.policy_problem(CONFIG, &file, line, reason);
        let config = self.before.map(|before| before.config.clone()).unwrap_or_default();
        self.count(CONFIG, &config.raw.to_string());
        (config, Some(place))
    }

    pub(super) fn mcp(&mut self, folder: &Folder) -> Arc<McpConfig> {
        let kept = self.before.map(|before| before.mcp.clone()).unwrap_or_default();
        let (line, reason) = match folder.read_whole(MCP) {
            // Without it there are fewer tools, and none that a rule would have forbidden.
            Read::Missing => return Arc::default(),
            Read::Bad(reason) => (None, reason),
            Read::Text(text) => {
                // As editors have it; programs are started there.
                let here = std::path::absolute(&self.options.path).unwrap_or_default();
                let variable = |name: &str| match name {
                    "workspaceFolder" | "workspaceRoot" => Some(here.display().to_string()),
                    _ => self.options.variable(name),
                };
                match McpConfig::parse(&text, &variable) {
                    Ok(config) => {
                        self.count(MCP, &text);
                        // An unchanged configuration stays the same object, so that its servers keep running.
                        if *kept == config {
                            return kept;
                        }
                        for (line, name) in application_keys(&jsonc::plain(&text), &variable) {
                            tracing::warn!(
                                "{MCP}:{line}: ${{{name}}} passes on what looks like the application's own key"
                            );
                        }
                        return Arc::new(config);
                    }
                    Err(error) => (error.line, error.reason),
                }
            }
        };
        self.policy_problem(MCP, MCP, line, reason);
        kept
    }

    pub(super) fn skills(
        &mut self,
        folder: &Folder,
        config: &AgentConfig,
    ) -> (Vec<Skill>, Vec<SkillReport>) {
        let mut loaded: Vec<Skill> = Vec::new();
        let mut reports = Vec::new();
        if let Some(reason) = folder.unlistable(SKILLS) {
            self.policy_problem(SKILLS, SKILLS, None, reason);
            let kept = self.before.map(|before| (before.skills.clone(), before.reports.clone()));
            return kept.unwrap_or_default();
        }
        for name in folder.list(SKILLS) {
            let location = format!("{SKILLS}/{name}/SKILL.md");
            let read = match folder.read_whole(&location) {
                Read::Missing => continue,
                Read::Bad(reason) => Err(BrokenSkill { line: None, reason, is_policy: true }),
                Read::Text(text) => self.skill(folder, config, &name, &text),
            };
            let read = read.and_then(|skill| match same_name(&loaded, &skill) {
                None => Ok(skill),
                Some(reason) => Err(BrokenSkill { line: None, reason, is_policy: false }),
            });
            match read {
                Ok(skill) => {
                    reports.push(report(&skill));
                    loaded.push(skill);
                }
                Err(broken) => {
                    let last_good = self.last_good(&location, broken.clone());
                    match last_good.filter(|skill| same_name(&loaded, skill).is_none()) {
                        Some(skill) => {
                            reports.push(report(&skill));
                            loaded.push(skill);
                        }
                        None => reports.push(left_out(name, location, broken.reason)),
                    }
                }
            }
        }
        (loaded, reports)
    }

    fn skill(
        &mut self,
        folder: &Folder,
        config: &AgentConfig,
        name: &str,
        text: &str,
    ) -> Result<Skill, BrokenSkill> {
        let env = self.options.env.as_ref();
        let mut skill = skills::parse(name, text, &GateContext { env, config })?;
        self.count(&skill.location, text);
        skill.files = skills::read_files(folder, name);
        for (file, text) in &skill.files {
            self.count(&format!("{}/{file}", skill.location), text);
        }
        Ok(skill)
    }

    /// Takes note of a broken skill; returns its last valid version.
    fn last_good(&mut self, location: &str, broken: BrokenSkill) -> Option<Skill> {
        if broken.is_policy {
            self.policy_problem(location, location, broken.line, broken.reason);
        } else {
            self.problem(location, broken.line, broken.reason);
        }
        let before = self.before?;
        let skill = before.skills.iter().find(|skill| skill.location == location)?.clone();
        self.count(location, &skill.body);
        Some(skill)
    }
}

impl ConfigPlace {
    /// The file, as problems name it.
    pub(crate) fn file(self, options: &WorkspaceOptions) -> String {
        match (self, &options.agent_config) {
            (Self::Named, Some(path)) => path.display().to_string(),
            (Self::Named | Self::Workspace, _) => CONFIG.to_owned(),
            (Self::Beside, _) => format!("../config/{CONFIG}"),
        }
    }
}

/// Reads `agent-config.json` at the first of its places that has one.
pub(crate) fn find_config(options: &WorkspaceOptions, folder: &Folder) -> (ConfigPlace, Read) {
    if let Some(path) = &options.agent_config {
        let read = match read_outside(path) {
            Read::Missing => {
                Read::Bad("does not exist, and WOMBAT_AGENT_CONFIG names it".to_owned())
            }
            read => read,
        };
        return (ConfigPlace::Named, read);
    }
    match folder.read_whole(CONFIG) {
        Read::Missing => {
            let beside = options.path.join(Path::new("../config").join(CONFIG));
            (ConfigPlace::Beside, read_outside(&beside))
        }
        read => (ConfigPlace::Workspace, read),
    }
}

fn same_name(loaded: &[Skill], skill: &Skill) -> Option<String> {
    let is_taken = loaded.iter().any(|other| other.name == skill.name);
    is_taken.then(|| format!("another skill has the name {:?}, too", skill.name))
}

/// A skill that cannot be used, with the reason. Without it there are fewer endpoints.
fn left_out(name: String, location: String, reason: String) -> SkillReport {
    SkillReport {
        name,
        description: String::new(),
        enabled: false,
        gate_reason: Some(reason),
        location,
        metadata: serde_json::Value::Null,
        endpoints: Vec::new(),
        warnings: Vec::new(),
    }
}

fn report(skill: &Skill) -> SkillReport {
    SkillReport {
        name: skill.name.clone(),
        description: skill.description.clone(),
        enabled: skill.is_visible(),
        gate_reason: skill
            .gate_reason
            .clone()
            .or_else(|| skill.hidden.then(|| "disable-model-invocation is set".to_owned())),
        location: skill.location.clone(),
        metadata: skill.metadata.clone(),
        endpoints: skill.endpoints.clone(),
        warnings: skill.warnings.clone(),
    }
}
