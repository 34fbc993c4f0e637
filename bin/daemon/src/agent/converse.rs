//! Model and tools in turn, until there is a reply, or a person has to decide.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use llm::CallContext;
use llm::request::Message;
use serde_json::json;
use service::otel::Side;
use tokio::time::Instant;

use super::approval::{Verdict, refused};
use super::budget::Budget;
use super::driver::{Drive, Scene};
use super::journal::{LlmStep, ToolStep};
use super::model::Asker;
use crate::run::answer::{RunAnswer, StepReport, ToolRequestReport};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::RunEvent;
use crate::run::meter::estimate;
use crate::run::state_machine::{Dead, Next, PlannedCall, RunState};
use crate::tools::{ToolContext, ToolOutcome};

/// How many calls of one turn are made at once (docs/RUNS.md).
const PARALLEL_CALLS: usize = 8;

/// How the calls of one turn came out.
enum Turn {
    /// All are done.
    Done(Vec<ToolStep>),
    /// These wait for a person.
    Waiting(Vec<ToolRequestReport>),
}

impl Drive<'_> {
    /// The conversation from its opening to the stored reply. What the journal holds is not done
    /// again.
    pub(super) async fn converse(
        &self,
        scene: &Scene,
        messages: Vec<Message>,
        traceparent: String,
    ) -> Result<RunAnswer, RunError> {
        let asker = Asker {
            app: self.app,
            model: &scene.model,
            tools: scene.tools.specs(),
            limits: self.request.limits,
            call: CallContext {
                traceparent: Some(traceparent),
                deadline: Some(self.deadline),
                role: self.request.session.role().as_str().to_owned(),
                user_text: Some(self.request.message.clone()),
                tally: llm::Tally::default(),
            },
            span: self.span,
            meter: &self.handle.meter,
            sink: self.sink,
            budget: Budget::new(
                scene.capabilities.has("budgets").then(|| scene.client.clone()),
                &self.handle.run_id,
                self.request.session.role().as_str(),
                self.app.runs.tracker().clone(),
            ),
        };
        let context_warning = self.context_warning(scene, estimate(&messages, asker.tools));
        let mut state = RunState::new(messages, self.request.limits.max_steps);
        let mut steps = Vec::new();
        let mut answered_by = None;
        // Step 0 of the journal is the request.
        let mut at = 1;
        loop {
            match state.next() {
                Next::Ask { .. } => {
                    while let Some(rejected) = scene.journal.rejected(at) {
                        self.handle.meter.call_ends(&rejected.completion);
                        at += 1;
                    }
                    let completion = self
                        .answer_at(scene, &asker, &state, at)
                        .await
                        .map_err(|(error, said)| {
                            let text = if said.is_empty() { state.text_so_far() } else { &said };
                            self.attach(error, scene, text, &steps)
                        })?
                        .completion;
                    at += 1;
                    answered_by =
                        Some((completion.model.clone(), completion.provider.as_str().to_owned()));
                    state.on_completion(completion);
                }
                Next::CallTools(calls) => {
                    let said = state.text_so_far();
                    let turn = Box::pin(self.call_tools(scene, calls, at, said)).await;
                    let turn =
                        turn.map_err(|e| self.attach(e, scene, state.text_so_far(), &steps))?;
                    let done = match turn {
                        Turn::Done(done) => done,
                        Turn::Waiting(requests) => {
                            let text = state.text_so_far().to_owned();
                            let answer = self.answer(scene, text, steps);
                            let (model, provider) = answered_by.unzip();
                            return Ok(RunAnswer {
                                status: "awaiting_approval",
                                run_key: Some(self.run_key.as_str().to_owned()),
                                tool_requests: Some(requests),
                                context_warning,
                                model,
                                provider,
                                ..answer
                            });
                        }
                    };
                    at += u32::try_from(done.len()).unwrap_or(u32::MAX);
                    steps.extend(done.iter().map(report));
                    let unclear: Vec<bool> = done.iter().map(|step| step.unclear).collect();
                    state.on_unclear(&unclear);
                    state.on_tool_results(done.into_iter().map(|step| step.content).collect());
                }
                Next::Fail(why) => {
                    let error = RunError::new(kind_of(why));
                    return Err(self.attach(error, scene, state.text_so_far(), &steps));
                }
                Next::Reply { text, finish_reason } => {
                    let answer = Box::pin(self.store(scene, text, finish_reason, steps)).await?;
                    let (model, provider) = answered_by.unzip();
                    return Ok(RunAnswer { context_warning, model, provider, ..answer });
                }
            }
        }
    }

    /// The model's next answer: the one in the journal, or a new one, which is written there before
    /// anything is made of it.
    async fn answer_at(
        &self,
        scene: &Scene,
        asker: &Asker<'_>,
        state: &RunState,
        at: u32,
    ) -> Result<LlmStep, (RunError, String)> {
        if let Some(step) = scene.journal.llm(at) {
            self.handle.meter.call_ends(&step.completion);
            let text = &step.completion.message.text;
            if !text.is_empty() {
                self.sink.tell(|| RunEvent::Chunk { data: text.clone() }).await;
            }
            return Ok(step);
        }
        let Next::Ask { messages, tool_choice } = state.next() else {
            return Err((RunError::new(RunErrorKind::Internal), String::new()));
        };
        let begun = Instant::now();
        let asked = asker.ask(messages, tool_choice).await;
        let (completion, reserved) = asked.map_err(|broken| (broken.error, broken.said))?;
        let step = LlmStep {
            cost: llm::cost(&completion.model, completion.provider, &completion.usage),
            prompt: json!({
                "messages": messages.len(),
                "estimated_tokens": estimate(messages, asker.tools),
            }),
            duration_ms: millis(begun.elapsed()),
            completion,
        };
        if !scene.journal.is_on() {
            reserved.answered(&step.completion).await;
            return Ok(step);
        }
        let mut after = state.clone();
        after.on_completion(step.completion.clone());
        let useful = !matches!(after.next(), Next::Fail(_));
        let said = step.completion.message.text.clone();
        let completion = step.completion.clone();
        let put = scene.journal.put_llm(at, step, useful);
        let (step, ()) = tokio::join!(Box::pin(put), Box::pin(reserved.answered(&completion)));
        step.map_err(|error| (error, said))
    }

    fn context_warning(&self, scene: &Scene, tokens: u64) -> Option<String> {
        let window = self.app.llm.context_window(&scene.model);
        let percent = tokens.saturating_mul(100) / window.max(1);
        (percent >= u64::from(self.app.settings.context_warning_percent)).then(|| {
            format!(
                "the prompt has about {tokens} tokens, {percent} % of the {window} that {} can read",
                scene.model.name
            )
        })
    }

    /// The calls of one turn, several at once, their outcomes in the model's order. Those that need
    /// a person are made once all of them are decided.
    async fn call_tools(
        &self,
        scene: &Scene,
        calls: &[PlannedCall],
        at: u32,
        reason: &str,
    ) -> Result<Turn, RunError> {
        // The futures are made before they are put into the stream: a closure there would not be
        // `Send` for every lifetime.
        let places = (at..).zip(calls);
        let first: Vec<_> = places.map(|(at, call)| self.call_at(scene, call, at, None)).collect();
        let first: Vec<_> = stream::iter(first).buffered(PARALLEL_CALLS).collect().await;
        let mut done = Vec::with_capacity(calls.len());
        for outcome in first {
            done.push(outcome?);
        }
        if done.iter().all(Option::is_some) {
            return Ok(Turn::Done(done.into_iter().flatten().collect()));
        }
        let waiting: Vec<usize> = (0..calls.len()).filter(|i| done[*i].is_none()).collect();
        let mut verdicts = Vec::with_capacity(waiting.len());
        for i in &waiting {
            verdicts.push(self.verdict(scene, &calls[*i], reason).await?);
        }
        let pending = |verdict: &Verdict| match verdict {
            Verdict::Pending(report) => Some(report.clone()),
            Verdict::Approved(_) | Verdict::Refused { .. } => None,
        };
        let pending: Vec<_> = verdicts.iter().filter_map(pending).collect();
        if !pending.is_empty() {
            return Ok(Turn::Waiting(pending));
        }
        let places = waiting.iter().zip(verdicts);
        let second: Vec<_> = places
            .map(|(i, verdict)| {
                let place = at + u32::try_from(*i).unwrap_or(u32::MAX);
                self.call_at(scene, &calls[*i], place, Some(verdict))
            })
            .collect();
        let second: Vec<_> = stream::iter(second).buffered(PARALLEL_CALLS).collect().await;
        for (i, outcome) in waiting.into_iter().zip(second) {
            done[i] = outcome?;
        }
        Ok(Turn::Done(done.into_iter().flatten().collect()))
    }

    /// One call: from the journal, or made and written there. `None` when it needs a person who has
    /// not been asked yet.
    async fn call_at(
        &self,
        scene: &Scene,
        planned: &PlannedCall,
        at: u32,
        verdict: Option<Verdict>,
    ) -> Result<Option<ToolStep>, RunError> {
        if let Some(step) = scene.journal.tool(at) {
            self.tell_call(planned).await;
            self.tell_result(&step).await;
            return Ok(Some(step));
        }
        let (outcome, tool_request_id) = match verdict {
            Some(Verdict::Refused { id, why }) => (refused(&planned.call.name, &why), Some(id)),
            // It has been told when it was found to need a person.
            Some(Verdict::Approved(id)) => (self.make_call(scene, planned, true).await, Some(id)),
            Some(Verdict::Pending(_)) | None => {
                self.tell_call(planned).await;
                let outcome = self.make_call(scene, planned, false).await;
                if outcome.waits && self.can_ask(scene) {
                    return Ok(None);
                }
                (outcome, None)
            }
        };
        let step = ToolStep {
            call_id: planned.call.id.clone(),
            name: planned.call.name.clone(),
            arguments: planned.call.arguments.clone(),
            nth: planned.nth,
            ok: outcome.ok,
            unclear: outcome.unclear,
            content: outcome.content,
            duration_ms: millis(outcome.duration),
            tool_request_id,
        };
        let known = scene.tools.has(&step.name).then_some(step.name.as_str());
        self.app.metrics.tool(known, step.ok, outcome.duration);
        tracing::info!(
            tool = step.name,
            ok = step.ok,
            duration_ms = step.duration_ms,
            "tool called"
        );
        self.tell_result(&step).await;
        scene.journal.put_tool(at, step).await.map(Some)
    }

    async fn make_call(&self, scene: &Scene, planned: &PlannedCall, approved: bool) -> ToolOutcome {
        let call = &planned.call;
        let mut span = self.span.child(Side::Internal, || format!("execute_tool {}", call.name));
        span.set("gen_ai.operation.name", "execute_tool");
        span.set("gen_ai.tool.name", call.name.clone());
        span.set("gen_ai.tool.call.id", call.id.clone());
        span.set_content("gen_ai.tool.call.arguments", || call.arguments.to_string());
        let (waits, traceparent) = (AtomicBool::new(false), span.traceparent());
        let client = scene.client.clone().with_trace(&traceparent);
        let context = ToolContext {
            client: &client,
            snapshot: &scene.snapshot,
            profile: &scene.profile,
            run_key: self.run_key,
            task_id: &scene.task_id,
            max_chars: self.app.settings.tool_result_max_chars,
            traceparent: Some(&traceparent),
            approved,
            asks: false,
            waits: &waits,
        };
        let outcome = scene.tools.call(&context, planned).await;
        span.set_content("gen_ai.tool.call.result", || outcome.content.clone());
        if outcome.ok {
            span.succeed()
        } else {
            span.fail("tool_error")
        }
        ToolOutcome { waits: waits.load(Ordering::Relaxed), ..outcome }
    }

    async fn tell_call(&self, planned: &PlannedCall) {
        let call = &planned.call;
        let told = || RunEvent::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        };
        self.sink.tell(told).await;
    }

    async fn tell_result(&self, step: &ToolStep) {
        let told = || RunEvent::ToolResult {
            id: step.call_id.clone(),
            name: step.name.clone(),
            ok: step.ok,
            duration_ms: step.duration_ms,
        };
        self.sink.tell(told).await;
    }
}

fn kind_of(why: Dead) -> RunErrorKind {
    match why {
        Dead::EmptyReply => RunErrorKind::EmptyReply,
        Dead::ContentFiltered => RunErrorKind::ContentFiltered,
    }
}

fn report(step: &ToolStep) -> StepReport {
    StepReport {
        kind: "tool",
        name: step.name.clone(),
        arguments: step.arguments.clone(),
        ok: step.ok,
        duration_ms: step.duration_ms,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
