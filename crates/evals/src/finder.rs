//! Where a text has personal data: e-mail addresses, phone, IBAN and card numbers, keys, and what patterns find.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::matcher;

/// What was found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub at: Range<usize>,
    /// What it is: `email`, `phone`, `iban`, `card`, `key`, or a pattern's name.
    pub kind: String,
    /// The check digits that it has.
    pub check: Option<PatternCheck>,
}

/// Check digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternCheck {
    /// Of card numbers (ISO/IEC 7812).
    Luhn,
    /// Of IBANs (ISO/IEC 7064).
    Mod97,
}

/// A pattern of one's own.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Its name.
    pub name: String,
    /// The expression.
    pub regex: Regex,
    /// The check digits that a match has to have.
    pub check: Option<PatternCheck>,
}

/// Finds personal data.
#[derive(Debug, Clone, Default)]
pub struct Finder {
    patterns: Vec<Pattern>,
}

/// The kinds, by how much they say: an IBAN is no card number, nor an address a key.
static KINDS: LazyLock<Vec<(&str, Option<Regex>, Option<PatternCheck>)>> = LazyLock::new(|| {
    let kind = |name, text: &str, check| (name, Regex::new(text).ok(), check);
    vec![
        kind("key", KEYS, None),
        kind(
            "email",
            r"[A-Za-z0-9._%+'-]*[A-Za-z0-9_%+-]@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z]{2,}",
            None,
        ),
        kind("iban", r"\b[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}\b", Some(PatternCheck::Mod97)),
        kind("phone", r"(?:\+|\b00)[0-9](?:[ ()./-]{0,3}[0-9]){7,14}", None),
        kind("card", r"\b[0-9](?:[ -]?[0-9]){12,18}\b", Some(PatternCheck::Luhn)),
    ]
});

/// Keys of well-known services, tokens, private keys.
const KEYS: &str = concat!(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/=\s]+-----END [A-Z ]*PRIVATE KEY-----",
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    r"|\b(?:sk|pk|rk|whsec)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9_-]{16,}",
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|npm_|hf_|AIza)[A-Za-z0-9_-]{16,}",
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
);

impl Finder {
    /// A finder that looks for these patterns, too.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self { patterns }
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// When the expression is none.
    pub fn pattern(name: &str, text: &str, check: Option<PatternCheck>) -> Result<Pattern, String> {
        Ok(Pattern { name: name.to_owned(), regex: matcher::regex(text)?, check })
    }

    /// All that is found, in order; nothing overlaps.
    pub fn find(&self, text: &str) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        let own = self.patterns.iter();
        let own = own.map(|own| (own.name.as_str(), Some(&own.regex), own.check));
        let kinds = KINDS.iter().map(|(name, regex, check)| (*name, regex.as_ref(), *check));
        for (kind, regex, check) in own.chain(kinds) {
            let Some(regex) = regex else { continue };
            for at in regex.find_iter(text).map(|found| found.range()) {
                let Some(at) = valid(text, at, check) else { continue };
                if !at.is_empty() && !found.iter().any(|other| overlap(&other.at, &at)) {
                    found.push(Found { at, kind: kind.to_owned(), check });
                }
            }
        }
        found.sort_by_key(|found| found.at.start);
        found
    }
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// The longest beginning of a match whose check digits are right: words may follow an IBAN.
fn valid(text: &str, at: Range<usize>, check: Option<PatternCheck>) -> Option<Range<usize>> {
    let Some(check) = check else { return Some(at) };
    let whole = &text[at.clone()];
    let ends = whole.char_indices().map(|(from, c)| from + c.len_utf8()).rev();
    let mut ends = ends.filter(|end| {
        let rest = &whole[*end..];
        rest.is_empty() || rest.starts_with([' ', '-'])
    });
    let end = ends.find(|end| {
        let part: String = whole[..*end].chars().filter(char::is_ascii_alphanumeric).collect();
        holds(&part, check)
    })?;
    Some(at.start..at.start + end)
}

/// Whether check digits are right. Only letters and digits are given.
pub(crate) fn holds(text: &str, check: PatternCheck) -> bool {
    match check {
        PatternCheck::Luhn => {
            text.len() >= 2 && text.bytes().all(|b| b.is_ascii_digit()) && luhn(text) == 0
        }
        PatternCheck::Mod97 => text.len() > 4 && mod97(text) == Some(1),
    }
}

/// The sum of Luhn's algorithm, modulo 10.
pub(crate) fn luhn(digits: &str) -> u32 {
    let digits = digits.bytes().rev().map(|b| u32::from(b.wrapping_sub(b'0')));
    let sum = digits.enumerate().map(|(at, digit)| match at % 2 {
        0 => digit,
        _ if digit > 4 => 2 * digit - 9,
        _ => 2 * digit,
    });
    sum.sum::<u32>() % 10
}

/// The remainder of an IBAN; `None` where there is something else than letters and digits.
pub(crate) fn mod97(text: &str) -> Option<u32> {
    if !text.is_ascii() || text.len() < 4 {
        return None;
    }
    let (head, rest) = text.split_at(4);
    let mut remainder = 0_u32;
    for c in rest.chars().chain(head.chars()) {
        let value = c.to_digit(36)?;
        let tens = if value < 10 { 10 } else { 100 };
        remainder = (remainder * tens + value) % 97;
    }
    Some(remainder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, &str)> {
        let found = Finder::default().find(text);
        found.into_iter().map(|found| (found.kind, &text[found.at])).collect()
    }

    #[test]
    fn personal_data_is_found() {
        for (text, kind, expected) in [
            ("write to ann.lee+x@mail.example.org.", "email", "ann.lee+x@mail.example.org"),
            ("call +49 (30) 123456-78 now", "phone", "+49 (30) 123456-78"),
            ("call 0041 79 123 45 67", "phone", "0041 79 123 45 67"),
            ("to DE89 3704 0044 0532 0130 00 IS MINE", "iban", "DE89 3704 0044 0532 0130 00"),
            ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
            ("card 4111 1111 1111 1111, thanks", "card", "4111 1111 1111 1111"),
            ("key sk-proj-abcdefghij0123456789", "key", "sk-proj-abcdefghij0123456789"),
            ("AKIAIOSFODNN7EXAMPLE", "key", "AKIAIOSFODNN7EXAMPLE"),
        ] {
            assert_eq!(told(text), [(kind.to_owned(), expected)], "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        for text in [
            "4111 1111 1111 1112",
            "DE89370400440532013001",
            "order 12345678",
            "at 2026-05-01T10:00:00Z",
            "a@b",
            "+12 34",
        ] {
            assert_eq!(told(text), [], "{text}");
        }
    }

    #[test]
    fn own_patterns_come_first_and_have_their_check_digits() {
        let customer = Finder::pattern("customer", r"C-\d{4}", None).unwrap();
        let checked = Finder::pattern("checked", r"\b\d{8}\b", Some(PatternCheck::Luhn)).unwrap();
        let finder = Finder::new(vec![customer, checked]);
        let text = "C-1234 and 12345674 and 12345678";
        let kinds: Vec<_> = finder.find(text).into_iter().map(|found| found.kind).collect();
        assert_eq!(kinds, ["customer", "checked"]);
        assert!(Finder::pattern("x", "(", None).is_err());
    }
}
