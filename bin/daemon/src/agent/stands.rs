//! Replies that stand in the thread although nobody has written that their run is completed: its instance
//! died between the two, or was stopped. Such a run is never cancelled, but completed.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use daemon_api::{FileReport, RefusedCall};
use llm::model::ModelRef;
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::runs::{PutRun, Run, RunStatus, RunStep};
use mc_client::types::{Capabilities, Message};
use serde::Deserialize as _;
use serde_json::json;
use service::trace::TraceId;
use tokio::time::Instant;

use super::detach::pending;
use super::ends::Ends;
use super::facts;
use super::file_report::{attachments_of, saved_of};
use super::redaction;
use super::refusals::is_same_task;
use super::requests::told;
use super::store;
use super::typed::output_of_stored;
use crate::run::answer::{Ending, RunAnswer, StoredReply};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::recap::Recap;
use crate::run::registry::RunHandle;
use crate::run::request::RunRequest;
use crate::run::standing::Standing;
use crate::run::written;
use crate::state::App;

/// An answer with what only the instance knew that wrote the end, where that is there.
fn as_written(answer: RunAnswer, run: &Run) -> RunAnswer {
    let answered = run.extra.get(written::ANSWER).map(daemon_api::RunAnswer::deserialize);
    let Some(Ok(answered)) = answered else { return answer };
    let mentions_refused = answered.mentions_refused.map(Cow::into_owned);
    RunAnswer {
        context_warning: answered.context_warning.map(Cow::into_owned),
        mentions_refused: mentions_refused.unwrap_or(answer.mentions_refused),
        ..answer
    }
}

/// How long the end of a run may wait for this.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The reply under a run's key, where the backend can tell.
pub(crate) async fn reply_of(
    client: &AgentClient,
    capabilities: &Capabilities,
    key: &RunKey,
    task_id: Option<&str>,
) -> Result<Option<Message>, RunError> {
    if !capabilities.has("message_lookup") {
        return Ok(None);
    }
    let client = client.clone().with_deadline(Instant::now() + TIMEOUT);
    let found = client.message_by_key(&key.reply_key()).await;
    let found = found.map_err(|error| RunError::backend(&error))?;
    Ok(found.filter(|reply| task_id.is_none_or(|task| is_same_task(&reply.task_id, task))))
}

/// A run whose reply may stand.
pub(crate) struct Stands<'a> {
    pub(crate) app: &'a App,
    pub(crate) request: &'a RunRequest,
    pub(crate) key: &'a RunKey,
    pub(crate) trace: &'a TraceId,
    /// The run as which it is reported.
    pub(crate) run_id: &'a str,
}

impl Stands<'_> {
    /// What a run comes to that was stopped, or whose end is not known: where its reply stands, to that.
    pub(super) async fn or_answer(
        &self,
        client: Result<AgentClient, RunError>,
        handle: &RunHandle,
        result: Result<RunAnswer, RunError>,
    ) -> Result<RunAnswer, RunError> {
        let Err(error) = &result else { return result };
        let may_stand = match error.kind {
            RunErrorKind::Cancelled | RunErrorKind::Timeout => {
                self.request.key.is_some() || handle.has_begun_to_answer()
            }
            RunErrorKind::ReplyNotStored(_) | RunErrorKind::BackendUnavailable => {
                handle.has_begun_to_answer()
            }
            // Else another instance goes on, and finds it.
            RunErrorKind::Draining => handle.has_answered(),
            _ => false,
        };
        let (true, Ok(client)) = (may_stand, client) else { return result };
        match self.answer(&client.with_deadline(Instant::now() + TIMEOUT)).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => result,
            Err(error) => {
                let redactor = redaction::of_run(self.app, self.request).ok().flatten();
                let cause = &*redaction::logged(redactor.as_ref(), &error.cause);
                tracing::warn!(cause, "whether the run's reply stands is not known");
                result
            }
        }
    }

    /// The answer, where the reply stands. A plan that is missing is stored.
    pub(super) async fn answer(&self, client: &AgentClient) -> Result<Option<RunAnswer>, RunError> {
        let capabilities = self.app.backend.capabilities(&self.trace.traceparent()).await;
        let capabilities = capabilities.map_err(|error| RunError::backend(&error))?;
        match reply_of(client, &capabilities, self.key, None).await? {
            Some(reply) => self.answer_with(client, &capabilities, reply).await,
            None => Ok(None),
        }
    }

    /// The answer with this reply; `None` where the run is cancelled for good.
    async fn answer_with(
        &self,
        client: &AgentClient,
        capabilities: &Capabilities,
        reply: Message,
    ) -> Result<Option<RunAnswer>, RunError> {
        let backend = |error| RunError::backend(&error);
        let run = match capabilities.has("run_journal") {
            true => client.run(self.key.as_str()).await.map_err(backend)?,
            false => None,
        };
        let status = run.as_ref().and_then(Run::known_status);
        if status == Some(RunStatus::Cancelled) {
            return Ok(None);
        }
        let output = match &run {
            Some(run) => output_of_stored(run, &reply.content).await,
            None => None,
        };
        let known = run.as_ref().and_then(|run| run.task_id.clone());
        let task_id = known.unwrap_or_else(|| reply.task_id.clone());
        let plan_document_id = match &self.request.options.kickoff {
            Some(kickoff) => {
                let plan = store::plan(client, kickoff, self.key, &task_id, &reply.content).await;
                Some(plan.map_err(backend)?.id)
            }
            None => None,
        };
        let files = reply.files().map(|file| FileReport {
            file_id: file.file_id.clone(),
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            size: file.size,
            sha256: file.sha256.clone(),
        });
        let files = files.collect();
        let ending = Ending::Replied(StoredReply { message_id: reply.id, plan_document_id });
        let answer = self.of_journal(run.as_ref(), ending, (task_id, reply.content));
        Ok(Some(RunAnswer { output, files, ..answer }))
    }

    /// What the journal has of an answer with this ending.
    fn of_journal(
        &self,
        run: Option<&Run>,
        ending: Ending,
        (task_id, response): (String, String),
    ) -> RunAnswer {
        let steps: &[RunStep] = run.map_or(&[], |run| &run.steps);
        let recap = Recap::of(steps);
        let last = recap.turns.last();
        let refused = RefusedCall::of(&recap.steps);
        RunAnswer {
            ending,
            run_id: self.run_id.to_owned(),
            task_id,
            trace_id: self.trace.to_string(),
            run_key: self.key.as_str().to_owned(),
            response,
            usage: recap.tally.usage,
            cost: recap.tally.cost,
            model: last.map(|turn| ModelRef::new(turn.provider, &turn.model)),
            finish_reason: last.map(|turn| turn.finish_reason),
            steps: recap.steps,
            workspace_digest: run.and_then(|run| run.workspace_digest.clone()).unwrap_or_default(),
            context_warning: None,
            memory_warning: memory_warning_of(steps),
            output: None,
            attachments: attachments_of(steps),
            files: saved_of(steps),
            mentions_refused: recap.mentions_refused,
            workspace: recap.workspace,
            profile_digest: recap.profile_digest,
            refused,
        }
    }

    /// What a run has come to that is completed, or waits for a person, without a turn of its session; `None`
    /// where that cannot be told, or is so no more.
    pub(super) async fn as_it_is(
        &self,
        client: &AgentClient,
        run: &Run,
    ) -> Result<Option<RunAnswer>, RunError> {
        let client = client.clone().with_deadline(Instant::now() + TIMEOUT);
        let task_id = run.task_id.clone().unwrap_or_default();
        let text = Recap::of(&run.steps).text();
        match Standing::of(run) {
            Standing::Completed => {
                let Some(answer) = self.answer(&client).await? else {
                    let is_silent = written::message_id(run).is_none();
                    let silent = || self.of_journal(Some(run), Ending::Silent, (task_id, text));
                    return Ok(is_silent.then(silent));
                };
                Ok(Some(as_written(answer, run)))
            }
            Standing::AwaitingApproval | Standing::AwaitingAnswer => {
                let asked = pending(&client, self.key).await?;
                let tool_requests: Vec<_> = asked.into_iter().map(told).collect();
                let is_decided = tool_requests.is_empty();
                let ending = Ending::Waits { tool_requests };
                let waits = || self.of_journal(Some(run), ending, (task_id, text));
                Ok((!is_decided).then(waits))
            }
            Standing::Queued
            | Standing::Running
            | Standing::Failed
            | Standing::Interrupted
            | Standing::Cancelled => Ok(None),
        }
    }

    /// Completes a run whose reply stands, and that no instance works on; tells its webhook. Whether it
    /// stands.
    pub(crate) async fn complete(&self, client: &AgentClient) -> Result<bool, RunError> {
        let redactor = redaction::of_run(self.app, self.request)?;
        let client = redaction::masked(client.clone(), redactor.as_ref());
        let client = client.with_deadline(Instant::now() + TIMEOUT);
        let Some(answer) = self.answer(&client).await? else { return Ok(false) };
        let answer = Arc::new(answer);
        // First, as at the end of any run: who is told twice knows that by the id.
        let (app, request, task_id) = (self.app, self.request, &*answer.task_id);
        let ends = Ends { app, request, client: &client, task_id };
        ends.tell(self.run_id, &Ok(answer.clone())).await;
        let extra = json!({ (written::MESSAGE_ID): answer.message_id(), (written::RUN_ID): self.run_id,
            (written::USAGE): answer.to_wire().usage, (written::COST): answer.to_wire().cost,
            (written::ANSWER): *answer });
        let mut extra = extra.as_object().cloned().unwrap_or_default();
        extra.extend(facts::at_end(Ok(&answer), &answer.cost, redactor.as_ref()));
        let put = PutRun { status: Some(RunStatus::Completed), extra, ..PutRun::default() };
        match client.put_run(self.key.as_str(), &put).await {
            Err(error) if !error.is_run_finished() => Err(RunError::backend(&error)),
            _ => Ok(true),
        }
    }
}

/// Why the run had no memories, as its step 0 says.
pub(crate) fn memory_warning_of(steps: &[RunStep]) -> Option<String> {
    let first = steps.iter().find(|step| step.index == 0)?;
    first.payload["memory_warning"].as_str().map(str::to_owned)
}
