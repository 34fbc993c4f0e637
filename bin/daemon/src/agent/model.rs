//! One turn of the model: what it may cost, the call itself, live text.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt as _;
use llm::CallContext;
use llm::event::{Completion, StreamEvent, Usage};
use llm::model::ModelRef;
use llm::request::{LlmRequest, Message, ToolChoice, ToolSpec};
use wombat_core::workspace::estimate_tokens;

use super::answer::{RunError, RunErrorKind};
use super::events::{EventSink, RunEvent};
use super::meter::Meter;
use super::request::RunLimits;
use crate::state::App;

/// What stays the same over the turns of a run.
pub(super) struct Asker<'a> {
    pub(super) app: &'a App,
    pub(super) model: &'a ModelRef,
    pub(super) tools: &'a Arc<[ToolSpec]>,
    pub(super) limits: RunLimits,
    pub(super) call: CallContext,
    pub(super) meter: &'a Meter,
    pub(super) sink: &'a EventSink,
}

impl Asker<'_> {
    /// Asks the model once more, if the money allows it.
    pub(super) async fn ask(
        &self,
        messages: &[Message],
        tool_choice: ToolChoice,
    ) -> Result<Completion, RunError> {
        let estimate = estimate(messages, self.tools);
        self.check_cost(estimate)?;
        let request = LlmRequest {
            model: self.model.clone(),
            messages: messages.to_vec(),
            tools: self.tools.clone(),
            tool_choice,
            max_output_tokens: self.limits.max_output_tokens,
            temperature: None,
            response_schema: None,
        };
        self.meter.call_begins(estimate);
        let begun = Instant::now();
        let result = if self.sink.is_live() {
            self.stream(request).await
        } else {
            self.app.llm.complete(&request, &self.call).await
        };
        self.app.metrics.model(self.model, result.as_ref().ok(), begun.elapsed());
        match result {
            Ok(completion) => {
                self.meter.call_ends(&completion);
                self.app.book.add(&completion);
                Ok(completion)
            }
            Err(error) => {
                self.meter.call_failed();
                Err(RunError::llm(error))
            }
        }
    }

    async fn stream(&self, request: LlmRequest) -> Result<Completion, llm::error::LlmError> {
        let mut events = Box::pin(self.app.llm.stream(request, self.call.clone()));
        while let Some(event) = events.next().await {
            match event? {
                StreamEvent::Text(data) => self.sink.tell(|| RunEvent::Chunk { data }).await,
                StreamEvent::Done(completion) => return Ok(*completion),
            }
        }
        Err(llm::error::LlmError {
            kind: llm::error::LlmErrorKind::BadAnswer,
            message: "the model's answer broke off".to_owned(),
            cause: "the stream ended without its last event".to_owned(),
            provider: self.model.provider,
            status: None,
            retry_after: None,
        })
    }

    /// Refuses a call whose prompt alone would pass `limits.max_cost_usd`.
    fn check_cost(&self, estimated_prompt_tokens: u64) -> Result<(), RunError> {
        let Some(limit) = self.limits.max_cost_usd else { return Ok(()) };
        let tokens = Usage {
            prompt_tokens: estimated_prompt_tokens,
            total_tokens: estimated_prompt_tokens,
            ..Usage::default()
        };
        let next = llm::cost(&self.model.name, self.model.provider, &tokens);
        let (Some(next), Some(spent)) = (next, self.meter.read().cost) else {
            return Err(RunError::new(RunErrorKind::PriceUnknown(self.model.name.clone())));
        };
        if spent.total_cost + next.total_cost <= limit && (limit > 0.0 || next.total_cost == 0.0) {
            return Ok(());
        }
        let why = format!(
            "limits.max_cost_usd is {limit}; the run has used {:.6} and its next model call would \
             cost at least {:.6} more",
            spent.total_cost, next.total_cost
        );
        Err(RunError::new(RunErrorKind::BudgetExceeded(why)))
    }
}

/// About how many tokens a prompt has.
pub(crate) fn estimate(messages: &[Message], tools: &[ToolSpec]) -> u64 {
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
    let tools: usize = tools
        .iter()
        .map(|tool| {
            estimate_tokens(&tool.description) + estimate_tokens(&tool.parameters.to_string())
        })
        .sum();
    (messages.iter().map(of_message).sum::<usize>() + tools) as u64
}
