//! Percent-encoding.

/// Everything but RFC 3986's unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    keeping(text, "-._~")
}

/// The text of a path or query as it is in a document: what may stand there stays, also what is encoded
/// already (RFC 3986, 3.3 and 3.4).
pub(crate) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&keeping(&rest[..at], LITERAL));
        let is_escape = rest
            .as_bytes()
            .get(at + 1..at + 3)
            .is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
        out.push_str(if is_escape { "%" } else { "%25" });
        rest = &rest[at + 1..];
    }
    out + &keeping(rest, LITERAL)
}

const LITERAL: &str = "-._~!$&'()*+,;=:@/";

fn keeping(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
