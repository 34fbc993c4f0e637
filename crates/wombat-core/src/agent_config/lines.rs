//! The lines that problems are about.

use serde_json::Value;

use crate::json_lines::{Step, line_at};

/// The line of what a problem with a condition is about: `tools.approval[1].when: amount: …`.
pub(super) fn line_of_condition(text: &str, agent: [Step<'_>; 2], what: &str) -> Option<usize> {
    let (at, rest) = what.strip_prefix("tools.approval[")?.split_once("].when: ")?;
    let entry = [Step::Key("tools"), Step::Key("approval"), Step::Index(at.parse().ok()?)];
    let path: Vec<Step<'_>> = agent.into_iter().chain(entry).chain([Step::Key("when")]).collect();
    // The longest name that there is; where there is none, the condition's own line is meant.
    let names = rest.match_indices(": ").map(|(end, _)| Step::Key(&rest[..end]));
    let lines = names.map(|name| line_at(text, &[&path[..], &[name]].concat()));
    lines.flatten().max().or_else(|| line_at(text, &path))
}

/// The line of what a problem with `redact` is about: `redact.patterns[1].regex: …`.
pub(super) fn line_of_redact(text: &str, agent: [Step<'_>; 2], what: &str) -> Option<usize> {
    let place = what.strip_prefix("redact")?.split(": ").next()?;
    let mut path = vec![agent[0], agent[1], Step::Key("redact")];
    let mut line = line_at(text, &path);
    for part in place.split(['.', '[']).filter(|part| !part.is_empty()) {
        path.push(match part.strip_suffix(']') {
            Some(nth) => Step::Index(nth.parse().ok()?),
            None => Step::Key(part),
        });
        // A field that is missing has its parent's line.
        line = line_at(text, &path).or(line);
    }
    line
}

/// The first line at or after line `from` (from 1; 0 for the beginning) that has a word in quotes.
pub(super) fn line_from(text: &str, from: usize, word: &str) -> Option<usize> {
    let quoted = Value::String(word.to_owned()).to_string();
    let mut lines = text.lines().enumerate().skip(from.saturating_sub(1));
    lines.find(|(_, line)| line.contains(&quoted)).map(|(at, _)| at + 1)
}
