//! A segment of a pattern: text with gaps, each a character of its own that no path can have.

/// Stands for any text, also for none: a `*` beside other text.
pub(super) const ANY: char = '\u{FDD0}';

/// Stands for at least one character: `{name}`, or a `*` that is the whole segment.
pub(super) const SOME: char = '\u{FDD1}';

/// Stands for at least one character, which on some servers may be several segments: `{path+}`.
pub(super) const GREEDY: char = '\u{FDD2}';

/// Whether a character is a gap. All are noncharacters, which are never exchanged (Unicode 16, 23.7).
pub(super) fn is_gap(c: char) -> bool {
    matches!(c, ANY | SOME | GREEDY)
}

/// Whether a text matches as a whole. A gap within the text stands for all that it stands for, so that a
/// pattern can be asked whether it covers another one. Linear in both.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    compare(pattern, text, |rest, end| rest.ends_with(end))
}

/// Whether a text matches as a whole, or up to one of its dots.
pub(super) fn matches_stem(pattern: &str, text: &str) -> bool {
    let ends = |rest: &str, end: &str| {
        rest.ends_with(end) || end.is_empty() || rest.contains(&format!("{end}."))
    };
    match text.strip_prefix(pattern) {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => true,
        Some(_) | None => pattern.contains(is_gap) && compare(pattern, text, ends),
    }
}

fn compare(pattern: &str, text: &str, ends: impl Fn(&str, &str) -> bool) -> bool {
    let Some(first) = pattern.find(is_gap) else { return pattern == text };
    let Some(mut text) = text.strip_prefix(&pattern[..first]) else { return false };
    let mut pattern = &pattern[first..];
    loop {
        let gaps = pattern.find(|c| !is_gap(c)).unwrap_or(pattern.len());
        let least = pattern[..gaps].chars().filter(|c| *c != ANY).count();
        let Some(rest) = skip(text, least) else { return false };
        let literal = &pattern[gaps..];
        let Some(next) = literal.find(is_gap) else { return ends(rest, literal) };
        // The first place leaves the most to what follows.
        let Some(at) = rest.find(&literal[..next]) else { return false };
        text = &rest[at + next..];
        pattern = &literal[next..];
    }
}

/// What follows the first `count` characters that are surely there.
fn skip(text: &str, count: usize) -> Option<&str> {
    if count == 0 {
        return Some(text);
    }
    let (at, c) = text.char_indices().filter(|(_, c)| *c != ANY).nth(count - 1)?;
    Some(&text[at + c.len_utf8()..])
}

/// Whether some text matches both patterns.
pub(super) fn meet(a: &str, b: &str) -> bool {
    match (a.contains(is_gap), b.contains(is_gap)) {
        (false, false) => a == b,
        (true, false) => matches(a, b),
        (false, true) => matches(b, a),
        (true, true) => both(&steps(a), &steps(b)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    One(char),
    AnyOne,
    AnyMore,
}

fn steps(pattern: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for c in pattern.chars() {
        match c {
            ANY => steps.push(Step::AnyMore),
            SOME | GREEDY => steps.extend([Step::AnyOne, Step::AnyMore]),
            c => steps.push(Step::One(c)),
        }
    }
    steps
}

/// Row by row: whether the rest of `a` from here and the rest of `b` from there have a text in common.
fn both(a: &[Step], b: &[Step]) -> bool {
    let mut below = vec![false; b.len() + 1];
    for i in (0..=a.len()).rev() {
        let mut row = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            row[j] = match (a.get(i), b.get(j)) {
                (None, None) => true,
                // What may be nothing is skipped, or takes what the other one has here.
                (Some(Step::AnyMore), _) => below[j] || (j < b.len() && row[j + 1]),
                (_, Some(Step::AnyMore)) => row[j + 1] || (i < a.len() && below[j]),
                (Some(Step::One(x)), Some(Step::One(y))) => x == y && below[j + 1],
                (Some(_), Some(_)) => below[j + 1],
                (Some(_), None) | (None, Some(_)) => false,
            };
        }
        below = row;
    }
    below[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        text.replace('*', &ANY.to_string()).replace('+', &SOME.to_string())
    }

    #[test]
    fn gaps_stand_for_text_within_a_segment() {
        for (pattern, text, hit) in [
            ("+", "x", true),
            ("+", "", false),
            ("admin-*", "admin-users", true),
            ("admin-*", "admin-", true),
            ("admin-+", "admin-", false),
            ("admin-*", "admin", false),
            ("+.json", "12.json", true),
            ("+.json", ".json", false),
            ("+.json", "12.jsonx", false),
            ("+-+", "a-b", true),
            ("+-+", "a--b", true),
            ("+-+", "-b", false),
            ("+-+", "a-", false),
            ("+-+", "--", false),
            ("+-+", "---", true),
            ("a*b*c", "a1b2bc", true),
            ("a*ba", "aba", true),
            ("a+ba", "aba", false),
            ("++", "x", false),
            ("++", "xy", true),
            ("+é", "éé", true),
            ("(+,+)", "(1,2)", true),
        ] {
            assert_eq!(matches(&of(pattern), text), hit, "{pattern} {text}");
        }
        assert!(matches_stem("refund", "refund.json") && !matches_stem("refund", "refunds"));
        assert!(matches_stem(&of("*:go"), "x:go.json") && matches_stem(&of("+aa"), "aaaa.b"));
        assert!(!matches_stem(&of("+:go"), "x:gone.json") && matches_stem(&of("+"), ".x"));
    }

    proptest::proptest! {
        #[test]
        fn two_patterns_meet_where_a_text_is_of_both(a in "[ab*+]{0,5}", b in "[ab*+]{0,5}") {
            let texts = (0..=6_u32).flat_map(|len| (0..2_u32.pow(len)).map(move |bits| {
                (0..len).map(|at| if bits >> at & 1 == 0 { 'a' } else { 'b' }).collect::<String>()
            }));
            let (a, b) = (of(&a), of(&b));
            let found: Vec<String> = texts.filter(|text| matches(&a, text) && matches(&b, text)).collect();
            // No text is needed that is longer than both together.
            if !found.is_empty() || a.chars().count() + b.chars().count() <= 4 {
                proptest::prop_assert_eq!(meet(&a, &b), !found.is_empty());
            }
            proptest::prop_assert_eq!(meet(&a, &b), meet(&b, &a));
            if matches(&a, &b) {
                for text in found.iter().chain(["a".to_owned(), "ab".to_owned(), "bab".to_owned()].iter()) {
                    proptest::prop_assert!(!matches(&b, text) || matches(&a, text), "{} {} {}", a, b, text);
                }
            }
        }
    }
}
