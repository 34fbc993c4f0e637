//! The backend's tasks in the protocol's form.

use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat, Utc};
use mc_client::client::AgentClient;
use mc_client::runs::Run;
use mc_client::tool_requests::{ToolRequest, ToolRequestQuery, ToolRequestStatus};
use mc_client::types::{Capabilities, Message, Task};
use serde_json::{Map, Value, json};

use super::super::detached_report::failure;
use super::super::error::ApiError;
use super::contexts;
use super::fault::{Fault, Kind};
use super::file_parts;
use super::methods::{Caller, backend};
use super::open_tasks::{
    CANCELED, COMPLETED, FAILED, INPUT_REQUIRED, WORKING, artifact, message, parts,
};
use super::params::number;
use super::runs::{self, Found};
use crate::agent::requests::told;
use crate::run::answer::waiting_text;

pub(super) const SUBMITTED: &str = "TASK_STATE_SUBMITTED";

/// The maximum number of messages of a thread.
pub(super) const HISTORY: u32 = 200;
/// The most pages of waiting calls.
const MAX_PAGES: usize = 20;

/// What to include with each task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Include {
    pub(super) history: u32,
    pub(super) artifacts: bool,
    /// The bytes of the files that belong to these.
    pub(super) files: bool,
}

/// `GetTask`.
pub(super) async fn get(
    caller: &Caller,
    id: &str,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    let history = number(params, "historyLength")?.unwrap_or(HISTORY).min(HISTORY);
    let include = Include { history, artifacts: true, files: true };
    let capabilities = caller.capabilities().await?;
    let task = task(caller, &capabilities, id).await?;
    let pending = pending(caller, &capabilities).await?;
    let mut found = describe(caller, &capabilities, &task, &pending, include).await?;
    if let Some(open) = caller.open_task(id) {
        // This instance runs the task, so it knows better than the backend.
        let now = open.snapshot();
        for name in ["status", "artifacts", "metadata"] {
            found[name] = now[name].clone();
        }
    }
    Ok(found)
}

/// The state of a task of the caller's.
pub(super) async fn state(
    caller: &Caller,
    capabilities: &Capabilities,
    id: &str,
) -> Result<Value, Fault> {
    let task = task(caller, capabilities, id).await?;
    if let Some(open) = caller.open_task(id) {
        return Ok(open.snapshot()["status"]["state"].take());
    }
    let pending = pending(caller, capabilities).await?;
    let look = Include { history: 0, artifacts: false, files: false };
    let mut found = describe(caller, capabilities, &task, &pending, look).await?;
    Ok(found["status"]["state"].take())
}

/// The newest run of a task, which exists and belongs to the caller.
pub(super) async fn run_of(caller: &Caller, id: &str) -> Result<Option<Found>, Fault> {
    let capabilities = caller.capabilities().await?;
    let task = task(caller, &capabilities, id).await?;
    runs::newest(caller, &capabilities, &task).await
}

/// A task of the caller's.
pub(super) async fn task(
    caller: &Caller,
    capabilities: &Capabilities,
    id: &str,
) -> Result<Task, Fault> {
    if !capabilities.has("tasks_get") {
        let why = "the backend cannot return single tasks (feature tasks_get)";
        return Err(Fault::new(Kind::Unsupported, why));
    }
    match caller.client.get_task(id).await {
        Ok(task) => Ok(task),
        Err(error) if error.is_not_found() => Err(Fault::no_task(id)),
        Err(error) => Err(backend(&error)),
    }
}

/// The tool calls that wait for approval.
pub(super) async fn pending(
    caller: &Caller,
    capabilities: &Capabilities,
) -> Result<Vec<ToolRequest>, Fault> {
    if !capabilities.has("tool_requests") {
        return Ok(Vec::new());
    }
    let mut query = ToolRequestQuery {
        status: Some(ToolRequestStatus::Pending),
        limit: Some(200),
        ..ToolRequestQuery::default()
    };
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for _ in 0..MAX_PAGES {
        let page = caller.client.tool_requests(&query).await.map_err(|e| backend(&e))?;
        found.extend(page.items);
        match page.next_cursor {
            Some(cursor) if !cursor.is_empty() && seen.insert(cursor.clone()) => {
                query.cursor = Some(cursor);
            }
            // A repeated cursor would loop for ever.
            Some(_) | None => break,
        }
    }
    Ok(found)
}

async fn thread(
    client: &AgentClient,
    capabilities: &Capabilities,
    task: &Task,
    include: Include,
) -> Result<Vec<Message>, Fault> {
    if !capabilities.has("messages_list") {
        return Ok(Vec::new());
    }
    // At least the newest message, which determines the task's state.
    let page = client.list_messages(&task.id, include.history.max(1), None).await;
    Ok(page.map_err(|error| backend(&error))?.items)
}

/// A task with its state and what else is to be included.
pub(super) async fn describe(
    caller: &Caller,
    capabilities: &Capabilities,
    task: &Task,
    pending: &[ToolRequest],
    include: Include,
) -> Result<Value, Fault> {
    let thread = thread(&caller.client, capabilities, task, include).await?;
    let is_agent = |message: &Message| message.actor_type.as_deref() == Some("agent");
    let waiting: Vec<_> = pending.iter().filter(|request| request.task_id == task.id).collect();
    let last = thread.last();
    let run = runs::newest(caller, capabilities, task).await?;
    let run = run
        .and_then(|found| runs::state(&found.run, &waiting, last).map(|state| (state, found.run)));
    let state = match (&run, waiting.is_empty(), last) {
        (Some((state, _)), ..) => state,
        (None, false, _) => INPUT_REQUIRED,
        (None, true, Some(message)) if is_agent(message) => COMPLETED,
        (None, true, _) => SUBMITTED,
    };
    let mut status = json!({ "state": state });
    let ended = run.as_ref().and_then(|(_, run)| run.updated_at);
    let at = last.and_then(|message| message.created_at).max(ended);
    let at = at.or(task.updated_at).or(task.created_at);
    if let Some(at) = at {
        status["timestamp"] = json!(time(at));
    }
    let mut found = json!({
        "id": task.id, "contextId": contexts::of(task), "status": status,
        "metadata": { "title": task.title, "status": task.status },
    });
    if let Some((state, run)) = &run {
        found["metadata"]["run_key"] = json!(run.run_key);
        if let Err(why) = ended_badly(state, run) {
            let id = format!("{}:status", run.run_key);
            found["status"]["message"] =
                message((&task.id, contexts::of(task)), &id, &why.body.error);
            found["metadata"]["code"] = json!(why.body.code);
            if why.body.code == "schema_mismatch" {
                found["metadata"]["details"] = why.body.details;
            }
        }
    }
    if let Some(request) = waiting.first().filter(|_| state == INPUT_REQUIRED) {
        let tools: Vec<_> = waiting.iter().map(|request| request.tool.as_str()).collect();
        found["metadata"]["run_key"] = json!(request.run_key);
        found["metadata"]["waits_for"] = json!(tools);
        let asked = waiting.iter().filter(|asked| asked.run_key == request.run_key);
        let asked: Vec<_> = asked.map(|asked| told((*asked).clone())).collect();
        let names: Vec<_> =
            asked.iter().map(|asked| (&*asked.tool, asked.question.as_deref())).collect();
        let id = format!("{}:status", request.run_key);
        found["status"]["message"] =
            message((&task.id, contexts::of(task)), &id, &waiting_text(&names));
        found["metadata"]["tool_requests"] = json!(asked);
    }
    if include.history > 0 {
        let turn = |message: &Message| {
            let role = if is_agent(message) { "ROLE_AGENT" } else { "ROLE_USER" };
            let parts = parts(&message.content, message.data.as_ref());
            json!({ "messageId": message.id, "taskId": task.id, "contextId": contexts::of(task),
                "role": role, "parts": parts,
                "metadata": { "agent_role": message.agent_role } })
        };
        found["history"] = thread.iter().map(turn).collect();
    }
    if include.artifacts {
        // While a run is at work, or has failed, that is the reply to an earlier message.
        let is_reply =
            |message: &Message| is_agent(message) && ![WORKING, FAILED, CANCELED].contains(&state);
        let mut artifacts = Vec::new();
        if let Some(reply) = last.filter(|message| is_reply(message)) {
            let files = match include.files {
                true => file_parts::of(&caller.client, reply.files().cloned().collect()).await,
                false => Vec::new(),
            };
            artifacts.push(artifact(&reply.content, reply.data.as_ref(), &files));
        }
        found["artifacts"] = artifacts.into();
    }
    Ok(found)
}

/// Why a run has no reply, where it is over without one.
fn ended_badly(state: &str, run: &Run) -> Result<(), ApiError> {
    if [FAILED, CANCELED].contains(&state) { Err(failure(run)) } else { Ok(()) }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
