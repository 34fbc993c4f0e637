//! The tools that a model may have meant by a name that no tool has.

use std::cmp::Reverse;

use super::specs::FIND_TOOLS;

/// The most names that are suggested.
const MAX_SUGGESTED: usize = 3;

/// The most names that are listed.
const MAX_LISTED: usize = 100;

/// The most characters of an unknown name that are repeated.
const MAX_SHOWN: usize = 80;

/// What a model is told when it calls a tool that does not exist: the nearest names, and all that it is given.
/// `others` are those that it may find.
pub(super) fn unknown_tool(asked: &str, names: &[&str], others: &[&str]) -> String {
    let shown: String = asked.chars().take(MAX_SHOWN).collect();
    let mut text = format!("there is no tool {shown:?}");
    let all: Vec<&str> = names.iter().chain(others).copied().collect();
    let near = nearest(asked, &all);
    if !near.is_empty() {
        text.push_str(&format!("; nearest: {}", near.join(", ")));
    }
    if names.is_empty() {
        text.push_str("; there are no tools");
        return text;
    }
    let listed = &names[..names.len().min(MAX_LISTED)];
    text.push_str(&format!("; the tools are: {}", listed.join(", ")));
    if names.len() > listed.len() {
        text.push_str(&format!(" and {} more", names.len() - listed.len()));
    }
    if !others.is_empty() {
        text.push_str(&format!("; {FIND_TOOLS} finds {} others", others.len()));
    }
    text
}

/// The names that are most similar, the best first.
fn nearest<'a>(asked: &str, names: &[&'a str]) -> Vec<&'a str> {
    let forms = [normal(asked), normal(last_part(asked))];
    let likeness = |name: &str| {
        let own = [normal(name), normal(last_part(name))];
        let pairs = forms.iter().flat_map(|form| own.iter().map(move |own| (form, own)));
        let pairs = pairs.filter(|(form, own)| form.len() > 1 && own.len() > 1);
        pairs
            .map(|(form, own)| strsim::normalized_damerau_levenshtein(form, own))
            .fold(0.0, f64::max)
    };
    let mut rated: Vec<_> = names
        .iter()
        .map(|name| (likeness(name), *name))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .collect();
    rated.sort_by(|(a, left), (b, right)| b.total_cmp(a).then(left.cmp(right)));
    // Once something fits exactly, what is only similar does not help.
    if rated.first().is_some_and(|(best, _)| *best >= 1.0) {
        rated.retain(|(likeness, _)| *likeness >= 1.0);
    }
    rated.sort_by_key(|(_, name)| Reverse(normal(name) == normal(asked)));
    rated.into_iter().take(MAX_SUGGESTED).map(|(_, name)| name).collect()
}

/// What follows a prefix such as `functions.` or `server__`.
fn last_part(name: &str) -> &str {
    let after = name.rsplit(['.', ':', '/']).next().unwrap_or(name);
    after.rsplit("__").next().unwrap_or(after)
}

/// Letters and digits in lower case, and `_` for everything else.
fn normal(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    name.trim().chars().take(MAX_SHOWN).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] =
        ["create_task", "list_tasks", "update_task", "files__read_file", "list_notifications"];

    #[test]
    fn what_a_model_may_have_meant_comes_first() {
        for (asked, near) in [
            ("functions.list_tasks", vec!["list_tasks"]),
            ("list tasks", vec!["list_tasks"]),
            ("List-Tasks", vec!["list_tasks"]),
            ("list_task", vec!["list_tasks"]),
            ("read_file", vec!["files__read_file"]),
            ("mcp:files/read_file", vec!["files__read_file"]),
            ("multi_tool_use.parallel", vec![]),
            ("", vec![]),
            ("x", vec![]),
        ] {
            assert_eq!(nearest(asked, &NAMES).first(), near.first(), "{asked}");
        }
        assert_eq!(nearest("functions.list_tasks", &NAMES), ["list_tasks"]);
    }

    #[test]
    fn all_names_are_told_within_bounds() {
        let told = unknown_tool("list tasks", &NAMES, &[]);
        assert!(
            told.starts_with("there is no tool \"list tasks\"; nearest: list_tasks; "),
            "{told}"
        );
        assert!(told.ends_with("files__read_file, list_notifications"), "{told}");
        let many: Vec<_> = (0..300).map(|n| format!("tool_{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let told = unknown_tool(&"ü".repeat(10_000), &many, &[]);
        assert!(told.len() < 2_000 && told.ends_with("tool_99 and 200 more"), "{told}");
        assert_eq!(unknown_tool("x", &[], &[]), "there is no tool \"x\"; there are no tools");
    }
}
