//! Notifications: read by agents, created by services.

use crate::call::Call;
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::types::{CreateNotification, Notification, Page};
use crate::url::{path, with_query};

impl AgentClient {
    /// The user's notifications, oldest first (feature `notifications`).
    pub async fn notifications(&self, unread: bool) -> Result<Page<Notification>, McError> {
        let url =
            with_query(path(&["notifications"]), &[("unread", unread.then(|| "true".to_owned()))]);
        self.caller.fetch(Call::get(&url)).await
    }
}

impl InternalClient {
    /// Creates a notification.
    pub async fn create_notification(
        &self,
        notification: &CreateNotification,
    ) -> Result<Notification, McError> {
        let key = notification.idempotency_key.as_deref();
        self.caller.fetch(Call::create(&path(&["notifications"]), notification, key)?).await
    }
}
