//! Built-in tools that only those roles have which enable them.

use std::collections::BTreeSet;

use super::ToolPermissions;
use crate::nearest::nearest;

/// The tools that `tools.enable` may name.
pub const ENABLED_TOOLS: [&str; 4] = ["ask_user", "ask_agent", "save_file", "mention"];

/// The tools that a list enables; a name that is none of them is added to `problems`.
pub(super) fn read(names: &[String], problems: &mut Vec<String>) -> BTreeSet<&'static str> {
    let mut enabled = BTreeSet::new();
    for name in names {
        match ENABLED_TOOLS.into_iter().find(|known| known == name) {
            Some(known) => drop(enabled.insert(known)),
            None => problems.push(match nearest(name, ENABLED_TOOLS) {
                Some(near) => format!(
                    "tools.enable: there is no tool {name:?} to enable; did you mean {near:?}?"
                ),
                None => format!(
                    "tools.enable: there is no tool {name:?} to enable; there are {}",
                    ENABLED_TOOLS.join(", ")
                ),
            }),
        }
    }
    enabled
}

impl ToolPermissions {
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
