//! Calls on which a person has decided, or a standing rule: made once all of their turn are decided.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::stream;

use super::approval::Decision;
use super::attempts::{Attempt, Attempts};
use super::context::RunContext;
use super::journal::{CallingStep, ToolStep};
use super::tool_calls::{Called, Finished, PARALLEL_CALLS};
use crate::run::error::RunError;

impl RunContext<'_> {
    /// A call as it is to be made: with the arguments that a person gave it, if one did.
    pub(super) fn as_decided<'a>(
        &self,
        attempt: &Attempt<'a>,
        decision: &Decision,
        earlier: &Attempts,
    ) -> Attempt<'a> {
        match decision {
            Decision::Approved(word, Some(arguments)) => attempt.edited(
                arguments.clone(),
                word.request_id.as_deref().unwrap_or_default(),
                self.run.run_key,
                (&*self.tools, &self.profile),
                earlier,
            ),
            _ => attempt.clone(),
        }
    }

    /// Makes the calls of a turn, which begins at this place, that are decided. `places` counts its steps.
    pub(super) async fn carry_out(
        &self,
        decided: Vec<(Attempt<'_>, Decision)>,
        (at, places): (u32, &mut u32),
        finished: &Finished,
    ) -> Result<Vec<(u32, ToolStep)>, RunError> {
        *places += self.announce(&decided, at.saturating_add(*places)).await?;
        let calls: Vec<_> = decided
            .into_iter()
            .map(|(attempt, decision)| async move {
                (attempt.at, self.call_at(&attempt, Some(decision), finished).await)
            })
            .collect();
        let calls: Vec<_> = stream::iter(calls).buffered(PARALLEL_CALLS).collect().await;
        let mut steps = Vec::with_capacity(calls.len());
        for (at, called) in calls {
            if let Called::Done(step) = called? {
                steps.push((at, *step));
            }
        }
        Ok(steps)
    }

    /// Writes down which approved calls are about to be made, where their servers may not recognise a
    /// repetition. Returns how many steps that took.
    async fn announce(
        &self,
        decided: &[(Attempt<'_>, Decision)],
        at: u32,
    ) -> Result<u32, RunError> {
        let is_made = |(attempt, decision): &&(Attempt<'_>, Decision)| {
            attempt.is_announced() && matches!(decision, Decision::Approved(..))
        };
        let calls: Vec<_> = decided.iter().filter(is_made).map(|(attempt, _)| attempt.at).collect();
        if calls.is_empty() {
            return Ok(0);
        }
        let step =
            CallingStep { calls, run_id: self.run.handle.run_id.clone(), rules: BTreeMap::new() };
        self.journal.put_calling(at, &step).await?;
        Ok(1)
    }
}
