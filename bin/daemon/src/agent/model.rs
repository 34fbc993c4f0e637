//! One model call of a run: cost limit and budget, the call itself, streamed text, usage.

use std::sync::Arc;

use llm::event::{Completion, StreamEvent};
use llm::model::ModelRef;
use llm::request::{LlmRequest, Message, ResponseSchema, ToolChoice, ToolList};
use llm::{CallContext, LlmClient, Tally};
use service::otel::{Side, Span};
use tokio::time::{Instant, timeout_at};
use wombat_core::redact::Redactor;

use super::budget::{Budget, Reserved};
use super::most_price::{MostPrice, floor};
use super::traced;
use super::words::{GoingOn, Words};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::{EventSink, RunEvent};
use crate::run::meter::{InFlight, Meter, complete_usage};
use crate::run::request::RunLimits;
use crate::run::tree::{Held, Tree};
use crate::state::App;

/// By how much the estimate of a prompt may be too low, percent.
const ESTIMATE_ERROR_PERCENT: u64 = 30;

/// The least room for an answer that is asked for, tokens, however full the context window seems.
const LEAST_ROOM: u64 = 1_024;

/// Makes the model calls of a run; holds what they have in common.
pub(super) struct ModelCaller<'a> {
    pub(super) app: &'a App,
    pub(super) model: &'a ModelRef,
    pub(super) tools: ToolList,
    /// The schema of the reply.
    pub(super) response_schema: Option<Arc<ResponseSchema>>,
    pub(super) limits: RunLimits,
    /// What every call carries.
    pub(super) call_context: CallContext,
    pub(super) span: &'a Span,
    pub(super) meter: &'a Meter,
    /// What the run shares with those above and below it.
    pub(super) tree: &'a Arc<Tree>,
    pub(super) sink: &'a EventSink,
    pub(super) budget: Budget,
    /// What is redacted.
    pub(super) redactor: Option<&'a Arc<Redactor>>,
}

impl ModelCaller<'_> {
    /// Calls the model once, if cost limit and budget allow it. The caller settles the reservation.
    /// `prompt_tokens` is the estimated size of the prompt, `step` the turn's place in the journal.
    pub(super) async fn call(
        &self,
        messages: &[Message],
        tool_choice: ToolChoice,
        prompt_tokens: u64,
        told: (u32, &GoingOn),
    ) -> Result<(Completion, Reserved), CallError> {
        if self.call_context.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(RunError::new(RunErrorKind::Timeout).into());
        }
        let fitted = self.fit(prompt_tokens);
        let fitted = match self.call_context.deadline {
            Some(deadline) => timeout_at(deadline, fitted).await,
            None => Ok(fitted.await),
        };
        // Held until the call has been counted.
        let (longest, _held) =
            fitted.unwrap_or_else(|_| Err(RunError::new(RunErrorKind::Timeout)))?;
        let mut reserved = self.budget.reserve(&self.models(), prompt_tokens, longest).await?;
        let request = LlmRequest {
            model: self.model.clone(),
            messages: messages.to_vec(),
            tools: self.tools.clone(),
            tool_choice,
            max_output_tokens: reserved.affordable.or(longest),
            temperature: None,
            response_schema: self.response_schema.clone(),
        };
        let started = Instant::now();
        let mut said = String::new();
        let mut span = self.span.child(Side::Client, || format!("chat {}", self.model.name));
        traced::describe_call(&mut span, self.model, &request, self.redactor);
        let tally = Tally::default();
        let received = traced::received(&span);
        let call = CallContext {
            traceparent: Some(span.traceparent()),
            tally: tally.clone(),
            received: received.clone(),
            ..self.call_context.clone()
        };
        let in_flight = InFlight { model: self.model.clone(), prompt_tokens, received };
        self.meter.call_started(in_flight.clone());
        reserved.call_started(in_flight.clone(), self.call_context.deadline);
        let asking = async {
            if self.sink.is_enabled() {
                self.stream(request, call, told, &mut said).await
            } else {
                self.app.llm.complete(&request, &call).await
            }
        };
        let result = match self.call_context.deadline {
            Some(deadline) => timeout_at(deadline, asking).await,
            None => Ok(asking.await),
        };
        let mut result = result.map_or_else(
            |_| Err(RunError::new(RunErrorKind::Timeout)),
            |answered| answered.map_err(RunError::llm),
        );
        if let Ok(completion) = &mut result {
            complete_usage(&mut completion.usage, prompt_tokens, &completion.message);
        }
        traced::describe_answer(&mut span, &result, &in_flight.received, self.redactor);
        self.app.metrics.model(self.model, result.as_ref().ok(), &tally, started.elapsed());
        match result {
            Ok(completion) => {
                self.app.book.add_estimates(&in_flight.broken());
                self.app.book.add(&completion);
                self.meter.call_finished(&completion);
                Ok((completion, reserved))
            }
            Err(error) => {
                self.app.book.add_estimates(&in_flight.used());
                self.meter.call_failed();
                Box::pin(reserved.settle_failed()).await;
                Err(CallError { error, said })
            }
        }
    }

    /// The longest answer that a call may get, tokens, where the caller, the cost limit or the context
    /// window asks for less than the model could write. What it may cost is held for it, where a limit
    /// on the cost is.
    async fn fit(&self, prompt_tokens: u64) -> Result<(Option<u32>, Option<Held>), RunError> {
        let Some(limit) = self.limits.max_cost_usd else {
            return Ok((self.longest_answer(prompt_tokens, None), None));
        };
        let (prompt, per_token) = self.most_prices(prompt_tokens)?;
        let fit = |held: f64| -> Result<_, RunError> {
            let affordable = self.affordable((limit, held), (prompt, per_token))?;
            let longest = self.longest_answer(prompt_tokens, affordable);
            // A free model has no limit on its output.
            let answer =
                affordable.and(longest).map_or(0.0, |longest| per_token * f64::from(longest));
            Ok((longest, prompt + answer))
        };
        let (longest, held) = self.tree.hold(fit).await?;
        Ok((longest, Some(held)))
    }

    /// The models that may be asked.
    fn models(&self) -> Vec<(&ModelRef, Option<u32>)> {
        models(&self.app.llm, self.model, !self.call_context.without_fallback)
    }

    fn longest_answer(&self, prompt_tokens: u64, affordable: Option<u32>) -> Option<u32> {
        let of_model = self.app.llm.max_output(self.model);
        let of_window = self.app.llm.context_window(self.model).and_then(|window| {
            let prompt = prompt_tokens
                .saturating_add(prompt_tokens.saturating_mul(ESTIMATE_ERROR_PERCENT) / 100);
            let room = window.saturating_sub(prompt).max(LEAST_ROOM);
            u32::try_from(room).ok().filter(|room| of_model.is_none_or(|most| *room < most))
        });
        let limits = [self.limits.max_output_tokens, affordable, of_window];
        let longest = limits.into_iter().flatten().min();
        longest.map(|longest| of_model.map_or(longest, |most| longest.min(most)))
    }

    async fn stream(
        &self,
        request: LlmRequest,
        call: CallContext,
        (step, going_on): (u32, &GoingOn),
        said: &mut String,
    ) -> Result<Completion, llm::error::LlmError> {
        let started = Instant::now();
        let mut events = self.app.llm.stream(request, call);
        let recording = self.sink.recorded();
        if let Some(recording) = recording {
            recording.ask(step);
            // Its readers can be told that words are void.
            events = events.that_begins_anew();
        }
        let is_json = self.response_schema.is_some();
        let mut words = Words::new(self.redactor, is_json, going_on);
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    self.say(words.rest(), step, said).await;
                    return Err(error);
                }
            };
            match event {
                StreamEvent::Text(data) => {
                    if words.are_first() {
                        self.app.metrics.first_text(self.model, started.elapsed());
                    }
                    self.say(words.told(data), step, said).await;
                }
                StreamEvent::Again => {
                    said.clear();
                    words = Words::new(self.redactor, is_json, going_on);
                    if let Some(recording) = recording {
                        recording.ask(step);
                    }
                }
                StreamEvent::Done(completion) => {
                    if !going_on.is_gone_on_with(&completion) {
                        self.say(words.rest(), step, said).await;
                    }
                    return Ok(*completion);
                }
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

    /// Tells a piece of text.
    async fn say(&self, data: String, step: u32, said: &mut String) {
        if !data.is_empty() {
            said.push_str(&data);
            self.sink.send(|| RunEvent::Chunk { data, step: Some(step) }).await;
        }
    }

    /// What a prompt costs at most, and a token of its answer, USD: by the dearer one of model and fallback.
    fn most_prices(&self, prompt_tokens: u64) -> Result<(f64, f64), RunError> {
        let (mut prompt, mut per_token) = (0.0_f64, 0.0_f64);
        for (model, _) in self.models() {
            let most =
                MostPrice::of(model, prompt_tokens).ok_or_else(|| price_unknown(&model.name))?;
            prompt = prompt.max(most.prompt);
            per_token = per_token.max(most.per_token);
        }
        Ok((prompt, per_token))
    }

    /// Enforces `limits.max_cost_usd`, of which other calls of the run and of those below it hold a part:
    /// rejects a call that cannot stay within it, else returns how many output tokens it leaves.
    fn affordable(
        &self,
        (limit, held): (f64, f64),
        (prompt, per_token): (f64, f64),
    ) -> Result<Option<u32>, RunError> {
        let spent = self.tree.spent();
        if !spent.known {
            return Err(price_unknown(&self.model.name));
        }
        let spent = spent.total_cost;
        let left = limit - spent - held - prompt;
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

fn price_unknown(model: &str) -> RunError {
    RunError::new(RunErrorKind::PriceUnknown(model.to_owned()))
}

/// The models that may be asked, with the longest answers that they can give.
pub(super) fn models<'a>(
    llm: &'a LlmClient,
    model: &'a ModelRef,
    falls_back: bool,
) -> Vec<(&'a ModelRef, Option<u32>)> {
    let fallback = llm.fallback().filter(|fallback| falls_back && *fallback != model);
    let models = std::iter::once(model).chain(fallback);
    models.map(|model| (model, llm.max_output(model))).collect()
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
