//! What became of a run's files, for its answer.

use std::collections::BTreeMap;

use daemon_api::{AttachmentReport, FileReport};
use llm::event::Completion;
use llm::model::ModelRef;
use llm::request::Message;
use llm::{Media, MediaKind, MediaSupport, MediaUse, Shown};
use mc_client::runs::RunStep;
use mc_client::steps::{KnownFile, LLM, LLM_REJECTED, REQUEST, THREAD, TOOL};
use serde::Deserialize;

use super::context::RunContext;
use super::files::add_use;
use super::model::models;
use crate::run::attachments::{report, saved, used};

impl RunContext<'_> {
    /// How a model that has answered got the files in its prompt, by their hashes.
    pub(super) fn uses(
        &self,
        shown: &Shown,
        completion: &Completion,
        messages: &[Message],
    ) -> BTreeMap<String, String> {
        let mut uses = BTreeMap::new();
        let media = messages.iter().flat_map(Message::media);
        if media.clone().next().is_none() {
            return uses;
        }
        let shown = shown.by_hash();
        let planned = shown.is_empty().then(|| self.support_of(completion).uses_in(messages));
        let withheld = self.files.inner().withheld.clone();
        for (at, item) in media.enumerate() {
            let hash = item.sha256();
            let planned = planned.as_ref().and_then(|uses| uses.get(at));
            if let Some(of_item) = planned.or_else(|| shown.get(hash)) {
                add_use(&mut uses, hash, used_as(of_item, withheld.get(hash).copied()));
            }
        }
        uses
    }

    /// What the model that has answered reads: by the name that it was asked under, where that is known.
    fn support_of(&self, completion: &Completion) -> MediaSupport {
        let llm = &self.run.app.llm;
        let answered = ModelRef::new(completion.provider, &completion.model);
        let asked = models(llm, &self.model, self.run.request.customer.falls_back());
        let asked = asked.iter().map(|(model, _)| *model);
        let same = asked.clone().find(|model| **model == answered);
        let of_provider = || asked.clone().find(|model| model.provider == answered.provider);
        llm.media_support(same.or_else(of_provider).unwrap_or(&answered))
    }

    /// The files that came with the message, and how the model got them.
    pub(super) fn attachments(&self) -> Vec<AttachmentReport> {
        let inner = self.files.inner();
        let reports = inner.attachments.iter().map(|file| {
            let used = inner.uses.get(&file.sha256).map(String::as_str);
            let withheld = || inner.withheld.get(&file.sha256).copied();
            report(file, used.or_else(withheld).unwrap_or_else(|| self.planned(file)))
        });
        reports.collect()
    }

    /// How the run's model would get a file, where no model has answered.
    fn planned(&self, file: &KnownFile) -> &'static str {
        let attached = self.run.request.attachments.iter();
        let bytes = attached.filter(|attached| attached.file.sha256 == file.sha256);
        let bytes = bytes.filter_map(|attached| attached.bytes.clone()).next();
        if media_type::is_text(&file.media_type) {
            return used::TEXT;
        }
        let support = self.run.app.llm.media_support(&self.model);
        let media = match bytes {
            Some(bytes) => Media::new(file.name.clone(), file.media_type.clone(), bytes),
            None => return used::NAMED,
        };
        used_as(&support.use_of(&media), None)
    }

    /// The attachments of a run that an earlier attempt has ended.
    pub(super) fn earlier_attachments(&self) -> Vec<AttachmentReport> {
        let steps = self.journal.steps();
        let reports = attachments_of(&steps);
        if !reports.is_empty() || !steps.is_empty() {
            return reports;
        }
        // Without a journal, an equal request brings equal files.
        let files = self.run.request.attachments.iter().map(|attached| attached.file.clone());
        self.files.set_attachments(files.collect());
        self.attachments()
    }
}

/// A use in the word of the answer.
fn used_as(of_item: &MediaUse, withheld: Option<&'static str>) -> &'static str {
    match of_item {
        MediaUse::Sent(MediaKind::Image) | MediaUse::Repeated(MediaKind::Image) => used::IMAGE,
        MediaUse::Sent(MediaKind::Document) | MediaUse::Repeated(MediaKind::Document) => {
            used::DOCUMENT
        }
        MediaUse::Text => withheld.unwrap_or(used::TEXT),
        MediaUse::Named(_) => withheld.unwrap_or(used::NAMED),
    }
}

/// The files that came with the message of a run, by its journal, and how models got them.
pub(crate) fn attachments_of(steps: &[RunStep]) -> Vec<AttachmentReport> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Brings {
        attachments: Vec<KnownFile>,
    }
    let mut attachments = Vec::new();
    let mut uses = BTreeMap::new();
    for step in steps {
        match step.kind.as_str() {
            REQUEST | THREAD => {
                let brings = Brings::deserialize(&step.payload).unwrap_or_default();
                attachments.extend(brings.attachments);
            }
            LLM | LLM_REJECTED => {
                let files = step.payload.get("files").and_then(serde_json::Value::as_object);
                for (hash, used) in files.into_iter().flatten() {
                    add_use(&mut uses, hash, used.as_str().unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    let used = |file: &KnownFile| uses.get(&file.sha256).map_or(used::NAMED, String::as_str);
    attachments.iter().map(|file| report(file, used(file))).collect()
}

/// The files that a run has made, by its journal.
pub(crate) fn saved_of(steps: &[RunStep]) -> Vec<FileReport> {
    let saved_by = |step: &RunStep| {
        let file = KnownFile::deserialize(step.payload.get("saved")?).ok()?;
        saved(&file)
    };
    let mut files: Vec<FileReport> = Vec::new();
    for file in steps.iter().filter(|step| step.kind == TOOL).filter_map(saved_by) {
        if !files.iter().any(|known| known.file_id == file.file_id) {
            files.push(file);
        }
    }
    files
}
