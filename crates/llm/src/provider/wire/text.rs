//! Writing JSON. Most of a request is long text: this looks for what must be escaped in many bytes at
//! once, not in one after the other.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// How many bytes are looked at together; the compiler makes a few instructions of them.
const BLOCK: usize = 16;

/// A value as JSON text: the same as its `Display` writes.
pub(in crate::provider) fn json_text(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    text
}

/// Appends a value.
pub(in crate::provider) fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => match number.as_u64() {
            Some(number) => write_count(number, out),
            // (Writing to a `String` does not fail.)
            None => drop(write!(out, "{number}")),
        },
        Value::String(text) => write_text(text, out),
        Value::Array(items) => write_list(items, out, write_value),
        Value::Object(fields) => write_fields(fields, out),
    }
}

fn write_fields(fields: &Map<String, Value>, out: &mut String) {
    let mut object = ObjectWriter::new(out);
    for (name, value) in fields {
        object.value(name, value);
    }
    object.end();
}

/// Appends a list.
pub(in crate::provider) fn write_list<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut String,
    mut write: impl FnMut(T, &mut String),
) {
    out.push('[');
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}

/// Appends a text with its quotes.
pub(in crate::provider) fn write_text(text: &str, out: &mut String) {
    out.reserve(text.len() + 2);
    out.push('"');
    let bytes = text.as_bytes();
    // The beginning of what has not been appended.
    let mut from = 0;
    let mut at = 0;
    while let Some(block) = bytes.get(at..at + BLOCK) {
        if block.iter().fold(false, |any, byte| any | must_be_escaped(*byte)) {
            escape(text, at, block, &mut from, out);
        }
        at += BLOCK;
    }
    let rest = &bytes[at..];
    let mut block = [b' '; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    escape(text, at, &block, &mut from, out);
    out.push_str(&text[from..]);
    out.push('"');
}

fn must_be_escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Escapes what must be in the block of a text at `start`. What lies before it, is appended with the first
/// one.
fn escape(text: &str, start: usize, block: &[u8], from: &mut usize, out: &mut String) {
    let (words, _) = block.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let mut found = to_be_escaped(u64::from_le_bytes(*word));
        while found != 0 {
            let at = start + n * 8 + found.trailing_zeros() as usize / 8;
            found &= found - 1;
            out.push_str(&text[*from..at]);
            *from = at + 1;
            match text.as_bytes()[at] {
                b'"' => out.push_str("\\\""),
                b'\\' => out.push_str("\\\\"),
                b'\n' => out.push_str("\\n"),
                b'\r' => out.push_str("\\r"),
                b'\t' => out.push_str("\\t"),
                0x08 => out.push_str("\\b"),
                0x0c => out.push_str("\\f"),
                other => drop(write!(out, "\\u{other:04x}")),
            }
        }
    }
}

/// The highest bit of each of the eight bytes that must be escaped.
fn to_be_escaped(word: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let each = |byte: u8| u64::from_ne_bytes([byte; 8]);
    // A sum of seven bits and at most 0x7f never reaches the next byte. Its highest bit is not set where
    // the byte is less than 0x20, or has no bit at all.
    let is_less = (word & LOW) + each(0x60);
    let differs = |from: u8| {
        let bits = word ^ each(from);
        ((bits & LOW) + LOW) | bits
    };
    !((is_less | word) & differs(b'"') & differs(b'\\')) & !LOW
}

fn write_count(number: u64, out: &mut String) {
    let mut digits = [0; 20];
    let (mut rest, mut at) = (number, digits.len());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

/// Writes an object, field by field.
pub(in crate::provider) struct ObjectWriter<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> ObjectWriter<'a> {
    pub(in crate::provider) fn new(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, is_empty: true }
    }

    /// Begins a field; the caller appends its value.
    pub(in crate::provider) fn field(&mut self, name: &str) -> &mut String {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        write_text(name, self.out);
        self.out.push(':');
        self.out
    }

    pub(in crate::provider) fn text(&mut self, name: &str, text: &str) {
        write_text(text, self.field(name));
    }

    pub(in crate::provider) fn value(&mut self, name: &str, value: &Value) {
        write_value(value, self.field(name));
    }

    pub(in crate::provider) fn end(self) {
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let text = || "(\\PC|[\\x00-\\x22\\\\]){0,40}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((text(), inner), 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_text_is_the_one_that_serde_json_writes(value in values()) {
            prop_assert_eq!(json_text(&value), serde_json::to_string(&value).unwrap());
        }
    }
}
