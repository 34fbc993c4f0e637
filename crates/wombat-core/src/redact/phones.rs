//! Phone numbers as they are dialled from abroad: `+` or `00`, and 8 to 15 digits.

use std::ops::{Range, RangeInclusive};

use super::spans::{at, before, is_gap};

/// How many digits follow.
const DIGITS: RangeInclusive<usize> = 8..=15;

/// The most characters between two digits: ` (0) ` has two of them on each side.
const MAX_GAP: usize = 3;

/// A `+` as links have it.
const ESCAPED_PLUS: &str = "%2B";

/// Puts the numbers of a text into `out`.
pub(super) fn find(text: &str, out: &mut Vec<Range<usize>>) {
    let mut free = 0;
    for place in memchr::memchr3_iter(b'+', b'0', b'%', text.as_bytes()) {
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
    let previous = before(text, place);
    if rest[0] == b'+' {
        // 12:00+0100 is a time.
        return (!previous.is_some_and(|c| c.is_ascii_digit())).then_some(1);
    }
    if rest[0] == b'%' {
        let escaped = rest.get(..ESCAPED_PLUS.len())?;
        return escaped.eq_ignore_ascii_case(ESCAPED_PLUS.as_bytes()).then_some(ESCAPED_PLUS.len());
    }
    if rest.get(1) != Some(&b'0') || previous.is_some_and(char::is_alphanumeric) {
        return None;
    }
    // The end of 1.00, 10:00 or 2,000.
    let joins = previous.is_some_and(|c| matches!(c, '.' | ',' | ':'));
    let is_end = joins && before(text, place - 1).is_some_and(|c| c.is_ascii_digit());
    (!is_end).then_some(2)
}

/// Where the digits of a number end: the last end of a group by which there are enough, and not too many.
fn digits_at(text: &str, from: usize) -> Option<usize> {
    let (mut count, mut gap, mut end) = (0, 0, None);
    let mut chars = text[from..].char_indices().peekable();
    while let Some((place, c)) = chars.next() {
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
