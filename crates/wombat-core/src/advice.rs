//! What is wrong or unwise in a workspace, each in one line with what to do about it. For
//! `wombat-daemon check`; it reads the folder and takes its time.

use std::collections::BTreeSet;
use std::fmt;

use crate::agent_config::{AgentConfig, AgentEntry, ToolPermissions};
use crate::cron::Cron;
use crate::endpoint::EndpointPattern;
use crate::loader::{Folder, Read, read_regular};
use crate::prompt::FILES;
use crate::session::Role;
use crate::skills::SkillReport;
use crate::snapshot::{Problem, Snapshot};
use crate::workspace::WorkspaceOptions;

/// The configuration file's name.
const CONFIG: &str = "agent-config.json";

/// The name of the file of MCP servers.
const MCP: &str = "mcp.json";

/// The keys of an agent in it.
const AGENT_KEYS: [&str; 5] =
    ["role", "session_key_template", "heartbeat_cron", "default_model_tier", "tools"];

/// The keys of an agent's `tools`.
const TOOLS_KEYS: [&str; 3] = ["allow", "deny", "approval"];

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The file, within the workspace.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        // One line, whatever a file holds.
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, ": {}; {}", flat(&self.what), flat(&self.remedy))
    }
}

/// What a role's patterns can be about.
#[derive(Debug, Clone, Default)]
pub struct KnownTools {
    /// The names of the tools that roles can have.
    pub names: Vec<String>,
    /// The endpoints of tools, besides those that skills declare.
    pub endpoints: Vec<EndpointPattern>,
    /// Whether these are all. When some could not be asked for, a pattern that matches nothing may
    /// be right.
    pub complete: bool,
}

/// Looks the whole workspace over.
pub fn advise(options: &WorkspaceOptions, snapshot: &Snapshot, tools: &KnownTools) -> Vec<Advice> {
    let mut advisor = Advisor { options, snapshot, tools, found: Vec::new() };
    let Ok(folder) = Folder::open(&options.path) else { return advisor.found };
    advisor.problems();
    advisor.names(&folder);
    advisor.sizes();
    advisor.skills(&folder);
    advisor.config(&folder);
    advisor.mcp(&folder);
    advisor.found
}

struct Advisor<'a> {
    options: &'a WorkspaceOptions,
    snapshot: &'a Snapshot,
    tools: &'a KnownTools,
    found: Vec<Advice>,
}

impl Advisor<'_> {
    fn add(
        &mut self,
        file: &str,
        line: Option<usize>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let advice =
            Advice { file: file.to_owned(), line, what: what.into(), remedy: remedy.into() };
        self.found.push(advice);
    }

    /// What the loader could not use.
    fn problems(&mut self) {
        for problem in &self.snapshot.problems {
            // The configuration is read again below, for all that is wrong in it.
            if problem.file != CONFIG {
                // The loader's own hint says the same as the remedy.
                let what = problem.reason.trim_end_matches("; save it as UTF-8");
                self.add(&problem.file, problem.line, what, remedy(problem));
            }
        }
    }

    /// Files that look as if they should be read and are not.
    fn names(&mut self, folder: &Folder) {
        for name in folder.list("") {
            let is_read = FILES.contains(&name.as_str()) || [CONFIG, MCP].contains(&name.as_str());
            let near = FILES.iter().chain(&[CONFIG, MCP]).find(|known| is_near(&name, known));
            if let (false, Some(known)) = (is_read, near) {
                self.add(&name, None, "is not read", format!("rename it to {known}"));
            }
        }
        for name in folder.list("souls") {
            let file = format!("souls/{name}");
            match name.strip_suffix(".md") {
                None => self.add(&file, None, "is not read", "a soul is a file <role>.md"),
                Some(stem) => {
                    if let Err(error) = Role::parse(stem) {
                        self.add(
                            &file,
                            None,
                            format!("names no role: {error}"),
                            "rename it to <role>.md",
                        );
                    }
                }
            }
        }
        for name in folder.list("memory") {
            let day =
                name.strip_suffix(".md").and_then(|day| day.parse::<chrono::NaiveDate>().ok());
            if day.is_none() {
                let file = format!("memory/{name}");
                self.add(&file, None, "is not read", "a memory log is named YYYY-MM-DD.md");
            }
        }
    }

    /// Files that are cut, and files that say nothing.
    fn sizes(&mut self) {
        let souls = self.snapshot.souls.iter().map(|(role, doc)| (format!("souls/{role}.md"), doc));
        let docs = self.snapshot.docs.iter().map(|(name, doc)| (name.clone(), doc));
        for (file, doc) in docs.chain(souls) {
            if doc.truncated {
                let what = format!(
                    "has {} characters, of which the prompt gets {}",
                    doc.raw_chars, doc.injected_chars
                );
                self.add(&file, None, what, "shorten it, or raise WOMBAT_MAX_FILE_CHARS");
            } else if doc.text.is_empty() {
                self.add(&file, None, "is empty", "write something in it, or remove it");
            }
        }
    }

    fn skills(&mut self, folder: &Folder) {
        let known: BTreeSet<&str> =
            self.snapshot.reports.iter().map(|skill| skill.location.as_str()).collect();
        let mut found = Vec::new();
        for name in folder.list("skills") {
            let (dir, location) = (format!("skills/{name}"), format!("skills/{name}/SKILL.md"));
            if known.contains(location.as_str()) {
                continue;
            }
            if !folder.is_dir(&dir) {
                found.push((
                    dir,
                    "is no folder, and so no skill".to_owned(),
                    format!("move it to skills/{}/SKILL.md", name.trim_end_matches(".md")),
                ));
            } else {
                let other = folder
                    .list(&dir)
                    .into_iter()
                    .find(|file| file.eq_ignore_ascii_case("skill.md"));
                let remedy = match other {
                    Some(other) => format!("rename {other} to SKILL.md"),
                    None => "write one, or remove the folder".to_owned(),
                };
                found.push((dir, "has no SKILL.md".to_owned(), remedy));
            }
        }
        for (file, what, remedy) in found {
            self.add(&file, None, what, remedy);
        }
        for skill in &self.snapshot.reports {
            let is_broken =
                self.snapshot.problems.iter().any(|problem| problem.file == skill.location);
            if !is_broken {
                self.skill(skill, folder);
            }
        }
    }

    fn skill(&mut self, skill: &SkillReport, folder: &Folder) {
        if let Some(reason) = &skill.gate_reason
            && reason != "disable-model-invocation is set"
        {
            let remedy = gate_remedy(reason);
            self.add(&skill.location, None, format!("the skill is off: {reason}"), remedy);
        }
        for warning in &skill.warnings {
            self.add(&skill.location, None, warning.clone(), "mend its front matter");
        }
        if let Read::Text(text) = folder.read(&skill.location)
            && let Some(line) = open_fence(&text)
        {
            let what = "a code block is never closed, so that what follows is read as part of it";
            self.add(&skill.location, Some(line), what, "close it with ```");
        }
    }

    fn config(&mut self, folder: &Folder) {
        let read = match &self.options.agent_config {
            Some(path) => read_regular(path),
            None => match folder.read(CONFIG) {
                Read::Missing => read_regular(&self.options.path.join("../config").join(CONFIG)),
                read => read,
            },
        };
        let text = match read {
            Read::Text(text) => text,
            Read::Missing if self.options.agent_config.is_none() => return,
            Read::Missing => {
                let path =
                    self.options.agent_config.as_ref().map(|path| path.display().to_string());
                let what = format!("{} is not there", path.unwrap_or_default());
                return self.add(CONFIG, None, what, "correct WOMBAT_AGENT_CONFIG");
            }
            Read::Bad(reason) => {
                return self.add(CONFIG, None, reason, "replace it by a JSON file");
            }
        };
        for name in unset_variables(&text, self.options.env.as_ref()) {
            let line = text
                .lines()
                .position(|line| line.contains(&format!("${{{name}}}")))
                .map(|at| at + 1);
            self.add(
                CONFIG,
                line,
                format!("${{{name}}} is not set, and so empty"),
                format!("set {name}"),
            );
        }
        let (config, errors) = AgentConfig::read(&text, self.options.env.as_ref());
        for error in errors {
            let remedy = config_remedy(&error.reason);
            self.add(CONFIG, error.line, error.reason, remedy);
        }
        for entry in
            config.raw.get("agents").and_then(|agents| agents.as_array()).into_iter().flatten()
        {
            self.unknown_keys(&text, entry);
        }
        for entry in &config.agents {
            self.agent(&text, entry);
        }
    }

    /// Servers that cannot be used. A file that cannot be read at all is among the problems.
    fn mcp(&mut self, folder: &Folder) {
        let Read::Text(text) = folder.read(MCP) else { return };
        let mut found = Vec::new();
        for (name, server) in &self.snapshot.mcp.servers {
            if let Err(reason) = server {
                found.push((line_of(&text, name), format!("server {name:?}: {reason}")));
            }
        }
        for (line, what) in found {
            self.add(MCP, line, what, "see docs/WORKSPACE.md, MCP servers");
        }
    }

    fn unknown_keys(&mut self, text: &str, entry: &serde_json::Value) {
        let tools = entry.get("tools").and_then(|tools| tools.as_object());
        let keys = entry.as_object().into_iter().flatten().map(|(key, _)| (key, &AGENT_KEYS[..]));
        let inner = tools.into_iter().flatten().map(|(key, _)| (key, &TOOLS_KEYS[..]));
        for (key, known) in keys.chain(inner) {
            if known.contains(&key.as_str()) {
                continue;
            }
            let line = line_of(text, key);
            let distance = |known: &&str| strsim::damerau_levenshtein(known, key);
            let near =
                known.iter().copied().min_by_key(distance).filter(|near| distance(near) <= 3);
            let remedy = match near {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known are {}", known.join(", ")),
            };
            self.add(CONFIG, line, format!("the key {key:?} means nothing"), remedy);
        }
    }

    fn agent(&mut self, text: &str, entry: &AgentEntry) {
        let role = &entry.profile.role;
        let line = line_of(text, role.as_str());
        if let Some(cron) = &entry.profile.heartbeat_cron {
            if let Err(error) = cron.parse::<Cron>() {
                let what = format!("heartbeat_cron of {role}: {error}");
                self.add(
                    CONFIG,
                    line,
                    what,
                    "write minute, hour, day, month and weekday, such as */15 * * * *",
                );
            }
            if self.snapshot.heartbeat().is_none() {
                let what = format!("{role} has a heartbeat_cron, and there is no HEARTBEAT.md");
                self.add(CONFIG, line, what, "write the checklist, or take the cron line out");
            }
        }
        let ending = format!(":{role}");
        if !entry.profile.session_key_template.ends_with(&ending) {
            let what = format!("session_key_template of {role} does not end with {ending}");
            self.add(CONFIG, line, what, format!("write user:{{userId}}:{role}"));
        }
        if !self.tools.complete {
            return;
        }
        let declared = self.snapshot.endpoints.iter().map(|endpoint| endpoint.pattern.clone());
        let endpoints: Vec<EndpointPattern> =
            declared.chain(self.tools.endpoints.iter().cloned()).collect();
        let names: Vec<&str> = self.tools.names.iter().map(String::as_str).collect();
        let idle = ToolPermissions::idle(&entry.tools, &names, &endpoints);
        let idle: Vec<String> = idle.into_iter().map(str::to_owned).collect();
        for pattern in idle {
            let what = format!("{pattern:?} of {role} matches no tool and no endpoint of a skill");
            let remedy = if pattern.contains('/') {
                "declare the endpoint in a skill, or take it out".to_owned()
            } else {
                format!("the tools are {}", names.join(", "))
            };
            self.add(CONFIG, line_of(text, &pattern).or(line), what, remedy);
        }
    }
}

/// Whether a name is a slip of another: other case, or a letter or two.
fn is_near(name: &str, known: &str) -> bool {
    let (name, known) = (name.to_lowercase(), known.to_lowercase());
    name == known
        || (name.ends_with(".md") == known.ends_with(".md")
            && strsim::damerau_levenshtein(&name, &known) <= 1)
}

/// What to do about something that the loader could not use.
fn remedy(problem: &Problem) -> &'static str {
    let has = |word: &str| problem.reason.contains(word);
    if has("leads out") {
        "put the file itself into the workspace"
    } else if has("UTF-8") {
        "open it in an editor and save it as UTF-8"
    } else if has("regular file") {
        "replace it by a text file"
    } else if has("cannot be read") {
        "check that it is there and may be read"
    } else if problem.file == MCP {
        "mend the JSON; see docs/WORKSPACE.md, MCP servers"
    } else if has("no description") {
        "add a line such as: description: What it is for, and when to use it."
    } else if has("another skill") {
        "give one of them another name"
    } else {
        "mend the YAML between the --- lines; a text with a colon needs quotes"
    }
}

fn gate_remedy(reason: &str) -> &'static str {
    if reason.contains("environment variable") {
        "set it for the daemon"
    } else if reason.contains("PATH") {
        "install it where the daemon runs"
    } else if reason.contains(CONFIG) {
        "set it there"
    } else {
        "run the daemon there, or change the gate"
    }
}

fn config_remedy(reason: &str) -> &'static str {
    if reason.contains("at line") {
        "mend the JSON; often a comma or a quote is missing or too much"
    } else if reason.contains("stands twice") {
        "take one of them out"
    } else if reason.contains("session_key_template") {
        "write user:{userId}:<role>"
    } else {
        "see docs/WORKSPACE.md, Roles"
    }
}

/// The variables that a text mentions as `${NAME}` and that are not set, each once.
fn unset_variables(text: &str, env: &dyn Fn(&str) -> Option<String>) -> BTreeSet<String> {
    let names = text.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
    names.filter(|name| env(name).is_none()).map(str::to_owned).collect()
}

/// The line of a code block that is never closed.
fn open_fence(text: &str) -> Option<usize> {
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| line.starts_with(mark));
        let Some(mark) = mark else { continue };
        let c = mark.chars().next().unwrap_or('`');
        let length = line.chars().take_while(|other| *other == c).count();
        let fence: String = std::iter::repeat_n(c, length).collect();
        match &open {
            None => open = Some((at + 1, fence)),
            Some((_, begin)) if fence.starts_with(begin.as_str()) && line.trim() == fence => {
                open = None
            }
            Some(_) => {}
        }
    }
    open.map(|(line, _)| line)
}

fn line_of(text: &str, word: &str) -> Option<usize> {
    let quoted = serde_json::Value::String(word.to_owned()).to_string();
    text.lines().position(|line| line.contains(&quoted)).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_fence_is_found_by_its_line() {
        assert_eq!(open_fence("a\n```\nb\n```\n"), None);
        assert_eq!(open_fence("a\n````\n```\n````\n"), None);
        assert_eq!(open_fence("```http\nGET /a\n```\n\n```\nx\n"), Some(5));
    }

    #[test]
    fn a_slip_of_a_name_is_near_and_another_name_is_not() {
        for near in ["agents.md", "AGENT.md", "Agents.MD"] {
            assert!(is_near(near, "AGENTS.md"), "{near}");
        }
        for far in ["README.md", "AGENTS.txt", "NOTES.md"] {
            assert!(!FILES.iter().any(|known| is_near(far, known)), "{far}");
        }
    }
}
