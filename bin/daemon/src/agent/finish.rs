//! The end of a run: the reply and the plan are stored, and the answer is put together.

use llm::event::FinishReason;
use wombat_core::heartbeat::{HeartbeatReply, heartbeat_reply};

use super::context::RunContext;
use super::store;
use crate::run::answer::{RunAnswer, StepReport};
use crate::run::error::{Produced, RunError};
use crate::run::events::RunEvent;
use crate::run::request::RunKind;

impl RunContext<'_> {
    /// Stores the reply and, for a kickoff, the plan.
    pub(super) async fn store(
        &self,
        text: &str,
        finish_reason: FinishReason,
        steps: Vec<StepReport>,
    ) -> Result<RunAnswer, RunError> {
        let is_heartbeat = self.run.request.options.kind == RunKind::Heartbeat;
        let finish_reason = Some(finish_reason.as_str().to_owned());
        let text = match heartbeat_reply(text, is_heartbeat) {
            HeartbeatReply::Reply(text) => text,
            HeartbeatReply::Silent => {
                let answer = self.answer(text.to_owned(), steps);
                return Ok(RunAnswer { silent: Some(true), finish_reason, ..answer });
            }
        };
        let stored =
            store::reply(&self.client, self.run.request, self.run.run_key, &self.task_id, &text)
                .await;
        let stored = stored
            .map_err(|error| RunError::not_stored(&error, self.produced(&text, &steps, None)))?;
        // The reply that the backend holds is the one that is told.
        let text = if stored.was_there { stored.message.content } else { text };
        let answer = RunAnswer {
            message_id: Some(stored.message.id),
            replayed: (stored.was_there || self.is_completed()).then_some(true),
            finish_reason,
            ..self.answer(text, steps)
        };
        self.with_plan(answer).await
    }

    /// The reply was stored by an earlier run: nothing is asked again. A plan that it did not get
    /// to store is stored now.
    pub(super) async fn replay(
        &self,
        stored: mc_client::types::Message,
    ) -> Result<RunAnswer, RunError> {
        let text = stored.content;
        let told = || RunEvent::Chunk { data: text.clone() };
        self.run.sink.tell(told).await;
        let answer = RunAnswer {
            message_id: Some(stored.id),
            replayed: Some(true),
            ..self.answer(text, Vec::new())
        };
        self.with_plan(answer).await
    }

    async fn with_plan(&self, answer: RunAnswer) -> Result<RunAnswer, RunError> {
        let Some(kickoff) = &self.run.request.options.kickoff else { return Ok(answer) };
        let (key, task_id) = (self.run.run_key, &self.task_id);
        let plan = store::plan(&self.client, kickoff, key, task_id, &answer.response).await;
        let plan = plan.map_err(|error| {
            let message_id = answer.message_id.clone();
            let produced = self.produced(&answer.response, &answer.steps, message_id);
            RunError::not_stored(&error, produced)
        })?;
        Ok(RunAnswer { plan_document_id: Some(plan.id), ..answer })
    }

    pub(super) fn answer(&self, response: String, steps: Vec<StepReport>) -> RunAnswer {
        let tally = self.run.handle.meter.read();
        RunAnswer {
            status: "ok",
            run_id: self.run.handle.run_id.clone(),
            task_id: self.task_id.clone(),
            trace_id: self.run.trace.to_string(),
            message_id: None,
            response,
            usage: tally.usage,
            cost: tally.cost,
            model: None,
            provider: None,
            finish_reason: None,
            steps,
            workspace_digest: self.snapshot.digest().to_owned(),
            plan_document_id: None,
            context_warning: None,
            replayed: None,
            silent: None,
            run_key: None,
            tool_requests: None,
        }
    }

    /// A failure with what the run has to show, if it has anything.
    pub(super) fn attach(&self, error: RunError, text: &str, steps: &[StepReport]) -> RunError {
        error.with(self.produced(text, steps, None))
    }

    fn produced(&self, text: &str, steps: &[StepReport], message_id: Option<String>) -> Produced {
        let tally = self.run.handle.meter.read();
        Produced {
            response: text.to_owned(),
            usage: tally.usage,
            cost: tally.cost,
            run_id: self.run.handle.run_id.clone(),
            task_id: self.task_id.clone(),
            steps: steps.to_vec(),
            message_id,
        }
    }
}
