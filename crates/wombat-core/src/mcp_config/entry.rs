//! Reads one server, as the usual clients describe it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{ServerConfig, ToolFilter, Transport, variables};
use crate::nearest::nearest;

/// The default timeout of a call.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest timeout of a call, seconds.
const MAX_TIMEOUT: u64 = 600;

/// The names of clients for a server's address.
const URLS: [&str; 4] = ["httpUrl", "serverUrl", "baseUrl", "url"];

/// Why a server cannot be used.
#[derive(Debug)]
pub(super) struct Unusable {
    /// The field that is wrong; empty for the server as a whole.
    pub(super) field: &'static str,
    /// What is wrong with it.
    pub(super) reason: String,
}

impl Unusable {
    pub(super) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

/// A server; `None` for one that is switched off.
pub(super) fn read(
    server: &Value,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<ServerConfig>, Unusable> {
    let fields = server.as_object().ok_or_else(|| Unusable::new("", "it is not an object"))?;
    if !is_enabled(fields)? {
        return Ok(None);
    }
    let tools = ToolFilter::read(fields)?;
    let timeout = timeout(fields)?;
    // Read before variables are filled in, so that its form does not depend on them.
    let mut transport = transport(fields)?;
    if let Transport::Http { url, .. } = &transport
        && !variables::has_any(url)
        && !is_http_url(url)
    {
        return Err(Unusable::new("url", "url is not an http or https URL"));
    }
    variables::fill_in(&mut transport, env).map_err(|reason| Unusable::new("", reason))?;
    // What is wrong now is the variables'.
    let wrong = match &transport {
        Transport::Http { url, .. } if url.trim().is_empty() => Some("url is empty"),
        Transport::Http { url, .. } if !is_http_url(url) => Some("url is not an http or https URL"),
        Transport::Stdio { command, .. } if command.trim().is_empty() => Some("command is empty"),
        Transport::Stdio { cwd: Some(cwd), .. } if cwd.trim().is_empty() => Some("cwd is empty"),
        Transport::Http { .. } | Transport::Stdio { .. } => None,
    };
    if let Some(wrong) = wrong {
        return Err(Unusable::new("", format!("with its variables filled in, {wrong}")));
    }
    Ok(Some(ServerConfig { transport, timeout, tools }))
}

/// Whether a server is wanted. What only looks like a switch disables it: somebody wanted it off.
fn is_enabled(fields: &Map<String, Value>) -> Result<bool, Unusable> {
    const SWITCHES: [&str; 3] = ["disabled", "enabled", "isActive"];
    for key in fields.keys() {
        if !SWITCHES.contains(&key.as_str())
            && let Some(near) = nearest(key, SWITCHES)
        {
            let reason = format!("unknown key {key:?}; did you mean {near:?}?");
            return Err(Unusable::new("", reason));
        }
    }
    let switch = |name: &'static str, default| match fields.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(on)) => Ok(*on),
        Some(_) => Err(Unusable::new(name, format!("{name} is neither true nor false"))),
    };
    Ok(!switch("disabled", false)? && switch("enabled", true)? && switch("isActive", true)?)
}

/// The timeout of a call: our own `timeout_secs`, or `timeout`, which counts seconds in one client (Cline,
/// at most an hour) and milliseconds in the others.
fn timeout(fields: &Map<String, Value>) -> Result<Duration, Unusable> {
    const HOUR: u64 = 3_600;
    if let Some(given) = fields.get("timeout_secs") {
        return match given.as_u64() {
            Some(seconds @ 1..=MAX_TIMEOUT) => Ok(Duration::from_secs(seconds)),
            Some(_) | None => {
                let reason = format!("timeout_secs must be 1 to {MAX_TIMEOUT}");
                Err(Unusable::new("timeout_secs", reason))
            }
        };
    }
    let timeout = match fields.get("timeout") {
        None | Some(Value::Null) => return Ok(DEFAULT_TIMEOUT),
        Some(given) => match given.as_u64() {
            Some(seconds @ 1..=HOUR) => Duration::from_secs(seconds),
            Some(millis @ 1..) => Duration::from_millis(millis),
            Some(0) | None => {
                return Err(Unusable::new("timeout", "timeout is not a number of seconds"));
            }
        },
    };
    Ok(timeout.min(Duration::from_secs(MAX_TIMEOUT)))
}

/// What a client's name for a transport means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stdio,
    Http,
}

fn kind(fields: &Map<String, Value>) -> Result<Option<Kind>, Unusable> {
    let Some(given) = text(fields, "type")?.or(text(fields, "transport")?) else { return Ok(None) };
    let plain: String = given.to_ascii_lowercase().replace(['-', '_', ' '], "");
    match plain.as_str() {
        "stdio" | "local" => Ok(Some(Kind::Stdio)),
        "http" | "streamablehttp" | "streamable" | "remote" => Ok(Some(Kind::Http)),
        "sse" => Err(Unusable::new(
            "type",
            "the transport sse is not supported; most servers offer http, too",
        )),
        _ => Err(Unusable::new("type", format!("the transport {given:?} does not match"))),
    }
}

fn transport(fields: &Map<String, Value>) -> Result<Transport, Unusable> {
    let kind = kind(fields)?;
    let command = command(fields)?;
    let mut url = None;
    for name in URLS {
        url = url.or(text(fields, name)?);
    }
    let (command, url) = match (command, url, kind) {
        // Some clients keep both, and the type says which one counts.
        (Some(command), Some(_), Some(Kind::Stdio)) => (Some(command), None),
        (Some(_), Some(url), Some(Kind::Http)) => (None, Some(url)),
        (Some(_), Some(_), None) => {
            return Err(Unusable::new("url", "it has both command and url"));
        }
        (command, url, _) => (command, url),
    };
    match (command, url, kind) {
        (Some((command, mut args)), None, None | Some(Kind::Stdio)) => {
            if fields.get("envFile").is_some_and(|file| !file.is_null()) {
                let reason = "envFile is not read; write the variables into env";
                return Err(Unusable::new("envFile", reason));
            }
            args.extend(list(fields, "args")?);
            let mut env = map(fields, "environment")?;
            env.extend(map(fields, "env")?);
            Ok(Transport::Stdio { command, args, env, cwd: text(fields, "cwd")? })
        }
        (None, Some(url), None | Some(Kind::Http)) => {
            let mut headers = match fields.get("requestInit") {
                Some(Value::Object(init)) => map(init, "headers")?,
                Some(_) | None => BTreeMap::new(),
            };
            headers.extend(map(fields, "http_headers")?);
            headers.extend(map(fields, "headers")?);
            Ok(Transport::Http { url, headers })
        }
        (Some(_), _, Some(Kind::Http)) => {
            Err(Unusable::new("type", "it has a command, which does not match its type"))
        }
        (_, Some(_), Some(Kind::Stdio)) => {
            Err(Unusable::new("type", "it has a url, which does not match its type stdio"))
        }
        (_, _, _) => Err(Unusable::new("", "it has neither command nor url")),
    }
}

/// The program and its first arguments: a string, a list (OpenCode), or an object with `path` (Zed).
fn command(fields: &Map<String, Value>) -> Result<Option<(String, Vec<String>)>, Unusable> {
    match fields.get("command") {
        Some(Value::Array(_)) => {
            let mut parts = list(fields, "command")?.into_iter();
            let command = parts.next().filter(|command| !command.trim().is_empty());
            let command = command.ok_or_else(|| Unusable::new("command", "command is empty"))?;
            Ok(Some((command, parts.collect())))
        }
        Some(Value::Object(inner)) => {
            let command = text(inner, "path")?;
            let command = command.ok_or_else(|| Unusable::new("command", "command has no path"))?;
            Ok(Some((command, list(inner, "args")?)))
        }
        _ => Ok(text(fields, "command")?.map(|command| (command, Vec::new()))),
    }
}

fn text(fields: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Unusable> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.clone())),
        Some(Value::String(_)) => Err(Unusable::new(name, format!("{name} is empty"))),
        Some(_) => Err(Unusable::new(name, format!("{name} is not a string"))),
    }
}

fn list(fields: &Map<String, Value>, name: &'static str) -> Result<Vec<String>, Unusable> {
    let items = match fields.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Unusable::new(name, format!("{name} is not a list"))),
    };
    let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
    let texts = texts.collect::<Option<_>>();
    texts.ok_or_else(|| Unusable::new(name, format!("{name} is not a list of strings")))
}

fn map(
    fields: &Map<String, Value>,
    name: &'static str,
) -> Result<BTreeMap<String, String>, Unusable> {
    let pairs = match fields.get(name) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(pairs)) => pairs,
        Some(_) => return Err(Unusable::new(name, format!("{name} is not an object"))),
    };
    let pairs = pairs.iter().map(|(key, value)| match value {
        Value::String(text) => Ok((key.clone(), text.clone())),
        Value::Number(number) => Ok((key.clone(), number.to_string())),
        Value::Bool(flag) => Ok((key.clone(), flag.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(Unusable::new(name, format!("{name}: {key} is not a string")))
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
