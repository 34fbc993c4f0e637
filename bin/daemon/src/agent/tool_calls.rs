//! The tool calls of one turn of the model.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use futures::stream;
use service::otel::Side;

use super::approval::{Verdict, refused};
use super::context::RunContext;
use super::journal::{ToolStep, millis};
use crate::run::answer::ToolRequestReport;
use crate::run::error::RunError;
use crate::run::events::RunEvent;
use crate::run::state_machine::PlannedCall;
use crate::tools::{ToolContext, ToolOutcome};

/// How many calls of one turn are made at once (docs/RUNS.md).
const PARALLEL_CALLS: usize = 8;

/// How the calls of one turn came out.
pub(super) enum Turn {
    /// All are done.
    Done(Vec<ToolStep>),
    /// These wait for a person's approval.
    AwaitingApproval(Vec<ToolRequestReport>),
}

impl RunContext<'_> {
    /// The calls of one turn, several at once, their outcomes in the model's order. Those that need
    /// a person are made once all of them are decided.
    pub(super) async fn call_tools(
        &self,
        calls: &[PlannedCall],
        at: u32,
        reason: &str,
    ) -> Result<Turn, RunError> {
        // The futures are made before they are put into the stream: a closure there would not be
        // `Send` for every lifetime.
        let places = (at..).zip(calls);
        let first: Vec<_> = places.map(|(at, call)| self.call_at(call, at, None)).collect();
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
            verdicts.push(self.verdict(&calls[*i], reason).await?);
        }
        let pending = |verdict: &Verdict| match verdict {
            Verdict::Pending(report) => Some(report.clone()),
            Verdict::Approved(_) | Verdict::Refused { .. } => None,
        };
        let pending: Vec<_> = verdicts.iter().filter_map(pending).collect();
        if !pending.is_empty() {
            return Ok(Turn::AwaitingApproval(pending));
        }
        let places = waiting.iter().zip(verdicts);
        let second: Vec<_> = places
            .map(|(i, verdict)| {
                let place = at + u32::try_from(*i).unwrap_or(u32::MAX);
                self.call_at(&calls[*i], place, Some(verdict))
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
        planned: &PlannedCall,
        at: u32,
        verdict: Option<Verdict>,
    ) -> Result<Option<ToolStep>, RunError> {
        if let Some(step) = self.journal.tool(at) {
            self.tell_call(planned).await;
            self.tell_result(&step).await;
            return Ok(Some(step));
        }
        let (outcome, tool_request_id) = match verdict {
            Some(Verdict::Refused { id, why }) => (refused(&planned.call.name, &why), Some(id)),
            // It has been told when it was found to need a person.
            Some(Verdict::Approved(id)) => (self.make_call(planned, true).await, Some(id)),
            Some(Verdict::Pending(_)) | None => {
                self.tell_call(planned).await;
                let outcome = self.make_call(planned, false).await;
                if outcome.waits && self.can_ask() {
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
        let known = self.tools.has(&step.name).then_some(step.name.as_str());
        self.run.app.metrics.tool(known, step.ok, outcome.duration);
        tracing::info!(
            tool = step.name,
            ok = step.ok,
            duration_ms = step.duration_ms,
            "tool called"
        );
        self.tell_result(&step).await;
        self.journal.put_tool(at, step).await.map(Some)
    }

    async fn make_call(&self, planned: &PlannedCall, approved: bool) -> ToolOutcome {
        let call = &planned.call;
        let mut span =
            self.run.span.child(Side::Internal, || format!("execute_tool {}", call.name));
        span.set("gen_ai.operation.name", "execute_tool");
        span.set("gen_ai.tool.name", call.name.clone());
        span.set("gen_ai.tool.call.id", call.id.clone());
        span.set_content("gen_ai.tool.call.arguments", || call.arguments.to_string());
        let (waits, traceparent) = (AtomicBool::new(false), span.traceparent());
        let client = self.client.clone().with_trace(&traceparent);
        let context = ToolContext {
            client: &client,
            snapshot: &self.snapshot,
            profile: &self.profile,
            run_key: self.run.run_key,
            task_id: &self.task_id,
            max_chars: self.run.app.settings.tool_result_max_chars,
            traceparent: Some(&traceparent),
            approved,
            asks: false,
            waits: &waits,
        };
        let outcome = self.tools.call(&context, planned).await;
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
        self.run.sink.tell(told).await;
    }

    async fn tell_result(&self, step: &ToolStep) {
        let told = || RunEvent::ToolResult {
            id: step.call_id.clone(),
            name: step.name.clone(),
            ok: step.ok,
            duration_ms: step.duration_ms,
        };
        self.run.sink.tell(told).await;
    }
}
