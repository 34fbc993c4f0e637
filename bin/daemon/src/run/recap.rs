//! What the steps of a journal come to: what was said, which tools were called, what it cost.

use daemon_api::{RefusedMention, Step};
use llm::event::{Completion, FinishReason};
use mc_client::runs::RunStep;
use mc_client::steps::ToolStep;
use serde::Deserialize as _;
use serde_json::json;

use super::meter::{Meter, Tally};

/// See the module.
#[derive(Debug)]
pub struct Recap {
    /// The answers of the model that were of use.
    pub turns: Vec<Completion>,
    /// The tools that were called, in order.
    pub steps: Vec<Step>,
    /// What all answers used, also those of no use.
    pub tally: Tally,
    /// The roles that tools mentioned and that were not notified.
    pub mentions_refused: Vec<RefusedMention>,
}

impl Recap {
    /// Reads steps; what cannot be read is passed over.
    pub fn of(steps: &[RunStep]) -> Self {
        let meter = Meter::default();
        let mut recap = Self {
            turns: Vec::new(),
            steps: Vec::new(),
            tally: meter.read(),
            mentions_refused: Vec::new(),
        };
        for step in steps {
            match step.kind.as_str() {
                "llm" | "llm_rejected" => {
                    let Ok(turn) = Completion::deserialize(&step.payload["completion"]) else {
                        continue;
                    };
                    meter.call_finished(&turn);
                    if step.kind == "llm" {
                        recap.turns.push(turn);
                    }
                }
                "tool" => {
                    let mut told = step.payload.clone();
                    told["kind"] = json!("tool");
                    recap.steps.extend(Step::deserialize(&told).ok());
                    let step = ToolStep::deserialize(&step.payload).ok();
                    let refused = step.into_iter().flat_map(|step| step.mentions_refused);
                    recap.mentions_refused.extend(
                        refused.map(|refused| RefusedMention {
                            role: refused.role,
                            code: refused.code,
                        }),
                    );
                }
                _ => {}
            }
        }
        recap.tally = meter.read();
        recap
    }

    /// The text that the run ended with; one that was cut off is continued by the last answer.
    pub fn text(&self) -> String {
        let (last, before) = match self.turns.as_slice() {
            [.., before, last] => (Some(last), Some(before)),
            [last] => (Some(last), None),
            [] => (None, None),
        };
        let beginning = before.filter(|turn| {
            turn.finish_reason == FinishReason::Length && turn.message.tool_calls.is_empty()
        });
        beginning.into_iter().chain(last).map(|turn| turn.message.text.as_str()).collect()
    }
}
