//! What is left of a detached run, by the instance that has taken it up: from its journal to its answer.

use std::sync::Arc;

use mc_client::client::AgentClient;
use mc_client::runs::{PutRun, RunStatus};
use mc_client::types::Capabilities;

use super::driver::RunDriver;
use super::finish::Progress;
use super::journal::{Journal, ThreadStep};
use super::prepare::look_up;
use crate::run::answer::{Ending, RunAnswer};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::written;
use crate::workspaces::Chosen;

impl RunDriver<'_> {
    /// From the journal as it is to the answer.
    pub(super) async fn finish_up(
        &self,
        client: AgentClient,
        capabilities: Arc<Capabilities>,
        task_id: &str,
        (journal, chosen): (Journal, Chosen),
    ) -> Result<RunAnswer, RunError> {
        self.refuse_unread(&capabilities)?;
        let Chosen { snapshot, profile, .. } = chosen;
        let context = self.context(client, capabilities, snapshot, profile, task_id, journal).await;
        let recorded = context.journal.recorded_request()?;
        let recorded = recorded.ok_or_else(|| RunError::new(RunErrorKind::RunNotFound))?;
        if self.has_empty_checklist(&context.snapshot) {
            return Ok(context.answer(Ending::Silent, String::new(), Progress::default()));
        }
        let thread = match (&recorded.detached, context.journal.thread()?) {
            (_, Some(thread)) => Some(thread),
            // A run that had a caller until now.
            (None, None) => None,
            (Some(detached), None) => {
                let known = look_up(&context.client, &context.capabilities, self, task_id).await?;
                let told = context.tell_thread(&known).await?;
                let read = known.history(self.request, told.as_deref());
                let reads_thread = detached.reads_thread;
                let thread = ThreadStep {
                    history: if reads_thread {
                        self.redact_turns(read.turns)
                    } else {
                        recorded.history.clone()
                    },
                    files: read.files,
                    attachments: read.attachments,
                };
                Some(context.journal.put_thread(thread).await?)
            }
        };
        let run = PutRun {
            status: Some(RunStatus::Running),
            detached: Some(true),
            workspace_digest: Some(context.snapshot.digest().to_owned()),
            workspace: Some(self.request.customer.workspace.clone()),
            profile_digest: self.request.customer.digest.clone(),
            extra: written::executed_as(&self.handle.run_id),
            ..PutRun::default()
        };
        context.journal.begin(&run).await?;
        let typed = context.typed(recorded.output.as_ref()).await?;
        let messages = Box::pin(context.messages(recorded, thread)).await?;
        let answer = Box::pin(context.converse(messages, typed)).await?;
        Ok(match answer.ending {
            // It was stored just before its instance died; it is this run's all the same.
            Ending::Replayed(stored) => RunAnswer { ending: Ending::Replied(stored), ..answer },
            _ => answer,
        })
    }
}
