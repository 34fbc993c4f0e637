//! The messages that a conversation opens with: system prompt, history, the newest turn.

use llm::model::ModelRef;
use llm::request::Message;
use mc_client::runs::{PutRun, RunStatus};
use mc_client::steps::RecalledMemory;
use serde_json::{Map, Value};
use wombat_core::workspace::{PromptRequest, time_context};

use super::budget;
use super::child::asked_by;
use super::context::RunContext;
use super::driver::RunDriver;
use super::facts;
use super::file_load::shown;
use super::journal::{RecordedRequest, ThreadStep};
use super::memories::{Recalled, listed};
use super::prepare::{Earlier, LookupResult};
use super::store;
use super::typed::Typed;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::output::OutputFormat;
use crate::run::request::RunKind;
use crate::run::written;

/// The instruction of a kickoff without a note.
const KICKOFF: &str = "Draft a concise plan for this task.";

impl RunContext<'_> {
    /// The opening messages. Starts the journal; a journal that was started before holds the messages.
    pub(super) async fn open_conversation(
        &self,
        earlier: Earlier,
    ) -> Result<(Vec<Message>, Option<Typed>), RunError> {
        let journal = &self.journal;
        if !journal.is_enabled() {
            let recorded = self.new_request(earlier, String::new()).await;
            let typed = self.typed(recorded.output.as_ref()).await?;
            return Ok((Box::pin(self.messages(recorded, None)).await?, typed));
        }
        let recorded = match journal.recorded_request()? {
            Some(recorded) => recorded,
            None => {
                self.run.check_model(&self.model)?;
                self.new_request(earlier, self.run.fingerprint().to_owned()).await
            }
        };
        let typed = self.typed(recorded.output.as_ref()).await?;
        // A completed run has all its steps in the journal; storing its reply again under the same
        // key returns the stored one.
        if self.is_completed() {
            return Ok((Box::pin(self.messages(recorded, journal.thread()?)).await?, typed));
        }
        if recorded.workspace_digest != self.snapshot.digest() {
            tracing::info!(
                "workspace changed since the run was started; resuming with the new one"
            );
        }
        // Before the journal is started, so that it is ended even if the run is dropped in between.
        self.run.finalizer.track_journal(journal);
        let parent = self.run.request.child.as_deref();
        let run = PutRun {
            session_key: Some(self.run.request.session.to_string()),
            task_id: Some(self.task_id.clone()),
            status: Some(RunStatus::Running),
            workspace_digest: Some(self.snapshot.digest().to_owned()),
            workspace: Some(self.run.request.customer.workspace.clone()),
            profile_digest: self.run.request.customer.digest.clone(),
            parent_run_key: parent.map(|parent| parent.run_key.clone()),
            extra: self.run.begun(&self.model),
            ..PutRun::default()
        };
        let recorded = Box::pin(journal.start(run, recorded)).await?;
        self.run.check_fingerprint(&recorded)?;
        Ok((Box::pin(self.messages(recorded, journal.thread()?)).await?, typed))
    }

    /// Stores the message of the request in the thread, where the backend takes it and does not have it, and
    /// returns its id. A journal that was started before was started after that.
    pub(super) async fn store_message(
        &self,
        known: &LookupResult,
    ) -> Result<Option<String>, RunError> {
        if self.journal.recorded_request()?.is_some() {
            return Ok(None);
        }
        let is_new = !known.has(self.run.request);
        if is_new && self.run.stores_message(&self.capabilities) {
            // Nothing is stored for a run that is refused.
            self.run.check_model(&self.model)?;
            if self.capabilities.has("budgets") {
                budget::check(&self.client, &self.run.models(&self.model)).await?;
            }
        }
        self.tell_thread(known).await
    }

    /// The same, whatever the journal has.
    pub(super) async fn tell_thread(
        &self,
        known: &LookupResult,
    ) -> Result<Option<String>, RunError> {
        let request = self.run.request;
        if !self.run.stores_message(&self.capabilities) || known.has(request) {
            return Ok(None);
        }
        let stored = store::message(&self.client, request, self.run.run_key, &self.task_id).await;
        match stored {
            Ok(message) => Ok(Some(message.id)),
            // It is not the task that there is none of.
            Err(error) if error.is_file_not_found() => Err(RunError::backend(&error)),
            Err(error) if error.is_not_found() => {
                Err(RunError::new(RunErrorKind::TaskNotFound).caused_by(error))
            }
            Err(error) => Err(RunError::backend(&error)),
        }
    }

    /// Step 0 of a new journal.
    async fn new_request(&self, earlier: Earlier, fingerprint: String) -> RecordedRequest {
        let run = self.run;
        let recalled = run.recall(&self.client, &self.capabilities, &self.profile, &self.task_id);
        let Recalled { memories, warning } = recalled.await;
        let Earlier { turns, files, mut attachments } = earlier;
        attachments.extend(self.run.request.attachments.iter().map(|own| own.file.clone()));
        RecordedRequest {
            message: self.run.request.message.clone(),
            history: turns,
            attachments,
            files,
            newest: self.run.newest_turn(&memories),
            metadata: self.run.request.metadata.clone(),
            limits: self.run.request.asked_limits.to_json(),
            workspace_digest: self.snapshot.digest().to_owned(),
            fingerprint,
            task: self.run.request.task.to_json(),
            task_id: self.task_id.clone(),
            output: self.run.request.output.as_deref().cloned(),
            detached: None,
            parent: self.run.request.child.as_deref().cloned(),
            memories,
            memory_warning: warning,
            workspace: Some(self.run.request.customer.workspace.clone()),
            profile_digest: self.run.request.customer.digest.clone(),
            tools_offered: self.tools.offered(),
            tools_refused: self.tools.refused().to_vec(),
        }
    }

    /// System prompt, history, and the newest turn, with their files. A run that goes on without its caller
    /// has its history in step 1.
    pub(super) async fn messages(
        &self,
        recorded: RecordedRequest,
        thread: Option<ThreadStep>,
    ) -> Result<Vec<Message>, RunError> {
        let RecordedRequest { mut history, mut files, mut attachments, newest, output, .. } =
            recorded;
        if let Some(warning) = recorded.memory_warning {
            self.memory_warning.get_or_init(|| warning);
        }
        if let Some(thread) = thread {
            (history, files) = (thread.history, thread.files);
            attachments.extend(thread.attachments);
        }
        let newest = self.with_attachments(newest, &attachments).await?;
        let shown = shown(&self.run.app.settings.files, &attachments);
        let mut shown = shown.into_iter();
        attachments.retain(|_| shown.next().unwrap_or_default());
        let history = self.with_files(history, &files, &attachments).await?;
        Ok(self.put_together(history, newest, output.as_ref()))
    }

    fn put_together(
        &self,
        history: Vec<Message>,
        newest: Message,
        output: Option<&OutputFormat>,
    ) -> Vec<Message> {
        let (options, customer) = (&self.run.request.options, &self.run.request.customer);
        let mut system = match &options.system_prompt {
            Some(own) => own.clone(),
            None => {
                let request = PromptRequest {
                    role: self.run.request.session.role(),
                    mode: options.prompt_mode,
                    heartbeat: options.kind == RunKind::Heartbeat,
                    now: self.run.now().with_timezone(&options.timezone),
                };
                self.snapshot.prompt(&request).system.as_ref().to_owned()
            }
        };
        if let Some(parent) = &self.run.request.child {
            system += &asked_by(parent);
        }
        if let Some(output) = output {
            system += &Typed::instruction(output);
        }
        if options.system_prompt.is_none() {
            customer.append_to(&mut system);
        }
        let mut messages = Vec::with_capacity(history.len() + 2);
        messages.push(Message::system(system));
        messages.extend(history);
        messages.push(newest);
        messages
    }
}

impl RunDriver<'_> {
    /// What the backend is told of a run that begins, beside its status.
    pub(super) fn begun(&self, model: &ModelRef) -> Map<String, Value> {
        let mut extra = facts::at_begin(&self.request.message, model);
        extra.extend(written::executed_as(&self.handle.run_id));
        extra
    }

    /// The newest turn: the current time, what is remembered, the message (fenced where it is data), a kickoff's
    /// note. What comes before it keeps its bytes, which the provider may have in its cache.
    pub(super) fn newest_turn(&self, memories: &[RecalledMemory]) -> String {
        let options = &self.request.options;
        let mut newest = String::new();
        if self.app.settings.include_time {
            newest = time_context(&self.now().with_timezone(&options.timezone));
            if let Some(locale) = &self.request.customer.locale {
                newest += &format!("\nLocale: {locale}");
            }
            newest += "\n\n";
        }
        if !memories.is_empty() {
            newest += &self.fence().fence("memory", &listed(memories));
            newest += "\n\n";
        }
        newest += &match options.kind {
            RunKind::Notification => self.fence().fence("notification", &self.request.message),
            RunKind::Message | RunKind::Heartbeat => self.request.message.clone(),
        };
        if let Some(kickoff) = &options.kickoff {
            newest += "\n\n";
            newest += kickoff.note.as_deref().unwrap_or(KICKOFF);
        }
        newest
    }
}
