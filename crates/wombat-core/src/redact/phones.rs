//! Phone numbers as they are dialled from abroad: `+` or `00`, and 8 to 15 digits.

use std::ops::{Range, RangeInclusive};

use super::spans::{at, before, is_gap, is_in_word};

/// How many digits follow.
const DIGITS: RangeInclusive<usize> = 8..=15;

/// The most characters between two digits: ` (0) ` has two of them on each side.
const MAX_GAP: usize = 3;

/// A `+` as links and JSON have it.
const ESCAPED: [&str; 2] = ["%2B", "\\u002B"];

/// Puts the numbers of a text into `out`.
pub(super) fn find(text: &str, out: &mut Vec<Range<usize>>) {
    let mut free = 0;
    let signs = |byte: &u8| matches!(byte, b'+' | b'0' | b'%' | b'\\');
    let bytes = text.as_bytes();
    let places = (0..bytes.len()).filter(|place| signs(&bytes[*place]));
    for place in places {
        if place < free {
            continue;
        }
        let Some(prefix) = prefix_at(text, place) else { continue };
        if let Some(end) = digits_at(text, place + prefix) {
            // Letters that follow at once make an id of what only begins with zeros.
            let is_word = prefix == 2 && at(text, end).is_some_and(char::is_alphanumeric);
            if !is_word {
                out.push(place..end);
                free = end;
            }
        }
    }
}

/// The length of what a number begins with, where one may begin here.
fn prefix_at(text: &str, place: usize) -> Option<usize> {
    let rest = &text.as_bytes()[place..];
    if rest[0] == b'+' {
        // 1.4.2+20261130 is a version.
        return (!is_in_word(text, place)).then_some(1);
    }
    if rest[0] != b'0' {
        let is_it = |escaped: &&&str| {
            let there = rest.get(..escaped.len());
            there.is_some_and(|there| there.eq_ignore_ascii_case(escaped.as_bytes()))
        };
        return ESCAPED.iter().find(is_it).map(|escaped| escaped.len());
    }
    if rest.get(1) != Some(&b'0') || is_in_word(text, place) {
        return None;
    }
    // The end of 1.00, 10:00 or 2,000.
    let joins = before(text, place).is_some_and(|c| matches!(c, '.' | ',' | ':'));
    let is_end = joins && before(text, place - 1).is_some_and(|c| c.is_ascii_digit());
    (!is_end).then_some(2)
}

/// Where the digits of a number end: the last end of a group by which there are enough, and not too many.
fn digits_at(text: &str, from: usize) -> Option<usize> {
    let (mut count, mut gap, mut end) = (0, 0, None);
    let mut chars = text[from..].char_indices().peekable();
    while let Some((place, c)) = chars.next() {
        if count == 0 && c == '0' {
            // No country has it.
            break;
        }
        if c.is_ascii_digit() {
            (count, gap) = (count + 1, 0);
            let is_group = !chars.peek().is_some_and(|(_, next)| next.is_ascii_digit());
            if is_group && DIGITS.contains(&count) {
                end = Some(from + place + 1);
            }
            if count > *DIGITS.end() {
                break;
            }
        } else if is_gap(c) || matches!(c, '(' | ')' | '/' | '.') {
            gap += 1;
            if gap > MAX_GAP || (count == 0 && c != '(') {
                break;
            }
        } else {
            break;
        }
    }
    end
}
