//! Regular expressions that every provider can compile.

use std::sync::LazyLock;

use regex::Regex;

/// The largest pattern, compiled: repetitions of repetitions take long, whoever compiles them.
const MAX_SIZE: usize = 256 * 1024;

/// What Python's `re`, Go's `regexp` and ECMAScript read alike: no lookaround, no named groups, no
/// references back, no Unicode classes. OpenAI compiles the patterns of tools with Python
/// (<https://github.com/BerriAI/litellm/pull/40485>), refuses lookaround with its newer models
/// (<https://github.com/anomalyco/opencode/issues/32073>), and Groq is written in Go.
pub(super) fn is_portable(pattern: &str) -> bool {
    /// Escapes and groups that not all of them know.
    static SPECIAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"\(\?[^:]|\\[^dDwWsSbBtnrf.\\/\[\](){}?*+^$|-]|\[\[|&&|--|~~|[*+?}][*+]").ok()
    });
    let Some(special) = &*SPECIAL else { return false };
    // The crate's own syntax has neither lookaround nor references, and refuses what is broken.
    let compiles = || {
        let mut builder = regex::bytes::RegexBuilder::new(pattern);
        builder.unicode(false).size_limit(MAX_SIZE).build().is_ok()
    };
    pattern.is_ascii() && !special.is_match(pattern) && compiles()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_all_compile_is_sent() {
        for good in [
            "^x$",
            r"^\d{4}-\d{2}-\d{2}$",
            "^[A-Za-z0-9_.-]+$",
            "a|b(?:c)",
            r"^\[x\]$",
            r"^\w{1,64}.*$",
        ] {
            assert!(is_portable(good), "{good}");
        }
        for bad in [
            "(",
            "^(?!x)",
            "(?<n>a)",
            "(?P<n>a)",
            r"\p{L}+",
            r"\z",
            r"(a)\1",
            r"\u{1F600}",
            "a**",
            "^ü$",
            "(((a{100}){100}){100})",
            "*",
        ] {
            assert!(!is_portable(bad), "{bad}");
        }
    }
}
