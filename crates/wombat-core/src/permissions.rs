//! Tool permissions of a role: names of tools and endpoints that are allowed, denied, or need
//! approval.

mod approval;
mod customer;
mod enabled;
mod lists;
mod pattern;
mod ruling;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use self::lists::RuleLists;
use self::pattern::{ToolPattern, allowed_id, glob};
use crate::endpoint::{EndpointPattern, FoldedPattern, NormalPath};
use crate::operations::Operations;

pub use self::approval::ApprovalEntry;
pub use self::customer::CustomerRules;
pub(crate) use self::enabled::SCHEDULE_TOOLS;
pub use self::enabled::{ENABLED_TOOLS, LIST_SCHEDULES, SCHEDULE, UNSCHEDULE, enabling_list};
pub use self::pattern::NamedTool;
pub use self::ruling::{RuleList, RuleOrigin, RuleRef, Ruling};

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
    /// What a model is not given at once, but finds by `find_tools`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defer: Vec<String>,
}

impl ToolLists {
    /// Whether nothing may be called: the list is there, and empty.
    pub fn allows_nothing(&self) -> bool {
        self.allow.as_ref().is_some_and(Vec::is_empty)
    }
}

/// Whether a text of a list is this pattern.
pub(crate) fn is_pattern(text: &str, pattern: &str) -> bool {
    ToolPattern::parse(text).is_ok_and(|read| read.to_string() == pattern) || text == pattern
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
/// precedence over it. A customer's rules can narrow them.
#[derive(Debug, Clone, Default)]
pub struct ToolPermissions {
    own: RuleLists,
    customer: Option<Arc<CustomerRules>>,
    idempotent: Vec<ToolPattern>,
    defer: Vec<ToolPattern>,
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
        let own = RuleLists::read(lists.allow.as_deref(), &lists.deny, &lists.approval, problems);
        let idempotent = lists::patterns(&lists.idempotent, problems);
        let defer = lists::patterns(&lists.defer, problems);
        let enabled = enabled::read(&lists.enable, problems);
        Self { own, customer: None, idempotent, defer, enabled }
    }

    /// The same, narrowed by a customer's rules: a call must be allowed by both, and is denied or waits for a
    /// person where either says so.
    #[must_use]
    pub fn narrowed(&self, customer: Arc<CustomerRules>) -> Self {
        Self { customer: Some(customer), ..self.clone() }
    }

    /// The customer's rules that narrow them.
    pub fn customer(&self) -> Option<&CustomerRules> {
        self.customer.as_deref()
    }

    /// All lists, the role's own first.
    fn lists(&self) -> impl Iterator<Item = (RuleOrigin, &RuleLists)> {
        let customer = self.customer.as_deref().map(|rules| (RuleOrigin::Profile, &rules.lists));
        std::iter::once((RuleOrigin::AgentConfig, &self.own)).chain(customer)
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
        let exact = lists.allow.iter().flatten().chain(&lists.idempotent).chain(&lists.defer);
        let allow = exact.filter(|text| is_unmatched(text, true));
        let all = allow.chain(restricting.filter(|text| is_unmatched(text, false)));
        all.map(String::as_str).collect()
    }

    /// Decides on a call.
    pub fn decide(&self, call: ToolCall<'_>) -> Permission {
        self.ruling(call).permission
    }

    /// The rule that keeps a tool from the role whatever its arguments; `None` when some call is allowed.
    pub fn why_withheld(&self, tool: &NamedTool<'_>) -> Option<String> {
        self.withheld_by(tool).map(|rule| self.why(&rule))
    }

    /// The rule by which calls of a tool, or some of them, wait for a person's approval.
    pub fn why_approval(&self, tool: &NamedTool<'_>) -> Option<String> {
        let mut all = self.lists();
        all.find_map(|(origin, lists)| {
            let rule = lists.approval.iter().find(|rule| rule.pattern.restricts(tool))?;
            Some(rule.told(origin))
        })
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

    /// Whether `defer` names a tool: by its name, or by a pattern that covers its endpoint.
    pub fn defers(&self, tool: &NamedTool<'_>) -> bool {
        self.defer.iter().any(|pattern| pattern.covers(tool))
    }

    /// Whether `allow` names just this tool, without a `*`.
    pub fn names_exactly(&self, tool: &NamedTool<'_>) -> bool {
        self.own.allow.iter().flatten().any(|pattern| match pattern {
            ToolPattern::Name(name) => name == tool.name || tool.id == Some(name),
            ToolPattern::Endpoint { exact, .. } => {
                tool.endpoint.is_some_and(|own| exact.covers(own) && own.covers(exact))
            }
        })
    }

    /// Whether `allow` names a tool: by its name, or by a pattern that covers its endpoint. Only such
    /// tools of a document exist for the role, besides those that skills declare.
    pub fn names(&self, tool: &NamedTool<'_>) -> bool {
        self.own.allow.iter().flatten().any(|pattern| pattern.covers(tool))
    }

    /// Whether `allow` names this particular call of a tool.
    pub fn names_call(&self, tool: &NamedTool<'_>, method: &str, path: &NormalPath) -> bool {
        self.own.allow.iter().flatten().any(|pattern| match pattern {
            ToolPattern::Name(name) => tool.is_allowed_as(name),
            ToolPattern::Endpoint { exact, .. } => exact.matches(method, path),
        })
    }

    /// Whether some call of a tool can be allowed, so that it is worth offering.
    pub fn could_allow(&self, tool: &NamedTool<'_>) -> bool {
        self.withheld_by(tool).is_none()
    }

    /// Whether some call of a tool that can call all of these endpoints can be allowed.
    pub fn could_allow_any<'a>(
        &self,
        tool: &str,
        endpoints: impl IntoIterator<Item = &'a EndpointPattern>,
        operations: &Operations,
    ) -> bool {
        let denies =
            |pattern: &ToolPattern| matches!(pattern, ToolPattern::Name(p) if glob(p, tool));
        if self.lists().any(|(_, lists)| lists.deny.iter().any(denies)) {
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
        let allowed = |endpoint| {
            self.lists().all(|(_, lists)| lists.may_allow(|pattern| named(pattern, endpoint)))
        };
        endpoints.into_iter().any(allowed)
    }
}

#[cfg(test)]
mod tests;
