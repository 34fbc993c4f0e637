//! `mcp.json`: the MCP servers whose tools agents may use (docs/WORKSPACE.md).
//!
//! The usual `mcpServers` format. A file with anything else in it is refused. A server that is described
//! well and cannot be used here, because a variable is not set or its transport is not supported, is
//! disabled: that takes tools away and never adds one.

mod transport;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::agent_config::expand;
use crate::json_lines::{Step, line_at};
use crate::nearest::nearest;
use crate::strict_json;

pub use transport::Transport;

/// The list of all servers.
const SERVERS: &str = "mcpServers";

/// The default timeout of a call.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest timeout of a call, seconds.
const MAX_TIMEOUT: u64 = 600;

/// The longest name of a server: the names of its tools begin with it and have at most 64 characters.
const MAX_NAME: usize = 32;

/// The parsed file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct McpConfig {
    /// The servers by name, without those that are `disabled`.
    pub servers: BTreeMap<String, ServerEntry>,
}

/// A server, or why it cannot be used.
pub type ServerEntry = Result<ServerConfig, String>;

/// The configuration of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// How it is reached.
    pub transport: Transport,
    /// The timeout of a call.
    pub timeout: Duration,
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
    /// Parses the file's text. `${NAME}` in strings is replaced by the variable's value from `env`; a
    /// server with an unset variable is disabled.
    ///
    /// # Errors
    /// When it is not a JSON object with `mcpServers`, or one of these is not described as a server is.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, McpConfigError> {
        let raw = strict_json::parse(text)
            .map_err(|error| McpConfigError { line: Some(error.line), reason: error.reason })?;
        let at = |path: &[Step<'_>], reason: String| {
            Err(McpConfigError { line: line_at(text, path), reason })
        };
        let listed = match raw.get(SERVERS) {
            Some(Value::Object(servers)) => servers,
            Some(_) => return at(&[Step::Key(SERVERS)], format!("{SERVERS} is not an object")),
            None if raw.is_object() => return at(&[], format!("{SERVERS} is missing")),
            None => return at(&[], "it is not an object".to_owned()),
        };
        let mut servers = BTreeMap::new();
        for (name, server) in listed {
            let entry = match read(name, server, env) {
                Ok(None) => continue,
                Ok(Some(server)) => Ok(server),
                Err(Unusable::Here(reason)) => Err(reason),
                Err(Unusable::Anywhere(field, reason)) => {
                    let path = [Step::Key(SERVERS), Step::Key(name), Step::Key(field)];
                    return at(&path, format!("server {name:?}: {reason}"));
                }
            };
            servers.insert(name.clone(), entry);
        }
        Ok(Self { servers })
    }
}

/// Why a server cannot be used.
enum Unusable {
    /// It is described as it should be, and something is missing here.
    Here(String),
    /// A field, and what is wrong with it.
    Anywhere(&'static str, String),
}

/// Whether a server is wanted. What only looks like a switch is refused: somebody wanted it off.
fn is_enabled(server: &Value) -> Result<bool, Unusable> {
    const SWITCHES: [&str; 2] = ["disabled", "enabled"];
    for key in server.as_object().into_iter().flat_map(Map::keys) {
        if !SWITCHES.contains(&key.as_str())
            && let Some(near) = nearest(key, SWITCHES)
        {
            let reason = format!("unknown key {key:?}; did you mean {near:?}?");
            return Err(Unusable::Anywhere("", reason));
        }
    }
    let switch = |name: &'static str, default| match server.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(on)) => Ok(*on),
        Some(_) => Err(Unusable::Anywhere(name, format!("{name} is neither true nor false"))),
    };
    Ok(!switch("disabled", false)? && switch("enabled", true)?)
}

/// A server; `None` for one that is disabled.
fn read(
    name: &str,
    server: &Value,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<ServerConfig>, Unusable> {
    if !server.is_object() {
        return Err(Unusable::Anywhere("", "it is not an object".to_owned()));
    }
    if !is_enabled(server)? {
        return Ok(None);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) || name.contains("__") {
        let reason = format!("its name must be 1 to {MAX_NAME} letters, digits, '-' or single '_'");
        return Err(Unusable::Here(reason));
    }
    // Read before variables are filled in, so that its form does not depend on them.
    if let Transport::Http { url, .. } = described(server)?.transport
        && !url.contains("${")
        && !is_http_url(&url)
    {
        return Err(Unusable::Anywhere("url", "url is not an http or https URL".to_owned()));
    }
    let mut unset = Vec::new();
    missing(server, env, &mut unset);
    if let Some(variable) = unset.first() {
        let why = "is not set, or is a secret of the daemon itself";
        return Err(Unusable::Here(format!("${{{variable}}} {why}")));
    }
    let mut server = server.clone();
    expand(&mut server, env);
    // What is wrong now is the variables'.
    let described = described(&server).map_err(|unusable| match unusable {
        Unusable::Here(reason) | Unusable::Anywhere(_, reason) => {
            Unusable::Here(format!("with its variables filled in, {reason}"))
        }
    })?;
    match &described.transport {
        Transport::Http { url, .. } if !is_http_url(url) => {
            let reason = "with its variables filled in, url is not an http or https URL";
            Err(Unusable::Here(reason.to_owned()))
        }
        Transport::Http { .. } | Transport::Stdio { .. } => Ok(Some(described)),
    }
}

fn described(server: &Value) -> Result<ServerConfig, Unusable> {
    let none = Map::new();
    let fields = server.as_object().unwrap_or(&none);
    let bad = |field, reason: &str| Err(Unusable::Anywhere(field, reason.to_owned()));
    let kind = text(fields, "type")?.or(text(fields, "transport")?);
    let timeout = match fields.get("timeout_secs") {
        None => DEFAULT_TIMEOUT,
        Some(given) => match given.as_u64() {
            Some(seconds @ 1..=MAX_TIMEOUT) => Duration::from_secs(seconds),
            Some(_) | None => {
                return bad("timeout_secs", &format!("timeout_secs must be 1 to {MAX_TIMEOUT}"));
            }
        },
    };
    let transport = match (text(fields, "command")?, text(fields, "url")?, kind.as_deref()) {
        (Some(_), Some(_), _) => return bad("url", "it has both command and url"),
        (None, None, _) => return bad("", "it has neither command nor url"),
        (_, _, Some("sse")) => {
            return Err(Unusable::Here(
                "the transport sse is not supported; most servers offer http, too".to_owned(),
            ));
        }
        (Some(command), None, None | Some("stdio")) => Transport::Stdio {
            command,
            args: list(fields, "args")?,
            env: map(fields, "env")?,
            cwd: text(fields, "cwd")?,
        },
        (
            None,
            Some(url),
            None | Some("http" | "streamable-http" | "streamableHttp" | "streamable_http"),
        ) => Transport::Http { url, headers: map(fields, "headers")? },
        (_, _, Some(other)) => {
            return bad("type", &format!("the transport {other:?} does not match"));
        }
    };
    Ok(ServerConfig { transport, timeout })
}

/// The unset variables that are referred to as `${NAME}`.
fn missing(value: &Value, env: &dyn Fn(&str) -> Option<String>, out: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let names = text.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
            out.extend(names.filter(|name| env(name).is_none()).map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| missing(item, env, out)),
        Value::Object(fields) => fields.values().for_each(|field| missing(field, env, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn text(fields: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Unusable> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.clone())),
        Some(Value::String(_)) => Err(Unusable::Anywhere(name, format!("{name} is empty"))),
        Some(_) => Err(Unusable::Anywhere(name, format!("{name} is not a string"))),
    }
}

fn list(fields: &Map<String, Value>, name: &'static str) -> Result<Vec<String>, Unusable> {
    let items = match fields.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Unusable::Anywhere(name, format!("{name} is not a list"))),
    };
    let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
    let texts = texts.collect::<Option<_>>();
    texts.ok_or_else(|| Unusable::Anywhere(name, format!("{name} is not a list of strings")))
}

fn map(
    fields: &Map<String, Value>,
    name: &'static str,
) -> Result<BTreeMap<String, String>, Unusable> {
    let pairs = match fields.get(name) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(pairs)) => pairs,
        Some(_) => return Err(Unusable::Anywhere(name, format!("{name} is not an object"))),
    };
    let pairs = pairs.iter().map(|(key, value)| match value {
        Value::String(text) => Ok((key.clone(), text.clone())),
        Value::Number(number) => Ok((key.clone(), number.to_string())),
        Value::Bool(flag) => Ok((key.clone(), flag.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(Unusable::Anywhere(name, format!("{name}: {key} is not a string")))
        }
    });
    pairs.collect()
}

/// Whether a URL begins with http:// or https:// and has a host.
fn is_http_url(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':']))
        && !url.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests;
