//! Which question a person's message answers.

use mc_client::tool_requests::ToolRequestStatus;
use mc_client::types::CreateMessage;
use serde_json::Value;

use crate::answers::written;
use crate::app::App;
use crate::error::ApiError;
use crate::mentions::mentioned_roles;
use crate::store::answering::Answering;
use crate::store::messages::Author;
use crate::store::{Misfit, Scope, StoreError, session_role};

/// The question that a message answers: the one that it names, or the only one that waits on its task, unless the
/// message is to another role or does not fit. What names a question and does not fit it is refused.
pub(crate) async fn find_answer(
    app: &App,
    scope: Scope<'_>,
    author: Author<'_>,
    new: &CreateMessage,
) -> Result<Option<Answering>, ApiError> {
    match (author, &new.tool_request_id) {
        (Author::Person | Author::Told, Some(id)) => {
            app.store.expire_before_reading().await;
            named(app, scope, id, new).await.map(Some)
        }
        (Author::Person, None) => guessed(app, scope, new).await,
        // What is said to an agent that works already is no answer to another one's question.
        (Author::Told, None) | (Author::Agent(_) | Author::Answers(_), _) => Ok(None),
    }
}

async fn named(
    app: &App,
    scope: Scope<'_>,
    id: &str,
    new: &CreateMessage,
) -> Result<Answering, ApiError> {
    // Whatever roles it leads, an agent speaks in its own session.
    let scope = Scope { role: scope.role.or(scope.own_role()), ..scope };
    let request = app.store.tool_request(scope, id).await?;
    let wrong = |why: &str| Err(ApiError::field("tool_request_id", why));
    if request.task_id != new.task_id {
        return wrong("is of another task than the message");
    }
    let Some(question) = request.question() else {
        return wrong("is a call to approve, not a question: decide it at its /decision");
    };
    let id = request.id.clone();
    if request.known_status() != Some(ToolRequestStatus::Pending) {
        // The write says so, or that this very message was stored before.
        return Ok(Answering { id, is_named: true, answer: Value::Null });
    }
    let role = session_role(scope.user_id, &request.session_key).unwrap_or_default();
    let answer = written(&question, role, &new.content).await;
    let answer = answer.map_err(|errors| StoreError::Mismatch { what: Misfit::Answer, errors })?;
    Ok(Answering { id, is_named: true, answer })
}

async fn guessed(
    app: &App,
    scope: Scope<'_>,
    new: &CreateMessage,
) -> Result<Option<Answering>, ApiError> {
    let Some(request) = app.store.only_question(scope.user_id, &new.task_id).await? else {
        return Ok(None);
    };
    let Some(question) = request.question() else { return Ok(None) };
    let role = session_role(scope.user_id, &request.session_key).unwrap_or_default();
    if mentioned_roles(&new.content).iter().any(|mentioned| mentioned != role) {
        return Ok(None);
    }
    let answer = written(&question, role, &new.content).await.ok();
    Ok(answer.map(|answer| Answering { id: request.id, is_named: false, answer }))
}
