//! `$ref`s within the document.

use serde_json::Value;

/// The longest chain of references.
const MAX_HOPS: usize = 32;

/// What a local reference such as `#/components/schemas/School` points to (RFC 6901, in a URI
/// fragment).
pub(crate) fn target<'a>(root: &'a Value, reference: &str) -> Result<&'a Value, String> {
    let Some(pointer) = reference.strip_prefix('#') else {
        return Err(format!("$ref {reference:?} leads out of the document"));
    };
    let pointer = percent_decode(pointer);
    root.pointer(&pointer).ok_or_else(|| format!("$ref {reference:?} points nowhere"))
}

/// Resolves the references of an object other than a schema: a parameter, a body, a path item.
pub(crate) fn resolve<'a>(root: &'a Value, value: &'a Value) -> Result<&'a Value, String> {
    let mut value = value;
    for _ in 0..MAX_HOPS {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => value = target(root, reference)?,
            None => return Ok(value),
        }
    }
    Err("its $refs are circular".to_owned())
}

fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = digits.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match byte {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            Some(_) | None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
