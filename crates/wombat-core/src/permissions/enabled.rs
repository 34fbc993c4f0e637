//! Built-in tools that only those roles have which enable them.

use std::collections::BTreeSet;

use super::{RuleList, ToolPermissions};
use crate::nearest::nearest;

/// Tells a role's agent later.
pub const SCHEDULE: &str = "schedule";

/// What it has scheduled.
pub const LIST_SCHEDULES: &str = "list_schedules";

/// Takes it back.
pub const UNSCHEDULE: &str = "unschedule";

/// The tools of roles with `"schedules": true`.
pub(crate) const SCHEDULE_TOOLS: [&str; 3] = [SCHEDULE, LIST_SCHEDULES, UNSCHEDULE];

/// The tools that `tools.enable` may name.
const NAMED: [&str; 4] = ["ask_user", "ask_agent", "save_file", "mention"];

/// All tools that a role has only where it says so.
pub const ENABLED_TOOLS: [&str; 7] =
    ["ask_user", "ask_agent", "save_file", "mention", SCHEDULE, LIST_SCHEDULES, UNSCHEDULE];

/// Where a role has one of [`ENABLED_TOOLS`] enabled.
pub fn enabling_list(name: &str) -> RuleList {
    if SCHEDULE_TOOLS.contains(&name) { RuleList::Schedules } else { RuleList::Enable }
}

/// The tools that a list enables; a name that is none of them is added to `problems`.
pub(super) fn read(names: &[String], problems: &mut Vec<String>) -> BTreeSet<&'static str> {
    let mut enabled = BTreeSet::new();
    for name in names {
        match NAMED.into_iter().find(|known| known == name) {
            Some(known) => drop(enabled.insert(known)),
            None if SCHEDULE_TOOLS.contains(&name.as_str()) => problems.push(format!(
                "tools.enable: {name:?} is not enabled here; write \"schedules\": true beside \"tools\""
            )),
            None => problems.push(match nearest(name, NAMED) {
                Some(near) => format!(
                    "tools.enable: there is no tool {name:?} to enable; did you mean {near:?}?"
                ),
                None => format!(
                    "tools.enable: there is no tool {name:?} to enable; there are {}",
                    NAMED.join(", ")
                ),
            }),
        }
    }
    enabled
}

impl ToolPermissions {
    /// The same with tools that another key of the role enables.
    #[must_use]
    pub(crate) fn with_enabled(mut self, names: &[&'static str]) -> Self {
        self.enabled.extend(names);
        self
    }

    /// Whether the role has one of [`ENABLED_TOOLS`], if no rule denies it. It need not be allowed, too.
    pub fn enables(&self, name: &str) -> bool {
        self.enabled.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_the_tools_or_an_error_with_the_nearest() {
        let names = ["mention", "ask_usr", "list_tasks"].map(str::to_owned);
        let mut problems = Vec::new();
        assert_eq!(read(&names, &mut problems), BTreeSet::from(["mention"]));
        assert!(problems[0].ends_with("\"ask_usr\" to enable; did you mean \"ask_user\"?"));
        assert!(problems[1].ends_with("there are ask_user, ask_agent, save_file, mention"));
        assert_eq!(problems.len(), 2);
    }
}
