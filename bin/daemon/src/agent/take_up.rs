//! Takes a detached run up: waits for its turn, reads what its journal has, and does what is left. What
//! it tells is recorded under the session's lease, which every instance needs for that.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mc_client::client::AgentClient;
use mc_client::deltas::{IDS_PER_FENCE, PostDeltas};
use mc_client::idempotency::RunKey;
use mc_client::leases::Lease;
use mc_client::runs::{PutRun, RunStatus};
use mc_client::types::Capabilities;
use service::otel::Span;
use service::trace::TraceId;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;
use uuid::Uuid;
use wombat_core::redact::Redactor;

use super::audit;
use super::detach::{Entering, Place, pending};
use super::driver::RunDriver;
use super::ends::Ends;
use super::finalizer::RunFinalizer;
use super::journal::Journal;
use super::launch::{TIMEOUT_GRACE, outcome_label, settle};
use super::lease::SessionLease;
use super::prepare::busy;
use super::recorder::Recorder;
use super::redaction;
use super::stands::Stands;
use super::traced;
use crate::run::answer::RunAnswer;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::EventSink;
use crate::run::feed::OpenFeed;
use crate::run::recording::{Known, Recording};
use crate::run::registry::{Outcome, Registration};
use crate::run::request::RunRequest;
use crate::run::standing::Standing;
use crate::sessions::{SessionPolicy, Turn};
use crate::state::App;
use crate::webhook::push::PushTarget;

/// How often a run that waits looks whether it is still wanted.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// The wait after a failed attempt to get the lease.
const OUTAGE_WAIT: Duration = Duration::from_secs(1);
/// How long the last words may take to be stored.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// The timeout of telling the backend that a run has left the queue.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A run from its place in the queue to its end here.
pub(super) struct Life<'a> {
    pub(super) app: &'a App,
    pub(super) request: &'a RunRequest,
    pub(super) trace: &'a TraceId,
    pub(super) span: Span,
    pub(super) registration: Registration,
    pub(super) finalizer: RunFinalizer,
    pub(super) redactor: Option<Arc<Redactor>>,
    pub(super) key: RunKey,
    pub(super) open: OpenFeed,
}

impl Life<'_> {
    /// Waits for the turn, and runs. `None` where another instance does, or did.
    pub(super) async fn run(mut self, place: Place) -> Option<Outcome> {
        let handle = self.registration.handle.clone();
        let task_id = place.task_id.clone();
        self.span.set_conversation(&task_id);
        let turn = tokio::select! {
            turn = Box::pin(self.turn(place)) => turn,
            why = handle.stopped() => Err(RunError::new(why)),
            () = self.app.runs.draining() => Err(RunError::new(RunErrorKind::Draining)),
        };
        match turn {
            Ok(Some((turn, lease))) => Box::pin(self.execute(turn, lease, &task_id)).await,
            Ok(None) => {
                self.span.succeed();
                None
            }
            Err(error) => {
                let result = self.stands().or_answer(self.client(), &handle, Err(error)).await;
                self.describe(&result);
                let outcome: Outcome = result.clone().map(Arc::new);
                if !is_another_s(&result) {
                    self.announce(&task_id, &outcome).await;
                }
                self.leave(&result).await;
                let code = outcome_label(&outcome);
                tracing::warn!(code, "run left the queue");
                Some(outcome)
            }
        }
    }

    async fn announce(&self, task_id: &str, outcome: &Outcome) -> Vec<PushTarget> {
        let (app, request, handle) = (self.app, self.request, &self.registration.handle);
        match self.client() {
            Ok(client) => {
                let ends = Ends { app, request, client: &client, task_id };
                ends.announce(handle, outcome).await
            }
            Err(_) => {
                app.webhooks.announce(request, handle, outcome).await;
                Vec::new()
            }
        }
    }

    /// Tells whoever wanted to know after it was told, and before the end was to be read anywhere.
    async fn announce_late(&self, task_id: &str, outcome: &Outcome, told: &[PushTarget]) {
        if let Ok(client) = self.client() {
            let (app, request) = (self.app, self.request);
            Ends { app, request, client: &client, task_id }.push(outcome, told).await;
        }
    }

    /// Says in the trace what the run came to.
    fn describe(&mut self, result: &Result<RunAnswer, RunError>) {
        let (redactor, handle) = (self.finalizer.redactor(), &self.registration.handle);
        traced::describe(&mut self.span, (self.request, redactor.as_ref()), handle, result);
    }

    fn stands(&self) -> Stands<'_> {
        Stands {
            app: self.app,
            request: self.request,
            key: &self.key,
            trace: self.trace,
            run_id: &self.registration.handle.run_id,
        }
    }

    fn client(&self) -> Result<AgentClient, RunError> {
        let session = &self.request.session;
        let client = self.app.backend.agent(session.user().as_str(), session.role().as_str());
        let client = client.map_err(|error| RunError::backend(&error))?;
        let client = client.of_work(self.request.began).with_trace(&self.span.traceparent());
        Ok(redaction::masked(client, self.redactor.as_ref()))
    }

    async fn capabilities(&self) -> Result<Arc<Capabilities>, RunError> {
        let capabilities = self.app.backend.capabilities(&self.span.traceparent()).await;
        capabilities.map_err(|error| RunError::backend(&error))
    }

    /// The session's turn here, and its lease among all instances. `None` when the run is over by then.
    async fn turn(&self, place: Place) -> Result<Option<(Turn, SessionLease)>, RunError> {
        let Place { task_id, turn, lease, waiting } = place;
        let client = self.client()?;
        let waited = async {
            let turn = match turn {
                Entering::Entered(turn) => turn,
                Entering::Waits(enter) => enter.await.map_err(busy)?,
            };
            let lease = match lease {
                Some(lease) => lease,
                None => self.lease(&client, &task_id).await?,
            };
            Ok(Some((turn, lease)))
        };
        let turn = tokio::select! {
            turn = waited => turn,
            is_cancelled = self.no_longer_wanted(&client) => {
                if is_cancelled { Err(RunError::new(RunErrorKind::Cancelled)) } else { Ok(None) }
            }
        };
        drop(waiting);
        turn
    }

    async fn lease(&self, client: &AgentClient, task_id: &str) -> Result<SessionLease, RunError> {
        let session = self.request.session.to_string();
        loop {
            // Each attempt is a holder of its own: a lease is never another one's.
            let holder = Uuid::now_v7().to_string();
            let policy = SessionPolicy::Queue;
            match SessionLease::acquire(client, &session, task_id, &holder, policy).await {
                Err(error)
                    if matches!(
                        error.kind,
                        RunErrorKind::BackendUnavailable | RunErrorKind::BackendInBetween(_)
                    ) =>
                {
                    let cause = &*redaction::logged(self.redactor.as_ref(), &error.cause);
                    tracing::warn!(cause, "no lease yet; trying again");
                    sleep(OUTAGE_WAIT).await;
                }
                lease => return lease,
            }
        }
    }

    /// Ends when the run that waits has been cancelled (true), or has ended otherwise (false). Where
    /// nobody else looks for dead runs, the run shows meanwhile that it lives.
    async fn no_longer_wanted(&self, client: &AgentClient) -> bool {
        let finds_orphans =
            self.capabilities().await.is_ok_and(|capabilities| capabilities.has("orphans"));
        loop {
            sleep(LOOK_INTERVAL.min(self.app.settings.background.stream_idle / 3)).await;
            let key = self.key.as_str();
            let (status, is_cancelled) = if finds_orphans {
                let Ok(Some(run)) = client.run_state(key).await else { continue };
                (run.status, run.cancel_requested)
            } else {
                let Ok(note) = client.put_run(key, &PutRun::default()).await else { continue };
                (note.status, note.cancel_requested)
            };
            match status.parse() {
                Ok(RunStatus::Cancelled) => return true,
                Ok(RunStatus::Completed | RunStatus::Failed) => return false,
                _ if is_cancelled => return true,
                _ => {}
            }
        }
    }

    /// Says why the run is no longer in the queue.
    async fn leave(&self, result: &Result<RunAnswer, RunError>) {
        let (status, _) = RunFinalizer::final_status(result);
        let Ok(client) = self.client() else { return };
        let client = client.with_deadline(Instant::now() + LEAVE_TIMEOUT);
        let extra = self.finalizer.fields_of(result);
        let put = PutRun { status: Some(status), extra, ..PutRun::default() };
        if let Err(error) = client.put_run(self.key.as_str(), &put).await {
            tracing::warn!(%error, "the run's status could not be written");
        }
    }

    async fn execute(mut self, turn: Turn, lease: SessionLease, task_id: &str) -> Option<Outcome> {
        let started = Instant::now();
        let deadline = started + self.request.limits.timeout;
        let handle = self.registration.handle.clone();
        let held = lease.lease().clone();
        self.finalizer.hold_turn(Some(lease), turn);
        let result = tokio::select! {
            result = timeout_at(deadline + TIMEOUT_GRACE, Box::pin(self.work(&held, task_id, deadline))) => {
                result.unwrap_or_else(|_| Err(RunError::new(RunErrorKind::Timeout)))
            }
            why = handle.stopped() => Err(RunError::new(why)),
        };
        let result = result.map_err(|error| {
            let ran_out = Instant::now() >= deadline && error.kind != RunErrorKind::Cancelled;
            if ran_out { RunError { kind: RunErrorKind::Timeout, ..error } } else { error }
        });
        let result = match result {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => {
                self.span.succeed();
                self.finalizer.give_back();
                return None;
            }
            Err(error) => self.stands().or_answer(self.client(), &handle, Err(error)).await,
        };
        self.describe(&result);
        let outcome: Outcome = result.clone().map(Arc::new);
        // Another instance ends it, and says so.
        let is_ours = !is_another_s(&result);
        let mut told = Vec::new();
        if is_ours {
            // Before the run is over for everybody: who takes it up after a crash tells again.
            told = self.announce(task_id, &outcome).await;
        }
        self.finalizer.finish(&result).await;
        if is_ours {
            self.announce_late(task_id, &outcome, &told).await;
        }
        if let Err(RunError { kind: RunErrorKind::JournalRejected(_), cause, .. }) = &result {
            let session = &self.request.session;
            audit::journal_rejected(self.app, session, &self.key, self.trace, cause).await;
        }
        settle(&mut self.registration, &result, self.finalizer.redactor().as_ref());
        let role = self.request.session.role().as_str();
        let is_known = self.app.workspaces.have_role(role);
        let label = outcome_label(&outcome);
        self.app.metrics.run(is_known.then_some(role), label, started.elapsed());
        let is_lost = matches!(&outcome, Err(RunError { kind: RunErrorKind::SessionLost, .. }));
        (!is_lost).then_some(outcome)
    }

    /// Reads the journal, and does what is left. `None` when nothing is.
    async fn work(
        &self,
        lease: &Lease,
        task_id: &str,
        deadline: Instant,
    ) -> Result<Option<RunAnswer>, RunError> {
        let capabilities = self.capabilities().await?;
        // Everything obeys the newest rules, and so does what is redacted.
        let role = self.request.session.role().as_str();
        let chosen = self.app.workspaces.for_run(&self.request.customer, role)?;
        let redactor = redaction::of_profile(self.app, self.request, &chosen.profile);
        let client = self.client()?.with_deadline(deadline).with_fence(lease);
        let client = redaction::masked(client, redactor.as_ref());
        let keeps_events = capabilities.has("run_stream");
        if keeps_events {
            // Whoever had the run before stores nothing more.
            let seq = lease.fence.saturating_mul(IDS_PER_FENCE) + 1;
            let deltas = PostDeltas { fence: lease.fence, seq, events: Vec::new() };
            if let Err(error) = client.post_deltas(self.key.as_str(), &deltas).await
                && error.is_stale_fence()
            {
                return Err(RunError::backend(&error));
            }
        }
        self.finalizer.redact_by(redactor.clone());
        let keys = &self.app.settings.journal_keys;
        let chain = super::journal::empty_chain(keys, &self.key, &self.request.session);
        let journal = Journal::open(&client, chain, &self.key, true).await?;
        if !self.is_left(&client, &journal).await? {
            return Ok(None);
        }
        let known =
            if keeps_events { self.known(&client, &journal).await? } else { Known::default() };
        let recording = Arc::new(Recording::new(lease.fence, known));
        let recorder = Recorder {
            recording: recording.clone(),
            feed: self.open.feed(),
            client: client.clone(),
            key: self.key.clone(),
            fence: lease.fence,
            keeps_events,
            finds_orphans: capabilities.has("orphans"),
            heartbeat: LOOK_INTERVAL.min(self.app.settings.background.stream_idle / 3),
            handle: self.registration.handle.clone(),
        };
        let recorder = tokio::spawn(recorder.run().in_current_span());
        let _recorder = AbortOnDropHandle::new(recorder);
        let sink = EventSink::recording(recording.clone());
        let driver = RunDriver {
            app: self.app,
            request: self.request,
            handle: &self.registration.handle,
            run_key: &self.key,
            fence: OnceLock::new(),
            redactor: redactor.clone(),
            trace: self.trace,
            span: &self.span,
            sink: &sink,
            deadline,
            finalizer: &self.finalizer,
            fingerprint: OnceLock::new(),
            replay: None,
        };
        let answer =
            Box::pin(driver.finish_up(client, capabilities, task_id, (journal, chosen))).await;
        let _stored_or_not = timeout(FLUSH_TIMEOUT, recording.flushed()).await;
        answer.map(Some)
    }

    /// Whether anything is left to do. If so, the run's end is written whatever happens.
    async fn is_left(&self, client: &AgentClient, journal: &Journal) -> Result<bool, RunError> {
        let Some(earlier) = journal.earlier_run() else {
            return Err(RunError::new(RunErrorKind::RunNotFound));
        };
        if earlier.cancel_requested && earlier.known_status() != Some(RunStatus::Cancelled) {
            self.finalizer.track_journal(journal);
            return Err(RunError::new(RunErrorKind::Cancelled));
        }
        let standing = Standing::of(earlier);
        let is_left = match standing {
            Standing::Completed | Standing::Failed => false,
            Standing::Cancelled => return Err(RunError::new(RunErrorKind::Cancelled)),
            Standing::AwaitingApproval | Standing::AwaitingAnswer => {
                // Once only questions are left, that is written.
                Standing::waiting_for(&pending(client, &self.key).await?) != Some(standing)
            }
            Standing::Queued | Standing::Running | Standing::Interrupted => true,
        };
        if is_left {
            self.finalizer.track_journal(journal);
            journal.check()?;
        }
        Ok(is_left)
    }
}

/// Whether another instance brings the run to its end.
fn is_another_s(result: &Result<RunAnswer, RunError>) -> bool {
    let kind = result.as_ref().err().map(|error| &error.kind);
    matches!(kind, Some(RunErrorKind::SessionLost | RunErrorKind::Draining))
}
