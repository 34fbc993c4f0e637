//! What the rules say on a call, and which of them says so.

use super::lists::restricts;
use super::pattern::{NamedTool, ToolPattern};
use super::{Permission, ToolCall, ToolPermissions};

/// Whose rule it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleOrigin {
    /// The role's, in `agent-config.json`.
    AgentConfig,
    /// The customer's, in the profile of the user.
    Profile,
}

impl RuleOrigin {
    /// Where it stands, in words.
    pub(super) fn place(self) -> &'static str {
        match self {
            Self::AgentConfig => "agent-config.json",
            Self::Profile => "the customer's profile",
        }
    }
}

/// The list that a rule stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleList {
    /// `allow`.
    Allow,
    /// `deny`.
    Deny,
    /// `approval`.
    Approval,
    /// `enable`.
    Enable,
}

impl RuleList {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Approval => "approval",
            Self::Enable => "enable",
        }
    }
}

/// A rule, by its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRef {
    /// Whose it is.
    pub origin: RuleOrigin,
    /// Its list.
    pub list: RuleList,
    /// The pattern as it is written; `None` where the list does not name the call.
    pub pattern: Option<String>,
}

impl RuleRef {
    fn of(origin: RuleOrigin, list: RuleList, pattern: Option<&ToolPattern>) -> Self {
        Self { origin, list, pattern: pattern.map(ToString::to_string) }
    }

    /// Why it denies, in words. `allows_nothing`: its `allow` is an empty list.
    pub(super) fn why_denied(&self, allows_nothing: bool) -> String {
        let place = self.origin.place();
        match (&self.pattern, self.list) {
            (Some(pattern), _) => format!("denied by \"{pattern}\" in {place}"),
            (None, RuleList::Enable) => format!("\"enable\" in {place} does not name it"),
            (None, _) if allows_nothing => {
                format!("\"allow\" in {place} is empty, and so allows nothing")
            }
            (None, _) => format!("\"allow\" in {place} does not name it"),
        }
    }
}

/// A decision with the rule that it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The decision.
    pub permission: Permission,
    /// The rule; `None` where nothing restricts the call, and no list has to name it.
    pub rule: Option<RuleRef>,
}

impl ToolPermissions {
    /// Decides on a call, and says by which rule. In order: what either denies, what one of them does not
    /// allow, what waits for a person by either, else it is made.
    pub fn ruling(&self, call: ToolCall<'_>) -> Ruling {
        let what = match call.endpoint {
            Some((method, path)) => format!("{method} {}", path.as_str()),
            None => call.tool.to_owned(),
        };
        let denied = |because: &str, rule: RuleRef| Ruling {
            permission: Permission::Denied(format!("this role may not call {what}: {because}")),
            rule: Some(rule),
        };
        let has_names = self.lists().any(|(_, lists)| lists.has_names());
        let endpoint = call.endpoint.filter(|_| has_names);
        let reached = endpoint.map(|(method, path)| call.operations.reached(method, path));
        let restricted = |pattern: &ToolPattern| restricts(pattern, call, reached.as_ref());
        for (origin, lists) in self.lists() {
            let found = lists.deny.iter().find_map(|rule| Some((rule, restricted(rule)?)));
            if let Some((pattern, reason)) = found {
                let rule = RuleRef::of(origin, RuleList::Deny, Some(pattern));
                return denied(&reason.unwrap_or_else(|| rule.why_denied(false)), rule);
            }
        }
        let mut allowing = None;
        for (origin, lists) in self.lists() {
            if origin == RuleOrigin::AgentConfig && self.enables(call.tool) {
                allowing = Some(RuleRef {
                    pattern: Some(call.tool.to_owned()),
                    ..RuleRef::of(origin, RuleList::Enable, None)
                });
                continue;
            }
            match lists.allowing(call) {
                Some(None) => {}
                Some(pattern) => {
                    let rule = RuleRef::of(origin, RuleList::Allow, pattern);
                    allowing = allowing.or(Some(rule));
                }
                None => {
                    let rule = RuleRef::of(origin, RuleList::Allow, None);
                    return denied(&rule.why_denied(self.allows_nothing(origin)), rule);
                }
            }
        }
        for (origin, lists) in self.lists() {
            let mut rules = lists.approval.iter();
            let waiting =
                rules.find(|rule| restricted(&rule.pattern).is_some() && rule.asks(call.arguments));
            if let Some(rule) = waiting {
                let rule = RuleRef::of(origin, RuleList::Approval, Some(&rule.pattern));
                return Ruling { permission: Permission::NeedsApproval, rule: Some(rule) };
            }
        }
        Ruling { permission: Permission::Allowed, rule: allowing }
    }

    /// The rule that keeps a tool from the role whatever its arguments.
    pub fn withheld_by(&self, tool: &NamedTool<'_>) -> Option<RuleRef> {
        for (origin, lists) in self.lists() {
            if let Some(pattern) = lists.deny.iter().find(|pattern| pattern.denies(tool)) {
                return Some(RuleRef::of(origin, RuleList::Deny, Some(pattern)));
            }
        }
        for (origin, lists) in self.lists() {
            let is_enabled = origin == RuleOrigin::AgentConfig && self.enables(tool.name);
            if !is_enabled && !lists.may_allow(|pattern| pattern.may_meet(tool)) {
                return Some(RuleRef::of(origin, RuleList::Allow, None));
            }
        }
        None
    }

    /// The rule by which calls of a tool, or some of them, wait for a person.
    pub fn approval_by(&self, tool: &NamedTool<'_>) -> Option<RuleRef> {
        self.lists().find_map(|(origin, lists)| {
            let rule = lists.approval.iter().find(|rule| rule.pattern.restricts(tool))?;
            Some(RuleRef::of(origin, RuleList::Approval, Some(&rule.pattern)))
        })
    }

    /// The rule that allows a tool, where a list has to name it.
    pub fn allowed_by(&self, tool: &NamedTool<'_>) -> Option<RuleRef> {
        if self.enables(tool.name) {
            let pattern = Some(tool.name.to_owned());
            let (origin, list) = (RuleOrigin::AgentConfig, RuleList::Enable);
            return Some(RuleRef { origin, list, pattern });
        }
        self.lists().find_map(|(origin, lists)| {
            let allow = lists.allow.as_deref()?;
            let pattern = allow.iter().find(|pattern| pattern.may_meet(tool))?;
            Some(RuleRef::of(origin, RuleList::Allow, Some(pattern)))
        })
    }

    /// Why a rule denies, in words.
    pub fn why(&self, rule: &RuleRef) -> String {
        rule.why_denied(self.allows_nothing(rule.origin))
    }

    /// Whether a list of rules allows nothing at all.
    pub(super) fn allows_nothing(&self, of: RuleOrigin) -> bool {
        let mut all = self.lists().filter(|(origin, _)| *origin == of);
        all.any(|(_, lists)| matches!(lists.allow.as_deref(), Some([])))
    }
}
