//! Text: what is, and which kind of it.

use serde::de::IgnoredAny;

/// Types of text that are not `text/*`.
const KINDS: [&str; 14] = [
    "application/json",
    "application/ld+json",
    "application/x-ndjson",
    "application/jsonl",
    "application/xml",
    "application/xhtml+xml",
    "application/yaml",
    "application/x-yaml",
    "application/toml",
    "application/javascript",
    "application/x-javascript",
    "application/sql",
    "application/x-sh",
    "image/svg+xml",
];

/// Types by the ending of a text's name.
const ENDINGS: [(&str, &str); 14] = [
    ("csv", "text/csv"),
    ("tsv", "text/tab-separated-values"),
    ("md", "text/markdown"),
    ("markdown", "text/markdown"),
    ("json", "application/json"),
    ("ndjson", "application/x-ndjson"),
    ("jsonl", "application/x-ndjson"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("xml", "application/xml"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("ics", "text/calendar"),
    ("vcf", "text/vcard"),
];

/// What pages begin with.
const HTML: [&str; 6] = ["<!doctype html", "<html", "<head", "<body", "<script", "<iframe"];

/// Whether it is text: no byte in it is one that only binary files have
/// (<https://mimesniff.spec.whatwg.org/#binary-data-byte>), or it says to be of two bytes a character.
pub(crate) fn is(head: &[u8]) -> bool {
    let is_binary = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    has_wide_mark(head) || !head.iter().any(is_binary)
}

fn has_wide_mark(head: &[u8]) -> bool {
    head.starts_with(&[0xfe, 0xff])
        || (head.starts_with(&[0xff, 0xfe]) && !head[2..].starts_with(&[0, 0]))
}

/// Whether files of a type are text.
pub(crate) fn is_kind(kind: &str) -> bool {
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || kind.ends_with("+yaml")
        || KINDS.contains(&kind)
}

/// Whether text may be of a type: not if that is one of images, sounds, films, fonts or documents with a
/// signature, nor if it is that of drawings and this is none.
pub(crate) fn may_be(kind: &str, head: &[u8]) -> bool {
    if kind == "image/svg+xml" {
        return is_svg(&beginning(head));
    }
    if is_kind(kind) {
        return true;
    }
    let is_medium = ["image/", "audio/", "video/", "font/"].iter().any(|of| kind.starts_with(of));
    let is_playlist = kind.ends_with("mpegurl");
    !(super::kinds::is_signed(kind) || is_medium && !is_playlist)
}

/// The kind of a text: by what it begins with, then by the ending of its name, then by its form.
pub(crate) fn kind(name: &str, head: &[u8]) -> &'static str {
    let begins = beginning(head);
    if is_svg(&begins) {
        return "image/svg+xml";
    }
    if HTML.iter().any(|tag| begins.starts_with(tag)) {
        return "text/html";
    }
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let ending = ending.unwrap_or_default();
    if let Some((_, kind)) = ENDINGS.iter().find(|(known, _)| *known == ending) {
        return kind;
    }
    match begins.starts_with("<?xml") {
        true => "application/xml",
        false if is_json(head) => "application/json",
        false => "text/plain",
    }
}

/// How it begins, in lower case: without a byte order mark, white space, and comments.
fn beginning(head: &[u8]) -> String {
    let text = String::from_utf8_lossy(&head[..head.len().min(16 * 1024)]).to_lowercase();
    without_comments(&text).to_owned()
}

fn without_comments(text: &str) -> &str {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while let Some(comment) = rest.strip_prefix("<!--") {
        rest = comment.split_once("-->").map_or("", |(_, rest)| rest).trim_start();
    }
    rest
}

/// Whether it is a drawing: its first element is, whatever is declared before it.
fn is_svg(begins: &str) -> bool {
    let mut rest = begins;
    while rest.starts_with("<?") || rest.starts_with("<!doctype svg") {
        rest = without_comments(rest.split_once('>').map_or("", |(_, rest)| rest));
    }
    let element = rest.strip_prefix("<svg").or_else(|| rest.strip_prefix("<svg:svg"));
    element
        .is_some_and(|rest| rest.starts_with(['>', '/']) || rest.starts_with(char::is_whitespace))
}

/// Whether it is a JSON object or list, or the beginning of a large one.
fn is_json(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    if !(text.starts_with(b"{") || text.starts_with(b"[")) {
        return false;
    }
    match serde_json::from_slice::<IgnoredAny>(text) {
        Ok(IgnoredAny) => true,
        Err(error) => error.is_eof() && head.len() == super::HEAD,
    }
}
