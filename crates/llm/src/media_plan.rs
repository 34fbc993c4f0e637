//! The images and documents of whole conversations: what a model gets of them, and what it is told.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::media::{Media, MediaSupport, MediaUse, NotSent};
use crate::request::Message;

/// What became of the images and documents of a request, by their hashes.
pub(crate) type Used = HashMap<String, MediaUse>;

impl MediaSupport {
    /// What becomes of all images and documents of a conversation, in their order.
    pub fn uses_in(&self, messages: &[Message]) -> Vec<MediaUse> {
        self.uses(messages.iter().flat_map(Message::media))
    }

    /// About how many tokens the images and documents of a message cost, each by itself.
    pub fn tokens_of(&self, message: &Message) -> u64 {
        message.media().iter().map(|media| self.tokens(media)).sum()
    }
}

/// The conversation with the images and documents that the model gets, each once, and in place of all
/// others a text. One without any is not copied.
pub(crate) fn shown<'a>(
    messages: &'a [Message],
    support: &MediaSupport,
) -> (Cow<'a, [Message]>, Used) {
    if messages.iter().all(|message| message.media().is_empty()) {
        return (Cow::Borrowed(messages), Used::new());
    }
    replaced(messages, support.uses_in(messages))
}

/// The same, after the server has refused what it got: with a text in place of everything.
pub(crate) fn refused<'a>(
    messages: &'a [Message],
    support: &MediaSupport,
) -> (Cow<'a, [Message]>, Used) {
    let told = |(media, used): (&Media, MediaUse)| match used {
        MediaUse::Sent(_) | MediaUse::Repeated(_) if media.text().is_some() => MediaUse::Text,
        MediaUse::Sent(_) | MediaUse::Repeated(_) => MediaUse::Named(NotSent::Refused),
        MediaUse::Text | MediaUse::Named(_) => used,
    };
    let uses = support.uses_in(messages);
    let all = messages.iter().flat_map(Message::media);
    replaced(messages, all.zip(uses).map(told).collect())
}

fn replaced(messages: &[Message], uses: Vec<MediaUse>) -> (Cow<'_, [Message]>, Used) {
    let all = messages.iter().flat_map(Message::media);
    let hashes = all.map(|media| media.sha256().to_owned());
    let used: Used = hashes.zip(uses.iter().cloned()).collect();
    if uses.iter().all(|used| matches!(used, MediaUse::Sent(_))) {
        return (Cow::Borrowed(messages), used);
    }
    let mut uses = uses.into_iter();
    let mut messages = messages.to_vec();
    for message in &mut messages {
        if let Message::User { content, media } | Message::Tool { content, media, .. } = message {
            let given = std::mem::take(media);
            for (item, used) in given.into_iter().zip(uses.by_ref()) {
                let told = match used {
                    MediaUse::Sent(_) => {
                        media.push(item);
                        continue;
                    }
                    MediaUse::Repeated(_) => item.again(),
                    MediaUse::Text => item.text().unwrap_or_default().to_owned(),
                    MediaUse::Named(why) => item.line(&why),
                };
                if !content.is_empty() {
                    content.push_str("\n\n");
                }
                content.push_str(&told);
            }
        }
    }
    (Cow::Owned(messages), used)
}
