//! Drives one run: does what the state machine says, against the model and the backend.

use std::sync::{Arc, OnceLock};

use llm::Tier;
use llm::model::ModelRef;
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::runs::RunStatus;
use mc_client::types::Capabilities;
use service::otel::Span;
use service::trace::TraceId;
use tokio::time::Instant;
use wombat_core::agent_config::{AgentProfile, ModelTier};
use wombat_core::heartbeat::is_empty_checklist;
use wombat_core::workspace::Snapshot;

use super::finalizer::RunFinalizer;
use super::journal::{RecordedRequest, Journal};
use super::lease::SessionLease;
use super::prepare::{Known, look_up, take_place};
use crate::run::answer::RunAnswer;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::{EventSink, RunEvent};
use crate::run::registry::RunHandle;
use crate::run::request::{RunKind, RunRequest, fingerprint};
use crate::sessions::SessionPolicy;
use crate::state::App;
use crate::tools::ToolSet;

/// A run that has been let in.
pub(super) struct RunDriver<'a> {
    /// The daemon.
    pub(super) app: &'a App,
    /// The order.
    pub(super) request: &'a RunRequest,
    /// The run, as others see it.
    pub(super) handle: &'a RunHandle,
    /// What its writes are keyed by.
    pub(super) run_key: &'a RunKey,
    /// The trace of the request.
    pub(super) trace: &'a TraceId,
    /// What it is in a trace.
    pub(super) span: &'a Span,
    /// Where its events go.
    pub(super) sink: &'a EventSink,
    /// When its time is over.
    pub(super) deadline: Instant,
    /// What must be said and given back when it ends.
    pub(super) finalizer: &'a RunFinalizer,
    /// What two requests with one key must have in common.
    pub(super) fingerprint: OnceLock<String>,
}

/// What a run has found out before the model is asked.
pub(super) struct RunContext {
    pub(super) client: AgentClient,
    pub(super) capabilities: Arc<Capabilities>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) profile: AgentProfile,
    pub(super) tools: Arc<ToolSet>,
    pub(super) model: ModelRef,
    pub(super) task_id: String,
    pub(super) journal: Journal,
}

impl RunContext {
    /// Whether the journal says that the run came to its end before.
    pub(super) fn is_completed(&self) -> bool {
        let earlier = self.journal.earlier_run().and_then(|run| run.known_status());
        earlier == Some(RunStatus::Completed)
    }
}

impl RunDriver<'_> {
    /// The whole run. Its parts are on the heap: while a run waits for its model, and most wait for
    /// nothing else, there is no room kept for what came before or comes after.
    pub(super) async fn run(&self) -> Result<RunAnswer, RunError> {
        let traceparent = self.span.traceparent();
        let (context, known) = Box::pin(self.build_context(&traceparent)).await?;
        self.sink
            .tell(|| RunEvent::Start {
                run_id: self.handle.run_id.clone(),
                task_id: context.task_id.clone(),
                trace_id: self.trace.to_string(),
            })
            .await;
        if let Some(stored) = known.stored {
            let earlier = context.journal.earlier_run().and_then(|run| run.known_status());
            if earlier.is_some_and(|status| !status.is_final()) {
                // It died between the reply and its last word.
                self.finalizer.track_journal(&context.journal);
            }
            return Box::pin(self.replay(&context, stored)).await;
        }
        if self.has_empty_checklist(&context.snapshot) {
            let answer = self.answer(&context, String::new(), Vec::new());
            return Ok(RunAnswer { silent: Some(true), ..answer });
        }
        let messages = Box::pin(self.open_conversation(&context, known.history)).await?;
        Box::pin(self.converse(&context, messages, traceparent)).await
    }

    /// What must be known before the model is asked: task, turn, thread, journal, tools.
    async fn build_context(&self, traceparent: &str) -> Result<(RunContext, Known), RunError> {
        let app = self.app;
        let session = &self.request.session;
        // One snapshot from here to the end.
        let snapshot = app.workspace.snapshot();
        let profile = snapshot.agent(session.role());
        let client = app
            .backend
            .agent(session.user().as_str(), session.role().as_str())
            .map_err(|error| RunError::backend(&error))?
            .with_trace(traceparent)
            .with_deadline(self.deadline);
        let (capabilities, place) = tokio::try_join!(
            async {
                let capabilities = app.backend.capabilities(traceparent).await;
                capabilities.map_err(|error| RunError::backend(&error))
            },
            take_place(&client, &app.sessions, app.settings.session_policy, self.request),
        )?;
        let task_id = place.task_id;
        let lease = self.lease(&client, &capabilities, &task_id).await?;
        let client = match &lease {
            Some(lease) => client.with_fence(lease.lease()),
            None => client,
        };
        self.finalizer.hold_turn(lease, place.turn);
        let journal = async {
            if !capabilities.has("run_journal") {
                return Ok(Journal::default());
            }
            Journal::open(&client, self.run_key, self.request.key.is_some()).await
        };
        let known = look_up(
            &client,
            &capabilities,
            self.request,
            self.run_key,
            &task_id,
            app.settings.history_limit,
        );
        let (known, journal) = tokio::try_join!(known, journal)?;
        self.check_earlier_run(&journal)?;
        let tools = app.tools.of_role(&snapshot, &profile, &capabilities).await;
        let model = app.llm.model(self.tier(&profile)).clone();
        let context =
            RunContext { client, capabilities, snapshot, profile, tools, model, task_id, journal };
        Ok((context, known))
    }

    /// The session's turn among all instances, where the backend gives turns.
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
        SessionLease::take(client, &session, task_id, run_id, policy).await.map(Some)
    }

    /// A run that was cancelled stays so, and one key is one request.
    fn check_earlier_run(&self, journal: &Journal) -> Result<(), RunError> {
        let Some(earlier) = journal.earlier_run() else { return Ok(()) };
        if earlier.known_status() == Some(RunStatus::Cancelled) {
            return Err(RunError::new(RunErrorKind::Cancelled));
        }
        if let Some(recorded) = journal.recorded_request() {
            self.check_fingerprint(&recorded)?;
        }
        if earlier.cancel_requested {
            self.finalizer.track_journal(journal);
            return Err(RunError::new(RunErrorKind::Cancelled));
        }
        Ok(())
    }

    /// Computed when a journal wants it, which most runs without a key have none of.
    pub(super) fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| fingerprint(self.request))
    }

    pub(super) fn check_fingerprint(&self, recorded: &RecordedRequest) -> Result<(), RunError> {
        if self.request.resumed || recorded.fingerprint == self.fingerprint() {
            return Ok(());
        }
        Err(RunError::new(RunErrorKind::KeyConflict))
    }

    fn tier(&self, profile: &AgentProfile) -> Tier {
        match self.request.options.model_tier.unwrap_or(profile.model_tier) {
            ModelTier::Default => Tier::Default,
            ModelTier::Cheap => Tier::Cheap,
            ModelTier::Best => Tier::Best,
        }
    }

    /// A heartbeat whose checklist is empty needs no model.
    fn has_empty_checklist(&self, snapshot: &Snapshot) -> bool {
        self.request.options.kind == RunKind::Heartbeat
            && snapshot.heartbeat().is_some_and(is_empty_checklist)
    }
}
