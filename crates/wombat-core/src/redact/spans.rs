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

/// The character at a place.
pub(super) fn at(text: &str, at: usize) -> Option<char> {
    text[at..].chars().next()
}
