//! Placeholders: `[[kind:8 hex]]`. Which one stands for a value is a keyed hash of user and value: equal in every
//! run of the user, another one for every other user, and not to be guessed from the value.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::escapes::{Escape, Unescaped};

/// The longest name of a kind.
pub(super) const MAX_KIND: usize = 32;

/// The hexadecimal digits.
const DIGITS: usize = 8;

/// Makes placeholders: a key derived from a secret.
#[derive(Clone)]
pub struct RedactKey(Hmac<Sha256>);

impl RedactKey {
    /// The key that belongs to a secret. White space at the ends and carriage returns do not count, so that the same
    /// secret may come from a file and from a variable.
    pub fn new(secret: &[u8]) -> Self {
        let secret: Vec<u8> = secret.trim_ascii().iter().copied().filter(|b| *b != b'\r').collect();
        let secret: [u8; 32] = Sha256::digest(secret).into();
        let mut mac = keyed(&secret);
        mac.update(b"wombat: placeholders of redacted values");
        Self(keyed(&mac.finalize().into_bytes().into()))
    }

    /// The placeholder of a user's value; the `attempt` counts up where others have it already.
    pub(super) fn placeholder(&self, user: &str, kind: &str, value: &str, attempt: u32) -> String {
        let mut mac = self.0.clone();
        mac.update(&(user.len() as u64).to_be_bytes());
        mac.update(user.as_bytes());
        mac.update(value.as_bytes());
        if attempt > 0 {
            mac.update(&[0]);
            mac.update(&attempt.to_be_bytes());
        }
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let hash = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        format!("[[{kind}:{hash:08x}]]")
    }
}

/// Shows no key.
impl fmt::Debug for RedactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactKey").finish_non_exhaustive()
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // RFC 2104: a key that is shorter than a block is filled with zeros.
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    Hmac::new(&block.into())
}

/// Whether a name may be a kind's.
pub(super) fn is_kind(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= MAX_KIND
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(is_of_kind)
}

fn is_of_kind(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
}

/// What a text that begins with a bracket may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// A text of the form of a placeholder, of this length.
    Whole(usize),
    /// The beginning of one, and then the text ends.
    Partly,
    /// Nothing of it.
    Other,
}

fn begin_of(text: &[u8]) -> Begin {
    let mut bytes = text.iter().copied().peekable();
    let mut length = 0;
    let mut next = |is_right: &dyn Fn(u8) -> bool| match bytes.peek() {
        None => Some(false),
        Some(byte) if is_right(*byte) => {
            bytes.next();
            length += 1;
            Some(true)
        }
        Some(_) => None,
    };
    let mut all = |steps: &[&dyn Fn(u8) -> bool]| {
        for step in steps {
            match next(*step) {
                Some(true) => {}
                Some(false) => return Err(Begin::Partly),
                None => return Err(Begin::Other),
            }
        }
        Ok(())
    };
    let begin: [&dyn Fn(u8) -> bool; 3] =
        [&|b| b == b'[', &|b| b == b'[', &|b| b.is_ascii_lowercase()];
    if let Err(other) = all(&begin) {
        return other;
    }
    let mut kind = 1;
    loop {
        match all(&[&is_of_kind]) {
            Ok(()) if kind < MAX_KIND => kind += 1,
            Ok(()) => return Begin::Other,
            Err(Begin::Partly) => return Begin::Partly,
            Err(_) => break,
        }
    }
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let mut end: Vec<&dyn Fn(u8) -> bool> = vec![&|b| b == b':'];
    end.extend([&is_hex as &dyn Fn(u8) -> bool; DIGITS]);
    end.extend([&(|b| b == b']') as &dyn Fn(u8) -> bool; 2]);
    match all(&end) {
        Ok(()) => Begin::Whole(length),
        Err(other) => other,
    }
}

/// Where in a text something has the form of a placeholder, in order.
pub(super) fn all_in(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let bytes = text.as_bytes();
    let mut free = 0;
    memchr::memchr_iter(b'[', bytes).filter_map(move |at| {
        let Begin::Whole(length) = begin_of(&bytes[at..]) else { return None };
        if at < free {
            return None;
        }
        free = at + length;
        Some(at..free)
    })
}

/// A placeholder in a text.
#[derive(Debug)]
pub(super) struct Written<'t> {
    /// Where it is.
    pub(super) range: Range<usize>,
    /// As it is everywhere.
    pub(super) name: Cow<'t, str>,
    /// Whether its brackets or colon are written as links have them.
    pub(super) is_encoded: bool,
}

/// The placeholders in a text, in order; with `encoded` also those that a model has written into a link.
pub(super) fn all_written(text: &str, encoded: bool) -> Vec<Written<'_>> {
    let plain = all_in(text).map(|range| {
        let name = Cow::Borrowed(&text[range.clone()]);
        Written { range, name, is_encoded: false }
    });
    let mut all: Vec<_> = plain.collect();
    if encoded && let Some(meant) = Unescaped::of(text, Escape::Percent) {
        let there = all_in(meant.text()).map(|range| {
            let name = meant.text()[range.clone()].to_owned();
            (meant.escaped(&range), name)
        });
        let longer = there.filter(|(range, name)| range.len() > name.len());
        all.extend(longer.map(|(range, name)| Written {
            range,
            name: Cow::Owned(name),
            is_encoded: true,
        }));
        all.sort_by_key(|written| written.range.start);
    }
    all
}

/// A value as it stands in a link.
pub(super) fn percent_encoded(value: &str) -> impl Iterator<Item = String> + '_ {
    value.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    })
}

/// A place in a text, or the beginning of what has the form of a placeholder where it is within that. The place is
/// one of a character.
pub fn border_before(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let from = at.saturating_sub(MAX_KIND + DIGITS + 4);
    let is_around = |start: &usize| {
        let begin = (bytes[*start] == b'[').then(|| begin_of(&bytes[*start..]));
        matches!(begin, Some(Begin::Whole(length)) if *start + length > at)
    };
    (from..at.min(bytes.len())).find(is_around).unwrap_or(at)
}

/// JSON in which numbers were replaced: what stands there in the form of a placeholder is a text.
pub fn in_quotes(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let (mut out, mut copied, mut at, mut is_text) = (String::new(), 0, 0, false);
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'\\' if is_text => 2,
            b'"' => {
                is_text = !is_text;
                1
            }
            b'[' if !is_text => match begin_of(&bytes[at..]) {
                Begin::Whole(length) => {
                    let end = at + length;
                    out.push_str(&json[copied..at]);
                    out.extend(["\"", &json[at..end], "\""]);
                    copied = end;
                    length
                }
                Begin::Partly | Begin::Other => 1,
            },
            _ => 1,
        };
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// Where a placeholder begins of which more may follow after the text's end; the end where none does.
pub(super) fn open_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    // The longest one, less its last byte.
    let from = bytes.len().saturating_sub(MAX_KIND + DIGITS + 5);
    let is_open = |at: &usize| bytes[*at] == b'[' && begin_of(&bytes[*at..]) == Begin::Partly;
    (from..bytes.len()).find(is_open).unwrap_or(bytes.len())
}
