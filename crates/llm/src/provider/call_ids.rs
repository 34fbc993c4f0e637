//! Ids of calls for protocols that accept only some.

use std::collections::{HashSet, VecDeque};

/// The longest id: `call_id` of OpenAI's Responses ("Expected a string with maximum length 64",
/// <https://github.com/openai/codex/issues/14355>).
const MAX_LEN: usize = 64;

/// The ids of a conversation's calls: letters, digits, `_` and `-` (Anthropic: "String should match
/// pattern '^[a-zA-Z0-9_-]+$'", <https://github.com/HKUDS/nanobot/pull/4356>), at most 64, and each
/// one of its own ("`tool_use` ids must be unique"). Calls and their results must come in order, as
/// [`crate::provider::history::paired`] gives them.
#[derive(Debug, Default)]
pub(super) struct CallIds {
    used: HashSet<String>,
    /// The ids of calls whose results have not come yet.
    open: VecDeque<String>,
}

impl CallIds {
    /// The id of the next call.
    pub(super) fn call(&mut self, given: &str) -> String {
        let plain = fitting(given);
        let mut id = plain.clone();
        let mut nth = 1;
        while !self.used.insert(id.clone()) {
            nth += 1;
            let suffix = format!("_{nth}");
            id = format!("{}{suffix}", &plain[..plain.len().min(MAX_LEN - suffix.len())]);
        }
        self.open.push_back(id.clone());
        id
    }

    /// The id of the next result.
    pub(super) fn result(&mut self, given: &str) -> String {
        self.open.pop_front().unwrap_or_else(|| fitting(given))
    }
}

/// The id in characters that are accepted. Those of other providers are mostly kept.
fn fitting(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let id: String = id.chars().map(|c| if fits(c) { c } else { '_' }).take(MAX_LEN).collect();
    if id.is_empty() { "call".to_owned() } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_and_are_used_once() {
        let mut ids = CallIds::default();
        let long = "x".repeat(70);
        for (given, id) in [
            ("toolu_1", "toolu_1"),
            ("call:1", "call_1"),
            ("call.1", "call_1_2"),
            ("", "call"),
            ("ü", "_"),
            ("toolu_1", "toolu_1_2"),
            (&long, &long[..64]),
            (&long, &format!("{}_2", &long[..62])),
        ] {
            assert_eq!(ids.call(given), id, "{given:?}");
            assert_eq!(ids.result("anything"), id);
        }
    }
}
