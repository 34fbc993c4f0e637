//! The bytes of files, as a model gets them.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use llm::Media;
use llm::error::LlmErrorKind;
use llm::request::Message;
use mc_client::error::McError;
use mc_client::steps::KnownFile;
use wombat_core::redact::Redactor;
use wombat_core::untrusted::break_control_tokens;

use super::context::RunContext;
use crate::run::attachments::{stored, used};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::file_text::{changed_text_of, text_of};
use crate::run::state_machine::RunState;
use crate::settings::Files;

/// How many files are fetched at the same time.
const PARALLEL: usize = 4;

/// What is said of a file that a provider did not take.
const REFUSED: &str = "the model could not be shown its content";

/// What is said of a file of the message that is one too many.
const TOO_MANY: &str = "the message has more files, or larger ones, than the agent may be shown";

/// The least of a text that is given, characters, however little room there is.
const LEAST_CHARS: usize = 200;

/// From this many bytes on a text is redacted apart from the threads that serve others.
const LARGE: usize = 64 * 1024;

/// The beginning of a text file with placeholders.
async fn redacted_text(
    redactor: &Arc<Redactor>,
    bytes: &Bytes,
    max_chars: usize,
) -> Result<Option<String>, RunError> {
    let (redactor, text) = (redactor.clone(), bytes.clone());
    let read = move || changed_text_of(&text, max_chars, |text| redactor.redact(text));
    if bytes.len() < LARGE {
        return Ok(read());
    }
    tokio::task::spawn_blocking(read).await.map_err(|error| {
        RunError::new(RunErrorKind::Internal).caused_by(format!("text not redacted: {error}"))
    })
}

impl RunContext<'_> {
    /// The newest turn of the conversation, with the files that came with it.
    pub(super) async fn with_attachments(
        &self,
        newest: String,
        attachments: &[KnownFile],
    ) -> Result<Message, RunError> {
        self.files.set_attachments(attachments.to_vec());
        let named: Vec<KnownFile> =
            attachments.iter().map(|file| self.named(file).into_owned()).collect();
        let attachments = named.as_slice();
        let shown = &shown(&self.run.app.settings.files, attachments);
        let max_chars = self.text_room(attachments);
        let is_first = |(at, file): &(usize, &KnownFile)| {
            !attachments[..*at].iter().any(|before| before.sha256 == file.sha256)
        };
        let load: Vec<_> = attachments
            .iter()
            .enumerate()
            .map(|(at, file)| async move {
                if !shown[at] {
                    Ok(self.withheld(file, used::NAMED, TOO_MANY))
                } else if is_first(&(at, file)) {
                    self.media(file, max_chars).await
                } else {
                    Ok(stand_in(file, "the same content as in a file before"))
                }
            })
            .collect();
        let media = stream::iter(load).buffered(PARALLEL).try_collect().await?;
        Ok(Message::user_with(newest, media))
    }

    /// How many characters of the text of each of these files a model gets: together they leave half of the
    /// room for the prompt to everything else.
    fn text_room(&self, files: &[KnownFile]) -> usize {
        let most = self.run.app.settings.tool_result_max_chars;
        let texts = files.iter().filter(|file| media_type::is_text(&file.media_type)).count();
        // Half of the room; a token is about four characters, but of some languages two.
        let room = self.prompt_room().and_then(|tokens| usize::try_from(tokens).ok());
        let share = room.map_or(most, |characters| characters / texts.max(1));
        most.min(share).max(LEAST_CHARS)
    }

    /// A file as a model gets it, or what stands in its place.
    pub(super) async fn media(
        &self,
        file: &KnownFile,
        max_chars: usize,
    ) -> Result<Media, RunError> {
        let Some(bytes) = self.bytes(file).await? else {
            let why = "its content is no longer available: the file was deleted, or was sent for an \
                       earlier attempt only";
            return Ok(self.withheld(file, used::GONE, why));
        };
        let media_type = media_type::of(Some(&file.media_type), &file.name, &bytes);
        let is_text = media_type::is_text(&media_type);
        let text = match self.for_model().filter(|_| is_text) {
            Some(redactor) => redacted_text(redactor, &bytes, max_chars).await?,
            None if is_text => text_of(&bytes, max_chars),
            None => None,
        };
        let media = Media::new(break_control_tokens(&file.name), media_type, bytes);
        Ok(match text {
            Some(text) => {
                let source = format!("file {}", file.name);
                media.with_text(self.run.fence().fence(&source, &text))
            }
            None => media,
        })
    }

    /// What stands in the place of a file that no model gets.
    pub(super) fn withheld(&self, file: &KnownFile, why: &'static str, said: &str) -> Media {
        self.files.inner().withheld.insert(file.sha256.clone(), why);
        stand_in(file, said)
    }

    /// After a provider has refused the conversation, which may be for its files (a broken picture, more
    /// pages than fit): names them in the place of what models got of them, first pictures and documents,
    /// then texts. Whether there was anything.
    pub(super) fn withhold_files(&self, error: &RunError, state: &mut RunState) -> bool {
        use LlmErrorKind::{ContextTooLong, InvalidRequest, Rejected};
        if !matches!(error.kind, RunErrorKind::Llm(ContextTooLong | InvalidRequest | Rejected, _)) {
            return false;
        }
        let is_too_long = matches!(error.kind, RunErrorKind::Llm(LlmErrorKind::ContextTooLong, _));
        let is_shown = |media: &Media| media.kind().is_some() && media.text().is_none();
        let texts_too = if is_too_long { &[false, true][..] } else { &[false] };
        texts_too.iter().any(|texts_too| {
            state.replace_media(|media| {
                let is_it = is_shown(media) || *texts_too && media.text().is_some();
                if media.bytes().is_none() || !is_it {
                    return None;
                }
                let file = KnownFile {
                    file_id: None,
                    name: media.name().to_owned(),
                    media_type: media.media_type().to_owned(),
                    size: media.size(),
                    sha256: media.sha256().to_owned(),
                };
                Some(self.withheld(&file, used::NAMED, REFUSED))
            })
        })
    }

    /// The bytes of a file: from the request, or from the backend. `None` where they are no longer to be
    /// had.
    async fn bytes(&self, file: &KnownFile) -> Result<Option<Bytes>, RunError> {
        if let Some(bytes) = self.files.inner().bytes.get(&file.sha256) {
            return Ok(Some(bytes.clone()));
        }
        let attached = &self.run.request.attachments;
        let given = attached.iter().find(|attached| attached.file.sha256 == file.sha256);
        let bytes = match given.and_then(|attached| attached.bytes.clone()) {
            Some(bytes) => Some(bytes),
            None => self.fetch(file).await?,
        };
        let mut inner = self.files.inner();
        if let Some(bytes) = &bytes {
            inner.withheld.remove(&file.sha256);
            inner.bytes.insert(file.sha256.clone(), bytes.clone());
        }
        Ok(bytes)
    }

    /// Fetches a file from the backend. One that has other bytes by now is not the one that was meant.
    async fn fetch(&self, file: &KnownFile) -> Result<Option<Bytes>, RunError> {
        let stored = stored(file).filter(|_| self.capabilities.has("files"));
        let Some(stored) = stored else { return Ok(None) };
        let Ok(most) = usize::try_from(stored.size) else { return Ok(None) };
        match self.client.file_bytes(&stored, most).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_file_not_found() || error.is_not_found() => Ok(None),
            Err(error @ McError::BadAnswer { .. }) => {
                tracing::warn!(%error, "a file of the backend is not what it was; it is left out");
                Ok(None)
            }
            Err(error) => match RunError::backend(&error) {
                // It will not be given later either.
                RunError { kind: RunErrorKind::BackendRefused(why), .. } => {
                    tracing::warn!(why, "the backend does not give a file; it is left out");
                    Ok(None)
                }
                error => Err(error),
            },
        }
    }
}

/// Which files of a message a model is shown. Those that a request brings are within the limits already, and those
/// of a message that others have stored may be any.
pub(super) fn shown(limits: &Files, files: &[KnownFile]) -> Vec<bool> {
    let (mut count, mut bytes) = (0, 0_u64);
    let mut is_shown = |file: &KnownFile| {
        let with_it = bytes.saturating_add(file.size);
        if count >= limits.max_attachments || with_it > limits.max_bytes as u64 {
            return false;
        }
        (count, bytes) = (count + 1, with_it);
        true
    };
    files.iter().map(&mut is_shown).collect()
}

/// What a model reads in the place of a file.
pub(super) fn stand_in(file: &KnownFile, said: &str) -> Media {
    let KnownFile { name, media_type, size, sha256, .. } = file;
    let gone = Media::gone(break_control_tokens(name), media_type.clone(), *size, sha256.clone());
    let line = format!("[file {}: {media_type}, {size} bytes; {said}]", gone.shown_name());
    gone.with_text(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, size: u64) -> KnownFile {
        KnownFile {
            file_id: None,
            name: name.to_owned(),
            media_type: "text/plain".to_owned(),
            size,
            sha256: name.to_owned(),
        }
    }

    #[test]
    fn the_files_of_a_message_are_shown_within_the_limits() {
        let limits = Files { max_attachments: 2, max_bytes: 10, history: 0 };
        let sizes = [11, 4, u64::MAX, 6, 0];
        let files: Vec<_> = sizes.into_iter().map(|size| file("a", size)).collect();
        assert_eq!(shown(&limits, &files), [false, true, false, true, false]);
    }

    #[test]
    fn a_name_ends_no_line_and_is_not_long() {
        let media = stand_in(&file(&format!("a]\u{202e}\n{}", "x".repeat(200)), 1), "gone");
        let line = media.text().unwrap();
        assert!(line.starts_with("[file a___xxx") && line.ends_with(", 1 bytes; gone]"), "{line}");
        assert!(line.chars().count() < 130, "{line}");
    }
}
