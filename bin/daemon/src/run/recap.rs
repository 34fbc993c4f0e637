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
    /// What all answers used, also those of no use, and the runs that the run has handed on to.
    pub tally: Tally,
    /// The roles that tools mentioned and that were not notified.
    pub mentions_refused: Vec<RefusedMention>,
    /// The name of the workspace.
    pub workspace: Option<String>,
    /// The digest of the customer's profile; where it has changed since, the newest.
    pub profile_digest: Option<String>,
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
            workspace: None,
            profile_digest: None,
        };
        for step in steps {
            let named = |name: &str| step.payload[name].as_str().map(str::to_owned);
            match step.kind.as_str() {
                "request" => {
                    (recap.workspace, recap.profile_digest) =
                        (named("workspace"), named("profile_digest"));
                }
                "llm" | "llm_rejected" => {
                    recap.profile_digest = named("profile_digest").or(recap.profile_digest);
                    let Ok(mut turn) = Completion::deserialize(&step.payload["completion"]) else {
                        continue;
                    };
                    meter.call_finished(&turn);
                    if let Some(shown) = named("shown") {
                        turn.message.text = shown;
                    }
                    if step.kind == "llm" {
                        recap.turns.push(turn);
                    }
                }
                "tool" => {
                    let mut told = step.payload.clone();
                    told["kind"] = json!("tool");
                    recap.steps.extend(Step::deserialize(&told).ok());
                    let Ok(step) = ToolStep::deserialize(&step.payload) else { continue };
                    if let Some(child) = &step.child {
                        meter.add(child.usage, &child.cost);
                    }
                    let refused = step.mentions_refused.into_iter();
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

#[cfg(test)]
mod tests {
    use llm::Cost;
    use llm::event::Usage;
    use mc_client::steps::ChildReport;

    use super::*;

    #[test]
    fn what_was_handed_on_is_a_part_of_the_total() {
        let used = |total_tokens| Usage { total_tokens, ..Usage::default() };
        let child = |tokens| ChildReport {
            run_key: "k".to_owned(),
            role: "scout".to_owned(),
            usage: used(tokens),
            cost: Cost { total_cost: 0.5, ..Cost::nothing() },
        };
        let step = |index, child| RunStep {
            index,
            kind: "tool".to_owned(),
            payload: json!(ToolStep { child, ..ToolStep::default() }),
        };
        let steps = [step(1, Some(child(7))), step(2, None), step(3, Some(child(5)))];
        let tally = Recap::of(&steps).tally;
        assert_eq!((tally.usage.total_tokens, tally.cost.total_cost), (12, 1.0));
    }
}
