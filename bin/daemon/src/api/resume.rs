//! `resume_run_key`: a journaled run is resumed where it stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::journal_mac::JournalFault;
use mc_client::runs::{PutRun, Run, RunStatus};
use mc_client::steps::Parent;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use service::trace::TraceId;
use wombat_core::session::SessionKey;

use super::answers;
use super::error::ApiError;
use super::options::{narrow, read_limits, read_options};
use crate::agent::audit;
use crate::agent::customers::{self, Asked};
use crate::agent::journal::{RecordedRequest, empty_chain};
use crate::run::attachments::Attached;
use crate::run::customer::DEFAULT_WORKSPACE;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::request::{RunRequest, TaskTarget, Webhook};
use crate::state::App;

/// What a run's request is wanted for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// To go on with it, as far as the customer's profile lets it, with these answers to what it asked.
    Run(&'a Map<String, Value>),
    /// To write down, or to tell, how it ended. That asks no model and calls no tool, so no profile is read.
    End,
}

/// The request of a run as its journal has it. A run of another user or another role is reported like
/// an unknown one: `run_not_found`.
pub(super) async fn request(
    app: &App,
    trace: &TraceId,
    session: SessionKey,
    run_key: &str,
    webhook: Option<Webhook>,
    detached: bool,
    wanted: Wanted<'_>,
) -> Result<RunRequest, ApiError> {
    let none = || ApiError::from(RunError::new(RunErrorKind::RunNotFound));
    let backend = |error| ApiError::from(RunError::backend(&error));
    let key = RunKey::parse(run_key).ok_or_else(none)?;
    let traceparent = trace.traceparent();
    let capabilities = app.backend.capabilities(&traceparent).await.map_err(backend)?;
    if !capabilities.has("run_journal") {
        return Err(none());
    }
    let client = app
        .backend
        .agent(session.user().as_str(), session.role().as_str())
        .map_err(backend)?
        .with_trace(&traceparent);
    let run = client.run(key.as_str()).await.map_err(backend)?.ok_or_else(none)?;
    let is_other = run.session_key.as_deref().is_some_and(|other| other != session.to_string());
    if is_other || run.steps.is_empty() {
        return Err(none());
    }
    let mut chain = empty_chain(&app.settings.journal_keys, &key, &session);
    if let Err(fault) = chain.read(run.steps.iter()) {
        let refused = reject(&client, key.as_str(), &run, &fault).await;
        audit::journal_rejected(app, &session, &key, trace, &fault.to_string()).await;
        return Err(refused.into());
    }
    let first = run.steps.iter().find(|step| step.index == 0);
    let recorded = first.and_then(|step| RecordedRequest::deserialize(&step.payload).ok());
    let recorded = recorded.ok_or_else(none)?;
    if let Some(parent) = &recorded.parent {
        return Err(child_run(parent));
    }
    let mut problems = BTreeMap::new();
    let options = read_options(app, &recorded.metadata, &mut problems);
    let given = recorded.limits.as_object().cloned().unwrap_or_else(Map::new);
    let given = given.into_iter().filter(|(_, value)| !value.is_null()).collect();
    // Such a run stays one, whoever goes on with it.
    let detached = detached || recorded.detached.is_some();
    let limits = read_limits(app, &given, detached, &mut problems);
    let (Some(options), true) = (options, problems.is_empty()) else {
        return Err(ApiError::fields("invalid_payload", problems));
    };
    // A resumed run obeys the newest profile, in the workspace that it began in.
    // Older journals name none.
    let kept = Some(recorded.workspace.as_deref().unwrap_or(DEFAULT_WORKSPACE));
    let customer = match wanted {
        Wanted::Run(_) => {
            let asked = Asked { session: &session, key: Some(&key), detached, kept };
            Box::pin(customers::customer(app, trace, asked)).await?
        }
        Wanted::End => Arc::new(customers::unread(kept)),
    };
    let asked_limits = limits;
    let (options, limits) = narrow(&customer, &recorded.metadata, options, limits);
    // What is cancelled stays so, and says so.
    if let Wanted::Run(answers) = wanted
        && run.known_status() != Some(RunStatus::Cancelled)
    {
        answers::give(&client, &capabilities, &key, answers).await?;
    }
    let reads_thread = recorded.detached.as_ref().is_some_and(|detached| detached.reads_thread);
    let webhook = match (webhook, recorded.detached.and_then(|detached| detached.webhook)) {
        (None, Some(url)) => check_again(app, &url).await,
        (webhook, _) => webhook,
    };
    Ok(RunRequest {
        session,
        message: recorded.message,
        attachments: recorded.attachments.into_iter().map(Attached::elsewhere).collect(),
        history: (!reads_thread).then_some(recorded.history),
        // Not the row's, which no MAC is over.
        task: TaskTarget::Id(recorded.task_id),
        options,
        output: recorded.output.map(Arc::new),
        metadata: recorded.metadata,
        webhook,
        key: Some(key),
        resumed: true,
        detached,
        child: None,
        customer,
        asked_limits,
        limits,
        began: SystemTime::now(),
    })
}

/// A run below another one goes on with that.
fn child_run(parent: &Parent) -> ApiError {
    let why = format!(
        "this run belongs to another one, which goes on with it: resume {} of the session {}",
        parent.root_run_key, parent.root_session_key
    );
    let details =
        json!({ "root_run_key": parent.root_run_key, "root_session_key": parent.root_session_key });
    ApiError::new(StatusCode::CONFLICT, "child_run", why).with_details(details)
}

/// The webhook of step 0, if its address may still be called.
async fn check_again(app: &App, url: &str) -> Option<Webhook> {
    match app.webhooks.check(url).await {
        Ok(url) => Some(Webhook { url, secret: None, headers: HeaderMap::new() }),
        Err(error) => {
            tracing::warn!(%error, "the run's webhook is not told of its end");
            None
        }
    }
}

/// The failure of a run whose journal cannot be trusted; the run itself has failed, unless it is over.
async fn reject(client: &AgentClient, key: &str, run: &Run, fault: &JournalFault) -> RunError {
    let error = RunError::journal_rejected(fault);
    if !run.known_status().is_some_and(RunStatus::is_final) {
        let why = [("error".to_owned(), error.code().into())];
        let put = PutRun {
            status: Some(RunStatus::Failed),
            extra: why.into_iter().collect(),
            ..PutRun::default()
        };
        if let Err(error) = client.put_run(key, &put).await {
            tracing::warn!(%error, "final status could not be written to the run journal");
        }
    }
    error
}
