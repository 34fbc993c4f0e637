//! `agent-config.json`: roles, model tiers, and what each role may call.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::endpoint::{EndpointPattern, NormalPath};
use crate::session::Role;

/// Which of the configured models a run asks.
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

/// What is known of a role.
#[derive(Debug, Clone)]
pub struct AgentProfile {
    /// The role.
    pub role: Role,
    /// With `{userId}` in place of the user.
    pub session_key_template: String,
    /// The tier of a run that names none.
    pub model_tier: ModelTier,
    /// When it wakes, as five cron fields.
    pub heartbeat_cron: Option<String>,
    /// What it may call.
    pub tools: Arc<ToolPermissions>,
}

impl AgentProfile {
    /// A role that no file says anything about.
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

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// It is made.
    Allowed,
    /// It waits for a person.
    NeedsApproval,
    /// It is refused, with a reason for the model.
    Denied(String),
}

/// `tools` of a role. An empty `allow` allows all that is declared; `deny` wins over it.
#[derive(Debug, Clone, Default)]
pub struct ToolPermissions {
    allow: Vec<ToolPattern>,
    deny: Vec<ToolPattern>,
    approval: Vec<ToolPattern>,
}

#[derive(Debug, Clone)]
enum ToolPattern {
    Name(String),
    Endpoint(EndpointPattern),
}

impl ToolPattern {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.contains('/') {
            return EndpointPattern::parse(text)
                .map(Self::Endpoint)
                .map_err(|error| format!("tool pattern {text:?}: {error}"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '*' | '.');
        if text.is_empty() || !text.chars().all(plain) {
            return Err(format!("tool pattern {text:?} is neither a tool's name nor METHOD /path"));
        }
        Ok(Self::Name(text.to_owned()))
    }

    fn matches(&self, tool: &str, endpoint: Option<(&str, &NormalPath)>) -> bool {
        match (self, endpoint) {
            (Self::Name(pattern), _) => glob(pattern, tool),
            (Self::Endpoint(pattern), Some((method, path))) => pattern.matches(method, path),
            (Self::Endpoint(_), None) => false,
        }
    }
}

/// `*` is anything.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl ToolPermissions {
    /// Decides on a call. `endpoint` is where a call of the backend goes.
    pub fn decide(&self, tool: &str, endpoint: Option<(&str, &NormalPath)>) -> Permission {
        let hit = |patterns: &[ToolPattern]| patterns.iter().any(|p| p.matches(tool, endpoint));
        let what = match endpoint {
            Some((method, path)) => format!("{method} {}", path.as_str()),
            None => tool.to_owned(),
        };
        if hit(&self.deny) || !(self.allow.is_empty() || hit(&self.allow)) {
            return Permission::Denied(format!("this role may not call {what}"));
        }
        if hit(&self.approval) { Permission::NeedsApproval } else { Permission::Allowed }
    }

    /// Whether some call of a tool can pass, so that it is worth offering to the model.
    pub fn could_allow(&self, tool: &str) -> bool {
        let by_name = |patterns: &[ToolPattern]| patterns.iter().any(|p| p.matches(tool, None));
        let by_endpoint = || self.allow.iter().any(|p| matches!(p, ToolPattern::Endpoint(_)));
        !by_name(&self.deny)
            && (self.allow.is_empty()
                || by_name(&self.allow)
                || (tool == "call_backend" && by_endpoint()))
    }
}

/// The file, read.
#[derive(Debug, Clone, Default)]
pub struct AgentConfig {
    /// The roles, in the file's order.
    pub agents: Vec<AgentEntry>,
    /// The whole file, for gates that ask for a setting in it.
    pub raw: Value,
}

/// One role of the file.
#[derive(Debug, Clone)]
pub struct AgentEntry {
    /// What the programs use.
    pub profile: AgentProfile,
    /// `tools` as it was written.
    pub tools: ToolLists,
}

/// `tools` as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolLists {
    /// What may be called; all that is declared when empty.
    #[serde(default)]
    pub allow: Vec<String>,
    /// What may not.
    #[serde(default)]
    pub deny: Vec<String>,
    /// What waits for a person.
    #[serde(default)]
    pub approval: Vec<String>,
}

impl AgentConfig {
    /// Reads the file's text. `${NAME}` in strings is replaced by what `env` says.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            agents: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            role: String,
            session_key_template: Option<String>,
            heartbeat_cron: Option<String>,
            default_model_tier: Option<String>,
            #[serde(default)]
            tools: ToolLists,
        }
        let mut raw: Value = serde_json::from_str(text)
            .map_err(|error| ConfigError { line: Some(error.line()), reason: error.to_string() })?;
        expand(&mut raw, env);
        let file = File::deserialize(&raw)
            .map_err(|error| ConfigError { line: None, reason: error.to_string() })?;
        let mut agents: Vec<AgentEntry> = Vec::new();
        for entry in file.agents {
            let fail = |what: String| ConfigError {
                line: line_of(text, &entry.role),
                reason: format!("agent {:?}: {what}", entry.role),
            };
            let role = Role::parse(&entry.role).map_err(|error| fail(error.to_string()))?;
            if agents.iter().any(|known| known.profile.role == role) {
                return Err(fail("stands twice".to_owned()));
            }
            let mut profile = AgentProfile::unconfigured(&role);
            if let Some(template) = entry.session_key_template {
                if !template.contains("{userId}") {
                    return Err(fail("session_key_template lacks {userId}".to_owned()));
                }
                profile.session_key_template = template;
            }
            if let Some(tier) = entry.default_model_tier {
                profile.model_tier = tier.parse().map_err(|()| {
                    fail(format!("default_model_tier {tier:?} is not default, cheap or best"))
                })?;
            }
            profile.heartbeat_cron = entry.heartbeat_cron;
            profile.tools = Arc::new(ToolPermissions {
                allow: patterns(&entry.tools.allow).map_err(&fail)?,
                deny: patterns(&entry.tools.deny).map_err(&fail)?,
                approval: patterns(&entry.tools.approval).map_err(&fail)?,
            });
            agents.push(AgentEntry { profile, tools: entry.tools });
        }
        Ok(Self { agents, raw })
    }

    /// Whether a dotted path in the file holds something true, for skills' `requires.config`.
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

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ConfigError {
    /// Where, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

fn patterns(texts: &[String]) -> Result<Vec<ToolPattern>, String> {
    texts.iter().map(|text| ToolPattern::parse(text)).collect()
}

fn line_of(text: &str, role: &str) -> Option<usize> {
    let quoted = Value::String(role.to_owned()).to_string();
    text.lines().position(|line| line.contains(&quoted)).map(|at| at + 1)
}

/// Replaces `${NAME}` in all strings; an unset variable gives nothing.
fn expand(value: &mut Value, env: &dyn Fn(&str) -> Option<String>) {
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

    fn permissions(json: &str) -> ToolPermissions {
        let text = format!(r#"{{"agents": [{{"role": "r", "tools": {json}}}]}}"#);
        let config = AgentConfig::parse(&text, &|_| None).unwrap();
        config.agents[0].profile.tools.as_ref().clone()
    }

    #[test]
    fn nothing_said_allows_what_is_declared() {
        let all = permissions("{}");
        assert_eq!(all.decide("create_task", None), Permission::Allowed);
        assert!(all.could_allow("call_backend"));
    }

    #[test]
    fn allow_narrows_deny_wins_and_approval_waits() {
        let path = NormalPath::parse("/api/schools/7/profile").unwrap();
        let some = permissions(
            r#"{"allow": ["list_*", "create_document", "GET /api/schools/**"],
                "deny": ["list_notifications"], "approval": ["create_document"]}"#,
        );
        assert_eq!(some.decide("list_tasks", None), Permission::Allowed);
        assert!(matches!(some.decide("list_notifications", None), Permission::Denied(_)));
        assert!(matches!(some.decide("create_task", None), Permission::Denied(_)));
        assert_eq!(some.decide("create_document", None), Permission::NeedsApproval);
        assert_eq!(some.decide("call_backend", Some(("GET", &path))), Permission::Allowed);
        assert!(matches!(
            some.decide("call_backend", Some(("POST", &path))),
            Permission::Denied(_)
        ));
        assert!(some.could_allow("call_backend") && !some.could_allow("list_notifications"));
        assert!(!permissions(r#"{"allow": ["list_tasks"]}"#).could_allow("call_backend"));
        let denied = permissions(r#"{"deny": ["* /api/schools/*/profile"]}"#);
        assert!(matches!(
            denied.decide("call_backend", Some(("GET", &path))),
            Permission::Denied(_)
        ));
        assert!(denied.could_allow("call_backend"));
    }

    #[test]
    fn names_are_matched_as_a_whole() {
        for (pattern, text, hit) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "x", true),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("a*b*c", "axbyc", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, text), hit, "{pattern} {text}");
        }
    }

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
