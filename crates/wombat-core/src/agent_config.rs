//! `agent-config.json`: roles, model tiers, and the tool permissions of each role.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::session::Role;

pub use crate::permissions::{Permission, ToolLists, ToolPermissions};

/// Which of the configured models a run uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelTier {
    /// `LLM_MODEL_DEFAULT`.
    #[default]
    Default,
    /// `LLM_MODEL_CHEAP`.
    Cheap,
    /// `LLM_MODEL_BEST`.
    Best,
}

impl FromStr for ModelTier {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "default" => Ok(Self::Default),
            "cheap" => Ok(Self::Cheap),
            "best" => Ok(Self::Best),
            _ => Err(()),
        }
    }
}

/// The configuration of a role.
#[derive(Debug, Clone)]
pub struct AgentProfile {
    /// The role.
    pub role: Role,
    /// The session key, with `{userId}` in place of the user.
    pub session_key_template: String,
    /// The default model tier.
    pub model_tier: ModelTier,
    /// When its heartbeat runs, as five cron fields.
    pub heartbeat_cron: Option<String>,
    /// Its tool permissions.
    pub tools: Arc<ToolPermissions>,
}

impl AgentProfile {
    /// The defaults of a role that is not configured.
    pub fn unconfigured(role: &Role) -> Self {
        Self {
            role: role.clone(),
            session_key_template: format!("user:{{userId}}:{role}"),
            model_tier: ModelTier::Default,
            heartbeat_cron: None,
            tools: Arc::new(ToolPermissions::default()),
        }
    }
}

/// The parsed file.
#[derive(Debug, Clone, Default)]
pub struct AgentConfig {
    /// The roles, in the file's order.
    pub agents: Vec<AgentEntry>,
    /// The whole file, for skill gates that refer to it.
    pub raw: Value,
}

/// One role of the file.
#[derive(Debug, Clone)]
pub struct AgentEntry {
    /// The profile made from it.
    pub profile: AgentProfile,
    /// `tools` as it was written.
    pub tools: ToolLists,
}

impl AgentConfig {
    /// Parses the file's text. `${NAME}` in strings is replaced by the variable's value from `env`.
    ///
    /// # Errors
    /// The first error in it.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let (config, errors) = Self::read(text, env);
        errors.into_iter().next().map_or(Ok(config), Err)
    }

    /// Parses as much of the file as possible; returns it with all errors.
    pub fn read(text: &str, env: &dyn Fn(&str) -> Option<String>) -> (Self, Vec<ConfigError>) {
        let mut raw: Value = match serde_json::from_str(text) {
            Ok(raw) => raw,
            Err(error) => {
                let error = ConfigError { line: Some(error.line()), reason: error.to_string() };
                return (Self::default(), vec![error]);
            }
        };
        expand(&mut raw, env);
        let mut errors = Vec::new();
        let mut agents: Vec<AgentEntry> = Vec::new();
        let entries = match raw.get("agents") {
            None => &[][..],
            Some(Value::Array(entries)) => entries,
            Some(_) => {
                let reason = "agents is not a list".to_owned();
                errors.push(ConfigError { line: line_of(text, "agents"), reason });
                &[]
            }
        };
        for (at, entry) in entries.iter().enumerate() {
            let role = entry.get("role").and_then(Value::as_str);
            let line = role.and_then(|role| line_of(text, role));
            let name =
                role.map_or_else(|| format!("agent {}", at + 1), |role| format!("agent {role:?}"));
            let mut problems = Vec::new();
            if let Some(agent) = read_entry(entry, &mut problems) {
                if agents.iter().any(|known| known.profile.role == agent.profile.role) {
                    problems.push("is listed twice".to_owned());
                } else {
                    agents.push(agent);
                }
            }
            let problems = problems.into_iter().map(|what| format!("{name}: {what}"));
            errors.extend(problems.map(|reason| ConfigError { line, reason }));
        }
        (Self { agents, raw }, errors)
    }

    /// Whether the value at a dotted path in the file is truthy, for skills' `requires.config`.
    pub(crate) fn is_truthy(&self, path: &str) -> bool {
        let value = path.split('.').try_fold(&self.raw, |value, name| value.get(name));
        match value {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::Bool(true) | Value::Array(_) | Value::Object(_)) => true,
        }
    }
}

/// An error in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ConfigError {
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

/// Parses one role as far as possible; `problems` receives the errors.
fn read_entry(entry: &Value, problems: &mut Vec<String>) -> Option<AgentEntry> {
    #[derive(Deserialize)]
    struct Entry {
        role: String,
        session_key_template: Option<String>,
        heartbeat_cron: Option<String>,
        default_model_tier: Option<String>,
        #[serde(default)]
        tools: ToolLists,
    }
    let entry = Entry::deserialize(entry).map_err(|error| problems.push(error.to_string())).ok()?;
    let role = Role::parse(&entry.role).map_err(|error| problems.push(error.to_string())).ok();
    let mut profile = AgentProfile::unconfigured(role.as_ref()?);
    if let Some(template) = entry.session_key_template {
        if template.contains("{userId}") {
            profile.session_key_template = template;
        } else {
            problems.push("session_key_template lacks {userId}".to_owned());
        }
    }
    if let Some(tier) = entry.default_model_tier {
        match tier.parse() {
            Ok(tier) => profile.model_tier = tier,
            Err(()) => {
                problems.push(format!("default_model_tier {tier:?} is not default, cheap or best"));
            }
        }
    }
    profile.heartbeat_cron = entry.heartbeat_cron;
    profile.tools = Arc::new(ToolPermissions::read(&entry.tools, problems));
    Some(AgentEntry { profile, tools: entry.tools })
}

fn line_of(text: &str, role: &str) -> Option<usize> {
    let quoted = Value::String(role.to_owned()).to_string();
    text.lines().position(|line| line.contains(&quoted)).map(|at| at + 1)
}

/// Replaces `${NAME}` in all strings; an unset variable becomes empty.
pub(crate) fn expand(value: &mut Value, env: &dyn Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) if text.contains("${") => *text = expand_text(text, env),
        Value::Array(items) => items.iter_mut().for_each(|item| expand(item, env)),
        Value::Object(fields) => fields.values_mut().for_each(|field| expand(field, env)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn expand_text(text: &str, env: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        match rest[at + 2..].split_once('}') {
            Some((name, after)) => {
                out.push_str(&env(name).unwrap_or_default());
                rest = after;
            }
            None => {
                out.push_str(&rest[at..]);
                rest = "";
            }
        }
    }
    out + rest
}

/// Roles by name, for look-ups.
pub(crate) fn by_role(config: &AgentConfig) -> BTreeMap<Role, AgentProfile> {
    config.agents.iter().map(|entry| (entry.profile.role.clone(), entry.profile.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_and_old_keys_accepted() {
        let text = r#"{"backend_base_url": "${URL}/x", "agents": [{"role": "scout",
            "session_key_template": "user:{userId}:scout", "default_model_tier": "cheap"}]}"#;
        let config =
            AgentConfig::parse(text, &|name| (name == "URL").then(|| "http://h".into())).unwrap();
        assert_eq!(config.raw["backend_base_url"], "http://h/x");
        assert_eq!(config.agents[0].profile.model_tier, ModelTier::Cheap);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, word) in [
            ("{\n\"agents\": [\n}", Some(3), "line 3"),
            ("{\"agents\": [\n{\"role\": \"../x\"}]}", Some(2), "role"),
            (
                "{\"agents\": [{\"role\": \"a\", \"default_model_tier\": \"huge\"}]}",
                Some(1),
                "huge",
            ),
            (
                "{\"agents\": [{\"role\": \"a\", \"session_key_template\": \"x\"}]}",
                Some(1),
                "{userId}",
            ),
            (
                "{\"agents\": [{\"role\": \"a\", \"tools\": {\"deny\": [\"GET x/\"]}}]}",
                Some(1),
                "GET x/",
            ),
        ] {
            let error = AgentConfig::parse(text, &|_| None).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(error.reason.contains(word), "{error}");
        }
    }
}
