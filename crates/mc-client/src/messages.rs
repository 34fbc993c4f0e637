//! Messages in a task's thread.

use crate::call::Call;
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::types::{CreateMessage, Message, Page};
use crate::url::{path, with_query};

impl AgentClient {
    /// Writes a message as the agent.
    pub async fn post_message(&self, message: &CreateMessage) -> Result<Message, McError> {
        let key = message.idempotency_key.as_deref();
        self.caller.fetch(Call::create(&path(&["messages"]), message, key)?).await
    }

    /// Stores what the user said to the agent, as the user (feature `user_messages`). A repetition gets
    /// the message that is stored already.
    pub async fn post_user_message(&self, message: &CreateMessage) -> Result<Message, McError> {
        let key = message.idempotency_key.as_deref();
        let call = Call::create(&path(&["messages"]), message, key)?;
        let stored: Result<Message, _> = self.for_user()?.caller.fetch(call).await;
        stored.or_else(|error| error.conflicting_original().ok_or(error))
    }

    /// The newest messages of a task, oldest of them first; the cursor leads to older ones
    /// (feature `messages_list`).
    pub async fn list_messages(
        &self,
        task_id: &str,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Message>, McError> {
        let url = with_query(
            path(&["messages"]),
            &[
                ("task_id", Some(task_id.to_owned())),
                ("limit", Some(limit.to_string())),
                ("cursor", cursor.map(str::to_owned)),
            ],
        );
        self.caller.fetch(Call::get(&url)).await
    }

    /// The message that was written under a key (feature `message_lookup`).
    pub async fn message_by_key(&self, key: &str) -> Result<Option<Message>, McError> {
        let url = with_query(path(&["messages"]), &[("idempotency_key", Some(key.to_owned()))]);
        let page: Page<Message> = self.caller.fetch(Call::get(&url)).await?;
        Ok(page.items.into_iter().next())
    }
}

impl InternalClient {
    /// Writes a message as the user that [`InternalClient::on_behalf_of`] names.
    pub async fn post_message(&self, message: &CreateMessage) -> Result<Message, McError> {
        let key = message.idempotency_key.as_deref();
        self.caller.fetch(Call::create(&path(&["messages"]), message, key)?).await
    }

    /// A task's thread, as that user sees it.
    pub async fn list_messages(&self, task_id: &str, limit: u32) -> Result<Page<Message>, McError> {
        let url = with_query(
            path(&["messages"]),
            &[("task_id", Some(task_id.to_owned())), ("limit", Some(limit.to_string()))],
        );
        self.caller.fetch(Call::get(&url)).await
    }
}
