//! `mcp.json`: the MCP servers whose tools agents may use (docs/WORKSPACE.md).
//!
//! The file of any usual client is read: its name for the list, its names of fields, its way to write
//! variables, comments. What is no JSON object with such a list, or has a key twice, is refused as a
//! whole. A server that cannot be used is disabled, with its line and the reason: that takes tools away
//! and never adds one. So is one of which a part looks like a rule and cannot be read.

mod application_keys;
mod entry;
mod names;
mod tool_filter;
mod transport;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::json_lines::{Step, line_at};
use crate::jsonc;

pub(crate) use application_keys::application_keys;
pub use names::tool_prefix;
pub use tool_filter::ToolFilter;
pub use transport::Transport;

/// Where clients have the list of all servers.
const LISTS: [&[&str]; 7] = [
    // Claude, Cursor, Windsurf, Gemini CLI, Cline and most others.
    &["mcpServers"],
    // VS Code, in a file of its own and among its settings.
    &["servers"],
    &["mcp", "servers"],
    // Zed.
    &["context_servers"],
    // Amp.
    &["amp.mcpServers"],
    &["mcp_servers"],
    // OpenCode.
    &["mcp"],
];

/// The parsed file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct McpConfig {
    /// The servers by name, without those that are switched off.
    pub servers: BTreeMap<String, ServerEntry>,
}

/// A server, or why it cannot be used.
pub type ServerEntry = Result<ServerConfig, Disabled>;

/// Why a server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// The line of the file, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

/// `line 3: it has neither command nor url`.
impl fmt::Display for Disabled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// The configuration of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// How it is reached.
    pub transport: Transport,
    /// The timeout of a call.
    pub timeout: Duration,
    /// Which of its tools are wanted.
    pub tools: ToolFilter,
}

/// An error that makes the whole file unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct McpConfigError {
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

impl McpConfig {
    /// Parses the file's text. `${NAME}` and the like in what describes a server are replaced by the
    /// variable's value from `env`; a server with an unset variable is disabled.
    ///
    /// # Errors
    /// When it is not a JSON object with a list of servers, or a key stands twice.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, McpConfigError> {
        let text = &jsonc::plain(text);
        let raw = strict_json::parse(text.as_bytes())
            .map_err(|error| McpConfigError { line: Some(error.line), reason: error.reason })?;
        if !raw.is_object() {
            let reason = "it is not an object".to_owned();
            return Err(McpConfigError { line: line_at(text, &[]), reason });
        }
        let mut config = Self::default();
        let mut by_prefix: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (path, listed) in lists(&raw, text)? {
            for (name, server) in listed {
                let mut steps: Vec<_> = path.iter().map(|key| Step::Key(key)).collect();
                steps.push(Step::Key(name));
                let disabled = |field: &str, reason: String| Disabled {
                    line: line_at(text, &[&steps[..], &[Step::Key(field)]].concat()),
                    reason,
                };
                let entry = match entry::read(server, env) {
                    // Also where one of them is switched off: which one counts is not known.
                    _ if !seen.insert(name) => {
                        Err(disabled("", "the server stands in two lists".to_owned()))
                    }
                    Ok(None) => continue,
                    Ok(Some(server)) => Ok(server),
                    Err(entry::Unusable { field, reason }) => Err(disabled(field, reason)),
                };
                by_prefix.entry(tool_prefix(name)).or_default().insert(name.clone());
                config.servers.insert(name.clone(), entry);
            }
        }
        config.keep_apart(text, &by_prefix);
        Ok(config)
    }

    /// Disables servers whose tools would have the same names: a rule for one would hold for another.
    /// The one that has just this name keeps it.
    fn keep_apart(&mut self, text: &str, by_prefix: &BTreeMap<String, BTreeSet<String>>) {
        for (prefix, names) in by_prefix.iter().filter(|(_, names)| names.len() > 1) {
            for name in names.iter().filter(|name| *name != prefix) {
                let others = names.iter().filter(|other| *other != name);
                let others: Vec<_> = others.map(|other| format!("{other:?}")).collect();
                let reason = format!(
                    "the names of its tools would begin with {prefix}__, as those of {}; rename it",
                    others.join(", ")
                );
                let line = LISTS.iter().find_map(|path| {
                    let mut steps: Vec<_> = path.iter().map(|key| Step::Key(key)).collect();
                    steps.push(Step::Key(name));
                    line_at(text, &steps)
                });
                self.servers.insert(name.clone(), Err(Disabled { line, reason }));
            }
        }
    }
}

type List<'a> = (&'static [&'static str], &'a Map<String, Value>);

/// The lists of servers in a file; some have more than one.
fn lists<'a>(raw: &'a Value, text: &str) -> Result<Vec<List<'a>>, McpConfigError> {
    let mut found: Vec<List<'a>> = Vec::new();
    for path in LISTS {
        let value = path.iter().try_fold(raw, |value, key| value.get(key));
        match value {
            None => {}
            // Around the list of VS Code's settings, or the list itself.
            Some(_) if path == ["mcp"] && found.iter().any(|(path, _)| path[0] == "mcp") => {}
            Some(Value::Object(servers)) => found.push((path, servers)),
            Some(_) => {
                let steps: Vec<_> = path.iter().map(|key| Step::Key(key)).collect();
                let reason = format!("{} is not an object", path.join("."));
                return Err(McpConfigError { line: line_at(text, &steps), reason });
            }
        }
    }
    // Some clients have nothing around the list.
    if let Some(servers) = raw.as_object().filter(|servers| found.is_empty() && is_list(servers)) {
        found.push((&[], servers));
    }
    if found.is_empty() {
        let reason = "mcpServers is missing".to_owned();
        return Err(McpConfigError { line: line_at(text, &[]), reason });
    }
    Ok(found)
}

/// Whether all values look like servers.
fn is_list(servers: &Map<String, Value>) -> bool {
    !servers.is_empty()
        && servers.values().all(|server| {
            ["command", "url", "serverUrl", "httpUrl"].iter().any(|key| server.get(key).is_some())
        })
}

#[cfg(test)]
mod tests;
