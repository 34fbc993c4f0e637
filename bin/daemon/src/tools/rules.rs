//! The rules by which calls are allowed, wait for a person or are refused, as journals and answers tell them.

use mc_client::steps::{Rule, RuleSource};
use wombat_core::agent_config::{RuleOrigin, RuleRef};
use wombat_core::endpoint::NormalPath;
use wombat_core::session::Role;
use wombat_core::workspace::{SkillEndpoint, Snapshot};

/// The largest file in which the line of a skill's endpoint is looked for, bytes.
const MAX_SKILL_BYTES: u64 = 1024 * 1024;

/// A rule that names no list.
fn of(source: RuleSource) -> Rule {
    Rule { source, list: None, pattern: None, file: None, line: None }
}

/// The arguments do not fit the tool's schema.
pub fn schema() -> Rule {
    of(RuleSource::Schema)
}

/// Nothing declares what is called.
pub fn undeclared() -> Rule {
    of(RuleSource::Undeclared)
}

/// No list of the role has to name it.
pub fn unrestricted() -> Rule {
    of(RuleSource::AgentConfig)
}

/// A rule of the role, or of the customer.
pub fn rule(snapshot: &Snapshot, role: &Role, rule: &RuleRef) -> Rule {
    let source = match rule.origin {
        RuleOrigin::AgentConfig => RuleSource::AgentConfig,
        RuleOrigin::Profile => RuleSource::Profile,
    };
    let (file, line) = match rule.origin {
        RuleOrigin::AgentConfig => snapshot.place_of(role, rule),
        RuleOrigin::Profile => (None, None),
    };
    Rule {
        list: Some(rule.list.as_str().to_owned()),
        pattern: rule.pattern.clone(),
        file: file.map(str::to_owned),
        line: line.and_then(|line| u32::try_from(line).ok()),
        ..of(source)
    }
}

/// The skill that declares an endpoint.
pub fn declaring(snapshot: &Snapshot, method: &str, path: &NormalPath) -> Option<Rule> {
    let mut all = snapshot.endpoints().iter();
    declared_by(snapshot, all.find(|declared| declared.pattern.matches(method, path))?)
}

/// The same of an endpoint as it is declared.
pub fn declared_by(snapshot: &Snapshot, declared: &SkillEndpoint) -> Option<Rule> {
    let skill = snapshot.skills().iter().find(|skill| skill.name == declared.skill)?;
    let pattern = declared.pattern.to_string();
    let line = line_of(snapshot, &skill.location, &pattern);
    Some(Rule {
        pattern: Some(pattern),
        file: Some(skill.location.clone()),
        line,
        ..of(RuleSource::Skill)
    })
}

/// The first line of a skill's file that has the path of an endpoint after its method.
fn line_of(snapshot: &Snapshot, file: &str, pattern: &str) -> Option<u32> {
    let path = snapshot.path().join(file);
    if std::fs::metadata(&path).ok()?.len() > MAX_SKILL_BYTES {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    let (method, path) = pattern.split_once(' ')?;
    let has = |line: &str| match line.split_once(path) {
        Some((before, _)) => before.to_ascii_uppercase().contains(method),
        None => false,
    };
    let whole = text.lines().position(has);
    let at = whole.or_else(|| text.lines().position(|line| line.contains(path)))?;
    u32::try_from(at + 1).ok()
}
