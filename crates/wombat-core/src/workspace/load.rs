//! Loading the folder into a snapshot, in one pass.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use chrono::{Days, NaiveDate, Utc};
use sha2::{Digest, Sha256};

use crate::agent_config::{AgentConfig, by_role};
use crate::loader::{Folder, Read, read_regular, truncate};
use crate::mcp_config::McpConfig;
use crate::prompt::{FILES, PromptCache, hex};
use crate::session::Role;
use crate::skills::{self, GateContext, Skill, SkillReport};
use crate::snapshot::{Doc, Problem, SkillEndpoint, Snapshot, WorkspaceStatus};
use crate::workspace::options::{BOOT_MARKER, SkillsMode, WorkspaceOptions};

/// The most characters of all skills together that `auto` puts inline.
const INLINE_SKILLS: usize = 8_000;

/// Memory logs of this many days around today are read, which covers yesterday and today of every
/// time zone.
const LOG_DAYS: u64 = 2;

pub(super) fn load(options: &WorkspaceOptions, before: Option<&Snapshot>) -> Snapshot {
    let mut pass = Pass { options, before, problems: Vec::new(), digest: Sha256::new() };
    let folder = match Folder::open(&options.path) {
        Ok(folder) => folder,
        Err(error) => {
            let reason = format!("the workspace cannot be read: {error}; set WOMBAT_WORKSPACE");
            let file = options.path.display().to_string();
            pass.problems.push(Problem { file, line: None, reason });
            return pass.finish(Parts::default(), WorkspaceStatus::Missing);
        }
    };
    let config = pass.config(&folder);
    let mcp = pass.mcp(&folder);
    let mut parts = Parts {
        docs: FILES
            .into_iter()
            .filter_map(|name| {
                let kept = before.and_then(|before| before.doc(name));
                Some((name.to_owned(), pass.doc(&folder, name, kept)?))
            })
            .collect(),
        souls: pass.souls(&folder),
        logs: pass.logs(&folder),
        boot_complete: options.path.join(BOOT_MARKER).exists(),
        mcp,
        ..Parts::default()
    };
    (parts.skills, parts.reports) = pass.skills(&folder, &config);
    parts.config = config;
    let status =
        if pass.problems.is_empty() { WorkspaceStatus::Ok } else { WorkspaceStatus::Degraded };
    pass.finish(parts, status)
}

#[derive(Default)]
struct Parts {
    docs: BTreeMap<String, Doc>,
    souls: BTreeMap<Role, Doc>,
    logs: BTreeMap<NaiveDate, Doc>,
    skills: Vec<Skill>,
    reports: Vec<SkillReport>,
    config: AgentConfig,
    mcp: Arc<McpConfig>,
    boot_complete: bool,
}

struct Pass<'a> {
    options: &'a WorkspaceOptions,
    before: Option<&'a Snapshot>,
    problems: Vec<Problem>,
    digest: Sha256,
}

impl Pass<'_> {
    fn problem(&mut self, file: &str, line: Option<usize>, reason: impl Into<String>) {
        self.problems.push(Problem { file: file.to_owned(), line, reason: reason.into() });
    }

    fn count(&mut self, name: &str, text: &str) {
        for part in [name, text] {
            self.digest.update((part.len() as u64).to_be_bytes());
            self.digest.update(part.as_bytes());
        }
    }

    /// Loads a file of the prompt; an unusable one keeps its previous content.
    fn doc(&mut self, folder: &Folder, name: &str, kept: Option<&Doc>) -> Option<Doc> {
        match folder.read(name) {
            Read::Missing => None,
            Read::Bad(reason) => {
                self.problem(name, None, reason);
                kept.cloned().inspect(|doc| self.count(name, &doc.text))
            }
            Read::Text(text) => {
                self.count(name, &text);
                Some(self.cut(&text))
            }
        }
    }

    fn cut(&self, text: &str) -> Doc {
        let max = self.options.max_file_chars;
        let raw_chars = text.chars().count();
        let (kept, truncated) = truncate(text, max);
        let injected_chars = kept.chars().count();
        let mut text = kept.trim().to_owned();
        if truncated {
            text.push_str(&format!(
                "\n[... cut: {injected_chars} of {raw_chars} characters shown ...]"
            ));
        }
        Doc { text, raw_chars, injected_chars, truncated }
    }

    fn souls(&mut self, folder: &Folder) -> BTreeMap<Role, Doc> {
        let mut souls = BTreeMap::new();
        for file in folder.list("souls") {
            let Some(role) = file.strip_suffix(".md").and_then(|stem| Role::parse(stem).ok())
            else {
                continue;
            };
            let kept = self.before.and_then(|before| before.souls.get(&role));
            if let Some(doc) = self.doc(folder, &format!("souls/{file}"), kept) {
                souls.insert(role, doc);
            }
        }
        souls
    }

    fn logs(&mut self, folder: &Folder) -> BTreeMap<NaiveDate, Doc> {
        let today = Utc::now().date_naive();
        let first = today.checked_sub_days(Days::new(LOG_DAYS)).unwrap_or(today);
        let days = first.iter_days().take(usize::try_from(2 * LOG_DAYS + 1).unwrap_or(5));
        days.filter_map(|day| {
            let kept = self.before.and_then(|before| before.logs.get(&day));
            Some((day, self.doc(folder, &format!("memory/{day}.md"), kept)?))
        })
        .collect()
    }

    fn config(&mut self, folder: &Folder) -> AgentConfig {
        let name = "agent-config.json";
        let found = match &self.options.agent_config {
            Some(path) => match read_regular(path) {
                Read::Missing => {
                    Read::Bad("WOMBAT_AGENT_CONFIG names a file that does not exist".into())
                }
                read => read,
            },
            None => match folder.read(name) {
                Read::Missing => {
                    read_regular(&self.options.path.join(Path::new("../config").join(name)))
                }
                read => read,
            },
        };
        let kept = || self.before.map(|before| before.config.clone()).unwrap_or_default();
        match found {
            Read::Missing => AgentConfig::default(),
            Read::Bad(reason) => {
                let config = kept();
                self.problem(name, None, reason);
                config
            }
            Read::Text(text) => match AgentConfig::parse(&text, self.options.env.as_ref()) {
                Ok(config) => {
                    self.count(name, &text);
                    config
                }
                Err(error) => {
                    let config = kept();
                    self.problem(name, error.line, error.reason);
                    config
                }
            },
        }
    }

    fn mcp(&mut self, folder: &Folder) -> Arc<McpConfig> {
        let name = "mcp.json";
        let kept = self.before.map(|before| before.mcp.clone()).unwrap_or_default();
        match folder.read(name) {
            Read::Missing => Arc::default(),
            Read::Bad(reason) => {
                self.problem(name, None, reason);
                kept
            }
            Read::Text(text) => match McpConfig::parse(&text, self.options.env.as_ref()) {
                Ok(config) => {
                    self.count(name, &text);
                    // An unchanged configuration stays the same object, so that its servers keep running.
                    if *kept == config { kept } else { Arc::new(config) }
                }
                Err(error) => {
                    self.problem(name, error.line, error.reason);
                    kept
                }
            },
        }
    }

    fn skills(&mut self, folder: &Folder, config: &AgentConfig) -> (Vec<Skill>, Vec<SkillReport>) {
        let mut loaded: Vec<Skill> = Vec::new();
        let mut reports = Vec::new();
        for name in folder.list("skills") {
            let location = format!("skills/{name}/SKILL.md");
            let broken = match folder.read(&location) {
                Read::Missing => continue,
                Read::Bad(reason) => Some((None, reason)),
                Read::Text(text) => {
                    let env = self.options.env.as_ref();
                    match skills::parse(&name, &text, &GateContext { env, config }) {
                        Ok(mut skill) => {
                            self.count(&location, &text);
                            skill.files = skills::read_files(folder, &name);
                            for (file, text) in &skill.files {
                                self.count(&format!("{location}/{file}"), text);
                            }
                            if loaded.iter().any(|other| other.name == skill.name) {
                                Some((
                                    None,
                                    format!("another skill has the name {:?}, too", skill.name),
                                ))
                            } else {
                                reports.push(report(&skill));
                                loaded.push(skill);
                                None
                            }
                        }
                        Err(error) => Some((error.line, error.reason)),
                    }
                }
            };
            let Some((line, reason)) = broken else { continue };
            self.problem(&location, line, reason.clone());
            let last_good = self
                .before
                .and_then(|before| before.skills.iter().find(|skill| skill.location == location));
            match last_good {
                Some(skill) if !loaded.iter().any(|other| other.name == skill.name) => {
                    self.count(&location, &skill.body);
                    reports.push(report(skill));
                    loaded.push(skill.clone());
                }
                Some(_) | None => reports.push(SkillReport {
                    name,
                    description: String::new(),
                    enabled: false,
                    gate_reason: Some(reason),
                    location,
                    metadata: serde_json::Value::Null,
                    endpoints: Vec::new(),
                    warnings: Vec::new(),
                }),
            }
        }
        (loaded, reports)
    }

    fn finish(self, parts: Parts, status: WorkspaceStatus) -> Snapshot {
        let on = || parts.skills.iter().filter(|skill| skill.gate_reason.is_none());
        let endpoints = on()
            .flat_map(|skill| {
                skill.endpoints.iter().map(|pattern| SkillEndpoint {
                    pattern: pattern.clone(),
                    skill: skill.name.clone(),
                })
            })
            .collect();
        let inline_skills = match self.options.skills_mode {
            SkillsMode::Inline => true,
            SkillsMode::OnDemand => false,
            SkillsMode::Auto => {
                let chars: usize = on().map(|skill| skill.body.chars().count()).sum();
                chars <= INLINE_SKILLS
            }
        };
        Snapshot {
            path: self.options.path.clone(),
            status,
            problems: self.problems,
            digest: hex(&self.digest.finalize()),
            profiles: by_role(&parts.config),
            docs: parts.docs,
            souls: parts.souls,
            logs: parts.logs,
            skills: parts.skills,
            reports: parts.reports,
            endpoints,
            config: parts.config,
            mcp: parts.mcp,
            boot_complete: parts.boot_complete,
            inline_skills,
            cache: Mutex::new(PromptCache::default()),
        }
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
