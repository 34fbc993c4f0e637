//! What each role may do with each tool, as a table.

use daemon_api::{ListedTool, MayCall};

use super::Report;

/// The most tools that are shown.
const MAX_TOOLS: usize = 100;

impl Report {
    /// A line for each tool, with a column for each role: `yes`, `ask` or `no`.
    pub(super) fn matrix(&mut self, tools: &[ListedTool]) {
        let Some(first) = tools.first() else { return };
        let names = tools.iter().take(MAX_TOOLS).map(|tool| tool.name.chars().count());
        let width = names.max().unwrap_or(0).max("tool".len());
        let pad = |text: &str, width: usize| {
            let missing = width.saturating_sub(text.chars().count());
            text.to_owned() + &" ".repeat(missing)
        };
        let row = |name: &str, cells: Vec<(&str, usize)>| {
            let cells = cells.into_iter().map(|(cell, width)| pad(cell, width));
            let cells: Vec<_> = std::iter::once(pad(name, width)).chain(cells).collect();
            format!("policy: {}", cells.join("  ").trim_end())
        };
        let columns = |role: &str| role.chars().count().max("yes".len());
        let head = first.roles.iter().map(|verdict| &*verdict.role);
        self.note(row("tool", head.map(|role| (role, columns(role))).collect()));
        for tool in tools.iter().take(MAX_TOOLS) {
            let cells = tool.roles.iter().map(|verdict| {
                let may = match verdict.may_call {
                    MayCall::Yes => "yes",
                    MayCall::WithApproval => "ask",
                    MayCall::No => "no",
                };
                (may, columns(&verdict.role))
            });
            self.note(row(&tool.name, cells.collect()));
        }
        if let Some(more) = tools.len().checked_sub(MAX_TOOLS).filter(|more| *more > 0) {
            self.note(format!("policy: {more} more tools: GET /tools shows them"));
        }
    }
}
