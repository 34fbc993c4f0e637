//! The conversation that a run opens with: system prompt, history, the newest turn.

use chrono::Utc;
use llm::request::Message;
use mc_client::runs::{PutRun, RunStatus};
use serde_json::json;
use wombat_core::untrusted::fence_untrusted;
use wombat_core::workspace::{PromptRequest, time_context};

use super::context::RunContext;
use super::journal::RecordedRequest;
use crate::run::error::RunError;
use crate::run::request::RunKind;

/// What the newest turn of a kickoff asks for when the caller gives no note.
const KICKOFF: &str = "Draft a concise plan for this task.";

impl RunContext<'_> {
    /// Opens the conversation, and the journal with it; a journal that was opened before says what
    /// the conversation was.
    pub(super) async fn open_conversation(
        &self,
        history: Vec<Message>,
    ) -> Result<Vec<Message>, RunError> {
        let journal = &self.journal;
        if !journal.is_enabled() {
            return Ok(self.messages(history, self.newest_turn()));
        }
        let recorded = match journal.recorded_request() {
            Some(recorded) => recorded,
            None => RecordedRequest {
                message: self.run.request.message.clone(),
                history,
                newest: self.newest_turn(),
                metadata: self.run.request.metadata.clone(),
                limits: self.run.request.limits.to_json(),
                workspace_digest: self.snapshot.digest().to_owned(),
                fingerprint: self.run.fingerprint().to_owned(),
                task: self.run.request.task.to_json(),
            },
        };
        // A run that is completed has its steps; its reply is stored again under its key, which gives
        // the one that is there.
        if self.is_completed() {
            return Ok(self.messages(recorded.history, recorded.newest));
        }
        if recorded.workspace_digest != self.snapshot.digest() {
            tracing::info!(
                "the workspace has changed since the run began; it goes on with the new one"
            );
        }
        // Owed before it is begun: whoever drops the run in between ends it all the same.
        self.run.finalizer.track_journal(journal);
        let run = PutRun {
            session_key: Some(self.run.request.session.to_string()),
            task_id: Some(self.task_id.clone()),
            status: Some(RunStatus::Running),
            workspace_digest: Some(self.snapshot.digest().to_owned()),
            extra: [("run_id".to_owned(), json!(self.run.handle.run_id))].into_iter().collect(),
        };
        let recorded = journal.start(run, recorded).await?;
        self.run.check_fingerprint(&recorded)?;
        Ok(self.messages(recorded.history, recorded.newest))
    }

    /// The newest turn, which the time opens.
    fn newest_turn(&self) -> String {
        let options = &self.run.request.options;
        let mut newest = String::new();
        if self.run.app.settings.include_time {
            newest = time_context(&Utc::now().with_timezone(&options.timezone)) + "\n\n";
        }
        newest += &match options.kind {
            RunKind::Notification => fence_untrusted("notification", &self.run.request.message),
            RunKind::Message | RunKind::Heartbeat => self.run.request.message.clone(),
        };
        if let Some(kickoff) = &options.kickoff {
            newest += "\n\n";
            newest += kickoff.note.as_deref().unwrap_or(KICKOFF);
        }
        newest
    }

    /// System prompt, history, and the newest turn.
    fn messages(&self, history: Vec<Message>, newest: String) -> Vec<Message> {
        let options = &self.run.request.options;
        let system = match &options.system_prompt {
            Some(own) => own.clone(),
            None => {
                let request = PromptRequest {
                    role: self.run.request.session.role(),
                    mode: options.prompt_mode,
                    heartbeat: options.kind == RunKind::Heartbeat,
                    now: Utc::now().with_timezone(&options.timezone),
                };
                self.snapshot.prompt(&request).system.as_ref().to_owned()
            }
        };
        let mut messages = Vec::with_capacity(history.len() + 2);
        messages.push(Message::system(system));
        messages.extend(history);
        messages.push(Message::user(newest));
        messages
    }
}
