//! The tools that a run's model has been given since the run began. The steps of the journal name them, so that a
//! resumed run gives its model the same, in the same order.

use std::sync::{Mutex, MutexGuard, PoisonError};

use llm::request::ToolList;

use super::context::RunContext;
use super::journal::ToolStep;
use crate::tools::add_loaded;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct LoadedTools(Mutex<Vec<String>>);

impl LoadedTools {
    fn inner(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Their names, in order.
    pub(super) fn names(&self) -> Vec<String> {
        self.inner().clone()
    }
}

impl RunContext<'_> {
    /// The model's tools after the calls of a turn, where these have given it more. Those that it has had stay where
    /// they are, so that the beginning of its prompts stays the same.
    pub(super) fn load(&self, steps: &[ToolStep]) -> Option<ToolList> {
        self.kept.note(steps, |call| self.tools.only_reads(&self.profile, call));
        if steps.iter().all(|step| step.loaded.is_empty()) {
            return None;
        }
        let mut loaded = self.loaded.inner();
        let before = loaded.len();
        for name in steps.iter().flat_map(|step| &step.loaded) {
            add_loaded(&mut loaded, name);
        }
        (loaded.len() > before).then(|| self.tools.with_loaded(&loaded))
    }
}
