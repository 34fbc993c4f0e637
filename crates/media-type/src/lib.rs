//! What bytes are. A file's media type is what its sender says, unless the bytes contradict it: then it is
//! what they are. One rule for the backend that keeps files and for the daemon that gives them to models.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod kinds;
mod text;

/// How much of a file's beginning says what it is.
pub const HEAD: usize = 256 * 1024;

/// What nothing is known of.
pub const UNKNOWN: &str = "application/octet-stream";

/// What clients write who were not told: curl's own, and that of a form's file.
const UNTOLD: [&str; 2] = [UNKNOWN, "application/x-www-form-urlencoded"];

/// The longest name of a type or of a subtype (RFC 6838, section 4.2).
const MAX_NAME: usize = 127;

/// What the beginning of a file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// It begins as files of this type do.
    Signed(&'static str),
    /// It is text.
    Text,
    /// Neither.
    Noise,
}

/// The essence of a media type, `type/subtype` in lower case without parameters; `None` for what is none.
pub fn parse(text: &str) -> Option<String> {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let (kind, sub) = essence.split_once('/')?;
    let is_name = |name: &str| {
        (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    (is_name(kind) && is_name(sub)).then(|| essence.to_ascii_lowercase())
}

/// The media type of a file that begins with `head` (its first [`HEAD`] bytes, or all of them). What is
/// `declared` stays unless the bytes contradict it; where nothing of use is, bytes and the ending of the
/// name decide.
pub fn of(declared: Option<&str>, name: &str, head: &[u8]) -> String {
    let head = &head[..head.len().min(HEAD)];
    let declared = declared.and_then(parse).filter(|kind| !UNTOLD.contains(&&**kind));
    match (content(head), declared) {
        (Content::Signed(sign), Some(kind)) if kinds::may_have(&kind, sign) => kind,
        (Content::Signed(sign), _) => sign.to_owned(),
        (Content::Text, Some(kind)) if text::may_be(&kind, head) => kind,
        (Content::Text, _) => text::kind(name, head).to_owned(),
        (Content::Noise, Some(kind)) if !is_text(&kind) && !kinds::is_signed(&kind) => kind,
        (Content::Noise, _) => UNKNOWN.to_owned(),
    }
}

/// Whether files of a type are text: a person can read them as they are.
pub fn is_text(media_type: &str) -> bool {
    text::is_kind(media_type)
}

fn content(head: &[u8]) -> Content {
    let is_text = text::is(head);
    match infer::get(head) {
        // Short signatures are words, too: "BM", "MZ". Text is another type only where that one is text.
        Some(found) if !is_text || kinds::is_written_as_text(found.mime_type()) => {
            Content::Signed(kinds::registered(found.mime_type()))
        }
        Some(_) | None if is_text => Content::Text,
        Some(_) | None => Content::Noise,
    }
}

#[cfg(test)]
mod tests;
