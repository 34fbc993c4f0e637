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
    described(server)?;
    let mut unset = Vec::new();
    missing(server, env, &mut unset);
    if let Some(variable) = unset.first() {
        let why = "is not set, or is a secret of the daemon itself";
        return Err(Unusable::Here(format!("${{{variable}}} {why}")));
    }
    let mut server = server.clone();
    expand(&mut server, env);
    let server = described(&server)?;
    match &server.transport {
        Transport::Http { url, .. } if !is_http_url(url) => {
            Err(Unusable::Anywhere("url", "url is not an http or https URL".to_owned()))
        }
        Transport::Http { .. } | Transport::Stdio { .. } => Ok(Some(server)),
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
mod tests {
    use super::*;

    fn read_one(server: &str) -> ServerEntry {
        let text = format!(r#"{{"mcpServers": {{"s": {server}}}}}"#);
        let env = |name: &str| (name == "KEY").then(|| "k1".to_owned());
        McpConfig::parse(&text, &env).unwrap().servers.remove("s").unwrap()
    }

    #[test]
    fn both_transports_are_read_and_variables_filled_in() {
        let stdio = read_one(
            r#"{"command": "npx", "args": ["-y", "x"], "env": {"A": "${KEY}", "N": 1}, "timeout_secs": 5}"#,
        );
        let stdio = stdio.unwrap();
        assert_eq!(stdio.timeout, Duration::from_secs(5));
        let Transport::Stdio { command, args, env, cwd } = &stdio.transport else { panic!() };
        assert_eq!((command.as_str(), args.len(), cwd), ("npx", 2, &None));
        assert_eq!((env["A"].as_str(), env["N"].as_str()), ("k1", "1"));
        assert!(!format!("{stdio:?}").contains("k1"), "{stdio:?}");
        let http = read_one(
            r#"{"type": "http", "url": "https://h/mcp", "headers": {"Authorization": "Bearer ${KEY}"}}"#,
        );
        let Transport::Http { url, headers } = http.unwrap().transport else { panic!() };
        assert_eq!(
            (url.as_str(), headers["Authorization"].as_str()),
            ("https://h/mcp", "Bearer k1")
        );
    }

    #[test]
    fn secrets_of_an_entry_are_taken_out_of_what_is_told() {
        let http = read_one(
            r#"{"url": "https://me:pass@h/mcp?key=${KEY}-long", "headers": {"Authorization": "Bearer topsecret"}}"#,
        );
        let said = "error for url (https://me:pass@h/mcp?key=k1-long): topsecret";
        let told = http.unwrap().transport.hide_secrets(said);
        assert_eq!(told, "error for url (https://***@h/***?***): ***");
        let http = r#"{"url": "https://h/0123456789abcdef/mcp", "headers": {"X": "topsecret+1"}}"#;
        let said =
            "at h/0123456789abcdef/mcp or 0123456789abcdef with topsecret%2B1 and dG9wc2VjcmV0KzE=";
        let told = read_one(http).unwrap().transport.hide_secrets(said);
        assert_eq!(told, "at h/*** or *** with [token] and [token]=");
        let stdio = read_one(
            r#"{"command": "x", "args": ["--token=abcdef", "-v"], "env": {"A": "canary", "N": 1}}"#,
        );
        let told = stdio.unwrap().transport.hide_secrets("x --token=abcdef -v 1 said canary");
        assert_eq!(told, "x --token=*** -v 1 said ***");
    }

    #[test]
    fn answers_lose_keys_and_no_words() {
        let http = r#"{"url": "https://h/mcp?readonly=true&api_key=hunter22", "headers": {
            "X-MCP-Readonly": "true", "X-Team": "search", "Authorization": "Bearer topsecret",
            "X-Api-Key": "abcd", "X-Other": "0123456789abcdefg"}}"#;
        let transport = read_one(http).unwrap().transport;
        let said = "true, search at h/mcp: hunter22 topsecret abcd 0123456789abcdefg";
        assert_eq!(transport.hide_keys(said), "true, search at h/mcp: *** *** *** ***");
        assert_eq!(transport.hide_secrets("true"), "***");
    }

    #[test]
    fn a_server_that_cannot_be_used_here_says_why_and_spares_the_others() {
        for (server, word) in [
            (r#"{"command": "x", "env": {"A": "${NOT_SET}"}}"#, "NOT_SET"),
            (r#"{"url": "http://h/sse", "type": "sse"}"#, "sse"),
        ] {
            let error = read_one(server).unwrap_err();
            assert!(error.contains(word), "{server}: {error}");
        }
        let text = r#"{"mcpServers": {"a__b": {"command": "x"}, "off": {"disabled": true}, "ok": {"command": "x"}}}"#;
        let config = McpConfig::parse(text, &|_| None).unwrap();
        let states: Vec<_> = config.servers.iter().map(|(n, s)| (n.as_str(), s.is_ok())).collect();
        assert_eq!(states, [("a__b", false), ("ok", true)]);
    }

    #[test]
    fn a_server_that_is_not_described_as_one_makes_the_file_unusable() {
        for (server, word) in [
            ("7", "not an object"),
            ("{}", "neither"),
            (r#"{"command": "x", "url": "http://h"}"#, "both"),
            (r#"{"command": ""}"#, "empty"),
            (r#"{"command": "x", "args": "y"}"#, "not a list"),
            (r#"{"command": "x", "args": [7]}"#, "list of strings"),
            (r#"{"command": "x", "env": {"A": []}}"#, "A is not a string"),
            (r#"{"command": "x", "env": {"A": "${NOT_SET}", "B": []}}"#, "B is not a string"),
            (r#"{"command": "x", "timeout_secs": 0}"#, "timeout_secs"),
            (r#"{"command": "x", "disabled": "true"}"#, "neither true nor false"),
            (r#"{"command": "x", "Disabled": true}"#, "did you mean \"disabled\""),
            (r#"{"command": "x", "disable": true}"#, "did you mean \"disabled\""),
            (r#"{"url": "ftp://h"}"#, "http"),
            (r#"{"url": "http://"}"#, "http"),
            (r#"{"url": "http://h", "type": "stdio"}"#, "stdio"),
        ] {
            let text = format!(
                "{{\"mcpServers\": {{\n\"ok\": {{\"command\": \"x\"}},\n\"s\": {server}}}}}"
            );
            let error = McpConfig::parse(&text, &|_| None).unwrap_err();
            assert_eq!(error.line, Some(3), "{server}: {error}");
            let reason = error.reason.strip_prefix("server \"s\": ");
            assert!(reason.is_some_and(|reason| reason.contains(word)), "{server}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_no_such_file_is_refused_with_its_line() {
        let error = McpConfig::parse("{\n\"mcpServers\": {\n}", &|_| None).unwrap_err();
        assert_eq!(error.line, Some(3));
        let twice = r#"{"mcpServers": {"s": {"command": "x"}, "s": {"command": "y"}}}"#;
        for text in ["[]", "{}", r#"{"mcpServers": []}"#, twice] {
            assert!(McpConfig::parse(text, &|_| None).is_err(), "{text}");
        }
    }
}
