//! The conversation that a run opens with: system prompt, history, the newest turn.

use chrono::Utc;
use llm::request::Message;
use mc_client::runs::{PutRun, RunStatus};
use serde_json::json;
use wombat_core::untrusted::fence_untrusted;
use wombat_core::workspace::{PromptRequest, time_context};

use super::driver::{Drive, Scene};
use super::journal::Begun;
use crate::run::error::RunError;
use crate::run::request::RunKind;

/// What the newest turn of a kickoff asks for when the caller gives no note.
const KICKOFF: &str = "Draft a concise plan for this task.";

impl Drive<'_> {
    /// Opens the conversation, and the journal with it; a journal that was opened before says what
    /// the conversation was.
    async fn begin(&self, scene: &Scene, history: Vec<Message>) -> Result<Vec<Message>, RunError> {
        let journal = &scene.journal;
        if !journal.is_on() {
            return Ok(self.opening(scene, history, self.newest()));
        }
        let begun = match journal.begun() {
            Some(begun) => begun,
            None => Begun {
                message: self.request.message.clone(),
                history,
                newest: self.newest(),
                metadata: self.request.metadata.clone(),
                limits: self.request.limits.to_json(),
                workspace_digest: scene.snapshot.digest().to_owned(),
                fingerprint: self.fingerprint().to_owned(),
                task: self.request.task.to_json(),
            },
        };
        // A run that is completed has its steps; its reply is stored again under its key, which gives
        // the one that is there.
        if scene.is_completed() {
            return Ok(self.opening(scene, begun.history, begun.newest));
        }
        if begun.workspace_digest != scene.snapshot.digest() {
            tracing::info!(
                "the workspace has changed since the run began; it goes on with the new one"
            );
        }
        // Owed before it is begun: whoever drops the run in between ends it all the same.
        self.last_word.owe(journal);
        let run = PutRun {
            session_key: Some(self.request.session.to_string()),
            task_id: Some(scene.task_id.clone()),
            status: Some(RunStatus::Running),
            workspace_digest: Some(scene.snapshot.digest().to_owned()),
            extra: [("run_id".to_owned(), json!(self.handle.run_id))].into_iter().collect(),
        };
        let begun = journal.begin(run, begun).await?;
        self.check_fingerprint(&begun)?;
        Ok(self.opening(scene, begun.history, begun.newest))
    }

    /// The newest turn, which the time opens.
    fn newest(&self) -> String {
        let options = &self.request.options;
        let mut newest = String::new();
        if self.app.settings.include_time {
            newest = time_context(&Utc::now().with_timezone(&options.timezone)) + "\n\n";
        }
        newest += &match options.kind {
            RunKind::Notification => fence_untrusted("notification", &self.request.message),
            RunKind::Message | RunKind::Heartbeat => self.request.message.clone(),
        };
        if let Some(kickoff) = &options.kickoff {
            newest += "\n\n";
            newest += kickoff.note.as_deref().unwrap_or(KICKOFF);
        }
        newest
    }

    /// System prompt, history, and the newest turn.
    fn opening(&self, scene: &Scene, history: Vec<Message>, newest: String) -> Vec<Message> {
        let options = &self.request.options;
        let system = match &options.system_prompt {
            Some(own) => own.clone(),
            None => {
                let request = PromptRequest {
                    role: self.request.session.role(),
                    mode: options.prompt_mode,
                    heartbeat: options.kind == RunKind::Heartbeat,
                    now: Utc::now().with_timezone(&options.timezone),
                };
                scene.snapshot.prompt(&request).system.as_ref().to_owned()
            }
        };
        let mut messages = Vec::with_capacity(history.len() + 2);
        messages.push(Message::system(system));
        messages.extend(history);
        messages.push(Message::user(newest));
        messages
    }
}
