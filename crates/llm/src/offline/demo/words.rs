//! A message as words with their meanings.

use super::lexicon::{meaning, number, ordinal};

/// The longest message that is read, bytes.
const MAX_BYTES: usize = 4_000;

/// A word, a number, a quoted text or a mark of punctuation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    /// As it was written.
    pub(super) raw: String,
    /// In lower case, without what an apostrophe joins to it.
    pub(super) text: String,
    /// Its meaning; empty where it has none here.
    pub(super) key: &'static str,
    /// The number that it is.
    pub(super) number: Option<f64>,
    /// The place in a list that it is, from 1.
    pub(super) ordinal: Option<usize>,
    /// Whether it is a text in quotes.
    pub(super) is_quote: bool,
    /// Where it begins and ends in the message, bytes.
    pub(super) span: (usize, usize),
}

impl Word {
    pub(super) fn is(&self, keys: &[&str]) -> bool {
        keys.contains(&self.key)
    }

    pub(super) fn is_mark(&self) -> bool {
        self.key == MARK
    }

    /// Whether it says something that is not among the known words.
    pub(super) fn is_unknown(&self) -> bool {
        self.key.is_empty() && self.number.is_none() && self.ordinal.is_none()
    }
}

/// The key of punctuation.
const MARK: &str = "punctuation";

/// The words of a message, without the roles that it mentions.
pub(super) fn words(message: &str) -> Vec<Word> {
    let end = (0..=message.len().min(MAX_BYTES)).rev().find(|at| message.is_char_boundary(*at));
    let message = &message[..end.unwrap_or_default()];
    let mut words = Vec::new();
    let mut rest = message.char_indices().peekable();
    while let Some((start, c)) = rest.next() {
        let tail = &message[start + c.len_utf8()..];
        let before = message[..start].chars().next_back();
        let begins = before.is_none_or(|before| !before.is_alphanumeric());
        let mut take = |more: &dyn Fn(usize, char) -> bool| {
            let mut end = start + c.len_utf8();
            while let Some((at, next)) = rest.next_if(|(at, next)| more(*at, *next)) {
                end = at + next.len_utf8();
            }
            (start, end)
        };
        if let Some(close) = closing(c).filter(|_| begins)
            && let Some(length) = tail.find(close).filter(|length| *length > 0)
            && (c != '\'' || ends_word(tail, length + 1))
        {
            let until = start + c.len_utf8() + length;
            take(&|at, _| at <= until);
            words.push(quoted(&tail[..length], (start, until + close.len_utf8())));
        } else if c == '@' && begins {
            take(&|_, next| next.is_alphanumeric() || "_-".contains(next));
        } else if c.is_ascii_digit() {
            let in_number = |at: usize, next: char| {
                let follows = message[at + next.len_utf8()..].chars().next();
                next.is_alphanumeric()
                    || (".,".contains(next) && follows.is_some_and(|c| c.is_ascii_digit()))
            };
            let span = take(&in_number);
            words.push(figure(&message[span.0..span.1], span));
        } else if c.is_alphabetic() {
            let span = take(&|_, next| next.is_alphanumeric() || "'’".contains(next));
            words.push(word(&message[span.0..span.1], span));
        } else if ",;.!?:\n".contains(c) {
            let span = (start, start + c.len_utf8());
            words.push(Word { key: MARK, ..plain(&message[start..span.1], span) });
        }
    }
    words
}

fn closing(open: char) -> Option<char> {
    Some(match open {
        '"' => '"',
        '“' | '„' => '”',
        '«' => '»',
        '‘' => '’',
        '\'' => '\'',
        _ => return None,
    })
}

/// Whether a word ends at this place.
fn ends_word(text: &str, at: usize) -> bool {
    text[at..].chars().next().is_none_or(|next| !next.is_alphanumeric())
}

fn plain(raw: &str, span: (usize, usize)) -> Word {
    Word {
        raw: raw.to_owned(),
        text: raw.to_lowercase(),
        key: "",
        number: None,
        ordinal: None,
        is_quote: false,
        span,
    }
}

fn quoted(text: &str, span: (usize, usize)) -> Word {
    Word { is_quote: true, ..plain(text.trim(), span) }
}

fn word(raw: &str, span: (usize, usize)) -> Word {
    let lower = raw.to_lowercase().replace('’', "'");
    let text = match lower.split_once('\'') {
        _ if lower.ends_with("n't") || lower == "cannot" => "not".to_owned(),
        Some((before, _)) => before.to_owned(),
        None => lower,
    };
    let number = number(&text).map(f64::from);
    Word { key: meaning(&text), number, ordinal: ordinal(&text), text, ..plain(raw, span) }
}

/// A number such as `1,200`, `4.5`, `1.5k`, `2nd` or `10am`; the last is none.
fn figure(raw: &str, span: (usize, usize)) -> Word {
    let lower = raw.to_lowercase();
    let digits = lower.trim_end_matches(char::is_alphabetic);
    let (mut number, mut ordinal, mut key) = (parsed(digits), None, "");
    match &lower[digits.len()..] {
        "" => {}
        "k" => number = number.map(|number| number * 1000.0),
        "km" => key = "km",
        "st" | "nd" | "rd" | "th" => (number, ordinal) = (None, digits.parse().ok()),
        _ => number = None,
    }
    Word { number, ordinal, key, ..plain(raw, span) }
}

/// Both `1,200` and `1.200` are twelve hundred; `4.5` and `4,5` are between four and five.
fn parsed(digits: &str) -> Option<f64> {
    let groups: Vec<&str> = digits.split([',', '.']).collect();
    let is_grouped = groups.len() > 1 && groups[1..].iter().all(|group| group.len() == 3);
    if is_grouped { groups.concat().parse() } else { digits.replace(',', ".").parse() }.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_word_by_word() {
        let read = words("@scout Don't find “Elm's top” 3 at $1,200, the 2nd at 1.5k; it's 4.5!");
        let texts: Vec<_> = read.iter().map(|word| word.text.as_str()).collect();
        let expected = [
            "not",
            "find",
            "elm's top",
            "3",
            "at",
            "1,200",
            ",",
            "the",
            "2nd",
            "at",
            "1.5k",
            ";",
            "it",
            "4.5",
            "!",
        ];
        assert_eq!(texts, expected);
        let numbers: Vec<_> = read.iter().filter_map(|word| word.number).collect();
        assert_eq!(numbers, [3.0, 1200.0, 1500.0, 4.5]);
        assert_eq!((read[8].ordinal, read[2].is_quote), (Some(2), true));
        for odd in ["", "'", "“", "it's 'x", "''", "é'", "5.", "\u{201c}\u{201d}", "a'b'c"] {
            let _read = words(odd);
        }
    }
}
