//! Bank accounts: IBANs whose check digits are right.

use std::ops::Range;

use super::checks::mod97;
use super::spans::{before, is_gap};

/// The shortest and the longest of ISO 13616.
const MIN: usize = 15;
const MAX: usize = 34;

/// How long the IBANs of countries are, for those that somebody wrote in groups with a word behind.
const LENGTHS: [(&str, usize); 86] = [
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BI", 27),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DJ", 27),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FK", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HN", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MN", 20),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NI", 28),
    ("NL", 18),
    ("NO", 15),
    ("OM", 23),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("RU", 33),
    ("SA", 24),
    ("SC", 31),
    ("SD", 18),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("SO", 23),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
];

/// Puts the accounts of a text into `out`.
pub(super) fn find(text: &str, out: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut free = 0;
    for place in 0..bytes.len().saturating_sub(MIN - 1) {
        let is_begin = bytes[place].is_ascii_alphabetic()
            && bytes[place + 1].is_ascii_alphabetic()
            && bytes[place + 2].is_ascii_digit();
        if place < free || !is_begin || before(text, place).is_some_and(char::is_alphanumeric) {
            continue;
        }
        if let Some(end) = end_of(text, place) {
            out.push(place..end);
            free = end;
        }
    }
}

/// Where the account that begins at a place ends.
fn end_of(text: &str, from: usize) -> Option<usize> {
    let (mut count, mut is_gap_before) = (0, false);
    // Where groups end, with how many letters and digits there are by then.
    let mut ends = Vec::new();
    let mut chars = text[from..].char_indices().peekable();
    while let Some((place, c)) = chars.next() {
        if c.is_ascii_alphanumeric() {
            (count, is_gap_before) = (count + 1, false);
            if count > MAX {
                break;
            }
            let is_end = !chars.peek().is_some_and(|(_, next)| next.is_alphanumeric());
            if is_end && count >= MIN {
                ends.push((count, from + place + 1));
            }
        } else if is_gap(c) && !is_gap_before && count > 0 {
            is_gap_before = true;
        } else {
            break;
        }
    }
    let country = text.get(from..from + 2)?.to_ascii_uppercase();
    let length = LENGTHS.iter().find(|(name, _)| *name == country).map(|(_, length)| *length);
    let by_country = ends.iter().filter(|(count, _)| Some(*count) == length);
    let others = ends.iter().rev().filter(|(count, _)| Some(*count) != length);
    by_country.chain(others).map(|(_, end)| *end).find(|end| mod97(&text[from..*end]))
}
