//! Tool permissions of a role: names of tools and endpoints that are allowed, denied, or need
//! approval.

mod approval;
mod enabled;
mod pattern;

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use self::approval::Approval;
use self::pattern::{ToolPattern, allowed_id, glob};
use crate::endpoint::{EndpointPattern, FoldedPattern, NormalPath};
use crate::operations::{Operation, Operations, Reached};

pub use self::approval::ApprovalEntry;
pub(crate) use self::enabled::SCHEDULE_TOOLS;
pub use self::enabled::{ENABLED_TOOLS, LIST_SCHEDULES, SCHEDULE, UNSCHEDULE, how_enabled};
pub use self::pattern::NamedTool;

/// The decision on a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// The call may be made.
    Allowed,
    /// The call needs the approval of a person.
    NeedsApproval,
    /// The call is denied, with a reason for the model.
    Denied(String),
}

/// The lists of `tools`, as they are in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolLists {
    /// What may be called; everything that is declared when absent, and nothing when empty.
    #[serde(default, deserialize_with = "a_list", serialize_with = "an_open_list")]
    pub allow: Option<Vec<String>>,
    /// What may not be called.
    #[serde(default)]
    pub deny: Vec<String>,
    /// What needs approval.
    #[serde(default)]
    pub approval: Vec<ApprovalEntry>,
    /// What is known to honour idempotency keys, so that a call of it may be repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idempotent: Vec<String>,
    /// Which of [`ENABLED_TOOLS`] the role has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enable: Vec<String>,
}

impl ToolLists {
    /// Whether nothing may be called: the list is there, and empty.
    pub fn allows_nothing(&self) -> bool {
        self.allow.as_ref().is_some_and(Vec::is_empty)
    }
}

/// A list that is there: `null` is none.
fn a_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    Vec::deserialize(deserializer).map(Some)
}

/// The list as the API has always shown it: empty, too, when there is none.
fn an_open_list<S: Serializer>(
    list: &Option<Vec<String>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    list.as_deref().unwrap_or_default().serialize(serializer)
}

/// The tool permissions of a role. Without `allow`, everything that is declared may be called; `deny` takes
/// precedence over it.
#[derive(Debug, Clone, Default)]
pub struct ToolPermissions {
    /// `None` allows everything.
    allow: Option<Vec<ToolPattern>>,
    deny: Vec<ToolPattern>,
    approval: Vec<Approval>,
    idempotent: Vec<ToolPattern>,
    enabled: BTreeSet<&'static str>,
}

/// A call, as rules see it.
#[derive(Debug, Clone, Copy)]
pub struct ToolCall<'a> {
    /// The tool.
    pub tool: &'a str,
    /// The method and path of a call of the backend.
    pub endpoint: Option<(&'a str, &'a NormalPath)>,
    /// The tool's arguments, for conditions on them.
    pub arguments: Option<&'a Map<String, Value>>,
    /// What else has this endpoint.
    pub operations: &'a Operations,
}

impl ToolPermissions {
    /// Parses the lists; an invalid pattern is left out and added to `problems`.
    pub(crate) fn read(lists: &ToolLists, problems: &mut Vec<String>) -> Self {
        let mut read = |texts: &[String]| -> Vec<ToolPattern> {
            let parsed = texts.iter().map(|text| ToolPattern::parse(text));
            parsed
                .filter_map(|pattern| pattern.map_err(|error| problems.push(error)).ok())
                .collect()
        };
        Self {
            allow: lists.allow.as_deref().map(&mut read),
            deny: read(&lists.deny),
            idempotent: read(&lists.idempotent),
            approval: Approval::read(&lists.approval, problems),
            enabled: enabled::read(&lists.enable, problems),
        }
    }

    /// The patterns that can match nothing that is known, nor these endpoints, as they are in the file.
    pub fn unmatched<'a>(
        lists: &'a ToolLists,
        known: &Operations,
        endpoints: &[EndpointPattern],
    ) -> Vec<&'a str> {
        let declared: Vec<_> = endpoints.iter().map(FoldedPattern::of).collect();
        let is_named = |name: &str, is_exact: bool| {
            known.others().any(|other| glob(name, other))
                || known.iter().any(|known| {
                    let id = known.id.as_deref();
                    let id = if is_exact { allowed_id(id) } else { id };
                    glob(name, &known.tool) || id.is_some_and(|id| glob(name, id))
                })
        };
        let is_unmatched = |text: &str, is_exact: bool| match ToolPattern::parse(text) {
            Ok(ToolPattern::Name(name)) => !is_named(&name, is_exact),
            Ok(ToolPattern::Endpoint { exact: ours, .. }) if is_exact => {
                let exact = known.iter().map(|known| &known.endpoint).chain(endpoints);
                !exact.into_iter().any(|known| ours.may_meet(known))
            }
            Ok(ToolPattern::Endpoint { folded: ours, .. }) => {
                !known.folded().chain(&declared).any(|known| ours.may_meet(known))
            }
            Err(_) => false,
        };
        let approval = lists.approval.iter().map(|entry| &entry.tool);
        let restricting = lists.deny.iter().chain(approval);
        let exact = lists.allow.iter().flatten().chain(&lists.idempotent);
        let allow = exact.filter(|text| is_unmatched(text, true));
        let all = allow.chain(restricting.filter(|text| is_unmatched(text, false)));
        all.map(String::as_str).collect()
    }

    /// Decides on a call.
    pub fn decide(&self, call: ToolCall<'_>) -> Permission {
        let what = match call.endpoint {
            Some((method, path)) => format!("{method} {}", path.as_str()),
            None => call.tool.to_owned(),
        };
        let approval = self.approval.iter().map(|rule| &rule.pattern);
        let mut rules = self.deny.iter().chain(approval);
        let has_names = rules.any(|rule| matches!(rule, ToolPattern::Name(_)));
        let endpoint = call.endpoint.filter(|_| has_names);
        let reached = endpoint.map(|(method, path)| call.operations.reached(method, path));
        let restricted = |pattern: &ToolPattern| restricts(pattern, call, reached.as_ref());
        let denied = self.deny.iter().find_map(|rule| Some((rule, restricted(rule)?)));
        if let Some((pattern, reason)) = denied {
            let because = reason.unwrap_or_else(|| denied_by(pattern));
            return Permission::Denied(format!("this role may not call {what}: {because}"));
        }
        if !self.allows(call) {
            let because = self.not_allowed();
            return Permission::Denied(format!("this role may not call {what}: {because}"));
        }
        let waits =
            |rule: &Approval| restricted(&rule.pattern).is_some() && rule.asks(call.arguments);
        match self.approval.iter().any(waits) {
            true => Permission::NeedsApproval,
            false => Permission::Allowed,
        }
    }

    /// Why `allow` lets nothing through.
    fn not_allowed(&self) -> &'static str {
        match self.allow.as_deref() {
            Some([]) => "\"allow\" in agent-config.json is empty, and so allows nothing",
            _ => "\"allow\" in agent-config.json does not name it",
        }
    }

    /// The rule that keeps a tool from the role whatever its arguments; `None` when some call is allowed.
    pub fn why_withheld(&self, tool: &NamedTool<'_>) -> Option<String> {
        match self.deny.iter().find(|pattern| pattern.denies(tool)) {
            Some(pattern) => Some(denied_by(pattern)),
            None => (!self.could_allow(tool)).then(|| self.not_allowed().to_owned()),
        }
    }

    /// The rule by which calls of a tool, or some of them, wait for a person's approval.
    pub fn why_approval(&self, tool: &NamedTool<'_>) -> Option<String> {
        let mut rules = self.approval.iter();
        rules.find(|rule| rule.pattern.restricts(tool)).map(ToString::to_string)
    }

    fn allows(&self, call: ToolCall<'_>) -> bool {
        let Some(allow) = &self.allow else { return true };
        if self.enables(call.tool) {
            return true;
        }
        let is_named = |name: &str| {
            allow.iter().any(|pattern| matches!(pattern, ToolPattern::Name(p) if glob(p, name)))
        };
        let Some((method, path)) = call.endpoint else {
            return is_named(call.tool);
        };
        let by_endpoint = |pattern: &ToolPattern| matches!(pattern, ToolPattern::Endpoint { exact, .. } if exact.matches(method, path));
        if allow.iter().any(by_endpoint) {
            return true;
        }
        // What a server takes the call for counts, and not the more general tool that it is made by.
        let (general, own): (Vec<_>, Vec<_>) =
            call.operations.of_call(method, path).partition(|(_, is_general)| *is_general);
        if is_named(call.tool) && !general.iter().any(|(known, _)| known.tool == call.tool) {
            return true;
        }
        let is_allowed = |known: &Operation| {
            known.is_whole
                && (is_named(&known.tool) || allowed_id(known.id.as_deref()).is_some_and(is_named))
        };
        // Of two operations at the same place each may be the one.
        let same = |a: &Operation, b: &Operation| {
            a.endpoint.covers(&b.endpoint) && b.endpoint.covers(&a.endpoint)
        };
        let has_twin = |known: &Operation| own.iter().any(|(o, _)| is_allowed(o) && same(o, known));
        !own.is_empty() && own.iter().all(|(known, _)| has_twin(known))
    }

    /// Whether `idempotent` names a call, by its tool or by its endpoint, each as it is written.
    pub fn honours_key(&self, tool: &str, endpoint: Option<(&str, &NormalPath)>) -> bool {
        self.idempotent.iter().any(|pattern| match pattern {
            ToolPattern::Name(name) => glob(name, tool),
            ToolPattern::Endpoint { exact, .. } => {
                endpoint.is_some_and(|(method, path)| exact.matches(method, path))
            }
        })
    }

    /// Whether `allow` names a tool: by its name, or by a pattern that covers its endpoint. Only such
    /// tools of a document exist for the role, besides those that skills declare.
    pub fn names(&self, tool: &NamedTool<'_>) -> bool {
        self.allow.iter().flatten().any(|pattern| pattern.covers(tool))
    }

    /// Whether `allow` names this particular call of a tool.
    pub fn names_call(&self, tool: &NamedTool<'_>, method: &str, path: &NormalPath) -> bool {
        self.allow.iter().flatten().any(|pattern| match pattern {
            ToolPattern::Name(name) => tool.is_allowed_as(name),
            ToolPattern::Endpoint { exact, .. } => exact.matches(method, path),
        })
    }

    /// Whether some call of a tool can be allowed, so that it is worth offering.
    pub fn could_allow(&self, tool: &NamedTool<'_>) -> bool {
        !self.deny.iter().any(|pattern| pattern.denies(tool))
            && (self.enables(tool.name) || self.may_allow(|pattern| pattern.may_meet(tool)))
    }

    /// Whether some call of a tool that can call all of these endpoints can be allowed.
    pub fn could_allow_any<'a>(
        &self,
        tool: &str,
        endpoints: impl IntoIterator<Item = &'a EndpointPattern>,
        operations: &Operations,
    ) -> bool {
        if self.deny.iter().any(|pattern| matches!(pattern, ToolPattern::Name(p) if glob(p, tool)))
        {
            return false;
        }
        let named = |pattern: &ToolPattern, endpoint: &EndpointPattern| match pattern {
            ToolPattern::Name(name) => {
                let mut known = operations.iter().filter(|known| known.is_whole);
                glob(name, tool)
                    || known.any(|known| {
                        NamedTool::from(known).is_allowed_as(name)
                            && known.endpoint.may_meet(endpoint)
                    })
            }
            ToolPattern::Endpoint { exact, .. } => exact.may_meet(endpoint),
        };
        let allowed = |endpoint| self.may_allow(|pattern| named(pattern, endpoint));
        endpoints.into_iter().any(allowed)
    }

    fn may_allow(&self, means: impl Fn(&ToolPattern) -> bool) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.iter().any(means))
    }
}

fn denied_by(pattern: &ToolPattern) -> String {
    format!("denied by \"{pattern}\" in agent-config.json")
}

/// Whether a pattern of `deny` or `approval` means a call, and the reason where that is not certain.
fn restricts(
    pattern: &ToolPattern,
    call: ToolCall<'_>,
    reached: Option<&Reached<'_>>,
) -> Option<Option<String>> {
    match (pattern, reached) {
        (ToolPattern::Name(name), _) if glob(name, call.tool) => Some(None),
        (ToolPattern::Name(_), None) => None,
        (ToolPattern::Name(name), Some(reached)) if reached.is_named(name, &glob) => Some(None),
        (ToolPattern::Name(name), Some(reached)) => reached.unread(name).map(|source| {
            Some(format!("its rule {name:?} may mean that, and {source} cannot be read"))
        }),
        (ToolPattern::Endpoint { folded, .. }, _) => {
            let (method, path) = call.endpoint?;
            folded.matches(method, path).then_some(None)
        }
    }
}

#[cfg(test)]
mod tests;
