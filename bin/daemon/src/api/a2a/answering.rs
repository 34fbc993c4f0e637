//! The next message to a task that waits for an answer is that answer: it is stored as what the person says,
//! and the run that asked goes on.

use mc_client::error::McError;
use mc_client::idempotency::RunKey;
use mc_client::tool_requests::{ToolRequest, ToolRequestKind};
use mc_client::types::{ActorType, CreateMessage};
use serde_json::Value;

use super::fault::{Fault, Kind};
use super::methods::{Caller, backend};
use super::open_tasks::{CANCELED, COMPLETED, FAILED};
use super::runs;
use super::send_message::SendMessage;
use super::stored;
use crate::agent::detach::pending;
use crate::run::error::RunError;
use crate::run::request::KeySpace;

/// What the backend has to have.
const NEEDS: [&str; 4] = ["decisions", "user_messages", "message_lookup", "run_journal"];

/// Makes the message the answer to the one question that its task waits for, where it is that: then it takes up
/// the run that asked. The same message again takes it up again.
pub(super) async fn answer(caller: &Caller, asked: &mut SendMessage) -> Result<(), Fault> {
    let request = &mut asked.request;
    let task_id = asked.known_task.clone().or_else(|| request.task_id.clone());
    let Some(task_id) = task_id.filter(|_| request.resume.is_none()) else {
        return Ok(());
    };
    let capabilities = caller.capabilities().await?;
    if !NEEDS.into_iter().all(|feature| capabilities.has(feature)) {
        return Ok(());
    }
    let message = request.key.as_deref().unwrap_or_default();
    let key = KeySpace::A2a.run_key(&caller.session, message).message_key();
    let earlier = caller.client.message_by_key(&key).await.map_err(|error| backend(&error))?;
    if let Some(id) = earlier.and_then(|message| message.tool_request_id) {
        let question = caller.client.tool_request(&id).await.map_err(|error| backend(&error))?;
        request.resume = Some(question.run_key);
        return Ok(());
    }
    let task = stored::task(caller, &capabilities, &task_id).await?;
    let Some(found) = runs::newest(caller, &capabilities, &task).await? else { return Ok(()) };
    if found.run.known_status().is_none_or(|status| status.is_final()) {
        return Ok(());
    }
    if !request.answers.is_empty() {
        request.resume = Some(found.key.as_str().to_owned());
        return Ok(());
    }
    let Some(question) = only_question(caller, &found.key).await? else { return Ok(()) };
    let content = match &asked.answer {
        Value::String(text) => text.clone(),
        data => data.to_string(),
    };
    let message = CreateMessage {
        task_id,
        content,
        actor_type: Some(ActorType::User),
        idempotency_key: Some(key),
        tool_request_id: Some(question.id),
        ..CreateMessage::default()
    };
    let stored = caller.client.post_user_message(&message).await;
    stored.map_err(|error| refused(&error))?;
    request.resume = Some(question.run_key);
    Ok(())
}

/// Refuses another message to a task that is over, as the protocol wants it: its conversation goes on under
/// the context alone. A message that has come before is no other one.
pub(super) async fn refuse_ended(caller: &Caller, asked: &SendMessage) -> Result<(), Fault> {
    let request = &asked.request;
    let Some(id) = asked.task_id.as_deref().filter(|_| request.resume.is_none()) else {
        return Ok(());
    };
    let capabilities = caller.capabilities().await?;
    // Without journals nobody knows whether the message is a repeated one.
    if !["tasks_get", "run_journal"].into_iter().all(|feature| capabilities.has(feature)) {
        return Ok(());
    }
    let message = request.key.as_deref().unwrap_or_default();
    let key = KeySpace::A2a.run_key(&caller.session, message);
    if caller.client.run_state(key.as_str()).await.map_err(|error| backend(&error))?.is_some() {
        return Ok(());
    }
    let state = stored::state(caller, &capabilities, id).await?;
    if ![COMPLETED, FAILED, CANCELED].iter().any(|over| state == *over) {
        return Ok(());
    }
    let why = format!(
        "the task {id:?} is over ({}) and takes no more messages; to go on in its conversation, send the \
         message with this contextId and no taskId",
        state.as_str().unwrap_or_default()
    );
    Err(Fault::new(Kind::Unsupported, why))
}

/// The question that a run waits for, where it is the only one.
async fn only_question(caller: &Caller, key: &RunKey) -> Result<Option<ToolRequest>, Fault> {
    let waiting = pending(&caller.client, key).await;
    let waiting = waiting
        .map_err(|error: RunError| Fault::from(super::super::error::ApiError::from(error)))?;
    let mut questions = waiting.into_iter().filter(|asked| asked.kind == ToolRequestKind::Question);
    let first = questions.next();
    Ok(first.filter(|_| questions.next().is_none()))
}

/// An answer that does not fit is the client's mistake.
fn refused(error: &McError) -> Fault {
    match error {
        McError::Status { status: 400 | 409, message, .. } => {
            Fault::new(Kind::Params, format!("message.parts: {message}"))
        }
        error => backend(error),
    }
}
