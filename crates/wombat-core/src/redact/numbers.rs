//! Numbers of cards: 13 to 19 digits whose last one is right.

use std::ops::Range;

use super::checks::luhn;
use super::spans::{at, before, is_gap};

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
        let follows =
            groups.last().is_some_and(|last| is_one_gap(&text[last.range.end..range.start]));
        if !follows {
            cards_of(text, &groups, out);
            groups.clear();
        }
        place = range.end;
        groups.push(Group { range });
    }
    cards_of(text, &groups, out);
}

fn is_one_gap(between: &str) -> bool {
    let mut chars = between.chars();
    chars.next().is_some_and(is_gap) && chars.next().is_none()
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
    if before(text, start).is_some_and(is_of_word) {
        return None;
    }
    let mut ends = [None; 20];
    let mut count = 0;
    for (nth, group) in groups.iter().enumerate() {
        count += group.range.len();
        let Some(end) = ends.get_mut(count) else { break };
        if !at(text, group.range.end).is_some_and(is_of_word) {
            *end = Some(nth + 1);
        }
    }
    let is_card = |length: &usize| {
        let many = ends[*length]?;
        let number = &text[start..groups[many - 1].range.end];
        // The milliseconds of a time begin with 1; cards that are so short do not.
        let is_time = *length == 13 && number.starts_with('1');
        (!is_time && luhn(number)).then_some(many)
    };
    LENGTHS.iter().find_map(is_card)
}

/// Whether a character makes one word with digits beside it.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
