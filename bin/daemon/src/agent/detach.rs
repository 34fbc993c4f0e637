//! Runs that go on without their caller: what is done before the caller is answered. Everything that
//! `send` is refused for is refused here; then step 0 of the journal is written, from which any instance
//! can go on.

use std::sync::OnceLock;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::runs::{PutRun, Run, RunStatus};
use mc_client::tool_requests::{ToolRequest, ToolRequestQuery, ToolRequestStatus};
use serde_json::{Value, json};
use service::otel::{Side, Span};
use service::trace::TraceId;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;
use uuid::Uuid;
use wombat_core::untrusted::FenceMark;

use super::budget;
use super::driver::RunDriver;
use super::finalizer::RunFinalizer;
use super::journal::{Detached, Journal, RecordedRequest};
use super::launch::{Leader, wait_for};
use super::lease::SessionLease;
use super::model::models;
use super::prepare::{busy, find_task, lane};
use super::take_up;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::EventSink;
use crate::run::registry::{Joined, Outcome, Registration};
use crate::run::request::{RunRequest, fingerprint};
use crate::run::standing::Standing;
use crate::sessions::{Busy, SessionPolicy, Turn, WaitingPlace};
use crate::state::App;

/// How long the caller may wait for step 0.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a repetition looks whether the first request has written step 0.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The features that such a run needs.
const NEEDS: [&str; 2] = ["run_journal", "session_leases"];

/// A run that is in the journal.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// Its key.
    pub(crate) run_key: RunKey,
    /// The run that does it here; empty where it is not known.
    pub(crate) run_id: String,
    /// The task that the reply belongs to.
    pub(crate) task_id: String,
    /// Where it stands.
    pub(crate) standing: Standing,
    /// Whether it had been there before.
    pub(crate) is_replay: bool,
}

/// Whom to tell that the run is in the journal, or why not.
pub(super) type Tell = oneshot::Sender<Result<Accepted, RunError>>;

/// A run on its way to its turn.
pub(super) struct Place {
    pub(super) task_id: String,
    pub(super) turn: Entering,
    /// Where the policy is not to wait.
    pub(super) lease: Option<SessionLease>,
    /// Left once the turn has come.
    pub(super) waiting: Option<WaitingPlace>,
}

/// The session's turn on this instance.
pub(super) enum Entering {
    Entered(Turn),
    Waits(BoxFuture<'static, Result<Turn, Busy>>),
}

/// What admission came to.
enum Admission {
    /// Nothing is left to do.
    Over(Accepted),
    Go(Accepted, Place),
}

/// Starts a run, or goes on with one, and returns once it is in the journal. The run does not end with
/// this future.
pub(crate) async fn detach(
    app: &App,
    request: RunRequest,
    trace: TraceId,
) -> Result<Accepted, RunError> {
    let (tell, told) = oneshot::channel();
    app.runs.tracker().spawn(live(app.clone(), request, trace, tell));
    told.await.unwrap_or_else(|_| Err(RunError::new(RunErrorKind::Internal)))
}

/// The life of a run on this instance.
async fn live(app: App, mut request: RunRequest, trace: TraceId, tell: Tell) {
    let is_new_key = request.key.is_none();
    let key = request.key.get_or_insert_with(RunKey::random).clone();
    let fingerprint = (!request.resumed).then(|| fingerprint(&request));
    match app.runs.join(&key, fingerprint.as_deref()) {
        Err(error) => drop(tell.send(Err(error))),
        Ok(Joined::Other(outcome)) => {
            let joined = Box::pin(join_here(&app, &request, &trace, &key, outcome)).await;
            drop(tell.send(joined));
        }
        Ok(Joined::First(sender)) => {
            let leader = Leader { app: app.clone(), key, sender };
            let outcome = Box::pin(begin(&app, &request, &trace, is_new_key, tell)).await;
            if let Some(outcome) = outcome {
                leader.sender.send_replace(Some(outcome));
            }
        }
    }
}

/// A repetition of a request that is being worked on here: accepted once the first one is.
async fn join_here(
    app: &App,
    request: &RunRequest,
    trace: &TraceId,
    key: &RunKey,
    mut outcome: watch::Receiver<Option<Outcome>>,
) -> Result<Accepted, RunError> {
    let client = client(app, request, &trace.traceparent())?;
    let deadline = Instant::now() + ADMISSION_TIMEOUT;
    loop {
        let run = client.run(key.as_str()).await.map_err(|error| RunError::backend(&error))?;
        if let Some(run) = run.filter(|run| !run.steps.is_empty()) {
            return accepted(key, &run);
        }
        if Instant::now() >= deadline {
            return Err(RunError::new(RunErrorKind::Timeout));
        }
        tokio::select! {
            ended = wait_for(outcome.clone()), if outcome.has_changed().is_ok() => {
                if let Some(Err(error)) = ended {
                    return Err(error);
                }
                outcome.mark_changed();
            }
            () = sleep(LOOK_INTERVAL) => {}
        }
    }
}

fn accepted(key: &RunKey, run: &Run) -> Result<Accepted, RunError> {
    let standing = Standing::of(run);
    if standing == Standing::Cancelled || run.cancel_requested {
        return Err(RunError::new(RunErrorKind::Cancelled));
    }
    let task_id = run.task_id.clone().unwrap_or_default();
    let run_id = run.extra.get("run_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Accepted { run_key: key.clone(), run_id, task_id, standing, is_replay: true })
}

fn client(app: &App, request: &RunRequest, traceparent: &str) -> Result<AgentClient, RunError> {
    let session = &request.session;
    let client = app.backend.agent(session.user().as_str(), session.role().as_str());
    Ok(client.map_err(|error| RunError::backend(&error))?.with_trace(traceparent))
}

/// Admits the run, tells so, and has it executed. `None` where another instance does, or did.
async fn begin(
    app: &App,
    request: &RunRequest,
    trace: &TraceId,
    is_new_key: bool,
    tell: Tell,
) -> Option<Outcome> {
    let run_id = Uuid::now_v7().to_string();
    let registration = match app.runs.register(run_id.clone(), request.key.clone()) {
        Ok(registration) => registration,
        Err(error) => {
            drop(tell.send(Err(error.clone())));
            return Some(Err(error));
        }
    };
    let role = request.session.role();
    let named = tracing::error_span!("run", run_id, trace_id = %trace, %role);
    let begun = admit_and_run(app, request, trace, is_new_key, registration, tell);
    Box::pin(begun.instrument(named)).await
}

async fn admit_and_run(
    app: &App,
    request: &RunRequest,
    trace: &TraceId,
    is_new_key: bool,
    registration: Registration,
    tell: Tell,
) -> Option<Outcome> {
    let handle = registration.handle.clone();
    let finalizer = RunFinalizer::detached(handle.clone(), app.runs.tracker().clone());
    let role = request.session.role();
    let span = Span::of_request(trace, Side::Internal, || format!("invoke_agent {role}"));
    let key = request.key.clone().unwrap_or_else(RunKey::random);
    let fence: FenceMark = app.settings.fences.mark(key.as_str());
    let driver = RunDriver {
        app,
        request,
        handle: &handle,
        run_key: &key,
        fence: &fence,
        trace,
        span: &span,
        sink: &EventSink::disabled(),
        deadline: Instant::now() + ADMISSION_TIMEOUT,
        finalizer: &finalizer,
        fingerprint: OnceLock::new(),
    };
    let admitted = tokio::select! {
        admitted = Box::pin(driver.admit(is_new_key)) => admitted,
        why = handle.stopped() => Err(RunError::new(why)),
    };
    let (accepted, place) = match admitted {
        Ok(Admission::Go(accepted, place)) => (accepted, place),
        Ok(Admission::Over(accepted)) => {
            drop(tell.send(Ok(accepted)));
            return None;
        }
        Err(error) => {
            drop(tell.send(Err(error.clone())));
            return Some(Err(error));
        }
    };
    let open = app.feeds.open(&key);
    drop(tell.send(Ok(accepted)));
    let life =
        take_up::Life { app, request, trace, span, registration, finalizer, key, fence, open };
    Box::pin(life.run(place)).await
}

impl RunDriver<'_> {
    /// Everything before the caller is answered.
    async fn admit(&self, is_new_key: bool) -> Result<Admission, RunError> {
        let capabilities = self.capabilities().await?;
        if let Some(missing) = NEEDS.into_iter().find(|feature| !capabilities.has(feature)) {
            return Err(RunError::new(RunErrorKind::FeatureMissing(missing)));
        }
        let snapshot = self.app.workspace.snapshot();
        let profile = snapshot.admit(self.request.session.role().as_str())?;
        let lasting = client(self.app, self.request, &self.span.traceparent())?;
        let client = lasting.clone().with_deadline(self.deadline);
        let keys = &self.app.settings.journal_keys;
        let chain = super::journal::empty_chain(keys, self.run_key, &self.request.session);
        let journal = Journal::open(&client, chain, self.run_key, !is_new_key).await?;
        let recorded = journal.recorded_request()?;
        if let (Some(recorded), Some(earlier)) = (&recorded, journal.earlier_run()) {
            let earlier = Run { steps: journal.steps(), ..earlier.clone() };
            return self.go_on(&client, &lasting, &journal, recorded, &earlier).await;
        }
        self.refuse_cancelled(&client, &journal).await?;
        let model = self.model_of(&profile).clone();
        if !self.has_empty_checklist(&snapshot) {
            self.check_model(&model)?;
            if capabilities.has("budgets") {
                budget::check(&client, &models(&self.app.llm, &model)).await?;
            }
        }
        // The order of messages is kept, whatever the policy is about other runs.
        let (queue, sessions) = (SessionPolicy::Queue, &self.app.sessions);
        let before = self.task_before(&client, &model, &snapshot);
        let found = find_task(&client, sessions, queue, self.request, before).await?;
        let (task_id, resolving) = found;
        let place = self.place(&lasting, &task_id).await?;
        drop(resolving);
        let journal = fenced(&journal, &client, &place);
        let digest = snapshot.digest();
        let (run, first) = (self.row(&task_id, digest), self.first_step(&task_id, digest));
        let started = journal.start(run, first).await;
        if let Err(error) = started.and_then(|theirs| self.check_fingerprint(&theirs)) {
            self.give_back(place);
            return Err(error);
        }
        let accepted = Accepted {
            run_key: self.run_key.clone(),
            run_id: self.handle.run_id.clone(),
            task_id,
            standing: Standing::Queued,
            is_replay: false,
        };
        Ok(Admission::Go(accepted, place))
    }

    /// A key whose run is in the journal.
    async fn go_on(
        &self,
        client: &AgentClient,
        lasting: &AgentClient,
        journal: &Journal,
        recorded: &RecordedRequest,
        earlier: &Run,
    ) -> Result<Admission, RunError> {
        self.check_fingerprint(recorded)?;
        self.refuse_cancelled(client, journal).await?;
        let mut accepted = accepted(self.run_key, earlier)?;
        accepted.task_id.clone_from(&recorded.task_id);
        if accepted.standing == Standing::Completed {
            return Ok(Admission::Over(accepted));
        }
        if accepted.standing.is_waiting() {
            if !pending(client, self.run_key).await?.is_empty() {
                return Ok(Admission::Over(accepted));
            }
            accepted.standing = Standing::at_work(earlier);
        }
        let place = self.place(lasting, &recorded.task_id).await?;
        accepted.run_id.clone_from(&self.handle.run_id);
        if matches!(accepted.standing, Standing::Failed | Standing::Interrupted)
            || earlier.known_status() != Some(RunStatus::Running)
            || !earlier.detached
        {
            // Whoever asks from now on is not told of the earlier end.
            let run = PutRun {
                status: Some(RunStatus::Running),
                detached: Some(true),
                extra: [("run_id".to_owned(), json!(self.handle.run_id))].into_iter().collect(),
                ..PutRun::default()
            };
            match fenced(journal, client, &place).put(&run).await {
                Ok(note) if note.cancel_requested => {
                    return Err(RunError::new(RunErrorKind::Cancelled));
                }
                Ok(_) => {
                    let now = Run { detached: true, ..earlier.clone() };
                    accepted.standing = Standing::at_work(&now);
                }
                Err(error) if error.is_run_finished() => {
                    accepted.standing = Standing::Completed;
                    return Ok(Admission::Over(accepted));
                }
                Err(error) => {
                    self.give_back(place);
                    return Err(RunError::backend(&error));
                }
            }
        }
        Ok(Admission::Go(accepted, place))
    }

    /// Refuses a run that was cancelled. One of which nobody has taken notice is over now.
    async fn refuse_cancelled(
        &self,
        client: &AgentClient,
        journal: &Journal,
    ) -> Result<(), RunError> {
        journal.check()?;
        let Some(earlier) = journal.earlier_run() else { return Ok(()) };
        let is_cancelled = earlier.known_status() == Some(RunStatus::Cancelled);
        if earlier.cancel_requested && !is_cancelled {
            let _at_its_own_end = client.cancel_run(self.run_key.as_str()).await;
        }
        if is_cancelled || earlier.cancel_requested {
            return Err(RunError::new(RunErrorKind::Cancelled));
        }
        Ok(())
    }

    /// A place in the session's queue.
    async fn place(&self, client: &AgentClient, task_id: &str) -> Result<Place, RunError> {
        let session = &self.request.session;
        let most = self.app.settings.background.max_queued;
        let waiting = self.app.sessions.wait_in(&session.to_string(), most);
        let waiting = waiting.ok_or_else(|| RunError::new(RunErrorKind::QueueFull))?;
        let is_patient = self.app.settings.session_policy != SessionPolicy::Reject;
        let policy = if is_patient { SessionPolicy::Queue } else { SessionPolicy::Reject };
        let (sessions, lane) = (self.app.sessions.clone(), lane(session, task_id));
        let mut enter = async move { sessions.enter(lane, policy).await }.boxed();
        let turn = match (&mut enter).now_or_never() {
            Some(turn) => Entering::Entered(turn.map_err(busy)?),
            None => Entering::Waits(enter),
        };
        let lease = if is_patient {
            None
        } else {
            let (session, run_id) = (session.to_string(), &self.handle.run_id);
            Some(SessionLease::acquire(client, &session, task_id, run_id, policy).await?)
        };
        Ok(Place { task_id: task_id.to_owned(), turn, lease, waiting: Some(waiting) })
    }

    /// Gives back the lease of a place that is not used.
    fn give_back(&self, place: Place) {
        if let Some(lease) = place.lease {
            self.app.runs.tracker().spawn(lease.release());
        }
    }

    fn row(&self, task_id: &str, digest: &str) -> PutRun {
        PutRun {
            session_key: Some(self.request.session.to_string()),
            task_id: Some(task_id.to_owned()),
            status: Some(RunStatus::Running),
            workspace_digest: Some(digest.to_owned()),
            detached: Some(true),
            extra: [("run_id".to_owned(), json!(self.handle.run_id))].into_iter().collect(),
            ..PutRun::default()
        }
    }

    /// Step 0.
    fn first_step(&self, task_id: &str, digest: &str) -> RecordedRequest {
        let request = self.request;
        RecordedRequest {
            message: request.message.clone(),
            history: request.history.clone().unwrap_or_default(),
            newest: self.newest_turn(),
            metadata: request.metadata.clone(),
            limits: request.limits.to_json(),
            workspace_digest: digest.to_owned(),
            fingerprint: self.fingerprint().to_owned(),
            task: request.task.to_json(),
            task_id: task_id.to_owned(),
            detached: Some(Detached {
                run_id: self.handle.run_id.clone(),
                trace_id: self.trace.to_string(),
                reads_thread: request.history.is_none(),
                webhook: request.webhook.as_ref().map(|hook| hook.url.to_string()),
            }),
        }
    }
}

/// The journal under the lease, where the run has it already.
fn fenced(journal: &Journal, client: &AgentClient, place: &Place) -> Journal {
    match &place.lease {
        Some(lease) => journal.with_client(client.clone().with_fence(lease.lease())),
        None => journal.clone(),
    }
}

/// The requests of a run that nobody has decided.
pub(crate) async fn pending(
    client: &AgentClient,
    key: &RunKey,
) -> Result<Vec<ToolRequest>, RunError> {
    let query = ToolRequestQuery {
        status: Some(ToolRequestStatus::Pending),
        run_key: Some(key.as_str().to_owned()),
        limit: Some(200),
        ..ToolRequestQuery::default()
    };
    let page = client.tool_requests(&query).await.map_err(|error| RunError::backend(&error))?;
    // A backend may ignore filters.
    let is_own = |asked: &ToolRequest| {
        asked.run_key == key.as_str() && asked.known_status() == Some(ToolRequestStatus::Pending)
    };
    Ok(page.items.into_iter().filter(is_own).collect())
}
