//! Keys and passwords: what providers' keys look like, and what stands behind such a word.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// Keys that are known by their form.
const FORMS: &str = r"(?x)
    -----BEGIN\ [A-Z0-9\ ]*PRIVATE\ KEY-----(?s:.*?)(?:-----END\ [A-Z0-9\ ]*PRIVATE\ KEY-----|\z)
    | (?-u:\b)(?:
        (?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}
        | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,} | gl[a-z]{2,6}-[A-Za-z0-9_-]{20,}
        | xox[a-z]-[A-Za-z0-9-]{10,} | xapp-[A-Za-z0-9-]{10,}
        | (?:AKIA|ASIA)[A-Z0-9]{16} | AIza[A-Za-z0-9_-]{30,} | ya29\.[A-Za-z0-9_-]{20,}
        | (?:whsec|npm|hf|gsk|dop_v1|shpat|shpss|rubygems|pypi|dckr_pat|lin_api|r8)[-_][A-Za-z0-9_-]{20,}
        | (?:xai|nvapi|tvly|pplx)-[A-Za-z0-9_-]{20,} | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
        | eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}
    )";

/// What stands behind the name of a secret, or in a header.
const NAMED: &str = r#"(?xi)
    (?: (?: api[\ _-]?key | access[\ _-]?key | private[\ _-]?key | secret | token | passwor[dt] | passwd | pwd | passphrase
          | kennwort | passcode )
        ["']? \s* (?: [:=] | =>) \s* ["']?
      | (?-u:\b)(?:bearer|basic)\x20+ )
    ( [^\s"',;<>&\[\](){}]{8,} )"#;

/// From this length on what is named a secret is taken for one, even of letters only.
const LONG: usize = 20;

static KNOWN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(FORMS).ok());
static BEHIND: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(NAMED).ok());

/// Puts the keys of a text into `out`.
pub(super) fn find(text: &str, out: &mut Vec<Range<usize>>) {
    if let Some(known) = &*KNOWN {
        out.extend(known.find_iter(text).map(|found| found.range()));
    }
    if let Some(behind) = &*BEHIND {
        let values = behind.captures_iter(text).filter_map(|found| found.get(1));
        let secret = values.filter(|value| is_secret(value.as_str()));
        out.extend(secret.map(|value| value.start()..value.start() + trimmed(value.as_str())));
    }
}

/// Whether a word is more than one of a language.
fn is_secret(word: &str) -> bool {
    let has = |kind: fn(&char) -> bool| word.chars().any(|c| kind(&c));
    let is_mixed = has(|c| c.is_ascii_digit()) && has(|c| c.is_alphabetic());
    is_mixed || word.chars().count() >= LONG
}

/// The length of a value without the end of a sentence.
fn trimmed(value: &str) -> usize {
    value.trim_end_matches(['.', '?', ':']).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expressions_are_valid() {
        assert!(KNOWN.is_some() && BEHIND.is_some());
    }
}
