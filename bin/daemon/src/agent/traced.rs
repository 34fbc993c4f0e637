//! What the spans of a run say: `invoke_agent` and `chat`, in OpenTelemetry's conventions for generative AI. Where
//! nothing is recorded, nothing of this is computed.

use std::sync::Arc;

use llm::event::{Completion, Usage};
use llm::request::LlmRequest;
use llm::{ModelRef, Provider, Received};
use serde_json::json;
use service::otel::{Side, Span};
use service::trace::TraceId;
use wombat_core::redact::Redactor;

use super::context::RunContext;
use super::gen_ai;
use super::redaction::{logged, traced};
use crate::run::answer::RunAnswer;
use crate::run::error::RunError;
use crate::run::registry::RunHandle;
use crate::run::request::{RunRequest, TaskTarget};
use crate::run::state_machine::PlannedCall;
use crate::tools::{OwnCall, ToolReply};

/// The span of a run.
pub(super) fn begin(
    trace: &TraceId,
    request: &RunRequest,
    run_id: &str,
    redactor: Option<&Arc<Redactor>>,
) -> Span {
    let role = request.session.role();
    let mut span = Span::of_run(trace, || format!("invoke_agent {role}"));
    name(&mut span, request, run_id, redactor);
    span
}

/// The span of a run below another one.
pub(super) fn begin_below(
    above: &Span,
    request: &RunRequest,
    run_id: &str,
    redactor: Option<&Arc<Redactor>>,
) -> Span {
    let role = request.session.role();
    let mut span = above.child(Side::Internal, || format!("invoke_agent {role}"));
    name(&mut span, request, run_id, redactor);
    span
}

fn name(span: &mut Span, request: &RunRequest, run_id: &str, redactor: Option<&Arc<Redactor>>) {
    if !span.is_recorded() {
        return;
    }
    let session = &request.session;
    span.set("gen_ai.operation.name", "invoke_agent");
    span.set("gen_ai.agent.name", session.role().to_string());
    span.set("user.id", logged(redactor, session.user().as_str()).into_owned());
    span.set("wombat.run_id", run_id.to_owned());
    span.set_session(|| match &request.task {
        TaskTarget::Id(id) => id.clone(),
        TaskTarget::Title { .. } => logged(redactor, &session.to_string()).into_owned(),
    });
}

/// The end of a run. One that waits for a person has not failed.
pub(super) fn describe(
    span: &mut Span,
    (request, redactor): (&RunRequest, Option<&Arc<Redactor>>),
    handle: &RunHandle,
    result: &Result<RunAnswer, RunError>,
) {
    if !span.is_recorded() {
        return;
    }
    set_usage(span, &handle.meter.read_with_estimate().usage);
    let said = match result {
        Ok(answer) => {
            span.set_conversation(&answer.task_id);
            if let Some(why) = answer.finish_reason {
                span.set_list("gen_ai.response.finish_reasons", gen_ai::finish_reason(why));
            }
            span.set("wombat.ending", answer.ending.as_str());
            span.succeed();
            Some((&answer.response, answer.finish_reason.map_or("stop", gen_ai::finish_reason)))
        }
        Err(error) => {
            span.fail(error.code());
            error.produced.as_ref().map(|produced| (&produced.response, "error"))
        }
    };
    if !span.has_content() {
        return;
    }
    if !request.message.is_empty() || !request.attachments.is_empty() {
        let files = request.attachments.iter().map(|attached| &attached.file);
        let files = files.map(|f| gen_ai::file(&f.name, &f.media_type, f.size, &f.sha256));
        let messages = json!([gen_ai::user(&request.message, files)]);
        span.set("gen_ai.input.messages", traced(redactor, messages));
        span.set(INPUT, logged(redactor, &request.message).into_owned());
    }
    if let Some((text, why)) = said.filter(|(text, _)| !text.is_empty()) {
        span.set("gen_ai.output.messages", traced(redactor, gen_ai::reply(text, why)));
        span.set(OUTPUT, logged(redactor, text).into_owned());
    }
}

/// OpenInference's names of what went into a span and came out: Phoenix lists them, and does not take them from
/// the conventions' messages.
const INPUT: &str = "input.value";
const OUTPUT: &str = "output.value";

/// What notes how much of an answer has come, for the span of a call.
pub(super) fn received(span: &Span) -> Received {
    if span.is_recorded() { Received::with_id() } else { Received::default() }
}

/// A model call.
pub(super) fn describe_call(
    span: &mut Span,
    model: &ModelRef,
    request: &LlmRequest,
    redactor: Option<&Arc<Redactor>>,
) {
    if !span.is_recorded() {
        return;
    }
    span.set("gen_ai.operation.name", "chat");
    span.set("gen_ai.provider.name", gen_ai::provider(model.provider));
    span.set("gen_ai.request.model", model.name.clone());
    // However much of it is passed on.
    if model.provider != Provider::Offline {
        span.set("gen_ai.request.stream", true);
    }
    if request.response_schema.is_some() {
        span.set("gen_ai.output.type", "json");
    }
    if let Some(limit) = request.max_output_tokens {
        span.set("gen_ai.request.max_tokens", i64::from(limit));
    }
    if !span.has_content() {
        return;
    }
    let messages = &request.messages;
    span.set("gen_ai.system_instructions", traced(redactor, gen_ai::instructions(messages)));
    span.set("gen_ai.input.messages", traced(redactor, gen_ai::input(messages)));
    // They are the role's, not a person's.
    if !request.tools.is_empty() {
        span.set("gen_ai.tool.definitions", gen_ai::definitions(&request.tools).to_string());
    }
}

/// What came of it.
pub(super) fn describe_answer(
    span: &mut Span,
    result: &Result<Completion, RunError>,
    received: &Received,
    redactor: Option<&Arc<Redactor>>,
) {
    if !span.is_recorded() {
        return;
    }
    if let Some(id) = received.id() {
        span.set("gen_ai.response.id", id);
    }
    match result {
        Ok(completion) => {
            let why = completion.finish_reason;
            span.set("gen_ai.provider.name", gen_ai::provider(completion.provider));
            span.set("gen_ai.response.model", completion.model.clone());
            span.set_list("gen_ai.response.finish_reasons", gen_ai::finish_reason(why));
            set_usage(span, &completion.usage);
            span.set_content("gen_ai.output.messages", || {
                traced(redactor, gen_ai::output(&completion.message, why))
            });
            span.succeed();
        }
        Err(error) => {
            span.set_list("gen_ai.response.finish_reasons", "error");
            span.fail(error.code());
        }
    }
}

fn set_usage(span: &mut Span, usage: &Usage) {
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    span.set("gen_ai.usage.input_tokens", count(usage.prompt_tokens));
    span.set("gen_ai.usage.output_tokens", count(usage.completion_tokens));
    for (key, tokens) in [
        ("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens),
        ("gen_ai.usage.cache_write.input_tokens", usage.cache_write_tokens),
        // Its name until 2026, which Phoenix reads.
        ("gen_ai.usage.cache_creation.input_tokens", usage.cache_write_tokens),
        ("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens),
    ] {
        if tokens > 0 {
            span.set(key, count(tokens));
        }
    }
}

impl RunContext<'_> {
    /// What came of a tool call. One that `waits`, or that a person is asked about, has not failed.
    pub(super) fn trace_reply(
        &self,
        span: &mut Span,
        (reply, kept): (&ToolReply, Option<&str>),
        waits: bool,
        planned: &PlannedCall,
    ) {
        let asks = matches!(
            reply,
            ToolReply::NeedsApproval(_)
                | ToolReply::InDoubt(_)
                | ToolReply::OfRun(OwnCall::Question(_))
        );
        if waits || (asks && self.can_request_approval()) {
            return span.succeed();
        }
        span.set_content("gen_ai.tool.call.result", || {
            // What was kept of a long one is not looked through once more.
            let content = kept.map_or_else(|| self.content(reply, planned), str::to_owned);
            logged(self.redactor.as_ref(), &content).into_owned()
        });
        if reply.is_ok() { span.succeed() } else { span.fail("tool_error") }
    }
}
