//! What the journal says of a run: where it stands, its steps, its answer or error. Nothing here is
//! known to one instance only.

use std::borrow::Cow;
use std::time::Duration;

use daemon_api::{Cost, RefusedCall, RunAnswer, RunReport, RunStatus as AnswerStatus, Usage};
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::runs::{Run, RunStep};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use service::trace::TraceId;

use super::children;
use super::detached::{Found, backend};
use super::error::ApiError;
use crate::agent::detach::pending;
use crate::agent::file_report::{attachments_of, saved_of};
use crate::agent::requests::told;
use crate::agent::stands::memory_warning_of;
use crate::agent::typed::output_of_stored;
use crate::run::answer_json::{cost_to_wire, usage_to_wire};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::failure::Failure;
use crate::run::output::Output;
use crate::run::recap::Recap;
use crate::run::script::last_event;
use crate::run::standing::Standing;
use crate::run::written;
use crate::state::App;

/// The state of a run that an instance has left, where no other one takes it up.
pub(super) fn stalled() -> ApiError {
    RunError::new(RunErrorKind::Stalled).into()
}

/// Everything about a run.
pub(super) async fn of(app: &App, trace: &TraceId, found: Found) -> Result<RunReport, ApiError> {
    let run = &found.run;
    let mut standing = Standing::of(run);
    let mut tool_requests = None;
    let mut children = children::of(app, trace, run).await?;
    let asked = match standing.is_waiting() || children::wait(&children) {
        true => children::asked(app, trace, &found, &children).await?,
        false => Vec::new(),
    };
    children::settle(&mut children, &asked);
    if standing.is_waiting() {
        // What it waits for may have changed since it was written.
        standing = Standing::waiting_for(&asked).unwrap_or_else(|| Standing::at_work(run));
        if !asked.is_empty() {
            tool_requests = Some(asked.into_iter().map(told).collect::<Vec<_>>());
        }
    }
    let (mut answer, mut error) = (None, None);
    if standing.is_over() {
        match written(&found.client, &found.key, run).await {
            Ok(body) => answer = Some(body),
            Err(why) => error = Some(error_of(&why)),
        }
    }
    if let (Some(answer), Some(asked)) = (&mut answer, &tool_requests) {
        as_it_stands(answer, standing, asked);
    }
    let capabilities = app.backend.capabilities(&trace.traceparent()).await;
    let capabilities = capabilities.map_err(|error| backend(&error))?;
    let mut last_event_id = last_event(&run.steps);
    if run.detached && capabilities.has("run_stream") {
        let key = found.key.as_str();
        if let Ok(kept) = found.client.deltas(key, last_event_id, Some(1)).await {
            last_event_id = last_event_id.max(kept.last_seq);
        }
    }
    Ok(RunReport {
        run_key: found.key.as_str().to_owned(),
        task_id: run.task_id.clone().unwrap_or_default(),
        status: standing.as_str().to_owned(),
        created_at: run.created_at.map(time),
        updated_at: run.updated_at.map(time),
        steps: run.steps.iter().map(step).collect(),
        last_event_id,
        answer,
        error,
        tool_requests,
        children: (!children.is_empty()).then_some(children),
        parent_run_key: run.parent_run_key.clone(),
    })
}

pub(super) fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn error_of(error: &ApiError) -> Value {
    json!({ "status": error.status.as_u16(), "error": error.body.error, "code": error.body.code,
        "details": error.body.details })
}

/// The fields of steps that are told. Texts for the model, and what another user's backend may hold, stay
/// in the journal.
fn step(step: &RunStep) -> Value {
    let mut told = Map::new();
    told.insert("index".to_owned(), json!(step.index));
    told.insert("kind".to_owned(), json!(step.kind));
    let payload = &step.payload;
    let names: &[&str] = match step.kind.as_str() {
        "tool" => &[
            "name",
            "arguments",
            "ok",
            "error",
            "duration_ms",
            "tool_request_id",
            "requested_arguments",
            "decided_by",
            "rule_id",
            "files",
            "saved",
            "mentioned",
            "mentions_refused",
        ],
        "calling" => &["children"],
        "llm" | "llm_rejected" => &["duration_ms", "errors", "files"],
        _ => &[],
    };
    for name in names.iter().chain(&["first_event", "last_event"]) {
        if let Some(value) = payload.get(name).filter(|value| !value.is_null()) {
            told.insert((*name).to_owned(), value.clone());
        }
    }
    if let Some(child) = payload.get("child") {
        let (run_key, role) = (&child["run_key"], &child["role"]);
        told.insert("child".to_owned(), json!({ "run_key": run_key, "role": role }));
    }
    if let Some(id) = payload.get("call_id") {
        told.insert("id".to_owned(), id.clone());
    }
    if let Some(completion) = payload.get("completion") {
        for (name, at) in [
            ("text", "/message/text"),
            ("tool_calls", "/message/tool_calls"),
            ("model", "/model"),
            ("provider", "/provider"),
            ("finish_reason", "/finish_reason"),
            ("usage", "/usage"),
        ] {
            if let Some(value) = completion.pointer(at) {
                told.insert(name.to_owned(), value.clone());
            }
        }
        // As the user gets it.
        if let Some(shown) = payload.get("shown") {
            told.insert("text".to_owned(), shown.clone());
        }
    }
    Value::Object(told)
}

/// The answer of a run that is over or waits, as `send` gives it; or its error.
pub(in crate::api) async fn outcome(
    client: &AgentClient,
    key: &RunKey,
    run: &Run,
) -> Result<Value, ApiError> {
    let mut answer = written(client, key, run).await?;
    if Standing::of(run).is_waiting()
        && let Ok(asked) = pending(client, key).await
        && let Some(standing) = Standing::waiting_for(&asked)
    {
        let asked: Vec<_> = asked.into_iter().map(told).collect();
        as_it_stands(&mut answer, standing, &asked);
    }
    Ok(answer)
}

/// Puts what a run waits for now into its answer: some of it may have been decided since it was written.
fn as_it_stands(answer: &mut Value, standing: Standing, asked: &[daemon_api::ToolRequest]) {
    answer["status"] = json!(standing.as_str());
    answer["tool_requests"] = json!(asked);
}

/// The same as it was written.
async fn written(client: &AgentClient, key: &RunKey, run: &Run) -> Result<Value, ApiError> {
    match Standing::of(run) {
        Standing::Failed | Standing::Cancelled => Err(failure(run)),
        Standing::Completed
        | Standing::AwaitingApproval
        | Standing::AwaitingAnswer
        | Standing::Queued
        | Standing::Running
        | Standing::Interrupted => Ok(match recorded_answer(run) {
            Some(answer) => answer,
            None => made_answer(client, key, run).await,
        }),
    }
}

/// The answer that was written with the end of the run, if it is of this end.
fn recorded_answer(run: &Run) -> Option<Value> {
    let answer = run.extra.get(written::ANSWER).filter(|answer| answer.is_object())?;
    let is_waiting = Standing::of(run).is_waiting();
    let says_so = answer["status"].as_str().is_some_and(|status| status.starts_with("awaiting"));
    let is_of_this_end = answer["run_id"] == written::run_id(run) && is_waiting == says_so;
    is_of_this_end.then(|| answer.clone())
}

/// Why a run has failed, or that it was cancelled.
pub(in crate::api) fn failure(run: &Run) -> ApiError {
    if Standing::of(run) == Standing::Cancelled {
        return RunError::new(RunErrorKind::Cancelled).into();
    }
    let failure = Failure::of(run);
    let retry_after = failure.retry_after.map(Duration::from_secs);
    let error = RunError::new(RunErrorKind::FailedElsewhere(Box::new(failure)));
    RunError { retry_after, ..error }.into()
}

/// The answer of a run whose end was not written with it: made from its steps.
async fn made_answer(client: &AgentClient, key: &RunKey, run: &Run) -> Value {
    let extra = |name: &str| run.extra.get(name).cloned().unwrap_or_default();
    let recap = Recap::of(&run.steps);
    let (last, mut response) = (recap.turns.last(), recap.text());
    let message_id = written::message_id(run).map(str::to_owned);
    if message_id.is_some()
        && let Ok(Some(stored)) = client.message_by_key(&key.reply_key()).await
    {
        response = stored.content;
    }
    let standing = Standing::of(run);
    let output = match message_id.is_some() {
        true => output_of_stored(run, &response).await,
        false => None,
    };
    let (output, output_errors) = match output {
        Some(Output::Fits(output)) => (Some(Cow::Owned(output)), None),
        Some(Output::Misfits(errors)) => (Some(Cow::Owned(Value::Null)), Some(errors.into())),
        None => (None, None),
    };
    let trace_id = run.steps.first().and_then(|step| step.payload.pointer("/detached/trace_id"));
    let usage = || usage_to_wire(&recap.tally.usage);
    let cost = || cost_to_wire(&recap.tally.cost);
    let answer = RunAnswer {
        status: match standing {
            Standing::AwaitingApproval => AnswerStatus::AwaitingApproval,
            Standing::AwaitingAnswer => AnswerStatus::AwaitingAnswer,
            _ => AnswerStatus::Ok,
        },
        run_id: written::run_id(run).to_owned().into(),
        task_id: run.task_id.clone().unwrap_or_default().into(),
        trace_id: trace_id.and_then(Value::as_str).unwrap_or_default().to_owned().into(),
        silent: (standing == Standing::Completed && message_id.is_none()).then_some(true),
        message_id: message_id.map(Cow::Owned),
        response: Some(response.into()),
        usage: Usage::deserialize(extra(written::USAGE)).unwrap_or_else(|_| usage()),
        cost: Cost::deserialize(extra(written::COST)).unwrap_or_else(|_| cost()),
        model: last.map(|turn| turn.model.clone().into()),
        provider: last.map(|turn| turn.provider.as_str().into()),
        finish_reason: last.map(|turn| turn.finish_reason.as_str().into()),
        refused: listed(RefusedCall::of(&recap.steps)),
        workspace: recap.workspace.map(Cow::Owned),
        profile_digest: recap.profile_digest.map(Cow::Owned),
        steps: recap.steps.into(),
        workspace_digest: run.workspace_digest.clone().unwrap_or_default().into(),
        run_key: Some(key.as_str().to_owned().into()),
        output,
        output_errors,
        attachments: listed(attachments_of(&run.steps)),
        files: listed(saved_of(&run.steps)),
        mentions_refused: listed(recap.mentions_refused),
        memory_warning: memory_warning_of(&run.steps).map(Cow::Owned),
        ..RunAnswer::default()
    };
    serde_json::to_value(answer).unwrap_or_default()
}

fn listed<T: Clone>(items: Vec<T>) -> Option<Cow<'static, [T]>> {
    (!items.is_empty()).then_some(Cow::Owned(items))
}
