//! Notifications: read by agents, created by services.

use http::HeaderName;

use crate::call::Call;
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::types::{CreateNotification, Notification, Page};
use crate::url::{path, with_query};

/// The header of an answer that a key has had before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

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

    /// The same; also tells whether the key had created it before, where the backend says so.
    pub async fn notify(
        &self,
        notification: &CreateNotification,
    ) -> Result<(Notification, bool), McError> {
        let key = notification.idempotency_key.as_deref();
        let call = Call::create(&path(&["notifications"]), notification, key)?;
        let (made, headers) = self.caller.fetch_told(call).await?;
        let replayed = headers.get(REPLAYED);
        Ok((made, replayed.is_some_and(|told| told.as_bytes().eq_ignore_ascii_case(b"true"))))
    }
}
