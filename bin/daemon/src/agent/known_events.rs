//! What earlier instances have told of a run.

use mc_client::client::AgentClient;

use super::journal::Journal;
use super::take_up::Life;
use crate::run::error::RunError;
use crate::run::recording::Known;
use crate::run::script::{last_event, last_event_of_turns};
use crate::run::told::Told;

/// How many events are read at once.
const PAGE: u32 = 1_000;

impl Life<'_> {
    /// What readers have been told that the journal does not hold.
    pub(super) async fn known(
        &self,
        client: &AgentClient,
        journal: &Journal,
    ) -> Result<Known, RunError> {
        let steps = journal.steps();
        // A rejected answer may have been taken back by now.
        let rejected = steps.iter().rposition(|step| step.kind == "llm_rejected");
        let settled = match rejected {
            Some(at) if steps[at..].iter().all(|step| step.kind == "llm_rejected") => &steps[..at],
            _ => &steps[..],
        };
        let tools_after = last_event_of_turns(&steps);
        let mut after = last_event(settled).min(tools_after);
        let (mut events, mut is_unsure) = (Vec::new(), false);
        loop {
            let page = client.deltas(self.key.as_str(), after, Some(PAGE)).await;
            let page = match page {
                Ok(page) => page,
                Err(error) if error.is_stale_fence() => return Err(RunError::backend(&error)),
                Err(error) => {
                    tracing::warn!(%error, "what the run has told is not known");
                    // Nobody can have told anything before the thread was read.
                    is_unsure = steps.len() > 1;
                    break;
                }
            };
            let Some(last) = page.events.iter().filter_map(|event| event.id).max() else { break };
            events.extend(page.events.iter().filter_map(Told::of_kept));
            if last <= after || last >= page.last_seq {
                break;
            }
            after = last;
        }
        let journaled: Vec<u32> =
            steps.iter().filter(|step| step.kind == "llm").map(|step| step.index).collect();
        events.retain(|told| told.turn().is_none_or(|turn| !journaled.contains(&turn)));
        Ok(Known { is_unsure, ..Known::of(events, tools_after) })
    }
}
