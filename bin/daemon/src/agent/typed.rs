//! Typed results (docs/RUNS.md): the final text has to be JSON of a schema. One that is not is sent back
//! with its errors, and the journal keeps that, so that a resumed run goes on counting.

use std::sync::Arc;

use llm::event::{Completion, FinishReason};
use llm::request::ResponseSchema;
use mc_client::runs::Run;
use serde::Deserialize as _;
use serde_json::Value;

use super::context::RunContext;
use super::finish::Progress;
use super::journal::RecordedRequest;
use crate::run::answer::{Ending, RunAnswer};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::{RestartReason, RunEvent};
use crate::run::output::{Mismatch, Output, OutputFormat};
use crate::run::state_machine::{Next, RunState};
use schemas::Schema;
use schemas::reply::{Checked, check, compile, unfenced};

/// The output of a run, ready for use.
#[derive(Debug)]
pub(super) struct Typed {
    strict: bool,
    /// Whether the schema is the role's, and not the caller's.
    pub(super) fixed: bool,
    schema: Arc<Schema>,
    /// What the model's provider gets of it.
    pub(super) wanted: Arc<ResponseSchema>,
}

impl Typed {
    /// Compiles the schema.
    ///
    /// # Errors
    /// `PolicyInvalid`: a caller's schema was compiled when the request was read, so that this one is the
    /// role's.
    pub(super) async fn of(format: &OutputFormat, role: &str) -> Result<Self, RunError> {
        let schema = compile(&format.schema).await.map_err(|why| {
            RunError::new(RunErrorKind::PolicyInvalid(format!(
                "agent-config.json: agent {role:?}: output.schema: {why}"
            )))
        })?;
        let wanted = ResponseSchema::new(&format.name, format.schema.clone()).into();
        Ok(Self { strict: format.strict, fixed: format.fixed, schema, wanted })
    }

    /// Whether text is an answer, too, where no reply fits.
    pub(super) fn is_lax(&self) -> bool {
        !self.strict
    }

    /// What the system prompt says of it. Every model gets this: not all are held to the schema by their
    /// provider, or to all of it.
    pub(super) fn instruction(format: &OutputFormat) -> String {
        format!(
            "\n\nYour final reply is read by a program: it is JSON alone that fits this JSON Schema, \
             without a code block, a greeting or an explanation. Call tools before it as you need \
             them.\n{}",
            format.schema
        )
    }

    /// Reads and checks a final text.
    async fn check(&self, text: &str, finish_reason: FinishReason) -> Checked {
        let mut checked = check(text, &self.schema).await;
        if !checked.errors.is_empty() && finish_reason == FinishReason::Length {
            let why = "the answer was cut off at the output limit; a shorter one may fit";
            checked.errors.insert(0, why.to_owned());
        }
        checked
    }

    /// What a stored reply, written by an earlier attempt, has as output.
    async fn of_stored(&self, text: &str) -> Output {
        let Checked { output, errors } = check(text, &self.schema).await;
        if errors.is_empty() { Output::Fits(output) } else { Output::Misfits(errors) }
    }
}

/// What a stored reply has as output, where the run's journal says that it was to have one.
pub(crate) async fn output_of_stored(run: &Run, text: &str) -> Option<Output> {
    let first = run.steps.iter().find(|step| step.index == 0)?;
    let format = RecordedRequest::deserialize(&first.payload).ok()?.output?;
    Some(of_stored(&format, run.session_key.as_deref().unwrap_or_default(), text).await)
}

async fn of_stored(format: &OutputFormat, of: &str, text: &str) -> Output {
    match Typed::of(format, of).await {
        Ok(typed) => typed.of_stored(text).await,
        Err(error) => Output::Misfits(vec![error.message()]),
    }
}

impl RunState {
    /// Takes up an answer of the model, and what is wrong with it. Whether it has to be written anew.
    pub(super) fn take(&mut self, completion: Completion, errors: &[String]) -> bool {
        self.on_completion(completion);
        !errors.is_empty() && self.on_misfit(errors)
    }
}

impl RunContext<'_> {
    /// The output of the run: as the journal has it, else as the request does.
    pub(super) async fn typed(
        &self,
        recorded: Option<&OutputFormat>,
    ) -> Result<Option<Typed>, RunError> {
        let Some(format) = recorded else { return Ok(None) };
        Typed::of(format, self.run.request.session.role().as_str()).await.map(Some)
    }

    /// What is wrong with the final text that an answer of the model ends the conversation with; empty
    /// where all fits, or the conversation goes on.
    pub(super) async fn misfits(&self, typed: &Typed, after: &RunState) -> Vec<String> {
        match after.next() {
            Next::Reply { text, finish_reason } => {
                let text = self.shown(text, true);
                typed.check(&text, finish_reason).await.errors
            }
            Next::Ask { .. } | Next::CallTools(_) | Next::Fail(_) => Vec::new(),
        }
    }

    /// Tells that the text of a turn is void.
    pub(super) async fn take_back(&self, step: u32) {
        let reason = RestartReason::Schema;
        self.run.sink.send(|| RunEvent::Restarted { step, from: 0, reason }).await;
    }

    /// Ends a run whose reply has to fit: stores the JSON, or what is left when no reply ever fitted.
    /// `step` is the turn that wrote the text.
    pub(super) async fn store_typed(
        &self,
        typed: &Typed,
        (text, finish_reason, step): (&str, FinishReason, u32),
        mut progress: Progress,
    ) -> Result<RunAnswer, RunError> {
        let Checked { output, errors } = typed.check(text, finish_reason).await;
        if !errors.is_empty() && typed.strict {
            self.take_back(step).await;
            let mismatch = Box::new(Mismatch { errors, output });
            let error = RunError::new(RunErrorKind::SchemaMismatch(mismatch));
            return Err(self.attach(error, text, &progress.steps));
        }
        let json = if errors.is_empty() { unfenced(text) } else { text };
        if json.len() < text.trim().len() {
            // What was told has a code block around it.
            self.take_back(step).await;
            let data = json.to_owned();
            self.run.sink.send(|| RunEvent::Chunk { data, step: Some(step) }).await;
        }
        progress.output =
            Some(if errors.is_empty() { Output::Fits(output) } else { Output::Misfits(errors) });
        let mut answer = self.store_reply(json, finish_reason, progress).await?;
        if matches!(answer.ending, Ending::Replayed(_)) && answer.response != json {
            // Another run with this key was first.
            answer.output = Some(typed.of_stored(&answer.response).await);
        }
        Ok(answer)
    }

    /// The output of a reply that an earlier run stored.
    pub(super) async fn stored_output(&self, text: &str) -> Option<Output> {
        // A journal that cannot be trusted keeps nobody from a reply that is stored.
        let recorded = self.journal.recorded_request().ok().flatten();
        let format = match recorded {
            Some(recorded) => recorded.output?,
            None => self.run.request.output.as_deref()?.clone(),
        };
        Some(of_stored(&format, self.run.request.session.role().as_str(), text).await)
    }

    /// The output as the backend stores it with the message.
    pub(super) fn data_of(&self, progress: &Progress) -> Option<Value> {
        match &progress.output {
            Some(Output::Fits(output)) if self.capabilities.has("message_data") => {
                Some(output.clone())
            }
            Some(Output::Fits(_) | Output::Misfits(_)) | None => None,
        }
    }
}
