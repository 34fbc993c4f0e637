//! The tools that a run's model has been given since the run began. The steps of the journal name them, so that a
//! resumed run gives its model the same, in the same order.

use llm::request::ToolList;

use super::context::RunContext;
use super::journal::ToolStep;

impl RunContext<'_> {
    /// The model's tools after the calls of a turn, where these have given it more. Those that it has had stay where
    /// they are, so that the beginning of its prompts stays the same.
    pub(super) fn load(&self, loaded: &mut Vec<String>, steps: &[ToolStep]) -> Option<ToolList> {
        self.kept.note(steps);
        let before = loaded.len();
        for name in steps.iter().flat_map(|step| &step.loaded) {
            if !loaded.contains(name) {
                loaded.push(name.clone());
            }
        }
        (loaded.len() > before).then(|| self.tools.with_loaded(loaded))
    }
}
