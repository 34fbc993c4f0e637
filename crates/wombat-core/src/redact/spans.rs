//! What was found in a text.

use std::ops::Range;

/// A part of a text that is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// Where it is, in bytes.
    pub range: Range<usize>,
    /// What it is: a built-in kind, or the name of a pattern.
    pub kind: &'a str,
}

/// Puts what was found into order. Where two overlap they are one, under the name of the longer: of no value a part
/// may stay.
pub(super) fn merge(mut found: Vec<Found<'_>>) -> Vec<Found<'_>> {
    found.sort_by_key(|one| (one.range.start, std::cmp::Reverse(one.range.end)));
    let mut merged: Vec<Found<'_>> = Vec::with_capacity(found.len());
    for next in found {
        match merged.last_mut() {
            Some(last) if next.range.start < last.range.end => {
                if next.range.len() > last.range.len() {
                    last.kind = next.kind;
                }
                last.range.end = last.range.end.max(next.range.end);
            }
            _ => merged.push(next),
        }
    }
    merged
}

/// Whether a character may stand between the groups of a number.
pub(super) fn is_gap(c: char) -> bool {
    matches!(c, ' ' | '-' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\u{2010}' | '\u{2011}')
}

/// The character before a place.
pub(super) fn before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

/// Whether what begins at a place is the rest of a word. Escapes of JSON end a word: `\\n`, `\\u00a0`.
pub(super) fn is_in_word(text: &str, at: usize) -> bool {
    let before = &text[..at];
    if !before.chars().next_back().is_some_and(char::is_alphanumeric) {
        return false;
    }
    let bytes = before.as_bytes();
    let is_letter = bytes.len() > 1
        && bytes[bytes.len() - 2] == b'\\'
        && matches!(bytes[bytes.len() - 1], b'n' | b'r' | b't' | b'b' | b'f');
    !is_letter && !ends_with_code(bytes)
}

/// Whether a text ends with the code of a character in JSON.
pub(super) fn ends_with_code(bytes: &[u8]) -> bool {
    let Some(code) = bytes.len().checked_sub(6).map(|at| &bytes[at..]) else { return false };
    code.starts_with(b"\\u") && code[2..].iter().all(u8::is_ascii_hexdigit)
}

/// The character at a place.
pub(super) fn at(text: &str, at: usize) -> Option<char> {
    text[at..].chars().next()
}

#[cfg(test)]
thread_local! {
    /// How many bytes scanners have looked at beside the one that they are at.
    static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts bytes that a scanner looks at beside the one that it is at; in tests only.
#[cfg(test)]
pub(super) fn count(bytes: usize) {
    STEPS.with(|steps| steps.set(steps.get() + bytes));
}

#[cfg(not(test))]
pub(super) const fn count(_bytes: usize) {}

/// How many bytes were counted since the last time.
#[cfg(test)]
pub(super) fn counted() -> usize {
    STEPS.with(std::cell::Cell::take)
}
