//! Time, tokens and costs of a run, added up from its journal.

use model_turn::Cost;

use crate::store::step_rows::{StepContent, StepRow};

/// The totals of a run.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// Turns of the model.
    pub(super) turns: u32,
    /// Tool calls.
    pub(super) calls: u32,
    /// Tool calls that failed.
    pub(super) failed: u32,
    /// Milliseconds.
    pub(super) millis: u64,
    /// Tokens read.
    pub(super) prompt: u64,
    /// Tokens written.
    pub(super) completion: u64,
    /// US dollars, of the turns with a known price.
    pub(super) cost: f64,
    /// Turns without a known price.
    pub(super) unpriced: u32,
}

impl Totals {
    /// Adds up the steps of a run.
    pub(super) fn of(steps: &[StepRow]) -> Self {
        let mut sum = Self::default();
        for step in steps {
            match &step.content {
                StepContent::Model(turn) => {
                    let usage = &turn.completion.usage;
                    sum.turns += 1;
                    sum.millis = sum.millis.saturating_add(turn.duration_ms);
                    sum.prompt = sum.prompt.saturating_add(usage.prompt_tokens);
                    sum.completion = sum.completion.saturating_add(usage.completion_tokens);
                    match usd(turn.cost.as_ref()) {
                        Some(cost) => sum.cost += cost,
                        None => sum.unpriced += 1,
                    }
                }
                StepContent::Tool(call) => {
                    sum.calls += 1;
                    sum.millis = sum.millis.saturating_add(call.duration_ms);
                    sum.failed += u32::from(!call.ok);
                }
                // An answer that cannot be read was paid for all the same.
                StepContent::Other if step.is_answer() => {
                    sum.turns += 1;
                    sum.unpriced += 1;
                }
                StepContent::Request(_) | StepContent::Other => {}
            }
        }
        sum
    }
}

/// The cost of a turn of the model, in US dollars; `None` without a known price.
pub(super) fn usd(cost: Option<&Cost>) -> Option<f64> {
    cost.filter(|cost| cost.known).map(|cost| cost.total_cost)
}
