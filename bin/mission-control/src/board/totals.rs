//! Time, tokens and costs of a run, added up from its journal.

use serde_json::Value;

use crate::store::board::StepRow;

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
            let payload = &step.payload;
            let number = |value: &Value| value.as_u64().unwrap_or_default();
            sum.millis = sum.millis.saturating_add(number(&payload["duration_ms"]));
            match step.kind.as_str() {
                "llm" | "llm_rejected" => {
                    let usage = &payload["completion"]["usage"];
                    sum.turns += 1;
                    sum.prompt = sum.prompt.saturating_add(number(&usage["prompt_tokens"]));
                    sum.completion =
                        sum.completion.saturating_add(number(&usage["completion_tokens"]));
                    match cost(payload) {
                        Some(cost) => sum.cost += cost,
                        None => sum.unpriced += 1,
                    }
                }
                "tool" => {
                    sum.calls += 1;
                    sum.failed += u32::from(payload["ok"] == false);
                }
                _ => {}
            }
        }
        sum
    }
}

/// The cost of a turn of the model, in US dollars; `None` without a known price.
pub(super) fn cost(payload: &Value) -> Option<f64> {
    let cost = &payload["cost"];
    if cost["known"] == false {
        return None;
    }
    // The daemon's names, or those of another one.
    let part = |name: &str, other: &str| cost[name].as_f64().or_else(|| cost[other].as_f64());
    part("totalCost", "total_cost")
        .or_else(|| Some(part("inputCost", "input_cost")? + part("outputCost", "output_cost")?))
}
