//! The end of a conversation: stores the reply and the plan, and builds the answer.

use daemon_api::{RefusedCall, RefusedMention, Step};
use llm::event::FinishReason;
use llm::model::ModelRef;
use mc_client::error::McError;
use mc_client::types::{FileRef, Message};
use wombat_core::heartbeat::{HeartbeatReply, heartbeat_reply};

use super::context::RunContext;
use super::file_report::saved_of;
use super::journal::refused;
use super::refusals::is_same_task;
use super::store::{self, Reply};
use crate::run::answer::{Ending, RunAnswer, StoredReply};
use crate::run::attachments::saved;
use crate::run::error::{Produced, RunError, RunErrorKind};
use crate::run::events::RunEvent;
use crate::run::output::Output;
use crate::run::recap::Recap;
use crate::run::request::RunKind;
use crate::tools::Mentions;

/// What a conversation has produced so far.
#[derive(Default)]
pub(super) struct Progress {
    /// The tools that were called, in order.
    pub(super) steps: Vec<Step>,
    /// The model that answered last.
    pub(super) model: Option<ModelRef>,
    /// Set when the prompt is close to the model's context window.
    pub(super) context_warning: Option<String>,
    /// What became of the reply where it has to fit a schema.
    pub(super) output: Option<Output>,
    /// The roles that were mentioned and not notified.
    pub(super) mentions_refused: Vec<RefusedMention>,
}

impl RunContext<'_> {
    /// Stores the reply and, for a kickoff, the plan.
    pub(super) async fn store_reply(
        &self,
        text: &str,
        finish_reason: FinishReason,
        mut progress: Progress,
    ) -> Result<RunAnswer, RunError> {
        if self.run.request.child.is_some() {
            // Its reply is a result of the run above, which alone has a message to write.
            let answer = self.answer(Ending::HandedBack, text.to_owned(), progress);
            return Ok(RunAnswer { finish_reason: Some(finish_reason), ..answer });
        }
        // JSON is no acknowledgement.
        let is_heartbeat =
            self.run.request.options.kind == RunKind::Heartbeat && progress.output.is_none();
        let finish_reason = Some(finish_reason);
        let most = is_heartbeat.then_some(self.run.app.settings.heartbeat_ack_max);
        let text = match heartbeat_reply(text, most) {
            HeartbeatReply::Reply(text) => text,
            HeartbeatReply::Silent { note } => {
                if let Some(note) = note
                    && self.capabilities.has("heartbeat_notes")
                {
                    store::note(&self.client, self.run.request, &note).await;
                }
                let answer = self.answer(Ending::Silent, text.to_owned(), progress);
                return Ok(RunAnswer { finish_reason, ..answer });
            }
        };
        if self.run.replay.is_some() {
            let answer = self.answer(Ending::HandedBack, text, progress);
            return Ok(RunAnswer { finish_reason, ..answer });
        }
        let mentions = self.mentions_in(&text).await;
        if let Some(mentions) = &mentions {
            progress.mentions_refused.extend(refused(&mentions.refused));
        }
        // From here on it is completed, or nothing stands in the thread.
        let storing = self.run.handle.storing();
        let storing = storing.map_err(|error| self.attach(error, &text, &progress.steps))?;
        let stored = self.put_reply(&text, &progress, mentions.as_ref()).await;
        let stored = stored.map_err(|error| {
            RunError::not_stored(&error, self.produced(&text, &progress.steps, None))
        })?;
        if stored.was_there && !is_same_task(&stored.message.task_id, &self.task_id) {
            // Nothing told so before: the backend has neither journal nor look-up.
            let error = RunError::new(RunErrorKind::KeyConflict);
            return Err(self.attach(error, &text, &progress.steps));
        }
        storing.stored();
        // Where another run with this key was first, its reply holds.
        let text = if stored.was_there { stored.message.content } else { text };
        let reply = self.store_plan(stored.message.id, &text, &progress.steps).await?;
        let ending = if stored.was_there || self.is_completed() {
            Ending::Replayed(reply)
        } else {
            Ending::Replied(reply)
        };
        Ok(RunAnswer { finish_reason, ..self.answer(ending, text, progress) })
    }

    /// Stores the reply with the files that the agent has made, and the roles that it names.
    async fn put_reply(
        &self,
        text: &str,
        progress: &Progress,
        mentions: Option<&Mentions>,
    ) -> Result<store::Stored, McError> {
        let put = async || {
            let files = self.files.saved().into_iter().filter_map(|file| file.file_id);
            let files = files.map(|file_id| FileRef { file_id }).collect();
            let reply = Reply { text, data: self.data_of(progress), files, mentions };
            let (request, key) = (self.run.request, self.run.run_key);
            store::reply(&self.client, request, key, &self.task_id, reply).await
        };
        match put().await {
            Err(error) if error.is_file_not_found() => {
                // The run has waited for so long that files that no message has are gone.
                self.save_again().await?;
                put().await
            }
            stored => stored,
        }
    }

    /// Answers with the reply that an earlier run stored; the model is not called. A plan that the
    /// earlier run did not get to store is stored now.
    pub(super) async fn replay(&self, stored: Message) -> Result<RunAnswer, RunError> {
        self.run.handle.is_answered();
        let text = stored.content;
        self.run.sink.send(|| RunEvent::Chunk { data: text.clone(), step: None }).await;
        let reply = self.store_plan(stored.id, &text, &[]).await?;
        let output = self.stored_output(&text).await;
        let steps = self.journal.steps();
        let Recap { mut mentions_refused, workspace, profile_digest, steps: called, .. } =
            Recap::of(&steps);
        let refused_calls = RefusedCall::of(&called);
        if let Some(mentions) = self.mentions_in(&text).await {
            mentions_refused.extend(refused(&mentions.refused));
        }
        let progress = Progress { output, mentions_refused, ..Progress::default() };
        let (attachments, files) = (self.earlier_attachments(), saved_of(&steps));
        let answer = self.answer(Ending::Replayed(reply), text, progress);
        let refused = refused_calls;
        Ok(RunAnswer { attachments, files, workspace, profile_digest, refused, ..answer })
    }

    /// Stores the plan of a kickoff; does nothing for other runs.
    async fn store_plan(
        &self,
        message_id: String,
        text: &str,
        steps: &[Step],
    ) -> Result<StoredReply, RunError> {
        let Some(kickoff) = &self.run.request.options.kickoff else {
            return Ok(StoredReply { message_id, plan_document_id: None });
        };
        match store::plan(&self.client, kickoff, self.run.run_key, &self.task_id, text).await {
            Ok(plan) => Ok(StoredReply { message_id, plan_document_id: Some(plan.id) }),
            Err(error) => {
                Err(RunError::not_stored(&error, self.produced(text, steps, Some(message_id))))
            }
        }
    }

    /// Builds the answer.
    pub(super) fn answer(&self, ending: Ending, response: String, progress: Progress) -> RunAnswer {
        let tally = self.run.handle.meter.read();
        let refused = RefusedCall::of(&progress.steps);
        RunAnswer {
            ending,
            run_id: self.run.handle.run_id.clone(),
            task_id: self.task_id.clone(),
            trace_id: self.run.trace.to_string(),
            run_key: self.run.run_key.as_str().to_owned(),
            response,
            usage: tally.usage,
            cost: tally.cost,
            model: progress.model,
            finish_reason: None,
            steps: progress.steps,
            workspace_digest: self.snapshot.digest().to_owned(),
            context_warning: progress.context_warning,
            memory_warning: self.memory_warning(),
            output: progress.output,
            attachments: self.attachments(),
            files: self.files.saved().iter().filter_map(saved).collect(),
            mentions_refused: progress.mentions_refused,
            workspace: Some(self.run.request.customer.workspace.clone()),
            profile_digest: self.run.request.customer.digest.clone(),
            refused,
        }
    }

    /// Attaches what the run has produced so far to a failure.
    pub(super) fn attach(&self, error: RunError, text: &str, steps: &[Step]) -> RunError {
        error.with(self.produced(text, steps, None))
    }

    fn produced(&self, text: &str, steps: &[Step], message_id: Option<String>) -> Produced {
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
