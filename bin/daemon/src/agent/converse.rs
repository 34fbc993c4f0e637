//! The conversation of a run: model and tools in turn, until there is a reply or a tool call needs a
//! person's approval.

use daemon_api::Step;
use llm::CallContext;
use llm::model::ModelRef;
use llm::request::Message;
use serde_json::json;
use tokio::time::Instant;

use super::budget::Budget;
use super::context::RunContext;
use super::finish::Progress;
use super::journal::{LlmStep, ToolStep, millis};
use super::model::ModelCaller;
use super::tool_calls::Turn;
use crate::run::answer::{Ending, RunAnswer};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::RunEvent;
use crate::run::meter::estimate;
use crate::run::state_machine::{FailReason, Next, RunState};

impl RunContext<'_> {
    /// The conversation from its opening messages to the stored reply: model and tools in turn.
    /// Steps that the journal holds are read instead of done again.
    pub(super) async fn converse(&self, messages: Vec<Message>) -> Result<RunAnswer, RunError> {
        let caller = self.model_caller();
        let mut progress = Progress {
            context_warning: self.context_warning(estimate(&messages, caller.tools)),
            ..Progress::default()
        };
        let mut state = RunState::new(messages, self.run.request.limits.max_steps);
        // Step 0 of the journal is the request.
        let mut at = 1;
        loop {
            match state.next() {
                Next::Ask { .. } => {
                    while let Some(rejected) = self.journal.rejected(at) {
                        self.run.handle.meter.call_finished(&rejected.completion);
                        at += 1;
                    }
                    let step = self.next_answer(&caller, &state, at).await;
                    let step = step.map_err(|(error, said)| {
                        let text = if said.is_empty() { state.text_so_far() } else { &said };
                        self.attach(error, text, &progress.steps)
                    })?;
                    at += 1;
                    let completion = step.completion;
                    progress.model = Some(ModelRef::new(completion.provider, &completion.model));
                    state.on_completion(completion);
                }
                Next::CallTools(calls) => {
                    let said = state.text_so_far();
                    let turn = Box::pin(self.call_tools(calls, at, said)).await;
                    let turn = turn.map_err(|error| self.attach(error, said, &progress.steps))?;
                    let done = match turn {
                        Turn::Done(done) => done,
                        Turn::AwaitingApproval(tool_requests) => {
                            let run_key = self.run.run_key.as_str().to_owned();
                            let ending = Ending::AwaitingApproval { run_key, tool_requests };
                            return Ok(self.answer(ending, said.to_owned(), progress));
                        }
                    };
                    at += u32::try_from(done.len()).unwrap_or(u32::MAX);
                    progress.steps.extend(done.iter().map(step_report));
                    let unclear: Vec<bool> = done.iter().map(|step| step.unclear).collect();
                    state.on_unclear(&unclear);
                    state.on_tool_results(done.into_iter().map(|step| step.content).collect());
                }
                Next::Fail(why) => {
                    let error = RunError::new(error_kind(why));
                    return Err(self.attach(error, state.text_so_far(), &progress.steps));
                }
                Next::Reply { text, finish_reason } => {
                    return Box::pin(self.store_reply(text, finish_reason, progress)).await;
                }
            }
        }
    }

    /// What all model calls of the run have in common.
    fn model_caller(&self) -> ModelCaller<'_> {
        let role = self.run.request.session.role().as_str();
        ModelCaller {
            app: self.run.app,
            model: &self.model,
            tools: self.tools.specs(),
            limits: self.run.request.limits,
            call_context: CallContext {
                // Each call has a span of its own; `ModelCaller::call` sets it.
                traceparent: None,
                deadline: Some(self.run.deadline),
                role: role.to_owned(),
                user_text: Some(self.run.request.message.clone()),
                tally: llm::Tally::default(),
                received: llm::Received::default(),
            },
            span: self.run.span,
            meter: &self.run.handle.meter,
            sink: self.run.sink,
            budget: Budget::new(
                self.capabilities.has("budgets").then(|| self.client.clone()),
                &self.run.handle.run_id,
                role,
                self.run.app.runs.tracker().clone(),
            ),
        }
    }

    /// The model's next answer: the one in the journal, or a new one, which is written there before
    /// it is acted on. A failure comes with the text that the model had said by then.
    async fn next_answer(
        &self,
        caller: &ModelCaller<'_>,
        state: &RunState,
        at: u32,
    ) -> Result<LlmStep, (RunError, String)> {
        if let Some(step) = self.journal.llm(at) {
            self.run.handle.meter.call_finished(&step.completion);
            let text = &step.completion.message.text;
            if !text.is_empty() {
                self.run.sink.send(|| RunEvent::Chunk { data: text.clone() }).await;
            }
            return Ok(step);
        }
        let Next::Ask { messages, tool_choice } = state.next() else {
            return Err((RunError::new(RunErrorKind::Internal), String::new()));
        };
        let started = Instant::now();
        let called = caller.call(messages, tool_choice).await;
        let (completion, reserved) = called.map_err(|failed| (failed.error, failed.said))?;
        let step = LlmStep {
            cost: llm::cost(&completion.model, completion.provider, &completion.usage),
            prompt: json!({
                "messages": messages.len(),
                "estimated_tokens": estimate(messages, caller.tools),
            }),
            duration_ms: millis(started.elapsed()),
            completion,
        };
        if !self.journal.is_enabled() {
            reserved.settle(&step.completion).await;
            return Ok(step);
        }
        let mut after = state.clone();
        after.on_completion(step.completion.clone());
        let useful = !matches!(after.next(), Next::Fail(_));
        let said = step.completion.message.text.clone();
        let completion = step.completion.clone();
        let put = self.journal.put_llm(at, step, useful);
        let (step, ()) = tokio::join!(Box::pin(put), Box::pin(reserved.settle(&completion)));
        step.map_err(|error| (error, said))
    }

    /// The warning of a prompt that fills most of the model's context window.
    fn context_warning(&self, tokens: u64) -> Option<String> {
        let window = self.run.app.llm.context_window(&self.model);
        let percent = tokens.saturating_mul(100) / window.max(1);
        (percent >= u64::from(self.run.app.settings.context_warning_percent)).then(|| {
            format!(
                "the prompt has about {tokens} tokens, {percent} % of the context window of {} ({window} tokens)",
                self.model.name
            )
        })
    }
}

fn error_kind(why: FailReason) -> RunErrorKind {
    match why {
        FailReason::EmptyReply => RunErrorKind::EmptyReply,
        FailReason::ContentFiltered => RunErrorKind::ContentFiltered,
    }
}

fn step_report(step: &ToolStep) -> Step {
    Step {
        kind: "tool".into(),
        name: step.name.clone(),
        arguments: step.arguments.clone(),
        ok: step.ok,
        duration_ms: step.duration_ms,
    }
}
