//! Heartbeats.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// `POST /heartbeat`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatRequest {
    /// The tenant; must be the token's own.
    pub user_id: String,
    /// The role of the agent that woke up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The cron tick (RFC 3339); claimed once per user and role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// What the agent said when it found nothing to report: kept with its last heartbeat, and no
    /// heartbeat of its own. At most 2,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The answer to a heartbeat. Further fields of a backend are kept in `extra`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatAnswer {
    /// `ok`.
    #[serde(default)]
    pub status: String,
    /// Whether this caller claimed the slot; `true` when no slot was named.
    #[serde(default = "yes")]
    pub claimed: bool,
    /// What is pending.
    #[serde(default)]
    pub pending: Pending,
    /// Further fields.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn yes() -> bool {
    true
}

/// What is pending for an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pending {
    /// Unread notifications.
    #[serde(default)]
    pub notifications: u64,
    /// Tasks that are pending, in progress or blocked.
    #[serde(default)]
    pub tasks: u64,
}
