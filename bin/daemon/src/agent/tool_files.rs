//! Files in tools' results: stored in the backend, so that any instance can go on, and given to the model
//! beside the text of the result.

use bytes::Bytes;
use llm::Media;
use mc_client::error::McError;
use mc_client::files::sha256_hex;
use mc_client::steps::KnownFile;

use super::context::RunContext;
use super::journal::ToolStep;
use crate::run::attachments::{known, used};
use crate::run::error::RunError;
use crate::run::state_machine::ToolResult;
use crate::tools::ToolFile;

/// What is said of a file that is one too many.
const TOO_MANY: &str = "the tools of this run have given more files than can be shown";

impl RunContext<'_> {
    /// Keeps the files of a result. One that the backend does not take serves this attempt only.
    pub(super) async fn keep_files(&self, files: &[ToolFile]) -> Vec<KnownFile> {
        let mut kept = Vec::with_capacity(files.len());
        for file in files {
            let ToolFile { name, media_type, bytes } = file;
            let sha256 = sha256_hex(bytes);
            let own = KnownFile {
                file_id: None,
                name: name.clone(),
                media_type: media_type.clone(),
                size: bytes.len() as u64,
                sha256: sha256.clone(),
            };
            let stored = if self.capabilities.has("files") {
                self.client.put_file(name, media_type, bytes.clone()).await.map(Some)
            } else {
                Ok(None)
            };
            kept.push(match stored {
                Ok(Some(stored)) => KnownFile { file_id: known(&stored).file_id, ..own },
                Ok(None) => own,
                Err(error) => {
                    tracing::warn!(%error, "a file of a tool's result was not stored");
                    own
                }
            });
            self.files.inner().bytes.insert(sha256, bytes.clone());
        }
        kept
    }

    /// The results of a turn's calls, with their files.
    pub(super) async fn results(&self, steps: Vec<ToolStep>) -> Result<Vec<ToolResult>, RunError> {
        let mut results = Vec::with_capacity(steps.len());
        for mut step in steps {
            self.note_saved(&step);
            self.redact_again(&mut step.content);
            let media = self.result_media(&step).await?;
            results.push(ToolResult { content: step.content, media });
        }
        Ok(results)
    }

    /// Notes the file that a call has made.
    fn note_saved(&self, step: &ToolStep) {
        let Some(file) = &step.saved else { return };
        let (own, asked) = (&step.arguments["content"], &step.arguments["arguments"]["content"]);
        let content = own.as_str().or(asked.as_str()).unwrap_or_default();
        let saved = &mut self.files.inner().saved;
        if !saved.iter().any(|(known, _)| known.file_id == file.file_id) {
            saved.push((file.clone(), Bytes::copy_from_slice(content.as_bytes())));
        }
    }

    /// Stores the files that the agent has made once more: the backend keeps those that no message has for
    /// a day only, and a person may take longer to decide.
    pub(super) async fn save_again(&self) -> Result<(), McError> {
        let all = self.files.inner().saved.clone();
        for (at, (file, content)) in all.into_iter().enumerate() {
            let stored = self.client.put_file(&file.name, &file.media_type, content).await?;
            if let Some((file, _)) = self.files.inner().saved.get_mut(at) {
                file.file_id = Some(stored.file_id);
            }
        }
        Ok(())
    }

    /// The files of a result as the model gets them.
    async fn result_media(&self, step: &ToolStep) -> Result<Vec<Media>, RunError> {
        let most = self.run.app.settings.files.max_bytes;
        let mut media = Vec::with_capacity(step.files.len());
        for file in &step.files {
            let file = &*self.named(file);
            let size = usize::try_from(file.size).unwrap_or(usize::MAX);
            let is_too_much = {
                let mut inner = self.files.inner();
                inner.of_tools = inner.of_tools.saturating_add(size);
                inner.of_tools > most
            };
            media.push(if is_too_much {
                self.files.inner().bytes.remove(&file.sha256);
                self.withheld(file, used::NAMED, TOO_MANY)
            } else {
                self.media(file, self.run.app.settings.tool_result_max_chars).await?
            });
        }
        Ok(media)
    }
}
