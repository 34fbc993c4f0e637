//! Finding a text in an answer, as it is and in the encodings that servers use: percent-encoding, the
//! escapes of JSON, base64.

use memchr::memmem::Finder;

/// How many bytes of a text are looked for at once; the rest is compared.
const MAX_NEEDLE: usize = 24;

/// A text that is looked for by its first bytes.
#[derive(Debug, Clone)]
pub(crate) struct Needle {
    plain: Finder<'static>,
    /// The first byte escaped, in the ways that differ.
    escaped: Vec<Finder<'static>>,
    /// Base64 of the text after no, one and two bytes of others: it differs for each.
    base64: Vec<Finder<'static>>,
}

/// A place where the text may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Where its first byte begins.
    pub(crate) start: usize,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Escaped,
    /// With the bytes of others before it in its group of three, and where that group begins.
    Base64 {
        skip: usize,
        group: usize,
    },
}

impl Needle {
    /// Looks for a text whose first bytes are letters and digits, which only few servers escape.
    pub(crate) fn new(text: &[u8]) -> Self {
        let first = &text[..text.len().min(MAX_NEEDLE)];
        let owned = |needle: &[u8]| Finder::new(needle).into_owned();
        // The first byte is enough: what does not go on as the text does is given up at once.
        let mut escaped: Vec<String> = Vec::new();
        if let Some(byte) = first.first() {
            let ways = [format!("%{byte:02X}"), format!("%25{byte:02X}"), format!("u{byte:04X}")];
            for needle in ways.iter().flat_map(|way| [way.clone(), way.to_ascii_lowercase()]) {
                if !escaped.contains(&needle) {
                    escaped.push(needle);
                }
            }
        }
        let base64 = (0..3).map(|skip| owned(&base64_of(first, skip))).collect();
        let escaped = escaped.iter().map(|needle| owned(needle.as_bytes())).collect();
        Self { plain: owned(first), escaped, base64 }
    }

    /// All places where the text may begin, in order.
    pub(crate) fn find(&self, body: &[u8]) -> Vec<Candidate> {
        let mut found = Vec::new();
        for start in self.plain.find_iter(body) {
            found.push(Candidate { start, form: Form::Escaped });
        }
        if memchr::memchr2(b'%', b'\\', body).is_some() {
            for finder in &self.escaped {
                for start in finder.find_iter(body) {
                    // Several backslashes stand before it in a JSON text within a JSON text.
                    let before = body[..start].iter().rev().take_while(|byte| **byte == b'\\');
                    let start = start - if body[start] == b'u' { before.count() } else { 0 };
                    found.push(Candidate { start, form: Form::Escaped });
                }
            }
        }
        for (skip, finder) in self.base64.iter().enumerate() {
            for start in finder.find_iter(body) {
                // The needle begins with the first character that is all of the text.
                let Some(group) = start.checked_sub(skip_chars(skip)) else { continue };
                found.push(Candidate { start, form: Form::Base64 { skip, group } });
            }
        }
        found.sort_by_key(|candidate| candidate.start);
        found
    }
}

impl Candidate {
    /// The bytes from here on, each with the position after it.
    pub(crate) fn bytes(self, body: &[u8]) -> Bytes<'_> {
        match self.form {
            Form::Escaped => Bytes::Escaped(Escaped { body, at: self.start }),
            Form::Base64 { skip, group } => {
                let mut decoded =
                    Base64 { inner: Escaped { body, at: group }, bits: 0, held: 0, end: group };
                decoded.by_ref().take(skip).for_each(drop);
                Bytes::Base64(decoded)
            }
        }
    }

    /// The same form from another place on.
    pub(crate) fn at(self, start: usize) -> Self {
        Self { start, ..self }
    }

    /// Whether it is not base64.
    pub(crate) fn is_escaped(self) -> bool {
        self.form == Form::Escaped
    }
}

/// How many characters of base64 hold something of `skip` bytes.
fn skip_chars(skip: usize) -> usize {
    (skip * 8).div_ceil(6)
}

/// The characters of base64 that hold nothing but this text, `skip` bytes after a group's beginning.
fn base64_of(text: &[u8], skip: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = std::iter::repeat_n(0, skip).chain(text.iter().copied());
    let (mut bits, mut held, mut out) = (0_u32, 0, Vec::new());
    for byte in bytes {
        bits = (bits << 8 | u32::from(byte)) & 0xffff;
        held += 8;
        while held >= 6 {
            held -= 6;
            out.push(ALPHABET[(bits >> held & 0x3f) as usize]);
        }
    }
    out.split_off(skip_chars(skip).min(out.len()))
}

/// The bytes of a candidate.
pub(crate) enum Bytes<'a> {
    Escaped(Escaped<'a>),
    Base64(Base64<'a>),
}

impl Iterator for Bytes<'_> {
    type Item = (u8, usize);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Escaped(bytes) => bytes.next(),
            Self::Base64(bytes) => bytes.next(),
        }
    }
}

/// Bytes, with their escapes resolved.
pub(crate) struct Escaped<'a> {
    body: &'a [u8],
    at: usize,
}

impl Escaped<'_> {
    fn hex(&self, from: usize, digits: usize) -> Option<u32> {
        let text = self.body.get(from..from + digits)?;
        text.iter().try_fold(0, |number, digit| {
            char::from(*digit).to_digit(16).map(|digit| number * 16 + digit)
        })
    }

    /// The byte of an escape that begins here, and where it ends.
    fn escape(&self) -> Option<(u8, usize)> {
        let first = *self.body.get(self.at)?;
        let mut at = self.at + 1;
        match first {
            b'%' => {
                // `%25` is the percent sign of an escape that was escaped once more.
                while self.body.get(at..at + 2) == Some(b"25") && self.hex(at + 2, 2).is_some() {
                    at += 2;
                }
                Some((u8::try_from(self.hex(at, 2)?).ok()?, at + 2))
            }
            b'\\' => {
                while self.body.get(at) == Some(&b'\\') {
                    at += 1;
                }
                match self.body.get(at)? {
                    b'u' => Some((u8::try_from(self.hex(at + 1, 4)?).ok()?, at + 5)),
                    b'x' => Some((u8::try_from(self.hex(at + 1, 2)?).ok()?, at + 3)),
                    other @ (b'"' | b'/' | b'\'') => Some((*other, at + 1)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl Iterator for Escaped<'_> {
    type Item = (u8, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let plain = *self.body.get(self.at)?;
        let (byte, end) = match plain {
            b'%' | b'\\' => self.escape().unwrap_or((plain, self.at + 1)),
            _ => (plain, self.at + 1),
        };
        self.at = end;
        Some((byte, end))
    }
}

/// Bytes in base64, in either alphabet (RFC 4648, sections 4 and 5).
pub(crate) struct Base64<'a> {
    inner: Escaped<'a>,
    bits: u32,
    held: u32,
    end: usize,
}

impl Iterator for Base64<'_> {
    type Item = (u8, usize);

    fn next(&mut self) -> Option<Self::Item> {
        while self.held < 8 {
            let (character, end) = self.inner.next()?;
            let value = match character {
                b'A'..=b'Z' => character - b'A',
                b'a'..=b'z' => character - b'a' + 26,
                b'0'..=b'9' => character - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            self.bits = (self.bits << 6 | u32::from(value)) & 0xffff;
            self.held += 6;
            self.end = end;
        }
        self.held -= 8;
        let byte = u8::try_from(self.bits >> self.held & 0xff).unwrap_or_default();
        Some((byte, self.end))
    }
}

/// A body with [`crate::HIDDEN`] in the place of each span; `None` when there is none. Spans are in
/// order; one that begins within another belongs to it.
pub(crate) fn without(body: &[u8], spans: impl Iterator<Item = (usize, usize)>) -> Option<Vec<u8>> {
    let mut clean: Option<Vec<u8>> = None;
    let mut from = 0;
    for (start, end) in spans {
        if start < from || end <= start {
            continue;
        }
        let clean = clean.get_or_insert_with(|| Vec::with_capacity(body.len()));
        clean.extend_from_slice(&body[from..start]);
        clean.extend_from_slice(crate::HIDDEN.as_bytes());
        from = end;
    }
    let mut clean = clean?;
    clean.extend_from_slice(&body[from..]);
    Some(clean)
}
