//! The tool calls of one turn of the model: concurrent, journaled, with approval where needed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use daemon_api::{Step, ToolRequest};
use futures::StreamExt as _;
use futures::stream;
use service::otel::Side;

use super::approval::Decision;
use super::attempts::{Attempt, Attempts, TurnOrigin};
use super::context::RunContext;
use super::journal::{CallingStep, ToolStep, millis, report};
use crate::run::attachments::{KnownFile, known};
use crate::run::error::RunError;
use crate::run::events::RunEvent;
use crate::run::state_machine::PlannedCall;
use crate::tools::{RequestedCall, ToolContext, ToolReply};

/// How many calls of one turn are made concurrently (docs/RUNS.md).
const PARALLEL_CALLS: usize = 8;

/// The result of the calls of one turn.
pub(super) enum Turn {
    /// All are done.
    Done {
        /// Their results.
        steps: Vec<ToolStep>,
        /// How many steps of the journal the turn takes.
        places: u32,
    },
    /// These wait for a person's approval.
    AwaitingApproval(Vec<ToolRequest>),
}

/// What came of one call.
enum Called {
    Done(Box<ToolStep>),
    /// A person has to decide; `by_rule` unless only because the call may have taken effect already.
    Waits {
        by_rule: bool,
    },
}

/// The reports of the calls of one turn that are done, by their places in the journal. They outlive the
/// turn when that is given up at the run's deadline.
#[derive(Default)]
pub(super) struct Finished(Mutex<BTreeMap<u32, Step>>);

impl Finished {
    fn add(&self, at: u32, step: &ToolStep) {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reports.insert(at, report(step));
    }

    /// The reports, in the model's order.
    pub(super) fn into_reports(self) -> impl Iterator<Item = Step> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).into_values()
    }
}

impl RunContext<'_> {
    /// Makes the calls of one turn, several at once; their steps come in the model's order. Calls
    /// that need approval are made once all of them are decided; until then the run waits.
    /// `reason` is what the model said with the calls; what is done goes into `finished`, too.
    pub(super) async fn call_tools(
        &self,
        (calls, at): (&[PlannedCall], u32),
        reason: &str,
        attempts: &Attempts,
        origin: &TurnOrigin,
        finished: &Finished,
    ) -> Result<Turn, RunError> {
        let after = at.saturating_add(count(calls));
        let callings = self.journal.callings(after)?;
        let (key, tools) = (self.run.run_key, (&*self.tools, &self.profile));
        let attempts = Attempt::of_turn((calls, at), key, tools, attempts, origin, &callings);
        let mut places = count(calls).saturating_add(count(&callings));
        // The futures are made before they are put into the stream: a closure there would not be
        // `Send` for every lifetime.
        let first: Vec<_> =
            attempts.iter().map(|attempt| self.call_at(attempt, None, finished)).collect();
        let first: Vec<_> = stream::iter(first).buffered(PARALLEL_CALLS).collect().await;
        let mut steps = Vec::with_capacity(calls.len());
        let mut waiting = Vec::new();
        for (attempt, called) in attempts.iter().zip(first) {
            match called? {
                Called::Done(step) => steps.push((attempt.at, *step)),
                Called::Waits { by_rule } => waiting.push((attempt, by_rule)),
            }
        }
        if !waiting.is_empty() {
            let mut decisions = Vec::with_capacity(waiting.len());
            for (attempt, by_rule) in &waiting {
                decisions.push(self.decision(attempt, *by_rule, reason).await?);
            }
            let pending: Vec<_> = decisions.iter().filter_map(Decision::pending).collect();
            if !pending.is_empty() {
                return Ok(Turn::AwaitingApproval(pending));
            }
            let decided: Vec<_> =
                waiting.into_iter().map(|(attempt, _)| attempt).zip(decisions).collect();
            places += self.announce(&decided, at.saturating_add(places)).await?;
            let second: Vec<_> = decided
                .into_iter()
                .map(|(attempt, decision)| async {
                    (attempt.at, self.call_at(attempt, Some(decision), finished).await)
                })
                .collect();
            let second: Vec<_> = stream::iter(second).buffered(PARALLEL_CALLS).collect().await;
            for (at, called) in second {
                if let Called::Done(step) = called? {
                    steps.push((at, *step));
                }
            }
        }
        steps.sort_by_key(|(at, _)| *at);
        let steps = steps.into_iter().map(|(_, step)| step).collect();
        Ok(Turn::Done { steps, places })
    }

    /// Writes down which approved calls are about to be made, where their servers may not recognise a
    /// repetition. Returns how many steps that took.
    async fn announce(
        &self,
        decided: &[(&Attempt<'_>, Decision)],
        at: u32,
    ) -> Result<u32, RunError> {
        let is_made = |(attempt, decision): &&(&Attempt<'_>, Decision)| {
            attempt.is_announced() && matches!(decision, Decision::Approved(_))
        };
        let calls: Vec<_> = decided.iter().filter(is_made).map(|(attempt, _)| attempt.at).collect();
        if calls.is_empty() {
            return Ok(0);
        }
        let step = CallingStep { calls, run_id: self.run.handle.run_id.clone() };
        self.journal.put_calling(at, &step).await?;
        Ok(1)
    }

    /// One call: its step from the journal, or made and written there; or it waits for a person, where
    /// no decision is given.
    async fn call_at(
        &self,
        attempt: &Attempt<'_>,
        decision: Option<Decision>,
        finished: &Finished,
    ) -> Result<Called, RunError> {
        let (planned, at) = (attempt.planned, attempt.at);
        if let Some(step) = self.journal.tool(at)? {
            finished.add(at, &step);
            // Readers of a detached run have it from the journal.
            if self.run.sink.recorded().is_none() {
                self.send_call(planned).await;
                self.send_result(&step).await;
            }
            return Ok(Called::Done(Box::new(step)));
        }
        let (reply, took, tool_request_id) = match decision {
            Some(Decision::Denied { id, why }) => {
                (ToolReply::Denied(why), Duration::ZERO, Some(id))
            }
            // Its event was sent when it was found to need approval.
            Some(Decision::Approved(id)) => {
                let (reply, took) = self.make_call(attempt, true).await;
                (reply, took, Some(id))
            }
            Some(Decision::Pending(_)) | None => {
                self.send_call(planned).await;
                let (reply, took) = self.make_call(attempt, false).await;
                match &reply {
                    ToolReply::NeedsApproval(_) if self.can_request_approval() => {
                        return Ok(Called::Waits { by_rule: true });
                    }
                    ToolReply::InDoubt(_) if self.can_request_approval() => {
                        return Ok(Called::Waits { by_rule: false });
                    }
                    _ => (reply, took, None),
                }
            }
        };
        let refused = reply.refusal().map(|said| {
            let session = &self.run.request.session;
            let (user, role) = (session.user().as_str(), session.role().as_str());
            format!("{said} (user {user:?}, role {role:?})")
        });
        let (files, saved) = Box::pin(self.files_of(&reply)).await;
        let mut step = ToolStep {
            files,
            saved,
            call_id: planned.call.id.clone(),
            name: planned.call.name.clone(),
            arguments: planned.call.arguments.clone(),
            nth: planned.nth,
            ok: reply.is_ok(),
            unclear: reply.is_unclear(),
            operation: attempt.identity.operation.clone(),
            key: reply.is_made().then(|| attempt.key.clone()),
            content: self.content(&reply, planned),
            refused,
            error: reply.failure(),
            duration_ms: millis(took),
            tool_request_id,
            first_event: None,
            last_event: None,
        };
        let known = self.tools.has(&step.name).then_some(step.name.as_str());
        self.run.app.metrics.tool(known, step.ok, took);
        // The model may have written anything.
        let logged = known.unwrap_or("unknown");
        let (ok, duration_ms, error) = (step.ok, step.duration_ms, step.error.as_deref());
        tracing::info!(tool = logged, ok, duration_ms, error, "tool called");
        if let Some(refused) = &step.refused {
            tracing::warn!(tool = logged, refused, "the backend refused the call");
        }
        finished.add(at, &step);
        if let Some(recording) = self.run.sink.recorded() {
            step.first_event = recording.push(call_event(planned));
            step.last_event = recording.push(result_event(&step));
        } else {
            self.send_result(&step).await;
        }
        self.journal.put_tool(at, step).await.map(|step| Called::Done(Box::new(step)))
    }

    /// The files of a reply: those of its result, and the one that the call has made.
    async fn files_of(&self, reply: &ToolReply) -> (Vec<KnownFile>, Option<KnownFile>) {
        match reply {
            ToolReply::Files { files, .. } => (self.keep_files(files).await, None),
            ToolReply::Saved(file) => (Vec::new(), Some(known(file))),
            ToolReply::Data(_)
            | ToolReply::Trusted(_)
            | ToolReply::Rejected(_)
            | ToolReply::Unclear(_)
            | ToolReply::NotMade(_)
            | ToolReply::NotSent(_)
            | ToolReply::NeedsApproval(_)
            | ToolReply::InDoubt(_)
            | ToolReply::Denied(_) => (Vec::new(), None),
        }
    }

    /// The text of a reply for the model.
    fn content(&self, reply: &ToolReply, planned: &PlannedCall) -> String {
        let tool = match reply {
            ToolReply::Denied(_) => &planned.call.name,
            _ => RequestedCall::of(&planned.call).tool,
        };
        reply.content(tool, self.run.app.settings.tool_result_max_chars, self.run.fence())
    }

    /// Makes a call, within a span of its own; says how long it took.
    async fn make_call(&self, attempt: &Attempt<'_>, approved: bool) -> (ToolReply, Duration) {
        let planned = attempt.planned;
        let call = &planned.call;
        let mut span =
            self.run.span.child(Side::Internal, || format!("execute_tool {}", call.name));
        span.set("gen_ai.operation.name", "execute_tool");
        span.set("gen_ai.tool.name", call.name.clone());
        span.set("gen_ai.tool.call.id", call.id.clone());
        span.set_content("gen_ai.tool.call.arguments", || call.arguments.to_string());
        let traceparent = span.traceparent();
        let client = self.client.clone().with_trace(&traceparent);
        let context = ToolContext {
            client: &client,
            snapshot: &self.snapshot,
            profile: &self.profile,
            tools: &self.tools,
            task_id: &self.task_id,
            traceparent: Some(&traceparent),
            approved,
            approval_required: false,
            in_doubt: attempt.is_in_doubt(),
        };
        let started = Instant::now();
        let reply = self.tools.call(&context, call, &attempt.key).await;
        let took = started.elapsed();
        span.set_content("gen_ai.tool.call.result", || self.content(&reply, planned));
        if reply.is_ok() {
            span.succeed()
        } else {
            span.fail("tool_error")
        }
        (reply, took)
    }

    /// Sends the event of a call.
    async fn send_call(&self, planned: &PlannedCall) {
        self.run.sink.send(|| call_event(planned)).await;
    }

    /// Sends the event of a result.
    async fn send_result(&self, step: &ToolStep) {
        self.run.sink.send(|| result_event(step)).await;
    }
}

fn call_event(planned: &PlannedCall) -> RunEvent {
    let call = &planned.call;
    RunEvent::ToolCall {
        id: call.id.clone(),
        name: call.name.clone(),
        arguments: call.arguments.clone(),
    }
}

fn result_event(step: &ToolStep) -> RunEvent {
    RunEvent::ToolResult {
        id: step.call_id.clone(),
        name: step.name.clone(),
        ok: step.ok,
        duration_ms: step.duration_ms,
        error: step.error.clone(),
    }
}

/// How many there are; a turn never has more than fit.
fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}
