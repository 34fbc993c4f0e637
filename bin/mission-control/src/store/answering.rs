//! A person's message that answers a question.

use mc_client::tool_requests::{ToolRequest, ToolRequestStatus};
use mc_client::types::{CreateMessage, Message};
use serde_json::Value;
use sqlx::{AnyConnection, Row};

use super::decisions::{Settled, is_due, row_of, settle};
use super::error::{Conflict, StoreError};
use super::messages::Author;
use super::tool_requests::tool_request;
use super::{Scope, Store, messages, now, session_role};

/// The question that a message was found to answer.
#[derive(Debug)]
pub struct Answering {
    /// The question's tool request.
    pub id: String,
    /// Whether the message names it.
    pub is_named: bool,
    /// The answer that the message is.
    pub answer: Value,
}

/// The questions that wait on a task, two of them at most.
const ASKED: &str = "SELECT * FROM tool_requests WHERE task_id = $1 AND user_id = $2 \
    AND status = 'pending' AND kind = 'question' AND expires_at > $3 ORDER BY seq LIMIT 2";

/// Writes a message, and the answer that it is. The first of several answers counts: a later message that does not
/// name the question is a message.
pub async fn insert(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    author: Author<'_>,
    new: &CreateMessage,
    answering: Option<&Answering>,
) -> Result<Message, StoreError> {
    let user_id = scope.user_id;
    let asked = match answering {
        Some(answering) => still_asked(tx, scope, new, answering).await?,
        None => None,
    };
    let (Some(answering), Some(asked)) = (answering, asked) else {
        let new = CreateMessage { tool_request_id: None, ..new.clone() };
        return messages::insert(tx, user_id, author, &new).await;
    };
    let new = CreateMessage { tool_request_id: Some(asked.id.clone()), ..new.clone() };
    let role = session_role(user_id, &asked.session_key).unwrap_or_default();
    let author = match author {
        Author::Person => Author::Answers(role),
        other @ (Author::Agent(_) | Author::Answers(_) | Author::Told) => other,
    };
    let made = messages::insert(tx, user_id, author, &new).await?;
    let settled =
        Settled { answer: Some(&answering.answer), ..Settled::new(ToolRequestStatus::Answered) };
    settle(tx, scope, &asked.id, &settled).await?;
    Ok(made)
}

/// The question, if it waits still.
async fn still_asked(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    new: &CreateMessage,
    answering: &Answering,
) -> Result<Option<ToolRequest>, StoreError> {
    if answering.is_named {
        let known = tool_request(&row_of(tx, scope, &answering.id).await?);
        let is_pending = known.known_status() == Some(ToolRequestStatus::Pending);
        if is_pending && !is_due(&known) {
            return Ok(Some(known));
        }
        let status = if is_pending { "expired".to_owned() } else { known.status };
        return Err(Conflict::AlreadyDecided { status }.into());
    }
    let waiting =
        sqlx::query(ASKED).bind(&new.task_id).bind(scope.user_id).bind(now()).fetch_all(tx).await?;
    let [only] = &waiting[..] else { return Ok(None) };
    let is_it = only.get::<&str, _>("id") == answering.id;
    Ok(is_it.then(|| tool_request(only)))
}

impl Store {
    /// The question that waits on a task, if it is the only one.
    pub async fn only_question(
        &self,
        user_id: &str,
        task_id: &str,
    ) -> Result<Option<ToolRequest>, StoreError> {
        let waiting = sqlx::query(ASKED)
            .bind(task_id)
            .bind(user_id)
            .bind(now())
            .fetch_all(&self.reader)
            .await?;
        let [only] = &waiting[..] else { return Ok(None) };
        Ok(Some(tool_request(only)))
    }
}
