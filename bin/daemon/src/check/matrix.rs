//! What each role may do with each tool, as a table.

use daemon_api::{ListedTool, MayCall};
use shown::counted;
use wombat_core::workspace::Snapshot;

use super::Report;

/// The most tools that are shown.
const MAX_TOOLS: usize = 100;

/// The contract's own endpoints.
const CONTRACT: &str = "/api/mission-control";

impl Report {
    /// The table has tools; what an endpoint of a skill is, `can` says.
    pub(super) fn declared(&mut self, snapshot: &Snapshot) {
        let declared = snapshot.endpoints().iter().map(|declared| declared.pattern.to_string());
        let declared: Vec<_> = declared.filter(|text| !text.contains(CONTRACT)).collect();
        let roles = snapshot.agents();
        let (Some(first), Some(role)) = (declared.first(), roles.first()) else { return };
        let what = counted(declared.len(), "endpoint");
        let (role, example) = (role.role.as_str(), example(first));
        self.note(format!(
            "policy: {what} declared by skills; whether a role may call one: wombat-daemon can --role {role} --user ID '{example}'"
        ));
    }

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
        self.good(row("tool", head.map(|role| (role, columns(role))).collect()));
        for tool in tools.iter().take(MAX_TOOLS) {
            let cells = tool.roles.iter().map(|verdict| {
                let may = match verdict.may_call {
                    MayCall::Yes => "yes",
                    MayCall::WithApproval => "ask",
                    MayCall::No => "no",
                };
                (may, columns(&verdict.role))
            });
            self.good(row(&tool.name, cells.collect()));
        }
        if let Some(more) = tools.len().checked_sub(MAX_TOOLS).filter(|more| *more > 0) {
            self.good(format!("policy: {more} more tools: GET /tools shows them"));
        }
    }
}

/// A call that the pattern covers: a segment that stands for anything is `1`.
fn example(pattern: &str) -> String {
    let (method, path) = pattern.split_once(' ').unwrap_or(("GET", pattern));
    let method = if method == "*" { "GET" } else { method };
    let is_any = |segment: &&str| segment.contains(['{', '<', ':', '*']);
    let segments = path.split('/').map(|segment| if is_any(&segment) { "1" } else { segment });
    format!("{method} {}", segments.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_a_call_that_can_be_asked_about() {
        for (pattern, call) in [
            ("GET /orders", "GET /orders"),
            ("* /orders/**", "GET /orders/1"),
            ("DELETE /orders/{id}/lines/{line}", "DELETE /orders/1/lines/1"),
        ] {
            assert_eq!(example(pattern), call);
        }
    }
}
