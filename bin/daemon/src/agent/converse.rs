//! The conversation of a run: model and tools in turn, until there is a reply or a tool call needs a
//! person's approval.

use std::collections::{BTreeMap, HashMap};

use daemon_api::Step;
use llm::CallContext;
use llm::error::LlmErrorKind;
use llm::event::{Completion, FinishReason};
use llm::model::ModelRef;
use llm::request::{Message, ToolCall};
use tokio::time::{Instant, timeout_at};

use super::attempts::{Attempts, TurnOrigin};
use super::budget::Budget;
use super::context::RunContext;
use super::finish::Progress;
use super::journal::{LlmStep, millis, refused, report};
use super::model::{CallError, ModelCaller};
use super::prompt_window::{Window, prompt_report};
use super::redaction;
use super::tool_calls::{Finished, Turn};
use super::typed::Typed;
use super::words::GoingOn;
use crate::call_log::log_mask;
use crate::run::answer::{Ending, RunAnswer};
use crate::run::context_window::Fitted;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::RunEvent;
use crate::run::meter::estimate_tools;
use crate::run::recording::Recording;
use crate::run::state_machine::{FailReason, Next, RunState};
use crate::tools::RequestedCall;

impl RunContext<'_> {
    /// The conversation from its opening messages to the stored reply: model and tools in turn.
    /// Steps that the journal holds are read instead of done again.
    /// With `typed`, the reply has to fit a schema.
    pub(super) async fn converse(
        &self,
        messages: Vec<Message>,
        typed: Option<Typed>,
    ) -> Result<RunAnswer, RunError> {
        let mut caller = self.model_caller(typed.as_ref());
        let is_json = typed.is_some();
        let mut progress = Progress::default();
        let mut state = RunState::new(messages, self.run.request.limits.max_steps);
        if typed.is_some() {
            state = state.typed();
        }
        let media = self.run.app.llm.media_support(&self.model);
        let mut window = Window::new(self.prompt_room(), estimate_tools(&caller.tools), media);
        let mut attempts = Attempts::default();
        let mut made = HashMap::new();
        let mut place = Place {
            at: self.journal.first_turn(),
            origin: TurnOrigin::default(),
            recorded: Vec::new(),
        };
        loop {
            match state.next() {
                Next::Ask { .. } => {
                    let typed = typed.as_ref();
                    let ask = self.ask(
                        (&caller, typed),
                        &mut state,
                        &mut window,
                        &mut progress,
                        &mut place,
                    );
                    ask.await?;
                }
                Next::CallTools(calls) => {
                    let said = self.shown(state.text_so_far(), is_json);
                    let calls = self.restored(calls, &place.recorded, &mut made);
                    let finished = Finished::default();
                    let (planned, origin) = ((&*calls, place.at), &place.origin);
                    let turn = self.call_tools(planned, &said, &attempts, origin, &finished);
                    let turn = Box::pin(turn);
                    let turn = timeout_at(self.run.deadline, turn).await;
                    let turn = turn.unwrap_or_else(|_| Err(RunError::new(RunErrorKind::Timeout)));
                    let (done, places) = match turn {
                        Ok(Turn::Done { steps, places }) => (steps, places),
                        Ok(Turn::Waits(tool_requests)) => {
                            let ending = Ending::Waits { tool_requests };
                            return Ok(self.answer(ending, said.into_owned(), progress));
                        }
                        Err(error) => {
                            progress.steps.extend(finished.into_reports());
                            return Err(self.attach(error, &said, &progress.steps));
                        }
                    };
                    drop((said, calls));
                    place.at = place.at.saturating_add(places);
                    progress.steps.extend(done.iter().map(report));
                    let named = done.iter().flat_map(|step| refused(&step.mentions_refused));
                    progress.mentions_refused.extend(named);
                    done.iter().for_each(|step| attempts.add(step));
                    if let Some(tools) = self.load(&done) {
                        window.set_tools(estimate_tools(&tools));
                        caller.tools = tools;
                    }
                    let results = Box::pin(self.results(done)).await;
                    let results = results.map_err(|error| {
                        let said = self.shown(state.text_so_far(), is_json);
                        self.attach(error, &said, &progress.steps)
                    })?;
                    state.on_tool_results(results);
                }
                Next::Fail(FailReason::NoSummary) if typed.as_ref().is_none_or(Typed::is_lax) => {
                    let text = summary(&progress.steps);
                    let step = Some(place.at);
                    self.run.sink.send(|| RunEvent::Chunk { data: text.clone(), step }).await;
                    let reason = FinishReason::ToolCalls;
                    if let Some(typed) = &typed {
                        let end = (text.as_str(), reason, place.at);
                        return Box::pin(self.store_typed(typed, end, progress)).await;
                    }
                    return Box::pin(self.store_reply(&text, reason, progress)).await;
                }
                Next::Fail(why) => {
                    let error = RunError::new(error_kind(why));
                    let said = self.shown(state.text_so_far(), is_json);
                    return Err(self.attach(error, &said, &progress.steps));
                }
                Next::Reply { text, finish_reason } => {
                    let text = &*self.shown(text, is_json);
                    if let Some(typed) = &typed {
                        // The turn before the next place.
                        let end = (text, finish_reason, place.at.saturating_sub(1));
                        return Box::pin(self.store_typed(typed, end, progress)).await;
                    }
                    return Box::pin(self.store_reply(text, finish_reason, progress)).await;
                }
            }
        }
    }

    /// One turn of the model: from the journal, or by a call. After a refusal that another call may
    /// avoid, the state is still to ask.
    async fn ask(
        &self,
        (caller, typed): (&ModelCaller<'_>, Option<&Typed>),
        state: &mut RunState,
        window: &mut Window,
        progress: &mut Progress,
        place: &mut Place,
    ) -> Result<(), RunError> {
        let recorded = self.recorded_answer(state, window, progress, &mut place.at).await;
        let is_json = typed.is_some();
        let recorded = recorded.map_err(|error| {
            self.attach(error, &self.shown(state.text_so_far(), is_json), &progress.steps)
        })?;
        if !matches!(state.next(), Next::Ask { .. }) {
            // The last answer in the journal was sent back for the last time.
            return Ok(());
        }
        let fitted = window.fit(state);
        progress.context_warning =
            self.context_warning(&fitted).or(progress.context_warning.take());
        let answer = match recorded {
            Some(step) => Ok((self.replay_answer(step, place.at).await, false)),
            None => {
                let caller = (caller, typed);
                Box::pin(self.next_answer(caller, state, &fitted, window.room(), place.at)).await
            }
        };
        let (error, said) = match answer {
            Ok((step, is_fresh)) => {
                drop(fitted);
                let at = place.at;
                place.at += 1;
                place.origin = TurnOrigin { is_fresh, definitions: step.definitions };
                self.files.note(&step.files);
                let mut completion = step.completion;
                place.recorded = match is_fresh {
                    true => Vec::new(),
                    false => self.redact_turn_again(&mut completion.message),
                };
                progress.model = Some(ModelRef::new(completion.provider, &completion.model));
                if state.take(completion, &step.errors) {
                    self.take_back(at).await;
                }
                return Ok(());
            }
            Err(failed) => (failed.error, failed.said),
        };
        if window.shrink(&error, state, &fitted) {
            tracing::warn!(
                cause = &*redaction::logged(self.redactor.as_ref(), &error.cause),
                "the conversation is longer than the model's context window; leaving out its oldest \
                 turns"
            );
            return Ok(());
        }
        drop(fitted);
        if said.is_empty() && self.withhold_files(&error, state) {
            tracing::warn!(
                cause = &*redaction::logged(self.redactor.as_ref(), &error.cause),
                "the model does not take the files of the conversation; they are named instead"
            );
            return Ok(());
        }
        if state.is_summing_up() && is_forbidden_call(&error) {
            tracing::warn!(
                cause = &*redaction::logged(self.redactor.as_ref(), &error.cause),
                "the model wrote no final answer"
            );
            state.on_no_summary();
            return Ok(());
        }
        let before = self.shown(state.text_so_far(), is_json);
        let text = if said.is_empty() { &*before } else { &said };
        Err(self.attach(error, text, &progress.steps))
    }

    /// The model's answer in the journal, where it has one at this position. Answers before it that
    /// were of no use are charged. What the run had left out of its prompt then is left out again.
    async fn recorded_answer(
        &self,
        state: &mut RunState,
        window: &mut Window,
        progress: &mut Progress,
        at: &mut u32,
    ) -> Result<Option<LlmStep>, RunError> {
        while let Some(rejected) = self.journal.rejected(*at)? {
            window.resume(&rejected.prompt);
            self.run.handle.meter.call_finished(&rejected.completion);
            let step = *at;
            *at += 1;
            if rejected.errors.is_empty() {
                if let Some(recording) = self.run.sink.recorded() {
                    recording.reject(step);
                }
                continue;
            }
            // It did not fit its schema, and was sent back: its words are void. Of the last one they may
            // be all that there is.
            self.files.note(&rejected.files);
            let mut completion = rejected.completion;
            progress.model = Some(ModelRef::new(completion.provider, &completion.model));
            let data = rejected.shown.unwrap_or_else(|| completion.message.text.clone());
            drop(self.redact_turn_again(&mut completion.message));
            if !state.take(completion, &rejected.errors) {
                let step = Some(step);
                self.run.sink.send(|| RunEvent::Chunk { data, step }).await;
                return Ok(None);
            }
            if self.run.sink.recorded().is_some() {
                self.take_back(step).await;
            }
        }
        let step = self.journal.llm(*at)?;
        if let Some(step) = &step {
            window.resume(&step.prompt);
        }
        Ok(step)
    }

    /// Tells of an answer in the journal like of a new one.
    async fn replay_answer(&self, step: LlmStep, at: u32) -> LlmStep {
        self.run.handle.meter.call_finished(&step.completion);
        let text = step.shown.as_ref().unwrap_or(&step.completion.message.text);
        // Readers of a detached run have it from the journal.
        if !text.is_empty() && self.run.sink.recorded().is_none() {
            let chunk = || RunEvent::Chunk { data: text.clone(), step: Some(at) };
            self.run.sink.send(chunk).await;
        }
        step
    }

    /// The definitions of the tools that an answer calls, for [`LlmStep`].
    fn definitions(&self, completion: &Completion) -> BTreeMap<String, String> {
        let tools = completion.message.tool_calls.iter().map(|call| RequestedCall::of(call).tool);
        tools.filter_map(|tool| Some((tool.to_owned(), self.tools.definition(tool)?))).collect()
    }

    /// What all model calls of the run have in common.
    fn model_caller(&self, typed: Option<&Typed>) -> ModelCaller<'_> {
        let role = self.run.request.session.role().as_str();
        ModelCaller {
            app: self.run.app,
            model: &self.model,
            tools: self.tools.specs().clone(),
            response_schema: typed.map(|typed| self.schema_wanted(typed)),
            limits: self.run.request.limits,
            call_context: CallContext {
                // Each call has a span of its own; `ModelCaller::call` sets it.
                traceparent: None,
                deadline: Some(self.run.deadline),
                role: role.to_owned(),
                user_text: Some(self.run.redact(&self.run.request.message).into_owned()),
                without_fallback: !self.run.request.customer.falls_back(),
                case: self.run.replay.map(|replay| replay.case().to_owned()),
                tally: llm::Tally::default(),
                received: llm::Received::default(),
                log_mask: log_mask(self.redactor.as_ref()),
                shown: llm::Shown::default(),
            },
            span: self.run.span,
            meter: &self.run.handle.meter,
            tree: &self.run.handle.tree,
            sink: self.run.sink,
            redactor: self.redactor.as_ref(),
            budget: Budget::new(
                self.capabilities.has("budgets").then(|| self.client.clone()),
                &self.run.handle.run_id,
                role,
                self.run.app.runs.tracker().clone(),
            ),
        }
    }

    /// How the next answer follows on the one before, for those who read along.
    fn going_on(&self, state: &RunState) -> GoingOn {
        match self.gives_back() {
            Some(_) => GoingOn::of(state.cut_off(), state.may_go_on()),
            None => GoingOn::default(),
        }
    }

    /// A new answer of the model, which is written to the journal before it is acted on, and whether it is
    /// this run's own. A failure comes with the text that the model had said by then.
    async fn next_answer(
        &self,
        (caller, typed): (&ModelCaller<'_>, Option<&Typed>),
        state: &RunState,
        fitted: &Fitted<'_>,
        room: Option<u64>,
        at: u32,
    ) -> Result<(LlmStep, bool), CallError> {
        let Next::Ask { tool_choice, .. } = state.next() else {
            return Err(RunError::new(RunErrorKind::Internal).into());
        };
        let started = Instant::now();
        if let Some(replay) = self.run.replay {
            replay.asks(&fitted.messages);
        }
        let going_on = self.going_on(state);
        let told = (at, &going_on);
        let called = caller.call(&fitted.messages, tool_choice, fitted.tokens, told).await;
        let (completion, reserved) = called?;
        let step = LlmStep {
            errors: Vec::new(),
            workspace: Some(self.run.request.customer.workspace.clone()),
            profile_digest: self.run.request.customer.digest.clone(),
            cost: Some(llm::cost_or_unknown(
                &completion.model,
                completion.provider,
                &completion.usage,
            )),
            prompt: prompt_report(fitted, room),
            duration_ms: millis(started.elapsed()),
            definitions: self.definitions(&completion),
            files: self.uses(&caller.call_context.shown, &completion, &fitted.messages),
            shown: going_on.shown(self.gives_back(), &completion, typed.is_some()),
            completion,
            first_event: None,
            last_event: None,
        };
        let mut step = match self.run.sink.recorded() {
            Some(recording) => Box::pin(with_events(step, at, recording)).await,
            None => step,
        };
        if !self.journal.is_enabled() && typed.is_none() {
            reserved.settle(&step.completion).await;
            return Ok((step, true));
        }
        let mut after = state.clone();
        after.on_completion(step.completion.clone());
        if let Some(typed) = typed {
            step.errors = self.redact_all(self.misfits(typed, &after).await);
        }
        if !self.journal.is_enabled() {
            reserved.settle(&step.completion).await;
            return Ok((step, true));
        }
        let useful = !matches!(after.next(), Next::Fail(_)) && step.errors.is_empty();
        let said = step.shown.as_ref().unwrap_or(&step.completion.message.text).clone();
        let completion = step.completion.clone();
        let put = self.journal.put_llm(at, step, useful);
        let (step, ()) = tokio::join!(Box::pin(put), Box::pin(reserved.settle(&completion)));
        step.map_err(|error| CallError { error, said })
    }
}

/// A turn whose words readers elsewhere have been told, with the ids of its events.
async fn with_events(step: LlmStep, at: u32, recording: &Recording) -> LlmStep {
    let said = step.shown.as_ref().unwrap_or(&step.completion.message.text);
    let span = recording.complete(at, said).await;
    recording.forget_tools();
    LlmStep {
        first_event: span.map(|span| span.first),
        last_event: span.map(|span| span.last),
        ..step
    }
}

/// Where a conversation is.
struct Place {
    /// The next place in the journal.
    at: u32,
    /// The newest turn of the model.
    origin: TurnOrigin,
    /// Its calls, where they come from the journal.
    recorded: Vec<ToolCall>,
}

/// Whether the model went on calling tools although none was allowed.
fn is_forbidden_call(error: &RunError) -> bool {
    matches!(error.kind, RunErrorKind::Llm(LlmErrorKind::ForbiddenCall, _))
}

/// The reply of a run whose model did not sum up what it had done.
fn summary(steps: &[Step]) -> String {
    let mut text =
        "I have used all the steps that I may take for one message, and stopped before I was \
                    finished. "
            .to_owned();
    if steps.is_empty() {
        text += "No tool was called.";
    } else {
        text += "These tools were called:\n";
    }
    for step in steps {
        text += &format!("\n- {}: {}", step.name, if step.ok { "done" } else { "failed" });
    }
    text + "\n\nSend another message to go on."
}

fn error_kind(why: FailReason) -> RunErrorKind {
    match why {
        FailReason::EmptyReply => RunErrorKind::EmptyReply,
        FailReason::ContentFiltered => RunErrorKind::ContentFiltered,
        FailReason::CutOff { tokens } => RunErrorKind::Llm(
            LlmErrorKind::BadAnswer,
            format!(
                "the model's answers were cut off at the output limit ({tokens} tokens) before their \
                 tool calls were complete; raise limits.max_output_tokens, or ask for less at once"
            ),
        ),
        // It has a reply, but for one that has to fit a schema.
        FailReason::NoSummary => RunErrorKind::Llm(
            LlmErrorKind::ForbiddenCall,
            "the model went on calling tools instead of giving its answer; raise limits.max_steps"
                .to_owned(),
        ),
    }
}
