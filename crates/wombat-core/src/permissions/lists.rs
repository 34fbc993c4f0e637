//! The three lists that decide on calls, as a role or a customer has them.

use super::ToolCall;
use super::approval::{Approval, ApprovalEntry};
use super::pattern::{ToolPattern, allowed_id, glob};
use crate::operations::{Operation, Reached};

/// What is allowed, denied, and waits for a person.
#[derive(Debug, Clone, Default)]
pub(super) struct RuleLists {
    /// `None` allows everything.
    pub(super) allow: Option<Vec<ToolPattern>>,
    pub(super) deny: Vec<ToolPattern>,
    pub(super) approval: Vec<Approval>,
}

/// Parses patterns; an invalid one is left out and added to `problems`.
pub(super) fn patterns(texts: &[String], problems: &mut Vec<String>) -> Vec<ToolPattern> {
    let parsed = texts.iter().map(|text| ToolPattern::parse(text));
    parsed.filter_map(|pattern| pattern.map_err(|error| problems.push(error)).ok()).collect()
}

impl RuleLists {
    pub(super) fn read(
        allow: Option<&[String]>,
        deny: &[String],
        approval: &[ApprovalEntry],
        problems: &mut Vec<String>,
    ) -> Self {
        Self {
            allow: allow.map(|allow| patterns(allow, problems)),
            deny: patterns(deny, problems),
            approval: Approval::read(approval, problems),
        }
    }

    /// Whether a pattern that restricts is a name, so that what else a call reaches has to be known.
    pub(super) fn has_names(&self) -> bool {
        let approval = self.approval.iter().map(|rule| &rule.pattern);
        let mut rules = self.deny.iter().chain(approval);
        rules.any(|rule| matches!(rule, ToolPattern::Name(_)))
    }

    /// Whether `allow` may mean something.
    pub(super) fn may_allow(&self, means: impl Fn(&ToolPattern) -> bool) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.iter().any(means))
    }

    /// What `allow` says on a call: `None` where it does not allow it, else the pattern that does, if one has
    /// to.
    pub(super) fn allowing(&self, call: ToolCall<'_>) -> Option<Option<&ToolPattern>> {
        let Some(allow) = &self.allow else { return Some(None) };
        let naming = |name: &str| {
            allow.iter().find(|pattern| matches!(pattern, ToolPattern::Name(p) if glob(p, name)))
        };
        let Some((method, path)) = call.endpoint else {
            return naming(call.tool).map(Some);
        };
        let by_endpoint = |pattern: &&ToolPattern| matches!(pattern, ToolPattern::Endpoint { exact, .. } if exact.matches(method, path));
        if let Some(pattern) = allow.iter().find(by_endpoint) {
            return Some(Some(pattern));
        }
        // What a server takes the call for counts, and not the more general tool that it is made by.
        let (general, own): (Vec<_>, Vec<_>) =
            call.operations.of_call(method, path).partition(|(_, is_general)| *is_general);
        if let Some(pattern) = naming(call.tool)
            && !general.iter().any(|(known, _)| known.tool == call.tool)
        {
            return Some(Some(pattern));
        }
        let by_operation = |known: &Operation| {
            let by_id = || allowed_id(known.id.as_deref()).and_then(naming);
            naming(&known.tool).or_else(by_id).filter(|_| known.is_whole)
        };
        // Of two operations at the same place each may be the one.
        let same = |a: &Operation, b: &Operation| {
            a.endpoint.covers(&b.endpoint) && b.endpoint.covers(&a.endpoint)
        };
        let twin = |known: &Operation| {
            let twins = own.iter().filter(|(other, _)| same(other, known));
            twins.map(|(other, _)| by_operation(other)).find_map(|allowing| allowing)
        };
        let mut first = None;
        for (known, _) in &own {
            first = first.or(Some(twin(known)?));
        }
        first.map(Some)
    }
}

/// Whether a pattern of `deny` or `approval` means a call, and the reason where that is not certain.
pub(super) fn restricts(
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
