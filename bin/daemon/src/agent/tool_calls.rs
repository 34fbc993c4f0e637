//! The tool calls of one turn of the model: concurrent, journaled, with approval where needed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use daemon_api::{Step, ToolRequest};
use futures::StreamExt as _;
use futures::stream;
use service::otel::Side;

use super::approval::Decision;
use super::context::RunContext;
use super::journal::{ToolStep, millis};
use crate::run::error::RunError;
use crate::run::events::RunEvent;
use crate::run::state_machine::PlannedCall;
use crate::tools::{RequestedCall, ToolContext, ToolReply};

/// How many calls of one turn are made concurrently (docs/RUNS.md).
const PARALLEL_CALLS: usize = 8;

/// The result of the calls of one turn.
pub(super) enum Turn {
    /// All are done.
    Done(Vec<ToolStep>),
    /// These wait for a person's approval.
    AwaitingApproval(Vec<ToolRequest>),
}

/// The reports of the calls of one turn that are done, by their places in the journal. They outlive the
/// turn when that is given up at the run's deadline.
#[derive(Default)]
pub(super) struct Finished(Mutex<BTreeMap<u32, Step>>);

impl Finished {
    fn add(&self, at: u32, step: &ToolStep) {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reports.insert(at, step.report());
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
        calls: &[PlannedCall],
        at: u32,
        reason: &str,
        finished: &Finished,
    ) -> Result<Turn, RunError> {
        // The futures are made before they are put into the stream: a closure there would not be
        // `Send` for every lifetime.
        let places = (at..).zip(calls);
        let first: Vec<_> =
            places.map(|(at, call)| self.call_at(call, at, None, finished)).collect();
        let first: Vec<_> = stream::iter(first).buffered(PARALLEL_CALLS).collect().await;
        let mut done = Vec::with_capacity(calls.len());
        for outcome in first {
            done.push(outcome?);
        }
        if done.iter().all(Option::is_some) {
            return Ok(Turn::Done(done.into_iter().flatten().collect()));
        }
        let waiting: Vec<usize> = (0..calls.len()).filter(|i| done[*i].is_none()).collect();
        let mut decisions = Vec::with_capacity(waiting.len());
        for i in &waiting {
            decisions.push(self.decision(&calls[*i], reason).await?);
        }
        let pending = |decision: &Decision| match decision {
            Decision::Pending(report) => Some(report.clone()),
            Decision::Approved(_) | Decision::Denied { .. } => None,
        };
        let pending: Vec<_> = decisions.iter().filter_map(pending).collect();
        if !pending.is_empty() {
            return Ok(Turn::AwaitingApproval(pending));
        }
        let places = waiting.iter().zip(decisions);
        let second: Vec<_> = places
            .map(|(i, decision)| {
                let place = at + u32::try_from(*i).unwrap_or(u32::MAX);
                self.call_at(&calls[*i], place, Some(decision), finished)
            })
            .collect();
        let second: Vec<_> = stream::iter(second).buffered(PARALLEL_CALLS).collect().await;
        for (i, outcome) in waiting.into_iter().zip(second) {
            done[i] = outcome?;
        }
        Ok(Turn::Done(done.into_iter().flatten().collect()))
    }

    /// One call: its step from the journal, or made and written there. `None` when it needs a
    /// person's approval and no decision was given.
    async fn call_at(
        &self,
        planned: &PlannedCall,
        at: u32,
        decision: Option<Decision>,
        finished: &Finished,
    ) -> Result<Option<ToolStep>, RunError> {
        if let Some(step) = self.journal.tool(at)? {
            finished.add(at, &step);
            self.send_call(planned).await;
            self.send_result(&step).await;
            return Ok(Some(step));
        }
        let (reply, took, tool_request_id) = match decision {
            Some(Decision::Denied { id, why }) => {
                (ToolReply::Denied(why), Duration::ZERO, Some(id))
            }
            // Its event was sent when it was found to need approval.
            Some(Decision::Approved(id)) => {
                let (reply, took) = self.make_call(planned, true).await;
                (reply, took, Some(id))
            }
            Some(Decision::Pending(_)) | None => {
                self.send_call(planned).await;
                let (reply, took) = self.make_call(planned, false).await;
                if matches!(reply, ToolReply::NeedsApproval(_)) && self.can_request_approval() {
                    return Ok(None);
                }
                (reply, took, None)
            }
        };
        let step = ToolStep {
            call_id: planned.call.id.clone(),
            name: planned.call.name.clone(),
            arguments: planned.call.arguments.clone(),
            nth: planned.nth,
            ok: reply.is_ok(),
            unclear: reply.is_unclear(),
            content: self.content(&reply, planned),
            duration_ms: millis(took),
            tool_request_id,
        };
        let known = self.tools.has(&step.name).then_some(step.name.as_str());
        self.run.app.metrics.tool(known, step.ok, took);
        // The model may have written anything.
        let logged = known.unwrap_or("unknown");
        tracing::info!(tool = logged, ok = step.ok, duration_ms = step.duration_ms, "tool called");
        finished.add(at, &step);
        self.send_result(&step).await;
        self.journal.put_tool(at, step).await.map(Some)
    }

    /// The text of a reply for the model.
    fn content(&self, reply: &ToolReply, planned: &PlannedCall) -> String {
        let tool = match reply {
            ToolReply::Denied(_) => &planned.call.name,
            _ => RequestedCall::of(&planned.call).tool,
        };
        reply.content(tool, self.run.app.settings.tool_result_max_chars, self.run.fence)
    }

    /// Makes a call, within a span of its own; says how long it took.
    async fn make_call(&self, planned: &PlannedCall, approved: bool) -> (ToolReply, Duration) {
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
            run_key: self.run.run_key,
            task_id: &self.task_id,
            traceparent: Some(&traceparent),
            approved,
            approval_required: false,
        };
        let started = Instant::now();
        let reply = self.tools.call(&context, planned).await;
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
        let call = &planned.call;
        let event = || RunEvent::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        };
        self.run.sink.send(event).await;
    }

    /// Sends the event of a result.
    async fn send_result(&self, step: &ToolStep) {
        let event = || RunEvent::ToolResult {
            id: step.call_id.clone(),
            name: step.name.clone(),
            ok: step.ok,
            duration_ms: step.duration_ms,
        };
        self.run.sink.send(event).await;
    }
}
