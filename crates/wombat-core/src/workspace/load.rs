//! Loading the folder into a snapshot, in one pass.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use chrono::{Days, NaiveDate, Utc};
use sha2::{Digest, Sha256};

pub(crate) use rules::find_config;

use crate::agent_config::{AgentConfig, by_role};
use crate::loader::{Folder, Read, truncate};
use crate::mcp_config::McpConfig;
use crate::prompt::{FILES, PromptCache, hex};
use crate::session::Role;
use crate::skills::{Skill, SkillReport};
use crate::snapshot::{
    ConfigPlace, Doc, Problem, SkillEndpoint, Snapshot, WORKSPACE, WorkspaceStatus,
};
use crate::workspace::options::{BOOT_MARKER, SkillsMode, WorkspaceOptions};

/// The most characters of all skills together that `auto` puts inline.
const INLINE_SKILLS: usize = 8_000;

/// Memory logs of this many days around today are read, which covers yesterday and today of every
/// time zone.
const LOG_DAYS: u64 = 2;

pub(super) fn load(options: &WorkspaceOptions, before: Option<&Snapshot>) -> Snapshot {
    let mut pass = Pass {
        options,
        before,
        problems: Vec::new(),
        blocked: BTreeSet::new(),
        digest: Sha256::new(),
    };
    let folder = match Folder::open(&options.path) {
        Ok(folder) => folder,
        Err(error) => {
            let reason = format!("the workspace cannot be read: {error}; set WOMBAT_WORKSPACE");
            let file = options.path.display().to_string();
            pass.policy_problem(WORKSPACE, &file, None, reason);
            let parts = before.map(Parts::of).unwrap_or_default();
            pass.count(&file, before.map_or("", |before| &before.digest));
            return pass.finish(parts, WorkspaceStatus::Missing);
        }
    };
    let (config, config_place) = pass.config(&folder);
    let mcp = pass.mcp(&folder);
    let (souls, soul_roles) = pass.souls(&folder);
    let mut parts = Parts {
        docs: FILES
            .into_iter()
            .filter_map(|name| {
                let kept = before.and_then(|before| before.doc(name));
                Some((name.to_owned(), pass.doc(&folder, name, kept)?))
            })
            .collect(),
        souls,
        soul_roles,
        logs: pass.logs(&folder),
        boot_complete: options.path.join(BOOT_MARKER).exists(),
        mcp,
        config_place,
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
    soul_roles: BTreeSet<Role>,
    logs: BTreeMap<NaiveDate, Doc>,
    skills: Vec<Skill>,
    reports: Vec<SkillReport>,
    config: AgentConfig,
    config_place: Option<ConfigPlace>,
    mcp: Arc<McpConfig>,
    boot_complete: bool,
}

impl Parts {
    /// Those of a snapshot, for as long as the folder is gone.
    fn of(before: &Snapshot) -> Self {
        Self {
            docs: before.docs.clone(),
            souls: before.souls.clone(),
            soul_roles: before.soul_roles.clone(),
            logs: before.logs.clone(),
            skills: before.skills.clone(),
            reports: before.reports.clone(),
            config: before.config.clone(),
            config_place: before.config_place,
            mcp: before.mcp.clone(),
            boot_complete: before.boot_complete,
        }
    }
}

struct Pass<'a> {
    options: &'a WorkspaceOptions,
    before: Option<&'a Snapshot>,
    problems: Vec<Problem>,
    /// The files of rules without a version that can be used.
    blocked: BTreeSet<String>,
    digest: Sha256,
}

impl Pass<'_> {
    fn problem(&mut self, file: &str, line: Option<usize>, reason: impl Into<String>) {
        let (file, reason) = (file.to_owned(), reason.into());
        self.problems.push(Problem { file, line, reason, policy: None });
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

    /// The personas, and the roles that they declare. A file that cannot be read still declares its role:
    /// without any role another one would exist.
    fn souls(&mut self, folder: &Folder) -> (BTreeMap<Role, Doc>, BTreeSet<Role>) {
        let (mut souls, mut roles) = (BTreeMap::new(), BTreeSet::new());
        if let Some(reason) = folder.unlistable("souls") {
            if let (true, Some(before)) =
                (self.policy_problem("souls", "souls", None, reason), self.before)
            {
                return (before.souls.clone(), before.soul_roles.clone());
            }
            return (souls, roles);
        }
        for file in folder.list("souls") {
            let Some(role) = file.strip_suffix(".md").and_then(|stem| Role::parse(stem).ok())
            else {
                continue;
            };
            let kept = self.before.and_then(|before| before.souls.get(&role));
            if let Some(doc) = self.doc(folder, &format!("souls/{file}"), kept) {
                souls.insert(role.clone(), doc);
            }
            self.count("role", role.as_str());
            roles.insert(role);
        }
        (souls, roles)
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
            soul_roles: parts.soul_roles,
            config_place: parts.config_place,
            config_file: parts.config_place.map(|place| place.file(self.options)),
            blocked: self.blocked,
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
