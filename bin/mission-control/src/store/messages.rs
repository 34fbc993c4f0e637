//! Messages, and the notifications that `@role` mentions in them create.

use std::collections::HashSet;

use mc_client::types::{Attachment, CreateMessage, CreateNotification, Message, Page, Priority};
use serde_json::{Map, Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::notifications::Extras;
use super::paging::{page, rows_for};
use super::{
    Scope, Store, events, files, json_of, new_id, notifications, now, session_of, tasks, time,
};
use crate::mentions::mentioned_roles;

/// Who wrote a message.
#[derive(Debug, Clone, Copy)]
pub enum Author<'a> {
    /// An agent of this role: the roles that it names are notified.
    Agent(&'a str),
    /// A person: each `@role` in the text notifies that role's session.
    Person,
    /// A person who answers a question of this role, which hears of it as of a decision: any other `@role` in the
    /// text is notified.
    Answers(&'a str),
    /// A person, as the daemon stores it: that call has its agent, which is answering already, and text that an
    /// application passes on starts no others. Nobody is notified.
    Told,
}

/// What is attached to a message; older ones may have anything in any form.
fn attachments(row: &AnyRow) -> Vec<Attachment> {
    match json_of::<Value>(row.get("attachments")) {
        None => Vec::new(),
        Some(Value::Array(items)) => {
            serde_json::from_value(Value::Array(items)).unwrap_or_default()
        }
        Some(other) => vec![Attachment::Other(other)],
    }
}

fn message(row: &AnyRow) -> Message {
    Message {
        id: row.get("id"),
        task_id: row.get("task_id"),
        content: row.get("content"),
        actor_type: row.get("actor_type"),
        agent_role: row.get("agent_role"),
        actor_id: row.get("actor_id"),
        attachments: attachments(row),
        data: json_of(row.get("data")),
        tool_request_id: row.get("tool_request_id"),
        created_at: time(row.get("created_at")),
    }
}

/// Writes a message, and the notifications that it makes.
pub async fn insert(
    tx: &mut AnyConnection,
    user_id: &str,
    author: Author<'_>,
    new: &CreateMessage,
) -> Result<Message, StoreError> {
    tasks::ensure_exists(tx, user_id, &new.task_id).await?;
    let (actor, agent_role) = match author {
        Author::Agent(role) => ("agent", Some(role)),
        Author::Person | Author::Answers(_) | Author::Told => ("user", None),
    };
    let attached = files::attach(&mut *tx, user_id, &new.attachments).await?;
    let attached = (!attached.is_empty()).then(|| serde_json::to_string(&attached)).transpose()?;
    let row = sqlx::query(
        "INSERT INTO messages (id, user_id, task_id, content, actor_type, agent_role, actor_id, attachments, idempotency_key, created_at, data, tool_request_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING *",
    )
    .bind(new_id())
    .bind(user_id)
    .bind(&new.task_id)
    .bind(&new.content)
    .bind(actor)
    .bind(agent_role)
    .bind(&new.actor_id)
    .bind(attached)
    .bind(&new.idempotency_key)
    .bind(now())
    .bind(new.data.as_ref().map(ToString::to_string))
    .bind(&new.tool_request_id)
    .fetch_one(&mut *tx)
    .await?;
    let made = message(&row);
    events::record(tx, user_id, "message.created", "message_id", &made).await?;
    let answered = match author {
        Author::Answers(role) => Some(role),
        Author::Agent(_) | Author::Person | Author::Told => None,
    };
    let named = match author {
        Author::Person | Author::Answers(_) => mentioned_roles(&new.content),
        // What an agent names is checked by the daemon, which knows the roles and what they may.
        Author::Agent(_) => new.mentions.clone().unwrap_or_default(),
        Author::Told => Vec::new(),
    };
    let chain = new.chain.as_ref().filter(|_| matches!(author, Author::Agent(_)));
    // A person waits for an answer.
    let priority = match author {
        Author::Person | Author::Answers(_) => Some(Priority::High),
        Author::Agent(_) | Author::Told => None,
    };
    let mut notified = HashSet::new();
    for role in named.into_iter().filter(|role| answered != Some(&**role)) {
        let notification = CreateNotification {
            user_id: user_id.to_owned(),
            session_key: session_of(user_id, &role),
            content: new.content.clone(),
            task_id: Some(new.task_id.clone()),
            priority,
            ..CreateNotification::default()
        };
        let metadata = chain.map(|chain| Map::from_iter([("chain".to_owned(), json!(chain))]));
        if notified.insert(role) {
            let extras = Extras { run_key: None, metadata };
            notifications::insert(tx, &notification, extras).await?;
        }
    }
    Ok(made)
}

impl Store {
    /// The newest messages of a task, oldest of them first; the cursor leads to older ones.
    pub async fn messages(
        &self,
        user_id: &str,
        task_id: &str,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Page<Message>, StoreError> {
        self.task(user_id, task_id).await?;
        let rows = sqlx::query("SELECT * FROM messages WHERE task_id = $1 AND user_id = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4")
            .bind(task_id)
            .bind(user_id)
            .bind(before.unwrap_or(i64::MAX))
            .bind(rows_for(limit))
            .fetch(&self.reader);
        let mut newest = page(rows, limit, message).await?;
        newest.items.reverse();
        Ok(newest)
    }

    /// The message that was written under a key. One that another role wrote under it is not what an
    /// agent looks for.
    pub async fn message_by_key(
        &self,
        scope: Scope<'_>,
        key: &str,
    ) -> Result<Page<Message>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM messages WHERE user_id = $1 AND idempotency_key = $2 \
             AND ($3 = '' OR agent_role IS NULL OR agent_role = $3) ORDER BY seq LIMIT 1",
        )
        .bind(scope.user_id)
        .bind(key)
        .bind(scope.own_role().unwrap_or_default())
        .fetch_all(&self.reader)
        .await?;
        Ok(Page { items: rows.iter().map(message).collect(), next_cursor: None })
    }
}
