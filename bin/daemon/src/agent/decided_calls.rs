//! Calls on which a person has decided, or a standing rule: made once all of their turn are decided.

use futures::StreamExt as _;
use futures::stream;
use serde_json::{Map, Value};

use super::approval::Decision;
use super::attempts::{Attempt, Attempts, text_of};
use super::context::RunContext;
use super::journal::{CallingStep, ToolStep};
use super::tool_calls::{Called, Finished, PARALLEL_CALLS};
use crate::run::error::RunError;

/// What is said where a person has given a call arguments of a call with an unknown outcome once more.
const ASKED_TWICE: &str = "it was approved with the arguments of another call of which nobody knows whether it took \
                           effect; it was not done";

/// What came of calls that were decided.
#[derive(Default)]
pub(super) struct Carried {
    /// The results, with their places.
    pub(super) steps: Vec<(u32, ToolStep)>,
    /// What runs below this one wait for.
    pub(super) below: Vec<daemon_api::ToolRequest>,
}

impl RunContext<'_> {
    /// A person's decision on a call, who is asked once more where the arguments that they gave it make it one that
    /// may have taken effect already.
    pub(super) async fn informed_decision(
        &self,
        attempt: &Attempt<'_>,
        by_rule: bool,
        reason: &str,
        earlier: &Attempts,
    ) -> Result<Decision, RunError> {
        let first = self.decision(attempt, by_rule, reason).await?;
        let Decision::Approved(_, Some(arguments)) = &first else { return Ok(first) };
        let tools = (&*self.tools, &self.profile);
        let edit = |arguments: &Map<String, Value>| {
            attempt.edited(arguments.clone(), |_| 0, self.run.run_key, tools, earlier)
        };
        let edited = edit(arguments);
        if !edited.has_new_doubt(attempt) {
            return Ok(first);
        }
        Ok(match self.decision(&edited, by_rule, reason).await? {
            Decision::Approved(word, None) => Decision::Approved(word, Some(arguments.clone())),
            Decision::Approved(word, Some(other)) if edit(&other).has_new_doubt(attempt) => {
                Decision::Denied(word, ASKED_TWICE.to_owned())
            }
            decision => decision,
        })
    }

    /// Calls as they are to be made: with the arguments that a person gave them, if one did. `turn` are all
    /// calls of the turn, `done` those that have a result.
    pub(super) fn as_decided<'a>(
        &self,
        decided: Vec<(&Attempt<'a>, Decision)>,
        (turn, done): (&[Attempt<'a>], &[(u32, ToolStep)]),
        earlier: &Attempts,
    ) -> Vec<(Attempt<'a>, Decision)> {
        // Which of the run's equal calls one is must not depend on which of them are done.
        let mut edited: Vec<_> = done
            .iter()
            .filter(|(_, step)| step.requested_arguments.is_some())
            .map(|(at, step)| (*at, text_of(&step.name, &step.arguments)))
            .collect();
        let mut as_decided = Vec::with_capacity(decided.len());
        for (attempt, decision) in decided {
            let Decision::Approved(_, Some(arguments)) = &decision else {
                as_decided.push((attempt.clone(), decision));
                continue;
            };
            let nth = |text: String| {
                let is_equal = |other: &&Attempt<'_>| {
                    let call = &other.planned.call;
                    text_of(&call.name, &call.arguments) == text
                };
                let asked_for = turn.iter().filter(is_equal).count();
                let before = edited.iter().filter(|(at, one)| *at < attempt.at && *one == text);
                let here = u32::try_from(asked_for + before.count() + 1).unwrap_or(u32::MAX);
                edited.push((attempt.at, text.clone()));
                earlier.before(&text).saturating_add(here)
            };
            let tools = (&*self.tools, &self.profile);
            let attempt = attempt.edited(arguments.clone(), nth, self.run.run_key, tools, earlier);
            as_decided.push((attempt, decision));
        }
        as_decided
    }

    /// Makes the calls of a turn, which begins at this place, that are decided. `places` counts its steps.
    pub(super) async fn carry_out(
        &self,
        decided: Vec<(Attempt<'_>, Decision)>,
        (at, places): (u32, &mut u32),
        finished: &Finished,
    ) -> Result<Carried, RunError> {
        *places += self.announce(&decided, at.saturating_add(*places)).await?;
        self.handed_on.set_place(at.saturating_add(*places));
        let calls: Vec<_> = decided
            .into_iter()
            .map(|(attempt, decision)| async move {
                (attempt.at, self.call_at(&attempt, Some(decision), finished).await)
            })
            .collect();
        let calls: Vec<_> = stream::iter(calls).buffered(PARALLEL_CALLS).collect().await;
        *places = self.handed_on.place().saturating_sub(at);
        let mut carried = Carried::default();
        for (at, called) in calls {
            match called? {
                Called::Done(step) => carried.steps.push((at, *step)),
                Called::Below(requests) => carried.below.extend(requests),
                Called::Waits(_) => {}
            }
        }
        Ok(carried)
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
            CallingStep { calls, run_id: self.run.handle.run_id.clone(), ..CallingStep::default() };
        self.journal.put_calling(at, &step).await?;
        Ok(1)
    }
}
