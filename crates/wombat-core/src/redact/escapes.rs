//! Texts in which JSON or a link has escaped something: what they say, and where that stands.

use std::ops::Range;

/// What has escaped a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// JSON: `\n`, `\u00a0`.
    Json,
    /// Links: `%20`.
    Percent,
}

/// A text as it is meant.
#[derive(Debug)]
pub(super) struct Unescaped {
    text: String,
    /// Behind each escape: how far the text is by then, and how far the escaped one.
    places: Vec<(usize, usize)>,
}

impl Unescaped {
    /// What a text means; `None` where nothing in it is escaped.
    pub(super) fn of(escaped: &str, how: Escape) -> Option<Self> {
        let sign = match how {
            Escape::Json => b'\\',
            Escape::Percent => b'%',
        };
        let mut all = Self { text: String::new(), places: Vec::new() };
        let mut copied = 0;
        for at in memchr::memchr_iter(sign, escaped.as_bytes()) {
            if at < copied {
                continue;
            }
            let meant = match how {
                Escape::Json => of_json(&escaped[at..]),
                Escape::Percent => of_link(&escaped.as_bytes()[at..]),
            };
            let Some((meant, length)) = meant else { continue };
            all.text.push_str(&escaped[copied..at]);
            all.text.push(meant);
            copied = at + length;
            all.places.push((all.text.len(), copied));
        }
        if all.places.is_empty() {
            return None;
        }
        all.text.push_str(&escaped[copied..]);
        Some(all)
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where a part of the text stands in the escaped one.
    pub(super) fn escaped(&self, part: &Range<usize>) -> Range<usize> {
        self.place(part.start)..self.place(part.end)
    }

    fn place(&self, at: usize) -> usize {
        let behind = self.places.partition_point(|(place, _)| *place <= at);
        match behind.checked_sub(1).and_then(|last| self.places.get(last)) {
            Some((place, escaped)) => escaped + (at - place),
            None => at,
        }
    }
}

/// What a text means that JSON may have escaped.
pub(super) fn meant(text: &str) -> String {
    Unescaped::of(text, Escape::Json).map_or_else(|| text.to_owned(), |meant| meant.text)
}

/// The character that an escape of JSON stands for, and the length of that.
fn of_json(text: &str) -> Option<(char, usize)> {
    let bytes = text.as_bytes();
    let simple = |c: char| Some((c, 2));
    match bytes.get(1)? {
        b'n' => simple('\n'),
        b't' => simple('\t'),
        b'r' => simple('\r'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'"' => simple('"'),
        b'\\' => simple('\\'),
        b'/' => simple('/'),
        b'u' => {
            let first = unit(bytes)?;
            if let Some(c) = char::from_u32(first) {
                return Some((c, 6));
            }
            let second = unit(bytes.get(6..)?)?;
            let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
            char::decode_utf16(pair).next()?.ok().map(|c| (c, 12))
        }
        _ => None,
    }
}

/// The number of a `\u00a0`.
fn unit(bytes: &[u8]) -> Option<u32> {
    bytes.starts_with(b"\\u").then_some(())?;
    number(bytes.get(2..6)?)
}

/// The character that `%20` stands for, where it is one of ASCII.
fn of_link(bytes: &[u8]) -> Option<(char, usize)> {
    let meant = u8::try_from(number(bytes.get(1..3)?)?).ok()?;
    meant.is_ascii().then_some((char::from(meant), 3))
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_where_it_stands() {
        let raw = r#"a\u00e9\n\ud83d\ude00b\"c\x\u12"#;
        let meant = Unescaped::of(raw, Escape::Json).unwrap();
        assert_eq!(meant.text(), "aé\n😀b\"c\\x\\u12");
        let at = meant.text().find('😀').unwrap();
        assert_eq!(&raw[meant.escaped(&(at..at + 5))], r"\ud83d\ude00b");
        assert_eq!(&raw[meant.escaped(&(0..3))], r"a\u00e9");
        assert_eq!(meant.escaped(&(0..meant.text().len())), 0..raw.len());
        assert!(Unescaped::of(r"C:\dir\u12", Escape::Json).is_none());
        let link = Unescaped::of("a%20b%C3%A9%4", Escape::Percent).unwrap();
        assert_eq!((link.text(), link.escaped(&(1..3))), ("a b%C3%A9%4", 1..5));
    }
}
