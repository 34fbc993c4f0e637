//! Quiet hours of users, and what became of deliveries as people see it (feature `delivery_options`).

use chrono::{DateTime, Utc};
use http::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::InternalClient;
use crate::error::McError;
use crate::types::Page;
use crate::url::{path, with_query};

/// The event that tells a user's people of new dead letters, once an hour at most.
pub const DEAD_LETTERS_DIGEST: &str = "dead_letters.digest";

/// The most ids that a [`DeadLetterGroup`] lists.
pub const MAX_GROUP_IDS: u32 = 1_000;

/// The hours in which only what is urgent is delivered to a user's agents, on each day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuietHours {
    /// An IANA name.
    pub timezone: String,
    /// When they begin on its clock: `22:00`.
    pub from: String,
    /// When they end: on the next day where this is before `from`.
    pub to: String,
}

/// Dead letters of one session that died of the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterGroup {
    /// Why their delivery failed.
    pub cause: String,
    /// The session that they were for.
    pub session_key: String,
    /// How many there are.
    pub count: u64,
    /// When the first of them died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<DateTime<Utc>>,
    /// When the last one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<DateTime<Utc>>,
    /// The ids of the notifications, oldest first: at most 1,000 of them.
    #[serde(default)]
    pub ids: Vec<String>,
}

impl InternalClient {
    /// Sets a user's quiet hours, in place of earlier ones.
    pub async fn put_quiet_hours(
        &self,
        user_id: &str,
        hours: &QuietHours,
    ) -> Result<QuietHours, McError> {
        let url = path(&["users", user_id, "quiet-hours"]);
        self.caller.fetch(Call::new(Method::PUT, &url).json(hours)?.repeatable()).await
    }

    /// Ends a user's quiet hours for good.
    pub async fn delete_quiet_hours(&self, user_id: &str) -> Result<(), McError> {
        let url = path(&["users", user_id, "quiet-hours"]);
        self.caller.send(Call::new(Method::DELETE, &url).repeatable()).await
    }

    /// One page of the dead letters of the user that [`InternalClient::on_behalf_of`] names, by what
    /// they died of, newest first.
    pub async fn dead_letters(
        &self,
        cursor: Option<String>,
    ) -> Result<Page<DeadLetterGroup>, McError> {
        let url = with_query(path(&["dead-letters"]), &[("cursor", cursor)]);
        self.caller.fetch(Call::get(&url)).await
    }
}
