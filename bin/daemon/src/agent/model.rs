//! One model call of a run: cost limit and budget, the call itself, streamed text, usage.

use std::time::Instant;

use llm::event::{Completion, StreamEvent, Usage};
use llm::model::ModelRef;
use llm::request::{LlmRequest, Message, ToolChoice, ToolList};
use llm::{CallContext, Tally};
use serde_json::json;
use service::otel::{Side, Span};
use wombat_core::workspace::estimate_tokens;

use super::budget::{Budget, Reserved};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::{EventSink, RunEvent};
use crate::run::meter::{Meter, estimate};
use crate::run::request::RunLimits;
use crate::state::App;

/// Makes the model calls of a run; holds what they have in common.
pub(super) struct ModelCaller<'a> {
    pub(super) app: &'a App,
    pub(super) model: &'a ModelRef,
    pub(super) tools: &'a ToolList,
    pub(super) limits: RunLimits,
    /// What every call carries.
    pub(super) call_context: CallContext,
    pub(super) span: &'a Span,
    pub(super) meter: &'a Meter,
    pub(super) sink: &'a EventSink,
    pub(super) budget: Budget,
}

impl ModelCaller<'_> {
    /// Calls the model once, if cost limit and budget allow it. The caller settles the reservation.
    pub(super) async fn call(
        &self,
        messages: &[Message],
        tool_choice: ToolChoice,
    ) -> Result<(Completion, Reserved), CallError> {
        let estimate = estimate(messages, self.tools);
        let affordable = self.check_cost(estimate)?;
        let request = LlmRequest {
            model: self.model.clone(),
            messages: messages.to_vec(),
            tools: self.tools.clone(),
            tool_choice,
            max_output_tokens: [self.limits.max_output_tokens, affordable]
                .into_iter()
                .flatten()
                .min(),
            temperature: None,
            response_schema: None,
        };
        let limit = request.max_output_tokens;
        let reserved = self.budget.reserve(self.model, estimate, limit).await?;
        self.meter.call_started(estimate);
        let started = Instant::now();
        let mut said = String::new();
        let mut span = self.span.child(Side::Client, || format!("chat {}", self.model.name));
        self.describe_call(&mut span, &request);
        let tally = Tally::default();
        let call = CallContext {
            traceparent: Some(span.traceparent()),
            tally: tally.clone(),
            ..self.call_context.clone()
        };
        let result = if self.sink.is_enabled() {
            self.stream(request, call, &mut said).await
        } else {
            self.app.llm.complete(&request, &call).await
        };
        describe_answer(&mut span, &result);
        self.app.metrics.model(self.model, result.as_ref().ok(), &tally, started.elapsed());
        match result {
            Ok(completion) => {
                self.meter.call_finished(&completion);
                self.app.book.add(&completion);
                Ok((completion, reserved))
            }
            Err(error) => {
                Box::pin(self.book_failed(estimate, &said, reserved)).await;
                Err(CallError { error: RunError::llm(error), said })
            }
        }
    }

    /// Span attributes of a call (OpenTelemetry's GenAI conventions).
    fn describe_call(&self, span: &mut Span, request: &LlmRequest) {
        span.set("gen_ai.operation.name", "chat");
        span.set("gen_ai.provider.name", self.model.provider.as_str());
        span.set("gen_ai.request.model", self.model.name.clone());
        if let Some(limit) = request.max_output_tokens {
            span.set("gen_ai.request.max_tokens", i64::from(limit));
        }
        span.set_content("gen_ai.input.messages", || json!(request.messages).to_string());
    }

    /// Books a failed call: the text that was streamed before the failure is charged, by estimate.
    async fn book_failed(&self, prompt_tokens: u64, said: &str, reserved: Reserved) {
        if said.is_empty() {
            self.meter.call_failed();
            return reserved.settle_failed(self.model, &Usage::default()).await;
        }
        let completion_tokens = estimate_tokens(said) as u64;
        let usage = Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            ..Usage::default()
        };
        self.meter
            .call_interrupted(usage, llm::cost(&self.model.name, self.model.provider, &usage));
        self.app.book.add_estimate(prompt_tokens, completion_tokens);
        reserved.settle_failed(self.model, &usage).await;
    }

    async fn stream(
        &self,
        request: LlmRequest,
        call: CallContext,
        said: &mut String,
    ) -> Result<Completion, llm::error::LlmError> {
        let started = Instant::now();
        let mut events = self.app.llm.stream(request, call);
        while let Some(event) = events.next().await {
            match event? {
                StreamEvent::Text(data) => {
                    if said.is_empty() {
                        self.app.metrics.first_text(self.model, started.elapsed());
                    }
                    said.push_str(&data);
                    self.sink.send(|| RunEvent::Chunk { data }).await;
                }
                StreamEvent::Done(completion) => return Ok(*completion),
            }
        }
        Err(llm::error::LlmError {
            kind: llm::error::LlmErrorKind::BadAnswer,
            message: "the model's answer was cut off".to_owned(),
            cause: "the stream ended without its final event".to_owned(),
            provider: self.model.provider,
            status: None,
            retry_after: None,
        })
    }

    /// Enforces `limits.max_cost_usd`: rejects a call that cannot stay within it, else returns how
    /// many output tokens it leaves, by the dearer one of model and fallback.
    fn check_cost(&self, prompt_tokens: u64) -> Result<Option<u32>, RunError> {
        let Some(limit) = self.limits.max_cost_usd else { return Ok(None) };
        let unknown =
            |model: &ModelRef| RunError::new(RunErrorKind::PriceUnknown(model.name.clone()));
        let (mut prompt, mut per_token) = (0.0_f64, 0.0_f64);
        for model in std::iter::once(self.model).chain(self.app.llm.fallback()) {
            let of = |usage: Usage| {
                llm::cost(&model.name, model.provider, &usage).ok_or_else(|| unknown(model))
            };
            prompt = prompt.max(of(Usage { prompt_tokens, ..Usage::default() })?.total_cost);
            let million = of(Usage { completion_tokens: 1_000_000, ..Usage::default() })?;
            per_token = per_token.max(million.total_cost / 1e6);
        }
        let spent = self.meter.read().cost.ok_or_else(|| unknown(self.model))?.total_cost;
        let left = limit - spent - prompt;
        if left < per_token || left < 0.0 {
            let why = format!(
                "limits.max_cost_usd is {limit}; the run has used {spent:.6} and its next model call \
                 would cost at least {:.6} more",
                prompt + per_token
            );
            return Err(RunError::new(RunErrorKind::BudgetExceeded(why)));
        }
        // A free model has no limit on its output.
        Ok((per_token > 0.0).then(|| floor(left / per_token)))
    }
}

/// A failed call, and the text that was streamed before it failed.
pub(super) struct CallError {
    pub(super) error: RunError,
    pub(super) said: String,
}

impl From<RunError> for CallError {
    fn from(error: RunError) -> Self {
        Self { error, said: String::new() }
    }
}

/// A number of tokens, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats saturate"
)]
fn floor(tokens: f64) -> u32 {
    tokens as u32
}

/// Span attributes of the answer.
fn describe_answer(span: &mut Span, result: &Result<Completion, llm::error::LlmError>) {
    match result {
        Ok(completion) => {
            let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
            span.set("gen_ai.response.model", completion.model.clone());
            span.set("gen_ai.usage.input_tokens", count(completion.usage.prompt_tokens));
            span.set("gen_ai.usage.output_tokens", count(completion.usage.completion_tokens));
            span.set_content("gen_ai.output.messages", || json!([completion.message]).to_string());
            span.succeed();
        }
        Err(error) => span.fail(RunError::llm(error.clone()).code()),
    }
}
