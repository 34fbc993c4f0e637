//! The name that somebody probably meant.

use std::cmp::Reverse;

/// The known name that a misspelt one is nearest to: another case of it, else few wrong letters for
/// its length.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_within(name, known, (name.chars().count() / 3).clamp(1, 3))
}

/// The known name that a misspelt one is nearest to, with at most `max` wrong letters.
pub(crate) fn nearest_within<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    max: usize,
) -> Option<&'a str> {
    let name = name.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&name, &known.to_lowercase());
    // Of two that are as far, the one that begins alike: of `denied` it is `deny`, not `defer`.
    let alike = |known: &str| name.chars().zip(known.chars()).take_while(|(a, b)| a == b).count();
    let rated = known.into_iter().map(|known| (distance(known), Reverse(alike(known)), known));
    let (far, _, nearest) = rated.min()?;
    (far <= max).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_case_is_nearest_and_another_name_is_not_near() {
        let known = ["scout", "analyst", "qa"];
        for (name, near) in [
            ("Scout", Some("scout")),
            ("scuot", Some("scout")),
            ("analist", Some("analyst")),
            ("QA", Some("qa")),
            ("writer", None),
            ("ops", None),
        ] {
            assert_eq!(nearest(name, known), near, "{name}");
        }
        assert_eq!(nearest_within("denied", ["defer", "deny"], 3), Some("deny"));
        assert_eq!(nearest("x", []), None);
    }
}
