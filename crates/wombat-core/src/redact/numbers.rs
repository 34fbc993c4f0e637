//! Numbers of cards: 13 to 19 digits whose last one is right.

use std::ops::Range;

use super::checks::luhn;
use super::spans::{at, before, is_gap, is_in_word};

/// How many digits cards have, the usual number first: what follows a card in groups may fulfil the formula, too.
const LENGTHS: [usize; 7] = [16, 15, 14, 19, 18, 17, 13];

/// A group of digits.
struct Group {
    range: Range<usize>,
}

/// Puts the numbers of a text into `out`.
pub(super) fn find(text: &str, out: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut place = 0;
    let mut groups: Vec<Group> = Vec::new();
    while place < bytes.len() {
        if !bytes[place].is_ascii_digit() {
            place += 1;
            continue;
        }
        let digits = bytes[place..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let range = place..place + digits;
        let follows = groups.last().is_some_and(|last| are_joined(text, &last.range, &range));
        if !follows {
            cards_of(text, &groups, out);
            groups.clear();
        }
        place = range.end;
        groups.push(Group { range });
    }
    cards_of(text, &groups, out);
}

/// Whether two groups belong to one number: between them stands one gap, or, between groups of four, a point, a tab,
/// a `+` of a form, or the end of a line.
fn are_joined(text: &str, last: &Range<usize>, next: &Range<usize>) -> bool {
    let mut between = text[last.end..next.start].chars();
    let (Some(gap), None) = (between.next(), between.next()) else { return false };
    is_gap(gap) || (last.len() == 4 && next.len() == 4 && matches!(gap, '.' | '\t' | '+' | '\n'))
}

/// Puts the cards of groups that follow on each other into `out`.
fn cards_of(text: &str, groups: &[Group], out: &mut Vec<Range<usize>>) {
    let mut first = 0;
    while first < groups.len() {
        match card_at(text, &groups[first..]) {
            Some(many) => {
                out.push(groups[first].range.start..groups[first + many - 1].range.end);
                first += many;
            }
            None => first += 1,
        }
    }
}

/// Of how many groups the card consists that begins with the first one.
fn card_at(text: &str, groups: &[Group]) -> Option<usize> {
    let start = groups.first()?.range.start;
    if is_in_word(text, start) || is_decimal(text, start) {
        return None;
    }
    let mut ends = [None; 20];
    let mut count = 0;
    for (nth, group) in groups.iter().enumerate() {
        count += group.range.len();
        let Some(end) = ends.get_mut(count) else { break };
        if !at(text, group.range.end).is_some_and(char::is_alphanumeric) {
            *end = Some(nth + 1);
        }
    }
    let is_card = |length: &usize| {
        let many = ends[*length]?;
        let number = &text[start..groups[many - 1].range.end];
        let in_fours = many == 4 && groups[..many].iter().all(|group| group.range.len() == 4);
        (is_issued(number, *length, in_fours) && luhn(number)).then_some(many)
    };
    LENGTHS.iter().find_map(is_card)
}

/// Whether digits stand behind the point of a number.
fn is_decimal(text: &str, start: usize) -> bool {
    let is_point = matches!(before(text, start), Some('.' | ','));
    is_point && before(text, start - 1).is_some_and(|c| c.is_ascii_digit())
}

/// Whether cards of a length begin so. Times and counted ids fulfil Luhn's formula once in ten, and are none.
fn is_issued(number: &str, length: usize, in_fours: bool) -> bool {
    let mut digits = number.chars().filter_map(|c| c.to_digit(10));
    let (first, second) = (digits.next().unwrap_or_default(), digits.next().unwrap_or_default());
    match length {
        13 => first == 4,
        14 => first == 3 && matches!(second, 0 | 6 | 8 | 9),
        15 => first == 3 && matches!(second, 4 | 7),
        // Microseconds begin with 15 to 20, and so do dates.
        16 => in_fours || !matches!((first, second), (1, 5..) | (2, 0)),
        19 => matches!(first, 4..=6),
        _ => matches!(first, 5 | 6),
    }
}
