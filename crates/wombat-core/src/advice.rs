//! Advice on a workspace: everything that is wrong or unwise in it, each in one line with a remedy. For
//! `wombat-daemon check`; it reads the folder again and is not fast.

mod config;
mod files;
mod skills;

use std::fmt;
use std::sync::Arc;

use crate::endpoint::EndpointPattern;
use crate::hooks;
use crate::loader::Folder;
use crate::operations::Operations;
use crate::snapshot::{PolicyEffect, Problem, Snapshot};
use crate::workspace::{WorkspaceOptions, find_config};

pub use self::skills::is_undocumented;

/// The configuration file's name.
const CONFIG: &str = "agent-config.json";

/// The name of the file of MCP servers.
const MCP: &str = "mcp.json";

/// One problem with its remedy.
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
    /// Whether no run may start until it is corrected.
    pub is_fatal: bool,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        // One line, whatever a file contains.
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, ": {}; {}", flat(&self.what), flat(&self.remedy))
    }
}

/// What a role's patterns can match, besides the endpoints that skills declare.
#[derive(Debug, Default)]
pub struct KnownTools {
    /// All operations of the backend, also those that are no tool of any role, and all other tools.
    pub operations: Arc<Operations>,
    /// What the backend's OpenAPI document describes; empty when there is none.
    pub documented: Vec<EndpointPattern>,
    /// The names of the tools that there are.
    pub names: Vec<String>,
    /// The sources that could not be asked: a pattern that matches nothing may mean a tool of theirs.
    pub missing: Vec<String>,
    /// The MCP servers that could not be asked, by their names in `mcp.json`.
    pub silent_servers: Vec<String>,
}

/// Checks the whole workspace.
pub fn advise(options: &WorkspaceOptions, snapshot: &Snapshot, tools: &KnownTools) -> Vec<Advice> {
    let Ok(folder) = Folder::open(&options.path) else { return Vec::new() };
    let (place, config) = find_config(options, &folder);
    let config_file = place.file(options);
    let mut advisor = Advisor { options, snapshot, tools, config_file, found: Vec::new() };
    advisor.problems();
    advisor.names(&folder);
    advisor.sizes();
    advisor.skills(&folder);
    advisor.config(config);
    advisor.mcp(&folder);
    advisor.hooks(&folder);
    advisor.found
}

struct Advisor<'a> {
    options: &'a WorkspaceOptions,
    snapshot: &'a Snapshot,
    tools: &'a KnownTools,
    /// The configuration as it is named in problems.
    config_file: String,
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
        let (file, what, remedy) = (file.to_owned(), what.into(), remedy.into());
        self.found.push(Advice { file, line, what, remedy, is_fatal: false });
    }

    fn add_fatal(&mut self, file: &str, line: Option<usize>, what: &str, remedy: &str) {
        self.add(file, line, what, remedy);
        if let Some(last) = self.found.last_mut() {
            last.is_fatal = true;
        }
    }

    /// Webhooks that could not be received.
    fn hooks(&mut self, folder: &Folder) {
        for problem in hooks::problems(folder) {
            self.add(&problem.file, problem.line, problem.what, problem.remedy);
        }
    }

    /// What the loader could not use.
    fn problems(&mut self) {
        for problem in &self.snapshot.problems {
            // The configuration is read again below, for all that is wrong in it.
            if problem.file == self.config_file {
                continue;
            }
            // The loader's own hint says the same as the remedy.
            let what = problem.reason.trim_end_matches("; save it as UTF-8");
            if problem.policy == Some(PolicyEffect::NoRuns) {
                self.add_fatal(&problem.file, problem.line, what, remedy(problem));
            } else {
                self.add(&problem.file, problem.line, what, remedy(problem));
            }
        }
    }
}

/// The remedy for a problem of the loader.
fn remedy(problem: &Problem) -> &'static str {
    let has = |word: &str| problem.reason.contains(word);
    if has("leads out") {
        "put the file itself into the workspace"
    } else if has("UTF-8") {
        "open it in an editor and save it as UTF-8"
    } else if has("regular file") {
        "replace it with a text file"
    } else if has("cannot be read") {
        "check that it exists and is readable"
    } else if problem.file == MCP {
        "correct the JSON; see docs/WORKSPACE.md, MCP servers"
    } else if has("file is empty") {
        "write what the skill is for, or remove its folder"
    } else if has("front matter must") || has("before the front matter") {
        "begin the file with ---, the lines of the front matter, and ---"
    } else if has("another skill") {
        "give one of them another name"
    } else if has("endpoint") || has("metadata") {
        "correct it; see docs/WORKSPACE.md, Skills"
    } else {
        "correct the YAML between the --- lines; a value with a colon needs quotes"
    }
}
