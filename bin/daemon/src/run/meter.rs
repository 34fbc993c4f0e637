//! What a run has used so far: tokens and price, readable from outside while the run goes on.

use std::sync::{Arc, Mutex, PoisonError};

use llm::event::{Completion, Usage};
use llm::model::ModelRef;
use llm::request::{AssistantMessage, Message, ToolList, ToolSpec};
use llm::{Attempt, Cost, Received};
use wombat_core::workspace::estimate_tokens;

/// The running total of one run, and of the runs below it.
#[derive(Debug, Default)]
pub struct Meter {
    own: Mutex<Tally>,
    below: Mutex<Vec<Arc<Meter>>>,
}

/// A reading of the meter.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Tokens of the finished calls.
    pub usage: Usage,
    /// Their price.
    pub cost: Cost,
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

/// What an attempt without a complete answer has used, by estimate: its prompt, and what had come of
/// the answer.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// The model that was asked: the fallback, when that was.
    pub model: ModelRef,
    /// The tokens.
    pub usage: Usage,
}

impl Estimate {
    /// What that costs.
    pub fn cost(&self) -> Cost {
        llm::cost_or_unknown(&self.model.name, self.model.provider, &self.usage)
    }
}

impl InFlight {
    /// The attempts that broke off and were made again.
    pub fn broken(&self) -> Vec<Estimate> {
        self.received.broken().into_iter().map(|attempt| self.estimate(attempt)).collect()
    }

    /// What the call has used so far: all attempts that a provider may charge for.
    pub fn used(&self) -> Vec<Estimate> {
        let mut used = self.broken();
        used.extend(self.received.in_flight().map(|attempt| self.estimate(attempt)));
        used
    }

    fn estimate(&self, attempt: Attempt) -> Estimate {
        let usage = Usage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: attempt.tokens,
            total_tokens: self.prompt_tokens + attempt.tokens,
            estimated: true,
            ..Usage::default()
        };
        Estimate { model: attempt.model, usage }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { usage: Usage::default(), cost: Cost::nothing(), in_flight: None }
    }
}

impl Tally {
    /// The call in flight becomes part of the total.
    fn with_estimate(mut self) -> Self {
        if let Some(call) = self.in_flight.take() {
            call.used().iter().for_each(|estimate| self.add_estimate(estimate));
        }
        self
    }

    fn add_estimate(&mut self, estimate: &Estimate) {
        self.add(estimate.usage, &estimate.cost());
    }

    fn add(&mut self, usage: Usage, price: &Cost) {
        self.usage += usage;
        self.cost = std::mem::replace(&mut self.cost, Cost::nothing()).plus(price);
    }
}

impl Meter {
    /// A model call starts.
    pub fn call_started(&self, call: InFlight) {
        self.write(|tally| tally.in_flight = Some(call));
    }

    /// The call failed or was given up: what it has used so far is charged, by estimate.
    pub fn call_failed(&self) {
        self.write(|tally| *tally = std::mem::take(tally).with_estimate());
    }

    /// The call was answered. Attempts that had broken off before are charged, too, by estimate.
    pub fn call_finished(&self, completion: &Completion) {
        let (model, usage) = (&completion.model, &completion.usage);
        let price = llm::cost_or_unknown(model, completion.provider, usage);
        self.write(|tally| {
            let broken = tally.in_flight.take().map(|call| call.broken()).unwrap_or_default();
            broken.iter().for_each(|estimate| tally.add_estimate(estimate));
            tally.add(completion.usage, &price);
        });
    }

    /// What a run below this one uses is a part of the total.
    pub fn adopt(&self, below: Arc<Self>) {
        self.below.lock().unwrap_or_else(PoisonError::into_inner).push(below);
    }

    /// A run below this one had used this when an earlier attempt ended it.
    pub fn add(&self, usage: Usage, price: &Cost) {
        self.write(|tally| tally.add(usage, price));
    }

    /// The total of the finished calls, and this run's own call in flight.
    pub fn read(&self) -> Tally {
        self.total(Self::read)
    }

    /// The total including the estimate of the calls in flight: what a cancelled run is charged.
    pub fn read_with_estimate(&self) -> Tally {
        self.total(Self::read_with_estimate).with_estimate()
    }

    fn total(&self, read: impl Fn(&Self) -> Tally) -> Tally {
        let mut total = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let below = self.below.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for tally in below.iter().map(|meter| read(meter)) {
            let model = std::mem::take(&mut total.cost.model);
            total.add(tally.usage, &tally.cost);
            // The model of a total is the run's own.
            if !model.is_empty() {
                total.cost.model = model;
            }
        }
        total
    }

    fn write(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.own.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// About how many tokens a prompt has: messages and tool definitions.
pub fn estimate(messages: &[Message], tools: &ToolList) -> u64 {
    messages.iter().map(estimate_message).sum::<u64>() + estimate_tools(tools)
}

/// About how many tokens a message has.
pub fn estimate_message(message: &Message) -> u64 {
    match message {
        Message::System { content }
        | Message::User { content, .. }
        | Message::Tool { content, .. } => estimate_tokens(content) as u64,
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
