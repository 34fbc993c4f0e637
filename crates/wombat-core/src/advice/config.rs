//! `agent-config.json` and `mcp.json`.

use std::collections::BTreeSet;

use super::{Advice, Advisor, MCP};
use crate::agent_config::{AgentConfig, AgentEntry};
use crate::jsonc;
use crate::loader::{Folder, Read};
use crate::mcp_config::{application_keys, tool_prefix};
use crate::nearest::{nearest, nearest_within};
use zones::cron::Cron;

/// The keys of an agent in `agent-config.json`.
const AGENT_KEYS: [&str; 10] = [
    "role",
    "session_key_template",
    "heartbeat_cron",
    "heartbeat_timezone",
    "default_model_tier",
    "tools",
    "output",
    "schedules",
    "memory",
    "redact",
];

impl Advisor<'_> {
    pub(super) fn config(&mut self, read: Read) {
        let file = self.config_file.clone();
        let text = match read {
            Read::Text(text) => text,
            Read::Missing => return,
            Read::Bad(reason) => {
                let remedy = match self.options.agent_config {
                    Some(_) => "correct it, or WOMBAT_AGENT_CONFIG",
                    None => "replace it with a JSON file that can be read",
                };
                return self.add_fatal(&file, None, &reason, remedy);
            }
        };
        let (config, errors) = AgentConfig::read(&text, &|name| self.options.variable(name));
        for error in errors {
            let remedy = config_remedy(&error.reason);
            self.add_fatal(&file, error.line, &error.reason, remedy);
        }
        for name in unset_variables(&text, &|name| self.options.variable(name)) {
            let line = text
                .lines()
                .position(|line| line.contains(&format!("${{{name}}}")))
                .map(|at| at + 1);
            let is_told =
                |advice: &Advice| advice.what.contains(&format!("${{{name}}} is not set"));
            if !self.found.iter().any(is_told) {
                let what = format!("${{{name}}} is not set and becomes empty");
                self.add(&file, line, what, format!("set {name}"));
            }
        }
        self.application_keys(&file, &text);
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
        if let Read::Text(text) = folder.read_whole(MCP) {
            self.application_keys(MCP, &jsonc::plain(&text));
        }
        let servers = self.snapshot.mcp.servers.iter();
        let found: Vec<_> = servers
            .filter_map(|(name, server)| {
                let disabled = server.as_ref().err()?;
                Some((disabled.line, format!("server {name:?}: {}", disabled.reason)))
            })
            .collect();
        for (line, what) in found {
            self.add(MCP, line, what, "see docs/WORKSPACE.md, MCP servers");
        }
    }

    /// Whoever gets the application's key can be any of its users.
    fn application_keys(&mut self, file: &str, text: &str) {
        for (line, name) in application_keys(text, &|name| self.options.variable(name)) {
            let what = format!("${{{name}}} passes on what looks like the application's own key");
            self.add(file, Some(line), what, "use a key made for this, under another name");
        }
    }

    /// Keys that are not used. Those that look like a rule have been refused.
    fn unknown_keys(&mut self, text: &str, entry: &serde_json::Value) {
        let file = self.config_file.clone();
        for key in entry.as_object().into_iter().flat_map(|entry| entry.keys()) {
            let is_told = |advice: &Advice| advice.what.contains(&format!("unknown key {key:?}"));
            if AGENT_KEYS.contains(&key.as_str()) || self.found.iter().any(is_told) {
                continue;
            }
            let remedy = match nearest_within(key, AGENT_KEYS, 3) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("the known keys are {}", AGENT_KEYS.join(", ")),
            };
            self.add(&file, line_of(text, key), format!("unknown key {key:?}"), remedy);
        }
    }

    fn agent(&mut self, text: &str, entry: &AgentEntry) {
        let role = &entry.profile.role;
        let line = line_of(text, role.as_str());
        let file = self.config_file.clone();
        if let Some(cron) = &entry.profile.heartbeat_cron {
            if let Err(error) = cron.parse::<Cron>() {
                let what = format!("heartbeat_cron of {role}: {error}");
                self.add(
                    &file,
                    line,
                    what,
                    "write minute, hour, day, month and weekday, such as */15 * * * *, or @hourly",
                );
            }
            if self.snapshot.heartbeat().is_none() {
                let what = format!("{role} has a heartbeat_cron, and there is no HEARTBEAT.md");
                self.add(&file, line, what, "write the checklist, or remove heartbeat_cron");
            }
        }
        if entry.tools.allows_nothing() {
            let what = format!("\"allow\" of {role} is empty: the role may call no tool at all");
            let remedy = "name its tools, or remove \"allow\" to allow all that are declared";
            self.add(&file, line_of_empty_allow(text, line), what, remedy);
        }
        let ending = format!(":{role}");
        if !entry.profile.session_key_template.ends_with(&ending) {
            let what = format!("session_key_template of {role} does not end with {ending}");
            self.add(&file, line, what, format!("write user:{{userId}}:{role}"));
        }
        let silent = &self.tools.silent_servers;
        for pattern in self.snapshot.unmatched_patterns(&entry.tools, &self.tools.operations) {
            if silent
                .iter()
                .any(|server| pattern.starts_with(&format!("{}__", tool_prefix(server))))
            {
                continue;
            }
            let what = format!("{pattern:?} of {role} matches no tool and no endpoint of a skill");
            let mut remedy = self.pattern_remedy(&pattern);
            if let missing @ [_, ..] = self.tools.missing.as_slice() {
                remedy.push_str(&format!("; not asked: {}", missing.join(", ")));
            }
            let line = line_of(text, &pattern).or(line);
            self.add(&file, line, what, remedy);
        }
    }

    /// What to do about a pattern that matches nothing.
    fn pattern_remedy(&self, pattern: &str) -> String {
        let is_endpoint = pattern.contains(char::is_whitespace);
        let declared = self.snapshot.endpoints.iter().map(|endpoint| endpoint.pattern.to_string());
        let known = self.tools.operations.iter();
        let known: Vec<String> = if is_endpoint {
            declared.chain(known.map(|known| known.endpoint.to_string())).collect()
        } else {
            let ids = known.filter_map(|known| known.id.clone());
            self.tools.names.iter().cloned().chain(ids).collect()
        };
        let near = nearest(pattern, known.iter().map(String::as_str));
        let near = near.map(|near| format!("did you mean {near:?}? Else "));
        let rest = if is_endpoint {
            "declare the endpoint in a skill, or remove the pattern".to_owned()
        } else {
            format!("the tools are {}", self.tools.names.join(", "))
        };
        near.unwrap_or_default() + &rest
    }
}

fn config_remedy(reason: &str) -> &'static str {
    if reason.contains("is not set") {
        "set it in the daemon's environment"
    } else if reason.contains("did you mean") {
        "correct the name"
    } else if reason.contains("stands twice") {
        "remove one of them"
    } else if reason.contains("at line") {
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

/// The line of `allow` at or after that of the role.
fn line_of_empty_allow(text: &str, role: Option<usize>) -> Option<usize> {
    let after = role.unwrap_or(1) - 1;
    let at = text.lines().skip(after).position(|line| line.contains("\"allow\""));
    at.map(|at| after + at + 1).or(role)
}

fn line_of(text: &str, word: &str) -> Option<usize> {
    let quoted = serde_json::Value::String(word.to_owned()).to_string();
    text.lines().position(|line| line.contains(&quoted)).map(|at| at + 1)
}
