//! Model calls outside of an agent's run (`/compact`, `/llm-task`): admitted, limited in time, counted
//! and cancelled like a run.

pub(crate) mod compact;
pub(crate) mod llm_task;

use std::borrow::Cow;
use std::sync::Arc;

use llm::event::{Completion, Usage};
use llm::request::LlmRequest;
use llm::{CallContext, Cost, Received, Shown, Tally};
use serde_json::Value;
use service::trace::TraceId;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;
use uuid::Uuid;
use wombat_core::redact::Redactor;

use crate::call_log::log_mask;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::meter::{InFlight, complete_usage, estimate};
use crate::run::registry::Registration;
use crate::state::App;

/// The role of these calls, for offline scripts.
const ROLE: &str = "system";

/// Whose placeholders they are: no user's.
const NOBODY: &str = "";

/// One task, with its slot among the runs.
pub(crate) struct ModelTask<'a> {
    app: &'a App,
    registration: Registration,
    deadline: Instant,
    call_context: CallContext,
    /// The log span with its ids.
    log_span: tracing::Span,
    /// What is replaced, where any role has anything replaced.
    redactor: Option<Arc<Redactor>>,
}

impl<'a> ModelTask<'a> {
    /// Takes a slot.
    ///
    /// # Errors
    /// `Overloaded` or `Draining`.
    pub(crate) fn begin(app: &'a App, trace: &TraceId) -> Result<Self, RunError> {
        let registration = app.runs.register(Uuid::now_v7().to_string(), None)?;
        let deadline = Instant::now() + app.settings.run_timeout;
        let key = || app.settings.redact_key.clone();
        let rules = app.workspaces.redact_of_all();
        let redactor = rules.map(|rules| Redactor::new(Arc::new(rules), key(), NOBODY));
        let redactor = redactor.map(Arc::new);
        let call_context = CallContext {
            traceparent: Some(trace.traceparent()),
            deadline: Some(deadline),
            role: ROLE.to_owned(),
            user_text: None,
            without_fallback: false,
            case: None,
            tally: Tally::default(),
            received: Received::default(),
            log_mask: log_mask(redactor.as_ref()),
            shown: Shown::default(),
        };
        let run_id = &registration.handle.run_id;
        let log_span = tracing::error_span!("model_task", run_id, trace_id = %trace);
        Ok(Self { app, registration, deadline, call_context, log_span, redactor })
    }

    /// A text as the model gets it. The task belongs to no role, so that what any role keeps from providers is kept
    /// from them here, too, and comes back with the answer.
    pub(crate) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.redactor.as_ref().map_or(Cow::Borrowed(text), |redactor| redactor.redact(text))
    }

    /// A text for the log.
    pub(crate) fn logged<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let redactor = self.redactor.as_ref().filter(|redactor| redactor.rules().to.traces);
        redactor.map_or(Cow::Borrowed(text), |redactor| redactor.mask(text))
    }

    /// The same of a value.
    pub(crate) fn redact_value(&self, value: &mut Value) {
        if let Some(redactor) = &self.redactor {
            redactor.redact_value(value);
        }
    }

    /// A value of the model's, as the caller gets it.
    pub(crate) fn restore_value(&self, value: &mut Value) {
        if let Some(redactor) = &self.redactor {
            redactor.restore_value(value);
        }
    }

    /// What the model has said, as the caller gets it.
    pub(crate) fn restore(&self, text: String, is_json: bool) -> String {
        match &self.redactor {
            Some(redactor) => redactor.restore_as(&text, is_json).into_owned(),
            None => text,
        }
    }

    /// Calls the model. Dropping the future cancels the call.
    pub(crate) async fn call(&mut self, request: &LlmRequest) -> Result<Completion, RunError> {
        let handle = &self.registration.handle;
        let prompt_tokens = estimate(&request.messages, &request.tools);
        let begun = Instant::now();
        self.call_context.tally = Tally::default();
        self.call_context.received = Received::default();
        let in_flight = InFlight {
            model: request.model.clone(),
            prompt_tokens,
            received: self.call_context.received.clone(),
        };
        handle.meter.call_started(in_flight.clone());
        let asked =
            self.app.llm.complete(request, &self.call_context).instrument(self.log_span.clone());
        let asked = tokio::select! {
            asked = timeout_at(self.deadline, asked) => asked,
            why = handle.stopped() => return Err(RunError::new(why)),
        };
        let mut answered = match asked {
            Ok(asked) => asked.map_err(RunError::llm),
            Err(_) => Err(RunError::new(RunErrorKind::Timeout)),
        };
        if let Ok(completion) = &mut answered {
            complete_usage(&mut completion.usage, prompt_tokens, &completion.message);
        }
        let tally = &self.call_context.tally;
        self.app.metrics.model(&request.model, answered.as_ref().ok(), tally, begun.elapsed());
        match &answered {
            Ok(completion) => {
                self.app.book.add_estimates(&in_flight.broken());
                self.app.book.add(completion);
                handle.meter.call_finished(completion);
            }
            Err(_) => {
                self.app.book.add_estimates(&in_flight.used());
                handle.meter.call_failed();
            }
        }
        answered
    }

    /// Tokens and price so far.
    pub(crate) fn used(&self) -> (Usage, Cost) {
        let tally = self.registration.handle.meter.read();
        (tally.usage, tally.cost)
    }
}
