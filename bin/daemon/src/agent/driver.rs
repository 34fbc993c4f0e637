//! Drives one admitted run: finds out what it works with, then has the conversation.

use std::sync::{Arc, OnceLock};

use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::types::Capabilities;
use service::otel::Span;
use service::trace::TraceId;
use tokio::time::Instant;
use wombat_core::agent_config::AgentProfile;
use wombat_core::heartbeat::is_empty_checklist;
use wombat_core::redact::Redactor;
use wombat_core::untrusted::FenceMark;
use wombat_core::workspace::Snapshot;

use super::context::RunContext;
use super::detach;
use super::files::RunFiles;
use super::finalizer::RunFinalizer;
use super::finish::Progress;
use super::handing_on::HandedOn;
use super::journal::Journal;
use super::kept_results::KeptResults;
use super::lease::SessionLease;
use super::loaded_tools::LoadedTools;
use super::prepare::{LookupResult, acquire_turn, look_up};
use super::redaction;
use super::replay::Replay;
use crate::run::answer::{Ending, RunAnswer};
use crate::run::error::RunError;
use crate::run::events::{EventSink, RunEvent};
use crate::run::registry::RunHandle;
use crate::run::request::{RunKind, RunRequest};
use crate::sessions::SessionPolicy;
use crate::state::App;
use crate::tools::ToolSet;
use crate::workspaces::Chosen;

/// A run that has been admitted.
pub(super) struct RunDriver<'a> {
    /// The shared parts of the daemon.
    pub(super) app: &'a App,
    /// The request.
    pub(super) request: &'a RunRequest,
    /// The run as its callers can see and stop it.
    pub(super) handle: &'a RunHandle,
    /// The key of the run; the idempotency keys of its writes derive from it.
    pub(super) run_key: &'a RunKey,
    /// See [`Self::fence`].
    pub(super) fence: OnceLock<FenceMark>,
    /// What is redacted, where its role has anything redacted.
    pub(super) redactor: Option<Arc<Redactor>>,
    /// The trace of the request.
    pub(super) trace: &'a TraceId,
    /// The run's span in the trace.
    pub(super) span: &'a Span,
    /// Receives the run's events.
    pub(super) sink: &'a EventSink,
    /// When the run times out.
    pub(super) deadline: Instant,
    /// Ends the journal and gives back the session's turn, however the run ends.
    pub(super) finalizer: &'a RunFinalizer,
    /// See [`crate::run::request::fingerprint`]; computed when it is first needed.
    pub(super) fingerprint: OnceLock<String>,
    /// The case that answers in place of tools and people, where this is a test.
    pub(super) replay: Option<&'a Replay>,
}

impl RunDriver<'_> {
    /// The mark of the fences around untrusted text; computed when it is first needed.
    pub(super) fn fence(&self) -> &FenceMark {
        self.fence.get_or_init(|| self.app.settings.fences.mark(self.run_key.as_str()))
    }

    /// Runs from the first look-up to the answer. The stages are boxed: while a run waits for its
    /// model, as most do, no memory is kept for the stages before and after.
    pub(super) async fn run(&self, chosen: Chosen) -> Result<RunAnswer, RunError> {
        let (context, known) = Box::pin(self.build_context(chosen)).await?;
        self.sink
            .send(|| RunEvent::Start {
                run_id: self.handle.run_id.clone(),
                task_id: context.task_id.clone(),
                trace_id: self.trace.to_string(),
                run_key: self.run_key.as_str().to_owned(),
            })
            .await;
        if let Some(stored) = known.stored {
            let earlier = context.journal.earlier_run().and_then(|run| run.known_status());
            if earlier.is_some_and(|status| !status.is_final()) {
                // The earlier run died after its reply was stored and before its journal was ended.
                self.finalizer.track_journal(&context.journal);
            }
            return Box::pin(context.replay(stored)).await;
        }
        if self.has_empty_checklist(&context.snapshot) {
            return Ok(context.answer(Ending::Silent, String::new(), Progress::default()));
        }
        let told = Box::pin(context.store_message(&known)).await?;
        let earlier = known.history(self.request, told.as_deref());
        let (messages, typed) = Box::pin(context.open_conversation(earlier)).await?;
        Box::pin(context.converse(messages, typed)).await
    }

    /// Finds out everything that is needed before the model is called: task, session turn, thread,
    /// journal, tools.
    async fn build_context(
        &self,
        chosen: Chosen,
    ) -> Result<(RunContext<'_>, LookupResult), RunError> {
        let app = self.app;
        let traceparent = self.span.traceparent();
        let session = &self.request.session;
        // The same snapshot is used to the end of the run.
        let Chosen { snapshot, profile, tools } = chosen;
        let client = app
            .backend
            .agent(session.user().as_str(), session.role().as_str())
            .map_err(|error| RunError::backend(&error))?
            .of_work(self.request.began)
            .with_trace(&traceparent)
            .with_deadline(self.deadline);
        let client = redaction::masked(client, self.redactor.as_ref());
        let model = self.model_of(&profile).clone();
        let task_before = async || self.task_before(&client, &model, &snapshot).await;
        let policy = app.settings.session_policy;
        let (capabilities, turn) = tokio::try_join!(
            self.capabilities(),
            acquire_turn(&client, &app.sessions, policy, self.request, self.span, task_before),
        )?;
        let task_id = turn.task_id;
        let lease = self.lease(&client, &capabilities, &task_id).await?;
        let client = match &lease {
            Some(lease) => client.with_fence(lease.lease()),
            None => client,
        };
        self.finalizer.hold_turn(lease, turn.turn);
        let known = look_up(&client, &capabilities, self, &task_id);
        let (known, journal) = tokio::try_join!(known, self.open_journal(&client, &capabilities))?;
        self.check_earlier_run(&journal, known.stored.as_ref(), Some(&task_id))?;
        if known.stored.is_none() {
            self.refuse_unread(&capabilities)?;
        }
        let tools = tools.of_role(&snapshot, &profile, &capabilities).await;
        let context = RunContext {
            redactor: redaction::of_journal(&journal, self),
            run: self,
            client,
            capabilities,
            snapshot,
            profile,
            tools,
            model,
            task_id,
            files: RunFiles::default(),
            handed_on: HandedOn::of(&journal, &self.handle.tree),
            kept: KeptResults::default(),
            loaded: LoadedTools::default(),
            memory_warning: OnceLock::new(),
            journal,
        };
        Ok((context, known))
    }

    /// What a detached run works with.
    pub(super) async fn context(
        &self,
        client: AgentClient,
        capabilities: Arc<Capabilities>,
        snapshot: Arc<Snapshot>,
        profile: AgentProfile,
        task_id: &str,
        journal: Journal,
    ) -> RunContext<'_> {
        let served = self.app.workspaces.of(&self.request.customer.workspace);
        let tools = served.map_or(&self.app.tools, |served| &served.tools);
        let tools = tools.of_role(&snapshot, &profile, &capabilities).await;
        let found = (client, capabilities, snapshot);
        self.context_with(found, profile, tools, task_id, journal)
    }

    /// The same with these tools.
    pub(super) fn context_with(
        &self,
        (client, capabilities, snapshot): (AgentClient, Arc<Capabilities>, Arc<Snapshot>),
        profile: AgentProfile,
        tools: Arc<ToolSet>,
        task_id: &str,
        journal: Journal,
    ) -> RunContext<'_> {
        RunContext {
            redactor: redaction::of_journal(&journal, self),
            run: self,
            client,
            capabilities,
            snapshot,
            model: self.model_of(&profile).clone(),
            profile,
            tools,
            task_id: task_id.to_owned(),
            files: RunFiles::default(),
            handed_on: HandedOn::of(&journal, &self.handle.tree),
            kept: KeptResults::default(),
            loaded: LoadedTools::default(),
            memory_warning: OnceLock::new(),
            journal,
        }
    }

    /// The backend as the run's user and role, without a deadline or a lease.
    pub(super) fn plain_client(&self) -> Result<AgentClient, RunError> {
        let client = detach::client(self.app, self.request, &self.span.traceparent())?;
        Ok(redaction::masked(client, self.redactor.as_ref()))
    }

    /// The backend's optional features.
    pub(super) async fn capabilities(&self) -> Result<Arc<Capabilities>, RunError> {
        let capabilities = self.app.backend.capabilities(&self.span.traceparent()).await;
        capabilities.map_err(|error| RunError::backend(&error))
    }

    /// The session's lease, which serialises its runs over all instances, where the backend has
    /// leases.
    async fn lease(
        &self,
        client: &AgentClient,
        capabilities: &Capabilities,
        task_id: &str,
    ) -> Result<Option<SessionLease>, RunError> {
        let policy = self.app.settings.session_policy;
        if policy == SessionPolicy::Parallel || !capabilities.has("session_leases") {
            return Ok(None);
        }
        let session = self.request.session.to_string();
        let run_id = &self.handle.run_id;
        SessionLease::acquire(client, &session, task_id, run_id, policy).await.map(Some)
    }

    /// Whether the daemon stores the request's message, where nobody has: what a person says, the first time.
    /// A detached run does so at its turn, whoever has taken it up.
    pub(super) fn stores_message(&self, capabilities: &Capabilities) -> bool {
        self.request.options.kind == RunKind::Message
            && (!self.request.resumed || self.request.detached)
            && capabilities.has("user_messages")
    }

    /// Whether this is a heartbeat with an empty checklist, which needs no model call.
    pub(super) fn has_empty_checklist(&self, snapshot: &Snapshot) -> bool {
        self.request.options.kind == RunKind::Heartbeat
            && snapshot.heartbeat().is_some_and(is_empty_checklist)
    }
}
