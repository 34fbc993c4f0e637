//! What a run has used so far: tokens and price, readable from outside while the run goes on.

use std::sync::{Mutex, PoisonError};

use llm::Cost;
use llm::event::{Completion, Usage};
use llm::request::{Message, ToolList, ToolSpec};
use wombat_core::workspace::estimate_tokens;

/// The running total of one run.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Tally>);

/// A reading of the meter.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Tokens of the finished calls.
    pub usage: Usage,
    /// Their price; `None` when a call's model has no known price.
    pub cost: Option<Cost>,
    /// Estimated prompt tokens of a model call that is in flight.
    pub in_flight: Option<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { usage: Usage::default(), cost: Some(Cost::nothing()), in_flight: None }
    }
}

impl Meter {
    /// A model call starts; its prompt has about this many tokens.
    pub fn call_started(&self, estimated_prompt_tokens: u64) {
        self.write(|tally| tally.in_flight = Some(estimated_prompt_tokens));
    }

    /// The call failed before there was any answer, so that nothing is charged.
    pub fn call_failed(&self) {
        self.write(|tally| tally.in_flight = None);
    }

    /// The answer broke off in the middle; what the call used is an estimate.
    pub fn call_interrupted(&self, usage: Usage, price: Option<Cost>) {
        self.write(|tally| {
            tally.in_flight = None;
            tally.usage += usage;
            tally.cost = tally.cost.take().zip(price).map(|(total, price)| total.plus(&price));
        });
    }

    /// The call was answered.
    pub fn call_finished(&self, completion: &Completion) {
        let price = llm::cost(&completion.model, completion.provider, &completion.usage);
        self.write(|tally| {
            tally.in_flight = None;
            tally.usage += completion.usage;
            tally.cost = match (tally.cost.take(), price) {
                (Some(total), Some(price)) => Some(total.plus(&price)),
                (None, _) | (_, None) => None,
            };
        });
    }

    /// The total of the finished calls, and the call in flight.
    pub fn read(&self) -> Tally {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The total including the estimate of the call in flight: what a cancelled run is charged.
    pub fn total_with_estimate(&self) -> Usage {
        let tally = self.read();
        let estimate = tally.in_flight.unwrap_or_default();
        let mut usage = tally.usage;
        usage.prompt_tokens += estimate;
        usage.total_tokens += estimate;
        usage
    }

    fn write(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// About how many tokens a prompt has: messages and tool definitions.
pub fn estimate(messages: &[Message], tools: &ToolList) -> u64 {
    let of_message = |message: &Message| match message {
        Message::System { content } | Message::User { content } | Message::Tool { content, .. } => {
            estimate_tokens(content)
        }
        Message::Assistant(turn) => {
            let calls = turn.tool_calls.iter();
            estimate_tokens(&turn.text)
                + calls.map(|call| estimate_tokens(&call.arguments.to_string())).sum::<usize>()
        }
    };
    let of_tool = |tool: &ToolSpec| {
        estimate_tokens(&tool.description) + estimate_tokens(&tool.parameters.to_string())
    };
    let of_tools = tools.size(|tools| tools.iter().map(of_tool).sum::<usize>() as u64);
    messages.iter().map(of_message).sum::<usize>() as u64 + of_tools
}
