//! Images and documents in requests.
//!
//! A body is written with a short mark in the place of each, and the bytes are encoded straight into the
//! finished text: at no time are there two copies of them as base64.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::media::{Media, MediaKind};
use crate::request::Message;

/// What marks begin with. Nobody outside of this process knows it, so that no text can hold one.
static MARK: LazyLock<String> = LazyLock::new(|| {
    let half = || RandomState::new().hash_one("media");
    format!("media-{:016x}{:016x}-", half(), half())
});

/// The digits of a hash.
const HASH: usize = 64;

/// The mark for the base64 of an item.
pub(super) fn data(media: &Media) -> String {
    format!("{}{}", *MARK, media.sha256())
}

/// The mark within a URL that holds the data itself (RFC 2397).
pub(super) fn data_url(media: &Media) -> String {
    format!("data:{};base64,{}", media.media_type(), data(media))
}

/// A body with the bytes in the places of their marks.
pub(super) fn filled(draft: String, messages: &[Message]) -> String {
    let all = messages.iter().flat_map(Message::media);
    let bytes: HashMap<&str, &[u8]> =
        all.filter_map(|media| Some((media.sha256(), &media.bytes()?[..]))).collect();
    if bytes.is_empty() {
        return draft;
    }
    let places = || draft.split(MARK.as_str()).skip(1).filter_map(|rest| rest.get(..HASH));
    let sizes =
        places().filter_map(|hash| bytes.get(hash)).map(|bytes| bytes.len().div_ceil(3) * 4);
    let mut body = String::with_capacity(draft.len() + sizes.sum::<usize>());
    let mut parts = draft.split(MARK.as_str());
    body.extend(parts.next());
    for part in parts {
        let (hash, rest) = part.split_at_checked(HASH).unwrap_or(("", part));
        if let Some(bytes) = bytes.get(hash) {
            STANDARD.encode_string(bytes, &mut body);
        }
        body.push_str(rest);
    }
    body
}

/// The parts of a text with images and documents: each of them behind its name, the text last. A text
/// that says nothing is left out.
pub(super) fn parts(
    content: &str,
    media: &[Media],
    text: impl Fn(&str) -> Value,
    item: impl Fn(&Media) -> Value,
) -> Vec<Value> {
    let items = media.iter().flat_map(|media| [text(&media.mark()), item(media)]);
    let content = Some(content).filter(|content| !content.trim().is_empty());
    items.chain(content.map(&text)).collect()
}

/// The conversation with the images and documents of results in a turn of the user behind these, for
/// servers whose results are text alone: not all of what `stays` says not to move.
pub(in crate::provider) fn results_as_text(
    messages: Cow<'_, [Message]>,
    stays: impl Fn(&Media) -> bool,
) -> Cow<'_, [Message]> {
    let is_text = |message: &Message| match message {
        Message::Tool { media, .. } => media.iter().all(&stays),
        Message::System { .. } | Message::User { .. } | Message::Assistant(_) => true,
    };
    if messages.iter().all(is_text) {
        return messages;
    }
    let mut turns: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    let (mut notes, mut moved): (Vec<String>, Vec<Media>) = (Vec::new(), Vec::new());
    for mut message in messages.into_owned() {
        if let Message::Tool { name, media, .. } = &mut message {
            let (kept, out) = std::mem::take(media).into_iter().partition::<Vec<_>, _>(&stays);
            *media = kept;
            notes.extend(out.iter().map(|media| files_note(name, media)));
            moved.extend(out);
        } else if !moved.is_empty() {
            let files = std::mem::take(&mut moved);
            turns.push(Message::user_with(std::mem::take(&mut notes).join("\n"), files));
        }
        turns.push(message);
    }
    if !moved.is_empty() {
        turns.push(Message::user_with(notes.join("\n"), moved));
    }
    Cow::Owned(turns)
}

/// Where a file comes from that stands apart from its result.
fn files_note(tool: &str, media: &Media) -> String {
    format!("{} is part of the result of {tool}.", media.mark())
}

/// The name of a document with the ending that says its type.
pub(super) fn file_name(media: &Media) -> String {
    let name = media.name();
    let is_named = name.len() > 4 && name.to_ascii_lowercase().ends_with(".pdf");
    if is_named { name.to_owned() } else { format!("{}.pdf", name.trim_end_matches('.')) }
}

/// An item in a message of Chat Completions.
///
/// Sources: <https://developers.openai.com/api/docs/guides/images-vision>,
/// <https://developers.openai.com/api/docs/guides/file-inputs>; Mistral's documents:
/// <https://docs.mistral.ai/studio/document-processing/document-qna>.
pub(super) fn chat_item(media: &Media, is_mistral: bool) -> Value {
    let url = data_url(media);
    match media.kind() {
        Some(MediaKind::Document) if is_mistral => {
            json!({ "type": "document_url", "document_url": url, "document_name": file_name(media) })
        }
        Some(MediaKind::Document) => {
            json!({ "type": "file", "file": { "filename": file_name(media), "file_data": url } })
        }
        Some(MediaKind::Image) | None => {
            json!({ "type": "image_url", "image_url": { "url": url } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_the_places_of_their_marks_and_texts_stay() {
        let (one, two) =
            (Media::new("a", "image/png", &b"abc"[..]), Media::new("b", "image/png", &b"defg"[..]));
        let messages = [Message::user_with("x", vec![one.clone(), two.clone()])];
        let draft = json!([data_url(&two), "media-0-", data(&one), data(&two)]).to_string();
        assert_eq!(
            filled(draft, &messages),
            r#"["data:image/png;base64,ZGVmZw==","media-0-","YWJj","ZGVmZw=="]"#
        );
        assert_eq!(filled("plain".to_owned(), &[Message::user("x")]), "plain");
    }

    #[test]
    fn a_document_is_named_by_its_type() {
        for (name, file) in
            [("a.pdf", "a.pdf"), ("A.PDF", "A.PDF"), ("a", "a.pdf"), (".pdf", ".pdf.pdf")]
        {
            assert_eq!(file_name(&Media::new(name, "application/pdf", &b""[..])), file);
        }
    }
}
