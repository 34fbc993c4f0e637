//! Two runs side by side: what they did, and how they ended.

use serde_json::Value;

use crate::json::{canonical, equal};
use crate::report::one_line;

/// The most of a text that a difference shows, characters.
const MAX_SHOWN: usize = 400;

/// A run as it is compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunView {
    /// How it is called.
    pub name: String,
    /// Its ending, or the code of its error.
    pub status: String,
    /// The calls, in order.
    pub calls: Vec<ViewedCall>,
    /// The reply.
    pub response: String,
    /// The model that answered.
    pub model: Option<String>,
    /// The digest of its workspace.
    pub workspace_digest: Option<String>,
    /// How often the model was asked.
    pub turns: u32,
    /// The tokens.
    pub tokens: u64,
    /// The price, where it is known.
    pub cost_usd: Option<f64>,
}

/// A call as it is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewedCall {
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: Value,
    /// Whether a rule or a schema refused it.
    pub refused: bool,
}

/// What two runs do not have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub what: String,
    /// In the one.
    pub left: String,
    /// In the other.
    pub right: String,
    /// Whether it makes the runs differ; else it is only worth knowing.
    pub counts: bool,
}

/// What two runs do not have in common. Those differ that ended differently, called something else, or replied
/// something else; model, workspace, turns, tokens and price are told besides.
pub fn differences(left: &RunView, right: &RunView) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |what: &str, left: String, right: String, counts: bool| {
        if left != right {
            let what = what.to_owned();
            let (left, right) = (one_line(&left, MAX_SHOWN), one_line(&right, MAX_SHOWN));
            found.push(Difference { what, left, right, counts });
        }
    };
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    add("model", or_none(&left.model), or_none(&right.model), false);
    let digests = [&left.workspace_digest, &right.workspace_digest].map(or_none);
    let [one, other] = digests;
    add("workspace", one, other, false);
    add("turns", left.turns.to_string(), right.turns.to_string(), false);
    add("tokens", left.tokens.to_string(), right.tokens.to_string(), false);
    let price = |run: &RunView| {
        run.cost_usd.map_or_else(|| "unknown".to_owned(), |usd| format!("${usd:.6}"))
    };
    add("cost", price(left), price(right), false);
    add("status", left.status.clone(), right.status.clone(), true);
    for (at, (one, other)) in aligned(&left.calls, &right.calls).into_iter().enumerate() {
        add(&format!("call {}", at + 1), shown(one), shown(other), true);
    }
    if left.response.trim() != right.response.trim() {
        add("response", left.response.clone(), right.response.clone(), true);
    }
    found
}

fn shown(call: Option<&ViewedCall>) -> String {
    match call {
        None => "not made".to_owned(),
        Some(call) => {
            let refused = if call.refused { " (refused)" } else { "" };
            format!("{} {}{refused}", call.tool, canonical(&call.arguments))
        }
    }
}

/// Both lists of calls side by side, equal calls opposite to each other: the longest common subsequence, and
/// between its calls the others in pairs.
fn aligned<'a>(
    left: &'a [ViewedCall],
    right: &'a [ViewedCall],
) -> Vec<(Option<&'a ViewedCall>, Option<&'a ViewedCall>)> {
    let same = |one: &ViewedCall, other: &ViewedCall| {
        one.tool == other.tool
            && one.refused == other.refused
            && equal(&one.arguments, &other.arguments)
    };
    let mut longest = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for (i, one) in left.iter().enumerate().rev() {
        for (j, other) in right.iter().enumerate().rev() {
            longest[i][j] = match same(one, other) {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut pairs, mut i, mut j) = (Vec::new(), 0, 0);
    let (mut only_left, mut only_right) = (Vec::new(), Vec::new());
    while i < left.len() || j < right.len() {
        if i < left.len() && j < right.len() && same(&left[i], &right[j]) {
            flush(&mut pairs, &mut only_left, &mut only_right);
            pairs.push((Some(&left[i]), Some(&right[j])));
            (i, j) = (i + 1, j + 1);
        } else if j == right.len() || (i < left.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            only_left.push(&left[i]);
            i += 1;
        } else {
            only_right.push(&right[j]);
            j += 1;
        }
    }
    flush(&mut pairs, &mut only_left, &mut only_right);
    pairs
}

fn flush<'a>(
    pairs: &mut Vec<(Option<&'a ViewedCall>, Option<&'a ViewedCall>)>,
    left: &mut Vec<&'a ViewedCall>,
    right: &mut Vec<&'a ViewedCall>,
) {
    for at in 0..left.len().max(right.len()) {
        pairs.push((left.get(at).copied(), right.get(at).copied()));
    }
    left.clear();
    right.clear();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(tools: &[&str], response: &str) -> RunView {
        let call = |tool: &&str| ViewedCall {
            tool: (*tool).to_owned(),
            arguments: json!({ "a": 1 }),
            refused: false,
        };
        RunView {
            status: "ok".to_owned(),
            calls: tools.iter().map(call).collect(),
            response: response.to_owned(),
            ..RunView::default()
        }
    }

    #[test]
    fn equal_calls_stand_opposite_to_each_other() {
        let all = differences(&run(&["a", "b", "c"], "x"), &run(&["a", "d", "c", "e"], "x"));
        let told: Vec<_> = all.iter().map(|one| (one.what.as_str(), one.left.as_str())).collect();
        assert_eq!(told, [("call 2", "b {\"a\":1}"), ("call 4", "not made")]);
        assert!(all.iter().all(|one| one.counts));
    }

    #[test]
    fn what_runs_used_is_told_and_does_not_count() {
        let left = run(&["a"], "x");
        let right = RunView { tokens: 7, model: Some("m".to_owned()), ..run(&["a"], "x\n") };
        let all = differences(&left, &right);
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all.iter().all(|one| !one.counts));
        assert!(differences(&left, &run(&["a"], "y"))[0].counts);
    }
}
