//! The files of a run: those that come with its message (`file_resolve`), those of the thread (`file_history`)
//! and those of tools' results (`tool_files`). The journal holds their hashes; their bytes are fetched from the
//! backend when a model is to get them (`file_load`), by whichever instance. What became of each is told in the
//! answer (`file_report`).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mc_client::steps::KnownFile;

use crate::run::attachments::used;

/// What a run knows of its files.
#[derive(Default)]
pub(super) struct RunFiles(Mutex<Inner>);

#[derive(Default)]
pub(super) struct Inner {
    /// The files that came with the message.
    pub(super) attachments: Vec<KnownFile>,
    /// The bytes that are here, by hash.
    pub(super) bytes: HashMap<String, Bytes>,
    /// What no model gets although it would read it, and why, by hash.
    pub(super) withheld: BTreeMap<String, &'static str>,
    /// How models got files, by hash.
    pub(super) uses: BTreeMap<String, String>,
    /// The files that the agent has made, with their content.
    pub(super) saved: Vec<(KnownFile, Bytes)>,
    /// The bytes of tools' files that models got.
    pub(super) of_tools: usize,
}

impl RunFiles {
    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which files came with the message.
    pub(super) fn set_attachments(&self, files: Vec<KnownFile>) {
        self.inner().attachments = files;
    }

    /// The files that the agent has made.
    pub(super) fn saved(&self) -> Vec<KnownFile> {
        self.inner().saved.iter().map(|(file, _)| file.clone()).collect()
    }

    /// Notes how a turn of the model got files.
    pub(super) fn note(&self, uses: &BTreeMap<String, String>) {
        let mut inner = self.inner();
        for (hash, used) in uses {
            add_use(&mut inner.uses, hash, used);
        }
    }
}

/// Notes a use, unless a better one is known. That a file is gone by now is told whatever was before.
pub(super) fn add_use(uses: &mut BTreeMap<String, String>, hash: &str, used: &str) {
    let is_better = |known: &String| used::rank(known) < used::rank(used);
    if used == used::GONE || uses.get(hash).is_none_or(is_better) {
        uses.insert(hash.to_owned(), used.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_use_counts_unless_the_file_is_gone_by_now() {
        let mut uses = BTreeMap::new();
        let mut after = |used: &str| {
            add_use(&mut uses, "h", used);
            uses["h"].clone()
        };
        let told: Vec<_> = ["named", "image", "named", "gone", "text"].map(&mut after).into();
        assert_eq!(told, ["named", "image", "image", "gone", "text"]);
    }
}
