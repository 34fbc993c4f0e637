//! What a run has used so far: tokens and price, readable from outside while the run goes on.

use std::sync::{Mutex, PoisonError};

use llm::Cost;
use llm::Received;
use llm::event::{Completion, Usage};
use llm::model::ModelRef;
use llm::request::{AssistantMessage, Message, ToolList, ToolSpec};
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
    /// The model call that is in flight.
    pub in_flight: Option<InFlight>,
}

/// A model call that has not ended.
#[derive(Debug, Clone)]
pub struct InFlight {
    /// The model that was asked.
    pub model: ModelRef,
    /// Estimated tokens of its prompt.
    pub prompt_tokens: u64,
    /// Counts what has come of its answer.
    pub received: Received,
}

impl InFlight {
    /// What the call has used so far, by estimate.
    pub fn usage(&self) -> Usage {
        let completion_tokens = self.received.tokens();
        Usage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens,
            total_tokens: self.prompt_tokens + completion_tokens,
            estimated: true,
            ..Usage::default()
        }
    }

    /// What that costs; `None` when the price is not known.
    pub fn cost(&self) -> Option<Cost> {
        llm::cost(&self.model.name, self.model.provider, &self.usage())
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { usage: Usage::default(), cost: Some(Cost::nothing()), in_flight: None }
    }
}

impl Tally {
    /// The call in flight becomes part of the total.
    fn with_estimate(mut self) -> Self {
        if let Some(call) = self.in_flight.take() {
            self.usage += call.usage();
            self.cost = self.cost.zip(call.cost()).map(|(total, price)| total.plus(&price));
        }
        self
    }
}

impl Meter {
    /// A model call starts.
    pub fn call_started(&self, call: InFlight) {
        self.write(|tally| tally.in_flight = Some(call));
    }

    /// The call failed before there was any answer, so that nothing is charged.
    pub fn call_failed(&self) {
        self.write(|tally| tally.in_flight = None);
    }

    /// The call was given up, or its answer broke off: what it has used so far is charged, by estimate.
    pub fn call_interrupted(&self) {
        self.write(|tally| *tally = std::mem::take(tally).with_estimate());
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
    pub fn read_with_estimate(&self) -> Tally {
        self.read().with_estimate()
    }

    fn write(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// About how many tokens a prompt has: messages and tool definitions.
pub fn estimate(messages: &[Message], tools: &ToolList) -> u64 {
    messages.iter().map(estimate_message).sum::<u64>() + estimate_tools(tools)
}

/// About how many tokens a message has.
pub fn estimate_message(message: &Message) -> u64 {
    match message {
        Message::System { content } | Message::User { content } | Message::Tool { content, .. } => {
            estimate_tokens(content) as u64
        }
        Message::Assistant(turn) => estimate_turn(turn),
    }
}

/// About how many tokens a turn of the model has: text, calls and thoughts.
pub fn estimate_turn(turn: &AssistantMessage) -> u64 {
    let calls = turn.tool_calls.iter();
    let calls = calls.map(|call| estimate_tokens(&call.arguments.to_string())).sum::<usize>();
    let thoughts =
        turn.thoughts.as_ref().map_or(0, |own| estimate_tokens(&own.content.to_string()));
    (estimate_tokens(&turn.text) + calls + thoughts) as u64
}

/// About how many tokens tool definitions have.
pub fn estimate_tools(tools: &ToolList) -> u64 {
    let of_tool = |tool: &ToolSpec| {
        estimate_tokens(&tool.description) + estimate_tokens(&tool.parameters.to_string())
    };
    tools.size(|tools| tools.iter().map(of_tool).sum::<usize>() as u64)
}

/// Adds estimates for what the provider did not report. A prompt is never empty, and neither is an
/// answer that says something.
pub fn complete_usage(usage: &mut Usage, prompt_tokens: u64, answer: &AssistantMessage) {
    if usage.prompt_tokens == 0 {
        usage.prompt_tokens = prompt_tokens;
        usage.estimated = true;
    }
    if usage.completion_tokens == 0 {
        usage.completion_tokens = estimate_turn(answer);
        usage.estimated |= usage.completion_tokens > 0;
    }
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens;
}
