//! A run that another run asked for: the same user and task, another role with its own prompt and rights. It takes
//! no turn of its session, writes under the lease of the run at the top, and stores no message.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::runs::RunStatus;
use mc_client::steps::{ChildCall, Parent};
use serde_json::Map;
use service::otel::Span;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument as _;
use uuid::Uuid;
use wombat_core::agent_config::AgentProfile;
use wombat_core::session::{Role, SessionKey};
use wombat_core::workspace::PromptMode;

use super::audit;
use super::context::RunContext;
use super::customers::{self, Asked};
use super::driver::RunDriver;
use super::finalizer::RunFinalizer;
use super::journal::{ChildReport, Journal, empty_chain};
use super::launch::{TIMEOUT_GRACE, outcome_label};
use super::prepare::Earlier;
use super::redaction;
use super::traced;
use crate::run::answer::RunAnswer;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::EventSink;
use crate::run::lineage::below;
use crate::run::output::OutputFormat;
use crate::run::registry::RunHandle;
use crate::run::request::{RunKind, RunLimits, RunOptions, RunRequest, TaskTarget};

/// How often a child looks whether somebody has cancelled it, and nothing else.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How a child ended.
pub(super) struct ChildEnd {
    /// Its answer, or what it waits for, or why it failed.
    pub(super) result: Result<RunAnswer, RunError>,
    /// What of it stands in the parent's journal.
    pub(super) report: ChildReport,
}

/// What the system prompt says to whom another agent asks.
pub(super) fn asked_by(parent: &Parent) -> String {
    let asking = parent.chain.roles.last().map_or("another agent", String::as_str);
    format!(
        "\n\nThe agent {asking} asks you for this on the user's behalf. Your reply goes to it alone, and not \
         into the task's thread: give it everything that it needs."
    )
}

impl RunContext<'_> {
    /// Runs a child to its end, or until it waits for a person. `is_known`: whether an earlier attempt may
    /// have begun it.
    pub(super) fn run_child<'a>(
        &'a self,
        child: &'a ChildCall,
        message: &'a str,
        is_known: bool,
        span: &'a Span,
    ) -> BoxFuture<'a, ChildEnd> {
        async move {
            let run_id = Uuid::now_v7().to_string();
            let key = RunKey::parse(&child.run_key).unwrap_or_else(RunKey::random);
            let runs = &self.run.app.runs;
            let registration = runs.register_child(run_id.clone(), key.clone(), self.run.handle);
            let handle = registration.handle.clone();
            let (trace_id, role) = (self.run.trace, &child.role);
            let named = tracing::error_span!("run", run_id, trace_id = %trace_id, %role);
            let executed = self.execute_child((child, &key), message, is_known, &handle, span);
            let result = executed.instrument(named).await;
            drop(registration);
            let tally = handle.meter.read();
            let report = ChildReport {
                run_key: child.run_key.clone(),
                role: child.role.clone(),
                usage: tally.usage,
                cost: tally.cost,
            };
            ChildEnd { result, report }
        }
        .boxed()
    }

    async fn execute_child(
        &self,
        (child, key): (&ChildCall, &RunKey),
        message: &str,
        is_known: bool,
        handle: &Arc<RunHandle>,
        span: &Span,
    ) -> Result<RunAnswer, RunError> {
        let (app, started) = (self.run.app, Instant::now());
        let request = Box::pin(self.request_of(child, key, message)).await?;
        let role = &child.role;
        let profile = self.snapshot.admit(role)?.narrowed(request.customer.rules.as_ref());
        let redactor = redaction::of_profile(app, &request, &profile);
        let mut span = traced::begin_below(span, &request, &handle.run_id, redactor.as_ref());
        let finalizer = RunFinalizer::detached(handle.clone(), app.runs.tracker().clone());
        let finalizer = finalizer.redacting(redactor.clone());
        let driver = RunDriver {
            app,
            request: &request,
            handle,
            run_key: key,
            fence: OnceLock::new(),
            redactor: redactor.clone(),
            trace: self.run.trace,
            span: &span,
            sink: &EventSink::disabled(),
            deadline: self.run.deadline,
            finalizer: &finalizer,
            fingerprint: OnceLock::new(),
            replay: None,
        };
        let result = match self.client_of(&driver) {
            Ok(client) => {
                let watched = watch(&client, key, self.journal.is_enabled(), handle);
                let worked = Box::pin(self.work(&driver, profile, client.clone(), is_known));
                tokio::select! {
                    result = timeout_at(self.run.deadline + TIMEOUT_GRACE, worked) => match result {
                        Ok(result) => result,
                        Err(_) => Err(RunError::new(RunErrorKind::Timeout)),
                    },
                    why = handle.stopped() => Err(RunError::new(why)),
                    () = watched => Err(RunError::new(RunErrorKind::Cancelled)),
                }
            }
            Err(error) => Err(error),
        };
        traced::describe(&mut span, (&request, redactor.as_ref()), handle, &result);
        finalizer.finish(&result).await;
        if let Err(RunError { kind: RunErrorKind::JournalRejected(_), cause, .. }) = &result {
            audit::journal_rejected(app, &request.session, key, self.run.trace, cause).await;
        }
        if let Err(error) = &result {
            let cause = redaction::logged(redactor.as_ref(), &error.cause);
            let (code, cause) = (error.code(), &*cause);
            tracing::warn!(code, cause, "a run that was handed on has failed");
        }
        let outcome = result.clone().map(Arc::new);
        app.metrics.run(Some(role), outcome_label(&outcome), started.elapsed());
        result
    }

    /// The child's own client, under the lease of the run at the top.
    fn client_of(&self, child: &RunDriver<'_>) -> Result<AgentClient, RunError> {
        let session = &child.request.session;
        let client = child.app.backend.agent(session.user().as_str(), session.role().as_str());
        let client = client.map_err(|error| RunError::backend(&error))?;
        let client = client.of_work(child.request.began).with_trace(&child.span.traceparent());
        let client = client.with_deadline(child.deadline);
        let client = redaction::masked(client, child.redactor.as_ref());
        // Without a journal nothing tells a backend whose child it is.
        Ok(match self.journal.is_enabled() {
            true => client.with_fence_of(&self.client),
            false => client,
        })
    }

    async fn work(
        &self,
        driver: &RunDriver<'_>,
        profile: AgentProfile,
        client: AgentClient,
        is_known: bool,
    ) -> Result<RunAnswer, RunError> {
        let (app, request) = (driver.app, driver.request);
        driver.refuse_unread(&self.capabilities)?;
        let journal = match self.journal.is_enabled() {
            true => {
                let chain =
                    empty_chain(&app.settings.journal_keys, driver.run_key, &request.session);
                Journal::open(&client, chain, driver.run_key, is_known).await?
            }
            false => Journal::default(),
        };
        driver.check_earlier_run(&journal, None, Some(&self.task_id))?;
        let (capabilities, snapshot) = (self.capabilities.clone(), self.snapshot.clone());
        let context =
            driver.context(client, capabilities, snapshot, profile, &self.task_id, journal);
        let context = context.await;
        if !context.journal.is_enabled() {
            driver.check_model(&context.model)?;
        }
        let (messages, typed) = Box::pin(context.open_conversation(Earlier::default())).await?;
        Box::pin(context.converse(messages, typed)).await
    }

    /// What a child is asked for. It sees nothing but the message.
    async fn request_of(
        &self,
        child: &ChildCall,
        key: &RunKey,
        message: &str,
    ) -> Result<RunRequest, RunError> {
        let own = self.run.request;
        let profile = self.snapshot.admit(&child.role)?;
        let role = Role::parse(&child.role).map_err(|error| {
            RunError::new(RunErrorKind::Internal).caused_by(format!("no role: {error}"))
        })?;
        let parent_key = self.run.run_key.as_str();
        let (root_run_key, root_session_key) = match &own.child {
            Some(parent) => (parent.root_run_key.clone(), parent.root_session_key.clone()),
            None => (parent_key.to_owned(), own.session.to_string()),
        };
        let parent = Parent {
            run_key: parent_key.to_owned(),
            root_run_key,
            root_session_key,
            chain: below(own, self.run.run_key),
        };
        let session = SessionKey::new(own.session.user().clone(), role);
        let kept = Some(own.customer.workspace.as_str());
        let asked = Asked { session: &session, key: None, detached: false, kept };
        let customer = customers::customer(self.run.app, self.run.trace, asked).await?;
        let output = profile.output.as_deref().map(|spec| Arc::new(OutputFormat::new(spec, true)));
        let asked_limits = RunLimits {
            timeout: self.run.deadline.saturating_duration_since(Instant::now()),
            ..own.limits
        };
        Ok(RunRequest {
            session,
            message: message.to_owned(),
            attachments: Vec::new(),
            history: Some(Vec::new()),
            task: TaskTarget::Id(self.task_id.clone()),
            output,
            options: RunOptions {
                system_prompt: None,
                kickoff: None,
                timezone: own.options.timezone,
                prompt_mode: PromptMode::Full,
                model_tier: None,
                kind: RunKind::Message,
            },
            metadata: Map::new(),
            webhook: None,
            key: Some(key.clone()),
            resumed: false,
            detached: false,
            child: Some(Arc::new(parent)),
            limits: customer.narrow(asked_limits),
            asked_limits,
            customer,
            began: own.began,
        })
    }
}

/// Ends when somebody has cancelled the child: its backend knows, whichever instance was told.
async fn watch(client: &AgentClient, key: &RunKey, has_journal: bool, handle: &RunHandle) {
    if !has_journal {
        return std::future::pending().await;
    }
    loop {
        sleep(LOOK_INTERVAL).await;
        let Ok(Some(run)) = client.run_state(key.as_str()).await else { continue };
        if run.cancel_requested || run.known_status() == Some(RunStatus::Cancelled) {
            // Those below it learn of it before they are dropped.
            return handle.cancel();
        }
    }
}
