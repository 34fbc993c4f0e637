//! Runs that go on without their caller: what is done before the caller is answered. Everything that
//! `send` is refused for is refused here; then step 0 of the journal is written, from which any instance
//! can go on.
use std::sync::OnceLock;
use std::time::Duration;

use futures::future::BoxFuture;
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::runs::Run;
use mc_client::tool_requests::{ToolRequest, ToolRequestQuery, ToolRequestStatus};
use mc_client::types::Capabilities;
use service::trace::TraceId;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;
use uuid::Uuid;

use super::driver::RunDriver;
use super::finalizer::RunFinalizer;
use super::launch::{Leader, wait_for};
use super::lease::SessionLease;
use super::redaction;
use super::take_up;
use super::traced;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::EventSink;
use crate::run::registry::{Joined, Outcome, Registration};
use crate::run::request::{RunRequest, fingerprint};
use crate::run::standing::Standing;
use crate::run::written::run_id;
use crate::sessions::{Busy, Turn, WaitingPlace};
use crate::state::App;

/// How long the caller may wait for step 0.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a repetition looks whether the first request has written step 0.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The features that such a run needs.
pub(super) const NEEDS: [&str; 2] = ["run_journal", "session_leases"];

/// Whether the backend can keep runs that outlive their callers.
pub(crate) fn can_detach(capabilities: &Capabilities) -> bool {
    NEEDS.into_iter().all(|feature| capabilities.has(feature))
}

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
pub(super) enum Admission {
    /// Nothing is left to do.
    Over(Accepted),
    Go(Accepted, Box<Place>),
}

/// Starts a run, or goes on with one, and returns once it is in the journal. The run does not end with
/// this future.
pub(crate) async fn detach(
    app: &App,
    request: RunRequest,
    trace: TraceId,
) -> Result<Accepted, RunError> {
    let (tell, told) = oneshot::channel();
    let life = live(app.clone(), request, trace, tell);
    app.runs.tracker().spawn_on(life, &service::cores::least_busy());
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

pub(super) fn accepted(key: &RunKey, run: &Run) -> Result<Accepted, RunError> {
    let standing = Standing::of(run);
    if standing == Standing::Cancelled || run.cancel_requested {
        return Err(RunError::new(RunErrorKind::Cancelled));
    }
    let task_id = run.task_id.clone().unwrap_or_default();
    let run_id = run_id(run).to_owned();
    Ok(Accepted { run_key: key.clone(), run_id, task_id, standing, is_replay: true })
}

/// The backend as the run's user and role: to read. What writes texts of a run masks it first.
pub(super) fn client(
    app: &App,
    request: &RunRequest,
    traceparent: &str,
) -> Result<AgentClient, RunError> {
    let session = &request.session;
    let client = app.backend.agent(session.user().as_str(), session.role().as_str());
    let client = client.map_err(|error| RunError::backend(&error))?;
    Ok(client.of_work(request.began).with_trace(traceparent))
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
    let redactor = match redaction::of_run(app, request) {
        Ok(redactor) => redactor,
        Err(error) => {
            drop(tell.send(Err(error.clone())));
            return Some(Err(error));
        }
    };
    let finalizer = RunFinalizer::detached(handle.clone(), app.runs.tracker().clone());
    let finalizer = finalizer.redacting(redactor.clone());
    let mut span = traced::begin(trace, request, &handle.run_id, redactor.as_ref());
    let key = request.key.clone().unwrap_or_else(RunKey::random);
    let driver = RunDriver {
        app,
        request,
        handle: &handle,
        run_key: &key,
        fence: OnceLock::new(),
        redactor: redactor.clone(),
        trace,
        span: &span,
        sink: &EventSink::disabled(),
        deadline: Instant::now() + ADMISSION_TIMEOUT,
        finalizer: &finalizer,
        fingerprint: OnceLock::new(),
        replay: None,
    };
    let admitted = tokio::select! {
        admitted = Box::pin(driver.admit(is_new_key)) => admitted,
        why = handle.stopped() => Err(RunError::new(why)),
    };
    let (accepted, place) = match admitted {
        Ok(Admission::Go(accepted, place)) => (accepted, place),
        Ok(Admission::Over(accepted)) => {
            span.succeed();
            drop(tell.send(Ok(accepted)));
            return None;
        }
        Err(error) => {
            let failed = Err(error.clone());
            traced::describe(&mut span, (request, redactor.as_ref()), &handle, &failed);
            drop(tell.send(Err(error.clone())));
            return Some(Err(error));
        }
    };
    let open = app.feeds.open(&key);
    drop(tell.send(Ok(accepted)));
    let life =
        take_up::Life { app, request, trace, span, registration, finalizer, redactor, key, open };
    Box::pin(life.run(*place)).await
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
