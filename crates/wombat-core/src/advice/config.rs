//! `agent-config.json` and `mcp.json`.

use std::collections::BTreeSet;

use super::{Advisor, CONFIG, MCP};
use crate::agent_config::{AgentConfig, AgentEntry, ToolPermissions};
use crate::cron::Cron;
use crate::endpoint::EndpointPattern;
use crate::loader::{Folder, Read, read_regular};

/// The keys of an agent in `agent-config.json`.
const AGENT_KEYS: [&str; 5] =
    ["role", "session_key_template", "heartbeat_cron", "default_model_tier", "tools"];

/// The keys of an agent's `tools`.
const TOOLS_KEYS: [&str; 3] = ["allow", "deny", "approval"];

impl Advisor<'_> {
    pub(super) fn config(&mut self, folder: &Folder) {
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
                let what = format!("{} does not exist", path.unwrap_or_default());
                return self.add(CONFIG, None, what, "correct WOMBAT_AGENT_CONFIG");
            }
            Read::Bad(reason) => {
                return self.add(CONFIG, None, reason, "replace it with a JSON file");
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
                format!("${{{name}}} is not set and becomes empty"),
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

    /// Servers that cannot be used. A file that cannot be read at all is reported as a problem.
    pub(super) fn mcp(&mut self, folder: &Folder) {
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
                None => format!("the known keys are {}", known.join(", ")),
            };
            self.add(CONFIG, line, format!("unknown key {key:?}"), remedy);
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
                self.add(CONFIG, line, what, "write the checklist, or remove heartbeat_cron");
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
        let unmatched = ToolPermissions::unmatched(&entry.tools, &names, &endpoints);
        let unmatched: Vec<String> = unmatched.into_iter().map(str::to_owned).collect();
        for pattern in unmatched {
            let what = format!("{pattern:?} of {role} matches no tool and no endpoint of a skill");
            let remedy = if pattern.contains('/') {
                "declare the endpoint in a skill, or remove the pattern".to_owned()
            } else {
                format!("the tools are {}", names.join(", "))
            };
            self.add(CONFIG, line_of(text, &pattern).or(line), what, remedy);
        }
    }
}

fn config_remedy(reason: &str) -> &'static str {
    if reason.contains("at line") {
        "correct the JSON; often a comma or a quote is missing or extra"
    } else if reason.contains("listed twice") {
        "remove one of them"
    } else if reason.contains("session_key_template") {
        "write user:{userId}:<role>"
    } else {
        "see docs/WORKSPACE.md, Roles"
    }
}

/// The unset variables that a text refers to as `${NAME}`, each once.
fn unset_variables(text: &str, env: &dyn Fn(&str) -> Option<String>) -> BTreeSet<String> {
    let names = text.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
    names.filter(|name| env(name).is_none()).map(str::to_owned).collect()
}

fn line_of(text: &str, word: &str) -> Option<usize> {
    let quoted = serde_json::Value::String(word.to_owned()).to_string();
    text.lines().position(|line| line.contains(&quoted)).map(|at| at + 1)
}
