//! The files of earlier turns: the newest are given again, older ones named.

use std::collections::{BTreeMap, HashSet};

use llm::Media;
use llm::request::Message;
use mc_client::steps::KnownFile;

use super::context::RunContext;
use super::file_load::stand_in;
use crate::run::attachments::used;
use crate::run::error::RunError;

/// What is said of a file that comes again.
const LATER: &str = "the same content as in a later file";

/// What is said of an older file.
const EARLIER: &str = "sent earlier in this conversation, and not shown again";

impl RunContext<'_> {
    /// Earlier turns with their files, of which they have the hashes. `files` says where these are.
    pub(super) async fn with_files(
        &self,
        mut history: Vec<Message>,
        files: &[KnownFile],
        attachments: &[KnownFile],
    ) -> Result<Vec<Message>, RunError> {
        if history.iter().all(|message| message.media().is_empty()) {
            return Ok(history);
        }
        let files: BTreeMap<&str, &KnownFile> =
            files.iter().map(|file| (file.sha256.as_str(), file)).collect();
        let again = self.given_again(&history, &files, attachments);
        let most = self.run.app.settings.tool_result_max_chars;
        let mut seen: HashSet<String> =
            attachments.iter().map(|file| file.sha256.clone()).collect();
        for message in history.iter_mut().rev() {
            let Some(media) = media_of(message) else { continue };
            for item in media.iter_mut().rev() {
                let unknown = || KnownFile {
                    file_id: None,
                    name: item.name().to_owned(),
                    media_type: item.media_type().to_owned(),
                    size: item.size(),
                    sha256: item.sha256().to_owned(),
                };
                let file = files.get(item.sha256()).map_or_else(unknown, |file| (*file).clone());
                let file = self.named(&file).into_owned();
                let is_repeated = !seen.insert(file.sha256.clone());
                // Of pictures and documents the request to the model has each once in any case.
                *item = if is_repeated && item.kind().is_none() {
                    stand_in(&file, LATER)
                } else if again.contains(&file.sha256) {
                    self.media(&file, most).await?
                } else {
                    self.withheld(&file, used::NAMED, EARLIER)
                };
            }
        }
        Ok(history)
    }

    /// The hashes of the files that the model gets: the newest, as far as they are not too large together,
    /// and those that come with the message, too.
    fn given_again(
        &self,
        history: &[Message],
        files: &BTreeMap<&str, &KnownFile>,
        attachments: &[KnownFile],
    ) -> HashSet<String> {
        let limits = &self.run.app.settings.files;
        let mut again: HashSet<String> =
            attachments.iter().map(|file| file.sha256.clone()).collect();
        let newest = history.iter().rev().flat_map(|message| message.media().iter().rev());
        let (mut count, mut bytes) = (0, 0_u64);
        for item in newest {
            let size = files.get(item.sha256()).map_or_else(|| item.size(), |file| file.size);
            if count >= limits.history || bytes.saturating_add(size) > limits.max_bytes as u64 {
                break;
            }
            if again.insert(item.sha256().to_owned()) {
                count += 1;
                bytes += size;
            }
        }
        again
    }
}

fn media_of(message: &mut Message) -> Option<&mut Vec<Media>> {
    match message {
        Message::User { media, .. } | Message::Tool { media, .. } => Some(media),
        Message::System { .. } | Message::Assistant(_) => None,
    }
}
