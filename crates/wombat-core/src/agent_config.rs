//! `agent-config.json`: roles, model tiers, and the tool permissions of each role.

mod lines;
mod memory;
mod output;
pub(crate) mod shape;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zones::Zone;

use self::lines::{line_from, line_of_condition, line_of_redact};
use crate::json_lines::{Step, line_at, steps};
use crate::redact::RedactRules;
use crate::session::Role;

pub use self::memory::{MEMORY_SCOPES, MemoryAccess};
pub use self::output::{MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, OutputSpec};
use crate::permissions::SCHEDULE_TOOLS;
use crate::permissions::is_pattern;
pub use crate::permissions::{
    ApprovalEntry, CustomerRules, ENABLED_TOOLS, LIST_SCHEDULES, NamedTool, Permission, RuleList,
    RuleOrigin, RuleRef, Ruling, SCHEDULE, ToolCall, ToolLists, ToolPermissions, UNSCHEDULE,
    enabling_list,
};

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
    /// In which zone that is; in the machine's when absent.
    pub heartbeat_timezone: Option<Zone>,
    /// Whether it may schedule what it is told later.
    pub schedules: bool,
    /// Its tool permissions.
    pub tools: Arc<ToolPermissions>,
    /// The output that its replies have to have, but for those to heartbeats.
    pub output: Option<Arc<OutputSpec>>,
    /// Which memories it reads and writes.
    pub memory: MemoryAccess,
    /// What of its runs is redacted, and where; nothing when absent.
    pub redact: Option<Arc<RedactRules>>,
}

impl AgentProfile {
    /// The defaults of a role that is not configured.
    pub fn unconfigured(role: &Role) -> Self {
        Self {
            role: role.clone(),
            session_key_template: format!("user:{{userId}}:{role}"),
            model_tier: ModelTier::Default,
            heartbeat_cron: None,
            heartbeat_timezone: None,
            schedules: false,
            tools: Arc::new(ToolPermissions::default()),
            output: None,
            memory: MemoryAccess::default(),
            redact: None,
        }
    }

    /// The same, with its tools narrowed by a customer's rules.
    #[must_use]
    pub fn narrowed(self, customer: Option<&Arc<CustomerRules>>) -> Self {
        match customer {
            Some(rules) => Self { tools: Arc::new(self.tools.narrowed(rules.clone())), ..self },
            None => self,
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
    /// The same as it is written, for the lines of rules.
    text: Arc<str>,
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
        let mut raw = match strict_json::parse(text.as_bytes()) {
            Ok(raw) => raw,
            Err(error) => {
                let error = ConfigError { line: Some(error.line), reason: error.reason };
                return (Self::default(), vec![error]);
            }
        };
        let mut errors = shape::problems(&raw, text, env);
        let outputs = output::as_written(&raw);
        expand(&mut raw, env);
        output::restore(&mut raw, outputs);
        let mut agents: Vec<AgentEntry> = Vec::new();
        let entries = match raw.get("agents") {
            None => &[][..],
            Some(Value::Array(entries)) => entries,
            Some(_) => {
                let reason = "agents is not a list".to_owned();
                errors.push(ConfigError { line: line_at(text, &[Step::Key("agents")]), reason });
                &[]
            }
        };
        for (at, entry) in entries.iter().enumerate() {
            let role = entry.get("role").and_then(Value::as_str);
            let place = [Step::Key("agents"), Step::Index(at)];
            let line = line_at(text, &[place[0], place[1], Step::Key("role")]);
            let name =
                role.map_or_else(|| format!("agent {}", at + 1), |role| format!("agent {role:?}"));
            let mut problems = Vec::new();
            let read = read_entry(entry, &mut problems).unwrap_or_else(|(path, what)| {
                let path: Vec<Step<'_>> = place.into_iter().chain(steps(&path)).collect();
                let reason = format!("{name}: {}{what}", told(&path[place.len()..]));
                errors.push(ConfigError { line: line_at(text, &path), reason });
                None
            });
            if let Some(agent) = read {
                if agents.iter().any(|known| known.profile.role == agent.profile.role) {
                    problems.push("is listed twice".to_owned());
                } else {
                    agents.push(agent);
                }
            }
            let patterns: Vec<&str> = patterns(entry).collect();
            errors.extend(problems.into_iter().map(|what| {
                // A pattern has a line of its own.
                let about = |pattern: &&&str| what.contains(&format!("{:?}", pattern.trim()));
                let at = patterns.iter().find(about);
                let at = at.and_then(|text_of| line_from(text, line.unwrap_or(0), text_of));
                let at = at.or_else(|| line_of_condition(text, place, &what));
                let at = at.or_else(|| {
                    let path = [place[0], place[1], Step::Key("output")];
                    line_at(text, &path).filter(|_| what.starts_with("output"))
                });
                let at = at.or_else(|| {
                    let path = [place[0], place[1], Step::Key("memory")];
                    line_at(text, &path).filter(|_| what.starts_with("memory"))
                });
                let at = at.or_else(|| line_of_redact(text, place, &what));
                ConfigError { line: at.or(line), reason: format!("{name}: {what}") }
            }));
        }
        (Self { agents, raw, text: text.into() }, errors)
    }

    /// The line of a role's rule, from 1; that of its list where no pattern is named.
    pub(crate) fn rule_line(&self, role: &Role, rule: &RuleRef) -> Option<usize> {
        let at = self.agents.iter().position(|entry| entry.profile.role == *role)?;
        let tools = &self.agents[at].tools;
        let list: Vec<&String> = match rule.list {
            RuleList::Allow => tools.allow.iter().flatten().collect(),
            RuleList::Deny => tools.deny.iter().collect(),
            RuleList::Approval => tools.approval.iter().map(|entry| &entry.tool).collect(),
            RuleList::Enable => tools.enable.iter().collect(),
            // No list: it stands beside `tools`.
            RuleList::Schedules => Vec::new(),
        };
        let entries = self.raw["agents"].as_array()?;
        // Entries that are not used are no agents here.
        let is_it = |entry: &Value| entry["role"].as_str() == Some(role.as_str());
        let at = entries.iter().position(is_it)?;
        let name = Step::Key(rule.list.as_str());
        let mut path = vec![Step::Key("agents"), Step::Index(at)];
        if rule.list != RuleList::Schedules {
            path.push(Step::Key("tools"));
        }
        path.push(name);
        if let Some(pattern) = &rule.pattern {
            path.push(Step::Index(list.iter().position(|text| is_pattern(text, pattern))?));
        }
        line_at(&self.text, &path)
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

/// A path as an error names it: `tools.deny[1]: `.
fn told(path: &[Step<'_>]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Index(at) => text.push_str(&format!("[{at}]")),
        }
    }
    if text.is_empty() { text } else { text + ": " }
}

/// Parses one role as far as possible; `problems` receives the errors.
///
/// # Errors
/// The place and the reason, when a value has another type.
fn read_entry(
    entry: &Value,
    problems: &mut Vec<String>,
) -> Result<Option<AgentEntry>, (serde_path_to_error::Path, String)> {
    #[derive(Deserialize)]
    struct Entry {
        role: String,
        session_key_template: Option<String>,
        heartbeat_cron: Option<String>,
        heartbeat_timezone: Option<String>,
        #[serde(default)]
        schedules: bool,
        default_model_tier: Option<String>,
        #[serde(default)]
        tools: ToolLists,
    }
    let output = entry.as_object().map_or(Ok(None), output::of_entry);
    let memory = MemoryAccess::of_entry(entry);
    let redact = RedactRules::of_entry(entry);
    let entry: Entry = serde_path_to_error::deserialize(entry)
        .map_err(|error| (error.path().clone(), error.inner().to_string()))?;
    let role = match Role::parse(&entry.role) {
        Ok(role) => role,
        Err(error) => {
            problems.push(error.to_string());
            return Ok(None);
        }
    };
    let mut profile = AgentProfile::unconfigured(&role);
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
    match entry.heartbeat_timezone.as_deref().map(zones::parse_zone).transpose() {
        Ok(zone) => profile.heartbeat_timezone = zone,
        Err(unknown) => problems.push(format!("heartbeat_timezone: {unknown}")),
    }
    match output {
        Ok(output) => profile.output = output.map(Arc::new),
        Err(why) => problems.extend(why),
    }
    match memory {
        Ok(memory) => profile.memory = memory,
        Err(why) => problems.extend(why),
    }
    match redact {
        Ok(redact) => profile.redact = redact.map(Arc::new),
        Err(why) => problems.extend(why),
    }
    profile.schedules = entry.schedules;
    let tools = ToolPermissions::read(&entry.tools, problems);
    let scheduling = if entry.schedules { &SCHEDULE_TOOLS[..] } else { &[] };
    profile.tools = Arc::new(tools.with_enabled(scheduling));
    Ok(Some(AgentEntry { profile, tools: entry.tools }))
}

/// The patterns of an entry's `tools`.
fn patterns(entry: &Value) -> impl Iterator<Item = &str> {
    let lists =
        entry.get("tools").and_then(Value::as_object).into_iter().flat_map(|lists| lists.values());
    let items = lists.filter_map(Value::as_array).flatten();
    items.filter_map(|item| item.as_str().or_else(|| item.get("tool")?.as_str()))
}

/// The variables that strings refer to as `${NAME}` and that are not set, or empty.
pub(crate) fn unset_variables(
    value: &Value,
    env: &dyn Fn(&str) -> Option<String>,
    out: &mut Vec<String>,
) {
    match value {
        Value::String(text) => {
            let names = text.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
            let is_unset = |name: &&str| env(name).is_none_or(|value| value.is_empty());
            out.extend(names.filter(is_unset).map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| unset_variables(item, env, out)),
        Value::Object(fields) => {
            fields.values().for_each(|field| unset_variables(field, env, out));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
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
mod tests;
